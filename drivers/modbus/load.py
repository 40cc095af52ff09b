"""A map file to a register map: all problems at once, each with file, line, key and what to do.

Knows TOML and the sections of a map. Knows no folder and no station: ``shelf`` finds files, ``bind`` takes values in.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drivers.modbus import checks, writes
from drivers.modbus.addresses import AddressBase
from drivers.modbus.fields import Defaults, read_field, read_word_order
from drivers.modbus.keys import Keys, MapError, Problem, Problems, told
from drivers.modbus.model import MOST_REGISTERS_READ, Group, Profile, Record, RegisterMap, WordOrder
from drivers.places import Places

MOST_BYTES = 262_144
"""A map is a few kilobytes; past this it is not one."""
_LONGEST_LINE_BYTES = 8_192
"""A key with thousands of dots keeps tomllib busy for minutes."""

_SECTIONS = ("map", "field", "group", "command", "setup", "record", "guard", "select")
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_STANDINGS = ("solid", "single source", "project rule", "station")
_PERIOD_MS = {Profile.GAUGE: 30_000}
_SHORTEST_PERIOD_MS, _LONGEST_PERIOD_MS = 100, 3_600_000
_USUAL_PERIOD_MS = 1_000


def load(file: str, raw: bytes) -> RegisterMap:
    """The map in ``raw``; ``file`` is its name in messages. Raises ``MapError`` with every problem."""
    document, places = _document(file, raw)
    problems = Problems(file, places)
    found = _read(document, problems)
    if problems.found:
        raise MapError(problems.found)
    return replace(found, sha256=hashlib.sha256(raw).hexdigest())


def _document(file: str, raw: bytes) -> tuple[dict[str, Any], Places]:
    def refuse(line: int, problem: str, hint: str) -> MapError:
        return MapError([Problem(file, line, "-", problem, hint)])

    if len(raw) > MOST_BYTES:
        raise refuse(1, f"is larger than {MOST_BYTES} bytes", "this is no register map")
    for number, line in enumerate(raw.split(b"\n"), 1):
        if len(line) > _LONGEST_LINE_BYTES:
            raise refuse(number, f"is longer than {_LONGEST_LINE_BYTES} bytes", "break this line")
    try:
        text = raw.decode("utf-8-sig")
        return tomllib.loads(text), Places(text)
    except UnicodeDecodeError as error:
        line_number = raw.count(b"\n", 0, error.start) + 1
        raise refuse(line_number, "is not UTF-8 text", "save the file as UTF-8") from error
    except RecursionError as error:
        raise refuse(1, "is nested too deeply", "this is no register map") from error
    except ValueError as error:  # TOML's own, and numbers too long to be read
        match = re.search(r"at line (\d+)", str(error))
        line_number = int(match[1]) if match else raw.count(b"\n") + 1
        raise refuse(
            line_number, f"is not TOML: {error}", "correct the syntax first; nothing else was checked"
        ) from error


def _read(document: dict[str, Any], problems: Problems) -> RegisterMap:
    top = Keys(document, (), problems)
    top.require("map", "field")
    head = top.below("map") if "map" in top else Keys({}, ("map",), problems)
    found, defaults, select_confirmed = _head(head, problems)
    fields = {name: read_field(name, path, value, defaults) for name, path, value in top.named("field")}
    groups = tuple(_group(name, path, value, problems, found.profile) for name, path, value in top.named("group"))
    commands = [writes.read_command(name, path, value, defaults, fields) for name, path, value in top.named("command")]
    record = writes.read_record(top.below("record"), defaults) if "record" in top else None
    found = replace(
        found,
        fields=fields,
        groups=groups,
        commands={command.name.value: command for command in commands if command is not None},
        setup=writes.read_setup(top.below("setup"), defaults) if "setup" in top else found.setup,
        record=_at_home(record, groups),
        guard=writes.read_guard(top.below("guard")) if "guard" in top else None,
        select=writes.read_select(top.below("select"), defaults) if "select" in top else None,
    )
    for key in _SECTIONS:
        top.any(key)
    top.finish()
    checks.run(found, select_confirmed=select_confirmed, fault=problems.add)
    return replace(found, requires=checks.open_values(found))


def _head(keys: Keys, problems: Problems) -> tuple[RegisterMap, Defaults, bool]:
    """``[map]``: identity, defaults, and whether the maker confirmed the select."""
    keys.require("id", "version", "profile", "address_base")
    map_id = keys.text("id", longest=40)
    if map_id and not _ID.fullmatch(map_id):
        keys.fault("id", f"{told(map_id)} is no id", "use small letters, digits and -")
    base = keys.any("address_base")
    if "address_base" in keys and (isinstance(base, bool) or base not in (0, 1, "modicon")):
        keys.fault("address_base", f"{told(base)} is no way of counting", 'write 0, 1 or "modicon"')
        base = 0
    standing = keys.text("standing", "station")
    if standing not in _STANDINGS:
        keys.fault("standing", f"{told(standing)} is not known", "use one of " + ", ".join(_STANDINGS))
    order = read_word_order(keys, WordOrder.ABCD)
    found = RegisterMap(
        id=map_id,
        version=keys.number("version", 1, 65_535, 1),
        profile=keys.word("profile", Profile, Profile.METER),
        fields={},
        groups=(),
        title=keys.text("title"),
        standing=standing,
        uncertain=keys.sentences("uncertain"),
        word_order=order,
        max_gap=keys.number("max_gap", 0, MOST_REGISTERS_READ),
        max_registers=keys.number("max_registers", 1, MOST_REGISTERS_READ, MOST_REGISTERS_READ),
        requires=keys.names("requires"),
    )
    select_confirmed = keys.yes("select_confirmed")
    keys.finish()
    return found, Defaults(_counting(base), order, problems), select_confirmed


def _counting(base: Any) -> AddressBase:
    return "modicon" if base == "modicon" else 1 if base == 1 else 0


def _group(name: str, path: tuple[str | int, ...], value: Any, problems: Problems, profile: Profile) -> Group:
    keys = Keys(value, path, problems)
    keys.require("fields")
    usual = _PERIOD_MS.get(profile, _USUAL_PERIOD_MS)
    period_ms = keys.number("period_ms", _SHORTEST_PERIOD_MS, _LONGEST_PERIOD_MS, usual)
    group = Group(name, keys.names("fields"), period_ms, keys.yes("atomic"))
    keys.finish()
    return group


def _at_home(record: Record | None, groups: tuple[Group, ...]) -> Record | None:
    """The record with the atomic group that brings its fields, where one does."""
    if record is None or not record.fields:
        return record
    home: Mapping[str, str] = {name: group.name for group in groups if group.atomic for name in group.fields}
    return replace(record, group=home.get(record.fields[0], ""))
