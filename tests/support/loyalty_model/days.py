"""Local days of the model: periods in which uses count, birthdays, ends of months, daily windows. Knows no offer."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def period(window: str, day: date) -> str:
    """Key of the day, week from Monday, month or life that a local day lies in, as a station writes it."""
    if window == "DAY":
        return str(day)
    if window == "WEEK":
        thursday = day - timedelta(days=day.weekday()) + timedelta(days=3)
        number = (thursday - date(thursday.year, 1, 1)).days // 7 + 1
        return f"{thursday.year}-W{number:02d}"
    return f"{day.year:04d}-{day.month:02d}" if window == "MONTH" else "life"


def is_birthday(month_day: str | None, day: date, mode: str) -> bool:
    """Whether a member born on ``MM-DD`` has the day or the month; the 29th of February is the 28th in other years."""
    if month_day is None:
        return False
    month, born = int(month_day[:2]), int(month_day[3:])
    if mode == "MONTH":
        return month == day.month
    if (month, born) == (2, 29) and not calendar.isleap(day.year):
        born = 28
    return (day.month, day.day) == (month, born)


def month_end_after(day: date, months: int) -> date:
    """Last day of the month that lies ``months`` later."""
    end = day.replace(day=1)
    for _ in range(months + 1):
        end = (end + timedelta(days=31)).replace(day=1)
    return end - timedelta(days=1)


def minute_of(text: str) -> int:
    """Minute of the day of ``HH:MM``."""
    return int(text[:2]) * 60 + int(text[3:])


def in_windows(windows: Sequence[Mapping[str, Any]], minute: int) -> bool:
    """Whether a minute lies in one of the windows: start inclusive, end exclusive, a smaller end is after midnight."""
    for window in windows:
        start, end = minute_of(window["from"]), minute_of(window["to"])
        inside = start <= minute < end if start <= end else minute >= start or minute < end
        if inside:
            return True
    return False
