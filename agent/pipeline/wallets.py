"""What a member holds, as a quote and a settlement need it: lots with what is left of each, debt, what may be spent.

Reads the store; decides nothing.
"""

from __future__ import annotations

from agent.domain import ledger, settlement
from agent.pipeline import leasing, limits
from agent.pipeline.step import Step
from agent.store.holdings import member_lots
from agent.store.spending import POINTS_HOLD


def lots_of(step: Step, ref: int) -> tuple[ledger.Lot, ...]:
    """Return a member's lots with what is left on each: head office's balance and what happened here since (W-44)."""
    sales, ids = step.tx.sales, step.tx.members.ids_of(ref)
    return member_lots(ids, sales.lots_of(ref), sales.posted_to(ref), step.tx.incarnations.lineage())


def wallet(step: Step, ref: int) -> settlement.Wallet:
    """Return a member's lots and debt."""
    return settlement.Wallet(lots_of(step, ref), step.tx.sales.debt_of(ref))


def points_usable(step: Step, ref: int, member: str) -> int | None:
    """Return how many points this station may let a member spend now; ``None`` where it holds no live lease of them,
    and no floor amount is allowed without one.

    At most what the leases and the usable lots allow, less what quotes of other sales hold.
    """
    leased = leasing.points_usable(step, member)
    if leased is None:
        leased = limits.floor(step, ref)
    return None if leased is None else min(leased, points_there(step, ref))


def points_there(step: Step, ref: int) -> int:
    """Return how many points a member has that may be spent now, less what quotes hold, whoever lends them."""
    now_ms = step.stamp.wall_ms
    there = ledger.usable_points(lots_of(step, ref), now_ms, step.local(now_ms).date())
    return max(0, there - step.tx.quotes.held(POINTS_HOLD, str(ref)))
