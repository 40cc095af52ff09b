"""Display-format replies of 201 and 205: printed pages, rounded values, no checksum. Second choice by design.

Knows rows and columns. Knows no units (only titles name them) and takes no clock: day and month cannot be told apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from drivers.veeder_root.fields import layout_error
from drivers.veeder_root.layouts import Inventory
from drivers.veeder_root.tables import tank_alarm_number

MAX_DIGITS = 40  # longer "numbers" are noise; consoles print at most some 20 digits

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_ROW = re.compile(r"([0-9]{1,2})\s+(.*)")
_COLUMNS = re.compile(r"\s{2,}")
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
