"""Letting a point deliver and keeping its prices: what is sent, when, and what its result means.

Every decision is taken from the state that was read, never from a command's memory. Knows no comparing of totals.
"""

from __future__ import annotations

from agent.domain import point_prices as prices
from agent.domain import point_rollback as rollback
from agent.domain.point_account import ACK_ATTEMPTS, MOVING_RETRY_MS, PENDING_RETRY_MS, hold_pending
from agent.domain.point_counted import next_counter
from agent.domain.point_events import (
    Audit,
    AuthoriseByPerson,
    NeedsReconciliation,
    OpenFuelling,
    Turn,
)
from agent.domain.point_state import BUSY, HUNG, ControlMode, Fuelling, Inflight, Origin, Unconfirmed
from drivers.commands import Authorise, Preset, Stop
from drivers.readings import CommandOutcome, CommandResult, PointState

COMMAND_LIMITS_MS = {
    "Authorise": 30_000,
    "Preset": 30_000,
    "Stop": 30_000,
    "Suspend": 30_000,
    "Resume": 30_000,
    "SetPrices": 60_000,
}
"""A command without an end after this long counts as UNKNOWN: far above every protocol's own limit."""

QUEUE_ACK_LIMIT_MS = 30_000
"""A queue's acknowledgement is answered at once; a RESET permission may rightly wait for the next lift."""

READ_LIMIT_MS = 60_000
"""A read-out without an end after this long is asked again: five tries for each of several nozzles take seconds."""

READ_FAILURES = 5
"""Read-outs that came back with nothing, in a row, before the totals count as not readable."""

STILL_CALLING_MS = 15_000
"""An authorised point that still calls after this long did not take it: totals are read and the decision taken anew."""

AUTHORISE_AGAIN_MS = 5_000
"""Pause before the read-out that precedes a new decision."""

AUTHORISE_ATTEMPTS = 3
"""Decisions to authorise the same lift before an alert asks for a person."""

STOP_AGAIN_MS = 10_000
"""STOP may be repeated freely; so often it is."""

ACK_SLOW_MS = 60_000


MONITORED = "control is monitor, which only reads"
UNRESOLVED_SHOWN = 5
"""Commands whose end nobody knows, kept for people to see: the newest of this start."""


def blocked_by(turn: Turn) -> str | None:
    """Return why this point may not be authorised now, ``None`` when it may."""
    known, seen = turn.durable, turn.volatile
    reasons = (
        (not seen.online or seen.reading is None, "the point is offline"),
        (bool(known.resets), "a meter waits for confirmation (pumps confirm-meter)"),
        (known.pending is not None, "the last sale is pending (sales accept-pending)"),
        (not seen.accounted, "the last sale is being read out"),
        (not seen.released, "prices are being synchronised after a start or a gap"),
        (known.open is not None, "a fuelling is already open"),
        (turn.waiting_for("SetPrices", "Authorise", "Preset"), "a command is under way"),
        (seen.reading is not None and seen.reading.needs_prices, "the pump has no prices"),
        (rollback.in_the_way(turn), "the list price is not back after a lowered one; hang up and lift again"),
        (_unpaid_limit(turn), f"{seen.unpaid} sales are unpaid"),
        (_no_base(turn), "a nozzle has no baseline"),
    )
    return next((text for stands, text in reasons if stands), None)


def _no_base(turn: Turn) -> bool:
    config, known = turn.point.config, turn.durable
    return any(known.meter(n) is None for n in config.numbers) if config.totals else known.counter is None


def _unpaid_limit(turn: Turn) -> bool:
    limit, unpaid = turn.point.config.unpaid_max, turn.volatile.unpaid
    return limit is not None and (unpaid is None or unpaid >= limit)


def mark_ended(turn: Turn, retry_after_ms: int = 0) -> None:
    """The end of a fuelling was seen: its totals are due."""
    ended = turn.volatile.ended_wall_ms
    turn.note(
        accounted=False,
        ended_wall_ms=turn.now.wall_ms if ended is None else ended,
        retry_at_ms=turn.now.mono_ms + retry_after_ms,
    )


def gap(turn: Turn) -> None:
    """Readings may have been missed: only reads until everything is accounted for again."""
    rollback.over(turn, "sight of the point was lost")
    turn.note(
        reading=None,
        accounted=False,
        released=False,
        armed=False,
        blind=True,
        rearm=False,
        read=None,
        retry_at_ms=0,
        prices=(),
        prices_tried=0,
        prices_at_ms=0,
        out=False,
        lifted_wall_ms=None,
    )


def answer_call(turn: Turn) -> None:
    """Mode auto: authorise a lift that was seen after the release, once nothing stands against it."""
    reading = turn.volatile.reading
    if turn.point.config.mode is not ControlMode.AUTO or not turn.volatile.armed or reading is None:
        return
    if reading.state is not PointState.CALLING or blocked_by(turn) is not None:
        return
    numbers = turn.point.config.numbers
    nozzle = reading.nozzle if reading.nozzle is not None else (numbers[0] if len(numbers) == 1 else None)
    if nozzle is not None and nozzle not in numbers:
        return
    turn.note(armed=False)
    open_fuelling(turn, nozzle, Origin.AUTO)
    let_go(turn)


def open_fuelling(turn: Turn, nozzle: int | None, origin: Origin, wish: AuthoriseByPerson | None = None) -> None:
    """Write down that a fuelling is open, before anything lets it deliver."""
    meter = turn.durable.meter(nozzle)
    decided = origin in (Origin.AUTO, Origin.PERSON)
    preset_ml, preset_minor = rollback.limits(turn, nozzle, wish) if decided else (None, None)
    fuelling = Fuelling(
        nozzle=nozzle,
        start=None if meter is None else meter.total,
        unit_price_milli=dict(turn.volatile.prices).get(nozzle or 0, None if meter is None else meter.unit_price_milli),
        opened_ms=turn.now.wall_ms,
        lifted_ms=turn.volatile.lifted_wall_ms,
        boot=turn.point.config.boot,
        origin=origin,
        attendant=None if wish is None else wish.person,
        preset_volume_ml=preset_ml,
        preset_amount_minor=preset_minor,
        counter=next_counter(turn),
    )
    turn.keep(open=fuelling)
    turn.note(busy_seen=False)
    turn.emit(OpenFuelling(fuelling))
    rollback.serve(turn)


def let_go(turn: Turn) -> None:
    """Let the open fuelling deliver; one with a limit only once the pump has that."""
    fuelling = turn.durable.open
    assert fuelling is not None
    volume_ml, amount_minor = fuelling.preset_volume_ml, fuelling.preset_amount_minor
    if volume_ml is None and amount_minor is None:
        authorise(turn)
    else:
        turn.send(Preset(turn.next_id(), turn.point.config.number, volume_ml, amount_minor))


def authorise(turn: Turn) -> None:
    """Let the open fuelling, which is on disk by the time this leaves, deliver."""
    fuelling = turn.durable.open
    assert fuelling is not None
    nozzles = () if fuelling.nozzle is None else (fuelling.nozzle,)
    turn.send(Authorise(turn.next_id(), turn.point.config.number, nozzles), f"nozzles {nozzles or 'all'}")
    turn.note(authorised_at_ms=turn.now.mono_ms, authorise_tried=turn.volatile.authorise_tried + 1)


def stop(turn: Turn, why: str) -> None:
    """End delivery now; refused only where we do nothing but read, or the pump takes no such order."""
    turn.note(stop_at_ms=turn.now.mono_ms + STOP_AGAIN_MS)
    reason = MONITORED if turn.point.monitored else None
    if reason is None and not turn.point.config.stops:
        reason = "this pump takes no stop from us; stop it at the pump"
    if reason is not None:
        turn.emit(Audit("stop_refused", f"{why}: {reason}"))
        return
    turn.emit(Audit("stop", why))
    turn.send(Stop(turn.next_id(), turn.point.config.number))


def watch_authorised(turn: Turn) -> None:
    """An authorisation of ours that nothing came of: stopped when never lifted, decided anew when the nozzle still
    calls.
    """
    fuelling, seen = turn.durable.open, turn.volatile
    if (
        fuelling is None
        or fuelling.origin not in (Origin.AUTO, Origin.PERSON)
        or turn.waiting_for("Authorise", "Preset")
    ):
        return
    if seen.live.flowing or not seen.accounted:
        return
    limit_ms = turn.point.config.authorised_limit_ms
    if seen.authorised_at_ms is None:
        passed_ms = min(max(turn.now.wall_ms - fuelling.opened_ms, 0), limit_ms)
        turn.note(authorised_at_ms=turn.now.mono_ms - passed_ms)
        return
    waited_ms = turn.now.mono_ms - seen.authorised_at_ms
    calling_ms = turn.now.mono_ms - max(seen.authorised_at_ms, seen.out_at_ms)
    if turn.point.state is PointState.CALLING and calling_ms >= STILL_CALLING_MS:
        _not_taken(turn, "still calling")
        return
    reading = seen.reading
    hung_again = fuelling.lifted_ms is not None and reading is not None and reading.nozzle_out is False
    overdue = turn.point.state is PointState.IDLE and waited_ms >= limit_ms
    unwanted = turn.point.state is PointState.AUTHORISED and (hung_again or waited_ms >= limit_ms)
    if not (overdue or unwanted):
        return
    if not turn.point.config.stops:
        _cannot_stop(turn, waiting=unwanted)
    elif turn.now.mono_ms >= seen.stop_at_ms and not turn.waiting_for("Stop"):
        stop(turn, "authorised and not lifted in time")


def watch_lowered(turn: Turn) -> None:
    """An authorisation at a lowered price whose member has gone is stopped before anybody lifts."""
    seen = turn.volatile
    unlifted = turn.point.state is PointState.AUTHORISED and not seen.out and not seen.live.flowing
    if not (unlifted and rollback.is_nobodys(turn) and turn.point.config.stops):
        return
    if turn.now.mono_ms >= seen.stop_at_ms and not turn.waiting_for("Stop", "Authorise", "Preset"):
        stop(turn, "authorised at a lowered price, and the member has gone")


def _cannot_stop(turn: Turn, *, waiting: bool) -> None:
    """The limit has passed at a pump that takes no stop: a person must see to it, or the state says it is over."""
    if waiting:
        turn.alert("AUTHORISE_FAILED", True, "authorised and not lifted in time; this pump takes no stop from us")
    else:
        mark_ended(turn)


def _not_taken(turn: Turn, why: str) -> None:
    """The authorisation did not show: read totals first; only then, if the nozzle still calls, decide anew."""
    fuelling, tried = turn.durable.open, turn.volatile.authorise_tried
    again = fuelling is not None and fuelling.origin is Origin.AUTO and tried < AUTHORISE_ATTEMPTS
    turn.note(rearm=again)
    if not again:
        turn.alert("AUTHORISE_FAILED", True, f"{why} after {tried} attempts; hang up and lift again")
    if turn.point.state not in BUSY:
        mark_ended(turn, AUTHORISE_AGAIN_MS)


def watch_adopted(turn: Turn) -> None:
    """A fuelling of an earlier start that is authorised and was never lifted ends at its limit, too."""
    fuelling = turn.durable.open
    if fuelling is None or turn.volatile.accounted or turn.point.state is not PointState.AUTHORISED:
        return
    if fuelling.origin not in (Origin.AUTO, Origin.PERSON) or turn.volatile.live.flowing:
        return
    passed_ms = turn.now.wall_ms - fuelling.opened_ms
    if passed_ms < turn.point.config.authorised_limit_ms:
        return
    if not turn.point.config.stops:
        _cannot_stop(turn, waiting=True)
    elif turn.now.mono_ms >= turn.volatile.stop_at_ms:
        stop(turn, "authorised before the start and not lifted in time")


def release(turn: Turn) -> None:
    """Section 7, last step: from now on lifts are answered; one that was already out must be hung up first."""
    seen = turn.volatile
    settable = turn.point.config.sets_prices and seen.prices_tried < prices.ATTEMPTS and prices.differ(turn)
    if seen.released or turn.durable.resets or settable or turn.waiting_for("SetPrices"):
        return
    turn.note(released=True, armed=turn.point.state is PointState.IDLE and not seen.out)


def on_result(turn: Turn, result: CommandResult) -> None:
    """The end of a command: what it means is decided with the state that is read."""
    if result.outcome is CommandOutcome.LINK_ACKED:
        return
    read = turn.volatile.read
    if read is not None and read.command_id == result.command_id:
        read_failed(turn)
        return
    sent = next((s for s in turn.volatile.inflight if s.command_id == result.command_id), None)
    if sent is not None:
        _ended(turn, sent, result.outcome, result.detail)


def read_failed(turn: Turn) -> None:
    """A read-out ended without its bundle: ask again; after several in a row the totals count as not readable."""
    failures = turn.volatile.read_failures + 1
    turn.note(read=None, read_failures=failures, retry_at_ms=turn.now.mono_ms + MOVING_RETRY_MS)
    if failures >= READ_FAILURES:
        hold_pending(turn, None)


def expire(turn: Turn) -> None:
    """Commands and read-outs whose end is overdue count as UNKNOWN."""
    read, now_ms = turn.volatile.read, turn.now.mono_ms
    if read is not None and now_ms - read.sent_ms >= READ_LIMIT_MS:
        read_failed(turn)
    for sent in turn.volatile.inflight:
        limit_ms = COMMAND_LIMITS_MS.get(sent.kind, QUEUE_ACK_LIMIT_MS if turn.point.config.queue else None)
        if limit_ms is not None and now_ms - sent.sent_ms >= limit_ms:
            _ended(turn, sent, CommandOutcome.UNKNOWN, "no end within its limit")


def unresolved(turn: Turn, command: Unconfirmed) -> None:
    """A command whose end nobody knows: shown until one of its kind has succeeded, and never sent again."""
    turn.note(unresolved=(*turn.volatile.unresolved, command)[-UNRESOLVED_SHOWN:])
    turn.emit(NeedsReconciliation(command))


def _ended(turn: Turn, sent: Inflight, outcome: CommandOutcome, detail: str) -> None:
    written = next((u for u in turn.durable.unconfirmed if u.command_id == sent.command_id), None)
    turn.note(inflight=tuple(s for s in turn.volatile.inflight if s != sent))
    turn.keep(unconfirmed=tuple(u for u in turn.durable.unconfirmed if u != written))
    if outcome is CommandOutcome.UNKNOWN:
        unresolved(turn, written or Unconfirmed(sent.command_id, sent.kind))
    elif outcome is CommandOutcome.REFUSED:
        turn.emit(Audit("command_refused", f"{sent.kind} {sent.command_id}: {detail}"))
    applied = outcome is CommandOutcome.APPLIED
    if applied:
        turn.note(unresolved=tuple(u for u in turn.volatile.unresolved if u.kind != sent.kind))
    if sent.kind == "Acknowledge":
        _acknowledged(turn, sent, applied)
    elif sent.kind == "SetPrices":
        prices.were_set(turn, applied=applied)
        rollback.order_ended(turn, applied=applied, detail=detail)
    elif sent.kind == "Preset":
        _preset_ended(turn, applied, detail)
    elif sent.kind == "Authorise":
        _authorise_ended(turn, outcome)
    elif sent.kind == "Stop" and applied and turn.durable.open is not None and turn.point.state in HUNG:
        mark_ended(turn)


def _acknowledged(turn: Turn, sent: Inflight, applied: bool) -> None:
    if applied:
        turn.keep(acked=True)
        turn.note(ack_failures=0)
        turn.alert("ACKNOWLEDGE_FAILED", False)
        if turn.point.config.queue and turn.durable.last_token:
            turn.note(accounted=False, retry_at_ms=0)  # the next record, or nothing more
        return
    failures = turn.volatile.ack_failures + 1
    slow = failures >= ACK_ATTEMPTS
    if slow:
        turn.alert("ACKNOWLEDGE_FAILED", True, f"{sent.command_id}: the pump does not confirm")
    pause_ms = ACK_SLOW_MS if slow else PENDING_RETRY_MS
    turn.note(ack_failures=failures, accounted=False, retry_at_ms=turn.now.mono_ms + pause_ms)


def _preset_ended(turn: Turn, applied: bool, detail: str) -> None:
    """The preset stands: only now may the pump deliver. It does not: nothing is authorised."""
    if turn.durable.open is None:
        return
    ready = turn.volatile.accounted and turn.volatile.released and turn.point.state not in BUSY
    if applied and ready:
        authorise(turn)
        return
    turn.emit(Audit("preset_failed", detail or "the preset was not confirmed; nothing was authorised"))
    rollback.over(turn, "the pump took no preset")
    if turn.point.state not in BUSY:
        mark_ended(turn)


def _authorise_ended(turn: Turn, outcome: CommandOutcome) -> None:
    if outcome is CommandOutcome.APPLIED or turn.durable.open is None or turn.point.state in BUSY:
        return
    if outcome is CommandOutcome.REFUSED:
        turn.note(rearm=False)
        turn.alert("AUTHORISE_FAILED", True, "the pump refused")
        mark_ended(turn)
        return
    _not_taken(turn, "no answer")
