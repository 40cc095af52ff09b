"""Conditions of one offer that no sale can fulfil: such a rule set is refused, somebody meant something else.

Knows one offer at a time; what is only odd, or depends on other offers, is reported by lint.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.rules.fields import Problem
from agent.domain.rules.model import WEEKDAYS, Offer
from agent.domain.rules.overlap import weekdays_between


def contradictions(path: str, offer: Offer) -> Iterator[Problem]:
    """Yield what contradicts itself in the conditions of the offer at ``path`` of the document."""
    when, where = offer.when, f"{path}.when"
    at, every, start = when.visit_at, when.visit_every, when.visit_from
    if at is not None and every is not None and at % every:
        yield Problem(f"{where}.visit_at", f"{at} is no multiple of visit_every {every}", "give one of the two")
    if at is not None and start is not None and at < start:
        yield Problem(f"{where}.visit_at", f"{at} is before visit_from {start}", "give one of the two")
    if when.starts_on is not None and when.ends_on is not None and when.weekdays:
        held = weekdays_between(when.starts_on, when.ends_on)
        if not held & when.weekdays and when.starts_on <= when.ends_on:
            days = ", ".join(WEEKDAYS[day] for day in sorted(held))
            yield Problem(f"{where}.weekdays", f"none lies between {when.starts_on} and {when.ends_on}", f"use {days}")
