"""What the link of a sale may give: limits of its level on a day, and how long points of a doubtful sale wait.

Knows rows and settings; what a limit means is decided by ``agent.domain.levels`` and the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.domain import levels
from agent.domain.identity import AuthLevel
from agent.domain.rules.facts import STAFF_CARDS, RedeemLimit, Withheld
from agent.domain.rules.model import RuleSet
from agent.domain.rules.verdict import Evaluation
from agent.pipeline import fencing, watching
from agent.pipeline.step import Step
from agent.store.sales import Row
from agent.store.spending import POINTS_HOLD

DOUBTS = frozenset({"R1", "R2", "R4", "R6", "R11"})
"""Rules that make points of a sale wait longer."""

REVIEWED_FIRST = frozenset({"R8", "R12"})
"""Rules that hold points of a sale until somebody has looked at it."""


@dataclass(frozen=True, slots=True)
class Linked:
    """The link of a sale as limits see it: the member's surrogate, level, when made, whether late by a supervisor."""

    member_ref: int
    level: AuthLevel
    made_ms: int
    clock_suspect: bool = False
    late: bool = False

    @classmethod
    def of(cls, link: Row) -> Linked:
        """Return a link of the database."""
        suspect, late = bool(link["clock_suspect"]), bool(link["late"])
        return cls(int(link["member_ref"]), AuthLevel(link["level"]), int(link["made_ms"]), suspect, late)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How points of a sale wait: until reviewed, as long as after a weak link, at least so many ms after its end."""

    held: bool = False
    doubtful: bool = False
    least_ms: int = 0


def withheld(step: Step, sale: Row, link: Linked | None) -> Withheld | None:
    """Return why the member gets nothing on a sale, ``None`` where nothing is withheld."""
    if link is None:
        return None
    if watching.earns_nothing(step, sale["id"], link.member_ref):
        return Withheld(STAFF_CARDS, 1, 1)
    if link.level is not AuthLevel.UID:
        return None
    begin, end = _day(step, sale["ended_ms"])
    sales, volume_ml = step.tx.sales.linked_before(
        link.member_ref, link.level.value, sale=sale["id"], made_ms=link.made_ms, begin_ms=begin, end_ms=end
    )
    return levels.withheld(link.level, _limits(step), levels.Day(sales, volume_ml), sale["volume_ml"])


def redeem(step: Step, member_ref: int, rules: RuleSet) -> RedeemLimit:
    """Return what points of a member may still pay today: settled sales and held quotes have paid."""
    begin, end = _day(step, step.stamp.wall_ms)
    points = step.tx.sales.redeemed_between(member_ref, begin, end) + step.tx.quotes.held(POINTS_HOLD, str(member_ref))
    used_minor = points * rules.program.step_minor // rules.program.step_points
    return levels.redeem_limit(_limits(step), used_minor)


def waiting(step: Step, sale: str, link: Linked | None, evaluation: Evaluation) -> Waiting:
    """Return how the points of a sale wait; the hours are those of its rules, lifted by [loyalty] pending."""
    if link is None:
        return Waiting()
    touched = watching.touched(step, sale, link.member_ref)
    doubtful = link.clock_suspect or bool(touched & DOUBTS)
    lasting_ms = least_ms(step, weak=doubtful or evaluation.sale.presented.weak)
    held = link.late or bool(touched & REVIEWED_FIRST) or watching.is_held(step, sale, link.member_ref)
    return Waiting(held, doubtful, lasting_ms)


def floor(step: Step, member_ref: int) -> int | None:
    """Return the points a member may spend today where nothing of theirs is lent here, ``None`` where none (W-51).

    Everything that they spent here today counts against it.
    """
    allowed = step.settings.loyalty.floor_points
    if allowed == 0 or fencing.fenced(step):
        return None
    begin, end = _day(step, step.stamp.wall_ms)
    gone = step.tx.sales.redeemed_between(member_ref, begin, end) + step.tx.quotes.held(POINTS_HOLD, str(member_ref))
    return max(0, allowed - gone)


def least_ms(step: Step, *, weak: bool) -> int:
    """Return how long after the end of its sale points wait at this station, whatever the rules say."""
    loyalty = step.settings.loyalty
    return (loyalty.pending_doubtful if weak else loyalty.pending) or 0


def _limits(step: Step) -> levels.LevelLimits:
    found = step.settings.loyalty.levels
    redeem_minor = found.redeem_a_day * 10**step.settings.station.exponent // 1000
    return levels.LevelLimits(redeem_minor, found.uid_sales, found.uid_volume_l)


def _day(step: Step, wall_ms: int) -> tuple[int, int]:
    """Return begin and end of the local day of an instant, in Unix milliseconds."""
    midnight = datetime.combine(step.local(wall_ms).date(), datetime.min.time())
    zone = step.settings.station.tz
    begin, end = (moment.replace(tzinfo=zone).timestamp() for moment in (midnight, midnight + timedelta(days=1)))
    return round(begin * 1000), round(end * 1000)
