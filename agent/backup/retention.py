"""Which old backups may go. Pure: a calendar and a rule; removes nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo

ALWAYS_NEWEST = 2
"""The newest good ones stay whatever the calendar says: a clock that jumps must not cost the last backup."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One backup as the rule sees it. ``good``: complete, and its database without a finding."""

    name: str
    made_ms: int
    good: bool


def removable(found: Sequence[Kept], *, days: int, months: int, zone: tzinfo, just_made: str) -> list[str]:
    """Return the names that may go, oldest first.

    Kept are the newest good one of each of the last ``days`` local days and ``months`` local months that have one, the
    newest two, the newest with findings, and ``just_made``. Many made on one day never push out an older day.
    """
    newest_first = sorted(found, key=lambda one: (one.made_ms, one.name), reverse=True)
    good = [one for one in newest_first if one.good]
    kept = {just_made, *(one.name for one in good[:ALWAYS_NEWEST])}
    kept |= {next((one.name for one in newest_first if not one.good), just_made)}
    for periods, start in ((days, _day), (months, _month)):
        first_of: dict[date, str] = {}
        for one in good:
            first_of.setdefault(start(one.made_ms, zone), one.name)
        kept |= set(list(first_of.values())[:periods])
    return [one.name for one in reversed(newest_first) if one.name not in kept]


def _day(made_ms: int, zone: tzinfo) -> date:
    return datetime.fromtimestamp(made_ms // 1000, zone).date()


def _month(made_ms: int, zone: tzinfo) -> date:
    return _day(made_ms, zone).replace(day=1)
