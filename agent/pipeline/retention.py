"""What is kept for how long, and the nightly deletion of what is too old: a slice a second, so that no sale waits.

A kind of data is one row of ``KEPT``; the room that keeps it says how its rows are counted and dropped. Nothing is
deleted by a clock that may be wrong, and what was begun goes on after a restart.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agent.domain import retention as nights
from agent.pipeline.memory import Privacy
from agent.pipeline.step import Step
from agent.settings import Settings
from agent.store import handhelds
from agent.store.pruning import PruningTable
from agent.store.pseudonyms import PseudonymTable
from agent.store.queries import utc
from agent.store.retention import COUNTED, RetentionTable

SLICE = 100
"""Plain rows deleted within one step: 2 ms of a small PC, which is what a sale may wait."""

SALE_WEIGHT = SLICE
"""A sale that loses its member costs 4 ms: one a second, 3,600 an hour."""

META = "privacy_nights"

Count = Callable[[Step, int], int]
"""(step, before_ms) -> how many rows are due, up to ``COUNTED``."""

Drop = Callable[[Step, int, int], int]
"""(step, before_ms, at_most) -> how many rows were dropped; fewer than ``at_most`` means that no more are due."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind of data: how long it is kept, and what then happens.

    ``keep_ms``: by the settings; a row is due once what dates it is older. ``weight``: what one of its rows costs in
    plain deletions.
    """

    name: str
    keep_ms: Callable[[Settings], int]
    due: Count
    drop: Drop
    weight: int = 1

    def before_ms(self, step: Step) -> int:
        """Return the instant before which rows of this kind are due."""
        return step.stamp.wall_ms - self.keep_ms(step.settings)


def _table(step: Step) -> RetentionTable:
    return RetentionTable(step.tx.connection)


def _pruning(step: Step) -> PruningTable:
    return PruningTable(step.tx.connection, step.memory.told)


def months_ms(count: int) -> int:
    """Return so many months as milliseconds, each with 31 days: nothing goes a day early."""
    return 31 * count * nights.DAY_MS


def _part(step: Step, before_ms: int, at_most: int) -> int:
    """Let the oldest sales name pseudonyms where they named members; returns how many sales that were."""
    table = PseudonymTable(step.tx.connection)
    old = table.old(before_ms, at_most)
    for sale, month in old:
        for member_ref in table.members_of(sale):
            pseudonym = table.pseudonym(member_ref, month, step.random_bits(63))
            table.part(sale, member_ref, pseudonym)
    if len(old) < at_most:
        until_ms = table.delivered_before(before_ms)
        table.forget_months(before_ms, f"{step.local(until_ms):%Y-%m}")
    return len(old)


KEPT: tuple[Kept, ...] = (
    Kept(
        "scan_events",
        lambda settings: settings.privacy.scan_events,
        lambda step, before: _table(step).due_scans(before),
        lambda step, before, n: _table(step).drop_scans(before, n),
    ),
    Kept(
        "spent_codes",
        lambda settings: settings.privacy.spent_codes,
        lambda step, before: _table(step).due_codes(before),
        lambda step, before, n: _table(step).drop_codes(before, n),
    ),
    Kept(
        "look_ups",
        lambda settings: settings.privacy.scan_events,
        lambda step, before: step.tx.enrolments.due_lookups(before),
        lambda step, before, n: step.tx.enrolments.drop_lookups(before, n),
    ),
    Kept(
        "card_counters",
        lambda settings: settings.privacy.card_counters,
        lambda step, before: step.tx.cards.due(before),
        lambda step, before, n: step.tx.cards.drop(before, n),
    ),
    Kept(
        "handheld_answers",
        lambda _settings: handhelds.KEPT_MS,
        lambda step, before: step.tx.handhelds.due(before),
        lambda step, before, n: step.tx.handhelds.drop(before, n),
    ),
    Kept(
        "enrolments",
        lambda settings: settings.privacy.enrolments,
        lambda step, before: _table(step).due_enrolments(before),
        lambda step, before, n: _table(step).blank_enrolments(before, n),
    ),
    Kept(
        "fraud_alerts",
        lambda settings: months_ms(settings.privacy.fraud_months),
        lambda step, before: step.tx.fraud.due(before),
        lambda step, before, n: step.tx.fraud.drop(before, n),
    ),
    Kept(
        "sales",
        lambda settings: months_ms(settings.privacy.sales_months),
        lambda step, before: PseudonymTable(step.tx.connection).due(before),
        _part,
        weight=SALE_WEIGHT,
    ),
    Kept(
        "delivered_records",
        lambda settings: settings.store.keep_delivered,
        lambda step, before: _pruning(step).due(before),
        lambda step, before, n: _pruning(step).drop(before, n),
    ),
)
"""Every kind of data with a term, in the order in which it is looked through."""


def look(step: Step) -> None:
    """Begin this night's deletion where it is due and the clock may be believed (called once a minute)."""
    known = step.memory.privacy
    if known is not None and (known.left or known.swept == _tonight(step)):
        return
    _begin(step, _load(step) if known is None else known, asked=False)


def slice_due(step: Step) -> None:
    """Delete one slice of what is too old, where a deletion is under way (called once a second)."""
    known = step.memory.privacy
    if known is None or not known.left:
        return
    if step.stamp.clock in nights.LOWER_BOUNDS:
        step.memory.privacy = replace(known, left=())
        return
    left, budget = list(known.left), SLICE
    while left and budget > 0:
        kept = _BY_NAME[left[0]]
        at_most = max(1, budget // kept.weight)
        dropped = kept.drop(step, kept.before_ms(step), at_most)
        budget -= dropped * kept.weight
        if dropped:
            _table(step).add(kept.name, dropped)
        if dropped < at_most:
            _finished(step, kept, known.tonight)
            left.pop(0)
    swept = known.swept if left else known.tonight
    step.memory.privacy = replace(known, left=tuple(left), swept=swept)


def status(step: Step) -> dict[str, Any]:
    """Return what is kept for how long, how much is due now, and when each kind was last looked through."""
    known = step.memory.privacy or _load(step)
    runs = _table(step).runs()
    _, problem = nights.judge(known.nights, step.stamp.wall_ms, step.stamp.clock)
    kinds = []
    for kept in KEPT:
        run = runs.get(kept.name)
        due = kept.due(step, kept.before_ms(step))
        kinds.append(
            {
                "name": kept.name,
                "keep_s": kept.keep_ms(step.settings) // 1000,
                "due": due,
                "due_is_more": due >= COUNTED,
                "last_at": None if run is None else utc(run["finished_ms"]),
                "last_dropped": None if run is None else run["dropped"],
            }
        )
    return {"kinds": kinds, "under_way": list(known.left), "held_back": problem or None}


def run_now(step: Step) -> dict[str, Any]:
    """Begin a deletion now, whatever the hour; a clock that may be wrong still holds it back."""
    told = status(step)
    known = step.memory.privacy or _load(step)
    if not known.left:
        _begin(step, known, asked=True)
    begun = step.memory.privacy
    return {**told, "under_way": [] if begun is None else list(begun.left)}


def _tonight(step: Step) -> str:
    return nights.night(step.local(step.stamp.wall_ms), step.settings.privacy.at)


def _load(step: Step) -> Privacy:
    """Return where the last run of the agent stood."""
    text = step.tx.memory.meta(META)
    last = nights.Nights(**json.loads(text)) if text else nights.Nights()
    tonight, runs = _tonight(step), _table(step).runs()
    done = all(kept.name in runs and runs[kept.name]["night"] == tonight for kept in KEPT)
    return Privacy(last, swept=tonight if done else None)


def _begin(step: Step, known: Privacy, *, asked: bool) -> None:
    tonight = _tonight(step)
    seen, problem = nights.judge(known.nights, step.stamp.wall_ms, step.stamp.clock)
    is_new = known.looked != tonight or seen.hold_until_ms != known.nights.hold_until_ms
    if is_new or not problem:
        step.tx.memory.set_meta(META, json.dumps({"last_ms": seen.last_ms, "hold_until_ms": seen.hold_until_ms}))
        known = replace(known, nights=seen, looked=tonight)
    if not problem:
        PseudonymTable(step.tx.connection).note_delivered(step.stamp.wall_ms)
        _pruning(step).note(step.stamp.wall_ms)
        runs = _table(step).runs()
        left = [kept.name for kept in KEPT if asked or kept.name not in runs or runs[kept.name]["night"] != tonight]
        known = replace(known, tonight=tonight, left=tuple(left), swept=None if left else tonight)
    step.memory.privacy = known


def _finished(step: Step, kept: Kept, tonight: str) -> None:
    dropped = _table(step).finish(kept.name, tonight, step.stamp.wall_ms)
    if dropped:
        step.memory.scrub = True
        step.audit("agent", "agent", "retention", kept.name, reason=f"{dropped} kept long enough")


_BY_NAME = {kept.name: kept for kept in KEPT}
