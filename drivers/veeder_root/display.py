"""Display-format replies of 201, 202 and 205: printed pages, rounded values, no checksum. Second choice by design.

Knows rows and columns. Knows no units (only titles name them). A time counts only where its month is a word: day and
month cannot be told apart otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from drivers.veeder_root.fields import layout_error
from drivers.veeder_root.layouts import Deliveries, Delivery, Inventory
from drivers.veeder_root.tables import tank_alarm_number

MAX_DIGITS = 40  # longer "numbers" are noise; consoles print at most some 20 digits

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_ROW = re.compile(r"([0-9]{1,2})\s+(.*)")
_COLUMNS = re.compile(r"\s{2,}")
_DELIVERY_TANK = re.compile(r"T(?:ANK)?\s*([0-9]{1,2})\s*:.*")
_SIDE = re.compile(r"(START|END)\s*:\s*(.*)")
_WORDED = re.compile(r"([A-Z]{3})[A-Z]*\.?\s+([0-9]{1,2}),?\s+([0-9]{4})\s+([0-9]{1,2}):([0-9]{2})\s*([AP]M)?")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_SIDE_VALUES = 5  # volume, TC volume, water height, temperature, height
_TITLE = re.compile(r"TANK\s+PRODUCT\s+")


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One tank of a 205 page: known alarm numbers, and texts that are not in the table."""

    tank: int
    label: str
    status: tuple[str, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the texts that name a known tank alarm."""
        found = (tank_alarm_number(text) for text in self.status)
        return tuple(number for number in found if number is not None)

    @property
    def others(self) -> tuple[str, ...]:
        """Texts that are neither NORMAL nor in the table, raw."""
        return tuple(text for text in self.status if text != "NORMAL" and tank_alarm_number(text) is None)


@dataclass(frozen=True, slots=True)
class DisplayRow:
    """One tank of a 201 page; ``record`` has volume, TC volume, ullage, height, water height, temperature."""

    label: str
    record: Inventory


def inventory(text: str) -> tuple[DisplayRow, ...]:
    """Read the rows of a 201 page from the right; raises ``FrameRejected`` ("layout") where there is none."""
    rows = []
    for line in _lines(text):
        parts = line.rsplit(None, 6)
        if len(parts) < 7:
            continue
        numbers = [_number(part) for part in parts[1:]]
        head = _ROW.fullmatch(parts[0] + " ")
        if head is None or any(number is None for number in numbers):
            continue
        rows.append(DisplayRow(head[2].strip(), Inventory(int(head[1]), "", 0, tuple(numbers))))
    if not rows:
        raise layout_error("a display page without a readable tank row")
    return tuple(rows)


def tank_alarms(text: str) -> tuple[StatusRow, ...]:
    """Read the rows of a 205 page; a line without a leading tank number continues the tank above.

    Raises ``FrameRejected`` ("layout") where there is no row.
    """
    rows: list[StatusRow] = []
    below_title = False
    for line in _lines(text):
        if _TITLE.match(line):
            below_title = True
            continue
        if not below_title:
            continue
        head = _ROW.fullmatch(line)
        if head is not None:
            label, status = _label_and_status(head[2])
            rows.append(StatusRow(int(head[1]), label, (status,)))
        elif rows:
            last = rows[-1]
            rows[-1] = StatusRow(last.tank, last.label, (*last.status, line))
    if not rows:
        raise layout_error("a display page without a readable status row")
    return tuple(rows)


def deliveries(text: str) -> tuple[Deliveries, ...]:
    """Read the blocks of a 202 page: END and START lines in either order, values from the right, AMOUNT ignored.

    Fields stand in the order of a computer reply. Raises ``FrameRejected`` ("layout") where no tank is named.
    """
    found: dict[int, list[Delivery]] = {}
    tank: int | None = None
    sides: dict[str, str] = {}
    for line in _lines(text):
        head, side = _DELIVERY_TANK.fullmatch(line), _SIDE.fullmatch(line)
        if head is not None:
            tank, sides = int(head[1]), {}
            found.setdefault(tank, [])
        elif side is not None and tank is not None:
            sides = {side[1]: side[2]} if side[1] in sides else {**sides, side[1]: side[2]}
            if len(sides) == 2:
                found[tank] += _delivery(sides)
                sides = {}
    if not found:
        raise layout_error("a display page without a tank of deliveries")
    return tuple(Deliveries(tank, "", tuple(records)) for tank, records in sorted(found.items()))


def console_clock(text: str) -> str:
    """Ten digits of the clock that a page shows below its echo; empty where its month is no word."""
    for line in _lines(text)[1:3]:
        match = _WORDED.fullmatch(line)
        if match is not None:
            return _digits(match)
    return ""


def _delivery(sides: dict[str, str]) -> list[Delivery]:
    """Return the delivery of one pair of lines, or none where a value is no number."""
    values: dict[str, list[Fraction]] = {}
    times = {}
    for name, rest in sides.items():
        parts = rest.rsplit(None, _SIDE_VALUES)
        numbers = [_number(part) for part in parts[1:]]
        if len(numbers) < _SIDE_VALUES or any(number is None for number in numbers):
            return []
        values[name] = [number for number in numbers if number is not None]
        match = _WORDED.fullmatch(parts[0].strip())
        times[name] = _digits(match) if match is not None else ""
    start, end = values["START"], values["END"]
    raw = f"START: {sides['START']} END: {sides['END']}"
    return [Delivery(times["START"], times["END"], (*start[:4], *end[:4], start[4], end[4]), raw)]


def _digits(match: re.Match[str]) -> str:
    """``YYMMDDHHmm`` of a written time; empty where the month or the hour is none."""
    name, day, year, hour, minute, half = match.groups()
    if name not in _MONTHS or (half is not None and not 1 <= int(hour) <= 12):
        return ""
    clock = int(hour) if half is None else int(hour) % 12 + (12 if half == "PM" else 0)
    return f"{year[2:]}{_MONTHS.index(name) + 1:02d}{int(day):02d}{clock:02d}{minute}"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in re.split(r"[\r\n]+", text.replace("\x00", "")) if line.strip()]


def _label_and_status(rest: str) -> tuple[str, str]:
    """Split at the last wide gap; a label may be empty, and then everything is the status."""
    parts = _COLUMNS.split(rest.strip())
    return (" ".join(parts[:-1]), parts[-1]) if len(parts) > 1 else ("", parts[0])


def _number(word: str) -> Fraction | None:
    if len(word) > MAX_DIGITS or not _NUMBER.fullmatch(word):
        return None
    exact = Decimal(word)
    if len(word.partition(".")[2]) > 3:
        exact = Decimal(round(Fraction(exact) * 1000)).scaleb(-3)
    return Fraction(exact)
