"""Compares an answer with what its author expected: only what is named, to any depth.

Knows no rule: both sides are plain data. A list whose entries begin with an id may be expected as a table by id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = "nothing"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the answer is not what was expected."""

    where: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        return f"{self.where}: expected {_shown(self.expected)}, was {_shown(self.actual)}"


def differences(expected: Any, actual: Any, where: str = "") -> list[Difference]:
    """Return every difference; a key that the answer does not have is one too: a misspelt key must not pass."""
    if isinstance(expected, Mapping) and isinstance(actual, list):
        actual = by_id(actual)
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        found = []
        for key, value in expected.items():
            place = f"{where}.{key}" if where else str(key)
            if key in actual:
                found += differences(value, actual[key], place)
            else:
                found.append(Difference(place, value, ABSENT))
        return found
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = enumerate(zip(expected, actual, strict=True))
        return [found for place, pair in pairs for found in differences(*pair, f"{where}[{place}]")]
    same = expected == actual and isinstance(expected, bool) == isinstance(actual, bool)
    return [] if same else [Difference(where, expected, actual)]


def by_id(entries: list[Any]) -> dict[str, Any]:
    """Return a list of things as a table by their id, the value of the first key of each."""
    return {str(next(iter(entry.values()))): entry for entry in entries if isinstance(entry, Mapping) and entry}


def _shown(value: Any) -> str:
    return value if value is ABSENT else repr(value)
