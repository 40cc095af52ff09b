"""What a member holds, as a quote and a settlement need it: lots with what is left of each, debt, what may be spent.

Reads the store; adds up by ``agent.domain.holdings`` and ``agent.domain.ledger``.
"""

from __future__ import annotations

import json
from datetime import date

from agent.domain import ledger, settlement
from agent.domain.holdings import HEAD_OFFICE, Place, base_lots, effective
from agent.pipeline import leasing
from agent.pipeline.step import Step
from agent.store.spending import POINTS_HOLD


def lots_of(step: Step, ref: int) -> tuple[ledger.Lot, ...]:
    """Return a member's lots with what is left on each: head office's balance and what happened here since."""
    row = step.tx.members.by_ref(ref)
    assert row is not None, "a surrogate names a member"
    base = base_lots(json.loads(row["base_lots"]))
    place = _place(step, row["as_of"])
    later = step.tx.sales.lots_of(ref, place.generation, place.seq)
    own = [
        ledger.Lot(
            lot["id"],
            lot["points"],
            lot["earned_ms"],
            lot["usable_from_ms"],
            None if lot["expires_on"] is None else date.fromisoformat(lot["expires_on"]),
            lot["source"],
        )
        for lot in later
    ]
    known = {lot.id for lot in own}
    told = {lot.id: lot for lot in base}
    for lot_id, points in step.tx.sales.posted_to(ref, place.generation, place.seq).items():
        if lot_id not in known:
            own.append(ledger.Lot(lot_id, points, 0, *_terms(told.get(lot_id)), HEAD_OFFICE))
    return effective(base, own)


def _terms(told: ledger.Lot | None) -> tuple[int | None, date | None]:
    """Return when a lot of head office may be spent; one that it tells no more waits: nobody knows when it ends."""
    return (None, None) if told is None else (told.usable_from_ms, told.expires_on)


def _place(step: Step, as_of: str | None) -> Place:
    """Return up to where head office's balance includes this station's records."""
    if as_of is None:
        return Place()
    told = json.loads(as_of)
    generation = step.tx.incarnations.generation_of(told["incarnation"])
    return Place() if generation is None else Place(generation, told["seq"])


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
