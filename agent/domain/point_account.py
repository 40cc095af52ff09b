"""Accounting for what a pump holds: a read-out bundle becomes baselines, sales, alerts and the permission to forget.

Knows comparing (booking.py) and the order of effects. Knows no clock and no decision about the next fuelling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent.domain.booking import (
    Booking,
    Comparison,
    Evidence,
    Fingerprint,
    Meter,
    Verdict,
    compare,
    is_comparable,
    moved_raw,
)
from agent.domain.point_events import Audit, Baseline, Book, CloseFuelling, HungZero, Turn
from agent.domain.point_rebirth import rebase
from agent.domain.point_reset import Followed, Seen, confirm, follow
from agent.domain.point_state import HUNG, Live, MeterReset, Origin, Pending, Point
from agent.domain.sale import Totalizer
from drivers.commands import Acknowledge, ReadSale
from drivers.readings import CompletedSale, HeldSale, PointState, TotalizerReading

PENDING_RETRY_MS = 5_000
"""Totals that could not be read are asked again after this long."""

MOVING_RETRY_MS = 1_000
"""Totals that moved while they were read: flow has resumed or is just ending."""

MISMATCH_READS = 3
"""A display that tells more than the meter counted is read again so often before the meter is believed."""

WIDE_EVERY_MS = 600_000
"""The totals of all nozzles are compared at least so often, with the next sale."""

UNREADABLE = "totals not readable; no authorising until they are"

ACK_ATTEMPTS = 3
"""Acknowledgements of the same content before an alert is raised and the pace slows."""


def may_read(point: Point) -> bool:
    """Return whether totals may be asked now: at rest, or the end was seen and only the next customer has lifted."""
    state = point.state
    if state is PointState.SUSPENDED_FUELLING:
        return point.volatile.ended_wall_ms is not None
    return state is PointState.CALLING or state in HUNG


def begin_read(turn: Turn) -> None:
    """Ask for totals, held sale and totals again: of every nozzle, or of the fuelled one where nothing was missed."""
    config = turn.point.config
    nozzles = _nozzles_to_read(turn)
    sent = turn.send(ReadSale(turn.next_id(), config.number, nozzles))
    if nozzles == config.numbers:
        turn.note(wide=False, wide_at_ms=turn.now.mono_ms)
    turn.note(read=sent, read_nozzles=nozzles, read_disturbed=False)


def _nozzles_to_read(turn: Turn) -> tuple[int, ...]:
    """One total takes a third of the wire time of three, so in normal running only the open fuelling's nozzle is read.

    Every nozzle is read after a start or a gap, where anything is in doubt, and at least every ``WIDE_EVERY_MS``.
    """
    known, seen, numbers = turn.durable, turn.volatile, turn.point.config.numbers
    fuelling = known.open
    in_doubt = seen.blind or seen.wide or bool(seen.confirms or known.resets or known.rebase)
    in_doubt = in_doubt or known.pending is not None
    overdue = turn.now.mono_ms - seen.wide_at_ms >= WIDE_EVERY_MS
    if in_doubt or overdue or turn.point.monitored or turn.point.config.queue:
        return numbers
    if fuelling is None or fuelling.nozzle is None or any(known.meter(n) is None for n in numbers):
        return numbers
    return (fuelling.nozzle,)


def took(turn: Turn, bundle: CompletedSale) -> bool:
    """Whether a read-out is to be accounted for: one not asked for, or that flow has overtaken, changes nothing."""
    seen = turn.volatile
    if seen.read is None or seen.read.command_id != bundle.command_id:
        return False
    turn.note(read=None, read_failures=0)
    return not seen.read_disturbed and may_read(turn.point)


def told(turn: Turn, held: HeldSale | None) -> HeldSale | None:
    """What is new in a held sale. A queue that we may not empty tells the record we know until somebody else does."""
    if turn.point.monitored and turn.point.config.queue and held is not None and held.token == turn.durable.last_token:
        return None
    return held


def is_repeated(turn: Turn, held: HeldSale | None) -> bool:
    """Whether a queue tells the record again that we have booked and whose acknowledgement is not confirmed."""
    known = turn.durable
    is_queue = turn.point.config.queue and held is not None and held.token != ""
    return is_queue and held is not None and held.token == known.last_token and not known.acked


def on_bundle(turn: Turn, bundle: CompletedSale) -> None:
    """Account for a read-out of totals, held sale and totals again."""
    asked = turn.volatile.read_nozzles
    if not took(turn, bundle):
        return
    before = {total.nozzle: total for total in bundle.before}
    after = {total.nozzle: total for total in bundle.after}
    if any(n in before and n in after and before[n] != after[n] for n in asked):
        turn.note(retry_at_ms=turn.now.mono_ms + MOVING_RETRY_MS)
        return
    if not all(n in before and n in after for n in asked):
        hold_pending(turn, bundle.held)
        return
    held = told(turn, bundle.held)
    if turn.point.config.queue and held is not None and only_to_acknowledge(turn, held):
        acknowledge(turn, held.token)
        return
    if asked != turn.point.config.numbers and not _is_clear(turn, after[asked[0]], held):
        turn.note(wide=True, retry_at_ms=0)
        return
    fresh = None if is_repeated(turn, held) else held
    is_settled = _account(turn, {n: after[n] for n in asked}, fresh)
    if is_settled and not turn.durable.resets:
        acknowledge(turn, "" if held is None else held.token)


def _is_clear(turn: Turn, total: TotalizerReading, held: HeldSale | None) -> bool:
    """Whether one nozzle's total explains the display: its movement is the held sale, or nothing moved and flowed."""
    moved_ml = _unbooked_ml(turn, total)
    if held is None or held.volume_ml is None or held.nozzle not in (None, total.nozzle):
        return False
    if moved_ml == 0:
        return flowed_ml(turn) is None and (held.volume_ml == 0 or is_old(turn, held))
    return abs(moved_ml - held.volume_ml) < total.unit_ml


def only_to_acknowledge(turn: Turn, held: HeldSale) -> bool:
    """Whether a queue record needs no comparing: already booked and not confirmed, or a zero sale."""
    return not held.volume_ml or (is_repeated(turn, held) and turn.volatile.ack_failures < ACK_ATTEMPTS)


def hold_pending(turn: Turn, held: HeldSale | None, why: str = UNREADABLE) -> None:
    """The witness is silent: keep what is told as a provisional sale, block the point, ask again later."""
    known = turn.durable.pending or Pending(since_ms=turn.now.wall_ms)
    if known.volume_ml is None or known.live:
        known = _provisional(turn, held, known)
    if known != turn.durable.pending:
        turn.keep(pending=known)
    turn.alert("SALE_PENDING", True, why)
    turn.note(retry_at_ms=turn.now.mono_ms + PENDING_RETRY_MS)


def _provisional(turn: Turn, held: HeldSale | None, known: Pending) -> Pending:
    fuelling, live_ml = turn.durable.open, flowed_ml(turn)
    nozzle = None if fuelling is None else fuelling.nozzle
    if held is not None and held.volume_ml and (live_ml is not None or not is_old(turn, held)):
        return Pending(
            known.since_ms,
            nozzle if held.nozzle is None else held.nozzle,
            held.volume_ml,
            held.amount_minor,
            held.unit_price_milli,
            held.token,
        )
    if live_ml is not None:
        price = None if fuelling is None else fuelling.unit_price_milli
        return Pending(known.since_ms, nozzle, live_ml, _live_amount(turn), price, known.token, live=True)
    return known


def flowed_ml(turn: Turn) -> int | None:
    """Highest live volume of the open fuelling, saved or seen; ``None`` = no flow seen."""
    saved = None if turn.durable.open is None else turn.durable.open.live_volume_ml
    seen = turn.volatile.live.volume_ml
    return max((v for v in (saved, seen) if v is not None), default=None)


def _live_amount(turn: Turn) -> int | None:
    if turn.volatile.live.volume_ml is not None:
        return turn.volatile.live.amount_minor
    return None if turn.durable.open is None else turn.durable.open.live_amount_minor


def _old_values(turn: Turn) -> tuple[Fingerprint, ...]:
    held = turn.durable.last_held
    meters = (*turn.durable.meters, *(reset.meter for reset in turn.durable.replaced))
    booked = tuple(m.last_sale for m in meters if m.last_sale is not None)
    return booked if held is None else (held, *booked)


def is_old(turn: Turn, held: HeldSale) -> bool:
    """Whether the held values are known to be accounted for."""
    return any(known.shows(held) for known in _old_values(turn))


def _account(turn: Turn, totals: Mapping[int, TotalizerReading], held: HeldSale | None) -> bool:
    """Compare every nozzle with its stored total and write down what came of it; False where it is read again first."""
    based = rebase(turn, totals, held) | _set_baselines(turn, totals)
    owner = _owner(turn, totals, held)
    held = _named(held, owner)
    results = _compare_all(turn, totals, held, owner, based)
    resets = _follow_resets(turn, totals, held, owner, results)
    is_mismatch = any(r.mismatch for r in results) or any(f.mismatch for f in resets)
    if is_mismatch and flowed_ml(turn) is not None:
        turn.note(mismatch_reads=turn.volatile.mismatch_reads + 1)
        if turn.volatile.mismatch_reads < MISMATCH_READS:
            turn.note(retry_at_ms=turn.now.mono_ms + MOVING_RETRY_MS)
            return False
    confirmed = _confirm(turn, resets)
    results = [r for r in results if r.meter.nozzle not in {reset.nozzle for reset in confirmed}]
    based |= {reset.nozzle for reset in confirmed}
    bookings = [(r, b) for r in results for b in r.bookings]
    for result, booking in bookings:
        turn.emit(_book(turn, result, booking))
    _write_meters(turn, results)
    _tell_mismatch(turn, results)
    more = any(r.more for r in results)
    booked = len(bookings) + sum(len(reset.sales) for reset in confirmed)
    if booked or not more:
        close_fuelling(turn, booked=bool(booked), based=based)
    if held is not None and held.volume_ml:
        turn.keep(last_held=display_of(held.volume_ml, held.amount_minor))
    settled(turn, booked, more)
    return True


def display_of(volume_ml: int, amount_minor: int | None) -> Fingerprint:
    """A display that is accounted for: known by volume and amount, as nozzle and price may follow the next lift."""
    return Fingerprint(None, volume_ml, amount_minor, None)


def _named(held: HeldSale | None, owner: int | None) -> HeldSale | None:
    """The held sale as its owner's; a device that names another nozzle shows that one's price, too."""
    if held is None or owner is None or held.nozzle in (None, owner):
        return held
    return replace(held, nozzle=owner, unit_price_milli=None)


def _set_baselines(turn: Turn, totals: Mapping[int, TotalizerReading]) -> frozenset[int]:
    """First contact: the reading is the meter's start and no sale."""
    based: set[int] = set()
    for nozzle, total in totals.items():
        if nozzle not in turn.point.config.numbers or turn.durable.meter(nozzle) is not None:
            continue
        meter = Meter(
            nozzle=nozzle,
            total=Totalizer(0, total.raw),
            unit_ml=total.unit_ml,
            modulus=total.modulus,
            amount_raw=total.amount_raw,
            amount_modulus=total.amount_modulus,
            unit_price_milli=dict(turn.volatile.prices).get(nozzle),
        )
        turn.replace_meters((meter,))
        turn.emit(Baseline(nozzle, meter.total, total.unit_ml, "first-contact"))
        based.add(nozzle)
    return frozenset(based)


def _unbooked_ml(turn: Turn, total: TotalizerReading) -> int:
    meter, reset = turn.durable.meter(total.nozzle), turn.durable.reset(total.nozzle)
    if meter is not None and reset is not None and not is_comparable(meter, total, turn.point.config.rules):
        meter = reset.meter
    return 0 if meter is None else moved_raw(meter, total) * meter.unit_ml - meter.accepted_ml


def _owner(turn: Turn, totals: Mapping[int, TotalizerReading], held: HeldSale | None) -> int | None:
    """The nozzle whose sale the display tells: the only one whose movement fits it, else the one the device names.

    The name comes second because a device may already name the nozzle the next customer has lifted.
    """
    if held is None:
        return None
    if turn.point.config.queue and held.nozzle is not None:
        return held.nozzle
    moved = {n: _unbooked_ml(turn, total) for n, total in totals.items()}
    moved = {n: ml for n, ml in moved.items() if ml != 0}
    fitting = [n for n, ml in moved.items() if abs(ml - (held.volume_ml or 0)) <= totals[n].unit_ml]
    if len(fitting) == 1:
        return fitting[0]
    fuelling = turn.durable.open
    named = held.nozzle if held.nozzle is not None or fuelling is None else fuelling.nozzle
    if named in moved:
        return named
    if not moved:
        return fuelling.nozzle if fuelling is not None and flowed_ml(turn) is not None else named
    return next(iter(moved)) if len(moved) == 1 else None


def _compare_all(
    turn: Turn,
    totals: Mapping[int, TotalizerReading],
    held: HeldSale | None,
    owner: int | None,
    based: frozenset[int],
) -> list[Comparison]:
    """Compare each nozzle; the owner of the held sale comes last, because its sale is the newest."""
    config = turn.point.config
    waiting = config.queue and held is not None and owner is not None
    results: list[Comparison] = []
    for nozzle in sorted(totals, key=lambda n: (n == owner, n)):
        meter = turn.durable.meter(nozzle)
        if meter is None or nozzle in based:
            continue
        total = totals[nozzle]
        if waiting and nozzle != owner:
            # the queue's next records tell this nozzle's sales: not recovered before the queue is empty
            results.append(Comparison(Verdict.NOTHING, meter, more=moved_raw(meter, total) != 0))
            continue
        evidence = _evidence(turn, nozzle, meter, held if nozzle == owner else None, owner)
        results.append(compare(meter, total, held if nozzle == owner else None, evidence, config.rules))
    return results


def _evidence(turn: Turn, nozzle: int, meter: Meter, held: HeldSale | None, owner: int | None) -> Evidence:
    config, fuelling = turn.point.config, turn.durable.open
    ours = fuelling is not None and (fuelling.nozzle == nozzle or (fuelling.nozzle is None and owner in (None, nozzle)))
    decided = fuelling is not None and fuelling.origin in (Origin.AUTO, Origin.PERSON)
    told = None if held is None else held.unit_price_milli
    prices = (dict(turn.volatile.prices).get(nozzle), told, meter.unit_price_milli, config.price(nozzle))
    return Evidence(
        unit_price_milli=next(p for p in prices if p is not None),
        live_ml=flowed_ml(turn) if ours else None,
        fuelling=ours,
        several=not ours or (turn.volatile.blind and not decided),
        old=_old_values(turn),
        new_sequence=config.queue and held is not None and held.token not in ("", turn.durable.last_token),
        oldest_first=config.queue and held is not None,
    )


def _follow_resets(
    turn: Turn,
    totals: Mapping[int, TotalizerReading],
    held: HeldSale | None,
    owner: int | None,
    results: list[Comparison],
) -> list[Followed]:
    """What is sold over a meter in METER_RESET is kept until a supervisor confirms its base."""
    followed = []
    for meter in (r.meter for r in results if r.verdict is Verdict.METER_RESET):
        nozzle = meter.nozzle
        its = held if nozzle == owner else None
        seen = _seen(turn, totals[nozzle], its, _evidence(turn, nozzle, meter, its, owner))
        followed.append(follow(meter, turn.durable.reset(nozzle), seen))
    return followed


def _seen(turn: Turn, total: TotalizerReading, held: HeldSale | None, evidence: Evidence) -> Seen:
    fuelling, ended, pending = turn.durable.open, turn.volatile.ended_wall_ms, turn.durable.pending
    its = fuelling if fuelling is not None and evidence.fuelling else None
    last = None
    if pending is not None and pending.volume_ml and pending.nozzle in (None, total.nozzle):
        last = pending
    elif its is not None and evidence.live_ml is not None:
        amount = _live_amount(turn)
        last = Pending(0, total.nozzle, evidence.live_ml, amount, its.unit_price_milli, live=True)
    return Seen(
        total=total,
        held=held,
        last=last,
        shown=turn.durable.last_held,
        evidence=evidence,
        rules=turn.point.config.rules,
        doubtful=turn.volatile.blind and (its is not None or turn.point.monitored),
        lifted_ms=None if its is None else its.lifted_ms,
        ended_ms=turn.now.wall_ms if ended is None else ended,
        attendant=None if its is None else its.attendant,
    )


def _confirm(turn: Turn, followed: list[Followed]) -> list[MeterReset]:
    """Follow the supervisor's wishes; what still waits for one is kept."""
    wishes = dict(turn.volatile.confirms)
    for reset in (f.reset for f in followed):
        before = turn.durable.reset(reset.nozzle)
        for booking in (s.booking for s in reset.sales if before is None or s not in before.sales):
            detail = f"nozzle {reset.nozzle}: {booking.volume_ml} ml for {booking.amount_minor} wait for confirm-meter"
            turn.emit(Audit("sale_kept", detail))
    confirmed = [f.reset for f in followed if f.reset.nozzle in wishes]
    for reset in confirmed:
        confirm(turn, reset, wishes[reset.nozzle])
    turn.keep(replaced=tuple(f.reset for f in followed if f.reset.nozzle not in wishes))
    turn.note(confirms=())
    return confirmed


def _book(turn: Turn, result: Comparison, booking: Booking) -> Book:
    """The sale with its times: the lift of the open fuelling belongs to the newest sale of its nozzle, if nothing was
    missed.
    """
    fuelling, ended = turn.durable.open, turn.volatile.ended_wall_ms
    ended_ms = turn.now.wall_ms if ended is None else ended
    whole = len(result.bookings) == 1 or not turn.volatile.blind
    newest = booking is result.bookings[-1]
    if fuelling is None or fuelling.nozzle not in (None, booking.nozzle) or not (whole and newest):
        return Book(booking, None, ended_ms)
    return Book(booking, fuelling.lifted_ms, ended_ms, fuelling.attendant)


def _write_meters(turn: Turn, results: list[Comparison]) -> None:
    turn.replace_meters(tuple(r.meter for r in results))
    resets = {r.meter.nozzle: r for r in results if r.verdict is Verdict.METER_RESET}
    for nozzle in sorted(set(resets) - set(turn.durable.resets)):
        turn.emit(Audit("meter_reset", f"nozzle {nozzle}: {resets[nozzle].detail}"))
    turn.keep(resets=tuple(sorted(resets)))
    detail = "; ".join(f"nozzle {n}: {r.detail}" for n, r in sorted(resets.items()))
    turn.alert("METER_RESET", bool(resets), detail)


def _tell_mismatch(turn: Turn, results: list[Comparison]) -> None:
    wrong = [r for r in results if r.mismatch]
    for result in wrong:
        turn.emit(Audit("mismatch", f"nozzle {result.meter.nozzle}: {result.detail}"))
    if wrong:
        turn.alert("MISMATCH", True, wrong[0].detail)
    elif any(r.bookings for r in results):
        turn.alert("MISMATCH", False)


def close_fuelling(turn: Turn, booked: bool, based: frozenset[int]) -> None:
    """End the open fuelling, if there is one, with the reason it ended for. ``based``: nozzles that got a baseline."""
    fuelling = turn.durable.open
    if fuelling is None:
        return
    lifted = fuelling.lifted_ms is not None or turn.volatile.busy_seen or flowed_ml(turn) is not None
    if booked:
        reason = "booked"
    elif turn.durable.resets:
        reason = "unresolved"
    elif fuelling.nozzle in based:
        reason = "baseline"
    else:
        reason = "zero" if lifted else "unused"
    turn.keep(open=None)
    turn.note(live=Live())
    turn.emit(CloseFuelling(reason))
    if reason == "zero" and not turn.volatile.rearm:
        turn.emit(Audit("zero_sale", f"nozzle {fuelling.nozzle}: hung without a sale"))
        turn.emit(HungZero(fuelling.nozzle))


def settled(turn: Turn, booked: int, more: bool) -> None:
    """What the pump holds is accounted for: forget what was only needed for it."""
    volatile = turn.volatile
    if turn.durable.pending is not None:
        turn.keep(pending=None)
    turn.alert("SALE_PENDING", False)
    turn.note(
        accounted=not more,
        blind=more and volatile.blind,
        unpaid=None if volatile.unpaid is None else volatile.unpaid + booked,
        checked_at_ms=turn.now.mono_ms,
        mismatch_reads=0,
        retry_at_ms=0,
    )
    if more:
        return
    turn.alert("UNKNOWN_AUTHORISATION", False)
    turn.note(
        ended_wall_ms=None,
        busy_seen=False,
        live=Live(),
        authorised_at_ms=None,
        armed=volatile.armed or (volatile.rearm and turn.point.state is PointState.CALLING),
        rearm=False,
    )


def acknowledge(turn: Turn, token: str) -> None:
    """Permit the device to forget what is accounted for; never where we only read. The newest permission counts."""
    if turn.point.monitored:
        turn.keep(last_token=token or turn.durable.last_token)
        return
    superseded = {sent.command_id for sent in turn.volatile.inflight if sent.kind == Acknowledge.__name__}
    turn.note(inflight=tuple(s for s in turn.volatile.inflight if s.command_id not in superseded))
    unconfirmed = tuple(u for u in turn.durable.unconfirmed if u.command_id not in superseded)
    turn.keep(last_token=token, acked=False, unconfirmed=unconfirmed)
    turn.send(Acknowledge(turn.next_id(), turn.point.config.number, token))


def accepted_meter(meter: Meter, volume_ml: int, amount_minor: int, fingerprint: Fingerprint) -> Meter:
    """The meter after a supervisor accepted a sale beyond its last total: the next readable total is reduced by it."""
    return replace(
        meter,
        accepted_ml=meter.accepted_ml + volume_ml,
        accepted_minor=meter.accepted_minor + amount_minor,
        last_sale=fingerprint,
    )
