"""Texts of case, script and rule files as documents: TOML or JSON by what they are, with the line of every key.

Knows no file: the text comes in. Problems carry the place in the document and, for TOML, the line.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from agent.domain.rules.fields import Problem, RuleSetError
from agent.domain.rules.load import parse
from agent.domain.rules.model import RuleSet
from drivers.places import Places
from sync.group import document_hash
from sync.messages import RecordError, canonical

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Fault:
    """One problem of one text: ``line`` is ``None`` where the text is JSON."""

    file: str
    line: int | None
    key: str
    problem: str
    hint: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.key}: {self.problem}"


class TextRefused(ValueError):
    """A text that cannot be used; ``faults`` holds everything found in it, in its order."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


@dataclass(frozen=True, slots=True)
class Document:
    """A text that was read: its tables, and the lines of its keys where it is TOML. ``name`` is what people call it."""

    name: str
    data: Mapping[str, Any]
    places: Places | None

    def refusal(self, problems: Iterable[Problem]) -> TextRefused:
        """Return problems of this document as an error with their lines, in the order of the text."""
        faults = [
            Fault(self.name, self._line(problem.path), problem.path, problem.problem, problem.hint)
            for problem in problems
        ]
        return TextRefused(tuple(sorted(faults, key=lambda fault: fault.line or 0)))

    def _line(self, path: str) -> int | None:
        if self.places is None:
            return None
        steps = [name or int(number) for name, number in _STEP.findall(path)]
        return self.places.line(tuple(steps))


def read(text: str, name: str) -> Document:
    """Return the document of a text: JSON where it begins with a brace, TOML otherwise.

    Dates and times that TOML writes without quotes become texts, so that both forms mean the same. Raises
    TextRefused.
    """
    try:
        if text.lstrip().startswith("{"):
            return Document(name, json.loads(text, object_pairs_hook=_once), None)
        return Document(name, _plain(tomllib.loads(text)), Places(text))
    except (ValueError, RecursionError) as failure:
        hint = "a file is TOML, or JSON that begins with {"
        raise TextRefused((Fault(name, None, "document", f"cannot be read: {failure}", hint),)) from failure


def rule_set(document: Document) -> tuple[RuleSet, str]:
    """Return the rules of a document and its hash, the one stations report. Raises TextRefused with every problem."""
    try:
        return parse(document.data), document_hash(canonical(dict(document.data))).hex()
    except RuleSetError as failure:
        raise document.refusal(failure.problems) from failure
    except RecordError as failure:
        hint = "write whole numbers, texts, true and false only"
        raise document.refusal([Problem("document", str(failure), hint)]) from failure


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {twice!r} is given twice in one object")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else value
