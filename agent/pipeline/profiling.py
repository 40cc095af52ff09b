"""What the station tells the public: place, hours, prices, offers for everybody, how busy it is. Nobody's name.

Knows settings, prices, rules and the live points; when it is published is the link's part.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from agent.domain.rules.model import Conditions, Kind, Offer, RuleSet
from agent.pipeline.step import Step
from drivers.readings import PointState

_SHUT = frozenset({"Offline", PointState.INOPERATIVE.value, PointState.CLOSED.value})
SOME_PCT, BUSY_PCT = 34, 67
"""From so many of a hundred open fuelling points in use there are some customers, from so many it is busy."""


def refresh(step: Step) -> None:
    """Say anew what the public may know (called once a minute); a station in training is not on the map."""
    if step.settings.station.mode == "training":
        return
    feature = feature_of(step)
    if feature != step.live.profile:
        step.after.append(lambda: step.live.set_profile(feature))


def feature_of(step: Step) -> dict[str, Any]:
    """Return the station as a GeoJSON Feature; unit prices in 1/1000 per litre."""
    settings, station = step.settings, step.settings.station
    states = {number: str(shown["state"]) for number, shown in step.live.points.items()}
    is_open = [state for state in states.values() if state not in _SHUT]
    prices = step.memory.prices
    rules, coordinates = step.memory.rules, station.coordinates
    today = step.local(step.stamp.wall_ms).date()
    return {
        "type": "Feature",
        "id": station.id,
        "geometry": None if coordinates is None else {"type": "Point", "coordinates": coordinates},
        "properties": {
            "name": station.name,
            "address": settings.profile.address or None,
            "timezone": station.timezone,
            "opening_hours": settings.profile.opening_hours or None,
            "services": list(station.services),
            "currency": station.currency,
            "exponent": station.exponent,
            "prices": [
                {"grade": code, "name": grade.name, "product": grade.product, "unit_price_milli": prices[code]}
                for code, grade in sorted(settings.grade.items())
                if code in prices
            ],
            "offers": [] if rules is None else _offers(rules.rules, station.id, today),
            "fuelling_points": {"total": len(settings.fuelling_point), "open": len(is_open)},
            "busy": _busy(is_open),
        },
    }


def _busy(states: list[str]) -> str | None:
    if not states:
        return None
    pct = 100 * sum(1 for state in states if state != PointState.IDLE.value) // len(states)
    return "busy" if pct >= BUSY_PCT else "some" if pct >= SOME_PCT else "quiet"


def _offers(rules: RuleSet, station: str, today: date) -> list[dict[str, Any]]:
    return [
        {
            "offer": offer.id,
            "name": offer.name,
            "kind": offer.kind.value,
            "members_only": offer.needs_member,
            "from": None if offer.when.starts_on is None else offer.when.starts_on.isoformat(),
            "until": None if offer.when.ends_on is None else offer.when.ends_on.isoformat(),
        }
        for offer in rules.offers
        if _is_public(offer, station, today)
    ]


def _is_public(offer: Offer, station: str, today: date) -> bool:
    """Whether everybody, or every member, may have it here: nothing that would say who is in some audience."""
    when = offer.when
    is_here = not when.stations or station in when.stations
    is_over = when.ends_on is not None and when.ends_on < today
    return is_here and not is_over and offer.kind is not Kind.COUPON and not _chooses_members(when)


def _chooses_members(when: Conditions) -> bool:
    chosen = when.tiers or when.tags or when.birthday or when.first_fill or when.holdout_bp
    return bool(chosen) or any(number is not None for number in (when.visit_at, when.visit_every, when.visit_from))
