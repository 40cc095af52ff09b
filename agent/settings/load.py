"""Reading station.toml: all faults at once, in the order of the file, each with line, key and hint."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import ValidationError

from agent.settings import checks, fraud, model, tables
from agent.settings.privacy import PrivacySettings
from agent.settings.profile import ProfileSettings
from agent.settings.section import Section
from drivers.places import Path, Places, shown

_SINGLE: dict[str, type[Section]] = {
    "station": model.StationSettings,
    "store": model.StoreSettings,
    "sales": model.SalesSettings,
    "head_office": model.HeadOfficeSettings,
    "loyalty": model.LoyaltySettings,
    "control": model.ControlSettings,
    "backup": model.BackupSettings,
    "board": model.BoardSettings,
    "stock": model.StockSettings,
    "privacy": PrivacySettings,
    "profile": ProfileSettings,
    "fraud": fraud.FraudSettings,
    "shift": model.ShiftSettings,
}
_LISTS: dict[str, type[Section]] = {
    "line": model.LineSettings,
    "fuelling_point": model.PointSettings,
    "tank": model.TankSettings,
    "reader": model.ReaderSettings,
    "staff": model.StaffSettings,
}
_REQUIRED = ("station", "line", "fuelling_point", "grade")
_HINTS = {
    "extra_forbidden": "remove it or correct its spelling; config/station.example.toml has the keys of this section",
    "missing": "add it; see config/station.example.toml",
    "literal_error": "use one of the words listed",
    "string_type": "write it as text in quotes",
    "int_type": "write it as a whole number without quotes",
    "bool_type": "write true or false",
    "string_pattern_mismatch": "use only the characters and length that the example file shows",
    "value_error": "correct the value as described",
}
_MAX_FILE_BYTES = 1_048_576
"""A station file is a few kilobytes; past this it is not one."""

_MAX_LINE_BYTES = 8_192
"""Past this it is no line that a person wrote; a key with thousands of dots keeps tomllib busy for minutes."""

_SectionT = TypeVar("_SectionT", bound=Section)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a configuration file. ``key`` as people write it, ``hint``: what to do."""

    file: str
    line: int
    key: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.problem}. {self.hint}"


class SettingsError(Exception):
    """The file cannot be used; ``faults`` holds all of them in file order."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


def load(file: FilePath) -> model.Settings:
    """Return the frozen settings of ``file``. Raises SettingsError with every fault at once."""
    name = str(file)
    try:
        raw = file.read_bytes()
    except (OSError, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else str(failure)
        hint = "name an existing readable file; config/station.example.toml is a start"
        raise SettingsError((Fault(name, 0, "-", f"cannot be read: {reason}", hint),)) from failure
    if len(raw) > _MAX_FILE_BYTES:
        raise SettingsError((Fault(name, 0, "-", "is larger than 1 MiB", "this is no station file"),))
    lengths = [len(line) for line in raw.split(b"\n")]
    if max(lengths) > _MAX_LINE_BYTES:
        line = next(number for number, length in enumerate(lengths, 1) if length > _MAX_LINE_BYTES)
        raise SettingsError((Fault(name, line, "-", f"is longer than {_MAX_LINE_BYTES} bytes", "break this line"),))
    try:
        text = raw.decode("utf-8-sig")
        document = _tuples(tomllib.loads(text))
    except RecursionError as failure:
        raise SettingsError((Fault(name, 1, "-", "is nested too deeply", "this is no station file"),)) from failure
    except ValueError as failure:  # includes the errors of tomllib and of decoding, and numbers too long to be read
        raise SettingsError((_syntax_fault(name, raw, failure),)) from failure
    reader = _Reader(name, Places(text))
    settings = reader.read(document, hashlib.sha256(raw).hexdigest())
    if reader.faults or settings is None:
        raise SettingsError(tuple(sorted(reader.faults, key=lambda fault: fault.line)))
    return settings


def _syntax_fault(name: str, raw: bytes, failure: ValueError) -> Fault:
    hint = "correct the syntax first; nothing else was checked"
    if isinstance(failure, UnicodeDecodeError):
        line = raw.count(b"\n", 0, failure.start) + 1
        return Fault(name, line, "-", "is not UTF-8 text", "save the file as UTF-8; " + hint)
    match = re.search(r"at line (\d+)", str(failure))
    line = int(match[1]) if match else raw.count(b"\n") + 1
    return Fault(name, line, "-", f"is not TOML: {failure}", hint)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    return value


class _Reader:
    """Validates section by section, so that one bad item hides no other."""

    def __init__(self, name: str, places: Places) -> None:
        self._name = name
        self._places = places
        self.faults: list[Fault] = []

    def fault(self, path: Path, problem: str, hint: str) -> None:
        self.faults.append(Fault(self._name, self._places.line(path), shown(path), problem, hint))

    def read(self, document: Mapping[str, Any], digest: str) -> model.Settings | None:
        known = {*_SINGLE, *_LISTS, "grade"}
        for key in document:
            if key not in known:
                self.fault((key,), "unknown section", f"the sections are {', '.join(sorted(known))}")
        for key in _REQUIRED:
            if key not in document:
                self.fault((key,), "section is missing", "add it; see config/station.example.toml")
        values: dict[str, Any] = {"hash": digest}
        for key, kind in _SINGLE.items():
            if key in document:
                values[key] = self._one(kind, document[key], (key,))
        for key, kind in _LISTS.items():
            values[key] = self._many(kind, document.get(key, ()), key)
        values["grade"] = self._grades(document.get("grade", {}))
        checks.run(document, values, self.fault)
        values["tables"] = tables.read(values["tank"], self.fault)
        if self.faults:
            return None
        return model.Settings.model_construct(**{key: value for key, value in values.items() if value is not None})

    def _one(self, kind: type[_SectionT], value: Any, path: Path) -> _SectionT | None:
        if not isinstance(value, dict):
            self.fault(path, "is not a section", f"write it as [{path[0]}] with keys below")
            return None
        try:
            return kind.model_validate(value)
        except ValidationError as failure:
            for error in failure.errors(include_url=False, include_context=False):
                self._report(error, path)
            return None

    def _report(self, error: Any, path: Path) -> None:
        where: Path = (*path, *error["loc"])
        message = str(error["msg"]).removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            message = "unknown key"
        if error["type"] == "missing":
            message = "is missing"
        self.fault(where, message, _HINTS.get(error["type"], "correct the value; see config/station.example.toml"))

    def _many(self, kind: type[_SectionT], items: Any, key: str) -> tuple[_SectionT | None, ...]:
        if not isinstance(items, tuple):
            self.fault((key,), "is not a list of sections", f"write each as [[{key}]]")
            return ()
        return tuple(self._one(kind, item, (key, number)) for number, item in enumerate(items))

    def _grades(self, grades: Any) -> dict[str, model.GradeSettings | None]:
        if not isinstance(grades, dict):
            self.fault(("grade",), "is not a section", "write each grade as [grade.92]")
            return {}
        return {code: self._one(model.GradeSettings, value, ("grade", code)) for code, value in grades.items()}
