"""A member's tier: reached by growth from the next sale on, lost at an evaluation after days of grace.

Pure steps over a TierState; growth in the window is counted in growth.py, the tiers are those of the rule set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from agent.domain.growth import Window
from agent.domain.rules.explain import decimal
from agent.domain.rules.model import Downgrade, GrowthBase, Program, Tier

NO_TIER = -1
"""The rank of a member without a tier, or with one that the rule set no longer has."""


@dataclass(frozen=True, slots=True)
class PendingDowngrade:
    """A tier that was lost: ``to`` (``None``: no tier) holds from the local day ``effective_on`` on."""

    to: str | None
    evaluated_on: date
    effective_on: date


@dataclass(frozen=True, slots=True)
class TierState:
    """What the next sale is priced with (``tier``), and the downgrade that waits."""

    tier: str | None = None
    pending: PendingDowngrade | None = None


@dataclass(frozen=True, slots=True)
class ToNext:
    """The way to the next tier, in the unit of the growth base. ``short`` is 0 where it is reached already."""

    tier: str
    name: str
    needed: int
    actual: int

    @property
    def short(self) -> int:
        """How much growth is missing."""
        return max(0, self.needed - self.actual)


def rank(tiers: Sequence[Tier], tier: str | None) -> int:
    """Return the place of a tier in rising order of threshold, NO_TIER for none and for one the rule set lacks."""
    return next((place for place, known in enumerate(tiers) if known.id == tier), NO_TIER)


def reached(tiers: Sequence[Tier], growth: int) -> str | None:
    """Return the highest tier whose threshold the growth reaches."""
    found = [tier.id for tier in tiers if growth >= tier.threshold]
    return found[-1] if found else None


def on_day(state: TierState, today: date) -> TierState:
    """Return the state on a local day: a downgrade whose grace is over has taken effect. To be asked before a sale."""
    if state.pending is None or today < state.pending.effective_on:
        return state
    return TierState(state.pending.to)


def grown(tiers: Sequence[Tier], state: TierState, growth: int, today: date) -> TierState:
    """Return the state after growth has changed on ``today``; what it says holds from the next sale on.

    ``growth``: in the window, this sale included. Growth that reaches the tier again ends a downgrade that waits. Less
    growth changes nothing: the tier waits for its evaluation.
    """
    state = on_day(state, today)
    now = reached(tiers, growth)
    if rank(tiers, now) > rank(tiers, state.tier):
        return TierState(now)
    if rank(tiers, now) == rank(tiers, state.tier):
        return replace(state, pending=None)
    return state


def evaluate(tiers: Sequence[Tier], state: TierState, growth: int, today: date, program: Program) -> TierState:
    """Return the state after the evaluation on ``today``: a tier the growth no longer reaches is lost after the grace.

    The downgrade is fixed here, both its tier and its day; another evaluation during the grace does not move it.
    """
    state = grown(tiers, state, growth, today)
    if state.pending is not None or rank(tiers, reached(tiers, growth)) >= rank(tiers, state.tier):
        return state
    effective = today + timedelta(days=program.downgrade_grace_days + 1)
    return replace(state, pending=PendingDowngrade(_falls_to(tiers, state, growth, program), today, effective))


def _falls_to(tiers: Sequence[Tier], state: TierState, growth: int, program: Program) -> str | None:
    if program.downgrade is Downgrade.RECOMPUTE:
        return reached(tiers, growth)
    below = rank(tiers, state.tier) - 1
    return None if below < 0 else tiers[below].id


def to_next(tiers: Sequence[Tier], state: TierState, growth: int) -> ToNext | None:
    """Return the way to the tier above the member's, ``None`` at the top."""
    above = rank(tiers, state.tier) + 1
    if above == len(tiers):
        return None
    tier = tiers[above]
    return ToNext(tier.id, tier.name, tier.threshold, growth)


def to_next_text(way: ToNext | None, program: Program, language: str) -> str:
    """Return the sentence for people, ``language`` being ``zh-CN`` or ``en``."""
    chinese = language == "zh-CN"
    if way is None:
        return "已是最高等级。" if chinese else "This is the highest tier."
    places, verb, zh, en = {
        GrowthBase.NET: (program.exponent, "消费", program.currency, program.currency),
        GrowthBase.VOLUME: (3, "加", "升", "L"),
        GrowthBase.VISITS: (0, "来", "次", "visits"),
    }[program.growth_base]
    if way.short == 0:
        return f"下次加油起为{way.name}。" if chinese else f"{way.name} from the next sale on."
    missing = decimal(way.short, places)
    return f"再{verb} {missing} {zh} 升级为{way.name}。" if chinese else f"{missing} {en} more to {way.name}."


def gift_due(given: Iterable[tuple[str, date]], tier: str, window: Window, today: date) -> bool:
    """Return whether a gift for reaching a tier is due: once per member, tier and growth window.

    ``given``: (tier, local day) of those the member had.
    """
    first = window.first_day(today)
    return not any(known == tier and first <= day <= today for known, day in given)
