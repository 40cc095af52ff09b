"""Whether an offer may be given at all: its conditions, limits and leases, asked in the order of the verdict codes.

Knows nothing of other offers; what mates and plans do to an offer is decided in plan.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

from agent.domain.member import AUTH_STRENGTH, REDEEM_STRENGTH, MemberFacts, UseWindow, used_in
from agent.domain.rules.facts import BudgetView, LocalInstant, SaleFacts, SaleLine
from agent.domain.rules.model import Basis, Birthday, BudgetMode, Kind, Limit, Offer, RuleSet, SpendThreshold, Subject
from agent.domain.rules.verdict import Code, Reason


@dataclass(frozen=True, slots=True)
class Case:
    """Everything one evaluation is told."""

    sale: SaleFacts
    member: MemberFacts | None
    rules: RuleSet
    budgets: BudgetView
    instant: LocalInstant

    def matches(self, offer: Offer, line: SaleLine) -> bool:
        """Return whether a line is of a grade and product group the offer speaks of."""
        grade_ok = not offer.when.grades or line.grade in offer.when.grades
        group_ok = not offer.when.product_groups or line.product_group in offer.when.product_groups
        return grade_ok and group_ok

    def matching(self, offer: Offer) -> tuple[int, ...]:
        """Return the indexes of the lines the offer speaks of."""
        return tuple(index for index, line in enumerate(self.sale.lines) if self.matches(offer, line))

    def used(self, offer: Offer, limit: Limit) -> tuple[int, int]:
        """Return ``(uses, amount)`` already counted against a limit."""
        if limit.subject is Subject.STATION:
            counts = self.budgets.station_uses
        else:
            counts = () if self.member is None else self.member.uses
        return used_in(counts, offer.id, limit.window, self.instant.day)


def refusal(offer: Offer, case: Case) -> Reason | None:
    """Return the first reason, in the order of the codes, why the offer cannot be given, or ``None`` if it can."""
    for ask in (_audience, _place, _time, _minimum, _limits, _lease, _points, _holdout, _strength):
        reason = ask(offer, case)
        if reason is not None:
            return reason
    return None


def amount_limit_code(limit: Limit) -> Code:
    """Return the code of a limit on money or points over time: the month has its own."""
    return Code.CAPPED_MONTH if limit.window is UseWindow.MONTH else Code.CAPPED_AMOUNT


def window_name(limit: Limit) -> str:
    """Return subject and window of a limit, e.g. ``MEMBER DAY``."""
    return f"{limit.subject} {limit.window}"


def holdout_bucket(offer_id: str, member: str) -> int:
    """Return the member's bucket 0..9999 for an offer: SHA-256 of ``offer:member``, first 8 bytes, big-endian, mod
    10,000.
    """
    digest = hashlib.sha256(f"{offer_id}:{member}".encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") % 10_000


def _audience(offer: Offer, case: Case) -> Reason | None:
    if offer.needs_member and case.member is None:
        return Reason(Code.NOT_MEMBER)
    if offer.kind is Kind.POINTS_AS_MONEY and case.sale.presented.points is None:
        return Reason(Code.NOT_REQUESTED)
    if case.sale.purpose is not None:
        return Reason(Code.NOT_IN_AUDIENCE, detail="purpose")
    return None if case.member is None else _member(offer, case.member, case)


def _member(offer: Offer, member: MemberFacts, case: Case) -> Reason | None:
    when = offer.when
    if when.tiers and member.tier not in when.tiers:
        ranks = {tier.id: rank for rank, tier in enumerate(case.rules.tiers, start=1)}
        needed = min(ranks[tier] for tier in when.tiers)
        return Reason(Code.NOT_IN_AUDIENCE, needed, ranks.get(member.tier or "", 0), "tier")
    if when.tags and not when.tags & member.tags:
        return Reason(Code.NOT_IN_AUDIENCE, detail="tag")
    if when.birthday is not None and not _birthday(when.birthday, member, case.instant.day):
        return Reason(Code.NOT_IN_AUDIENCE, detail="birthday")
    if when.first_fill and not member.first_fill(offer.id):
        return Reason(Code.NOT_IN_AUDIENCE, 0, 1, "first fill")
    return _visits(offer, member)


def _birthday(mode: Birthday, member: MemberFacts, day: date) -> bool:
    if mode is Birthday.DAY:
        return member.has_birthday(day)
    return member.birthday_md is not None and int(member.birthday_md[:2]) == day.month


def _visits(offer: Offer, member: MemberFacts) -> Reason | None:
    at, every, start = offer.when.visit_at, offer.when.visit_every, offer.when.visit_from
    asked = next((number for number in (at, every, start) if number is not None), None)
    if asked is None:
        return None
    if member.visits is None:
        return Reason(Code.NOT_IN_AUDIENCE, asked, None, "visits")
    visit = member.visits + 1  # this sale counts
    if at is not None and visit != at:
        return Reason(Code.NOT_IN_AUDIENCE, at, visit, "visits")
    if every is not None and visit % every:
        return Reason(Code.NOT_IN_AUDIENCE, visit - visit % every + every, visit, "visits")
    if start is not None and visit < start:
        return Reason(Code.NOT_IN_AUDIENCE, start, visit, "visits")
    return None


def _place(offer: Offer, case: Case) -> Reason | None:
    if not case.matching(offer):
        return Reason(Code.WRONG_GRADE)
    if offer.when.stations and case.sale.station not in offer.when.stations:
        return Reason(Code.WRONG_STATION)
    return None


def _time(offer: Offer, case: Case) -> Reason | None:
    when, instant = offer.when, case.instant
    if when.weekdays and instant.day.weekday() not in when.weekdays:
        return Reason(Code.OUTSIDE_WINDOW, None, instant.day.weekday(), "weekday")
    if when.windows and not any(window.holds(instant.minute) for window in when.windows):
        later = [window.start_min for window in when.windows if window.start_min > instant.minute]
        opens = min(later or [window.start_min for window in when.windows])
        return Reason(Code.OUTSIDE_WINDOW, opens, instant.minute, "time")
    if when.starts_on is not None and instant.day < when.starts_on:
        return Reason(Code.NOT_STARTED, _yyyymmdd(when.starts_on), _yyyymmdd(instant.day))
    if when.ends_on is not None and instant.day > when.ends_on:
        return Reason(Code.ENDED, _yyyymmdd(when.ends_on), _yyyymmdd(instant.day))
    return None


def _yyyymmdd(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day


def _minimum(offer: Offer, case: Case) -> Reason | None:
    lines = [case.sale.lines[index] for index in case.matching(offer)]
    gross_minor, volume_ml = sum(line.amount_minor for line in lines), sum(line.volume_ml for line in lines)
    needed = offer.when.min_amount_minor or 0
    if isinstance(offer.terms, SpendThreshold) and offer.terms.basis is Basis.GROSS:
        needed = max(needed, offer.terms.per_minor)
    if gross_minor < needed:
        return Reason(Code.THRESHOLD_NOT_MET, needed, gross_minor)
    if offer.when.min_volume_ml is not None and volume_ml < offer.when.min_volume_ml:
        return Reason(Code.MIN_VOLUME, offer.when.min_volume_ml, volume_ml)
    return None


def _limits(offer: Offer, case: Case) -> Reason | None:
    for limit in offer.caps.limits:
        uses, _ = case.used(offer, limit)
        if limit.uses is not None and uses >= limit.uses:
            return Reason(Code.DAILY_LIMIT, limit.uses, uses, window_name(limit))
    spent = [
        Reason(amount_limit_code(limit), limit.amount, case.used(offer, limit)[1], window_name(limit))
        for limit in offer.caps.limits
        if limit.amount is not None and case.used(offer, limit)[1] >= limit.amount
    ]
    return min(spent, key=lambda reason: reason.code is Code.CAPPED_MONTH, default=None)


def _lease(offer: Offer, case: Case) -> Reason | None:
    if offer.budget is None:
        return None
    lease = case.budgets.of(offer.budget.campaign)
    if lease is None:
        return Reason(Code.OFFLINE_NOT_ALLOWED, by=offer.budget.campaign)
    if lease.remaining_minor <= 0:
        return Reason(Code.BUDGET_EXHAUSTED, 1, lease.remaining_minor, by=offer.budget.campaign)
    if not lease.live:
        return Reason(Code.LEASE_EXPIRED, by=offer.budget.campaign)
    return None


def _points(offer: Offer, case: Case) -> Reason | None:
    if offer.kind is Kind.POINTS_AS_MONEY and case.budgets.points_usable is None:
        return Reason(Code.BALANCE_STALE)
    return None


def _holdout(offer: Offer, case: Case) -> Reason | None:
    if offer.when.holdout_bp == 0 or case.member is None:
        return None
    bucket = holdout_bucket(offer.id, case.member.member)
    return Reason(Code.HOLDOUT, offer.when.holdout_bp, bucket) if bucket < offer.when.holdout_bp else None


def _strength(offer: Offer, case: Case) -> Reason | None:
    needed = 0 if offer.when.min_level is None else AUTH_STRENGTH[offer.when.min_level]
    if offer.kind is Kind.POINTS_AS_MONEY:
        needed = max(needed, REDEEM_STRENGTH)
    actual = case.sale.presented.strength
    return Reason(Code.AUTH_TOO_WEAK, needed, actual) if actual < needed else None


def covers(lease_minor: int, value_minor: int, mode: BudgetMode) -> int:
    """Return what a lease gives towards a value: all of it, or what is left if the campaign gives parts."""
    if value_minor <= lease_minor:
        return value_minor
    return max(0, lease_minor) if mode is BudgetMode.PARTIAL else 0
