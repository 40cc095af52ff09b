"""One fuelling point as frozen records: what is configured, what is on disk, what only this process knows.

Knows shapes and the text form of the durable part. Knows no rule: what changes them is in forecourt.py and its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.domain.booking import Booking, Fingerprint, Meter, Rules
from agent.domain.point_lowered import Rollback, lowered_in, lowered_out
from agent.domain.sale import SaleKind, Totalizer
from drivers.readings import FuellingPointReading, HeldSale, PointState, TotalizerReading

DURABLE_VERSION = 1

DELIVERING = frozenset((PointState.AUTHORISED, PointState.STARTED, PointState.SUSPENDED_STARTED, PointState.FUELLING))
"""States in which a flow runs or may start at any moment."""

BUSY = DELIVERING | {PointState.SUSPENDED_FUELLING}
HUNG = frozenset((PointState.IDLE, PointState.CLOSED, PointState.INOPERATIVE))
OUT_BY_STATE = frozenset((PointState.CALLING, PointState.STARTED, PointState.FUELLING, PointState.SUSPENDED_FUELLING))


class ControlMode(StrEnum):
    """Who lets a fuelling point deliver: nobody of ours, the agent, a person, a person with a preset."""

    MONITOR = "monitor"
    AUTO = "auto"
    RELEASED = "released"
    PRESET = "preset"


@dataclass(frozen=True, slots=True)
class NozzleConfig:
    """One nozzle: logical number, grade, tank and the unit price wanted, 1/1000 of the major unit per litre."""

    number: int
    grade: str
    tank: int
    unit_price_milli: int


@dataclass(frozen=True, slots=True)
class PointConfig:
    """What is configured. ``boot``: unique per start of the agent, so that command ids never repeat.

    ``unpaid_max``: unpaid sales at which no further authorisation is given, ``None`` where no till settles. ``queue``:
    the device numbers its sales and tells the oldest first (``sale_memory`` is ``queue``). ``totals``: it keeps a
    count per nozzle. ``holds``: it can tell a finished sale. ``sets_prices``, ``stops``, ``suspends``, ``presets``
    (``volume``, ``amount``): what its driver can do. ``accept_after_ms``: how long totals must have been unreadable
    before a supervisor may accept a sale by hand. ``authorised_limit_ms``: an authorised nozzle that is not lifted is
    stopped then.
    """

    number: int
    mode: ControlMode
    nozzles: tuple[NozzleConfig, ...]
    boot: str
    rules: Rules = field(default_factory=Rules)
    unpaid_max: int | None = None
    queue: bool = False
    totals: bool = True
    holds: bool = True
    sets_prices: bool = True
    stops: bool = True
    suspends: bool = False
    presets: tuple[str, ...] = ("volume", "amount")
    accept_after_ms: int = 600_000
    authorised_limit_ms: int = 120_000

    @property
    def numbers(self) -> tuple[int, ...]:
        """The nozzle numbers in configured order."""
        return tuple(nozzle.number for nozzle in self.nozzles)

    def price(self, nozzle: int) -> int:
        """The unit price wanted for ``nozzle``."""
        return next(n.unit_price_milli for n in self.nozzles if n.number == nozzle)


class Origin(StrEnum):
    """How an open fuelling came about: by a decision of ours or found under way."""

    AUTO = "auto"
    PERSON = "person"
    FOUND = "found"
    MONITORED = "monitored"


@dataclass(frozen=True, slots=True)
class Fuelling:
    """A fuelling that may deliver or delivers. ``start``: the nozzle's last committed total, ``None`` where unknown.

    ``counter``: the key its sale will have where the device keeps no totals. ``live_*``: live values as last saved,
    ``live_volume_ml`` is ``None`` until a flow was saved. Times are Unix milliseconds.
    """

    nozzle: int | None
    start: Totalizer | None
    unit_price_milli: int | None
    opened_ms: int
    lifted_ms: int | None
    boot: str
    origin: Origin
    attendant: str | None = None
    preset_volume_ml: int | None = None
    preset_amount_minor: int | None = None
    live_volume_ml: int | None = None
    live_amount_minor: int | None = None
    counter: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A sale whose totals cannot be read: kept as the device or the live values tell it, booked only by a person's
    hand.

    ``volume_ml`` is ``None`` where nothing tells of a sale that is not yet accounted for. ``live``: live values, not
    held ones.
    """

    since_ms: int
    nozzle: int | None = None
    volume_ml: int | None = None
    amount_minor: int | None = None
    unit_price_milli: int | None = None
    token: str = ""
    live: bool = False


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A command that was sent and whose end is not known yet. ``kind``: the command's class name."""

    command_id: str
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class KeptSale:
    """A sale over a meter that waits for confirmation: everything its booking needs, whatever the pump forgets."""

    booking: Booking
    lifted_ms: int | None
    ended_ms: int
    attendant: str | None = None


@dataclass(frozen=True, slots=True)
class MeterReset:
    """A nozzle in METER_RESET. ``meter``: the new count as last read, in an epoch of its own; ``sales``: what was sold
    over it and is booked when a supervisor confirms the base, oldest first.

    ``doubtful``: a fuelling may lie in the break whose display nobody read.
    """

    meter: Meter
    sales: tuple[KeptSale, ...] = ()
    doubtful: bool = False

    @property
    def nozzle(self) -> int:
        """The nozzle whose meter it is."""
        return self.meter.nozzle


@dataclass(frozen=True, slots=True)
class MeterGap:
    """Litres between a restored database's last total and the base a new incarnation counts from.

    They are booked when head office has told what it knows of them. ``meter``: as restored, ``None`` where nothing
    was; ``read`` and ``held``: what the pump told when the base was laid, at ``read_ms``; ``sales``: what was kept for
    the confirmation of a meter.
    """

    meter: Meter | None
    base: Totalizer
    read: TotalizerReading
    held: HeldSale | None
    unit_price_milli: int
    read_ms: int
    sales: tuple[KeptSale, ...] = ()

    @property
    def nozzle(self) -> int:
        """The nozzle whose meter it is."""
        return self.read.nozzle


@dataclass(frozen=True, slots=True)
class Durable:
    """What is written in the same transaction as the effects of a step; all a restart knows.

    ``last_held``: held values last accounted for (they recognise an old display). ``last_token``/``acked``: the record
    last acknowledged, and whether the device confirmed it. ``resets``: nozzles in METER_RESET, ``replaced``: what is
    kept for each of them. ``alerts``: those standing. ``rebase``: nozzles whose stored total may be an old one, until
    their next read-out; ``counted``: where their counts stood in an earlier life, by the high-water file; ``ends``: what head office said of their last sales, ``None`` until it did; ``gaps``: what it
    must still be asked about. ``counter``: the last number given to a sale of a device without totals, ``None`` before
    its first contact. ``in_force``: the unit price each nozzle is known to sell at. ``rollback``: a lowered price, from
    the wish until the list price is back.
    """

    meters: tuple[Meter, ...] = ()
    open: Fuelling | None = None
    pending: Pending | None = None
    last_held: Fingerprint | None = None
    last_token: str = ""
    acked: bool = True
    resets: tuple[int, ...] = ()
    replaced: tuple[MeterReset, ...] = ()
    unconfirmed: tuple[Unconfirmed, ...] = ()
    alerts: tuple[str, ...] = ()
    rebase: tuple[int, ...] = ()
    counted: tuple[Meter, ...] = ()
    ends: tuple[tuple[int, Totalizer], ...] | None = None
    gaps: tuple[MeterGap, ...] = ()
    counter: int | None = None
    in_force: tuple[tuple[int, int], ...] = ()
    rollback: Rollback | None = None

    def meter(self, nozzle: int | None) -> Meter | None:
        """The stored meter of ``nozzle``."""
        return next((m for m in self.meters if m.nozzle == nozzle), None)

    def reset(self, nozzle: int) -> MeterReset | None:
        """What is kept for ``nozzle`` while its meter waits for confirmation."""
        return next((r for r in self.replaced if r.nozzle == nozzle), None)


@dataclass(frozen=True, slots=True)
class Inflight:
    """A command of this process without its end yet; ``sent_ms`` on the monotonic clock."""

    command_id: str
    kind: str
    sent_ms: int


@dataclass(frozen=True, slots=True)
class Live:
    """The flow as seen: lowest and highest display of this fuelling, when and how much was last saved."""

    floor_ml: int | None = None
    volume_ml: int | None = None
    amount_minor: int | None = None
    saved_at_ms: int = 0
    saved_ml: int = 0

    @property
    def flowing(self) -> bool:
        """Whether the volume was seen rising."""
        return self.volume_ml is not None


@dataclass(frozen=True, slots=True)
class Volatile:
    """What a crash forgets on purpose. Times on the monotonic clock unless a name says wall.

    ``fresh``: nothing was handled since the start. ``accounted``: what the pump holds is booked or known; false makes
    a read-out due. ``ended_wall_ms``: end
    of flow seen, its totals not yet compared. ``released``: section 7 is done since the start or the last gap.
    ``armed``: hung up since then, so that the next lift may be answered. ``blind``: readings may have been missed since
    the last accounting. ``prices``: price the device is known to have per nozzle. ``unresolved``: commands whose end
    nobody knows, for people to see.
    """

    fresh: bool = True
    sequence: int = 0
    online: bool = False
    reading: FuellingPointReading | None = None
    restarts: int | None = None
    accounted: bool = False
    released: bool = False
    armed: bool = False
    blind: bool = True
    ended_wall_ms: int | None = None
    busy_seen: bool = False
    lifted_wall_ms: int | None = None
    lifted_nozzle: int | None = None
    out: bool = False
    out_at_ms: int = 0
    read: Inflight | None = None
    read_failures: int = 0
    read_nozzles: tuple[int, ...] = ()
    read_disturbed: bool = False
    wide: bool = False
    wide_at_ms: int = 0
    retry_at_ms: int = 0
    checked_at_ms: int = 0
    inflight: tuple[Inflight, ...] = ()
    live: Live = Live()
    prices: tuple[tuple[int, int], ...] = ()
    prices_sent: tuple[tuple[int, int], ...] = ()
    prices_tried: int = 0
    prices_at_ms: int = 0
    unpaid: int | None = None
    authorised_at_ms: int | None = None
    authorise_tried: int = 0
    rearm: bool = False
    stop_at_ms: int = 0
    mismatch_reads: int = 0
    ack_failures: int = 0
    confirms: tuple[tuple[int, str], ...] = ()
    unresolved: tuple[Unconfirmed, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """One fuelling point: configured, durable and volatile part."""

    config: PointConfig
    durable: Durable = Durable()
    volatile: Volatile = Volatile()

    @property
    def state(self) -> PointState | None:
        """The state last read, ``None`` before the first reading."""
        return None if self.volatile.reading is None else self.volatile.reading.state

    @property
    def monitored(self) -> bool:
        """Whether we only read."""
        return self.config.mode is ControlMode.MONITOR


def durable(point: Point) -> dict[str, Any]:
    """Return the durable part as a JSON-able dict of integers, strings, booleans, lists and ``None``."""
    d = point.durable
    return {
        "version": DURABLE_VERSION,
        "meters": [_meter_out(m) for m in d.meters],
        "open": None
        if d.open is None
        else _plain(d.open) | {"start": _text(d.open.start), "origin": d.open.origin.value},
        "pending": None if d.pending is None else _plain(d.pending),
        "last_held": _fingerprint_out(d.last_held),
        "last_token": d.last_token,
        "acked": d.acked,
        "resets": list(d.resets),
        "replaced": [_reset_out(reset) for reset in d.replaced],
        "unconfirmed": [_plain(u) for u in d.unconfirmed],
        "alerts": list(d.alerts),
        "rebase": list(d.rebase),
        "counted": [_meter_out(m) for m in d.counted],
        "ends": None if d.ends is None else [[nozzle, str(end)] for nozzle, end in d.ends],
        "gaps": [_gap_out(gap) for gap in d.gaps],
        "counter": d.counter,
        "in_force": [list(entry) for entry in d.in_force],
        "rollback": lowered_out(d.rollback),
    }


def restore(config: PointConfig, stored: Mapping[str, Any] | None, boot: str) -> Point:
    """Return the point after a start: the durable part as ``durable`` gave it, everything volatile unknown.

    Raises ValueError for a dict of another version and KeyError or TypeError for a damaged one.
    """
    config = _with_boot(config, boot)
    if stored is None:
        return Point(config)
    if stored["version"] != DURABLE_VERSION:
        raise ValueError(f"fuelling point {config.number}: stored state has version {stored['version']!r}, expected 1")
    opened, pending = stored["open"], stored["pending"]
    return Point(
        config,
        Durable(
            meters=tuple(_meter_in(m) for m in stored["meters"]),
            open=None
            if opened is None
            else Fuelling(**{**opened, "start": _total(opened["start"]), "origin": Origin(opened["origin"])}),
            pending=None if pending is None else Pending(**pending),
            last_held=_fingerprint_in(stored["last_held"]),
            last_token=stored["last_token"],
            acked=stored["acked"],
            resets=tuple(stored["resets"]),
            replaced=tuple(_reset_in(reset) for reset in stored.get("replaced", ())),
            unconfirmed=tuple(Unconfirmed(**u) for u in stored["unconfirmed"]),
            alerts=tuple(stored["alerts"]),
            rebase=tuple(stored.get("rebase", ())),
            counted=tuple(_meter_in(m) for m in stored.get("counted", ())),
            ends=_ends_in(stored.get("ends")),
            gaps=tuple(_gap_in(gap) for gap in stored.get("gaps", ())),
            counter=stored.get("counter"),
            in_force=tuple((nozzle, price) for nozzle, price in stored.get("in_force", ())),
            rollback=lowered_in(stored.get("rollback")),
        ),
    )


def _with_boot(config: PointConfig, boot: str) -> PointConfig:
    values = {name: getattr(config, name) for name in PointConfig.__slots__}
    return PointConfig(**{**values, "boot": boot})


def _plain(
    record: Fuelling
    | Pending
    | Unconfirmed
    | Meter
    | Fingerprint
    | TotalizerReading
    | HeldSale
    | MeterGap
    | Booking
    | KeptSale
    | MeterReset,
) -> dict[str, Any]:
    return {name: getattr(record, name) for name in type(record).__slots__}


def _text(total: Totalizer | None) -> str | None:
    return None if total is None else str(total)


def _total(text: str | None) -> Totalizer | None:
    return None if text is None else Totalizer.parse(text)


def _fingerprint_out(fingerprint: Fingerprint | None) -> dict[str, Any] | None:
    return None if fingerprint is None else _plain(fingerprint) | {"total": _text(fingerprint.total)}


def _fingerprint_in(stored: Mapping[str, Any] | None) -> Fingerprint | None:
    return None if stored is None else Fingerprint(**{**stored, "total": _total(stored["total"])})


def _meter_out(meter: Meter) -> dict[str, Any]:
    return _plain(meter) | {"total": str(meter.total), "last_sale": _fingerprint_out(meter.last_sale)}


def _meter_in(stored: Mapping[str, Any]) -> Meter:
    values = {**stored, "total": Totalizer.parse(stored["total"]), "last_sale": _fingerprint_in(stored["last_sale"])}
    return Meter(**values)


def _ends_in(stored: list[tuple[int, str]] | None) -> tuple[tuple[int, Totalizer], ...] | None:
    return None if stored is None else tuple((nozzle, Totalizer.parse(end)) for nozzle, end in stored)


def _booking_out(booking: Booking) -> dict[str, Any]:
    ends = {"start": str(booking.start), "end": _text(booking.end)}
    return _plain(booking) | ends | {"kind": booking.kind.value, "flags": list(booking.flags)}


def _booking_in(stored: Mapping[str, Any]) -> Booking:
    ends = {"start": Totalizer.parse(stored["start"]), "end": _total(stored["end"])}
    return Booking(**{**stored, **ends, "kind": SaleKind(stored["kind"]), "flags": tuple(stored["flags"])})


def _kept_out(sale: KeptSale) -> dict[str, Any]:
    return _plain(sale) | {"booking": _booking_out(sale.booking)}


def _kept_in(stored: Mapping[str, Any]) -> KeptSale:
    return KeptSale(**{**stored, "booking": _booking_in(stored["booking"])})


def _reset_out(reset: MeterReset) -> dict[str, Any]:
    return _plain(reset) | {"meter": _meter_out(reset.meter), "sales": [_kept_out(sale) for sale in reset.sales]}


def _reset_in(stored: Mapping[str, Any]) -> MeterReset:
    meter, sales = _meter_in(stored["meter"]), tuple(_kept_in(sale) for sale in stored["sales"])
    return MeterReset(meter, sales, stored["doubtful"])


def _gap_out(gap: MeterGap) -> dict[str, Any]:
    return _plain(gap) | {
        "meter": None if gap.meter is None else _meter_out(gap.meter),
        "base": str(gap.base),
        "read": _plain(gap.read),
        "held": None if gap.held is None else _plain(gap.held),
        "sales": [_kept_out(sale) for sale in gap.sales],
    }


def _gap_in(stored: Mapping[str, Any]) -> MeterGap:
    meter, held = stored["meter"], stored["held"]
    values = {
        "meter": None if meter is None else _meter_in(meter),
        "base": Totalizer.parse(stored["base"]),
        "read": TotalizerReading(**stored["read"]),
        "held": None if held is None else HeldSale(**held),
        "sales": tuple(_kept_in(sale) for sale in stored.get("sales", ())),
    }
    return MeterGap(**{**stored, **values})
