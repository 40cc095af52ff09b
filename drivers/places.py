"""Where in a TOML file a key stands: tomllib tells values, people need lines.

A small reader of headers and keys, enough to find the line of a key that tomllib has already accepted.
"""

from __future__ import annotations

import re
from collections import Counter

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")
_TOKEN = re.compile(r"""\\.|\"{3}|'{3}|"(?:[^"\\]|\\.)*"|'[^']*'|[\[\]{}]|\#.*""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def _parts(text: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(text)]


class _Value:
    """Follows a value over the lines it takes: an open bracket or an open multi-line string goes on."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""

    @property
    def goes_on(self) -> bool:
        return self._depth > 0 or self._quote != ""

    def feed(self, line: str) -> None:
        for hit in _TOKEN.finditer(line):
            sign = hit.group()
            if self._quote:
                self._quote = "" if sign == self._quote else self._quote
            elif sign in ('"""', "'''"):
                self._quote = sign
            elif sign in "[{":
                self._depth += 1
            elif sign in "]}":
                self._depth -= 1
            elif sign.startswith("#"):
                return


class Places:
    """Line numbers of the keys and tables of one file."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._counts: Counter[Path] = Counter()
        here: Path = ()
        value = _Value()
        for number, line in enumerate(text.split("\n"), 1):
            if value.goes_on:
                value.feed(line)
                continue
            header = _HEADER.match(line)
            if header is not None:
                here = self._enter(_parts(header[2]), is_array=header[1] == "[[")
                self._lines.setdefault(here, number)
                continue
            key = _KEY.match(line)
            if key is not None:
                self._lines.setdefault((*here, *_parts(key[1])), number)
                value.feed(line[key.end() :])

    def _enter(self, parts: list[str], *, is_array: bool) -> Path:
        path: Path = ()
        for depth, part in enumerate(parts):
            path = (*path, part)
            if is_array and depth == len(parts) - 1:
                self._counts[path] += 1
                return (*path, self._counts[path] - 1)
            if self._counts[path]:
                path = (*path, self._counts[path] - 1)
        return path

    def line(self, path: Path) -> int:
        """Return the line of ``path`` or of the nearest table above it; 1 where nothing is known."""
        for length in range(len(path), 0, -1):
            found = self._lines.get(path[:length])
            if found is not None:
                return found
        return 1


def shown(path: Path) -> str:
    """Return ``path`` as people write it: ``fuelling_point[2].nozzle[1].tank`` (counting from 1)."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text
