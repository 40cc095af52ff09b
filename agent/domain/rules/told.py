"""What an evaluation was told, as plain data that can be kept for years, and back: the same answer can be given again.

Knows the records of facts.py and member.py by their fields, not what they mean. Keeps of a member only what the rule
set asks about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import date, tzinfo
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from agent.domain.member import MemberFacts, UseCount, period_of
from agent.domain.rules.engine import evaluate
from agent.domain.rules.facts import BudgetView, LocalInstant, SaleFacts
from agent.domain.rules.model import RuleSet
from agent.domain.rules.verdict import Evaluation


class ToldError(ValueError):
    """Kept facts that cannot be read: damaged, or written by newer software."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one evaluation was told beside the rule set."""

    sale: SaleFacts
    member: MemberFacts | None
    budgets: BudgetView
    instant: LocalInstant

    def evaluate(self, rules: RuleSet) -> Evaluation:
        """Return the answer to the same facts once more."""
        return evaluate(self.sale, self.member, rules, self.budgets, self.instant)


def keep(evaluation: Evaluation) -> dict[str, Any]:
    """Return what an evaluation was told as plain data: texts, integers, lists and tables; defaults are left out."""
    rules, instant = evaluation.rules, evaluation.instant
    view = evaluation.budgets_told
    asked = {budget.campaign for budget in view.campaigns} & {
        offer.budget.campaign for offer in rules.offers if offer.budget is not None
    }
    told = replace(
        view,
        campaigns=tuple(budget for budget in view.campaigns if budget.campaign in asked),
        station_uses=_counted(view.station_uses, rules, instant),
    )
    kept = {
        "sale": _plain(evaluation.sale),
        "member": None if evaluation.member is None else _plain(_asked_about(evaluation.member, rules, instant)),
        "budgets": _plain(told),
        "instant": {"unix_ms": instant.unix_ms, "zone": str(instant.zone), "lift_seen": instant.lift_seen},
    }
    return {key: value for key, value in kept.items() if value is not None}


def recall(kept: Mapping[str, Any], zone_named: Callable[[str], tzinfo]) -> Told:
    """Return what ``keep`` kept. ``zone_named`` finds a time zone by its name. Raises ToldError."""
    try:
        instant = kept["instant"]
        member = kept.get("member")
        return Told(
            _built(SaleFacts, kept["sale"]),
            None if member is None else _built(MemberFacts, member),
            _built(BudgetView, kept["budgets"]),
            LocalInstant(instant["unix_ms"], zone_named(instant["zone"]), instant["lift_seen"]),
        )
    except (KeyError, TypeError, ValueError) as failure:
        raise ToldError(f"the kept facts cannot be read: {failure}") from failure


def _asked_about(member: MemberFacts, rules: RuleSet, instant: LocalInstant) -> MemberFacts:
    """Return a member without what no offer of the rule set asks: no birthday, tag or count is kept for nothing."""
    conditions = [offer.when for offer in rules.offers]
    tags = frozenset(tag for when in conditions for tag in when.tags)
    return MemberFacts(
        member=member.member,
        tier=member.tier,
        tags=member.tags & tags,
        birthday_md=member.birthday_md if any(when.birthday is not None for when in conditions) else None,
        visits=member.visits,
        first_fill_used=member.first_fill_used,
        uses=_counted(member.uses, rules, instant),
    )


def _counted(counts: tuple[UseCount, ...], rules: RuleSet, instant: LocalInstant) -> tuple[UseCount, ...]:
    """Return the counts of this instant's periods for offers that count: older days never matter again."""
    asking = {offer.id for offer in rules.offers if offer.caps.limits or offer.when.first_fill}
    day = instant.day
    return tuple(count for count in counts if count.offer in asking and count.period == period_of(count.window, day))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {
            field.name: _plain(getattr(value, field.name))
            for field in fields(value)
            if field.default is MISSING or getattr(value, field.name) != field.default
        }
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _record(kind: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is no table")
    hints = _hints(kind)
    return kind(**{name: _built(hints[name], item) for name, item in value.items()})


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _built(kind: Any, value: Any) -> Any:
    """Return a plain value as the type a record wants there; raises TypeError or ValueError where it cannot be."""
    origin = get_origin(kind)
    if origin is UnionType:
        return None if value is None else _built(next(arg for arg in get_args(kind) if arg is not type(None)), value)
    if origin in (tuple, frozenset):
        return origin(_built(get_args(kind)[0], item) for item in value)
    if is_dataclass(kind):
        return _record(kind, value)
    if kind is date:
        return date.fromisoformat(value)
    if issubclass(kind, StrEnum):
        return kind(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
