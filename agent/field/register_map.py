"""What a register map would do at a station: its requests, writes, open values and problems, as documented JSON.

Knows maps and plans. Opens no port and sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.modbus import plan, shelf
from drivers.modbus.bind import station_units, take_in
from drivers.modbus.checks import UNITS, WORD_ORDER, unit_value
from drivers.modbus.keys import MapError, Problem
from drivers.modbus.model import RegisterMap, Unit, WordOrder, Write

UNIT = 1
_RTU_FRAME_BYTES = 5
_MEANINGS = {
    "k_factor": "pulses of one litre, from the calibration of the meter",
    "density_kg_m3": "density of the product in kg per cubic metre",
    WORD_ORDER: "in which order the registers of long values arrive: ABCD, CDAB, BADC or DCBA",
}


def check(name: str, values: Mapping[str, object], tanks: Sequence[int]) -> dict[str, Any]:
    """The documented answer on the map ``name`` (a shipped id or a path); ``tanks`` are the device's own numbers.

    Raises ``WiringError`` where there is no such map to read.
    """
    try:
        map_ = shelf.find(name)
    except MapError as error:
        return {"ok": False, "verdict": "refused", "problems": [_problem(problem) for problem in error.problems]}
    _, problems = take_in(map_, values)
    missing = [one for one in map_.requires if one not in values]
    assumed = _assumed(map_, missing)
    verdict = "refused" if problems else "values-required" if missing else "ready"
    head = {
        "ok": verdict == "ready",
        "verdict": verdict,
        "problems": [_problem(problem) for problem in problems],
        "id": map_.id,
        "version": map_.version,
        "sha256": map_.sha256,
        "title": map_.title,
        "profile": map_.profile.value,
        "standing": map_.standing,
        "uncertain": list(map_.uncertain),
        "values": [_value(map_, one, values) for one in map_.requires],
        "assumed": assumed,
    }
    if problems:
        return head
    bound, _ = take_in(map_, {**values, **assumed})
    return {**head, **_plan(bound, [tank - 1 for tank in tanks])}


def _plan(map_: RegisterMap, tanks: Sequence[int]) -> dict[str, Any]:
    record = map_.record
    return {
        "reads": [
            _read(block, cycle.period_ms, turn.select if number == 0 else None)
            for cycle in plan.cycles(map_, tanks)
            for turn in cycle.turns
            for number, block in enumerate(turn.blocks)
        ],
        "record": None
        if record is None
        else {
            "read": _read(plan.record(map_), None, None),
            "id": record.id_field,
            "empty": record.empty,
            "acknowledge": None if record.ack is None else _write(record.ack),
        },
        "setup": [{**_write(one.write), "verify": one.verify} for one in map_.setup.writes],
        "commands": [
            {
                "command": command.name.value,
                **_write(command.write),
                "confirmed_by": command.confirm.field if command.confirm else None,
                "within_ms": command.confirm.within_ms if command.confirm else None,
                "repeated": command.idempotent,
                "sent": not command.never_sent,
            }
            for command in map_.commands.values()
        ],
    }


def _read(block: plan.Block, period_ms: int | None, select: plan.WriteRequest | None) -> dict[str, Any]:
    tanks = {part.tank for part in block.parts} - {None}
    return {
        "period_ms": period_ms,
        "tanks": sorted(tank + 1 for tank in tanks if tank is not None),
        "select": None if select is None else _hex(select.pdu()),
        "function": block.function,
        "table": block.table.value,
        "address": block.address,
        "count": block.count,
        "request": _hex(block.pdu()),
        "reply_bytes": _RTU_FRAME_BYTES + ((block.count + 7) // 8 if block.table.of_bits else 2 * block.count),
        "fields": [part.field for part in block.parts],
    }


def _write(write: Write) -> dict[str, Any]:
    """A write; its bytes where they do not depend on what is written."""
    fixed = not write.value_from
    return {
        "function": write.kind.function,
        "address": write.address.base,
        "value_from": write.value_from or None,
        "request": _hex(plan.write_request(write).pdu()) if fixed else None,
    }


def _hex(pdu: bytes) -> str:
    return plan.rtu(UNIT, pdu).hex(" ").upper()


def _assumed(map_: RegisterMap, missing: Sequence[str]) -> dict[str, Any]:
    """What stands in for a missing value so that requests can be shown at all; it never reaches a station."""
    indices = {term.index for field in map_.fields.values() for term in field.address.terms} | {
        term.index for command in map_.commands.values() for term in command.write.address.terms
    }
    found: dict[str, Any] = {name: 0 for name in missing if name in indices}
    return {**found, **({WORD_ORDER: WordOrder.ABCD.value} if WORD_ORDER in missing else {})}


def _value(map_: RegisterMap, name: str, values: Mapping[str, object]) -> dict[str, Any]:
    given = values.get(name)
    return {"name": name, "given": None if given is None else str(given), "meaning": _meaning(map_, name)}


def _meaning(map_: RegisterMap, name: str) -> str:
    if name in _MEANINGS:
        return _MEANINGS[name]
    if name == UNITS:
        systems = {system for field in map_.fields.values() for system in field.measures}
        return "system of units the device is set to: " + ", ".join(sorted(systems))
    for field in map_.fields.values():
        if field.unit is Unit.STATION and name == unit_value(field.name):
            return f"unit of {field.name}: " + ", ".join(sorted(station_units(map_, field)))
        if any(term.index == name for term in field.address.terms):
            return "an index in addresses, counted from 0"
    return "a value the map writes, or an index in its addresses"


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line or None,
        "key": problem.key,
        "problem": problem.problem,
        "hint": problem.hint,
    }
