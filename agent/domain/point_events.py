"""What can happen to a fuelling point and what follows from it: events in, effects out, and the turn that collects
them.

Knows no rule. Effects of one step are one transaction; its ``Send`` effects leave only after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

from agent.domain.booking import Booking, Meter
from agent.domain.instant import Now
from agent.domain.point_lowered import Rollback, SoldLower
from agent.domain.point_state import Durable, Fuelling, Inflight, Point, Unconfirmed, Volatile
from agent.domain.sale import Totalizer
from drivers.commands import Command, ReadSale
from drivers.readings import (
    CommandResult,
    CompletedSale,
    DeviceStatus,
    FuellingPointReading,
    HeldSale,
    TotalizerReading,
)


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed; about once a second."""


@dataclass(frozen=True, slots=True)
class ConfirmMeter:
    """A supervisor confirms that the total of a nozzle in METER_RESET is its new base."""

    nozzle: int
    person: str


@dataclass(frozen=True, slots=True)
class AcceptPending:
    """A supervisor accepts the held (else live) values of a sale whose totals stay unreadable. ``nozzle`` where the
    device does not tell it.
    """

    person: str
    nozzle: int | None = None


@dataclass(frozen=True, slots=True)
class PricesWanted:
    """Unit prices of current configuration, ((nozzle, unit_price_milli), ...); nozzles not named keep theirs."""

    prices: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class RollbackWanted:
    """A member waits at this point and is offered lower prices, if they can still be set before the lift."""

    rollback: Rollback


@dataclass(frozen=True, slots=True)
class RollbackOver:
    """Whoever was offered the lowered prices of ``id`` waits no longer, and why."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class UnpaidCount:
    """How many sales of this point are unpaid now; given at the start and after every clearing."""

    count: int


@dataclass(frozen=True, slots=True)
class AuthoriseByPerson:
    """A person lets one fuelling go: control ``released`` without, control ``preset`` with exactly one preset."""

    person: str
    nozzle: int | None = None
    preset_volume_ml: int | None = None
    preset_amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class StopByPerson:
    """A person ends delivery now."""

    person: str


@dataclass(frozen=True, slots=True)
class SuspendByPerson:
    """A person halts delivery; the fuelling stays open."""

    person: str


@dataclass(frozen=True, slots=True)
class ResumeByPerson:
    """A person lets a halted delivery go on."""

    person: str


@dataclass(frozen=True, slots=True)
class EndsKnown:
    """After a new incarnation head office has told the last end of each nozzle it has sales of."""

    ends: tuple[tuple[int, Totalizer], ...]


Event = (
    FuellingPointReading
    | CompletedSale
    | CommandResult
    | TotalizerReading
    | HeldSale
    | DeviceStatus
    | Ticked
    | ConfirmMeter
    | AcceptPending
    | PricesWanted
    | RollbackWanted
    | RollbackOver
    | UnpaidCount
    | AuthoriseByPerson
    | StopByPerson
    | SuspendByPerson
    | ResumeByPerson
    | EndsKnown
)


@dataclass(frozen=True, slots=True)
class Send:
    """Give ``command`` to the driver, after the commit."""

    command: Command


@dataclass(frozen=True, slots=True)
class Book:
    """Write a sale. ``lifted_ms`` is ``None`` where its lift was not seen. ``rollback``: it was made at a lowered
    price, whoever bought it.
    """

    booking: Booking
    lifted_ms: int | None
    ended_ms: int
    attendant: str | None = None
    rollback: SoldLower | None = None


@dataclass(frozen=True, slots=True)
class OpenFuelling:
    """A fuelling is open from now on; a second one replaces the first (another nozzle of the point was taken)."""

    fuelling: Fuelling


@dataclass(frozen=True, slots=True)
class CloseFuelling:
    """The open fuelling has ended: ``booked``, ``zero`` (lifted, no flow), ``unused`` (never lifted), ``baseline`` or
    ``unresolved``.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class SaveLive:
    """Live values to keep as a crash aid, every 5 s or 5 L; never a sale."""

    volume_ml: int
    amount_minor: int | None


@dataclass(frozen=True, slots=True)
class Baseline:
    """A nozzle's new base, ``fc.meter.baseline.v1``.

    ``reason``: ``first-contact``, ``confirmed by <person>`` or ``reincarnated``.
    """

    nozzle: int
    totalizer: Totalizer
    unit_ml: int
    reason: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Litres that are in no sale of this database, ``fc.gap.v1``; ``start`` is ``None`` where it is not known."""

    nozzle: int
    start: Totalizer | None
    end: Totalizer
    unit_ml: int
    reason: str


@dataclass(frozen=True, slots=True)
class PriceInForce:
    """A nozzle at rest sells at this unit price from now on; told at each change."""

    nozzle: int
    unit_price_milli: int


@dataclass(frozen=True, slots=True)
class Lifted:
    """A nozzle was lifted; ``None`` where the device does not tell which."""

    nozzle: int | None


@dataclass(frozen=True, slots=True)
class FlowStarted:
    """The volume was seen rising for the first time in this fuelling."""

    nozzle: int | None


@dataclass(frozen=True, slots=True)
class HungZero:
    """A nozzle was hung without a sale."""

    nozzle: int | None


@dataclass(frozen=True, slots=True)
class RaiseAlert:
    """An alert begins, or its detail changed."""

    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ClearAlert:
    """An alert ends."""

    name: str


@dataclass(frozen=True, slots=True)
class Audit:
    """An audit entry; ``action`` ends in ``_refused`` where a person's wish was not followed."""

    action: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NeedsReconciliation:
    """A command whose end nobody knows; shown, never sent again."""

    command: Unconfirmed


Effect = (
    Send
    | Book
    | OpenFuelling
    | CloseFuelling
    | SaveLive
    | Baseline
    | Gap
    | PriceInForce
    | Lifted
    | FlowStarted
    | HungZero
    | RaiseAlert
    | ClearAlert
    | Audit
    | NeedsReconciliation
)


Part = TypeVar("Part", Durable, Volatile)


@dataclass(slots=True)
class Turn:
    """One step under way: the point as changed so far and the effects collected. Lives only inside ``step``."""

    point: Point
    now: Now
    effects: list[Effect] = field(default_factory=list)

    @property
    def durable(self) -> Durable:
        """The durable part as changed so far."""
        return self.point.durable

    @property
    def volatile(self) -> Volatile:
        """The volatile part as changed so far."""
        return self.point.volatile

    def keep(self, **changes: object) -> None:
        """Change fields of the durable part; the point stays the same object where nothing differs."""
        if _differs(self.point.durable, changes):
            point = self.point
            self.point = Point(point.config, _changed(point.durable, changes), point.volatile)

    def replace_meters(self, changed: tuple[Meter, ...]) -> None:
        """Put meters in the place of those of the same nozzles."""
        new = {m.nozzle: m for m in (*self.durable.meters, *changed)}
        self.keep(meters=tuple(new[n] for n in sorted(new)))

    def note(self, **changes: object) -> None:
        """Change fields of the volatile part; the point stays the same object where nothing differs."""
        if _differs(self.point.volatile, changes):
            point = self.point
            self.point = Point(point.config, point.durable, _changed(point.volatile, changes))

    def emit(self, effect: Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    def next_id(self) -> str:
        """Return a command id that no other command of any start has."""
        number = self.volatile.sequence + 1
        self.note(sequence=number)
        return f"{self.point.config.boot}:{self.point.config.number}:{number}"

    def send(self, command: Command, detail: str = "") -> Inflight:
        """Send ``command`` after the commit; all but reads are unconfirmed on disk until their end is known."""
        sent = Inflight(command.command_id, type(command).__name__, self.now.mono_ms)
        if not isinstance(command, ReadSale):
            self.note(inflight=(*self.volatile.inflight, sent))
            self.keep(unconfirmed=(*self.durable.unconfirmed, Unconfirmed(sent.command_id, sent.kind, detail)))
        self.emit(Send(command))
        return sent

    def waiting_for(self, *kinds: str) -> bool:
        """Whether a command of one of these kinds has not ended yet."""
        return any(sent.kind in kinds for sent in self.volatile.inflight)

    def alert(self, name: str, standing: bool, detail: str = "") -> None:
        """Raise or clear an alert where that is a change."""
        known = name in self.durable.alerts
        if standing and not known:
            self.keep(alerts=tuple(sorted((*self.durable.alerts, name))))
            self.emit(RaiseAlert(name, detail))
        elif known and not standing:
            self.keep(alerts=tuple(a for a in self.durable.alerts if a != name))
            self.emit(ClearAlert(name))


def _differs(part: Durable | Volatile, changes: dict[str, object]) -> bool:
    """Most levels say what is known already, and a comparison costs far less than a new record."""
    for name, value in changes.items():  # noqa: SIM110 - a third of the cost of any(), for every level of every point
        if getattr(part, name) != value:
            return True
    return False


def _changed(part: Part, changes: Mapping[str, object]) -> Part:
    """As ``dataclasses.replace``, at a third of its cost: a level that says something new replaces dozens of fields.

    Only for records with slots and without a ``__post_init__``. Raises KeyError for a field that there is not.
    """
    kind: Any = type(part)
    places, read, setters = _layout(kind)
    values = list(read(part))
    for name, value in changes.items():
        values[places[name]] = value
    made: Part = object.__new__(kind)
    for put, value in zip(setters, values, strict=True):
        put(made, value)
    return made


@cache
def _layout(
    kind: type[Any],
) -> tuple[dict[str, int], Callable[[Any], tuple[Any, ...]], tuple[Callable[[Any, Any], None], ...]]:
    """Where each field stands, what reads all of them at once, and what sets each past the freezing."""
    names: tuple[str, ...] = kind.__slots__
    places = {name: place for place, name in enumerate(names)}
    return places, attrgetter(*names), tuple(getattr(kind, name).__set__ for name in names)
