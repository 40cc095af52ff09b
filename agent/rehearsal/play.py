"""Plays a script on an empty programme in memory: after each event the answer, the whole state and the proof.

Decides nothing itself: events go to the steps of ``selling`` and ``running``. A refused event changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.domain.coupons import CouponError
from agent.domain.leases import LeaseError
from agent.domain.ledger import LedgerError, RefundError
from agent.domain.rules.facts import FactsError
from agent.rehearsal import running, selling
from agent.rehearsal.answer import Answer, local_text
from agent.rehearsal.documents import Document, rule_set
from agent.rehearsal.events import Again, Budget, Event, EventKind, Reborn, Sell
from agent.rehearsal.expect import Difference, differences
from agent.rehearsal.script import Script, script
from agent.rehearsal.state import check, state
from agent.rehearsal.world import EventRefused, World

FACTS = frozenset(
    {
        EventKind.SALE,
        EventKind.SETTLE,
        EventKind.VOID,
        EventKind.REFUND,
        EventKind.RELINK,
        EventKind.LATE_LINK,
        EventKind.RELEASE,
    }
)
"""Requests with an id of their own: the same again gets the first answer. All others are harmless by what they are."""


@dataclass(frozen=True, slots=True)
class Played:
    """One event and what became of it; ``told`` is the row of the answer, ``differences`` from what was expected."""

    event: Event
    told: Answer
    differences: tuple[Difference, ...]

    @property
    def sound(self) -> bool:
        """Whether the books agree, and a repeated message has changed nothing."""
        return bool(self.told["check"]["agrees"])


def play(rules: Document, script_file: Document, *, language: str) -> tuple[Script, tuple[Played, ...]]:
    """Return a script and every event of it with its answer. Raises TextRefused for either document."""
    read, digest = rule_set(rules)
    found = script(script_file, read)
    world = World(found.setting, digest, language, found.starts_ms)
    played = []
    events = {event.id: event for event in found.events}
    for event in found.events:
        world, told = _happen(world, event, events)
        played.append(Played(event, told, _compared(event, told)))
    return found, tuple(played)


def _happen(world: World, event: Event, events: dict[str, Event]) -> tuple[World, Answer]:
    """Let one event happen; returns the world after it and its row."""
    after = world.copy()
    after.now_ms = max(after.now_ms, after.now_ms if event.at_ms is None else event.at_ms)
    running.come_due(after)
    before, refusal, answer = after.copy(), None, {}
    try:
        answer = _do(after, event, events)
        running.settle_pools(after, event.id)
        after.close_finished()
    except (EventRefused, CouponError, LeaseError, LedgerError, RefundError, FactsError) as failure:
        refusal = {"problem": str(failure), "hint": getattr(failure, "hint", "")}
        after, answer = before, {}
    shown, proof = state(after), check(after)
    if event.kind is EventKind.REPEAT and shown != state(before):
        proof["problems"].append("the repeated message has changed something")
        proof["agrees"] = False
    return after, {
        "event": event.number,
        "id": event.id,
        "kind": event.kind.value,
        "at": local_text(after.now_ms, after.setting.zone),
        "refused": refusal is not None,
        "refusal": refusal,
        "answer": answer,
        "state": shown,
        "check": proof,
    }


def _do(world: World, event: Event, events: dict[str, Event]) -> Answer:
    if isinstance(event.what, Again):
        return _do(world, events[event.what.of], events)
    if event.id in world.answered:
        return world.answered[event.id]
    answer = STEPS[event.kind](world, event)
    if event.kind in FACTS:
        world.answered[event.id] = answer
    return answer


def _sell(world: World, event: Event) -> Answer:
    assert isinstance(event.what, Sell)
    return selling.sell(world, event.what, world.now_ms if event.at_ms is None else event.at_ms)


def _budget(world: World, event: Event) -> Answer:
    assert isinstance(event.what, Budget)
    return running.raise_budget(world, event.what, event.id)


def _reborn(world: World, event: Event) -> Answer:
    assert isinstance(event.what, Reborn)
    return running.reborn(world, event.what, event.id)


Step = Callable[[World, Any], Answer]


def _plain(step: Step) -> Callable[[World, Event], Answer]:
    return lambda world, event: step(world, event.what)


STEPS: dict[EventKind, Callable[[World, Event], Answer]] = {
    EventKind.MEMBER: _plain(running.enrol),
    EventKind.DAY: _plain(running.pass_time),
    EventKind.SALE: _sell,
    EventKind.SETTLE: _plain(selling.settle),
    EventKind.VOID: _plain(selling.void),
    EventKind.REFUND: _plain(selling.refund),
    EventKind.RELINK: _plain(selling.relink),
    EventKind.LATE_LINK: _plain(selling.late_link),
    EventKind.RELEASE: _plain(selling.pass_review),
    EventKind.GRANT: _plain(running.grant),
    EventKind.EXPIRE: _plain(running.expire_lots),
    EventKind.TIER_EVALUATION: _plain(running.evaluate_tiers),
    EventKind.BUDGET: _budget,
    EventKind.LEASE: _plain(running.lend),
    EventKind.REINCARNATION: _reborn,
}


def _compared(event: Event, told: Answer) -> tuple[Difference, ...]:
    """Compare with what was expected; who expects something and says nothing of a refusal expects none."""
    if event.expect is None:
        return ()
    return tuple(differences({"refused": False, **event.expect}, told))
