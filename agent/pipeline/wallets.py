"""What a member holds, as a quote and a settlement need it: lots with what is left of each, debt, what may be spent.

Reads the store; adds up by ``agent.domain.effective`` and ``agent.domain.ledger``.
"""

from __future__ import annotations

import json
from datetime import date

from agent.domain import ledger, settlement
from agent.domain.effective import AsOf, OwnPosting, effective_lots
from agent.domain.holdings import base_lots
from agent.pipeline import leasing
from agent.pipeline.step import Step
from agent.store.spending import POINTS_HOLD


def lots_of(step: Step, ref: int) -> tuple[ledger.Lot, ...]:
    """Return a member's lots with what is left on each: head office's balance and what happened here since (W-44)."""
    row = step.tx.members.by_ref(ref)
    assert row is not None, "a surrogate names a member"
    as_of = None if row["as_of"] is None else AsOf(**json.loads(row["as_of"]))
    own_lots = [
        ledger.Lot(
            lot["id"],
            0,
            lot["earned_ms"],
            lot["usable_from_ms"],
            None if lot["expires_on"] is None else date.fromisoformat(lot["expires_on"]),
            lot["source"],
        )
        for lot in step.tx.sales.lots_of(ref)
    ]
    lineage = step.tx.incarnations.lineage()
    names = dict(lineage)
    own = [
        OwnPosting(
            names[posted["generation"]],
            posted["seq"],
            ledger.Posting(ledger.Account(posted["account"]), posted["points"], posted["lot"], row["id"]),
        )
        for posted in step.tx.sales.posted_to(ref)
    ]
    base = base_lots(json.loads(row["base_lots"]))
    return effective_lots(base, as_of, own_lots, own, [name for _, name in lineage])


def wallet(step: Step, ref: int) -> settlement.Wallet:
    """Return a member's lots and debt."""
    return settlement.Wallet(lots_of(step, ref), step.tx.sales.debt_of(ref))


def points_usable(step: Step, ref: int, member: str) -> int | None:
    """Return how many points this station may let a member spend now; ``None`` where it holds no live lease of them.

    At most what the leases and the usable lots allow, less what quotes of other sales hold.
    """
    leased = leasing.points_usable(step, member)
    if leased is None:
        return None
    now_ms = step.stamp.wall_ms
    there = ledger.usable_points(lots_of(step, ref), now_ms, step.local(now_ms).date())
    return max(0, min(leased, there - step.tx.quotes.held(POINTS_HOLD, str(ref))))
