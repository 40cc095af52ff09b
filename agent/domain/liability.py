"""What live points will cost, when they end, what an offer cost of the sales, and when a budget will be used up.

Pure arithmetic in integers; knows no table. Money in minor units, shares in basis points.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from agent.domain.ledger import Lot
from agent.domain.units import ceiling, half_up

BASIS = 10_000
MILLI = 1_000


@dataclass(frozen=True, slots=True)
class UnitCost:
    """What one point costs: ``milli``, 1/1000 of the major unit (10: 100 points cost 1.00); ``breakage_bp``: the share
    that is expected never to be spent; ``exponent`` of the currency.
    """

    milli: int
    breakage_bp: int
    exponent: int

    def liability_minor(self, points: int) -> int:
        """Return points x unit cost x (1 - breakage), rounded half up once."""
        return half_up(points * self.milli * (BASIS - self.breakage_bp) * 10**self.exponent, MILLI * BASIS)


@dataclass(frozen=True, slots=True)
class Ending:
    """Live points that end in one month (``YYYY-MM``; ``None``: never) and their liability."""

    month: str | None
    points: int
    liability_minor: int


@dataclass(frozen=True, slots=True)
class Liability:
    """Live points and what they will cost; the months stand in order and sum to the whole, never ending ones last."""

    points: int
    liability_minor: int
    endings: tuple[Ending, ...]


def liability(lots: Iterable[Lot], today: date, cost: UnitCost) -> Liability:
    """Return the liability of the lots that have not ended, aged by the month in which they end.

    Pending and held points count: they are promised. The whole is rounded once; a month is the difference of two
    rounded sums.
    """
    months: dict[str | None, int] = {}
    for lot in lots:
        if lot.points > 0 and not lot.expired(today):
            month = None if lot.expires_on is None else f"{lot.expires_on:%Y-%m}"
            months[month] = months.get(month, 0) + lot.points
    endings, points, owed = [], 0, 0
    for month in sorted(months, key=lambda month: month or "9999-99"):
        points += months[month]
        total = cost.liability_minor(points)
        endings.append(Ending(month, months[month], total - owed))
        owed = total
    return Liability(points, owed, tuple(endings))


def share_bp(cost_minor: int, sales_minor: int) -> int | None:
    """Return a cost as a share of sales in basis points, half up; ``None`` where nothing was sold."""
    return None if sales_minor <= 0 else half_up(cost_minor * BASIS, sales_minor)


def run_out_on(remaining_minor: int, spent_minor: int, since: date, today: date) -> date | None:
    """Return the local day on which a budget is used up if every day spends what an average day since ``since`` did.

    Both days are inclusive. A budget with nothing left has run out today; ``None`` where nothing was spent so far.
    """
    if remaining_minor <= 0:
        return today
    days = (today - since).days + 1
    if spent_minor <= 0 or days < 1:
        return None
    ahead = ceiling(remaining_minor * days, spent_minor)
    return date.max if ahead > (date.max - today).days else today + timedelta(days=ahead)
