"""A meter that waits for a supervisor: what is sold over it is kept, and booked once with the confirmation.

Knows the count that broke off, the new one, and what display, live values and flow tell. Knows no device and no store.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.domain.booking import (
    LIVE_VALUES,
    Booking,
    Evidence,
    Fingerprint,
    Meter,
    Rules,
    advance,
    compare,
    is_comparable,
)
from agent.domain.point_events import Baseline, Book, Gap, Turn
from agent.domain.point_state import KeptSale, MeterReset, Pending
from agent.domain.sale import SaleKind, Totalizer
from agent.domain.units import half_up
from drivers.readings import HeldSale, TotalizerReading

WITH_FUELLING = "perhaps with a fuelling"
"""Begins the reason of a gap in which a fuelling may lie whose display nobody read."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One read-out of a nozzle in METER_RESET. ``held``: the display where it is this nozzle's; ``last``: what else
    tells of its fuelling, pending or live values. ``shown``: the display last accounted for.

    ``doubtful``: a fuelling may have been missed. Times and attendant are those of the fuelling that ended.
    """

    total: TotalizerReading
    held: HeldSale | None
    last: Pending | None
    shown: Fingerprint | None
    evidence: Evidence
    rules: Rules
    doubtful: bool
    lifted_ms: int | None
    ended_ms: int
    attendant: str | None


@dataclass(frozen=True, slots=True)
class Followed:
    """What is kept after a read-out; ``mismatch``: the display tells more than the new meter counted."""

    reset: MeterReset
    mismatch: bool = False


def follow(meter: Meter, known: MeterReset | None, seen: Seen) -> Followed:
    """Take a read-out while ``meter``, the stored count, waits for confirmation; ``known``: what is kept so far.

    At the break the display is the only witness; from then on the new count is one. It alone proves nothing yet.
    """
    if known is None or not is_comparable(known.meter, seen.total, seen.rules):
        return Followed(_broken_off(meter, known, seen))
    if seen.total.raw == known.meter.total.raw:
        late = _told_late(meter, known, seen)
        if late is not None:
            return Followed(late)
    result = compare(known.meter, seen.total, seen.held, seen.evidence, seen.rules)
    told = [b for b in result.bookings if b.kind is SaleKind.NORMAL or seen.evidence.live_ml is not None]
    after = result.meter if told else replace(result.meter, last_sale=known.meter.last_sale)
    sales = (*known.sales, *(_kept(booking, seen) for booking in told))
    return Followed(MeterReset(after, sales, known.doubtful), result.mismatch)


def confirm(turn: Turn, reset: MeterReset, person: str) -> None:
    """The supervisor's new base: book what was kept, say where the chain of counts broke, go on from the new count."""
    meter = turn.durable.meter(reset.nozzle)
    assert meter is not None
    at = book_kept(turn, _end_of(meter), reset, f"confirmed by {person}")
    if at != reset.meter.total:
        _base(turn, at, reset, reset.meter.total, f"confirmed by {person}")
    turn.replace_meters((reset.meter,))


def book_kept(turn: Turn, at: Totalizer, reset: MeterReset, reason: str, flags: tuple[str, ...] = ()) -> Totalizer:
    """Book what was kept, behind ``at``, each break of the count with a base of its own; return where it ends."""
    for sale in reset.sales:
        booking = replace(sale.booking, flags=tuple(sorted({*sale.booking.flags, *flags})))
        assert booking.start is not None, "only a nozzle with totals waits for a confirmation"
        if booking.start != at:
            _base(turn, at, reset, booking.start, reason)
        turn.emit(Book(booking, sale.lifted_ms, sale.ended_ms, sale.attendant))
        assert booking.end is not None
        at = booking.end
    return at


def _base(turn: Turn, at: Totalizer, reset: MeterReset, base: Totalizer, reason: str) -> None:
    named = f"{WITH_FUELLING}, {reason}" if reset.doubtful else reason
    turn.emit(Baseline(reset.nozzle, base, reset.meter.unit_ml, reason))
    turn.emit(Gap(reset.nozzle, at, base, reset.meter.unit_ml, named))


def _end_of(meter: Meter) -> Totalizer:
    """Where the stored count ends, a sale accepted by hand included."""
    return advance(meter.total, half_up(meter.accepted_ml, meter.unit_ml), meter.modulus)


def _broken_off(meter: Meter, known: MeterReset | None, seen: Seen) -> MeterReset:
    """The first reading of a count that does not go on from the last one."""
    sales = () if known is None else known.sales
    before = known.meter if known is not None and known.sales else meter
    base = replace(
        before,
        total=Totalizer(before.total.epoch + 1, seen.total.raw),
        unit_ml=seen.total.unit_ml,
        modulus=seen.total.modulus,
        amount_raw=seen.total.amount_raw,
        amount_modulus=seen.total.amount_modulus,
        unit_price_milli=seen.evidence.unit_price_milli,
        subs=0,
        accepted_ml=0,
        accepted_minor=0,
    )
    told = _display(seen) or seen.last
    doubtful = (known is not None and known.doubtful) or (told.live if told is not None else seen.doubtful)
    after, booking = (base, None) if told is None else _placed(before, base, told, seen)
    kept = () if booking is None else (_kept(booking, seen),)
    return MeterReset(after, (*sales, *kept), doubtful)


def _told_late(meter: Meter, known: MeterReset, seen: Seen) -> MeterReset | None:
    """A display read after the break only, while the new count stands: it takes the place of live values or nothing."""
    last = known.sales[-1] if known.sales else None
    told = _display(seen)
    if told is None or told.volume_ml is None or not (last is None or LIVE_VALUES in last.booking.flags):
        return None
    if last is not None and told.volume_ml < last.booking.volume_ml:
        return None
    before = replace(known, sales=known.sales[:-1], doubtful=False)
    again = _broken_off(meter, before, seen)
    if last is None or not again.sales:
        return again
    times = replace(again.sales[-1], lifted_ms=last.lifted_ms, ended_ms=last.ended_ms, attendant=last.attendant)
    return replace(again, sales=(*again.sales[:-1], times))


def _display(seen: Seen) -> Pending | None:
    """The display, where it is of a fuelling that is in no account yet."""
    held, live_ml = seen.held, seen.evidence.live_ml
    if held is None or not held.volume_ml:
        return None
    is_old = seen.shown is not None and seen.shown.shows(held)
    is_of_flow = live_ml is not None and held.volume_ml + seen.total.unit_ml >= live_ml
    if is_old if live_ml is None else not is_of_flow:
        return None
    return Pending(0, held.nozzle, held.volume_ml, held.amount_minor, held.unit_price_milli, held.token)


def _placed(before: Meter, base: Meter, told: Pending, seen: Seen) -> tuple[Meter, Booking | None]:
    """Return the new count behind what was told, and its booking.

    The new meter has counted it, so its base lies before it; where that cannot be, it is the end of the old count.
    """
    assert told.volume_ml is not None
    total = seen.total
    held = HeldSale(
        total.fuelling_point, base.nozzle, told.volume_ml, told.amount_minor, told.unit_price_milli, told.token
    )
    evidence = replace(seen.evidence, live_ml=None, fuelling=False, old=(), oldest_first=False)
    units = max(1, half_up(told.volume_ml, base.unit_ml))
    if units <= total.raw:
        start = replace(base, total=Totalizer(base.total.epoch, total.raw - units), amount_raw=None)
        result = compare(start, total, held, evidence, seen.rules)
        after = result.meter
    else:
        start = replace(before, total=_end_of(before), amount_raw=None, subs=0, accepted_ml=0, accepted_minor=0)
        raw = (start.total.raw + max(1, half_up(told.volume_ml, start.unit_ml))) % start.modulus
        end = TotalizerReading(total.fuelling_point, base.nozzle, raw, start.unit_ml, start.modulus)
        result = compare(start, end, held, evidence, seen.rules)
        epoch = result.meter.total.epoch + 1
        after = replace(base, total=Totalizer(epoch, total.raw), last_sale=result.meter.last_sale)
    if not result.bookings:
        return base, None  # a display beyond every limit tells nothing
    booking = result.bookings[-1]
    flags = {*booking.flags, LIVE_VALUES} if told.live else {*booking.flags}
    return after, replace(booking, flags=tuple(sorted(flags)))


def _kept(booking: Booking, seen: Seen) -> KeptSale:
    return KeptSale(booking, seen.lifted_ms, seen.ended_ms, seen.attendant)
