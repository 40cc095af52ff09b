"""When it is time to delete what was kept long enough, and when the clock is not good enough to say so.

Pure. Knows nights and clocks, no table: what is kept for how long is settings, what a row is the pipeline knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

DAY_MS = 86_400_000
LEAP_MS = 2 * DAY_MS
"""A clock nobody vouches for that is so much ahead of the last night has leapt, or the station was switched off."""

HOLD_MS = 7 * DAY_MS
"""How long such a leap must stand before anything is deleted by it: time for a person to see a wrong date."""

LOWER_BOUNDS = ("floor", "unknown")
"""Qualities of a clock that only says that it is not earlier (W-02)."""


@dataclass(frozen=True, slots=True)
class Nights:
    """The wall time of the last look, and until when a leap of the clock is waited for; ``None``: neither was."""

    last_ms: int | None = None
    hold_until_ms: int | None = None


def night(local: datetime, at_minutes: int) -> str:
    """Return the day whose deletion time has come last at this local time, such as ``2026-11-22``.

    Never a time of day compared: a night without power is made up for at the next start.
    """
    return (local.replace(tzinfo=None) - timedelta(minutes=at_minutes)).date().isoformat()


def judge(nights: Nights, wall_ms: int, clock: str) -> tuple[Nights, str]:
    """Return what to remember of this look, and why nothing may be deleted by this clock; empty where it may.

    ``clock``: its quality as in W-02. Deleting late is a matter of days, deleting early cannot be made good.
    """
    if clock in LOWER_BOUNDS:
        return nights, "the clock is only known not to be earlier: nothing is deleted by it"
    if clock == "ntp":
        return Nights(wall_ms), ""
    leapt = nights.last_ms is None or wall_ms - nights.last_ms > LEAP_MS
    hold = wall_ms + HOLD_MS if leapt else nights.hold_until_ms
    if hold is not None and wall_ms < hold:
        held = Nights(wall_ms, hold)
        return held, "the clock has leapt and no time service vouches for it: nothing is deleted for seven days"
    return replace(nights, last_ms=wall_ms, hold_until_ms=None), ""
