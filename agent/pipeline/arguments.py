"""What a person's question says: texts, numbers, the sale and the terminal that are meant. Refuses what it is not.

Knows no operation.
"""

from __future__ import annotations

import re

from agent.inbox import Asked
from agent.pipeline import correcting
from agent.pipeline.step import RequestRefused, Step

MAX_TEXT = 200
"""Longest reason or reference a person may give."""

_TERMINAL = re.compile(r"[A-Za-z0-9_-]{1,32}")


def text(asked: Asked, key: str, *, needed: bool = True) -> str:
    """Return a plain text without the blanks around it. Raises RequestRefused: too long, unprintable, missing."""
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
    """Return a whole number, ``None`` where none is given."""
    return None if asked.args.get(key) is None else number(asked, key)


def sale_meant(step: Step, asked: Asked) -> str:
    """Return the id of the only sale that begins as it was typed. Raises RequestRefused: none, or several."""
    given = text(asked, "sale").upper()
    found = step.tx.sales.ids_like(given)
    if len(found) != 1:
        problem = "no sale" if not found else "more than one sale"
        raise RequestRefused(f"{problem} has an id like {given!r}", hint="forecourt sales lists the ids")
    return found[0]


def terminal(asked: Asked) -> str | None:
    """Return the terminal that asks or is asked about; ``None`` where none is named."""
    value = asked.args.get("terminal")
    if value is None:
        return None
    if not isinstance(value, str) or not _TERMINAL.fullmatch(value):
        hint = "a reader of the station file, a handheld, or cli: 1 to 32 of A-Z a-z 0-9 _ -"
        raise RequestRefused(f"{value!r} is no terminal", hint=hint, exit_code=2)
    return value


def by(asked: Asked, *, needed: bool = True) -> correcting.By:
    """Return who corrects and why; ``needed``: there is no correction without a reason."""
    request = text(asked, "request", needed=False) or None
    return correcting.By(asked.person.name, asked.person.role, text(asked, "reason", needed=needed), request)
