"""A tank gauge console: answers the inquiries of the TLS sheet from the tanks of the world, keeps alarms, deliveries.

Works on bytes handed in and out; knows no port and no thread. A set function is logged and answered "not known".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from drivers.simulator import tls_frames as tls
from drivers.simulator import tls_past as past
from drivers.simulator.buses import CommandLog, MasterCommand
from drivers.simulator.config import ConsoleConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.tank import Tank

DELIVERIES_LISTED = 10
DELIVERIES_KEPT = 1000
LONG_REPLY_BYTES = 64
SPIKE_UM = 80_000
DELIVERY_BIT, INVALID_HEIGHT_BIT = 0x0001, 0x0004
CLOCK_DRIFT = timedelta(minutes=17)
LOST_CLOCK_YEAR = 1988
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
        self._stands: dict[tuple[int, int], datetime] = {}
        self._happened: deque[past.Happening] = deque(maxlen=past.HISTORY_KEPT)
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
                self._delivering[number] = self._begun(number)
            elif not tank.delivering and number in self._delivering:
                start, before = self._delivering.pop(number)
                self._deliveries[number].appendleft(DeliveryRecord(start, self.clock(), before, self.probe(number)))
            self._watch_alarms(number)

    def _begun(self, number: int) -> tuple[datetime, Probe]:
        """Where a delivery that begins now starts: one that resumes inside the delay of the last is that one."""
        kept, now = self._deliveries[number], self.clock()
        if kept and timedelta(0) <= now - kept[0].end < timedelta(minutes=self.config.delivery_delay_min):
            last = kept.popleft()
            return last.start, last.before
        return now, self.probe(number)

    def _watch_alarms(self, number: int) -> None:
        standing = set(self.alarms(number))
        before = {alarm for tank, alarm in self._stands if tank == number}
        for alarm in sorted(standing - before):
            self._stands[number, alarm] = self.clock()
            self._happened.append(past.Happening(self.clock(), number, alarm, past.OCCURRED))
        for alarm in sorted(before - standing):
            del self._stands[number, alarm]
            self._happened.append(past.Happening(self.clock(), number, alarm, past.CLEARED))
        self._unacknowledged |= {(number, alarm) for alarm in standing}

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
        out = self._spoilt(out)
        return tls.with_even_parity(out) if self.config.seven_bits_even_parity else out

    def clock(self) -> datetime:
        """The console's own idea of local time."""
        local = self._epoch + timedelta(milliseconds=self.now_ms, minutes=self.config.utc_offset_min)
        if self._board.active("gauge-wrong-century", self.config.name):
            return local.replace(year=LOST_CLOCK_YEAR, day=min(local.day, 28))
        return local + CLOCK_DRIFT if self._board.active("gauge-clock-drift", self.config.name) else local

    def _spoilt(self, reply: bytes) -> bytes:
        """A reply with the faults of its way: cut in the middle, or one digit another one under the old checksum."""
        board, name = self._board, self.config.name
        if len(reply) >= LONG_REPLY_BYTES and board.hit("gauge-reply-cut", name):
            return reply[: len(reply) * 2 // 3]
        if b"&&" in reply and board.hit("gauge-bad-checksum", name):
            at = len(reply) // 2
            return reply[:at] + bytes((reply[at] ^ 0x01,)) + reply[at + 1 :]
        return reply

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
        function = self._function(question)
        if not self.config.computer_format or function is None or chosen is None:
            return tls.NOT_KNOWN
        data = tls.clock_field(self.clock()) + function(question.device, chosen)
        return tls.reply(question.text, data, self.config.end_of_message)

    def _function(self, question: tls.Question) -> Callable[[str, list[int]], str] | None:
        """Who answers a question; ``None`` where this console does not know the function."""
        if question.function in self.config.refuses:
            return None
        if question.function == "20F":
            return self._range_of(question.data) if self.config.range_query else None
        if question.function == "211":
            return self._chart_of(question.data)
        return self._functions.get(question.function)

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
            "111": lambda _device, _chosen: past.alarm_history(self._happened, priority=True),
            "112": lambda _device, _chosen: past.alarm_history(self._happened, priority=False),
            "113": lambda _device, _chosen: past.standing([(*key, at) for key, at in self._stands.items()], STATION),
            "201": lambda _device, chosen: "".join(self._inventory(n) for n in chosen),
            "202": per_tank(lambda n: self._delivery_records(n, DELIVERIES_LISTED)),
            "20C": per_tank(lambda n: self._delivery_records(n, 1)),
            "205": per_tank(lambda n: f"{len(self.alarms(n)):02X}" + "".join(f"{a:02d}" for a in self.alarms(n))),
            "206": per_tank(lambda n: past.occurrences(self._happened, n)),
            "20D": per_tank(lambda n: tls.float_field(self._height_of(n, self.probe(n)))),
            "501": lambda _device, _chosen: tls.clock_field(self.clock()),
            "504": lambda _device, _chosen: self.config.security_code or "000000",
            "505": lambda _device, _chosen: f"{self.units()}1",
            "517": lambda _device, _chosen: f"{self.units()}{self.config.language:02d}",
            "50E": lambda _device, _chosen: tls.float_field(self._temperature(REFERENCE_MDEGC)),
            "601": per_tank(lambda _n: "1"),
            "602": per_tank(lambda n: tls.label_field(self._tanks[n].config.label)),
            "603": per_tank(lambda n: self._tanks[n].config.product_code),
            "604": volume("full_ml"),
            "605": per_tank(lambda n: past.shares(self._diameter(n), (100, 75, 50, 25), self._volume_at(n))),
            "606": per_tank(lambda n: past.shares(self._diameter(n), past.TWENTIETHS, self._volume_at(n))),
            "607": height("diameter_um"),
            "608": per_tank(lambda _n: tls.float_field(0.0)),
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
            "63B": per_tank(lambda n: past.multipoint(self._diameter(n), self._full(n), self._volume_at(n))),
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

    def _diameter(self, number: int) -> float:
        return self._height(self._tanks[number].config.diameter_um)

    def _full(self, number: int) -> float:
        return self._volume(self._tanks[number].config.full_ml)

    def _volume_at(self, number: int) -> Callable[[float], float]:
        """Volume in console units up to a height in console units."""
        per_unit = 1_000 if self.units() == 2 else 25_400
        return lambda height: self._volume(self._tanks[number].volume_at_ml(round(height * per_unit)))

    def _chart_of(self, data: str) -> Callable[[str, list[int]], str] | None:
        """211 at the step in ``data``; ``None`` for a step that is no number or too short."""
        step = tls.float_value(data)
        if step is None or not step >= past.SHORTEST_STEP[self.units()]:  # also what is no number
            return None
        return lambda _device, chosen: "".join(
            f"{n:02d}{past.chart(step, self._diameter(n), self._volume_at(n))}" for n in chosen
        )

    def _range_of(self, data: str) -> Callable[[str, list[int]], str] | None:
        """20F: deliveries that started between two times, newest first; zero start = the most recent ones."""
        if len(data) not in {2, 25} or not data.isdecimal() or data[:2] != "00":
            return None
        since, until, most = data[2:12], data[12:22], int(data[22:] or 100)

        def text(number: int) -> str:
            found = [r for r in self._deliveries[number] if self._is_within(r, since, until)][:most]
            code = self._tanks[number].config.product_code
            return f"{number:02d}{code}{len(found):03d}" + "".join(self._record(number, record) for record in found)

        return lambda _device, chosen: "".join(text(n) for n in chosen)

    @staticmethod
    def _is_within(record: DeliveryRecord, since: str, until: str) -> bool:
        start = record.start.strftime("%Y%m%d%H%M")
        return not since.strip("0") or "20" + since <= start <= "20" + until

    def _delivery_bit(self, number: int) -> bool:
        """Set while rising and for the delivery delay after."""
        tank = self._tanks[number]
        delay_ms = self.config.delivery_delay_min * 60_000
        ended = tank.delivered_at_ms
        return tank.delivering or (ended is not None and self.now_ms < ended + delay_ms)

    def _inventory(self, number: int) -> str:
        code = self._tanks[number].config.product_code
        if self._board.active("gauge-question-marks", number):
            return f"{number:02d}{code}" + "?" * (6 + 8 * self.config.floats)
        if self.probe(number).out:
            return tls.inventory_record(number, code, INVALID_HEIGHT_BIT, self.config.floats)
        status = DELIVERY_BIT if self._delivery_bit(number) else 0
        return tls.inventory_record(number, code, status, self._values(number))

    def _delivery_records(self, number: int, count: int) -> str:
        records = list(self._deliveries[number])[:count]
        text = f"{self._tanks[number].config.product_code}{len(records):02d}"
        return text + "".join(self._record(number, record) for record in records)

    def _record(self, number: int, record: DeliveryRecord) -> str:
        fields = [value for probe in (record.before, record.after) for value in self._side(number, probe)]
        fields += [self._height_of(number, probe) for probe in (record.before, record.after)]
        return past.delivery_record(record.start, record.end, fields)

    def _height_of(self, number: int, probe: Probe) -> float:
        return self._height(self._tanks[number].height_um(probe.volume_ml))

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
        if question.function == "202":
            return tls.display([*head, *self._delivery_lines(chosen)])
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

    def _delivery_lines(self, chosen: list[int]) -> list[str]:
        lines = []
        for number in chosen:
            sides: list[tuple[str, datetime, Sequence[float]]] = []
            for record in list(self._deliveries[number])[:DELIVERIES_LISTED]:
                for name, at, probe in (("END", record.end, record.after), ("START", record.start, record.before)):
                    volume, corrected, water, temperature = self._side(number, probe)
                    sides.append((name, at, (volume, corrected, water, temperature, self._height_of(number, probe))))
            lines += past.delivery_page(number, tls.label_field(self._tanks[number].config.label), sides)
        return lines

    def _alarm_lines(self, chosen: list[int]) -> list[str]:
        lines = ["TANK   PRODUCT                 STATUS", ""]
        for number in chosen:
            words = [ALARM_WORDS[alarm] for alarm in self.alarms(number)] or ["NORMAL"]
            label = tls.label_field(self._tanks[number].config.label)
            lines.append(f"{number:3d}    {label}    {words[0]}")
            lines += [" " * 31 + word for word in words[1:]]
        return lines
