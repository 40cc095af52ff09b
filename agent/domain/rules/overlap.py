"""How the conditions of two offers lie to each other: may both hold on one sale, does one hold wherever the other does.

Knows conditions only. What the rule set alone does not tell (which grade belongs to which group) counts as possible.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from functools import lru_cache
from math import lcm

from agent.domain.member import AUTH_STRENGTH
from agent.domain.rules.model import Basis, Birthday, Conditions, Kind, Offer, SpendThreshold, TimeWindow

MINUTES_OF_A_DAY = 1440
DAYS_OF_A_WEEK = 7


def may_meet(one: Offer, other: Offer) -> bool:
    """Return whether a sale is possible on which the conditions of both offers hold."""
    a, b = one.when, other.when
    sets = (
        (a.tiers, b.tiers),
        (a.grades, b.grades),
        (a.product_groups, b.product_groups),
        (a.stations, b.stations),
        (a.weekdays, b.weekdays),
        (minutes_of(a), minutes_of(b)),
    )
    if any(left and right and not set(left) & set(right) for left, right in sets):
        return False
    return _days_meet(a, b) and _visits_meet(a, b)


def holds_wherever(wide: Offer, narrow: Offer) -> bool:
    """Return whether ``wide`` can be given on every sale on which ``narrow`` can.

    An offer that can run out (a limit, a budget, a first fill) or that leaves members out never does.
    """
    a, b = wide.when, narrow.when
    if wide.caps.limits or wide.budget is not None or a.first_fill or a.holdout_bp:
        return False
    if {wide.kind, narrow.kind} & {Kind.COUPON, Kind.PUMP_ROLLBACK} or (wide.needs_member and not narrow.needs_member):
        return False
    sets = (
        (a.tiers, b.tiers),
        (a.tags, b.tags),
        (a.grades, b.grades),
        (a.product_groups, b.product_groups),
        (a.stations, b.stations),
        (a.weekdays, b.weekdays),
        (minutes_of(a), minutes_of(b)),
    )
    if not all(_holds(left, right) for left, right in sets):
        return False
    birthday = a.birthday in (None, b.birthday) or (a.birthday, b.birthday) == (Birthday.MONTH, Birthday.DAY)
    return birthday and _days_hold(a, b) and _visits_hold(a, b) and _sizes_hold(wide, narrow)


def least_amount_minor(offer: Offer) -> int:
    """Return the gross below which an offer is not given."""
    needed = offer.when.min_amount_minor or 0
    if isinstance(offer.terms, SpendThreshold) and offer.terms.basis is Basis.GROSS:
        return max(needed, offer.terms.per_minor)
    return needed


def minutes_of(when: Conditions) -> frozenset[int]:
    """Return the minutes of the day in which windows hold; empty where there is none: the whole day."""
    return _minutes(when.windows)


@lru_cache(maxsize=512)
def _minutes(windows: tuple[TimeWindow, ...]) -> frozenset[int]:
    return frozenset(minute for minute in range(MINUTES_OF_A_DAY) if any(window.holds(minute) for window in windows))


def weekdays_between(first: date, last: date) -> frozenset[int]:
    """Return the weekdays of a span of days, both ends inclusive; Monday is 0."""
    days = min((last - first).days + 1, DAYS_OF_A_WEEK)
    return frozenset((first + timedelta(days=n)).weekday() for n in range(days))


def _holds(wide: Collection[object], narrow: Collection[object]) -> bool:
    return not wide or (bool(narrow) and set(narrow) <= set(wide))


def _days_meet(a: Conditions, b: Conditions) -> bool:
    first = max((day for day in (a.starts_on, b.starts_on) if day is not None), default=None)
    last = min((day for day in (a.ends_on, b.ends_on) if day is not None), default=None)
    if first is None or last is None:
        return True
    wanted = a.weekdays & b.weekdays if a.weekdays and b.weekdays else a.weekdays | b.weekdays
    return first <= last and (not wanted or bool(wanted & weekdays_between(first, last)))


def _days_hold(a: Conditions, b: Conditions) -> bool:
    begins = a.starts_on is None or (b.starts_on is not None and a.starts_on <= b.starts_on)
    return begins and (a.ends_on is None or (b.ends_on is not None and a.ends_on >= b.ends_on))


def _visits_meet(a: Conditions, b: Conditions) -> bool:
    fixed = {number for number in (a.visit_at, b.visit_at) if number is not None}
    every = lcm(a.visit_every or 1, b.visit_every or 1)
    least = max(a.visit_from or 1, b.visit_from or 1)
    return len(fixed) < 2 and all(number >= least and number % every == 0 for number in fixed)


def _visits_hold(a: Conditions, b: Conditions) -> bool:
    if a.visit_at is not None and a.visit_at != b.visit_at:
        return False
    steps = [number for number in (b.visit_at, b.visit_every) if number is not None]
    if a.visit_every is not None and not any(number % a.visit_every == 0 for number in steps):
        return False
    starts = [number for number in (b.visit_at, b.visit_every, b.visit_from) if number is not None]
    return a.visit_from is None or any(number >= a.visit_from for number in starts)


def _sizes_hold(wide: Offer, narrow: Offer) -> bool:
    a, b = wide.when, narrow.when
    volume = (a.min_volume_ml or 0) <= (b.min_volume_ml or 0)
    strength = AUTH_STRENGTH[a.min_level or "plate"] <= AUTH_STRENGTH[b.min_level or "plate"]
    return volume and strength and least_amount_minor(wide) <= least_amount_minor(narrow)
