"""Unit prices of one fuelling point: when they may be set, what is in force, and what differs.

A price changes for all nozzles of a point together, never with a nozzle out or a fuelling open; a sale keeps the price
it began with. Knows no price table, no time of change and no offer: the prices wanted are told.
"""

from __future__ import annotations

from dataclasses import replace

from agent.domain.point_events import PriceInForce, Turn
from agent.domain.point_lowered import Rollback
from agent.domain.point_state import BUSY, HUNG, Point, PointConfig
from drivers.commands import SetPrices
from drivers.readings import FuellingPointReading

ATTEMPTS = 3
"""Quick attempts to set the same prices; afterwards the pace is slow and the difference is an alert."""

AGAIN_MS = 10_000
SLOW_MS = 300_000


def wanted(point: Point) -> tuple[tuple[int, int], ...]:
    """The unit price each nozzle should have now: the list price, or a lowered one while a roll-back stands."""
    rollback = point.durable.rollback
    if rollback is not None and rollback.stands:
        return with_lowered(point.config, rollback)
    return tuple((n.number, n.unit_price_milli) for n in point.config.nozzles)


def with_lowered(config: PointConfig, rollback: Rollback) -> tuple[tuple[int, int], ...]:
    """The prices of all nozzles while ``rollback`` stands."""
    lowered = {price.nozzle: price.unit_price_milli for price in rollback.prices}
    return tuple((n.number, lowered.get(n.number, n.unit_price_milli)) for n in config.nozzles)


def synchronise(turn: Turn) -> None:
    """Set prices where the device's differ; never with a nozzle out, an open fuelling or totals not accounted for."""
    config, seen = turn.point.config, turn.volatile
    can = config.sets_prices and turn.point.state in HUNG and not seen.out and turn.durable.open is None
    under_way = turn.waiting_for("SetPrices", "Authorise", "Preset")
    if differ(turn) and can and not under_way and not turn.durable.resets and turn.now.mono_ms >= seen.prices_at_ms:
        tried = seen.prices_tried + 1
        hurried = tried < ATTEMPTS or turn.durable.rollback is not None  # the point stays closed until it is back
        pause_ms = AGAIN_MS if hurried else SLOW_MS
        target = wanted(turn.point)
        turn.note(prices_sent=target, prices_tried=tried, prices_at_ms=turn.now.mono_ms + pause_ms)
        turn.send(SetPrices(turn.next_id(), config.number, target), str(target))


def note_shown(turn: Turn, reading: FuellingPointReading) -> None:
    """The price the device shows for a nozzle; old or new while an order to set prices is under way."""
    nozzle, price = reading.nozzle, reading.unit_price_milli
    if nozzle not in turn.point.config.numbers or price is None or reading.needs_prices:
        return
    if turn.waiting_for("SetPrices"):
        return  # its result tells
    turn.note(prices=tuple(sorted({**dict(turn.volatile.prices), nozzle: price}.items())))


def settle_in_force(turn: Turn) -> None:
    """At rest and accounted for, the price of a nozzle is the price in force at its stored total: kept, and told.

    A device that neither shows nor takes prices sells at ours.
    """
    config, seen = turn.point.config, turn.volatile
    if turn.durable.open is not None or turn.point.state not in HUNG or turn.waiting_for("SetPrices"):
        return
    shown = dict(seen.prices)
    standing = shown if config.sets_prices else {**{n.number: n.unit_price_milli for n in config.nozzles}, **shown}
    _put_in_force(turn, standing)


def _put_in_force(turn: Turn, standing: dict[int, int]) -> None:
    told = dict(turn.durable.in_force)
    changed = {nozzle: price for nozzle, price in sorted(standing.items()) if told.get(nozzle) != price}
    # a meter may have the price that was shown at its read-out, and another one was set right after
    stale = [m for m in turn.durable.meters if standing.get(m.nozzle, m.unit_price_milli) != m.unit_price_milli]
    for nozzle, price in changed.items():
        turn.emit(PriceInForce(nozzle, price))
    if stale:
        turn.replace_meters(tuple(replace(m, unit_price_milli=standing[m.nozzle]) for m in stale))
    if changed:
        turn.keep(in_force=tuple(sorted({**told, **changed}.items())))


def tell_mismatch(turn: Turn) -> None:
    """A price the device shows and nobody wants: an alert, unless it is about to be set."""
    config, seen, target = turn.point.config, turn.volatile, dict(wanted(turn.point))
    wrong = [(n, p, target[n]) for n, p in seen.prices if p != target[n]]
    about_to = config.sets_prices and not turn.point.monitored and seen.prices_tried < ATTEMPTS
    if not wrong:
        turn.alert("PRICE_MISMATCH", False)
    elif not (about_to or turn.waiting_for("SetPrices")) or turn.point.state in BUSY:
        detail = "; ".join(f"nozzle {n} shows {shown}, wanted {price}" for n, shown, price in wrong)
        turn.alert("PRICE_MISMATCH", True, detail)


def state_of(point: Point, nozzle: int) -> str:
    """How a nozzle's price stands: ``in_force``, ``lowered`` for a member who waits or fuels, ``waiting`` for rest,
    ``refused`` by the pump, or ``not_ours`` to set; ``unknown`` where nothing is known of it yet.
    """
    seen, config = point.volatile, point.config
    price = dict(point.durable.in_force).get(nozzle)
    if price == dict(wanted(point))[nozzle]:
        return "in_force" if price == config.price(nozzle) else "lowered"
    if point.monitored or not config.sets_prices:
        return "unknown" if price is None else "not_ours"
    return "refused" if seen.prices_tried >= ATTEMPTS else "waiting"


def differ(turn: Turn) -> bool:
    """Whether prices should be set: the device lacks them, shows others, or does not tell."""
    reading, shown = turn.volatile.reading, dict(turn.volatile.prices)
    if reading is not None and reading.needs_prices:
        return True
    return any(shown.get(nozzle) != price for nozzle, price in wanted(turn.point))


def were_set(turn: Turn, *, applied: bool) -> None:
    """The end of an order to set prices: what stands at rest is in force from now on."""
    if not applied:
        return
    turn.note(prices=turn.volatile.prices_sent)
    if turn.volatile.accounted and turn.durable.open is None:
        _put_in_force(turn, dict(turn.volatile.prices))
