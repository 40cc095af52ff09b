"""Tiers of the model: a rank that growth lifts at once and an evaluation lowers after days of grace; growth in windows.

Every day is looked at by itself. Ranks are numbers: 0 for no tier, then one per tier in rising order of threshold.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from datetime import date, timedelta


@dataclass
class Climber:
    """A member's rank and, where a tier was lost, the rank that waits and the day on which it holds."""

    thresholds: list[int]
    downgrade: str
    grace_days: int
    rank: int = 0
    waits: tuple[int, date] | None = None
    grown: list[tuple[date, int]] = field(default_factory=list)

    def reached(self, growth: int) -> int:
        """The rank that growth reaches."""
        return sum(growth >= threshold for threshold in self.thresholds)

    def morning(self, today: date) -> None:
        """A new local day: a downgrade whose grace is over takes effect."""
        if self.waits is not None and today >= self.waits[1]:
            self.rank, self.waits = self.waits[0], None

    def grow(self, growth: int) -> None:
        """Growth has changed: a higher tier is reached at once, the same one regained ends a downgrade that waits."""
        if self.reached(growth) >= self.rank:
            self.rank, self.waits = self.reached(growth), None

    def evaluate(self, growth: int, today: date) -> None:
        """The evaluation: a tier that growth no longer reaches is lost after the grace, and that is fixed here."""
        self.grow(growth)
        if self.waits is None and self.reached(growth) < self.rank:
            to = self.rank - 1 if self.downgrade == "ONE_DOWN" else self.reached(growth)
            self.waits = (to, today + timedelta(days=self.grace_days + 1))

    def in_window(self, kind: str, length: int, today: date) -> int:
        """Growth that counts today, every day of the window asked by itself."""
        first = _first_day(kind, length, today)
        return sum(growth for day, growth in self.grown if first <= day <= today)


def _first_day(kind: str, length: int, today: date) -> date:
    if kind == "CALENDAR_YEAR":
        return date(today.year, 1, 1)
    if kind == "ROLLING_DAYS":
        day = today
        for _ in range(length - 1):
            day -= timedelta(days=1)
        return day
    if kind == "ROLLING_MONTHS":
        year, month = today.year, today.month
        for _ in range(length):
            year, month = (year - 1, 12) if month == 1 else (year, month - 1)
        last = calendar.monthrange(year, month)[1]
        return date(year, month, min(today.day, last)) + timedelta(days=1)
    return date.min
