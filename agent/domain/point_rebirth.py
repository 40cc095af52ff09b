"""Meters after a new incarnation: no litre twice though the database is old, none lost though head office is away.

Knows the stored total, the total read and the end head office tells. Knows no reason for the rebirth and no message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agent.domain.booking import Evidence, Fingerprint, Meter, Verdict, advance, compare, is_comparable, moved_raw
from agent.domain.point_events import Audit, Baseline, Book, EndsKnown, Gap, Turn
from agent.domain.point_reset import book_kept
from agent.domain.point_state import Durable, KeptSale, MeterGap, MeterReset
from agent.domain.sale import Totalizer
from agent.domain.units import half_up
from drivers.readings import HeldSale, TotalizerReading

REINCARNATED = "reincarnated"
"""The reason of a base laid by a new incarnation, and the flag of a sale that closes the gap before it."""

KNOWN_THERE = "known at head office"
"""Why litres are in no sale of this database; an empty one cannot say from where on. Should head office be put back to
before them, this is what tells it that they were."""

METER_GAP = "METER_GAP"

DAY_MS = 86_400_000


def reborn(known: Durable, nozzles: tuple[int, ...], counted: tuple[Meter, ...] = ()) -> Durable:
    """Return the durable part at the begin of a new incarnation: every stored total may be an old one.

    An open fuelling stays: a pump that still delivers shows at its end what it delivered. ``counted``: where counts
    stood by the high-water file; it tells in which epoch they go on, and nothing of what was booked.
    """
    return replace(known, rebase=tuple(sorted(nozzles)), counted=counted, ends=None)


def rebase(turn: Turn, totals: Mapping[int, TotalizerReading], held: HeldSale | None) -> frozenset[int]:
    """Settle from where each nozzle of a new incarnation counts; return those that have nothing to compare yet."""
    known = turn.durable
    waiting = tuple(n for n in known.rebase if n in totals)
    if not waiting:
        return frozenset()
    based = set()
    for nozzle in waiting:
        if known.ends is not None:
            _start_behind(turn, totals[nozzle], dict(known.ends).get(nozzle))
        elif _lay_base(turn, totals[nozzle], held):
            based.add(nozzle)
    rest = tuple(n for n in known.rebase if n not in waiting)
    turn.keep(rebase=rest, ends=known.ends if rest else None, counted=known.counted if rest else ())
    return frozenset(based)


def on_ends(turn: Turn, told: EndsKnown) -> None:
    """Head office has told its ends: close every gap; nozzles not yet read out will start behind them."""
    ends = dict(told.ends)
    if turn.durable.rebase:
        turn.keep(ends=told.ends)
    for gap in turn.durable.gaps:
        _close(turn, gap, ends.get(gap.nozzle))
    turn.keep(gaps=())
    turn.alert(METER_GAP, False)


def _start_behind(turn: Turn, total: TotalizerReading, end: Totalizer | None) -> None:
    """The later of our total and head office's end counts: what lies before it is in a sale there or here."""
    nozzle, meter = total.nozzle, turn.durable.meter(total.nozzle)
    if end is None or (meter is not None and end <= meter.total):
        return
    turn.emit(Gap(nozzle, None if meter is None else meter.total, end, total.unit_ml, KNOWN_THERE))
    _tell_not_booked(turn, nozzle, _take_kept(turn, nozzle))
    turn.emit(Baseline(nozzle, end, total.unit_ml, REINCARNATED))
    turn.replace_meters((_meter_at(turn, end, total, meter),))


def _take_kept(turn: Turn, nozzle: int) -> tuple[KeptSale, ...]:
    """What was kept for the confirmation of a meter that counts from another base now."""
    reset = turn.durable.reset(nozzle)
    turn.keep(replaced=tuple(r for r in turn.durable.replaced if r is not reset))
    return () if reset is None else reset.sales


def _tell_not_booked(turn: Turn, nozzle: int, kept: tuple[KeptSale, ...]) -> None:
    """Head office has later sales: the meter may have been confirmed, and these be booked, after the backup."""
    for booking in (sale.booking for sale in kept):
        detail = f"nozzle {nozzle}: {booking.volume_ml} ml for {booking.amount_minor} may be known at head office"
        turn.emit(Audit("kept_not_booked", detail))


def _meter_at(turn: Turn, at: Totalizer, total: TotalizerReading, before: Meter | None) -> Meter:
    """A meter that counts from ``at``; its amount total there is unknown."""
    known = dict(turn.volatile.prices).get(total.nozzle)
    return Meter(
        nozzle=total.nozzle,
        total=at,
        unit_ml=total.unit_ml,
        modulus=total.modulus,
        amount_modulus=total.amount_modulus,
        unit_price_milli=known if known is not None or before is None else before.unit_price_milli,
        last_sale=None if before is None else before.last_sale,
    )


def _lay_base(turn: Turn, total: TotalizerReading, held: HeldSale | None) -> bool:
    """Count from here on, and keep what lies between as an open gap; False where the comparison can go on as always.

    It can where nothing moved, and for the fuelling that was seen flowing: nobody else has booked that one.
    """
    nozzle, meter = total.nozzle, turn.durable.meter(total.nozzle)
    seen = _seen_flowing(turn, total, held)
    kept = turn.durable.reset(nozzle)
    epoch = max(_epoch(turn, total, meter), 0 if kept is None else kept.meter.total.epoch)
    base = Totalizer(epoch, total.raw - seen)
    if meter is not None and base == meter.total:
        return False
    at_base = total if seen == 0 else replace(total, raw=base.raw, amount_raw=None, amount_modulus=None)
    fresh = _meter_at(turn, base, total, meter)
    price = fresh.unit_price_milli
    gap = MeterGap(
        meter=meter,
        base=base,
        read=at_base,
        held=held if seen == 0 and _is_of(turn, held, nozzle) else None,
        unit_price_milli=turn.point.config.price(nozzle) if price is None else price,
        read_ms=turn.now.wall_ms,
        sales=_take_kept(turn, nozzle),
    )
    turn.emit(Baseline(nozzle, base, total.unit_ml, REINCARNATED))
    turn.replace_meters((replace(fresh, amount_raw=at_base.amount_raw),))
    turn.keep(gaps=(*turn.durable.gaps, gap))
    turn.alert(METER_GAP, True, f"nozzle {nozzle}: {_told(meter)} to {base} waits for what head office knows")
    return seen == 0


def _told(meter: Meter | None) -> str:
    return "an unknown total" if meter is None else str(meter.total)


def _epoch(turn: Turn, total: TotalizerReading, meter: Meter | None) -> int:
    """The epoch of the newest total known while the count goes on; else a new one beyond those head office may have.

    What another life of the station booked is compared within one epoch, so the epoch is left only where the count
    went back by more than a rollover explains: then it may have been replaced while nobody looked. The number of the
    day is far above what rollovers and replacements reach, so intervals never meet.
    """
    told = next((count for count in turn.durable.counted if count.nozzle == total.nozzle), None)
    newest = max((count for count in (meter, told) if count is not None), key=lambda m: m.total, default=None)
    if newest is None:
        return turn.now.wall_ms // DAY_MS
    if _is_same_count(newest, total) and total.raw >= newest.total.raw:
        return newest.total.epoch
    if is_comparable(newest, total, turn.point.config.rules):
        return advance(newest.total, moved_raw(newest, total), newest.modulus).epoch
    return max(turn.now.wall_ms // DAY_MS, newest.total.epoch + 1)


def _is_same_count(meter: Meter, total: TotalizerReading) -> bool:
    return (meter.unit_ml, meter.modulus) == (total.unit_ml, total.modulus)


def _is_of(turn: Turn, held: HeldSale | None, nozzle: int) -> bool:
    if held is None:
        return False
    return held.nozzle == nozzle if held.nozzle is not None else turn.point.config.numbers == (nozzle,)


def _seen_flowing(turn: Turn, total: TotalizerReading, held: HeldSale | None) -> int:
    """Units of the held sale, where its flow was seen by this process: it ended just now."""
    fuelling, live_ml = turn.durable.open, turn.volatile.live.volume_ml
    if held is None or not held.volume_ml or live_ml is None or fuelling is None or turn.point.config.queue:
        return 0
    is_its = fuelling.nozzle == total.nozzle and _is_of(turn, held, total.nozzle)
    if not is_its or held.volume_ml < live_ml:
        return 0
    units = half_up(held.volume_ml, total.unit_ml)
    return units if units <= total.raw else 0


def _close(turn: Turn, gap: MeterGap, end: Totalizer | None) -> None:
    """Book what lies beyond the later of both ends and say what head office has and this database has not."""
    restored = None if gap.meter is None else gap.meter.total
    start = max((t for t in (restored, end) if t is not None), default=None)
    if start is None:
        return
    unit_ml = gap.read.unit_ml
    if start != restored:
        turn.emit(Gap(gap.nozzle, restored, start, unit_ml, KNOWN_THERE))
        _tell_not_booked(turn, gap.nozzle, gap.sales)
    if not (start.epoch == gap.base.epoch and start >= gap.base):
        _book_rest(turn, gap, start)
    _raise_epoch(turn, gap, end)


def _book_rest(turn: Turn, gap: MeterGap, start: Totalizer) -> None:
    is_ours = gap.meter is not None and gap.meter.total == start
    meter = gap.meter if is_ours and gap.meter is not None else _meter_at(turn, start, gap.read, gap.meter)
    old: tuple[Fingerprint, ...] = () if meter.last_sale is None else (meter.last_sale,)
    evidence = Evidence(unit_price_milli=gap.unit_price_milli, several=True, old=old)
    # a meter that was replaced since cannot be compared with: what compare() would call METER_RESET is said, not booked
    result = compare(meter, gap.read, gap.held, evidence, turn.point.config.rules)
    if result.verdict is Verdict.METER_RESET:
        if is_ours:
            reset = MeterReset(_meter_at(turn, gap.base, gap.read, gap.meter), gap.sales)
            start = book_kept(turn, start, reset, REINCARNATED, (REINCARNATED,))
            _count_unpaid(turn, len(gap.sales))
        turn.emit(Gap(gap.nozzle, start, gap.base, gap.read.unit_ml, "not comparable, nothing booked"))
        turn.emit(Audit("gap_not_booked", f"nozzle {gap.nozzle}: {result.detail}"))
        return
    if result.bookings and not is_ours:
        turn.emit(Baseline(gap.nozzle, start, gap.read.unit_ml, REINCARNATED))
    for booking in result.bookings:
        flagged = replace(booking, flags=tuple(sorted({*booking.flags, REINCARNATED})))
        turn.emit(Book(flagged, None, gap.read_ms))
    _count_unpaid(turn, len(result.bookings))


def _count_unpaid(turn: Turn, booked: int) -> None:
    unpaid = turn.volatile.unpaid
    turn.note(unpaid=None if unpaid is None else unpaid + booked)


def _raise_epoch(turn: Turn, gap: MeterGap, end: Totalizer | None) -> None:
    """Head office counts in a later epoch: go on in it, so that its greatest end stays the newest."""
    meter = turn.durable.meter(gap.nozzle)
    if end is None or meter is None or meter.total.epoch >= end.epoch:
        return
    lifted = replace(meter, total=Totalizer(end.epoch, meter.total.raw), subs=0)
    turn.replace_meters((lifted,))
    turn.emit(Baseline(gap.nozzle, lifted.total, meter.unit_ml, REINCARNATED))
