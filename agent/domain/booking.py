"""What a meter's movement is worth in sales: one nozzle's stored total against what the device tells now.

Pure arithmetic in integers. Volumes are compared in millilitres that are whole multiples of the totalizer's unit.
Knows no
state machine, no command, no clock and no store.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from agent.domain.sale import SaleKind, Totalizer
from agent.domain.units import amount_matches, amount_of, amount_tolerance, half_up
from drivers.readings import HeldSale, TotalizerReading

AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
AMOUNT_ESTIMATED = "amount_estimated"
COVERS_SEVERAL = "covers_several"
ACCEPTED_BY_HAND = "accepted_by_hand"
LIVE_VALUES = "live_values"
NO_TOTALS = "no_totals"
LOWERED_PRICE = "lowered_price"

AMOUNT_TOTAL_FACTOR = 10
"""An amount total that says more than ten times (or less than a tenth of) volume times price has itself been
replaced.
"""


class Verdict(StrEnum):
    """What a comparison came to."""

    BOOKED = "BOOKED"
    NOTHING = "NOTHING"
    ZERO_SALE = "ZERO_SALE"
    METER_RESET = "METER_RESET"
    SALE_PENDING = "SALE_PENDING"
    MISMATCH = "MISMATCH"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Values of a sale that is accounted for: they recognise an old display, never a repeated sale."""

    nozzle: int | None
    volume_ml: int
    amount_minor: int | None
    unit_price_milli: int | None
    total: Totalizer | None = None

    def shows(self, held: HeldSale) -> bool:
        """Return whether ``held`` tells the same values; what either side does not know cannot tell them apart."""
        return (
            held.volume_ml == self.volume_ml
            and _same(held.amount_minor, self.amount_minor)
            and _same(held.unit_price_milli, self.unit_price_milli)
            and _same(held.nozzle, self.nozzle)
        )


def _same(left: int | None, right: int | None) -> bool:
    return left is None or right is None or left == right


@dataclass(frozen=True, slots=True)
class Meter:
    """One nozzle's last committed total and what was true at it.

    ``unit_price_milli``: price in force at that total. ``subs``: sales already booked with start = end = this total.
    ``accepted_ml``/``accepted_minor``: booked beyond this total by a supervisor's hand while totals were unreadable.
    ``last_sale``: the last booked sale of this nozzle.
    """

    nozzle: int
    total: Totalizer
    unit_ml: int
    modulus: int
    amount_raw: int | None = None
    amount_modulus: int | None = None
    unit_price_milli: int | None = None
    subs: int = 0
    accepted_ml: int = 0
    accepted_minor: int = 0
    last_sale: Fingerprint | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen besides totals and held sale.

    ``unit_price_milli``: price the device shows now, else the configured one. ``live_ml``: highest live volume of a
    flow
    that was seen rising, ``None`` = no flow seen. ``fuelling``: a fuelling was open. ``several``: the litres may come
    from more than one fuelling. ``old``: values known to be accounted for. ``new_sequence``: the device numbers its
    sales and this number is new. ``oldest_first``: the device is a queue and tells its oldest sale first.
    """

    unit_price_milli: int
    live_ml: int | None = None
    fuelling: bool = False
    several: bool = False
    old: tuple[Fingerprint, ...] = ()
    new_sequence: bool = False
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """Station and device facts: currency exponent, the display's volume step, the most one gap may hold."""

    exponent: int = 2
    volume_resolution_ml: int = 10
    max_delta_ml: int = 20_000_000


@dataclass(frozen=True, slots=True)
class Booking:
    """One sale to be written. ``end`` is ``None`` only where a supervisor accepted it while totals were unreadable.

    ``sub`` is set only where start equals end. ``counter``: the key of a sale of a device without totals, which has
    neither start nor end. ``flags``: sorted words of this module.
    """

    nozzle: int
    kind: SaleKind
    volume_ml: int
    amount_minor: int
    unit_price_milli: int
    start: Totalizer | None
    end: Totalizer | None
    sub: int | None = None
    counter: int | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answer: verdict, sales in order of time, and the meter as it stands once they are committed.

    ``mismatch``: the display tells more than the meter counted. ``more``: the device's queue explains the rest.
    ``detail``: numbers compared, for the audit entry.
    """

    verdict: Verdict
    meter: Meter
    bookings: tuple[Booking, ...] = ()
    mismatch: bool = False
    more: bool = False
    detail: str = ""


def moved_raw(meter: Meter, total: TotalizerReading) -> int:
    """Return the movement since the stored total in raw units, modulo the counter's modulus."""
    return (total.raw - meter.total.raw) % meter.modulus


def advance(total: Totalizer, by_raw: int, modulus: int) -> Totalizer:
    """Return ``total`` moved on by ``by_raw`` units; each wrap raises the epoch by one."""
    raw = total.raw + by_raw
    return Totalizer(total.epoch + raw // modulus, raw % modulus)


def is_comparable(meter: Meter, total: TotalizerReading, rules: Rules) -> bool:
    """Return whether ``total`` can be the stored count gone on; else the meter waits for a person (METER_RESET)."""
    if (total.unit_ml, total.modulus) != (meter.unit_ml, meter.modulus) or not 0 <= total.raw < total.modulus:
        return False
    return moved_raw(meter, total) * meter.unit_ml <= rules.max_delta_ml


def compare(
    meter: Meter, total: TotalizerReading | None, held: HeldSale | None, evidence: Evidence, rules: Rules
) -> Comparison:
    """Compare one nozzle's stored total with the total read now (``None`` = unreadable) and the held sale, if it is
    this nozzle's.

    The rows are those of docs/sale-safety.md, Comparing. Nothing is booked that the meter did not count.
    """
    if total is None:
        return Comparison(Verdict.SALE_PENDING, meter, detail="total not readable")
    moved_ml = moved_raw(meter, total) * meter.unit_ml
    numbers = f"total {meter.total} -> {total.raw}, moved {moved_ml} ml, held {_told(held)}"
    if not is_comparable(meter, total, rules):
        return Comparison(Verdict.METER_RESET, meter, detail=numbers)
    if meter.accepted_ml:
        return _after_acceptance(meter, total, held, evidence, rules)
    case = _Case(meter, total, held, evidence, rules)
    return replace(_decide(case), detail=numbers)


def _told(held: HeldSale | None) -> str:
    return "none" if held is None else f"{held.volume_ml} ml for {held.amount_minor}"


def _after_acceptance(
    meter: Meter, total: TotalizerReading, held: HeldSale | None, evidence: Evidence, rules: Rules
) -> Comparison:
    """The first total after a supervisor's acceptance: only what it moved beyond the accepted volume is still to be
    booked.
    """
    rest_ml = moved_raw(meter, total) * meter.unit_ml - meter.accepted_ml
    case = _Case(meter, total, None, evidence, rules)
    detail = f"accepted by hand {meter.accepted_ml} ml, the meter moved {rest_ml} ml beyond that"
    if abs(rest_ml) <= meter.unit_ml:
        return Comparison(Verdict.NOTHING, case.meter_after(), detail=detail)
    if rest_ml < 0:
        return Comparison(Verdict.MISMATCH, case.meter_after(), mismatch=True, detail=detail)
    amount_raw = meter.amount_raw
    if amount_raw is not None and meter.amount_modulus is not None:
        amount_raw = (amount_raw + meter.accepted_minor) % meter.amount_modulus
    beyond = replace(
        meter,
        total=advance(meter.total, half_up(meter.accepted_ml, meter.unit_ml), meter.modulus),
        amount_raw=amount_raw,
        accepted_ml=0,
        accepted_minor=0,
        subs=0,
    )
    return compare(beyond, total, held, evidence, rules)


@dataclass(frozen=True, slots=True)
class _Case:
    """One comparison with its derived numbers."""

    meter: Meter
    total: TotalizerReading
    held: HeldSale | None
    evidence: Evidence
    rules: Rules

    @property
    def moved(self) -> int:
        return moved_raw(self.meter, self.total)

    @property
    def moved_ml(self) -> int:
        return self.moved * self.meter.unit_ml

    @property
    def held_ml(self) -> int:
        return 0 if self.held is None else self.held.volume_ml or 0

    @property
    def end(self) -> Totalizer:
        return advance(self.meter.total, self.moved, self.meter.modulus)

    @property
    def price_at_start(self) -> int:
        """Price of recovered litres: in force at the stored total; the price now where that is unknown."""
        stored = self.meter.unit_price_milli
        return self.evidence.unit_price_milli if stored is None else stored

    @property
    def held_price(self) -> int:
        told = None if self.held is None else self.held.unit_price_milli
        return self.evidence.unit_price_milli if told is None else told

    @property
    def amount_moved(self) -> int | None:
        """Movement of the amount total in minor units, ``None`` where either reading or the modulus is unknown."""
        now, before, modulus = self.total.amount_raw, self.meter.amount_raw, self.meter.amount_modulus
        if now is None or before is None or modulus is None or modulus != self.total.amount_modulus:
            return None
        return (now - before) % modulus

    def meter_after(self, last: Booking | None = None) -> Meter:
        """The meter at the total read now."""
        end = self.end
        return replace(
            self.meter,
            total=end,
            amount_raw=self.total.amount_raw,
            amount_modulus=self.total.amount_modulus,
            unit_price_milli=self.evidence.unit_price_milli,
            subs=_subs_after(self.meter, end, last),
            accepted_ml=0,
            accepted_minor=0,
            last_sale=self.meter.last_sale if last is None else _fingerprint(last),
        )


def _subs_after(meter: Meter, end: Totalizer, last: Booking | None) -> int:
    if last is not None and last.sub is not None:
        return last.sub
    return meter.subs if end == meter.total else 0


def _fingerprint(booking: Booking) -> Fingerprint:
    return Fingerprint(
        booking.nozzle, booking.volume_ml, booking.amount_minor, booking.unit_price_milli, booking.end or booking.start
    )


def _decide(case: _Case) -> Comparison:
    moved_ml, held_ml, unit_ml = case.moved_ml, case.held_ml, case.meter.unit_ml
    if case.moved == 0:
        return _unmoved(case)
    if held_ml == 0:
        return _booked(case, _recovered(case, case.moved_ml))
    if abs(moved_ml - held_ml) <= unit_ml:
        return _booked(case, _normal(case, case.meter.total, case.end))
    if held_ml > moved_ml:
        return replace(_booked(case, _recovered(case, moved_ml)), mismatch=True)
    if case.evidence.oldest_first:
        return _oldest_of_queue(case)
    if not _is_newest(case):
        return _booked(case, _recovered(case, moved_ml))
    boundary = advance(case.meter.total, case.moved - half_up(held_ml, unit_ml), case.meter.modulus)
    rest = _recovered(case, moved_ml - held_ml, end=boundary, beside=case.held)
    return _booked(case, rest, _normal(case, boundary, case.end))


def _unmoved(case: _Case) -> Comparison:
    """Equal totals: nothing, unless a flow below the totalizer's unit was seen."""
    flowed = case.evidence.live_ml is not None
    if flowed and 0 < case.held_ml <= case.meter.unit_ml:
        return _booked(case, _normal(case, case.end, case.end))
    if flowed and case.held_ml > case.meter.unit_ml and not _is_old(case):
        return Comparison(Verdict.MISMATCH, case.meter_after(), mismatch=True)
    return Comparison(Verdict.ZERO_SALE if case.evidence.fuelling else Verdict.NOTHING, case.meter_after())


def _oldest_of_queue(case: _Case) -> Comparison:
    """A queue tells its oldest sale first: it starts at the stored total, and what follows explains the rest."""
    meter = case.meter
    end = advance(meter.total, half_up(case.held_ml, meter.unit_ml), meter.modulus)
    booking = _normal(case, meter.total, end)
    amount_raw = meter.amount_raw
    if amount_raw is not None and meter.amount_modulus is not None:
        amount_raw = (amount_raw + booking.amount_minor) % meter.amount_modulus
    after = replace(
        meter,
        total=end,
        amount_raw=amount_raw,
        subs=_subs_after(meter, end, booking),
        last_sale=_fingerprint(booking),
    )
    return Comparison(Verdict.BOOKED, after, (booking,), more=True)


def _is_old(case: _Case) -> bool:
    held = case.held
    return held is not None and any(known.shows(held) for known in case.evidence.old)


def _is_newest(case: _Case) -> bool:
    """Whether the held sale, smaller than the movement, is the newest fuelling and not an old display."""
    live_ml = case.evidence.live_ml
    if live_ml is not None and live_ml > case.held_ml + case.meter.unit_ml:
        return False  # more than this was seen flowing: the display is not of this fuelling
    return not _is_old(case) or case.evidence.new_sequence or live_ml is not None or _amount_totals_prove(case)


def _amount_totals_prove(case: _Case) -> bool:
    """Whether the amount total fits "held sale plus the rest at the old price" and does not fit one price for all."""
    moved, held = case.amount_moved, case.held
    if moved is None or held is None or held.amount_minor is None:
        return False
    price, exponent = case.price_at_start, case.rules.exponent
    tolerance = amount_tolerance(price, case.meter.unit_ml, exponent)
    split = held.amount_minor + amount_of(case.moved_ml - case.held_ml, price, exponent)
    whole = amount_of(case.moved_ml, price, exponent)
    return abs(moved - split) <= tolerance < abs(moved - whole)


def _booked(case: _Case, *bookings: Booking) -> Comparison:
    return Comparison(Verdict.BOOKED, case.meter_after(bookings[-1]), bookings)


def _normal(case: _Case, start: Totalizer, end: Totalizer) -> Booking:
    """The held sale, confirmed by the totalizer; its amount is the device's even where it is not volume times price."""
    held, price = case.held, case.held_price
    assert held is not None
    volume_ml = case.held_ml
    flags: set[str] = set()
    if held.amount_minor is not None:
        amount = held.amount_minor
        flags |= _checked(case, amount, volume_ml, price, case.rules.volume_resolution_ml)
    else:
        amount = amount_of(volume_ml, price, case.rules.exponent)
        flags.add(AMOUNT_ESTIMATED)
    sub = None if start != end else (case.meter.subs if start == case.meter.total else 0) + 1
    return Booking(
        case.meter.nozzle, SaleKind.NORMAL, volume_ml, amount, price, start, end, sub, flags=tuple(sorted(flags))
    )


def _recovered(case: _Case, volume_ml: int, end: Totalizer | None = None, beside: HeldSale | None = None) -> Booking:
    """Litres from the totalizer alone; ``beside``: the held sale that is booked with its own amount after them."""
    price, exponent = case.price_at_start, case.rules.exponent
    estimate = amount_of(volume_ml, price, exponent)
    amount = _amount_by_totals(case, estimate, beside)
    flags = {COVERS_SEVERAL} if case.evidence.several else set()
    if amount is None:
        amount = estimate
        flags.add(AMOUNT_ESTIMATED)
    else:
        flags |= _checked(case, amount, volume_ml, price, max(case.meter.unit_ml, case.rules.volume_resolution_ml))
    return Booking(
        nozzle=case.meter.nozzle,
        kind=SaleKind.RECOVERED,
        volume_ml=volume_ml,
        amount_minor=amount,
        unit_price_milli=price,
        start=case.meter.total,
        end=case.end if end is None else end,
        flags=tuple(sorted(flags)),
    )


def _amount_by_totals(case: _Case, estimate: int, beside: HeldSale | None) -> int | None:
    moved = case.amount_moved
    if moved is None or (beside is not None and beside.amount_minor is None):
        return None
    amount = moved - (0 if beside is None else beside.amount_minor or 0)
    slack = 1 + estimate
    return amount if slack <= (amount + 1) * AMOUNT_TOTAL_FACTOR and amount <= slack * AMOUNT_TOTAL_FACTOR else None


def _checked(case: _Case, amount_minor: int, volume_ml: int, price: int, resolution_ml: int) -> set[str]:
    fits = amount_matches(amount_minor, volume_ml, price, resolution_ml, case.rules.exponent)
    return set() if fits else {AMOUNT_MISMATCH}
