"""One shift of a station: what each meter moved, and what became of it. Sums of facts; nothing here is measured.

Knows nozzle counts and facts of sales. Knows no clock, no table and no record: what belongs to a shift comes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agent.domain.rules.facts import Purpose
from agent.domain.sale import Totalizer

LATE_LINK_S = 120
"""A member linked later than this after the nozzle was hung is a late link."""

MIXED = "mixed"
"""Money given back on a sale that was paid in several kinds: nobody noted which kind it was."""

NOT_SOLD = (Purpose.METER_TEST, Purpose.OWN_USE)
"""Fuel that left the nozzle and was not sold. A drive-off was: only nobody paid."""

Amounts: TypeAlias = tuple[tuple[str, int], ...]
"""(kind of payment, amount in minor units)."""

NozzleKey: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """A nozzle's count at one end of a shift: the end of its last booked sale, or a reading at rest.

    ``total`` ``None``: never read, or the device keeps none. ``accepted_ml``: booked by hand beyond the total.
    """

    fuelling_point: int
    nozzle: int
    grade: str
    total: Totalizer | None
    unit_ml: int = 0
    modulus: int = 0
    accepted_ml: int = 0

    @property
    def key(self) -> NozzleKey:
        """Fuelling point and nozzle."""
        return self.fuelling_point, self.nozzle


@dataclass(frozen=True, slots=True)
class Fuelled:
    """A sale was booked. ``end`` ``None``: accepted by hand while totals were unreadable."""

    sale: str
    fuelling_point: int
    nozzle: int
    volume_ml: int
    amount_minor: int
    attendant: str | None
    is_recovered: bool
    start: Totalizer | None
    end: Totalizer | None


@dataclass(frozen=True, slots=True)
class Based:
    """Counting of a nozzle began anew at ``total``. ``same_count``: the meter is the one it was."""

    fuelling_point: int
    nozzle: int
    total: Totalizer
    same_count: bool = False


@dataclass(frozen=True, slots=True)
class Linked:
    """A sale got a member, or with ``member`` False lost it. ``delay_s`` after the nozzle was hung, if known."""

    sale: str
    attendant: str | None
    member: bool = True
    delay_s: int | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """A sale was paid, or booked to a ``purpose``; ``volume_ml`` is that of the sale."""

    sale: str
    attendant: str | None
    purpose: Purpose | None
    volume_ml: int
    discount_minor: int
    net_minor: int
    tenders: Amounts


@dataclass(frozen=True, slots=True)
class Rebooked:
    """The payment of a settled sale was booked to other kinds of the same sum."""

    attendant: str | None
    before: Amounts
    after: Amounts


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Money of a sale was given back: all of it (``void``) or a part; ``kind`` of payment as it was paid."""

    attendant: str | None
    void: bool
    amount_minor: int
    kind: str


@dataclass(frozen=True, slots=True)
class PointsMoved:
    """Points were given and taken on a sale; a reversal has them below zero."""

    attendant: str | None
    given: int
    taken: int


@dataclass(frozen=True, slots=True)
class NotSold:
    """Somebody said that litres of a nozzle were not sold; ``sale`` where they named it."""

    fuelling_point: int
    nozzle: int
    purpose: Purpose
    volume_ml: int
    sale: str | None = None


@dataclass(frozen=True, slots=True)
class Superseded:
    """A booked sale turned out to be known to head office under others: it counts no more."""

    sale: str
    fuelling_point: int
    nozzle: int
    volume_ml: int
    amount_minor: int
    attendant: str | None


Fact: TypeAlias = Fuelled | Based | Linked | Settled | Rebooked | GivenBack | PointsMoved | NotSold | Superseded


def moved_ml(opening: Mark | None, closing: Mark | None, facts: Sequence[Fuelled | Based]) -> int | None:
    """Return what a nozzle's meter moved between two marks, ``None`` where that is not known.

    ``facts``: those of this nozzle in order. A new count begins where a base says so: the piece before ends with its
    last booked sale. A first base takes the place of an opening that nobody read.
    """
    if closing is None or closing.total is None:
        return None
    piece = None if opening is None or opening.total is None else _Piece(opening.total, opening.accepted_ml)
    modulus, unit_ml, moved = closing.modulus, closing.unit_ml, 0
    if opening is not None and opening.total is not None:
        modulus, unit_ml = opening.modulus, opening.unit_ml
    for fact in facts:
        if isinstance(fact, Fuelled):
            if piece is not None:
                piece.went_on(fact)
        elif piece is None:
            piece = _Piece(fact.total)
        elif not (fact.same_count and fact.total >= piece.last):
            moved += piece.moved_ml(piece.last, piece.accepted_ml, modulus, unit_ml)
            piece, modulus, unit_ml = _Piece(fact.total), closing.modulus, closing.unit_ml
    if piece is None:
        return None
    return moved + piece.moved_ml(closing.total, closing.accepted_ml, modulus, unit_ml)


class _Piece:
    """One unbroken piece of a nozzle's count: where it began and the last end that was booked in it."""

    def __init__(self, first: Totalizer, accepted_ml: int = 0) -> None:
        self._first, self._accepted_first = first, accepted_ml
        self.last, self.accepted_ml = first, accepted_ml

    def went_on(self, sale: Fuelled) -> None:
        if sale.end is None:
            self.accepted_ml += sale.volume_ml
        elif sale.end > self.last:
            self.last, self.accepted_ml = sale.end, 0

    def moved_ml(self, last: Totalizer, accepted_ml: int, modulus: int, unit_ml: int) -> int:
        """Return the movement up to ``last``; each epoch is one turn of the counter."""
        units = (last.epoch - self._first.epoch) * modulus + last.raw - self._first.raw
        return units * unit_ml + accepted_ml - self._accepted_first


@dataclass(slots=True)
class _Part:
    """What one attendant did, or with ``None`` what nobody was signed in for."""

    sales: int = 0
    volume_ml: int = 0
    gross_minor: int = 0
    settled: int = 0
    discount_minor: int = 0
    net_minor: int = 0
    tenders: Counter[str] = field(default_factory=Counter)
    points_given: int = 0
    points_taken: int = 0
    voids: int = 0
    refunds: int = 0
    refunded: Counter[str] = field(default_factory=Counter)
    opportunities: int = 0
    captured: int = 0
    late_links: int = 0

    def shown(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in _Part.__slots__ if name not in ("tenders", "refunded")}
        return {**values, "tenders": _amounts(self.tenders), "refunded": _amounts(self.refunded)}


def _amounts(counted: Counter[str]) -> list[dict[str, Any]]:
    return [{"kind": kind, "amount_minor": counted[kind]} for kind in sorted(counted)]


@dataclass(slots=True)
class _Nozzle:
    """What was booked on one nozzle; ``not_sold`` by purpose."""

    sales: int = 0
    booked_ml: int = 0
    booked_minor: int = 0
    not_sold: Counter[Purpose] = field(default_factory=Counter)
    counts: list[Fuelled | Based] = field(default_factory=list)

    @property
    def sold_ml(self) -> int:
        return self.booked_ml - self.not_sold.total()


class Account:
    """The books of one shift: take its facts in order, then ``shown``."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._parts: dict[str | None, _Part] = {}
        self._nozzles: dict[NozzleKey, _Nozzle] = {}
        self._booked: dict[str, Fuelled] = {}
        self._unsettled: dict[str, int] = {}
        self._captured: set[str] = set()
        self._earlier: Counter[Purpose] = Counter()
        for fact in facts:
            self._take(fact)

    def _take(self, fact: Fact) -> None:
        match fact:
            case Fuelled():
                self._fuelled(fact)
            case Based():
                self._nozzle(fact.fuelling_point, fact.nozzle).counts.append(fact)
            case Linked():
                self._linked(fact)
            case Settled():
                self._settled(fact)
            case Rebooked(attendant, before, after):
                tenders = self._part(attendant).tenders
                tenders.subtract(_summed(before))
                tenders.update(_summed(after))
            case GivenBack(attendant, void, amount_minor, kind):
                part = self._part(attendant)
                part.voids, part.refunds = part.voids + void, part.refunds + (not void)
                part.refunded[kind] += amount_minor
            case PointsMoved(attendant, given, taken):
                part = self._part(attendant)
                part.points_given, part.points_taken = part.points_given + given, part.points_taken + taken
            case NotSold():
                is_here = fact.sale is None or fact.sale in self._booked
                not_sold = self._nozzle(fact.fuelling_point, fact.nozzle).not_sold if is_here else self._earlier
                not_sold[fact.purpose] += fact.volume_ml
            case Superseded():
                self._superseded(fact)

    def _part(self, attendant: str | None) -> _Part:
        return self._parts.setdefault(attendant, _Part())

    def _nozzle(self, fuelling_point: int, nozzle: int) -> _Nozzle:
        return self._nozzles.setdefault((fuelling_point, nozzle), _Nozzle())

    def _fuelled(self, sale: Fuelled) -> None:
        self._booked[sale.sale] = sale
        self._unsettled[sale.sale] = sale.amount_minor
        nozzle, part = self._nozzle(sale.fuelling_point, sale.nozzle), self._part(sale.attendant)
        nozzle.counts.append(sale)
        self._count(nozzle, part, sale, 1)
        part.opportunities += not sale.is_recovered

    @staticmethod
    def _count(nozzle: _Nozzle | None, part: _Part, sale: Fuelled | Superseded, sign: int) -> None:
        if nozzle is not None:
            nozzle.sales += sign
            nozzle.booked_ml += sign * sale.volume_ml
            nozzle.booked_minor += sign * sale.amount_minor
        part.sales += sign
        part.volume_ml += sign * sale.volume_ml
        part.gross_minor += sign * sale.amount_minor

    def _superseded(self, sale: Superseded) -> None:
        nozzle, part = self._nozzle(sale.fuelling_point, sale.nozzle), self._part(sale.attendant)
        self._count(nozzle, part, sale, -1)
        self._unsettled.pop(sale.sale, None)
        self._no_opportunity(sale.sale, part)

    def _no_opportunity(self, sale: str, part: _Part) -> None:
        """Nobody could have shown a code for this sale."""
        booked = self._booked.get(sale)
        part.opportunities -= booked is not None and not booked.is_recovered
        if sale in self._captured:
            self._captured.remove(sale)
            part.captured -= 1

    def _linked(self, link: Linked) -> None:
        part = self._part(link.attendant)
        part.late_links += link.member and link.delay_s is not None and link.delay_s > LATE_LINK_S
        if link.sale in self._booked:
            part.captured += link.member - (link.sale in self._captured)
            (self._captured.add if link.member else self._captured.discard)(link.sale)

    def _settled(self, settled: Settled) -> None:
        part, sale = self._part(settled.attendant), self._booked.get(settled.sale)
        self._unsettled.pop(settled.sale, None)
        part.settled += 1
        part.discount_minor += settled.discount_minor
        part.net_minor += settled.net_minor
        part.tenders.update(_summed(settled.tenders))
        if settled.purpose not in NOT_SOLD:
            return
        if sale is None:
            self._earlier[settled.purpose] += settled.volume_ml
            return
        self._nozzle(sale.fuelling_point, sale.nozzle).not_sold[settled.purpose] += sale.volume_ml
        self._count(None, part, sale, -1)
        self._no_opportunity(sale.sale, part)

    def has(self, sale: str) -> bool:
        """Whether this sale was booked in the shift."""
        return sale in self._booked

    def sold_ml(self, nozzle: NozzleKey) -> int:
        """Return what was booked on a nozzle and not said to be anything but sold."""
        return self._nozzles.get(nozzle, _Nozzle()).sold_ml

    def shown(self, opening: Iterable[Mark], closing: Iterable[Mark], counted: Amounts = ()) -> dict[str, Any]:
        """Return the report: per nozzle, per attendant, in total, and the money counted beside what is expected.

        Millilitres, minor units and points. ``moved_ml = sold_ml + test_ml + own_use_ml + unexplained_ml`` wherever
        the movement is known; where it is not, both it and ``unexplained_ml`` are ``None``.
        """
        starts, ends = {mark.key: mark for mark in opening}, {mark.key: mark for mark in closing}
        keys = sorted({*starts, *ends, *self._nozzles})
        nozzles = [self._shown_nozzle(key, starts.get(key), ends.get(key)) for key in keys]
        parts = [
            {"attendant": who, **self._parts[who].shown()} for who in sorted(self._parts, key=lambda w: (w is None, w))
        ]
        whole = _Part()
        for part in self._parts.values():
            _add(whole, part)
        return {
            "nozzles": nozzles,
            "attendants": parts,
            "totals": {
                **_sums(nozzles),
                **whole.shown(),
                "unsettled": len(self._unsettled),
                "unsettled_minor": sum(self._unsettled.values()),
                "earlier_test_ml": self._earlier[Purpose.METER_TEST],
                "earlier_own_use_ml": self._earlier[Purpose.OWN_USE],
            },
            "count": _count_of(whole, counted),
        }

    def _shown_nozzle(self, key: NozzleKey, start: Mark | None, end: Mark | None) -> dict[str, Any]:
        nozzle = self._nozzles.get(key, _Nozzle())
        moved = moved_ml(start, end, nozzle.counts)
        named = end or start
        return {
            "fuelling_point": key[0],
            "nozzle": key[1],
            "grade": None if named is None else named.grade,
            "totalizer_open": _text(start),
            "totalizer_close": _text(end),
            "moved_ml": moved,
            "sales": nozzle.sales,
            "sold_ml": nozzle.sold_ml,
            "test_ml": nozzle.not_sold[Purpose.METER_TEST],
            "own_use_ml": nozzle.not_sold[Purpose.OWN_USE],
            "unexplained_ml": None if moved is None else moved - nozzle.booked_ml,
            "booked_minor": nozzle.booked_minor,
        }


def _summed(tenders: Amounts) -> Counter[str]:
    sums: Counter[str] = Counter()
    for kind, amount_minor in tenders:
        sums[kind] += amount_minor
    return sums


def _text(mark: Mark | None) -> str | None:
    return None if mark is None or mark.total is None else str(mark.total)


def _add(whole: _Part, part: _Part) -> None:
    for name in _Part.__slots__:
        if name in ("tenders", "refunded"):
            getattr(whole, name).update(getattr(part, name))
        else:
            setattr(whole, name, getattr(whole, name) + getattr(part, name))


def _sums(nozzles: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums over all nozzles; a movement that one of them does not know, nobody knows of all."""
    unknown = sum(1 for nozzle in nozzles if nozzle["moved_ml"] is None)
    sums: dict[str, Any] = {name: sum(n[name] for n in nozzles) for name in ("sold_ml", "test_ml", "own_use_ml")}
    for name in ("moved_ml", "unexplained_ml"):
        sums[name] = None if unknown else sum(nozzle[name] for nozzle in nozzles)
    return {**sums, "nozzles_unknown": unknown}


def _count_of(whole: _Part, counted: Amounts) -> list[dict[str, Any]]:
    """Compare money counted with what was paid in its kind less what was given back in it."""
    found = []
    for kind, amount_minor in counted:
        expected = whole.tenders[kind] - whole.refunded[kind]
        row = {"kind": kind, "counted_minor": amount_minor, "expected_minor": expected}
        found.append({**row, "variance_minor": amount_minor - expected})
    return found
