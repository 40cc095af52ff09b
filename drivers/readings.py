"""Frozen records that drivers hand to the agent: levels and facts as a device reports them.

Knows units and shapes. Knows no clock (the agent stamps what arrives), no port and no protocol byte.
Money is integer minor units, volume integer millilitres, unit prices 1/1000 of the major unit per litre,
heights micrometres, temperatures thousandths of a degree Celsius. ``None`` is "unknown", never zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class PointState(StrEnum):
    """Fuelling-point states in the words of the IFSF dispenser standard."""

    INOPERATIVE = "Inoperative"
    CLOSED = "Closed"
    IDLE = "Idle"
    CALLING = "Calling"
    AUTHORISED = "Authorised"
    STARTED = "Started"
    SUSPENDED_STARTED = "SuspendedStarted"
    FUELLING = "Fuelling"
    SUSPENDED_FUELLING = "SuspendedFuelling"


class CommandOutcome(StrEnum):
    """The two-stage result of a command, as in section 8 of docs/sale-safety.md."""

    LINK_ACKED = "LINK_ACKED"
    APPLIED = "APPLIED"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


class Quality(StrEnum):
    """How far a tank reading may be trusted: only ``GOOD`` values enter limits and stock."""

    GOOD = "good"
    SUSPECT = "suspect"
    NO_READING = "no_reading"
    DISPLAY = "display"


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A device (or the whole line) is reachable or not. Sent once per change, not per poll.

    ``device``: fuelling point ``"point:3"``, gauge ``"gauge:tls"``, reader ``"reader:r1"`` or line ``"line:island-1"``.
    ``gap``: readings may have been missed since the device was last seen (silent polls, a reconnect, a restart).
    ``reason``: short cause for people, ``hint``: what to do; both empty when online.
    """

    device: str
    online: bool
    gap: bool = False
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class FuellingPointReading:
    """Level of one fuelling point after a turn in which anything changed, and at least every two seconds while online.

    ``nozzle``: selected logical nozzle 1..15, ``None`` = none or unknown. ``nozzle_out``: ``None`` = unknown.
    ``volume_ml``/``amount_minor``: the display: live values while fuelling, final values afterwards.
    ``unit_price_milli``: price the device shows for ``nozzle``. ``restarts``: how often this process saw the device
    restart (renumbering, CPU-reset or power-failure alarm, price lost); a higher number than before is a gap.
    ``needs_prices``: the device says that it has no prices and cannot sell.
    ``device_alarms``: the device's own alarm words standing now, e.g. ``("emergency stop",)``.
    ``identity``: maker, type and program as the device tells them; empty = not told.
    """

    fuelling_point: int
    state: PointState
    nozzle: int | None = None
    nozzle_out: bool | None = None
    volume_ml: int | None = None
    amount_minor: int | None = None
    unit_price_milli: int | None = None
    restarts: int = 0
    needs_prices: bool = False
    device_alarms: tuple[str, ...] = ()
    identity: str = ""


@dataclass(frozen=True, slots=True)
class TotalizerReading:
    """The meter's running count of one nozzle, raw as the device sent it.

    ``raw`` counts units of ``unit_ml`` and wraps at ``modulus`` (in raw units). ``amount_raw`` (minor units, wraps at
    ``amount_modulus``) is ``None`` where the device keeps no amount total.
    """

    fuelling_point: int
    nozzle: int
    raw: int
    unit_ml: int
    modulus: int
    amount_raw: int | None = None
    amount_modulus: int | None = None


@dataclass(frozen=True, slots=True)
class HeldSale:
    """What the device can still tell about its last fuelling. ``token`` is opaque and goes back in ``Acknowledge``."""

    fuelling_point: int
    nozzle: int | None
    volume_ml: int | None
    amount_minor: int | None
    unit_price_milli: int | None
    token: str


@dataclass(frozen=True, slots=True)
class CompletedSale:
    """Answer to ``ReadSale``: totals, held sale, totals again, as one bundle without a turn of another kind between.

    ``before`` and ``after`` hold one reading per nozzle asked, in the order asked; a nozzle whose total was not read
    in five tries is missing from both. ``held`` is ``None`` where the device holds nothing or did not tell.
    """

    command_id: str
    fuelling_point: int
    before: tuple[TotalizerReading, ...]
    held: HeldSale | None
    after: tuple[TotalizerReading, ...]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How far a command got. Each ends in exactly one of APPLIED, REFUSED or UNKNOWN; LINK_ACKED may come before.

    For ``ReadTotalizer``, ``ReadHeldSale`` and ``ReadSale`` the reading itself comes first, then APPLIED.
    """

    command_id: str
    fuelling_point: int
    outcome: CommandOutcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TankReading:
    """One gauge reply for one tank. ``gauge_index`` is the console's own tank number.

    Volumes in ml as the console reports them (``volume_ml`` contains the water where ``volume_includes_water``),
    ``raw`` keeps the console's own text for audit. A value whose field could not be read is ``None``.
    """

    gauge: str
    gauge_index: int
    quality: Quality
    volume_ml: int | None = None
    tc_volume_ml: int | None = None
    ullage_ml: int | None = None
    height_um: int | None = None
    water_height_um: int | None = None
    temperature_mdegc: int | None = None
    water_volume_ml: int | None = None
    delivery_in_progress: bool | None = None
    invalid_level: bool = False
    product_code: str = ""
    console_time: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GaugeAlarm:
    """One alarm standing at the console. Identity: (category, number, device)."""

    category: int
    number: int
    device: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class GaugeAlarms:
    """All alarms standing at a console now: a level, so an alarm that is missing from the next one has ended."""

    gauge: str
    alarms: tuple[GaugeAlarm, ...] = ()


@dataclass(frozen=True, slots=True)
class GaugeUnits:
    """The units a console works in: 1 US, 2 metric, 3 Imperial. ``changed``: differs from the units seen before."""

    gauge: str
    unit_system: int
    changed: bool = False
    language: int | None = None


@dataclass(frozen=True, slots=True)
class GaugeLimits:
    """Limits the console knows for one tank (functions 604, 621-629), ``None`` where it does not tell."""

    gauge: str
    gauge_index: int
    label: str = ""
    full_volume_ml: int | None = None
    limits_ml: tuple[tuple[str, int], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class GaugeDelivery:
    """One delivery as a console remembers it. ``key`` names it for ever among the deliveries of its tank there.

    ``start``/``end``: the console's own local time without zone ("2026-11-21T23:03"), empty where it is no date.
    ``raw``: the console's own text of the whole record.
    """

    key: str
    start: str
    end: str
    start_volume_ml: int | None = None
    end_volume_ml: int | None = None
    start_tc_volume_ml: int | None = None
    end_tc_volume_ml: int | None = None
    start_height_um: int | None = None
    end_height_um: int | None = None
    start_water_height_um: int | None = None
    end_water_height_um: int | None = None
    start_temperature_mdegc: int | None = None
    end_temperature_mdegc: int | None = None
    raw: str = ""


@dataclass(frozen=True, slots=True)
class GaugeDeliveries:
    """Deliveries of one tank that a console remembers, as a level: the same list is told again after a reconnect.

    ``full``: the console keeps no more than these, older ones may have fallen out. ``delay_min``: how long after its
    end a delivery may still be lengthened, ``None`` = not told. ``console_time``: the console's clock at the reply.
    """

    gauge: str
    gauge_index: int
    deliveries: tuple[GaugeDelivery, ...]
    quality: Quality = Quality.GOOD
    full: bool = False
    delay_min: int | None = None
    console_time: str = ""


OWN_CODE = 0


@dataclass(frozen=True, slots=True)
class GaugeEvent:
    """One entry of a console's alarm history. Identity: (category, number, device, state, time).

    ``category`` ``OWN_CODE``: not a category of TLS consoles but the gauge's own code, kept as history and no alarm.

    ``state``: "occurred" | "cleared" | "" (not told); ``time``: the console's digits as they came.
    """

    category: int
    number: int
    device: int
    state: str
    time: str
    local_time: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class GaugeHistory:
    """The alarm history a console still has, read once after each connect: what came and went while nobody looked."""

    gauge: str
    events: tuple[GaugeEvent, ...]


@dataclass(frozen=True, slots=True)
class TankChart:
    """Strapping points of one tank as the console has them: (``height_um``, ``volume_ml``), lowest first.

    ``source``: the function that told them. ``doubts``: why they cannot be used as they are, in words.
    """

    gauge: str
    gauge_index: int
    points: tuple[tuple[int, int], ...]
    source: str
    diameter_um: int | None = None
    full_volume_ml: int | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CodeScan:
    """One frame from a reader, text as Latin-1, AIM symbology id removed. The text is secret until it is classified."""

    reader: str
    text: str = field(repr=False)
    symbology: str | None = None


@dataclass(frozen=True, slots=True)
class CardTap:
    """One card laid on a reader. ``uid``: what its radio layer shows, ``None`` where the reader cannot tell; ``ndef``:
    the message of its NDEF file without NLEN, ``None`` where it has none. Both are secret until they are judged.
    """

    reader: str
    uid: bytes | None = field(repr=False)
    ndef: bytes | None = field(repr=False)


Reading = (
    DeviceStatus
    | FuellingPointReading
    | TotalizerReading
    | HeldSale
    | CompletedSale
    | CommandResult
    | TankReading
    | GaugeAlarms
    | GaugeUnits
    | GaugeLimits
    | GaugeDeliveries
    | GaugeHistory
    | TankChart
    | CodeScan
    | CardTap
)
