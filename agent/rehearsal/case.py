"""Reads cases: a sale, a member and what the station holds at an instant, each with what its author expects of it.

Evaluates nothing; the format is described in docs/rehearsal.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.domain.member import MemberFacts, UseCount
from agent.domain.rules.facts import BudgetView, CampaignBudget, FactsError, LocalInstant, SaleFacts
from agent.domain.rules.fields import Fields, Problem
from agent.domain.rules.model import RuleSet, Subject
from agent.rehearsal import reading
from agent.rehearsal.documents import Document
from agent.rehearsal.reading import Setting

MAX_CASES = 10_000
"""Cases of one file: a suite that a person still reads; more belongs into several files."""

_NOT_DEFAULTS = ("name", "case", "expect")


@dataclass(frozen=True, slots=True)
class Case:
    """One case, ready to be evaluated. ``place`` is its path in the document; ``expect`` what the answer must hold."""

    name: str
    place: str
    zone_name: str
    sale: SaleFacts
    member: MemberFacts | None
    budgets: BudgetView
    instant: LocalInstant
    expect: Mapping[str, Any] | None


def is_suite(document: Document) -> bool:
    """Return whether the document holds a list of cases rather than one."""
    return "case" in document.data


def cases(document: Document, rules: RuleSet, now: str | None = None) -> tuple[Case, ...]:
    """Return the cases of a document: itself, or its ``[[case]]`` tables, which take what they lack from around them.

    ``now`` replaces the instant of every case. Raises TextRefused with every problem and its place.
    """
    problems: list[Problem] = []
    found: list[Case | None] = []
    if is_suite(document):
        outer = Fields(document.data, "", problems)
        listed = outer.tables("case")
        if not 1 <= len(listed) <= MAX_CASES:
            outer.problem("case", f"lists {len(listed)} cases", f"list 1 to {MAX_CASES}")
        shared = {key: value for key, value in document.data.items() if key not in _NOT_DEFAULTS}
        for key in sorted(set(document.data) & {"name", "expect"}):
            outer.problem(key, "belongs to one case", "write it below a [[case]]")
        for table, data in zip(listed[:MAX_CASES], document.data["case"] if listed else (), strict=False):
            if isinstance(data, Mapping):
                found.append(_Reader({**shared, **data}, table.path, rules, now, problems).case())
        problems += _twice(found)
    else:
        found.append(_Reader(document.data, "", rules, now, problems).case())
    if problems:
        raise document.refusal(_once(problems, document))
    return tuple(case for case in found if case is not None)


def _twice(found: list[Case | None]) -> list[Problem]:
    seen: set[str] = set()
    problems = []
    for case in found:
        if case is not None and case.name in seen:
            problems.append(Problem(f"{case.place}.name", f"is given twice: {case.name!r}", "name each case once"))
        if case is not None:
            seen.add(case.name)
    return problems


def _once(problems: list[Problem], document: Document) -> list[Problem]:
    """Point problems of shared keys at where these stand, and tell each once."""
    told: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        head, _, rest = problem.path.partition("].")
        number = head.removeprefix("case[")
        shared = False
        if rest and number.isdigit():
            key = rest.replace("[", ".").split(".")[0]
            data = document.data["case"][int(number)]
            shared = key == "--now" or (isinstance(data, Mapping) and key not in data and key in document.data)
        path = rest if shared else problem.path
        told.setdefault((path, problem.problem), Problem(path, problem.problem, problem.hint))
    return list(told.values())


@dataclass(slots=True)
class _Reader:
    """Reads one case; ``data`` is the table with everything it takes from around it."""

    data: Mapping[str, Any]
    path: str
    rules: RuleSet
    now: str | None
    problems: list[Problem]

    def case(self) -> Case | None:
        """Return the case, or ``None`` where no facts can be made of it: the problems are noted."""
        before = len(self.problems)
        fields = Fields(self.data, self.path, self.problems)
        number = self.path.removeprefix("case[").removesuffix("]")
        name = fields.text("name", f"case {int(number) + 1}" if number else "case")
        at = reading.setting(fields, self.data, self.rules)
        instant = self._instant(fields, at)
        member, uses = self._member(fields, at), self._used(fields, at, instant)
        try:
            sale = self._sale(fields, at, linked=member is not None)
        except FactsError as failure:
            fields.problem("", str(failure), "write a sale that can be")
            sale = None
        budgets = self._budgets(fields, uses)
        expect = self.data.get("expect") if fields.has("expect") else None
        if expect is not None and not isinstance(expect, Mapping):
            fields.problem("expect", "is not a table", "write keys of the answer and their values")
        fields.finish()
        if sale is None or len(self.problems) > before:
            return None
        if member is not None:
            own = tuple(count for subject, count in uses if subject is Subject.MEMBER)
            member = replace(member, uses=own)
        zone_name = str(self.data.get("timezone", reading.DEFAULT_ZONE))
        return Case(name, self.path, zone_name, sale, member, budgets, instant, expect)

    def _instant(self, fields: Fields, at: Setting) -> LocalInstant:
        unix_ms = reading.moment(fields, "now", at.zone, None if self.now is None else 0)
        if self.now is not None:
            unix_ms, problem = reading.parse_moment(self.now, at.zone)
            if problem:
                fields.problem("--now", f"is {self.now!r}, {problem}", reading.MOMENT_HINT)
        lift_seen = fields.flag("lift_seen") if fields.has("lift_seen") else True
        return LocalInstant(unix_ms, at.zone, lift_seen)

    def _member(self, fields: Fields, at: Setting) -> MemberFacts | None:
        anonymous = fields.flag("anonymous")
        if not fields.has("member"):
            return None
        table = fields.table("member")
        member = reading.member(table, at.rules, "id", reading.DEFAULT_MEMBER)
        table.finish()
        return None if anonymous else member

    def _used(self, fields: Fields, at: Setting, instant: LocalInstant) -> list[tuple[Subject, UseCount]]:
        return [reading.used(table, at, instant.day) for table in fields.tables("used")]

    def _sale(self, fields: Fields, at: Setting, *, linked: bool) -> SaleFacts:
        program = at.rules.program
        coupons = tuple(reading.coupon(table, at) for table in fields.tables("coupon"))
        return SaleFacts(
            sale=fields.text("sale", "case", reading.NAME),
            station=at.station,
            currency=fields.text("currency", program.currency, r"[A-Z]{3}"),
            exponent=fields.integer("exponent", program.exponent, most=4),
            lines=reading.lines(fields, at),
            presented=reading.presented(fields, coupons, linked=linked),
            purpose=reading.purpose(fields),
            rollback=reading.rollback(fields, at),
        )

    def _budgets(self, fields: Fields, uses: list[tuple[Subject, UseCount]]) -> BudgetView:
        campaigns = []
        for table in fields.tables("budget"):
            campaign = reading.campaign(table, self.rules)
            remaining = table.integer("remaining_minor")
            live = table.flag("live") if table.has("live") else True
            campaigns.append(CampaignBudget(campaign, table.text("lease", campaign), remaining, live))
            table.finish()
        names = [budget.campaign for budget in campaigns]
        if len(set(names)) != len(names):
            fields.problem("budget", "names a campaign twice", "a station holds one lease of a campaign at a time")
        usable = fields.optional_integer("points_usable")
        counts = tuple(count for subject, count in uses if subject is Subject.STATION)
        return BudgetView(tuple(campaigns), usable, counts)
