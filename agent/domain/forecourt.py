"""One fuelling point: what changed, and what follows. ``step(point, event, now)`` is the whole of it.

Levels come in, edges are found here; a restart, a gap and normal running are one path. Pure: no clock, no store, no
port.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agent.domain import point_account as account
from agent.domain import point_control as control
from agent.domain import point_counted as counted
from agent.domain import point_prices as prices
from agent.domain import point_rebirth as rebirth
from agent.domain import point_rollback as rollback
from agent.domain import point_wishes as wishes
from agent.domain.booking import ACCEPTED_BY_HAND, AMOUNT_ESTIMATED, LIVE_VALUES, Booking, Fingerprint
from agent.domain.instant import Now
from agent.domain.point_events import (
    AcceptPending,
    Audit,
    AuthoriseByPerson,
    Book,
    CloseFuelling,
    ConfirmMeter,
    Effect,
    EndsKnown,
    Event,
    FlowStarted,
    HungZero,
    Lifted,
    OpenFuelling,
    PricesWanted,
    ResumeByPerson,
    RollbackOver,
    RollbackWanted,
    SaveLive,
    StopByPerson,
    SuspendByPerson,
    Ticked,
    Turn,
    UnpaidCount,
)
from agent.domain.point_state import (
    BUSY,
    DELIVERING,
    HUNG,
    OUT_BY_STATE,
    Live,
    Origin,
    Pending,
    Point,
    durable,
    restore,
)
from agent.domain.sale import SaleKind
from agent.domain.units import amount_of
from drivers.readings import (
    CommandResult,
    CompletedSale,
    DeviceStatus,
    FuellingPointReading,
    HeldSale,
    PointState,
    TotalizerReading,
)

SAVE_LIVE_MS = 5_000
SAVE_LIVE_ML = 5_000

CHECK_MS = 30_000
"""Where a pump may sell unseen (monitor) or a meter may come back to its senses (METER_RESET), totals are read so
often.
"""

__all__ = ["Step", "durable", "restore", "step"]


@dataclass(frozen=True, slots=True)
class Step:
    """The point after an event, what is to be done in this order, and whether ``durable(point)`` must be written."""

    point: Point
    effects: tuple[Effect, ...]
    durable_changed: bool


def step(point: Point, event: Event, now: Now) -> Step:
    """Take one event. All effects but ``Send`` are one transaction with ``durable(point)``; ``Send`` follows its
    commit.
    """
    turn = Turn(point, now)
    if point.volatile.fresh:
        _started(turn)
    _HANDLERS[type(event)](turn, event)
    rollback.note_sales(turn)
    _decide(turn)
    after = turn.point.durable
    return Step(turn.point, tuple(turn.effects), after is not point.durable and after != point.durable)


def _started(turn: Turn) -> None:
    """Commands of the last start whose end is unknown are shown, never sent again."""
    turn.note(fresh=False)
    for command in turn.durable.unconfirmed:
        control.unresolved(turn, command)
    turn.keep(unconfirmed=())
    rollback.over(turn, "the agent was restarted")


def _decide(turn: Turn) -> None:
    """What the level asks for now: read out, acknowledge and synchronise, release, authorise; in this order only."""
    control.expire(turn)
    rollback.follow(turn)
    seen = turn.volatile
    if not seen.online or seen.reading is None:
        return
    _end_if_hung(turn)
    if not turn.point.monitored:
        control.watch_authorised(turn)
        control.watch_adopted(turn)
        control.watch_lowered(turn)
    if not turn.volatile.accounted:
        _read_if_due(turn)
        return
    unsure = (turn.point.monitored or bool(turn.durable.resets)) and turn.point.state in HUNG
    if unsure and turn.now.mono_ms - turn.volatile.checked_at_ms >= CHECK_MS:
        turn.note(accounted=False)
        _read_if_due(turn)
        return
    if not turn.point.monitored:
        prices.synchronise(turn)
        control.release(turn)
        control.answer_call(turn)
    prices.settle_in_force(turn)
    prices.tell_mismatch(turn)


def _end_if_hung(turn: Turn) -> None:
    """A lifted nozzle that hangs again ends its fuelling, once the authorisation's own end is known."""
    fuelling, seen = turn.durable.open, turn.volatile
    if fuelling is None or not seen.accounted or seen.out or turn.point.state not in HUNG:
        return
    if (fuelling.lifted_ms is not None or seen.busy_seen) and not turn.waiting_for("Authorise", "Preset"):
        control.mark_ended(turn)


def _read_if_due(turn: Turn) -> None:
    seen = turn.volatile
    waiting = turn.waiting_for("Authorise", "Preset") or (turn.point.config.queue and turn.waiting_for("Acknowledge"))
    if seen.read is None and not waiting and turn.now.mono_ms >= seen.retry_at_ms and account.may_read(turn.point):
        account.begin_read(turn)


def _on_reading(turn: Turn, reading: FuellingPointReading) -> None:
    seen = turn.volatile
    if seen.restarts is not None and reading.restarts > seen.restarts:
        control.gap(turn)
    previous = turn.volatile.reading
    turn.note(reading=reading, restarts=reading.restarts, online=True)
    turn.alert("POINT_OFFLINE", False)
    _tell_device_alarms(turn, previous, reading)
    prices.note_shown(turn, reading)
    _note_lift(turn, previous, reading)
    if reading.state in DELIVERING:
        _under_way(turn, reading)
    elif reading.state is not PointState.SUSPENDED_FUELLING and _came_to_rest(turn, previous):
        control.mark_ended(turn)
    _follow_open(turn, reading)
    _note_live(turn, reading)
    if reading.state is PointState.IDLE and not turn.volatile.out:
        turn.note(armed=turn.volatile.released, authorise_tried=0, rearm=False)


def _came_to_rest(turn: Turn, previous: FuellingPointReading | None) -> bool:
    """Whether what was seen before may have delivered; a held display with the next nozzle out has not."""
    if previous is None or previous.state not in BUSY:
        return False
    return previous.state in DELIVERING or turn.durable.open is not None or not turn.volatile.accounted


def _tell_device_alarms(turn: Turn, previous: FuellingPointReading | None, reading: FuellingPointReading) -> None:
    before = () if previous is None else previous.device_alarms
    if before and reading.device_alarms and before != reading.device_alarms:
        turn.alert("DEVICE_ALARM", False)
    turn.alert("DEVICE_ALARM", bool(reading.device_alarms), ", ".join(reading.device_alarms))


def _note_lift(turn: Turn, previous: FuellingPointReading | None, reading: FuellingPointReading) -> None:
    out = reading.state in OUT_BY_STATE if reading.nozzle_out is None else reading.nozzle_out
    was = turn.volatile.out
    turn.note(out=out)
    if out and not was:
        # a nozzle that was out at first sight was lifted at a time nobody saw
        lifted_ms = None if previous is None else turn.now.wall_ms
        turn.note(lifted_wall_ms=lifted_ms, lifted_nozzle=reading.nozzle, out_at_ms=turn.now.mono_ms)
        fuelling = turn.durable.open
        if fuelling is None or fuelling.lifted_ms is None:
            turn.emit(Lifted(reading.nozzle))
    elif was and not out:
        nozzle = turn.volatile.lifted_nozzle
        turn.note(lifted_wall_ms=None, lifted_nozzle=None)
        if (
            turn.durable.open is None
            and turn.volatile.accounted
            and previous is not None
            and previous.state not in BUSY
        ):
            turn.emit(HungZero(nozzle))


def _under_way(turn: Turn, reading: FuellingPointReading) -> None:
    """A flow runs or may start: an end not yet compared is overtaken, and a fuelling without record is adopted."""
    seen = turn.volatile
    if seen.ended_wall_ms is not None and turn.durable.open is not None:
        # what was seen flowing before the end says nothing about the display of this flow
        turn.keep(open=replace(turn.durable.open, live_volume_ml=None, live_amount_minor=None))
        turn.note(live=Live())
    turn.note(busy_seen=True, ended_wall_ms=None, rearm=False, read_disturbed=True)
    turn.alert("AUTHORISE_FAILED", False)
    if reading.state is PointState.FUELLING and seen.accounted:
        turn.note(accounted=False)
    if turn.durable.open is None:
        origin = Origin.MONITORED if turn.point.monitored else Origin.FOUND
        control.open_fuelling(turn, _configured(turn, reading.nozzle), origin)
        turn.note(busy_seen=True)
        if not turn.point.monitored:
            turn.alert("UNKNOWN_AUTHORISATION", True, f"found {reading.state} without a record of ours")


def _configured(turn: Turn, nozzle: int | None) -> int | None:
    numbers = turn.point.config.numbers
    if nozzle in numbers:
        return nozzle
    return numbers[0] if len(numbers) == 1 else None


def _follow_open(turn: Turn, reading: FuellingPointReading) -> None:
    """The record follows the nozzle that is really taken, and learns of the lift; a monitored point opens at the
    lift.
    """
    fuelling, seen = turn.durable.open, turn.volatile
    if fuelling is None:
        if turn.point.monitored and reading.state is PointState.CALLING and seen.accounted and not turn.durable.resets:
            control.open_fuelling(turn, _configured(turn, reading.nozzle), Origin.MONITORED)
        return
    if not seen.out or seen.ended_wall_ms is not None or reading.state is PointState.SUSPENDED_FUELLING:
        return
    nozzle = _configured(turn, reading.nozzle)
    changed = fuelling
    if nozzle not in (None, fuelling.nozzle) and not seen.live.flowing:
        meter = turn.durable.meter(nozzle)
        changed = replace(changed, nozzle=nozzle, start=None if meter is None else meter.total)
    if changed.lifted_ms is None and seen.lifted_wall_ms is not None:
        changed = replace(changed, lifted_ms=seen.lifted_wall_ms)
    if changed != fuelling:
        turn.keep(open=changed)
        turn.emit(OpenFuelling(changed))


def _note_live(turn: Turn, reading: FuellingPointReading) -> None:
    """Flow is a volume that rises while fuelling; live values become durable every 5 s or 5 L only."""
    volume, live = reading.volume_ml, turn.volatile.live
    if turn.durable.open is None or volume is None or turn.volatile.ended_wall_ms is not None:
        return
    if reading.state is PointState.SUSPENDED_FUELLING and not live.flowing:
        return
    floor = volume if live.floor_ml is None else min(live.floor_ml, volume)
    rising = reading.state in (PointState.FUELLING, PointState.SUSPENDED_FUELLING) and (
        volume > floor or _shows_another(turn, reading)
    )
    if not rising or (live.volume_ml is not None and volume < live.volume_ml):
        turn.note(live=replace(live, floor_ml=floor))
        return
    if not live.flowing:
        # without totals nothing else tells after a crash that fuel flowed: the first sight of it is kept at once
        live = Live(saved_at_ms=turn.now.mono_ms if turn.point.config.totals else turn.now.mono_ms - SAVE_LIVE_MS)
        turn.emit(FlowStarted(turn.durable.open.nozzle))
    live = replace(live, floor_ml=floor, volume_ml=volume, amount_minor=reading.amount_minor)
    if turn.now.mono_ms - live.saved_at_ms >= SAVE_LIVE_MS or volume - live.saved_ml >= SAVE_LIVE_ML:
        live = replace(live, saved_at_ms=turn.now.mono_ms, saved_ml=volume)
        turn.keep(open=replace(turn.durable.open, live_volume_ml=volume, live_amount_minor=reading.amount_minor))
        turn.emit(SaveLive(volume, reading.amount_minor))
    turn.note(live=live)


def _shows_another(turn: Turn, reading: FuellingPointReading) -> bool:
    """Without totals a display that left the last sale's value while fuelling is the proof of a flow."""
    last = turn.durable.last_held
    return (
        not turn.point.config.totals
        and bool(reading.volume_ml)
        and last is not None
        and (reading.volume_ml != last.volume_ml)
    )


def _on_bundle(turn: Turn, bundle: CompletedSale) -> None:
    accounting = account if turn.point.config.totals else counted
    accounting.on_bundle(turn, bundle)


def _on_status(turn: Turn, status: DeviceStatus) -> None:
    if not status.online or status.gap:
        control.gap(turn)
    turn.note(online=status.online)
    turn.alert("POINT_OFFLINE", not status.online, status.reason)


def _on_totalizer(turn: Turn, total: TotalizerReading) -> None:
    """A total read on its own books nothing; where it moved at rest, a read-out is due."""
    meter = turn.durable.meter(total.nozzle)
    if meter is not None and turn.point.state in HUNG and total.raw != meter.total.raw:
        turn.note(accounted=False)


def _on_held(turn: Turn, held: HeldSale) -> None:
    """A held sale read on its own books nothing; one not accounted for makes a read-out due."""
    last = turn.durable.last_held
    numbered = turn.point.config.queue and held.token not in ("", turn.durable.last_token)
    if turn.point.state in HUNG and held.volume_ml and (numbered or last is None or not last.shows(held)):
        turn.note(accounted=False)


def _on_confirm(turn: Turn, wish: ConfirmMeter) -> None:
    if wish.nozzle not in turn.durable.resets:
        turn.emit(Audit("confirm_meter_refused", f"{wish.person}: nozzle {wish.nozzle} is not in METER_RESET"))
        return
    others = tuple(c for c in turn.volatile.confirms if c[0] != wish.nozzle)
    turn.note(confirms=(*others, (wish.nozzle, wish.person)), accounted=False, retry_at_ms=0)
    turn.emit(Audit("confirm_meter", f"{wish.person}: nozzle {wish.nozzle}"))


def _on_accept(turn: Turn, wish: AcceptPending) -> None:
    """Book the provisional sale by a supervisor's hand: its end total is unknown, so the next readable total is
    reduced by it.
    """
    pending, config = turn.durable.pending, turn.point.config
    nozzle = wish.nozzle if pending is None or pending.nozzle is None else pending.nozzle
    meter = turn.durable.meter(nozzle)
    if pending is None or pending.volume_ml is None or (config.totals and meter is None):
        turn.emit(Audit("accept_pending_refused", f"{wish.person}: no sale with values and a known nozzle is pending"))
        return
    waited_ms = turn.now.wall_ms - pending.since_ms
    if waited_ms < config.accept_after_ms:
        turn.emit(Audit("accept_pending_refused", f"{wish.person}: unreadable for {waited_ms} ms only"))
        return
    if meter is None:
        counted.accept(turn, wish.person, pending)
        return
    booking = _by_hand(turn, pending, meter.nozzle)
    fuelling, ended = turn.durable.open, turn.volatile.ended_wall_ms
    turn.emit(Audit("accept_pending", f"{wish.person}: nozzle {meter.nozzle}, {booking.volume_ml} ml"))
    lifted_ms, attendant = (None, None) if fuelling is None else (fuelling.lifted_ms, fuelling.attendant)
    turn.emit(Book(booking, lifted_ms, pending.since_ms if ended is None else ended, attendant))
    if fuelling is not None:
        turn.emit(CloseFuelling("booked"))
    sold = Fingerprint(meter.nozzle, booking.volume_ml, pending.amount_minor, pending.unit_price_milli)
    after = account.accepted_meter(meter, booking.volume_ml, booking.amount_minor, sold)
    held = account.display_of(booking.volume_ml, pending.amount_minor)
    turn.keep(
        open=None,
        pending=Pending(since_ms=turn.now.wall_ms),
        last_held=held if not pending.live else turn.durable.last_held,
        meters=tuple(after if m is meter else m for m in turn.durable.meters),
    )
    unpaid = turn.volatile.unpaid
    turn.note(live=Live(), ended_wall_ms=None, busy_seen=False, unpaid=None if unpaid is None else unpaid + 1)
    if not pending.live:
        account.acknowledge(turn, pending.token)


def _by_hand(turn: Turn, pending: Pending, nozzle: int) -> Booking:
    meter = turn.durable.meter(nozzle)
    assert meter is not None
    assert pending.volume_ml is not None
    known = (pending.unit_price_milli, meter.unit_price_milli, turn.point.config.price(nozzle))
    price = next(p for p in known if p is not None)
    flags = {ACCEPTED_BY_HAND} | ({LIVE_VALUES} if pending.live else set())
    amount = pending.amount_minor
    if amount is None:
        amount = amount_of(pending.volume_ml, price, turn.point.config.rules.exponent)
        flags.add(AMOUNT_ESTIMATED)
    return Booking(
        nozzle, SaleKind.NORMAL, pending.volume_ml, amount, price, meter.total, None, flags=tuple(sorted(flags))
    )


def _on_prices(turn: Turn, wish: PricesWanted) -> None:
    wanted = dict(wish.prices)
    nozzles = tuple(
        replace(n, unit_price_milli=wanted.get(n.number, n.unit_price_milli)) for n in turn.point.config.nozzles
    )
    if nozzles != turn.point.config.nozzles:
        turn.point = replace(turn.point, config=replace(turn.point.config, nozzles=nozzles))
        turn.note(prices_tried=0, prices_at_ms=0)
        known = turn.durable.rollback
        if known is not None and any(
            wanted.get(p.nozzle, p.list_price_milli) != p.list_price_milli for p in known.prices
        ):
            rollback.over(turn, "the list price has changed")


def _on_unpaid(turn: Turn, told: UnpaidCount) -> None:
    turn.note(unpaid=told.count)


def _on_tick(_turn: Turn, _event: Ticked) -> None:
    """Time alone: what it brings is decided after every event."""


_HANDLERS: dict[type[Any], Callable[[Turn, Any], None]] = {
    FuellingPointReading: _on_reading,
    CompletedSale: _on_bundle,
    CommandResult: control.on_result,
    TotalizerReading: _on_totalizer,
    HeldSale: _on_held,
    DeviceStatus: _on_status,
    Ticked: _on_tick,
    ConfirmMeter: _on_confirm,
    AcceptPending: _on_accept,
    PricesWanted: _on_prices,
    RollbackWanted: rollback.want,
    RollbackOver: rollback.withdraw,
    UnpaidCount: _on_unpaid,
    AuthoriseByPerson: wishes.authorise,
    StopByPerson: wishes.stop,
    SuspendByPerson: wishes.suspend,
    ResumeByPerson: wishes.resume,
    EndsKnown: rebirth.on_ends,
}
