"""The sections of station.toml as frozen models; volumes in ml, prices in 1/1000 per litre, durations in ms.

Knows what one section may hold. What sections must hold together is in ``agent.settings.checks``.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from agent.domain.codes.sun import Profile
from agent.domain.link_windows import Windows
from agent.domain.wetstock.geometry import Ends, LyingCylinder
from agent.domain.wetstock.strapping import Table
from agent.settings.fraud import FraudSettings
from agent.settings.privacy import PrivacySettings
from agent.settings.profile import ProfileSettings
from agent.settings.section import Section
from agent.settings.values import (
    DensityGM3,
    DurationMs,
    LitresMl,
    MinutesOfDay,
    MoneyMilli,
    Network,
    PinHash,
    PriceMilli,
    SizeBytes,
    TimeZone,
    WireName,
)
from drivers.config import LineConfig, PointConfig, SerialSettings
from drivers.registry import Decimals, spec

EXPONENTS = {"CNY": 2, "EUR": 2, "USD": 2, "GBP": 2, "HKD": 2, "SGD": 2, "CHF": 2, "JPY": 0, "KRW": 0, "KWD": 3}
"""Minor-unit exponents of ISO 4217 for the currencies we have checked."""

HANDHELD = "handheld"
"""The kind of reader that has no wire."""


class StationSettings(Section):
    """[station]"""

    id: WireName
    name: str = ""
    timezone: TimeZone = "Asia/Shanghai"
    currency: Literal["CNY", "EUR", "USD", "GBP", "HKD", "SGD", "CHF", "JPY", "KRW", "KWD"] = "CNY"
    business_day_starts: MinutesOfDay = 0
    position: tuple[str, str] | None = None
    services: tuple[str, ...] = ()
    group: WireName = "main"
    language: Literal["zh-CN", "en"] = "zh-CN"
    mode: Literal["live", "training"] = "live"

    @property
    def exponent(self) -> int:
        """Digits of the minor unit of the station's currency."""
        return EXPONENTS[self.currency]

    @property
    def coordinates(self) -> list[float] | None:
        """The position as GeoJSON has it: longitude first, in degrees; the station file says latitude first."""
        return None if self.position is None else [float(degrees) for degrees in reversed(self.position)]

    @property
    def tz(self) -> zoneinfo.ZoneInfo:
        """The station's time zone."""
        return zoneinfo.ZoneInfo(self.timezone)


class StoreSettings(Section):
    """[store]"""

    path: Path = Field(default=Path("/var/lib/forecourt/station.db"), strict=False)
    mark: Path = Field(default=Path("/var/lib/forecourt-mark/mark.json"), strict=False)
    keep_delivered: Annotated[DurationMs, Field(ge=35 * 86_400_000)] = 35 * 86_400_000
    reserve: SizeBytes = 64 * 1024 * 1024
    verify_at: MinutesOfDay = 210


class SerialSection(Section):
    """[line.serial]"""

    baudrate: Annotated[int, Field(ge=300, le=921_600)] | None = None
    data_bits: Literal[7, 8] | None = None
    parity: Literal["none", "even", "odd"] | None = None
    stop_bits: Literal[1, 2] | None = None


class LineSettings(Section):
    """[[line]]: one wire."""

    id: WireName
    port: Annotated[str, Field(min_length=1)]
    protocol: str
    serial: SerialSection = SerialSection()
    options: dict[str, Any] = Field(default_factory=dict)


class NozzleSettings(Section):
    """[[fuelling_point.nozzle]]"""

    id: Annotated[int, Field(ge=1, le=15)]
    grade: str
    tank: int


class DecimalsSection(Section):
    """[fuelling_point.decimals]: digits after the point of what the dispenser sends; unset = as its protocol has it."""

    volume: Annotated[int, Field(ge=0, le=4)] | None = None
    amount: Annotated[int, Field(ge=0, le=4)] | None = None
    unit_price: Annotated[int, Field(ge=0, le=4)] | None = None

    def filled(self, protocol: str) -> Decimals:
        """Return all three, those not set as ``protocol`` has them; ``WiringError`` when nobody speaks it."""
        usual = spec(protocol).decimals
        return Decimals(
            usual.volume if self.volume is None else self.volume,
            usual.amount if self.amount is None else self.amount,
            usual.unit_price if self.unit_price is None else self.unit_price,
        )


class PointSettings(Section):
    """[[fuelling_point]]"""

    id: Annotated[int, Field(ge=1, le=99)]
    line: str
    address: Annotated[int, Field(ge=0, le=255)]
    control: Literal["monitor", "auto", "released", "preset"] = "auto"
    decimals: DecimalsSection = DecimalsSection()
    max_gap_l: LitresMl = 20_000_000
    nozzle: tuple[NozzleSettings, ...] = Field(min_length=1, strict=False)


class TankShapeSection(Section):
    """[tank.shape]: a lying cylinder by its inner measures, for a tank without a strapping table."""

    diameter_mm: Annotated[int, Field(ge=500, le=6_000)]
    length_mm: Annotated[int, Field(ge=500, le=50_000)]
    ends: Literal["flat", "ellipsoidal", "dished"] = "flat"
    end_depth_mm: Annotated[int, Field(ge=0, le=3_000)] = 0

    def cylinder(self) -> LyingCylinder:
        """Return the same in micrometres."""
        return LyingCylinder(1000 * self.diameter_mm, 1000 * self.length_mm, Ends(self.ends), 1000 * self.end_depth_mm)


class StockSettings(Section):
    """[stock]: at which temperature volumes are told, and whether tanks without a water reading count as dry."""

    reference: Literal["15C", "20C", "60F"] = "15C"
    assume_dry: bool = False


class TankSettings(Section):
    """[[tank]]: limits are volumes in litres, water in mm, temperature in degrees Celsius; unset = the default.

    ``line`` None: a tank without a gauge, which is measured by hand; ``gauge_index`` then has no meaning.
    """

    id: Annotated[int, Field(ge=1, le=99)]
    grade: str
    line: str | None = None
    gauge_index: Annotated[int, Field(ge=1, le=99)] = 1
    capacity_l: LitresMl
    heel_l: LitresMl | None = None
    maximum_l: LitresMl | None = None
    high_l: LitresMl | None = None
    overfill_l: LitresMl | None = None
    delivery_needed_l: LitresMl | None = None
    low_l: LitresMl | None = None
    water_warning_mm: Annotated[int, Field(ge=0, le=500)] | None = None
    water_alarm_mm: Annotated[int, Field(ge=0, le=500)] | None = None
    high_temperature_c: Annotated[int, Field(ge=-60, le=90)] | None = None
    low_temperature_c: Annotated[int, Field(ge=-60, le=90)] | None = None
    strapping_file: Path | None = Field(default=None, strict=False)
    shape: TankShapeSection | None = None
    density_kg_m3: DensityGM3 | None = None

    def limit_overrides(self) -> dict[str, int]:
        """Return the limits given here by the names of ``TankLimits``: ml, um, thousandths of a degree."""
        thousandfold = {
            "water_warning_um": self.water_warning_mm,
            "water_alarm_um": self.water_alarm_mm,
            "high_temperature_mdegc": self.high_temperature_c,
            "low_temperature_mdegc": self.low_temperature_c,
        }
        volumes = {
            "maximum_product_ml": self.maximum_l,
            "high_product_ml": self.high_l,
            "overfill_ml": self.overfill_l,
            "delivery_needed_ml": self.delivery_needed_l,
            "low_product_ml": self.low_l,
        }
        given = {name: value for name, value in volumes.items() if value is not None}
        return given | {name: 1000 * value for name, value in thousandfold.items() if value is not None}


class ReaderSettings(Section):
    """[[reader]]: one fuelling point makes it fixed, several make it roaming. A handheld has no port."""

    id: WireName
    kind: Literal["serial-scanner", "hid", "pcsc", "pn532", "handheld"] = "serial-scanner"
    port: str = ""
    serial: SerialSection = SerialSection()
    options: dict[str, Any] = Field(default_factory=dict)
    fuelling_points: tuple[int, ...] = Field(min_length=1, strict=False)


class StaffSettings(Section):
    """[[staff]]: one person of the station; ``badge``: the keyed index of a badge's number, 32 hex digits."""

    id: WireName
    name: Annotated[str, Field(min_length=1, max_length=64)]
    role: Literal["attendant", "supervisor", "technician"] = "attendant"
    pin_hash: PinHash | None = None
    badge: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None


class ShiftSettings(Section):
    """[shift]: sign-ins and shifts. ``one_terminal``: who signs in elsewhere is signed out where they were."""

    open_max: Annotated[DurationMs, Field(ge=3_600_000)] = 26 * 3_600_000
    badge_signs_in: bool = False
    one_terminal: bool = False


class GradeSettings(Section):
    """[grade.<code>]"""

    name: str
    product: Literal["petrol", "diesel", "lpg", "cng", "other"] = "petrol"
    unit_price: PriceMilli
    density_kg_m3: DensityGM3 | None = None
    expansion_ppm: Annotated[int, Field(ge=100, le=3_000)] | None = None


class SalesSettings(Section):
    """[sales]: when a sale is settled, and the windows of linking."""

    settle: Literal["auto", "tender"] = "auto"
    unpaid_max: Annotated[int, Field(ge=1, le=20)] = 2
    settle_after: DurationMs = 30_000
    link_after: DurationMs = 600_000
    link_before: DurationMs = 180_000
    choose: DurationMs = 60_000
    change: DurationMs = 180_000
    claim: DurationMs = 120_000
    first_scan: DurationMs = 30_000
    undo: DurationMs = 10_000
    late: DurationMs = 86_400_000
    auto_tender: Literal["cash", "card", "account"] = "cash"
    hold_quote: Annotated[DurationMs, Field(ge=10_000, le=3_600_000)] = 180_000

    def holds_ms(self, until_ms: int, wall_ms: int) -> int:
        """Return how long a quote still holds its price: never longer than a fresh one, whatever the clock says."""
        return min(max(0, until_ms - wall_ms), self.hold_quote)

    def settles_in_ms(self, due_ms: int, wall_ms: int) -> int:
        """Return how long a sale that settles at ``due_ms`` still waits.

        Never longer than its whole window: a clock that stands in 1970 must not put a settlement off for 56 years.
        """
        return min(max(0, due_ms - wall_ms), max(self.settle_after, self.link_after))

    def windows(self) -> Windows:
        """Return the windows of linking; ``Windows.problems`` judges them."""
        return Windows(
            choose_s=self.choose // 1000,
            before_s=self.link_before // 1000,
            after_s=self.link_after // 1000,
            change_s=self.change // 1000,
            claim_s=self.claim // 1000,
            first_scan_s=self.first_scan // 1000,
            undo_s=self.undo // 1000,
            settle_s=self.settle_after // 1000,
            late_h=self.late // 3_600_000,
        )


class HeadOfficeSettings(Section):
    """[head_office]"""

    broker: Annotated[str, Field(pattern=r"^mqtts?://[^/:\s]+(:[0-9]{1,5})?$")] = "mqtt://127.0.0.1:1883"
    password_file: Path | None = Field(default=None, strict=False)
    ca_file: Path | None = Field(default=None, strict=False)
    certificate_file: Path | None = Field(default=None, strict=False)
    key_file: Path | None = Field(default=None, strict=False)
    keys_file: Path | None = Field(default=None, strict=False)
    index_key_file: Path | None = Field(default=None, strict=False)
    card_keys_file: Path | None = Field(default=None, strict=False)
    reconnect_max: Annotated[DurationMs, Field(ge=1_000)] = 300_000
    telemetry_every: Annotated[DurationMs, Field(ge=1_000)] = 300_000
    points_every: Annotated[DurationMs, Field(ge=1_000)] = 900_000
    telemetry_backlog: Annotated[int, Field(ge=100, le=10_000_000)] = 5_000
    telemetry_keep: Annotated[int, Field(ge=2, le=1_000)] = 12


class CardLayout(Section):
    """[[loyalty.card]]: a numeric card layout."""

    prefix: Annotated[str, Field(pattern=r"^[0-9]{0,12}$")]
    length: Annotated[int, Field(ge=6, le=24)]
    check: Literal["luhn", "none"] = "luhn"


class LevelSettings(Section):
    """[loyalty.levels]: what a member may have on one local day; money in 1/1000, fuel in ml."""

    redeem_a_day: MoneyMilli = 50_000
    uid_sales: Annotated[int, Field(ge=0, le=100)] = 2
    uid_volume_l: LitresMl = 200_000


class SunSection(Section):
    """[[loyalty.sun]]: the parameters of the links that signing cards write; ``enc`` and ``mac`` as ``sun.Profile``."""

    picc: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,32}$")] = "e"
    mac: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,32}$")] | None = "c"
    enc: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,32}$")] | None = None

    def profile(self) -> Profile:
        """Return the same for the judge of messages."""
        return Profile(self.picc, self.mac, self.enc)


class LoyaltySettings(Section):
    """[loyalty]: ``unit_cost_milli``: what a point costs, in 1/1000 of the currency; ``breakage_bp``: never spent.

    ``pending``, ``pending_doubtful``: how long points wait at least, unset = as the rules say.
    ``live_wait``: how long a customer waits for head office's word on points and coupons, 0 = only leases count.
    ``floor_points``: what a member may spend a day where nothing is lent; 0 = nothing.
    ``budget_lease``, ``budget_low``: how much of a campaign's budget to borrow, and at what rest to borrow again.
    ``uid_cards``: a card that signs nothing is recognised by its id. ``sun_fallback``: so is one that signs, where its
    key is not here.
    """

    sun: tuple[SunSection, ...] = Field(default=(SunSection(),), min_length=1, max_length=8, strict=False)
    uid_cards: bool = False
    sun_fallback: bool = False
    card: tuple[CardLayout, ...] = Field(default=(CardLayout(prefix="9", length=16),), strict=False)
    pump_rollback: bool = False
    pending: Annotated[DurationMs, Field(ge=1_000)] | None = None
    pending_doubtful: Annotated[DurationMs, Field(ge=1_000)] | None = None
    levels: LevelSettings = LevelSettings()
    unit_cost_milli: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    breakage_bp: Annotated[int, Field(ge=0, le=10_000)] = 0
    floor_points: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    live_wait: Annotated[DurationMs, Field(le=10_000)] = 3_000
    budget_lease: MoneyMilli = 200_000
    budget_low: MoneyMilli = 50_000

    def budget_minor(self, exponent: int) -> tuple[int, int] | None:
        """Return what of a budget to borrow and at what rest to borrow again, ``None`` where nothing is borrowed."""
        lease, low = (milli * 10**exponent // 1000 for milli in (self.budget_lease, self.budget_low))
        return (lease, low) if lease > 0 else None


class ControlSettings(Section):
    """[control]: the local Unix socket; who may act is decided by peer credentials."""

    socket: Path = Field(default=Path("/run/forecourt/control.sock"), strict=False)
    supervisors: tuple[str, ...] = Field(default=("root",), strict=False)


class BoardSettings(Section):
    """[board]: the station's own web server for handhelds; without this section there is none.

    ``networks``: who may come, beside this machine. Port 0: any free one.
    """

    listen: Annotated[str, Field(pattern=r"^([^:\s\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$")]
    certificate_file: Path | None = Field(default=None, strict=False)
    key_file: Path | None = Field(default=None, strict=False)
    networks: tuple[Network, ...] = Field(default=(), strict=False)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen at."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class BackupSettings(Section):
    """[backup]: without this section no backups are made; with it they are encrypted to the keys of a file."""

    recipients_file: Path = Field(strict=False)
    folder: Path = Field(default=Path("/var/lib/forecourt/backups"), strict=False)
    at: MinutesOfDay = 180
    keep_days: Annotated[int, Field(ge=1, le=366)] = 14
    keep_months: Annotated[int, Field(ge=0, le=120)] = 12
    copy_to: Path | None = Field(default=None, strict=False)
    identity_file: Path | None = Field(default=None, strict=False)
    alert_after: Annotated[DurationMs, Field(ge=3_600_000)] = 26 * 3_600_000


class Settings(Section):
    """The whole file; ``tables``: the strapping tables that it names, by tank, read when it is."""

    station: StationSettings
    profile: ProfileSettings = ProfileSettings()
    store: StoreSettings = StoreSettings()
    line: tuple[LineSettings, ...] = ()
    fuelling_point: tuple[PointSettings, ...] = ()
    tank: tuple[TankSettings, ...] = ()
    reader: tuple[ReaderSettings, ...] = ()
    staff: tuple[StaffSettings, ...] = ()
    grade: dict[str, GradeSettings] = Field(default_factory=dict)
    sales: SalesSettings = SalesSettings()
    head_office: HeadOfficeSettings = HeadOfficeSettings()
    loyalty: LoyaltySettings = LoyaltySettings()
    control: ControlSettings = ControlSettings()
    shift: ShiftSettings = ShiftSettings()
    backup: BackupSettings | None = None
    board: BoardSettings | None = None
    stock: StockSettings = StockSettings()
    fraud: FraudSettings = FraudSettings()
    privacy: PrivacySettings = PrivacySettings()
    tables: dict[int, Table] = Field(default_factory=dict)
    hash: str = ""

    def line_configs(self) -> tuple[LineConfig, ...]:
        """Return what the drivers are told: one record per wire, readers included."""
        exponent = self.station.exponent
        lines = [
            line_config(
                line,
                [point for point in self.fuelling_point if point.line == line.id],
                [tank for tank in self.tank if tank.line == line.id],
                exponent,
            )
            for line in self.line
        ]
        return tuple(lines + [reader_config(reader) for reader in self.reader if reader.kind != HANDHELD])

    @property
    def handhelds(self) -> tuple[ReaderSettings, ...]:
        """The readers that come by themselves, through the station's web server."""
        return tuple(reader for reader in self.reader if reader.kind == HANDHELD)


def line_config(
    line: LineSettings, points: Sequence[PointSettings], tanks: Sequence[TankSettings], exponent: int
) -> LineConfig:
    """Return what the driver of one line is told. ``exponent``: digits of the currency's minor unit.

    Raises ``WiringError`` when no driver has the line's protocol.
    """
    return LineConfig(
        id=line.id,
        port=line.port,
        protocol=line.protocol,
        serial=_serial(line.serial),
        options=line.options,
        points=tuple(_point(point, exponent, point.decimals.filled(line.protocol)) for point in points),
        tanks=tuple(tank.gauge_index for tank in tanks),
    )


def reader_config(reader: ReaderSettings) -> LineConfig:
    """Return what the driver of one reader is told."""
    return LineConfig(
        id=reader_line_id(reader.id),
        port=reader.port,
        protocol=reader.kind,
        serial=_serial(reader.serial),
        options=reader.options,
        reader=reader.id,
    )


def reader_line_id(reader: str) -> str:
    """Return the name of the wire of a reader, which no line may have."""
    return f"reader-{reader}"


def _serial(section: SerialSection) -> SerialSettings:
    return SerialSettings(section.baudrate, section.data_bits, section.parity, section.stop_bits)


def _point(point: PointSettings, exponent: int, decimals: Decimals) -> PointConfig:
    return PointConfig(
        fuelling_point=point.id,
        address=point.address,
        nozzles=tuple(n.id for n in point.nozzle),
        volume_decimals=decimals.volume,
        amount_decimals=decimals.amount,
        unit_price_decimals=decimals.unit_price,
        currency_exponent=exponent,
        sends_commands=point.control != "monitor",
    )
