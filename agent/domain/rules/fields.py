"""Reads one table of a rule document key by key and collects every problem with its path and a hint.

Knows keys and types, not what an offer is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeVar

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
MAX_INTEGER = 2**53 - 1
"""Largest integer the wire carries exactly."""

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with a rule document: where, what, and what to do."""

    path: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}; {self.hint}"


class RuleSetError(ValueError):
    """A rule document that must not be used; ``problems`` holds every one found, in the order of the document."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class Fields:
    """One table of the document. Each reader notes a problem and returns a harmless value, so that reading goes on."""

    def __init__(self, data: object, path: str, problems: list[Problem]) -> None:
        self.path = path
        self._problems = problems
        self._known: set[str] = set()
        self._data: Mapping[str, object] = {}
        if isinstance(data, Mapping):
            self._data = data
        else:
            self.problem("", "is not a table", "write key = value pairs")

    def problem(self, key: str, problem: str, hint: str) -> None:
        """Note a problem at a key of this table."""
        path = ".".join(part for part in (self.path, key) if part)
        self._problems.append(Problem(path or "document", problem, hint))

    def has(self, key: str) -> bool:
        """Return whether the key is given, and mark it as known."""
        self._known.add(key)
        return key in self._data

    def finish(self) -> None:
        """Note every key nobody asked for: a misspelt condition must not silently let everybody in."""
        for key in sorted(set(self._data) - self._known):
            self.problem(key, "is not known here", f"use one of: {', '.join(sorted(self._known))}")

    def text(self, key: str, default: str | None = None, pattern: str = r"\S.*") -> str:
        """Return a text; a missing one without a default is a problem."""
        if not self.has(key):
            if default is None:
                self.problem(key, "is missing", "add it as a text")
            return default or ""
        value = self._data[key]
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            self.problem(key, f"is {value!r}", f"write a text of the form {pattern}")
            return default or ""
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a text or ``None`` where the key is absent."""
        return self.text(key) if self.has(key) else None

    def integer(self, key: str, default: int | None = None, *, least: int = 0, most: int = MAX_INTEGER) -> int:
        """Return an integer within bounds; a missing one without a default is a problem."""
        if not self.has(key):
            if default is None:
                self.problem(key, "is missing", f"add it as an integer from {least} to {most}")
            return least if default is None else default
        value = self._data[key]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.problem(key, f"is {value!r}", f"write an integer from {least} to {most}, in the unit the key names")
            return least
        return value

    def optional_integer(self, key: str, *, least: int = 0, most: int = MAX_INTEGER) -> int | None:
        """Return an integer or ``None`` where the key is absent."""
        return self.integer(key, least=least, most=most) if self.has(key) else None

    def flag(self, key: str) -> bool:
        """Return true or false; absent is false."""
        value = self._data.get(key, False) if self.has(key) else False
        if not isinstance(value, bool):
            self.problem(key, f"is {value!r}", "write true or false")
            return False
        return value

    def choice(self, key: str, words: type[E], default: E | None = None) -> E:
        """Return one word of a closed list."""
        if not self.has(key) and default is not None:
            return default
        value = self._data.get(key)
        if isinstance(value, str) and value in {word.value for word in words}:
            return words(value)
        found = "is missing" if key not in self._data else f"is {value!r}"
        self.problem(key, found, f"use one of: {', '.join(word.value for word in words)}")
        return default if default is not None else next(iter(words))

    def words(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; absent is empty, an empty or repeating list is a problem (it would mean nobody)."""
        if not self.has(key):
            return ()
        value = self._data[key]
        if not isinstance(value, list | tuple) or not value or not all(isinstance(w, str) and w for w in value):
            self.problem(key, f"is {value!r}", "write a list with at least one text, or leave the key out")
            return ()
        if len(set(value)) != len(value):
            self.problem(key, "names something twice", "name each once")
        return tuple(value)

    def day(self, key: str) -> date | None:
        """Return a local day written YYYY-MM-DD, or ``None`` where the key is absent."""
        if not self.has(key):
            return None
        value = self._data[key]
        try:
            if isinstance(value, str) and _DATE.fullmatch(value):
                return date.fromisoformat(value)
        except ValueError:
            pass  # noted below with every other wrong form
        self.problem(key, f"is {value!r}", 'write a day that exists as "YYYY-MM-DD", in quotes')
        return None

    def minute(self, key: str) -> int:
        """Return a wall-clock time ``HH:MM`` as a minute of the day."""
        found = _TIME.fullmatch(self.text(key, pattern=_TIME.pattern))
        return int(found[1]) * 60 + int(found[2]) if found else 0

    def table(self, key: str) -> Fields:
        """Return a sub-table; an absent one is empty."""
        data = self._data[key] if self.has(key) else {}
        return Fields(data, ".".join(part for part in (self.path, key) if part), self._problems)

    def tables(self, key: str) -> list[Fields]:
        """Return a list of sub-tables, each with its number in the path; absent is empty."""
        value = self._data[key] if self.has(key) else []
        if not isinstance(value, list | tuple):
            self.problem(key, "is not a list of tables", f"write [[{key}]] once for each")
            return []
        path = ".".join(part for part in (self.path, key) if part)
        return [Fields(item, f"{path}[{index}]", self._problems) for index, item in enumerate(value)]
