"""What a person gave with a question, read and judged; every fault says what to give instead. Knows no operation."""

from __future__ import annotations

from agent.inbox import Asked
from agent.pipeline.step import RequestRefused, Step

MAX_TEXT = 200
"""Longest reason or reference a person may give."""


def text(asked: Asked, key: str, *, needed: bool = True) -> str:
    """Return a plain text, "" where it is not given and need not be. Raises RequestRefused."""
    value = asked.args.get(key, "")
    if value is None:
        value = ""
    if not isinstance(value, str) or len(value) > MAX_TEXT or any(not c.isprintable() for c in value):
        raise RequestRefused(f"{key} is no plain text of at most {MAX_TEXT} characters", hint="shorten it", exit_code=2)
    if needed and not value.strip():
        raise RequestRefused(f"{key} is missing", hint=f"give --{key.replace('_', '-')}", exit_code=2)
    return value.strip()


def number(asked: Asked, key: str) -> int:
    """Return a whole number. Raises RequestRefused."""
    value = asked.args.get(key)
    if type(value) is not int:
        raise RequestRefused(f"{key} is no whole number", hint=f"give {key}", exit_code=2)
    return value


def optional_number(asked: Asked, key: str) -> int | None:
    """Return a whole number, ``None`` where it is not given. Raises RequestRefused."""
    return None if asked.args.get(key) is None else number(asked, key)


def sale(step: Step, asked: Asked) -> str:
    """Return the id of the one sale whose id begins as given. Raises RequestRefused."""
    given = text(asked, "sale").upper()
    found = step.tx.sales.ids_like(given)
    if len(found) != 1:
        problem = "no sale" if not found else "more than one sale"
        raise RequestRefused(f"{problem} has an id like {given!r}", hint="forecourt sales lists the ids")
    return found[0]
