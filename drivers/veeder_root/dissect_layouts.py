"""The fields of each TLS function named one by one, for a person: a second reading beside the driver's own layouts.

Pure. Values are the console's own numbers; units are named only as far as the console has told them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drivers.dissection import Cutting
from drivers.veeder_root.fields import console_time, float32
from drivers.veeder_root.tables import VOLUME_LIMITS, alarm_text

INVENTORY = (
    "volume",
    "tc_volume",
    "ullage",
    "height",
    "water_height",
    "temperature",
    "water_volume",
    "full_volume",
    "net_volume",
    "tc_net_volume",
    "mass",
    "density",
    "tc_density",
)
DELIVERY = (
    "start_volume",
    "start_tc_volume",
    "start_water_height",
    "start_temperature",
    "end_volume",
    "end_tc_volume",
    "end_water_height",
    "end_temperature",
    "start_height",
    "end_height",
)
DELIVERY_MASSES = ("start_mass", "end_mass", "start_density", "end_density", "start_tc_density", "end_tc_density")
RANGE_MASSES = ("start_mass", "start_density", "start_tc_density", "end_mass", "end_density", "end_tc_density")
SUPPLY = ("days_of_supply", "inventory_volume", "ullage_95", *(f"average_sales_day_{n}" for n in range(1, 8)))
ROW = (
    "opening_volume",
    "deliveries_volume",
    "metered_sales_volume",
    "manual_adjustments_volume",
    "calculated_volume",
    "physical_volume",
    "water_height",
    "variance_volume",
)
STATUS_BITS = {0x1: "delivery in progress", 0x2: "leak test in progress", 0x4: "invalid fuel height"}
UNIT_NAMES = {1: ("gal", "in", "F"), 2: ("L", "mm", "C"), 3: ("Imperial gal", "", "")}
UNIT_SYSTEMS = {1: "US", 2: "metric", 3: "Imperial"}


@dataclass(slots=True)
class Fields:
    """Cuts the fields of one reply. ``system``: the console's unit system where it is known, else ``None``."""

    cut: Cutting
    system: int | None = None

    @property
    def more(self) -> bool:
        """Whether anything is left to cut."""
        return self.cut.left > 0

    def text(self, width: int, name: str) -> str:
        """A text of exactly ``width`` characters."""
        value = self.cut.peek(width).decode("latin-1")
        self.cut.add(width, name, value, meaning=value.strip() or "(blank)")
        return value

    def number(self, width: int, name: str, base: int = 10, words: Callable[[int], str] | None = None) -> int:
        """A counter or a device number; raises ``NotReadable`` where it is none."""
        digits = self.cut.peek(width).decode("latin-1")
        if not re.fullmatch(r"[0-9]+" if base == 10 else r"[0-9A-Fa-f]+", digits):
            raise NotReadable(f"{name}: {digits!r} is not a {'decimal' if base == 10 else 'hexadecimal'} number")
        value = int(digits, base)
        self.cut.add(width, name, value, meaning="" if words is None else words(value))
        return value

    def clock(self, name: str = "console_clock") -> None:
        """Ten digits ``YYMMDDHHmm``."""
        digits = self.cut.peek(10).decode("latin-1")
        if not re.fullmatch(r"[0-9?]{10}", digits):
            raise NotReadable(f"{name}: {digits!r} is not ten digits")
        self.cut.add(10, name, digits, meaning=console_time(digits) or f"{digits} is no date")

    def float32(self, name: str) -> None:
        """Eight hex digits of a float; ``?``, NaN and infinity are no reading."""
        digits = self.cut.peek(8).decode("latin-1")
        if not re.fullmatch(r"[0-9A-Fa-f?]{8}", digits):
            raise NotReadable(f"{name}: {digits!r} is not a float")
        exact = float32(digits)
        if exact is None:
            self.cut.add(8, name, None, self._unit(name), "no reading")
            return
        shown = f"{float(exact):.9g}"
        unit = self._unit(name)
        self.cut.add(8, name, shown, unit, f"{shown} {unit}".strip())

    def floats(self, names: tuple[str, ...], count: int) -> None:
        """``count`` floats; those past the known names are numbered."""
        for index in range(count):
            self.float32(names[index] if index < len(names) else f"value_{index + 1}")

    def _unit(self, name: str) -> str:
        volume, height, temperature = UNIT_NAMES.get(self.system or 0, ("", "", ""))
        if name.endswith(("height", "diameter")) or name in ("high_water_alarm", "high_water_warning"):
            return height
        if name.endswith("temperature"):
            return temperature
        return volume if name.endswith(("volume", "ullage")) or name in VOLUME_LIMITS.values() else ""


class NotReadable(Exception):
    """A field is not of the kind that its function has there."""


def data_fields(fields: Fields, code: str) -> str:
    """Cut the data of a reply to ``code``; returns what is wrong with it. Raises ``Short`` and ``NotReadable``."""
    fields.clock()
    reader = LAYOUTS.get(code)
    if reader is None:
        if fields.more:
            fields.cut.rest("data", "the layout of this function is not known")
        return "" if code in FUNCTIONS else f"function {code} is not known"
    reader(fields)
    return ""


def _tank(fields: Fields) -> None:
    fields.number(2, "tank")


def _bits(value: int) -> str:
    words = [name for bit, name in STATUS_BITS.items() if value & bit]
    return f"{value:04X} {', '.join(words) or 'normal'}"


def _inventory(fields: Fields) -> None:
    while fields.more:
        _tank(fields)
        fields.text(1, "product_code")
        if b"?" in fields.cut.peek(6):
            fields.cut.rest("filled", "question marks: this tank has no reading")
            return
        fields.number(4, "status", 16, _bits)
        fields.floats(INVENTORY, fields.number(2, "number_of_floats", 16))


def _deliveries(names: tuple[str, ...], width: int) -> Callable[[Fields], None]:
    def read(fields: Fields) -> None:
        while fields.more:
            _tank(fields)
            fields.text(1, "product_code")
            for _ in range(fields.number(width, "number_of_deliveries")):
                fields.clock("start")
                fields.clock("end")
                fields.floats(names, fields.number(2, "number_of_floats", 16))

    return read


def _alarm(fields: Fields, *, sensor: bool = False) -> None:
    category = fields.number(2, "category")
    if sensor:
        fields.number(2, "sensor_category")
    fields.number(2, "alarm", words=lambda number: alarm_text(category, number).replace("_", " "))
    fields.number(2, "alarm_device")


def _standing(fields: Fields) -> None:
    while fields.more:
        _alarm(fields)


def _events(fields: Fields) -> None:
    while fields.more:
        _alarm(fields, sensor=True)
        fields.number(2, "state", words=lambda state: {1: "cleared", 2: "occurred"}.get(state, "unknown"))
        fields.clock("time")


def _dated(fields: Fields) -> None:
    for line in range(1, 5):
        fields.text(20, f"header_{line}")
    while fields.more:
        if fields.cut.left < 18:
            fields.cut.rest("short_record", "a record without date: beyond the history of the console")
            return
        _alarm(fields, sensor=True)
        fields.clock("time")


def _tank_alarms(fields: Fields) -> None:
    while fields.more:
        _tank(fields)
        for _ in range(fields.number(2, "number_of_alarms", 16)):
            fields.number(2, "alarm", words=lambda number: alarm_text(2, number).replace("_", " "))


def _history(fields: Fields) -> None:
    while fields.more:
        _tank(fields)
        for _ in range(fields.number(2, "number_of_events")):
            fields.clock("time")
            fields.number(4, "alarm", 16, lambda number: alarm_text(2, number).replace("_", " "))


def _units(width: int) -> Callable[[Fields], None]:
    def read(fields: Fields) -> None:
        fields.number(1, "unit_system", words=lambda system: UNIT_SYSTEMS.get(system, "unknown"))
        fields.number(width, "language")

    return read


def _texts(name: str, width: int) -> Callable[[Fields], None]:
    def read(fields: Fields) -> None:
        while fields.more:
            _tank(fields)
            fields.text(width, name)

    return read


def _values(*names: str) -> Callable[[Fields], None]:
    def read(fields: Fields) -> None:
        while fields.more:
            _tank(fields)
            fields.floats(names, len(names))

    return read


def _delays(fields: Fields) -> None:
    while fields.more:
        _tank(fields)
        fields.number(2, "delivery_delay_min", words=lambda minutes: f"{minutes} min")


def _points(fields: Fields, count: int) -> None:
    for _ in range(count):
        fields.floats(("height", "volume"), 2)


def _chart(fields: Fields) -> None:
    while fields.more:
        _tank(fields)
        count = fields.number(4, "number_of_floats", 16)
        if count % 2:
            raise NotReadable("a chart has an odd number of floats")
        _points(fields, count // 2)


def _multipoint(fields: Fields) -> None:
    while fields.more:
        _tank(fields)
        if fields.number(1, "secured"):
            fields.float32("capacity_volume")
            for width, name in ((20, "console_serial"), (6, "probe_serial"), (20, "weights_and_measures")):
                fields.text(width, name)
        fields.floats(("diameter", "full_volume"), 2)
        _points(fields, fields.number(2, "number_of_points", 16))


def _supply(fields: Fields) -> None:
    while fields.more:
        for _ in range(fields.number(2, "number_of_tanks", 16)):
            _tank(fields)
            fields.text(1, "product_code")
        fields.floats(SUPPLY, fields.number(2, "number_of_floats", 16))


def _reconciliation(fields: Fields) -> None:
    while fields.more:
        fields.number(2, "product")
        for _ in range(fields.number(2, "number_of_tanks", 16)):
            _tank(fields)
        fields.clock("open")
        fields.clock("close")
        fields.floats(ROW, fields.number(2, "number_of_floats", 16))


def _masked(fields: Fields) -> None:
    fields.cut.add(6, "security_code", "******", meaning="six characters, not shown")


def _port_code(fields: Fields) -> None:
    fields.text(1, "enabled")
    _masked(fields)


def _all_text(fields: Fields) -> None:
    if fields.more:
        fields.text(fields.cut.left, "text")


LAYOUTS: Mapping[str, Callable[[Fields], None]] = {
    "101": _standing,
    "111": _events,
    "112": _events,
    "113": _dated,
    "201": _inventory,
    "202": _deliveries((*DELIVERY, *DELIVERY_MASSES), 2),
    "205": _tank_alarms,
    "206": _history,
    "20C": _deliveries((*DELIVERY, *DELIVERY_MASSES), 2),
    "20D": _values("stick_height"),
    "20F": _deliveries((*DELIVERY, *RANGE_MASSES), 3),
    "211": _chart,
    "21A": _inventory,
    "231": _inventory,
    "281": _supply,
    "501": lambda fields: fields.clock("time"),
    "504": _masked,
    "505": _units(1),
    "50E": lambda fields: fields.float32("reference_temperature"),
    "517": _units(2),
    "536": _port_code,
    "601": _texts("configured", 1),
    "602": _texts("label", 20),
    "603": _texts("product_code", 1),
    "604": _values("full_volume"),
    "605": _values("volume", "three_quarters_volume", "half_volume", "quarter_volume"),
    "606": _values(*(f"percent_{percent}_volume" for percent in range(100, 0, -5))),
    "607": _values("diameter"),
    "608": _values("tilt"),
    "609": _values("thermal_coefficient"),
    "610": _delays,
    "621": _values("low_product"),
    "622": _values("high_product"),
    "623": _values("overfill"),
    "624": _values("high_water_alarm"),
    "625": _values("sudden_loss"),
    "626": _values("leak_alarm"),
    "627": _values("high_water_warning"),
    "628": _values("maximum"),
    "629": _values("delivery_required"),
    "63B": _multipoint,
    "902": _all_text,
    "C01": _reconciliation,
}

FUNCTIONS: Mapping[str, str] = {
    "101": "alarms active or unacknowledged",
    "111": "priority alarm history",
    "112": "non-priority alarm history",
    "113": "alarms standing now",
    "201": "inventory",
    "202": "deliveries",
    "205": "alarms of each tank",
    "206": "alarm history of a tank",
    "20C": "most recent delivery",
    "20D": "stick height",
    "20F": "deliveries in a range",
    "211": "calibration chart",
    "21A": "inventory with user ullage",
    "231": "full inventory",
    "281": "days of supply",
    "501": "console clock",
    "504": "security code",
    "505": "units",
    "50E": "reference temperature",
    "517": "units and language",
    "536": "security code of a port",
    "601": "tank configured",
    "602": "product label",
    "603": "product code",
    "604": "full volume",
    "605": "volumes at four heights",
    "606": "volumes at twenty heights",
    "607": "diameter",
    "608": "tilt",
    "609": "thermal coefficient",
    "610": "delivery delay",
    "621": "low product limit",
    "622": "high product limit",
    "623": "overfill limit",
    "624": "high water alarm limit",
    "625": "sudden loss limit",
    "626": "leak alarm limit",
    "627": "high water warning limit",
    "628": "maximum volume",
    "629": "delivery required limit",
    "63B": "multi-point chart",
    "902": "software version",
    "C01": "reconciliation row",
}
