"""What stands on the simulated forecourt: plain frozen records, their JSON form and the default station.

Knows no physics and no protocol. Volumes in ml, prices in 1/1000 of the major unit per litre, heights in micrometres.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

READER_KINDS = ("scanner", "pn532")


class ConfigError(ValueError):
    """The configuration is wrong; the message names the place and says what to do."""


@dataclass(frozen=True, slots=True)
class NozzleConfig:
    """One hose: ``number`` is the logical nozzle on the wire (1..15), ``tank`` the console's tank number."""

    number: int
    grade: str
    tank: int
    unit_price_milli: int


@dataclass(frozen=True, slots=True)
class PumpConfig:
    """One fuelling point. ``address``: wire address (DART: 0x50..0x6F). ``programmed``: has prices when switched on
    (state 5, not 0).

    ``totals_layout``: 16 (volume or amount total per request) or 13 (both in one reply), the LNG of the answer to
    CD101.
    ``totalizer_start``: raw count of every nozzle in 10 ml units; ``None`` = chosen from the seed.
    ``nak_bad_crc``: answer a damaged block with NAK instead of silence.
    """

    number: int
    address: int
    nozzles: tuple[NozzleConfig, ...]
    programmed: bool = True
    totals_layout: int = 16
    totalizer_start: int | None = None
    nak_bad_crc: bool = False


@dataclass(frozen=True, slots=True)
class LineConfig:
    """One dispenser wire. ``pace_baud``: 0 = replies go out at once, else with the character times of that rate.

    ``protocol``: what its pumps speak (``forecourt.BUSES``), or its gauge (``forecourt.GAUGES``: a line without
    points). ``tcp``: served on a TCP port instead of a pty (Modbus).
    """

    name: str
    points: tuple[PumpConfig, ...]
    pace_baud: int = 0
    protocol: str = "dart"
    tcp: bool = False


@dataclass(frozen=True, slots=True)
class TankConfig:
    """One tank: a horizontal cylinder. Limits are those of the gauge console (functions 621-629)."""

    number: int
    label: str
    product_code: str
    full_ml: int
    start_ml: int
    low_product_ml: int
    delivery_needed_ml: int
    high_product_ml: int
    overfill_ml: int
    max_volume_ml: int
    diameter_um: int = 2_500_000
    water_um: int = 4_000
    water_warning_um: int = 30_000
    water_alarm_um: int = 50_000
    temperature_mdegc: int = 18_500
    thermal_ppm_per_degc: int = 1_200


@dataclass(frozen=True, slots=True)
class DeliveryConfig:
    """One tanker: ``start_s`` in simulated seconds, ``rate_ml_per_min`` 200,000..1,000,000 is realistic."""

    tank: int
    start_s: int
    volume_ml: int
    rate_ml_per_min: int


@dataclass(frozen=True, slots=True)
class ConsoleConfig:
    """The tank gauge console. ``units``: 1 US, 2 metric, 3 Imperial. ``utc_offset_min``: its clock against UTC.

    ``floats``: values per inventory record (6, 7 or 8). ``computer_format``: false = answers 9999 to every ``i``
    question.
    ``range_query``: knows deliveries in a range (20F), as newer models do. ``refuses``: functions answered 9999.
    ``answers_after``: "length" (as soon as the question is complete), "CR" or "LF". ``closes_after_reply``: TCP habit
    of some.
    """

    name: str = "gauge"
    tcp: bool = True
    pty: bool = False
    units: int = 2
    language: int = 15
    floats: int = 7
    security_code: str = ""
    software: str = "SOFTWARE# 346330-100-B CREATED - 21.11.14.09.21"
    utc_offset_min: int = 480
    delivery_delay_min: int = 1
    computer_format: bool = True
    display_format: bool = True
    answers_after: str = "length"
    end_of_message: str = "\x03"
    seven_bits_even_parity: bool = False
    closes_after_reply: bool = False
    range_query: bool = False
    refuses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReaderConfig:
    """One reader on a pty of its own. One point = fixed reader; several = roaming (types ``FP:<n>`` before the code).

    ``kind``: "scanner", which types codes, or "pn532", on which cards are laid: always fixed.
    """

    name: str
    points: tuple[int, ...]
    kind: str = "scanner"
    terminator: str = "\r\n"
    preamble: str = ""
    one_byte_at_a_time: bool = False
    double_read: bool = False


@dataclass(frozen=True, slots=True)
class CustomerConfig:
    """How people behave. Times are simulated milliseconds, shares are per mille of all customers.

    The defaults are a rush hour: a demonstration of 40 s at speed 10 sees some 30 fuellings although the wire and the
    agent do not get faster. ``members``: carry a card; of those ``scan_first``, then ``scan_during``, the rest after
    hanging up. ``zero_lifts``: lift and hang up without fuelling. ``second_sales``: fuel again at once.
    ``wrong_codes``: also show a code that is no known card. ``open_on_first_poll``: nobody comes before the first
    poll, and then only after ``opening_s`` seconds on the wire (the station still reads its counters).
    ``opens_when_told``: nobody comes before ``let_in`` either (SIGUSR2 of the process).
    ``patience``: how long somebody waits for authorisation; above speed 10 it grows with the speed.
    """

    gap_mean_ms: int = 2_000
    gap_max_ms: int = 6_000
    arrive_max_ms: int = 2_500
    target_min_ml: int = 2_500
    target_max_ml: int = 14_000
    flow_max_ml_per_min: int = 40_000
    ramp_ms: int = 1_500
    patience_min_ms: int = 60_000
    patience_max_ms: int = 90_000
    dwell_max_ms: int = 2_000
    scan_after_max_ms: int = 5_000
    members: int = 700
    scan_first: int = 400
    scan_during: int = 300
    zero_lifts: int = 50
    second_sales: int = 100
    wrong_codes: int = 80
    open_on_first_poll: bool = True
    opening_s: int = 3
    opens_when_told: bool = False


@dataclass(frozen=True, slots=True)
class ForecourtConfig:
    """The whole simulated station. ``cards``: texts that members' cards carry, or names that a ``Wallet`` knows."""

    lines: tuple[LineConfig, ...]
    tanks: tuple[TankConfig, ...]
    console: ConsoleConfig = ConsoleConfig()
    readers: tuple[ReaderConfig, ...] = ()
    customers: CustomerConfig = CustomerConfig()
    deliveries: tuple[DeliveryConfig, ...] = ()
    cards: tuple[str, ...] = ()
    state_dir: str = ""
    command_file: bool = field(default=True)

    @property
    def points(self) -> tuple[PumpConfig, ...]:
        """All fuelling points of all lines, in the order of the lines."""
        return tuple(point for line in self.lines for point in line.points)

    def check(self) -> None:
        """Raise ``ConfigError`` naming the first contradiction."""
        points = self.points
        tanks = {tank.number for tank in self.tanks}
        _unique("fuelling point number", [p.number for p in points])
        _unique("tank number", [t.number for t in self.tanks])
        _unique("name", [*(x.name for x in self.lines), self.console.name, *(x.name for x in self.readers)])
        for line in self.lines:
            _unique(f"address on line {line.name}", [p.address for p in line.points])
        for line in self.lines:
            for point in line.points:
                _check_point(point, line.protocol, tanks)
        for delivery in self.deliveries:
            if delivery.tank not in tanks:
                raise ConfigError(f"delivery into tank {delivery.tank}: no such tank; add it to tanks")
        for reader in self.readers:
            if not reader.points or not set(reader.points) <= {p.number for p in points}:
                raise ConfigError(f"reader {reader.name}: points must name existing fuelling points")
            if reader.kind not in READER_KINDS or (reader.kind == "pn532" and len(reader.points) > 1):
                raise ConfigError(f"reader {reader.name}: kind is scanner, or pn532 with one point")


def card_numbers(count: int) -> tuple[str, ...]:
    """``count`` numeric card numbers: 16 digits, first digit 9, Luhn check digit last."""
    return tuple(with_luhn(f"9156{index:011d}") for index in range(1, count + 1))


def with_luhn(payload: str) -> str:
    """``payload`` plus its Luhn digit (ISO/IEC 7812): from the right, every second digit doubled, starting beside the
    check digit.
    """
    total = 0
    for position, digit in enumerate(reversed(payload)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return payload + str(-total % 10)


def default_config(state_dir: str | Path, *, cards: tuple[str, ...] | None = None, islands: int = 1) -> ForecourtConfig:
    """Points 1-4 (addresses 50-53 hex), three tanks, a console on TCP, three code readers.

    ``islands``: on how many wires the points are spread (``island-1``, ``island-2``, ...): 1, 2 or 4.
    """
    assert islands in {1, 2, 4}
    nozzles = (
        NozzleConfig(1, "92", 1, 7_850),
        NozzleConfig(2, "95", 2, 8_360),
        NozzleConfig(3, "0", 3, 7_490),
    )
    points = tuple(PumpConfig(number, 0x4F + number, nozzles) for number in range(1, 5))
    each = len(points) // islands
    return ForecourtConfig(
        lines=tuple(LineConfig(f"island-{n + 1}", points[n * each : (n + 1) * each]) for n in range(islands)),
        tanks=(
            _tank(1, "92", "1", 30_000, start_l=18_400),
            _tank(2, "95", "2", 20_000, start_l=8_200),
            # 15 L above its low limit: the second diesel customer or so raises the low product alarm
            _tank(3, "DIESEL 0", "3", 30_000, start_l=3_015, thermal_ppm=830),
        ),
        readers=(
            ReaderConfig("reader-1", (1,)),
            ReaderConfig("reader-2", (2,)),
            ReaderConfig("reader-roaming", (3, 4)),
        ),
        deliveries=(DeliveryConfig(tank=2, start_s=60, volume_ml=2_400_000, rate_ml_per_min=600_000),),
        cards=card_numbers(40) if cards is None else cards,
        state_dir=str(state_dir),
    )


def load_config(path: str | Path) -> ForecourtConfig:
    """Read the JSON form (the field names of the records here; optional ones may be missing); ``ConfigError`` if it
    is wrong.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check --config") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not JSON: {error}; write one with --write-config") from error
    config = _build(ForecourtConfig, data, str(path))
    assert isinstance(config, ForecourtConfig)
    config.check()
    return config


def dump_config(config: ForecourtConfig) -> str:
    """The JSON form that ``load_config`` reads."""
    return json.dumps(dataclasses.asdict(config), indent=2, ensure_ascii=False) + "\n"


def _tank(number: int, label: str, code: str, full_l: int, *, start_l: int, thermal_ppm: int = 1_200) -> TankConfig:
    full = full_l * 1000
    return TankConfig(
        number=number,
        label=label,
        product_code=code,
        full_ml=full,
        start_ml=start_l * 1000,
        low_product_ml=3_000_000,
        delivery_needed_ml=2_000_000,
        high_product_ml=full * 95 // 100,
        overfill_ml=full * 90 // 100,
        max_volume_ml=full * 98 // 100,
        thermal_ppm_per_degc=thermal_ppm,
    )


def _unique(what: str, values: list[int] | list[str]) -> None:
    for value in values:
        if list(values).count(value) > 1:
            raise ConfigError(f"{what} {value} is used twice; give each its own")


def _check_point(point: PumpConfig, protocol: str, tanks: set[int]) -> None:
    where = f"fuelling point {point.number}"
    if protocol == "dart" and not 0x50 <= point.address <= 0x6F:
        raise ConfigError(f"{where}: address {point.address} must be 80..111 (50..6F hex)")
    if protocol == "gilbarco" and not 1 <= point.address <= 16:
        raise ConfigError(f"{where}: address {point.address} must be 1..16")
    if point.totals_layout not in {13, 16}:
        raise ConfigError(f"{where}: totals_layout must be 13 or 16")
    if not point.nozzles or [n.number for n in point.nozzles] != list(range(1, len(point.nozzles) + 1)):
        raise ConfigError(f"{where}: nozzles must be numbered 1, 2, ... without a gap")
    for nozzle in point.nozzles:
        if nozzle.tank not in tanks:
            raise ConfigError(f"{where} nozzle {nozzle.number}: tank {nozzle.tank} does not exist; add it to tanks")
        if not 0 < nozzle.unit_price_milli <= 999_999:
            raise ConfigError(
                f"{where} nozzle {nozzle.number}: unit_price_milli must be 1..999999 (six digits on the wire)"
            )


def _build(kind: Any, data: object, where: str) -> object:
    """``data`` from JSON as an instance of the annotated ``kind``; errors name the place."""
    if get_origin(kind) is types.UnionType:
        return None if data is None else _build(next(k for k in get_args(kind) if k is not type(None)), data, where)
    if get_origin(kind) is tuple:
        if not isinstance(data, list):
            raise ConfigError(f"{where}: must be a list")
        return tuple(_build(get_args(kind)[0], item, f"{where}[{n}]") for n, item in enumerate(data))
    if dataclasses.is_dataclass(kind):
        return _build_record(kind, data, where)
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise ConfigError(f"{where}: must be {kind.__name__}, not {type(data).__name__}")
    return data


def _build_record(kind: Any, data: object, where: str) -> object:
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: must be an object")
    hints = get_type_hints(kind)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(hints))}")
    required = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    for name in required:
        if name not in data:
            raise ConfigError(f"{where}: {name} is missing")
    return kind(**{name: _build(hints[name], value, f"{where}.{name}") for name, value in data.items()})
