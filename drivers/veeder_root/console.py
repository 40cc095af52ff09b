"""What one console has told so far, and the readings that follow from its next answer: units, alarms, tanks, limits.

Knows meaning across replies (held units, last trusted volume). Knows no port and no schedule; time is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.errors import FrameRejected
from drivers.readings import GaugeUnits, Quality, Reading, TankChart, TankReading
from drivers.veeder_root import display
from drivers.veeder_root.alarms import Alarms
from drivers.veeder_root.charts import CHART, CHART_CODES, charts, step_of
from drivers.veeder_root.codec import Kind, Reply
from drivers.veeder_root.exchange import Ask
from drivers.veeder_root.fields import layout_error
from drivers.veeder_root.layouts import Alarm, Deliveries, Inventory, Record, TankAlarms, UnitSystem
from drivers.veeder_root.options import Options
from drivers.veeder_root.past import Past, Range
from drivers.veeder_root.plausibility import Pace
from drivers.veeder_root.setup import TankSetup
from drivers.veeder_root.tables import parse
from drivers.veeder_root.tanks import Setting, no_reading, tank_reading
from drivers.veeder_root.units import Units, units_of

INVENTORY, TANK_ALARMS, STANDING, UNITS, UNITS_OLD = "201", "205", "101", "517", "505"
DELIVERIES = "202"
HISTORY_CODES = ("111", "112", "206")

USUAL_DELAY_MIN = 5
"""Delivery delay of a console that does not tell its own (610)."""


class Console:
    """Memory of one console between answers. ``tanks``: the configured tank numbers, empty = all it reports."""

    def __init__(self, gauge: str, tanks: Sequence[int], options: Options) -> None:
        self._gauge = gauge
        self._tanks = tuple(tanks)
        self._options = options
        self._setup = TankSetup()
        self._alarms = Alarms()
        self._system = options.units
        self._told_system: int | None = None
        self._held = False
        self._units: Units | None = None
        self._trusted: dict[int, tuple[int, float]] = {}
        self._delivering: set[int] = set()
        self._ended: set[int] = set()
        self._seen: set[int] = set()
        self._past = Past(gauge, self._tanks)
        self.clock = ""
        self._need_standing = True
        self._need_tanks = True
        self._level_waits = False

    @property
    def delivering(self) -> bool:
        """Whether any tank of the last inventory had a delivery running."""
        return bool(self._delivering)

    @property
    def units(self) -> Units | None:
        """How to read the console's numbers; ``None`` while unknown or changed unconfirmed."""
        return None if self._held else self._units

    @property
    def tanks(self) -> tuple[int, ...]:
        """The configured tanks, or those that have been seen."""
        return self._tanks or tuple(sorted(self._seen))

    def delay_min(self, tank: int) -> int | None:
        """Return how long after its end a delivery may still be lengthened."""
        return self._setup.delay_min(tank)

    def ended(self) -> int | None:
        """Return the longest delivery delay of tanks whose delivery has just ended (once), ``None`` where none has."""
        tanks, self._ended = self._ended, set()
        return max((self.delay_min(tank) or USUAL_DELAY_MIN for tank in tanks), default=None)

    def chart_asks(self, code: str, byte_s: float) -> list[Ask]:
        """Return the questions that read the charts of all tanks by ``code``; none while heights mean nothing."""
        if self.units is None or not self.units.height:
            return []
        if code != CHART:
            return [Ask(code)]
        sizes = ((tank, self._setup.tank(tank, self.units).diameter_um) for tank in self.tanks)
        return [Ask(code, tank, data=step_of(self.units, size_um, byte_s)) for tank, size_um in sizes]

    def history(self) -> list[Reading]:
        """All history functions are answered or refused: return what they told."""
        return list(self._past.history())

    def range_page(self, reading: Range, reply: Reply) -> bool:
        """Keep one page of a range; returns whether another is to be asked. Raises ``FrameRejected`` ("layout")."""
        answer = parse(reading.ask().code, reply.data)
        self.clock = answer.clock
        records = tuple(record for record in answer.records if isinstance(record, Deliveries))
        return self.units is not None and reading.take(records, self.units)

    def forget(self) -> None:
        """Another connection: everything but the units seen and the last trusted volumes may be another console's."""
        self._setup.forget()
        self._alarms.forget()
        self._delivering.clear()
        self._past.forget()
        self._units = None
        self._need_standing = self._need_tanks = True

    def read(self, ask: Ask, reply: Reply, now: float) -> list[Reading]:
        """Return the readings of an intact ``reply`` to ``ask``; raises ``FrameRejected`` ("layout")."""
        if reply.kind is Kind.DISPLAY:
            return self._page(ask, reply.data, now)
        answer = parse(ask.code, reply.data)
        self.clock = answer.clock
        if ask.code in (UNITS, UNITS_OLD):
            return self._take_units(answer.records)
        if ask.code == INVENTORY:
            records = tuple(record for record in answer.records if isinstance(record, Inventory))
            return self._inventory(ask, records, Setting(self._gauge, self._units, self._held, clock=answer.clock), now)
        if ask.code == TANK_ALARMS:
            self._alarms.take_tanks(tuple(record for record in answer.records if isinstance(record, TankAlarms)))
            return self._tank_alarms_read(ask)
        if ask.code == STANDING:
            self._alarms.take_standing(tuple(record for record in answer.records if isinstance(record, Alarm)))
            self._need_standing = False
            return self._alarm_level()
        if ask.code == DELIVERIES:
            return self._deliveries(answer.records, answer.clock, Quality.GOOD)
        if ask.code in HISTORY_CODES:
            self._past.events(answer.records)
            return []
        if ask.code in CHART_CODES:
            return list(self._past.charts(self._charts(ask.code, answer.records)))
        self._setup.take(ask.code, answer.records)
        return []

    def _deliveries(self, records: tuple[Record, ...], clock: str, quality: Quality) -> list[Reading]:
        if self.units is None:
            return []
        lists = tuple(record for record in records if isinstance(record, Deliveries))
        return list(self._past.deliveries(lists, self.units, clock, quality, self._setup.delay_min))

    def _charts(self, code: str, records: tuple[Record, ...]) -> list[TankChart]:
        if self.units is None:
            return []
        return charts(self._gauge, code, records, self.units, self._setup.diameters())

    def refused(self, ask: Ask, *, unsupported: bool) -> list[Reading]:
        """Return what follows from a refusal; ``unsupported``: in every form, so an alarm report is not waited for."""
        if ask.code == INVENTORY and ask.device in self._tanks:
            return [no_reading(self._gauge, ask.device, "tank not known to the console")]
        if ask.code == STANDING and unsupported:
            self._need_standing = False
            return self._alarm_level()
        if ask.code == TANK_ALARMS and unsupported:
            self._need_tanks = False
            return self._alarm_level()
        return []

    def units_not_told(self) -> list[Reading]:
        """Neither 517 nor 505 is known: use the units confirmed in the options, or none."""
        if self._options.units is None:
            return []
        return self._take_units((UnitSystem(self._options.units, 0),))

    def confirm_units(self) -> list[Reading]:
        """A person has checked the units: readings count again, compared with nothing from before."""
        if not self._held or self._system is None:
            return []
        self._held = False
        self._trusted.clear()
        return [GaugeUnits(self._gauge, self._system), *self.setup_complete()]

    def setup_complete(self) -> list[Reading]:
        """All set-up functions are answered or refused: return the limits that are new."""
        if self._units is None or self._held:
            return []
        return list(self._setup.news(self._gauge, self._tanks, self._units))

    def _take_units(self, records: tuple[Record, ...]) -> list[Reading]:
        record = next((record for record in records if isinstance(record, UnitSystem)), None)
        if record is None:
            raise layout_error("the reply names no unit system")
        changed = self._system is not None and record.system != self._system
        self._held = self._held or changed
        self._system = record.system
        self._units = units_of(record.system, self._options.height_3, self._options.temperature_3)
        if self._told_system == record.system:
            return []
        self._told_system = record.system
        return [GaugeUnits(self._gauge, record.system, changed, record.language or None)]

    def _alarm_level(self) -> list[Reading]:
        """A level needs both reports, or one where the console does not know the other."""
        known = self._alarms.known and not self._need_standing and not self._need_tanks
        return [self._alarms.level(self._gauge)] if known else []

    def _tank_alarms_read(self, ask: Ask) -> list[Reading]:
        """205 is in; asked tank by tank the level waits for the inventory, which follows when all were asked."""
        if ask.device:
            self._level_waits = True
            return []
        self._need_tanks = False
        return self._alarm_level()

    def _page(self, ask: Ask, text: str, now: float) -> list[Reading]:
        if ask.code == INVENTORY:
            self.clock = display.console_clock(text)
            setting = Setting(self._gauge, self._units, self._held, display=True, clock=self.clock)
            return self._inventory(ask, tuple(row.record for row in display.inventory(text)), setting, now)
        if ask.code == TANK_ALARMS:
            self._alarms.take_rows(display.tank_alarms(text))
            return self._tank_alarms_read(ask)
        if ask.code == DELIVERIES:
            return self._deliveries(display.deliveries(text), display.console_clock(text), Quality.DISPLAY)
        raise FrameRejected(f"no display page is read for function {ask.code}", reason="layout")

    def _inventory(self, ask: Ask, records: tuple[Inventory, ...], setting: Setting, now: float) -> list[Reading]:
        seen = {record.tank for record in records}
        if len(seen) != len(records):
            raise layout_error("one tank stands twice in an inventory")
        readings = [self._tank(record, setting, now) for record in records if record.tank in (self._tanks or seen)]
        running = {reading.gauge_index for reading in readings if reading.delivery_in_progress}
        self._ended |= (self._delivering & seen) - running
        self._delivering = (self._delivering - seen) | running
        self._seen |= seen
        level: list[Reading] = []
        if self._level_waits:
            self._level_waits = self._need_tanks = False
            level = self._alarm_level()
        missing = [] if ask.device else [tank for tank in self._tanks if tank not in seen]
        absent = [no_reading(self._gauge, tank, "tank missing from the reply") for tank in missing]
        return [*level, *readings, *absent]

    def _tank(self, record: Inventory, setting: Setting, now: float) -> TankReading:
        pace = None
        last = self._trusted.get(record.tank)
        if last is not None and setting.units is not None:
            elapsed_ms = max(0, round((now - last[1]) * 1000))
            pace = Pace(last[0], elapsed_ms, setting.units.one_ml, self._options.time_scale)
        size = self._setup.tank(record.tank, setting.units)
        reading = tank_reading(record, setting, size, pace, self._alarms.lost(record.tank))
        if reading.quality in (Quality.GOOD, Quality.DISPLAY) and reading.volume_ml is not None:
            self._trusted[record.tank] = (reading.volume_ml, now)
        return reading
