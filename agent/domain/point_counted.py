"""Accounting for a pump without totalizers: its own records are the only witness, keyed by a counter of ours.

Weaker than totals, and every such sale says so. Knows records, tokens and flows; knows no total and compares none.
"""

from __future__ import annotations

from agent.domain import point_account as account
from agent.domain.booking import ACCEPTED_BY_HAND, AMOUNT_ESTIMATED, AMOUNT_MISMATCH, LIVE_VALUES, NO_TOTALS, Booking
from agent.domain.point_events import Audit, Book, CloseFuelling, Turn
from agent.domain.point_state import Live, Pending
from agent.domain.sale import SaleKind
from agent.domain.units import amount_matches, amount_of
from drivers.readings import CompletedSale, HeldSale

RECORD_READS = 5
"""A flow was seen and no record tells of it: the device is asked so often before a person must decide."""


def on_bundle(turn: Turn, bundle: CompletedSale) -> None:
    """Account for what a device without totals tells: a record is a sale once, whatever its values repeat."""
    if not account.took(turn, bundle):
        return
    held = account.told(turn, bundle.held)
    if held is not None and turn.point.config.queue and account.only_to_acknowledge(turn, held):
        account.acknowledge(turn, held.token)
        return
    fresh = None if account.is_repeated(turn, held) else held
    if turn.durable.counter is None:
        _first_contact(turn, fresh)
    elif fresh is not None and fresh.volume_ml and _is_new(turn, fresh):
        _book(turn, fresh)
        _end(turn, held, booked=True, more=turn.point.config.queue)
    elif account.flowed_ml(turn) is not None:
        _missing(turn)
    else:
        _end(turn, held, booked=False, more=turn.point.config.queue and fresh is not None)


def _first_contact(turn: Turn, held: HeldSale | None) -> None:
    """What the device holds from before our time is nobody's sale here: said, and never booked."""
    if held is not None and held.volume_ml:
        turn.emit(Audit("record_before_first_contact", f"{held.volume_ml} ml for {held.amount_minor}, not booked"))
    if held is None or not turn.point.config.queue or turn.point.monitored:
        turn.keep(counter=0)
    _end(turn, held, booked=False, more=turn.point.config.queue and held is not None)


def _is_new(turn: Turn, held: HeldSale) -> bool:
    """A queue numbers its records; a display is new where flow was seen or it shows other values than the last one."""
    if turn.point.config.queue:
        return True
    flowed = account.flowed_ml(turn)
    if flowed is not None:
        return held.volume_ml is not None and held.volume_ml >= flowed
    return not account.is_old(turn, held)


def _missing(turn: Turn) -> None:
    """Fuel flowed and no record tells how much: asked again, then kept for a person with the values last seen."""
    turn.note(mismatch_reads=turn.volatile.mismatch_reads + 1, retry_at_ms=turn.now.mono_ms + account.MOVING_RETRY_MS)
    if turn.volatile.mismatch_reads >= RECORD_READS:
        account.hold_pending(turn, None, "fuel flowed and the pump tells no record of it; no authorising until it does")


def _nozzle(turn: Turn, told: int | None) -> int:
    """The nozzle a record names, else that of the open fuelling, else the first one configured."""
    numbers, fuelling = turn.point.config.numbers, turn.durable.open
    if told in numbers:
        return told
    if fuelling is not None and fuelling.nozzle is not None:
        return fuelling.nozzle
    return numbers[0]


def _price(turn: Turn, nozzle: int, told: int | None) -> int:
    fuelling = turn.durable.open
    opened = fuelling.unit_price_milli if fuelling is not None and fuelling.nozzle == nozzle else None
    prices = (told, opened, dict(turn.volatile.prices).get(nozzle), turn.point.config.price(nozzle))
    return next(p for p in prices if p is not None)


def _book(turn: Turn, held: HeldSale) -> None:
    assert held.volume_ml is not None
    nozzle = _nozzle(turn, held.nozzle)
    price, rules = _price(turn, nozzle, held.unit_price_milli), turn.point.config.rules
    amount, flags = held.amount_minor, {NO_TOTALS}
    if amount is None:
        amount = amount_of(held.volume_ml, price, rules.exponent)
        flags.add(AMOUNT_ESTIMATED)
    elif not amount_matches(amount, held.volume_ml, price, rules.volume_resolution_ml, rules.exponent):
        flags.add(AMOUNT_MISMATCH)
    _emit(turn, nozzle, volume_ml=held.volume_ml, amount_minor=amount, price=price, flags=flags)


def _emit(turn: Turn, nozzle: int, *, volume_ml: int, amount_minor: int, price: int, flags: set[str]) -> None:
    counter = (turn.durable.counter or 0) + 1
    booking = Booking(
        nozzle=nozzle,
        kind=SaleKind.NORMAL,
        volume_ml=volume_ml,
        amount_minor=amount_minor,
        unit_price_milli=price,
        start=None,
        end=None,
        counter=counter,
        flags=tuple(sorted(flags)),
    )
    turn.keep(counter=counter)
    fuelling, ended = turn.durable.open, turn.volatile.ended_wall_ms
    ended_ms = turn.now.wall_ms if ended is None else ended
    is_its = fuelling is not None and fuelling.nozzle in (None, nozzle) and not turn.volatile.blind
    lifted_ms = fuelling.lifted_ms if fuelling is not None and is_its else None
    attendant = fuelling.attendant if fuelling is not None and is_its else None
    turn.emit(Book(booking, lifted_ms, ended_ms, attendant))


def _end(turn: Turn, held: HeldSale | None, *, booked: bool, more: bool) -> None:
    turn.keep(rebase=(), ends=None)
    if booked or not more:
        account.close_fuelling(turn, booked=booked, based=frozenset())
    if held is not None and held.volume_ml:
        turn.keep(last_held=account.display_of(held.volume_ml, held.amount_minor))
    account.settled(turn, int(booked), more)
    account.acknowledge(turn, "" if held is None else held.token)


def accept(turn: Turn, person: str, pending: Pending) -> None:
    """A supervisor accepts the values last seen of a fuelling whose record never came: booked once, by hand."""
    assert pending.volume_ml is not None
    nozzle = _nozzle(turn, pending.nozzle)
    price = _price(turn, nozzle, pending.unit_price_milli)
    flags = {NO_TOTALS, ACCEPTED_BY_HAND} | ({LIVE_VALUES} if pending.live else set())
    amount = pending.amount_minor
    if amount is None:
        amount = amount_of(pending.volume_ml, price, turn.point.config.rules.exponent)
        flags.add(AMOUNT_ESTIMATED)
    turn.emit(Audit("accept_pending", f"{person}: nozzle {nozzle}, {pending.volume_ml} ml"))
    _emit(turn, nozzle, volume_ml=pending.volume_ml, amount_minor=amount, price=price, flags=flags)
    if turn.durable.open is not None:
        turn.keep(open=None)
        turn.emit(CloseFuelling("booked"))
    turn.note(live=Live())
    account.settled(turn, 1, more=False)
    account.acknowledge(turn, pending.token)


def next_counter(turn: Turn) -> int | None:
    """Return the counter a fuelling that opens now will be booked with; ``None`` where totals are the key."""
    if turn.point.config.totals:
        return None
    return (turn.durable.counter or 0) + 1
