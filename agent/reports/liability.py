"""What this station's points will cost, when they end, and what the programme cost of a period's sales.

Figures are those of this station's own postings and of the balances head office told it; each answer says which.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.domain.holdings import HEAD_OFFICE
from agent.domain.ledger import Lot
from agent.domain.liability import UnitCost, liability, share_bp
from agent.reports.arguments import BadArgument, day, day_of, start_ms, whole
from agent.settings import Settings
from agent.store.liability_queries import Given, LiabilityQueries

USUAL_DAYS = 30
MOST_COST_MILLI = 1_000_000
ALL_BP = 10_000


class Liabilities:
    """Questions about what points cost."""

    def __init__(self, settings: Settings, path: Path, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._queries = LiabilityQueries(path)

    def show(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return liability on the evening of a day, its ageing, and the cost of the sales up to it.

        Raises BadArgument.
        """
        zone, today = self._settings.station.tz, day_of(self._clock.wall_ms(), self._settings.station.tz)
        at = day(args, "at") or today
        since = day(args, "since") or at - timedelta(days=USUAL_DAYS - 1)
        if since > at:
            raise BadArgument(f"since {since} is after {at}")
        cost = self._cost(args)
        until_ms = start_ms(at + timedelta(days=1), zone)
        believed = at >= today
        lots = self._queries.believed() if believed else self._queries.posted(until_ms)
        owed = liability(lots, at, cost)
        told = _live([lot for lot in lots if lot.source == HEAD_OFFICE], at)
        return {
            "at": at.isoformat(),
            "unit_cost_milli": cost.milli,
            "breakage_bp": cost.breakage_bp,
            "currency": self._settings.station.currency,
            "exponent": cost.exponent,
            "points": owed.points,
            "own_points": owed.points - told,
            "head_office_points": told if believed else None,
            "liability_minor": owed.liability_minor,
            "ending": [asdict(ending) for ending in owed.endings],
            "ended_points": sum(lot.points for lot in lots if lot.expired(at)),
            "debt_points": self._queries.debt(until_ms),
            "period": {
                "since": since.isoformat(),
                "until": at.isoformat(),
                **_period(self._queries.given(start_ms(since, zone), until_ms), cost),
            },
        }

    def _cost(self, args: dict[str, Any]) -> UnitCost:
        loyalty = self._settings.loyalty
        asked, breakage = whole(args, "unit_cost_milli"), whole(args, "breakage_bp")
        milli = loyalty.unit_cost_milli if asked is None else asked
        breakage_bp = loyalty.breakage_bp if breakage is None else breakage
        if not 0 <= milli <= MOST_COST_MILLI:
            raise BadArgument(f"unit cost is from 0 to {MOST_COST_MILLI} thousandths of the currency")
        if not 0 <= breakage_bp <= ALL_BP:
            raise BadArgument(f"breakage is from 0 to {ALL_BP} basis points")
        return UnitCost(milli, breakage_bp, self._settings.station.exponent)


def _live(lots: list[Lot], at: Any) -> int:
    return sum(lot.points for lot in lots if not lot.expired(at))


def _period(given: Given, cost: UnitCost) -> dict[str, Any]:
    """Return what was given in a period: discounts, and points at what they will cost. Points paid with cost nothing
    again: they were counted when they were issued.
    """
    points_cost_minor = cost.liability_minor(max(0, given.points_issued))
    whole_minor = given.discount_minor + points_cost_minor
    return {
        "sales": given.sales,
        "given_back": given.given_back,
        "net_minor": given.net_minor,
        "discount_minor": given.discount_minor,
        "paid_by_points_minor": given.paid_by_points_minor,
        "points_issued": given.points_issued,
        "points_redeemed": given.points_redeemed,
        "points_expired": given.points_expired,
        "points_cost_minor": points_cost_minor,
        "cost_minor": whole_minor,
        "cost_share_bp": share_bp(whole_minor, given.net_minor),
    }
