"""Leases in the pipeline: received, looked at by a quote, spent in the settlement's transaction, closed out, void.

Knows rows and records; what a lease allows is decided by ``agent.domain.leases``. What is not leased is not spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agent.domain import leases
from agent.domain.leases import Lease, LeaseEvent, LeaseState, Reservation, Taken
from agent.domain.rules.facts import CampaignBudget
from agent.failpoints import failpoint
from agent.pipeline import fencing
from agent.pipeline.step import Step
from agent.store.sales import Row
from agent.store.spending import BUDGET, POINTS
from agent.store.store import Tx

KINDS = (POINTS, BUDGET)
_OTHERS = "*"
"""Stands for all other sales of a lease: their sum is what counts, not each of them."""

Amounts = Sequence[tuple[str, int]]
"""Lease and amount, each lease once."""

Records = list[dict[str, Any]]


def received(
    step: Step, *, lease: str, kind: str, subject: str, granted: int, expires_ms: int, sale: str | None = None
) -> None:
    """Head office has lent this incarnation points of a member or budget of a campaign; said again it changes nothing.

    ``subject``: the member's or the campaign's id. ``granted``: points or minor units, above 0. ``sale``: whose
    customer waited for it. A lease whose id stands for another one is refused and audited. Raises LeaseError for a
    grant of nothing.
    """
    assert kind in KINDS, kind
    subject = _subject(step, kind, subject)
    incarnation = step.tx.memory.meta("incarnation") or ""
    fresh = Lease(lease, subject, incarnation, granted, expires_ms)
    known = step.tx.leases.one(lease)
    if known is not None:
        if (known["kind"], known["subject"], known["granted"]) != (kind, subject, granted):
            reason = f"{lease} was lent for {known['granted']} of {known['kind']} already"
            step.audit("head-office", "head_office", "lease_refused", lease, reason=reason, result="refused")
        return
    step.tx.leases.add(
        {
            "id": lease,
            "kind": kind,
            "subject": subject,
            "granted": granted,
            "expires_ms": expires_ms,
            "received_ms": step.stamp.wall_ms,
            "incarnation": incarnation,
            "state": fresh.state.value,
            "sale": sale,
        }
    )
    # what it is of: a head office that was restored has forgotten it
    step.journal("fc.lease.v1", {**fresh.record(LeaseEvent.RECEIVED), "kind": kind, "subject": subject})
    failpoint("lease.before_commit")
    step.passed.append("lease")


def _subject(step: Step, kind: str, subject: str) -> str:
    """Return what a lease is of: of a member who was merged into another one since, that other."""
    row = step.tx.members.by_id(subject) if kind == POINTS else None
    return subject if row is None else str(row["id"])


def close_out(step: Step, lease: str) -> bool:
    """Give back what is left of a lease; returns whether it is over. While quotes hold a part of it, it only takes
    nothing new: the last of them ends it.
    """
    row = step.tx.leases.one(lease)
    if row is None:
        return True
    before = _lease(step, row)
    after = leases.close_out(before)
    _keep(step, before, after)
    step.passed.append("lease")
    return after.state not in (LeaseState.OPEN, LeaseState.CLOSING)


def void_all(tx: Tx, incarnation: str) -> int:
    """A new incarnation begins: what was lent to another one is spent no more; returns how many leases that ends."""
    ended = 0
    for kind in KINDS:
        for row in tx.leases.running(kind):
            before = _of_row(row)
            after = leases.void(before, incarnation)
            if after.state is not before.state:
                tx.leases.set_state(after.id, after.state.value, tx.stamp.wall_ms)
                tx.journal.append("fc.lease.v1", after.record(LeaseEvent.VOID))
                ended += 1
    return ended


def campaigns(step: Step) -> tuple[CampaignBudget, ...]:
    """Return what may be spent of each campaign: of several leases the live one with most left; none if fenced."""
    best: dict[str, CampaignBudget] = {}
    if fencing.fenced(step):
        return ()
    for row in step.tx.leases.running(BUDGET):
        budget = _lease(step, row).campaign(step.stamp.wall_ms)
        known = best.get(budget.campaign)
        if known is None or (budget.live, budget.remaining_minor) > (known.live, known.remaining_minor):
            best[budget.campaign] = budget
    return tuple(best[name] for name in sorted(best))


def points_usable(step: Step, member: str) -> int | None:
    """Return the points of a member that leases let us spend now; ``None`` without a live lease, or fenced."""
    if fencing.fenced(step):
        return None
    found = [_lease(step, row).points(step.stamp.wall_ms) for row in step.tx.leases.running(POINTS, member)]
    live = [points for points in found if points is not None]
    return sum(live) if live else None


def points_from(step: Step, member: str, points: int) -> Amounts:
    """Return which leases of a member give how much of ``points``, the oldest first; a floor amount none gives."""
    taken, left = [], points
    for row in step.tx.leases.running(POINTS, member):
        here = min(left, _lease(step, row).points(step.stamp.wall_ms) or 0)
        if here > 0:
            taken.append((row["id"], here))
            left -= here
    is_floor = not taken and left <= step.settings.loyalty.floor_points
    assert left == 0 or is_floor, "the quote never grants more than the leases hold"
    return taken


def check(step: Step, sale: str, amounts: Amounts, until_ms: int) -> None:
    """Ask the leases whether a quote may hold these amounts. Raises LeaseError, our bug: the quote had asked them."""
    for name, amount in amounts:
        leases.reserve(_one(step, name, sale), sale, amount, now_ms=step.stamp.wall_ms, until_ms=until_ms)


def spend(step: Step, sale: str, source: str, amounts: Amounts, *, quoted: bool) -> None:
    """Take what a settlement spends; ``quoted``: a quote of this sale holds it."""
    now_ms = step.stamp.wall_ms
    for name, amount in amounts:
        lease = _one(step, name, sale)
        if not quoted:
            lease = leases.reserve(lease, sale, amount, now_ms=now_ms, until_ms=now_ms + 1)
        leases.commit(lease, sale, amount)
        step.tx.leases.move(name, amount, source=source, sale=sale, at_ms=now_ms)


def let_go(step: Step, names: Iterable[str]) -> None:
    """The holds of a quote are gone: a lease that only waited for them is closed out now."""
    for name in names:
        before = _one(step, name)
        _keep(step, before, leases.timed_out(before, step.stamp.wall_ms))


def give_back(step: Step, sale: str, source: str, *, points: int, whole: bool) -> tuple[Records, Records]:
    """Money of a sale was given back: returned ``points``, and on the ``whole`` refund its budgets, go back to their
    leases, or to head office's free part where a lease is over.

    Returns budgets and leases of points as the corrected record tells them, below 0; ``lease``: ``None`` for free.
    """
    budgets: Records = []
    returned: Records = []
    left = points
    for move in reversed(step.tx.leases.taken_by(sale)):
        row = step.tx.leases.one(move["lease"])
        assert row is not None, "a move names a lease"
        is_budget = row["kind"] == BUDGET
        amount = (move["amount"] if whole else 0) if is_budget else min(left, move["amount"])
        if amount == 0:
            continue
        name = _return(step, row, sale, source, amount)
        if is_budget:
            budgets.append({"campaign": row["subject"], "lease": name, "amount_minor": -amount})
        else:
            left -= amount
            returned.append({"lease": name, "points": -amount})
    return budgets, returned


def _return(step: Step, row: Row, sale: str, source: str, amount: int) -> str | None:
    before = _lease(step, row, sale)
    if leases.give_back(before, sale, amount) == before:
        return None
    step.tx.leases.move(before.id, -amount, source=source, sale=sale, at_ms=step.stamp.wall_ms)
    return before.id


def _keep(step: Step, before: Lease, after: Lease) -> None:
    if after.state is before.state:
        return
    over = after.state is LeaseState.CLOSED
    step.tx.leases.set_state(after.id, after.state.value, step.stamp.wall_ms if over else None)
    if over:
        step.journal("fc.lease.v1", after.record(LeaseEvent.CLOSED_OUT))
        failpoint("lease.before_commit")


def _one(step: Step, lease: str, sale: str = "") -> Lease:
    row = step.tx.leases.one(lease)
    assert row is not None, "a quote names a lease that was received"
    return _lease(step, row, sale)


def _lease(step: Step, row: Row, sale: str = "") -> Lease:
    """Return a lease with its holds; of what was taken of it, only ``sale`` by name, the others together."""
    held = [Reservation(kept["sale"], kept["amount"], kept["until_ms"]) for kept in step.tx.leases.reserved(row["id"])]
    own = {move["lease"]: move["amount"] for move in step.tx.leases.taken_by(sale)} if sale else {}
    mine = own.get(row["id"], 0)
    taken = [Taken(_OTHERS, row["spent"] - mine)] + ([Taken(sale, mine)] if mine else [])
    return _of_row(row, tuple(taken), tuple(held))


def _of_row(row: Row, taken: tuple[Taken, ...] = (), reserved: tuple[Reservation, ...] = ()) -> Lease:
    return Lease(
        row["id"],
        row["subject"],
        row["incarnation"],
        row["granted"],
        row["expires_ms"],
        LeaseState(row["state"]),
        taken,
        reserved,
    )
