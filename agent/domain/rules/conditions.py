"""Whether an offer may be given at all: its conditions, limits and leases, asked in the order of the verdict codes.

Knows nothing of other offers; what mates and plans do to an offer is decided in plan.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import date

from agent.domain.member import AUTH_STRENGTH, REDEEM_STRENGTH, MemberFacts, UseCount, UseWindow, period_of
from agent.domain.rules.facts import REDEEM_DAY, BudgetView, LocalInstant, PresentedCoupon, SaleFacts, SaleLine
from agent.domain.rules.model import (
    Basis,
    Birthday,
    BudgetMode,
    Kind,
    Limit,
    Offer,
    RuleSet,
    SpendThreshold,
    Stage,
    Subject,
)
from agent.domain.rules.verdict import RANK, Code, Reason

_Counts = dict[tuple[str, UseWindow, str], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Case:
    """Everything one evaluation is told, and what many offers ask of it, found once.

    ``coupons``: the coupon that stands for an offer in the plans compared, by offer id. Derived: ``day`` and ``minute``
    of the offer instant by the wall clock, ``presented``: the coupons of each offer, those that expire first in front.
    """

    sale: SaleFacts
    member: MemberFacts | None
    rules: RuleSet
    budgets: BudgetView
    instant: LocalInstant
    coupons: Mapping[str, PresentedCoupon] = field(default_factory=dict)
    day: date = field(init=False, compare=False, repr=False)
    minute: int = field(init=False, compare=False, repr=False)
    presented: Mapping[str, tuple[PresentedCoupon, ...]] = field(init=False, compare=False, repr=False)
    _places: dict[str, tuple[int, ...]] = field(init=False, compare=False, repr=False)
    _counts: dict[Subject, _Counts] = field(init=False, compare=False, repr=False)
    _periods: dict[UseWindow, str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        local = self.instant.local
        derived = {
            "day": local.date(),
            "minute": local.hour * 60 + local.minute,
            "presented": _by_offer(self.sale.presented.coupons),
            "_places": {},
            "_periods": {},
            "_counts": {
                Subject.STATION: _summed(self.budgets.station_uses),
                Subject.MEMBER: _summed(() if self.member is None else self.member.uses),
            },
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def matching(self, offer: Offer) -> tuple[int, ...]:
        """Return the indexes of the lines of a grade and product group the offer speaks of."""
        places = self._places.get(offer.id)
        if places is None:
            places = tuple(range(len(self.sale.lines)))
            if offer.when.grades or offer.when.product_groups:
                places = tuple(index for index in places if _matches(offer, self.sale.lines[index]))
            self._places[offer.id] = places
        return places

    def period(self, window: UseWindow) -> str:
        """Return the key of the period the day lies in."""
        found = self._periods.get(window)
        if found is None:
            found = self._periods[window] = period_of(window, self.day)
        return found

    def holding(self, coupons: Mapping[str, PresentedCoupon]) -> Case:
        """Return the same case with other coupons standing for their offers."""
        other = copy(self)
        object.__setattr__(other, "coupons", coupons)
        return other

    def used(self, offer: Offer, limit: Limit) -> tuple[int, int]:
        """Return ``(uses, amount)`` already counted against a limit."""
        return self._counts[limit.subject].get((offer.id, limit.window, self.period(limit.window)), (0, 0))


def _matches(offer: Offer, line: SaleLine) -> bool:
    grade_ok = not offer.when.grades or line.grade in offer.when.grades
    group_ok = not offer.when.product_groups or line.product_group in offer.when.product_groups
    return grade_ok and group_ok


def _summed(counts: Iterable[UseCount]) -> _Counts:
    sums: _Counts = {}
    for count in counts:
        key = (count.offer, count.window, count.period)
        uses, amount = sums.get(key, (0, 0))
        sums[key] = (uses + count.uses, amount + count.amount)
    return sums


def _by_offer(coupons: Iterable[PresentedCoupon]) -> dict[str, tuple[PresentedCoupon, ...]]:
    found: dict[str, tuple[PresentedCoupon, ...]] = {}
    for coupon in sorted(coupons, key=lambda coupon: coupon.order):
        found[coupon.offer] = (*found.get(coupon.offer, ()), coupon)
    return found


def refusal(offer: Offer, case: Case) -> Reason | None:
    """Return the first reason, in the order of the codes, why the offer cannot be given, or ``None`` if it can.

    Asks what holds for every kind; whether a presented coupon may be used is asked in coupons.py.
    """
    for ask in _ASKED:
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
    if offer.kind is Kind.COUPON and offer.id not in case.presented:
        return Reason(Code.NOT_REQUESTED)
    if case.sale.purpose is not None:
        return Reason(Code.NOT_IN_AUDIENCE, detail="purpose")
    return None if case.member is None or not offer.asks_member else _member(offer, case.member, case)


def _member(offer: Offer, member: MemberFacts, case: Case) -> Reason | None:
    when = offer.when
    if when.tiers and member.tier not in when.tiers:
        needed = min(case.rules.rank_of(tier) for tier in when.tiers)
        return Reason(Code.NOT_IN_AUDIENCE, needed, case.rules.rank_of(member.tier), "tier")
    if when.tags and not when.tags & member.tags:
        return Reason(Code.NOT_IN_AUDIENCE, detail="tag")
    if when.birthday is not None and not _birthday(when.birthday, member, case.day):
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
    when, day = offer.when, case.day
    if when.weekdays and day.weekday() not in when.weekdays:
        next_day = min(when.weekdays, key=lambda weekday: (weekday - day.weekday()) % 7)
        return Reason(Code.OUTSIDE_WINDOW, next_day, day.weekday(), "weekday")
    if when.windows and not any(window.holds(case.minute) for window in when.windows):
        later = [window.start_min for window in when.windows if window.start_min > case.minute]
        opens = min(later or [window.start_min for window in when.windows])
        return Reason(Code.OUTSIDE_WINDOW, opens, case.minute, "time")
    if when.starts_on is not None and day < when.starts_on:
        return Reason(Code.NOT_STARTED, yyyymmdd(when.starts_on), yyyymmdd(day))
    if when.ends_on is not None and day > when.ends_on:
        return Reason(Code.ENDED, yyyymmdd(when.ends_on), yyyymmdd(day))
    return None


def yyyymmdd(day: date) -> int:
    """Return a day as the number that reasons carry, e.g. 20261121."""
    return day.year * 10_000 + day.month * 100 + day.day


def _minimum(offer: Offer, case: Case) -> Reason | None:
    needed = offer.when.min_amount_minor or 0
    if isinstance(offer.effect, SpendThreshold) and offer.effect.basis is Basis.GROSS:
        needed = max(needed, offer.effect.per_minor)
    if not needed and offer.when.min_volume_ml is None:
        return None
    lines = [case.sale.lines[index] for index in case.matching(offer)]
    gross_minor, volume_ml = sum(line.amount_minor for line in lines), sum(line.volume_ml for line in lines)
    if gross_minor < needed:
        return Reason(Code.THRESHOLD_NOT_MET, needed, gross_minor)
    if offer.when.min_volume_ml is not None and volume_ml < offer.when.min_volume_ml:
        return Reason(Code.MIN_VOLUME, offer.when.min_volume_ml, volume_ml)
    return None


def _limits(offer: Offer, case: Case) -> Reason | None:
    found = [_withheld(offer, case), _redeem_day(offer, case), _used_up(offer, case)]
    return min((reason for reason in found if reason is not None), key=lambda r: RANK[r.code], default=None)


def _used_up(offer: Offer, case: Case) -> Reason | None:
    if not offer.caps.limits:
        return None
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


def _withheld(offer: Offer, case: Case) -> Reason | None:
    """A limit of the link's level takes everything that is for members, one of staff cards only points and gifts."""
    over = case.sale.presented.withheld
    if over is None or not offer.needs_member or (over.points_only and offer.stage is not Stage.REWARD):
        return None
    return Reason(Code.CAPPED_VOLUME if over.of_volume else Code.DAILY_LIMIT, over.needed, over.actual, over.limit)


def _redeem_day(offer: Offer, case: Case) -> Reason | None:
    """Not one whole payment with points is left of what they may pay on a day."""
    day, program = case.budgets.redeem, case.rules.program
    if day is None or offer.kind is not Kind.POINTS_AS_MONEY:
        return None
    least = max(program.step_points, program.min_points)
    if day.left_minor // program.step_minor * program.step_points >= least:
        return None
    return Reason(Code.CAPPED_AMOUNT, day.limit_minor, day.used_minor, REDEEM_DAY)


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
    if offer.kind is not Kind.POINTS_AS_MONEY:
        return None
    asked, usable, program = case.sale.presented.points or 0, case.budgets.points_usable, case.rules.program
    least, most = max(program.step_points, program.min_points), asked if usable is None else min(asked, usable)
    if most // program.step_points * program.step_points < least:
        return Reason(Code.POINTS_STEP, least, max(0, most))
    return Reason(Code.BALANCE_STALE) if usable is None else None


def _holdout(offer: Offer, case: Case) -> Reason | None:
    if offer.when.holdout_bp == 0 or case.member is None:
        return None
    bucket = holdout_bucket(offer.id, case.member.member)
    return Reason(Code.HOLDOUT, offer.when.holdout_bp, bucket) if bucket < offer.when.holdout_bp else None


def _strength(offer: Offer, case: Case) -> Reason | None:
    needed = 0 if offer.when.min_level is None else AUTH_STRENGTH[offer.when.min_level]
    if offer.kind is Kind.POINTS_AS_MONEY or (offer.kind is Kind.COUPON and case.member is not None):
        needed = max(needed, REDEEM_STRENGTH)
    if needed == 0:
        return None
    actual = case.sale.presented.strength
    return Reason(Code.AUTH_TOO_WEAK, needed, actual) if actual < needed else None


_ASKED = (_audience, _place, _time, _minimum, _limits, _lease, _points, _holdout, _strength)
"""In the order of the codes they give."""


def covers(lease_minor: int, value_minor: int, mode: BudgetMode) -> int:
    """Return what a lease gives towards a value: all of it, or what is left if the campaign gives parts."""
    if value_minor <= lease_minor:
        return value_minor
    return max(0, lease_minor) if mode is BudgetMode.PARTIAL else 0
