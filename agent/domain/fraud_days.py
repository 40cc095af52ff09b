"""Which days multiply points for everybody: what rule R9 looks at.

Pure: rules and days in, days out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from agent.domain.rules.model import Kind, Offer, RuleSet


def multiplier_days(rules: RuleSet, station: str, days: Iterable[date]) -> frozenset[date]:
    """Return those of ``days`` on which an offer multiplies points here.

    What is for one member's own day (a birthday, a visit) is no such day, and what runs on all of ``days`` is no event.
    """
    days = frozenset(days)
    found: set[date] = set()
    for offer in rules.offers:
        held = {day for day in days if _is_for_all(offer, station) and _holds(offer, day)}
        if held != days:
            found |= held
    return frozenset(found)


def _is_for_all(offer: Offer, station: str) -> bool:
    when = offer.when
    own_day = when.birthday is not None or when.first_fill
    visits = (when.visit_at, when.visit_every, when.visit_from)
    here = not when.stations or station in when.stations
    return offer.kind is Kind.MULTIPLIER and here and not own_day and all(visit is None for visit in visits)


def _holds(offer: Offer, day: date) -> bool:
    when = offer.when
    begun = when.starts_on is None or when.starts_on <= day
    lasts = when.ends_on is None or day <= when.ends_on
    return begun and lasts and (not when.weekdays or day.weekday() in when.weekdays)
