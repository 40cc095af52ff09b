"""Growth: what ranks a member and is never spent. What counts on a day, what a window holds, what a refund takes back.

Knows no tier, no points and no clock. The unit is that of the programme's growth base: minor units, ml or visits.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from agent.domain.rules.model import GrowthWindow


@dataclass(frozen=True, slots=True)
class Grown:
    """Growth of one fact on the local day of its offer instant; a refund is below 0, on the day of its sale."""

    day: date
    growth: int


@dataclass(frozen=True, slots=True)
class Window:
    """The days over which growth counts. ``length``: N of a rolling window, in days or months, 1 or more."""

    kind: GrowthWindow
    length: int = 12

    def first_day(self, today: date) -> date:
        """Return the first local day that counts on ``today``, which is the last.

        Twelve months end where they began: on 22 November they start on 23 November of the year before.
        """
        if self.kind is GrowthWindow.CALENDAR_YEAR:
            return date(today.year, 1, 1)
        if self.kind is GrowthWindow.ROLLING_DAYS:
            return today - timedelta(days=self.length - 1)
        if self.kind is GrowthWindow.ROLLING_MONTHS:
            return months_before(today, self.length) + timedelta(days=1)
        return date.min

    def growth(self, grown: Iterable[Grown], today: date) -> int:
        """Return the growth that counts on ``today``."""
        first = self.first_day(today)
        return sum(fact.growth for fact in grown if first <= fact.day <= today)


def months_before(day: date, months: int) -> date:
    """Return the same day of the month so many months earlier, or that month's last day where it is shorter."""
    year, index = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, index + 1, min(day.day, monthrange(year, index + 1)[1]))


def taken_back(growth: int, net_minor: int, refunded_minor: int, refund_minor: int) -> int:
    """Return the growth that a refund takes back: it follows the refunded amount, and any split sums to the whole.

    ``growth``: of the sale. ``refunded_minor``: given back before. A net of 0 has only the full refund.
    """
    if net_minor == 0:
        return growth
    return growth * (refunded_minor + refund_minor) // net_minor - growth * refunded_minor // net_minor
