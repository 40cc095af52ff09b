"""The arguments of a question, read strictly: what is no such value is said, never guessed."""

from __future__ import annotations

from datetime import date, datetime, time, tzinfo
from typing import Any

MOST_ROWS = 500


class BadArgument(Exception):
    """A question's argument cannot be used."""


def limit(args: dict[str, Any]) -> int:
    """Return how many rows are asked for, 20 unless told. Raises BadArgument."""
    value = args.get("limit", 20)
    if type(value) is not int or not 1 <= value <= MOST_ROWS:
        raise BadArgument(f"limit is a whole number from 1 to {MOST_ROWS}")
    return value


def whole(args: dict[str, Any], key: str) -> int | None:
    """Return a whole number, ``None`` where it is not given. Raises BadArgument."""
    value = args.get(key)
    if value is not None and type(value) is not int:
        raise BadArgument(f"{key} is a whole number")
    return value


def word(args: dict[str, Any], key: str) -> str | None:
    """Return a word, ``None`` where it is not given. Raises BadArgument."""
    value = args.get(key)
    if value is not None and not isinstance(value, str):
        raise BadArgument(f"{key} is a word")
    return value


def day(args: dict[str, Any], key: str) -> date | None:
    """Return a local day, ``None`` where it is not given. Raises BadArgument."""
    value = word(args, key)
    try:
        return None if value is None else date.fromisoformat(value)
    except ValueError as failure:
        raise BadArgument(f"{key} is a day like 2026-03-31") from failure


def day_of(wall_ms: int, zone: tzinfo) -> date:
    """Return the local day of a Unix millisecond."""
    return datetime.fromtimestamp(wall_ms // 1000, zone).date()


def start_ms(local_day: date, zone: tzinfo) -> int:
    """Return when a local day begins, in Unix milliseconds."""
    return int(datetime.combine(local_day, time(), zone).timestamp()) * 1000
