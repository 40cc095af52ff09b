"""The fixed table of inquiries this driver may send, and the console's words for its alarms.

The table is the read-only rule in data: what is not in it cannot be asked, and nothing in it sets anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from drivers.veeder_root import layouts
from drivers.veeder_root.fields import Cutter, layout_error
from drivers.veeder_root.layouts import Record


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One readable function. ``parse`` reads what follows the clock; ``question``: what may follow the device."""

    parse: Callable[[Cutter], tuple[Record, ...]]
    question: re.Pattern[str] = re.compile("")


_STEP = re.compile(r"[0-9A-F]{8}")
_RANGE = re.compile(r"00(?:[0-9]{10}[0-9]{10}[0-9]{3})?")
_DAY = re.compile(r"[0-9]{4}")

INQUIRIES: dict[str, Inquiry] = {
    "101": Inquiry(layouts.standing_alarms),
    "111": Inquiry(layouts.alarm_events),
    "112": Inquiry(layouts.alarm_events),
    "113": Inquiry(layouts.dated_alarms),
    "201": Inquiry(layouts.inventory),
    "202": Inquiry(layouts.deliveries),
    "205": Inquiry(layouts.tank_alarms),
    "206": Inquiry(layouts.tank_alarm_history),
    "20C": Inquiry(layouts.deliveries),
    "20D": Inquiry(layouts.tank_values),
    "20F": Inquiry(layouts.delivery_range, _RANGE),
    "211": Inquiry(layouts.chart, _STEP),
    "21A": Inquiry(layouts.inventory),
    "231": Inquiry(layouts.inventory),
    "281": Inquiry(layouts.supply),
    "501": Inquiry(layouts.clock),
    "504": Inquiry(layouts.system_code),
    "505": Inquiry(layouts.units_short),
    "50E": Inquiry(layouts.one_value),
    "517": Inquiry(layouts.units),
    "536": Inquiry(layouts.port_code),
    "601": Inquiry(layouts.tank_flags),
    "602": Inquiry(layouts.labels),
    "603": Inquiry(layouts.product_codes),
    "604": Inquiry(layouts.tank_values),
    "605": Inquiry(layouts.four_volumes),
    "606": Inquiry(layouts.twenty_volumes),
    "607": Inquiry(layouts.tank_values),
    "608": Inquiry(layouts.tank_values),
    "609": Inquiry(layouts.tank_values),
    "610": Inquiry(layouts.delays),
    "621": Inquiry(layouts.tank_values),
    "622": Inquiry(layouts.tank_values),
    "623": Inquiry(layouts.tank_values),
    "624": Inquiry(layouts.tank_values),
    "625": Inquiry(layouts.tank_values),
    "626": Inquiry(layouts.tank_values),
    "627": Inquiry(layouts.tank_values),
    "628": Inquiry(layouts.tank_values),
    "629": Inquiry(layouts.tank_values),
    "63B": Inquiry(layouts.multipoint_chart),
    "902": Inquiry(layouts.free_text),
    "C01": Inquiry(layouts.reconciliation, _DAY),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The parsed data of one computer reply: the console's clock (ten raw digits) and the records of its function."""

    clock: str
    records: tuple[Record, ...]


def parse(code: str, data: str) -> Answer:
    """Parse ``data`` (what stands between the echo and ``&&``) of function ``code``, a key of ``INQUIRIES``.

    Raises ``FrameRejected`` with reason "layout" where a field is cut, of the wrong kind, or anything is left over.
    """
    cut = Cutter(data)
    clock = cut.clock()
    records = INQUIRIES[code].parse(cut)
    if cut.more:
        raise layout_error(f"{cut.left} characters are left over after the last field of function {code}")
    return Answer(clock, records)


VOLUME_LIMITS = {
    "621": "low_product",
    "622": "high_product",
    "623": "overfill",
    "625": "sudden_loss",
    "626": "leak_alarm",
    "628": "maximum",
    "629": "delivery_required",
}
"""Function -> name of a limit that is a volume."""

WATER_LIMITS = {"624": "high_water_alarm_um", "627": "high_water_warning_um"}
"""Function -> name of a limit that is a water height; the suffix tells the unit."""

TANK = 2
PROBE_LOST = frozenset({8, 9})

_TANK_ALARMS = {
    1: "setup data warning",
    2: "leak alarm",
    3: "high water alarm",
    4: "overfill alarm",
    5: "low product alarm",
    6: "sudden loss alarm",
    7: "high product alarm",
    8: "invalid fuel level",
    9: "probe out",
    10: "high water warning",
    11: "delivery needed warning",
    12: "maximum product alarm",
    13: "gross leak test fail",
    14: "periodic leak test fail",
    15: "annual leak test fail",
    16: "periodic test needed warning",
    17: "annual test needed warning",
    18: "periodic test needed alarm",
    19: "annual test needed alarm",
    20: "leak test active",
    21: "no csld idle time warning",
    22: "siphon break active",
    23: "csld rate increase warning",
    24: "chart calibration warning",
    25: "reconciliation warning",
    26: "reconciliation alarm",
    27: "cold temperature warning",
    28: "missing delivery ticket",
    29: "tank line gross leak",
    30: "delivery density warning",
    31: "density warning",
    32: "fuel quality",
    33: "high temperature",
    34: "low temperature",
    38: "density offset",
}
_SYSTEM_ALARMS = {
    1: "paper out",
    2: "printer error",
    3: "eeprom error",
    4: "battery off",
    5: "too many tanks",
    6: "security warning",
    7: "rom revision warning",
    8: "remote display error",
    9: "autodial error",
    10: "software module warning",
    11: "tank test shut down",
    12: "cover alarm",
    13: "shift close pending",
    14: "daily close pending",
    15: "revision warning",
    16: "self test error",
    17: "clock incorrect",
    18: "device poll timeout",
    19: "maintenance tracker",
    20: "maintenance tracker",
    21: "database error",
    22: "file system error",
    23: "reconciliation status",
    24: "bus power outage",
    25: "upgrade failed",
    26: "key fault",
    27: "key fault",
    28: "upgrade available",
    29: "expansion box",
}
_SENSOR_ALARMS = {
    2: "setup data warning",
    3: "fuel alarm",
    4: "sensor out alarm",
    5: "short alarm",
    6: "water alarm",
    7: "water out alarm",
    8: "high liquid alarm",
    9: "low liquid alarm",
    10: "liquid warning",
}
_CATEGORIES = {
    5: "input",
    6: "volumetric line leak",
    11: "relay",
    14: "autodial",
    18: "dispenser interface",
    19: "dispenser interface",
    20: "reconciliation",
    21: "pressure line leak",
    26: "wireless line leak",
    28: "smart sensor",
    29: "modbus",
    30: "vapour system",
    31: "vapour system",
    32: "vapour system",
    33: "vapour system",
    34: "pump relay",
    35: "vapour meter",
    36: "vapour meter",
    37: "type 37 sensor",
    59: "magnetostrictive sensor",
    60: "vacuum sensor",
    63: "line pressure",
    64: "printer",
    65: "pump",
    66: "line",
    71: "unknown device",
    72: "undiscovered device",
    73: "communication",
    74: "contact",
    **dict.fromkeys(range(80, 87), "card"),
}
"""Names of further categories; what their numbers mean differs by model, so the number stays."""

_SENSORS = {3: "liquid", 4: "vapour", 7: "groundwater", 8: "type a", 12: "type b", 13: "universal"}


def alarm_text(category: int, number: int) -> str:
    """Words for an alarm, snake_case; an unknown one keeps its numbers: new firmware adds some."""
    text = ""
    if category == TANK:
        text = _TANK_ALARMS.get(number, "")
    elif category == 1:
        text = _SYSTEM_ALARMS.get(number, "")
    elif category in _SENSORS and number in _SENSOR_ALARMS:
        text = f"{_SENSORS[category]} sensor {_SENSOR_ALARMS[number]}"
    elif category in _CATEGORIES:
        text = f"{_CATEGORIES[category]} alarm {number:02d}"
    return (text or f"category {category:02d} number {number:02d}").replace(" ", "_")


# Pages print some names shorter than the tables of the manual.
_ON_PAGES = {"delivery needed": 11, "max product alarm": 12, "set up data warning": 1}


def tank_alarm_number(words: str) -> int | None:
    """Number of a tank alarm from the console's display words ("LOW PRODUCT ALARM"), ``None`` if unknown."""
    plain = words.lower().replace("-", " ")
    return next((number for number, text in _TANK_ALARMS.items() if text == plain), _ON_PAGES.get(plain))
