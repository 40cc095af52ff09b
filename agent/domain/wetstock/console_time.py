"""A gauge console's own clock against ours: how far it is off, whether it was set, and when a past event really was.

Integers and local texts without a zone. Knows no console and no database; the station's zone is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from agent.domain.instant import Now

DRIFT_ALERT_MIN = 5
"""More than this is an alert, and a change by more than this is a clock that was set."""

CREEP_MIN = 2
"""A console tells whole minutes: a difference of so much is not another one."""

DAY_MIN = 1440
"""A clock that is behind by more has lost its date: what it dates in its own past can only be of since then."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_MINUTE_MS = 60_000
_FUTURE_MS = 5 * _MINUTE_MS


@dataclass(frozen=True, slots=True)
class ConsoleClock:
    """``offset_min``: the console minus the station's local time. ``since``: its time just after it was last set."""

    offset_min: int
    since: str = ""

    @property
    def is_off(self) -> bool:
        """Whether a person should set the console's clock."""
        return abs(self.offset_min) > DRIFT_ALERT_MIN

    @property
    def words(self) -> str:
        """Return how far it is off, for people."""
        minutes, side = abs(self.offset_min), "ahead of" if self.offset_min > 0 else "behind"
        text = f"the console's clock is {minutes} min {side} the station's"
        if minutes == 60:
            return f"{text}: perhaps it keeps another daylight-saving rule"
        return text


def observe(known: ConsoleClock | None, console_time: str, now: Now, zone: tzinfo) -> ConsoleClock | None:
    """Return the clock after a reply that showed ``console_time`` and came at ``now``; ``known`` where it shows none.

    It stays as it was while the difference is one of rounding, creeps with a slow clock, and starts anew when set.
    """
    shown = _local(console_time)
    if shown is None:
        return known
    ours = _wall(now.wall_ms, zone)
    # the console cuts off the seconds: a right clock is up to a minute behind
    offset = ((shown - ours) // _MS + _MINUTE_MS - 1) // _MINUTE_MS
    if known is None:
        return ConsoleClock(0 if abs(offset) <= 1 else offset)
    change = abs(offset - known.offset_min)
    if change <= CREEP_MIN:
        return known
    return ConsoleClock(offset, console_time if change > DRIFT_ALERT_MIN else known.since)


def resolve(event: str, clock: ConsoleClock | None, now: Now, zone: tzinfo) -> tuple[int, str] | None:
    """Return when an event of the console's past was, in Unix milliseconds, and by what it was told.

    "clock": by the console's clock as it stands now; "zone": before its clock was set, or with nothing known of it,
    the station's zone is believed. ``None``: no date, or one that lies in the future either way.
    """
    shown = _local(event)
    if shown is None:
        return None
    latest_ms = now.wall_ms + _FUTURE_MS
    if clock is not None and (event >= clock.since or clock.offset_min < -DAY_MIN):
        at_ms = _instant(shown - timedelta(minutes=clock.offset_min), zone, latest_ms)
        if at_ms <= latest_ms:
            return at_ms, "clock"
    at_ms = _instant(shown, zone, latest_ms)
    return (at_ms, "zone") if at_ms <= latest_ms else None


def minutes_between(earlier: str, later: str) -> int | None:
    """Return whole minutes from one console time to another, ``None`` where one is no date."""
    first, second = _local(earlier), _local(later)
    return None if first is None or second is None else (second - first) // timedelta(minutes=1)


def _local(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None) if text else None
    except ValueError:
        return None


def _wall(wall_ms: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(milliseconds=wall_ms)).astimezone(zone).replace(tzinfo=None)


def _instant(local: datetime, zone: tzinfo, latest_ms: int) -> int:
    """Return the instant of a local time; in the hour that comes twice, the later one that is not in the future."""
    both = sorted({(local.replace(tzinfo=zone, fold=fold) - _EPOCH) // _MS for fold in (0, 1)})
    possible = [at_ms for at_ms in both if at_ms <= latest_ms]
    return possible[-1] if possible else both[0]
