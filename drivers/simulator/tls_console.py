"""A tank gauge console: answers the inquiries of the TLS sheet from the tanks of the world, keeps alarms, deliveries.

Works on bytes handed in and out; knows no port and no thread. A set function is logged and answered "not known".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from drivers.simulator import tls_frames as tls
from drivers.simulator.buses import CommandLog, MasterCommand
from drivers.simulator.config import ConsoleConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.tank import Tank

DELIVERIES_KEPT = 10
SPIKE_UM = 80_000
DELIVERY_BIT, INVALID_HEIGHT_BIT = 0x0001, 0x0004
CLOCK_DRIFT = timedelta(minutes=17)
TANK_CATEGORY = 2
HIGH_WATER, OVERFILL, LOW, HIGH, INVALID, PROBE_OUT = 3, 4, 5, 7, 8, 9
WATER_WARNING, DELIVERY_NEEDED, MAXIMUM = 10, 11, 12
ALARM_WORDS = {
    HIGH_WATER: "HIGH WATER ALARM",
    OVERFILL: "OVERFILL ALARM",
    LOW: "LOW PRODUCT ALARM",
    HIGH: "HIGH PRODUCT ALARM",
    INVALID: "INVALID FUEL LEVEL",
    PROBE_OUT: "PROBE OUT",
    WATER_WARNING: "HIGH WATER WARNING",
    DELIVERY_NEEDED: "DELIVERY NEEDED",
    MAXIMUM: "MAX PRODUCT ALARM",
}
ML_PER_UNIT = {1: 3_785.411784, 2: 1_000.0, 3: 4_546.09}
REFERENCE_MDEGC = 15_000
STATION = ("SIMULATED FORECOURT", "STATION 0001", "", "")


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe sees at one moment. ``out`` = no reading."""

    volume_ml: int
    water_um: int
    temperature_mdegc: int
    out: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One delivery as the console remembers it."""

    start: datetime
    end: datetime
    before: Probe
    after: Probe


class TlsConsole:
    """``now_ms`` is set by whoever moves the clock; ``epoch`` is the wall time (with time zone) at simulated zero."""

    def __init__(
        self,
        config: ConsoleConfig,
        tanks: dict[int, Tank],
        board: FaultBoard,
        *,
        epoch: datetime = datetime(2026, 1, 5, 6, 0, tzinfo=UTC),
        log: CommandLog | None = None,
    ) -> None:
        self.config = config
        self.log = CommandLog() if log is None else log
        self.now_ms = 0
        self._tanks = tanks
        self._board = board
        self._epoch = epoch.astimezone(UTC)
        self._frozen: dict[int, Probe] = {}
        self._delivering: dict[int, tuple[datetime, Probe]] = {}
        self._deliveries: dict[int, deque[DeliveryRecord]] = {n: deque(maxlen=DELIVERIES_KEPT) for n in tanks}
        self._unacknowledged: set[tuple[int, int]] = set()
        self._functions: dict[str, Callable[[str, list[int]], str]] = self._table()

    def reader(self) -> tls.QuestionReader:
        """A question reader for one connection."""
        config = self.config
        return tls.QuestionReader(
            security_code=config.security_code,
            answers_after=config.answers_after,
            seven_bits=config.seven_bits_even_parity,
        )

    def receive(self, data: bytes) -> bytes:
        """One complete question in, its reply out (empty = silence); for tests on a virtual clock."""
        return b"".join(self.answer(question) for question in self.reader().feed(data))

    def step(self, now_ms: int) -> None:
        """Time passes: deliveries begin and end, alarms come."""
        self.now_ms = now_ms
        for number, tank in self._tanks.items():
            if tank.delivering and number not in self._delivering:
                self._delivering[number] = (self.clock(), self.probe(number))
            elif not tank.delivering and number in self._delivering:
                start, before = self._delivering.pop(number)
                self._deliveries[number].appendleft(DeliveryRecord(start, self.clock(), before, self.probe(number)))
            self._unacknowledged |= {(number, alarm) for alarm in self.alarms(number)}

    def acknowledge(self) -> None:
        """A person presses the acknowledge key at the console."""
        self._unacknowledged.clear()

    def answer(self, question: tls.Question) -> bytes:
        """The reply; empty when the console keeps silent."""
        name = "SET" if question.letter in "sS" else "INQUIRY"
        self.log.add(MasterCommand(self.now_ms, None, name, 0, question.text + question.data))
        if self._board.active("gauge-silent", self.config.name):
            return b""
        if question.code != self.config.security_code:
            return b"" if self.config.security_code else tls.NOT_KNOWN
        out = self._computer(question) if question.letter == "i" else self._display(question)
        return tls.with_even_parity(out) if self.config.seven_bits_even_parity else out

    def clock(self) -> datetime:
        """The console's own idea of local time."""
        local = self._epoch + timedelta(milliseconds=self.now_ms, minutes=self.config.utc_offset_min)
        return local + CLOCK_DRIFT if self._board.active("gauge-clock-drift", self.config.name) else local

    def units(self) -> int:
        """1 US, 2 metric, 3 Imperial."""
        if self._board.active("units-changed", self.config.name):
            return 1 if self.config.units != 1 else 2
        return self.config.units

    def probe(self, number: int) -> Probe:
        """What the probe of a tank sees now, with its faults."""
        tank = self._tanks[number]
        board = self._board
        now = Probe(
            tank.volume_ml,
            tank.water_um + (SPIKE_UM if board.active("water-spike", number) else 0),
            tank.temperature_mdegc,
            out=board.active("probe-out", number),
        )
        if not board.active("gauge-frozen", number):
            self._frozen.pop(number, None)
            return now
        return replace(self._frozen.setdefault(number, now), out=now.out)

    def alarms(self, number: int) -> list[int]:
        """Numbers of category 02 that stand at a tank now, ascending."""
        probe, limits = self.probe(number), self._tanks[number].config
        if probe.out:
            return [PROBE_OUT]
        standing = {
            HIGH_WATER: probe.water_um >= limits.water_alarm_um,
            OVERFILL: probe.volume_ml >= limits.overfill_ml and self._tanks[number].delivering,
            LOW: probe.volume_ml < limits.low_product_ml,
            HIGH: probe.volume_ml >= limits.high_product_ml,
            WATER_WARNING: limits.water_warning_um <= probe.water_um < limits.water_alarm_um,
            DELIVERY_NEEDED: probe.volume_ml < limits.delivery_needed_ml,
            MAXIMUM: probe.volume_ml >= limits.max_volume_ml,
        }
        return [number for number, stands in standing.items() if stands]

    # --- computer format -------------------------------------------------------------------------------------------
    def _computer(self, question: tls.Question) -> bytes:
        chosen = self._chosen(question.device)
        function = self._functions.get(question.function)
        if not self.config.computer_format or function is None or chosen is None:
            return tls.NOT_KNOWN
        data = tls.clock_field(self.clock()) + function(question.device, chosen)
        return tls.reply(question.text, data, self.config.end_of_message)

    def _chosen(self, device: str) -> list[int] | None:
        """Tank numbers meant by TT; ``None`` where there is no such tank."""
        if not device.isdecimal():
            return None
        if device == "00":
            return sorted(self._tanks)
        return [int(device)] if int(device) in self._tanks else None

    def _table(self) -> dict[str, Callable[[str, list[int]], str]]:
        def per_tank(field: Callable[[int], str]) -> Callable[[str, list[int]], str]:
            return lambda _device, chosen: "".join(f"{n:02d}{field(n)}" for n in chosen)

        def volume(name: str) -> Callable[[str, list[int]], str]:
            return per_tank(lambda n: tls.float_field(self._volume(getattr(self._tanks[n].config, name))))

        def height(name: str) -> Callable[[str, list[int]], str]:
            return per_tank(lambda n: tls.float_field(self._height(getattr(self._tanks[n].config, name))))

        return {
            "101": lambda _device, _chosen: self._active_alarms(),
            "201": lambda _device, chosen: "".join(self._inventory(n) for n in chosen),
            "202": per_tank(lambda n: self._delivery_records(n, DELIVERIES_KEPT)),
            "20C": per_tank(lambda n: self._delivery_records(n, 1)),
            "205": per_tank(lambda n: f"{len(self.alarms(n)):02X}" + "".join(f"{a:02d}" for a in self.alarms(n))),
            "501": lambda _device, _chosen: tls.clock_field(self.clock()),
            "505": lambda _device, _chosen: f"{self.units()}1",
            "517": lambda _device, _chosen: f"{self.units()}{self.config.language:02d}",
            "50E": lambda _device, _chosen: tls.float_field(self._temperature(REFERENCE_MDEGC)),
            "601": per_tank(lambda _n: "1"),
            "602": per_tank(lambda n: tls.label_field(self._tanks[n].config.label)),
            "603": per_tank(lambda n: self._tanks[n].config.product_code),
            "604": volume("full_ml"),
            "607": height("diameter_um"),
            "609": per_tank(lambda n: tls.float_field(self._coefficient(n))),
            "610": per_tank(lambda _n: f"{self.config.delivery_delay_min:02d}"),
            "621": volume("low_product_ml"),
            "622": volume("high_product_ml"),
            "623": volume("overfill_ml"),
            "624": height("water_alarm_um"),
            "625": per_tank(lambda _n: tls.float_field(self._volume(380_000))),
            "626": per_tank(lambda _n: tls.float_field(self._volume(190_000))),
            "627": height("water_warning_um"),
            "628": volume("max_volume_ml"),
            "629": volume("delivery_needed_ml"),
            "902": lambda _device, _chosen: self.config.software,
        }

    def _volume(self, volume_ml: int) -> float:
        """Whole units, as consoles send them."""
        return float(int(volume_ml / ML_PER_UNIT[self.units()]))

    def _height(self, height_um: int) -> float:
        return height_um / (1_000 if self.units() == 2 else 25_400)

    def _temperature(self, mdegc: int) -> float:
        return mdegc / 1_000 if self.units() != 1 else mdegc / 1_000 * 1.8 + 32

    def _coefficient(self, number: int) -> float:
        per_degree = self._tanks[number].config.thermal_ppm_per_degc / 1_000_000
        return per_degree if self.units() != 1 else per_degree / 1.8

    def _corrected_ml(self, number: int, probe: Probe) -> int:
        """Linear correction to the reference temperature."""
        per_degree = self._tanks[number].config.thermal_ppm_per_degc / 1_000_000
        return round(probe.volume_ml * (1 - per_degree * (probe.temperature_mdegc - REFERENCE_MDEGC) / 1_000))

    def _values(self, number: int) -> list[float]:
        """The eight floats of an inventory record (the eighth only where the console sends so many)."""
        probe, tank = self.probe(number), self._tanks[number]
        full, volume = self._volume(tank.config.full_ml), self._volume(probe.volume_ml)
        return [
            volume,
            self._volume(self._corrected_ml(number, probe)),
            full - volume,
            self._height(tank.height_um(probe.volume_ml)),
            self._height(probe.water_um),
            self._temperature(probe.temperature_mdegc),
            self._volume(tank.volume_at_ml(probe.water_um)),
            full,
        ][: self.config.floats]

    def _delivery_bit(self, number: int) -> bool:
        """Set while rising and for the delivery delay after."""
        tank = self._tanks[number]
        delay_ms = self.config.delivery_delay_min * 60_000
        ended = tank.delivered_at_ms
        return tank.delivering or (ended is not None and self.now_ms < ended + delay_ms)

    def _inventory(self, number: int) -> str:
        code = self._tanks[number].config.product_code
        if self.probe(number).out:
            return tls.inventory_record(number, code, INVALID_HEIGHT_BIT, self.config.floats)
        status = DELIVERY_BIT if self._delivery_bit(number) else 0
        return tls.inventory_record(number, code, status, self._values(number))

    def _delivery_records(self, number: int, count: int) -> str:
        records = list(self._deliveries[number])[:count]
        text = f"{self._tanks[number].config.product_code}{len(records):02d}"
        height_um = self._tanks[number].height_um
        for record in records:
            fields = [value for probe in (record.before, record.after) for value in self._side(number, probe)]
            fields += [self._height(height_um(probe.volume_ml)) for probe in (record.before, record.after)]
            text += tls.clock_field(record.start) + tls.clock_field(record.end) + f"{len(fields):02X}"
            text += "".join(tls.float_field(v) for v in fields)
        return text

    def _side(self, number: int, probe: Probe) -> list[float]:
        return [
            self._volume(probe.volume_ml),
            self._volume(self._corrected_ml(number, probe)),
            self._height(probe.water_um),
            self._temperature(probe.temperature_mdegc),
        ]

    def _active_alarms(self) -> str:
        """Standing or unacknowledged; one record of zeros when there is none."""
        standing = {(number, alarm) for number in self._tanks for alarm in self.alarms(number)}
        shown = sorted(standing | self._unacknowledged)
        return "".join(f"{TANK_CATEGORY:02d}{alarm:02d}{number:02d}" for number, alarm in shown) or "000000"

    # --- display format --------------------------------------------------------------------------------------------
    def _display(self, question: tls.Question) -> bytes:
        chosen = self._chosen(question.device)
        if not self.config.display_format or question.letter != "I" or chosen is None:
            return tls.NOT_KNOWN
        head = [question.text, tls.clock_words(self.clock()), "", *STATION]
        if question.function == "201":
            return tls.display([*head, *self._inventory_lines(chosen)])
        if question.function == "205":
            return tls.display([*head, *self._alarm_lines(chosen)])
        return tls.NOT_KNOWN

    def _inventory_lines(self, chosen: list[int]) -> list[str]:
        lines = ["TANK PRODUCT             VOLUME TC VOLUME   ULLAGE   HEIGHT    WATER     TEMP"]
        for number in chosen:
            if self.probe(number).out:
                continue
            volume, corrected, ullage, height, water, temperature = self._values(number)[:6]
            label = tls.label_field(self._tanks[number].config.label)
            lines.append(
                f"{number:3d}  {label}{volume:8.0f}{corrected:10.0f}{ullage:9.0f}"
                f"{height:9.2f}{water:9.2f}{temperature:9.2f}"
            )
        return lines

    def _alarm_lines(self, chosen: list[int]) -> list[str]:
        lines = ["TANK   PRODUCT                 STATUS", ""]
        for number in chosen:
            words = [ALARM_WORDS[alarm] for alarm in self.alarms(number)] or ["NORMAL"]
            label = tls.label_field(self._tanks[number].config.label)
            lines.append(f"{number:3d}    {label}    {words[0]}")
            lines += [" " * 31 + word for word in words[1:]]
        return lines
