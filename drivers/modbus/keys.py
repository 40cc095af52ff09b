"""One table of a map file, key by key: what is taken is checked, what is left over is unknown, every problem is kept.

Knows TOML values and where they stand. Knows no register.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, TypeVar

from drivers.errors import WiringError
from drivers.places import Path, Places, shown

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
LARGEST = 1 << 64
"""No register value, modulus or address is larger; a longer number is a slip of the hand."""

_DECIMAL = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_SHOWN = 40

_WordT = TypeVar("_WordT", bound=StrEnum)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a map file. ``line`` 0: none is known. ``key`` as people write it, ``hint``: what to do."""

    file: str
    line: int
    key: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.place}: {self.key}: {self.problem}. {self.hint}"

    @property
    def place(self) -> str:
        """File and line; the file alone where no line is known."""
        return f"{self.file}:{self.line}" if self.line else self.file


class MapError(WiringError):
    """The map cannot be used; ``problems`` holds all of them in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        first = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(f"{first.place}: {first.key}: {first.problem}{more}", hint=first.hint)


@dataclass(slots=True)
class Problems:
    """The problems found so far in one file."""

    file: str
    places: Places
    found: list[Problem] = field(default_factory=list)

    def add(self, path: Path, problem: str, hint: str) -> None:
        """Note one problem at ``path``."""
        self.found.append(Problem(self.file, self.places.line(path), shown(path) or "-", problem, hint))


class Keys:
    """Takes the keys of one table. A missing or wrong value is noted and the given default stands in for it."""

    def __init__(self, table: Any, path: Path, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self._taken: set[str] = set()
        self._table: Mapping[str, Any] = table if isinstance(table, dict) else {}
        if not isinstance(table, dict):
            problems.add(path, f"{told(table)} is no table", "write keys and values below a header in brackets")
        self.readable = isinstance(table, dict)

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def fault(self, key: str, problem: str, hint: str) -> None:
        """Note a problem of ``key``."""
        self.problems.add((*self.path, key) if key else self.path, problem, hint)

    def require(self, *keys: str) -> bool:
        """Note each of ``keys`` that is missing; returns whether all are there."""
        missing = [key for key in keys if key not in self._table]
        if self.readable:
            for key in missing:
                self.fault(key, "is missing", f"add {key} = ... here")
        return not missing

    def any(self, key: str) -> Any:
        """Take the bare value, ``None`` where it is missing."""
        self._taken.add(key)
        return self._table.get(key)

    def text(self, key: str, default: str = "", longest: int = 200) -> str:
        """Take a text."""
        return self._checked(
            key,
            default,
            lambda value: value if isinstance(value, str) and 0 < len(value) <= longest else None,
            f"write a text of 1 to {longest} characters in quotes",
        )

    def name(self, key: str, default: str = "") -> str:
        """Take a name: of a field, an index, a value of the station."""
        return self._checked(key, default, as_name, "write a name of small letters, digits and _, in quotes")

    def number(self, key: str, lowest: int, highest: int, default: int = 0) -> int:
        """Take a whole number within bounds."""
        return self._checked(
            key,
            default,
            lambda value: as_number(value, lowest, highest),
            f"write a whole number from {lowest} to {highest} without quotes",
        )

    def yes(self, key: str, *, default: bool = False) -> bool:
        """Take true or false."""
        return self._checked(
            key, default, lambda value: value if isinstance(value, bool) else None, "write true or false"
        )

    def decimal(self, key: str, default: Fraction | None = None) -> Fraction | None:
        """Take a decimal in quotes, exactly."""
        return self._checked(key, default, as_decimal, 'write a decimal in quotes, such as "0.01"')

    def count(self, key: str) -> int | None:
        """Take a positive whole number in quotes, as a counter's modulus needs: TOML itself ends at 2^63."""
        value = self._checked(
            key, None, _as_count, f'write a whole number from 1 to 2^64 in quotes, such as "{1 << 32}"'
        )
        return value or None

    def word(self, key: str, words: type[_WordT], default: _WordT) -> _WordT:
        """Take one of the words."""
        known = [word.value for word in words]
        return self._checked(
            key,
            default,
            lambda value: words(value) if isinstance(value, str) and value in known else None,
            "use one of " + ", ".join(known),
        )

    def names(self, key: str) -> tuple[str, ...]:
        """Take a list of names, each once."""
        return self._checked(key, (), _as_names, 'write a list of different names, such as ["volume", "amount"]')

    def sentences(self, key: str) -> tuple[str, ...]:
        """Take a list of texts."""
        return self._checked(
            key,
            (),
            lambda value: tuple(value) if isinstance(value, list) and all(isinstance(x, str) for x in value) else None,
            "write a list of texts in quotes",
        )

    def tables(self, key: str) -> list[tuple[Path, Any]]:
        """Take a list of tables: each with its path."""
        value = self.any(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fault(key, f"{told(value)} is no list", "write a list of tables")
            return []
        return [((*self.path, key, position), item) for position, item in enumerate(value)]

    def below(self, key: str) -> Keys:
        """Take a table inside this one."""
        return Keys(self.any(key), (*self.path, key), self.problems)

    def named(self, key: str) -> list[tuple[str, Path, Any]]:
        """Take a table of tables: name, path and value of each; a name that is none is noted and left out."""
        inner = self.below(key) if key in self._table else None
        found = []
        for name, value in inner.items() if inner else ():
            if NAME.fullmatch(name):
                found.append((name, (*self.path, key, name), value))
            else:
                self.problems.add(
                    (*self.path, key, name),
                    f"{told(name)} is no name",
                    "use small letters, digits and _, a letter first",
                )
        return found

    def items(self) -> Iterable[tuple[str, Any]]:
        """Take everything."""
        self._taken.update(self._table)
        return self._table.items()

    def finish(self) -> None:
        """Note every key that nobody took."""
        for key in self._table:
            if key not in self._taken:
                near = difflib.get_close_matches(key, self._taken, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(self._taken))}"
                self.fault(key, "unknown key", hint)

    def _checked(self, key: str, default: _T, read: Callable[[Any], _T | None], hint: str) -> _T:
        self._taken.add(key)
        if key not in self._table:
            return default
        value = read(self._table[key])
        if value is None:
            self.fault(key, f"{told(self._table[key])} cannot be used here", hint)
            return default
        return value


def as_name(value: Any) -> str | None:
    """The value if it is a name."""
    return value if isinstance(value, str) and NAME.fullmatch(value) else None


def as_number(value: Any, lowest: int = -LARGEST, highest: int = LARGEST) -> int | None:
    """The value if it is a whole number within bounds."""
    return value if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest else None


def as_decimal(value: Any) -> Fraction | None:
    """The value of a decimal in quotes, or of a whole number."""
    if as_number(value) is not None:
        return Fraction(value)
    return Fraction(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else None


def told(value: Any) -> str:
    """A value in a message: short, whatever somebody wrote."""
    if isinstance(value, bool | float):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) <= LARGEST else "a number that long"
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "...")
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else "a date or time"


def _as_count(value: Any) -> int | None:
    number = as_decimal(value) if isinstance(value, str) else None
    return number.numerator if number is not None and number.denominator == 1 and 1 <= number <= LARGEST else None


def _as_names(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not value or any(as_name(item) is None for item in value):
        return None
    return tuple(value) if len(set(value)) == len(value) else None
