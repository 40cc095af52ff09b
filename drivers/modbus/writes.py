"""What a map file lets us write: commands, setup, acknowledgement of a sale record, selection of a tank.

Knows the keys of these tables and the fields they name. What a kind of device may write at all stands in ``checks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drivers.errors import WiringError
from drivers.modbus.addresses import read_address
from drivers.modbus.fields import VOLUMES, Defaults, read_scale, read_size, read_word_order
from drivers.modbus.keys import LARGEST, Keys, as_name, as_number, told
from drivers.modbus.model import (
    TANK,
    CommandName,
    Confirm,
    DeviceCommand,
    Field,
    Guard,
    RawType,
    Record,
    Setup,
    SetupWrite,
    Table,
    Unit,
    Unusable,
    WordOrder,
    Write,
    WriteKind,
)
from drivers.modbus.values import encode
from drivers.places import Path

ARGUMENTS: Mapping[CommandName, str] = {
    CommandName.PRESET_VOLUME: "volume",
    CommandName.PRESET_AMOUNT: "amount",
    CommandName.PRICE: "unit_price",
}
"""What a command brings along; its write takes it by ``value_from``."""

RECORD_ID = "id"
WRITTEN = "value"
OWN_VALUES = frozenset({*ARGUMENTS.values(), RECORD_ID, TANK})
_SHORTEST_CONFIRM_MS, _LONGEST_CONFIRM_MS = 100, 60_000
_LONGEST_PAUSE_MS = 10_000
_PLAIN_TYPES = frozenset(RawType) - {RawType.ASCII, RawType.BIT, RawType.BOOL}


def read_write(keys: Keys, defaults: Defaults, given: str = "", kind: WriteKind | None = None) -> Write:
    """Take the keys of one write. ``given``: the argument that comes with it; ``kind``: where ``write`` is not said."""
    if kind is None:
        keys.require("write")
        kind = keys.word("write", WriteKind, WriteKind.REGISTER)
    keys.require("address")
    raw_type = keys.word("type", RawType, RawType.U16)
    write = Write(
        kind=kind,
        address=read_address(keys, kind.table, defaults.base),
        type=raw_type,
        word_order=read_word_order(keys, defaults.word_order),
        size_bytes=read_size(keys, raw_type),
        scale=read_scale(keys),
        unit=keys.word("unit", Unit, Unit.STATION) if "unit" in keys else None,
        any_value=keys.yes("any"),
        set_bits=keys.number("set_bits", 0, LARGEST - 1),
        **_value(keys, kind, given),
    )
    _judge(keys, write, given)
    return write


def read_command(
    name: str, path: Path, value: Any, defaults: Defaults, fields: Mapping[str, Field]
) -> DeviceCommand | None:
    """One command; ``None`` where its name is not known."""
    keys = Keys(value, path, defaults.problems)
    known = [word.value for word in CommandName]
    if name not in known:
        keys.fault("", "is no command that we know", "use one of " + ", ".join(known))
        return None
    command = CommandName(name)
    write = read_write(keys, defaults, ARGUMENTS.get(command, ""))
    confirm = _confirm(keys, fields)
    accepted = keys.yes("accept_unconfirmed")
    if confirm is None and not accepted and "confirm" not in keys:
        keys.fault(
            "confirm",
            "is missing: nothing would tell whether the command was applied",
            "name the field that shows it, or write accept_unconfirmed = true: its result then stays UNKNOWN",
        )
    shown = fields.get(confirm.field) if confirm is not None and confirm.equals_written else None
    if shown is not None and (shown.type, shown.scale, shown.size_bytes) != (write.type, write.scale, write.size_bytes):
        keys.fault("confirm", f"{shown.name} is written in another type or scale", "use a field of the same form")
    found = DeviceCommand(command, write, confirm, keys.yes("idempotent"))
    keys.finish()
    return found


def read_setup(keys: Keys, defaults: Defaults) -> Setup:
    """``[setup]``: ``[[setup.write]]`` in order."""
    writes = []
    for path, item in keys.tables("write"):
        one = Keys(item, path, defaults.problems)
        write = read_write(one, defaults)
        if write.any_value:
            one.fault("any", "a set-up has a value", "write value = ... or value_from")
        writes.append(SetupWrite(write, one.yes("verify", default=True)))
        one.finish()
    if not writes:
        keys.fault("write", "is missing", "add [[setup.write]] tables, or leave [setup] out")
    setup = Setup(tuple(writes), keys.number("pause_ms", 0, _LONGEST_PAUSE_MS))
    keys.finish()
    return setup


def read_record(keys: Keys, defaults: Defaults) -> Record:
    """``[record]``: the device's own sale record and its acknowledgement."""
    keys.require("fields", "id")
    ack = None
    if "ack" in keys:
        inner = keys.below("ack")
        ack = read_write(inner, defaults, RECORD_ID, None if "write" in inner else WriteKind.REGISTERS)
        inner.finish()
    record = Record(keys.names("fields"), keys.name("id"), keys.number("empty", 0, LARGEST - 1), ack)
    keys.finish()
    return record


def read_select(keys: Keys, defaults: Defaults) -> Write:
    """``[select]``: the tank number written before its values are read."""
    if keys.word("table", Table, Table.HOLDING) is not Table.HOLDING or keys.any("fc") not in (None, 6):
        keys.fault("fc", "a tank is selected by function 6 in a holding register", 'write table = "holding", fc = 6')
    write = read_write(keys, defaults, TANK, WriteKind.REGISTER)
    keys.finish()
    return write


def read_guard(keys: Keys) -> Guard:
    """``[guard]``: the bits that make every reading unusable, and why."""
    keys.require("field", "unusable")
    cases = []
    for path, item in keys.tables("unusable"):
        inner = Keys(item, path, keys.problems)
        inner.require("bit", "reason")
        cases.append(Unusable(inner.number("bit", 0, 63), inner.name("reason")))
        inner.finish()
    guard = Guard(keys.name("field"), tuple(cases))
    keys.finish()
    return guard


def _value(keys: Keys, kind: WriteKind, given: str) -> dict[str, Any]:
    """Take the one of ``value``, ``value_from`` and ``any`` that is there."""
    value, source = keys.any("value"), keys.any("value_from")
    if sum((value is not None, source is not None, "any" in keys)) != 1:
        keys.fault("value", "exactly one of value, value_from and any says what is written", "keep one of them")
    if value == given and given:
        return {"value_from": given}
    if source is not None:
        if as_name(source) is None or (source in OWN_VALUES and source != given):
            offer = f'"{given}" or ' if given else ""
            keys.fault("value_from", f"{told(source)} is not known here", f"write {offer}the name of a station value")
            return {}
        return {"value_from": source}
    if value is None:
        return {}
    number = as_number(int(value) if isinstance(value, bool) and kind is WriteKind.COIL else value)
    if number is None or (kind is WriteKind.COIL and number not in (0, 1)):
        offer = "true or false" if kind is WriteKind.COIL else "a whole raw number"
        keys.fault("value", f"{told(value)} cannot be written", f"write {offer}")
    return {"value": number}


def _judge(keys: Keys, write: Write, given: str) -> None:
    """What must hold within one write."""
    field = Field("", write.address, write.type, size_bytes=write.size_bytes)
    if write.type not in _PLAIN_TYPES:
        keys.fault("type", f"{write.type.value} is not written", "use a number type")
    elif write.kind is WriteKind.REGISTER and write.count != 1:
        keys.fault("write", f"{write.type.value} needs {write.count} registers", 'write = "registers"')
    elif write.set_bits >= 1 << field.width_bits:
        keys.fault("set_bits", f"is wider than {write.type.value}", "use bits of the written value")
    elif write.value is not None:
        try:
            encode(replace(write, word_order=WordOrder.ABCD))  # whether it fits does not depend on the order
        except WiringError as error:
            keys.fault("value", str(error), error.hint)
    if given and write.value_from not in (given, "") and given != TANK:
        keys.fault("value_from", f"the {given} is lost", f'write value_from = "{given}"')
    wanted = {"volume": VOLUMES, "amount": frozenset({Unit.MINOR})}.get(write.value_from)
    if wanted and write.unit not in wanted | {Unit.STATION}:
        keys.fault("unit", f"a preset {write.value_from} needs its unit", "use " + ", ".join(sorted(wanted)))


def _confirm(keys: Keys, fields: Mapping[str, Field]) -> Confirm | None:
    if "confirm" not in keys:
        return None
    inner = keys.below("confirm")
    if not inner.require("field", "equals", "within_ms"):
        inner.any("field")
        return None
    name = inner.name("field")
    field = fields.get(name)
    if field is None:
        inner.fault("field", f"there is no field {told(name)}", "name one of the fields of this map")
    equals = inner.any("equals")
    within_ms = inner.number("within_ms", _SHORTEST_CONFIRM_MS, _LONGEST_CONFIRM_MS, _SHORTEST_CONFIRM_MS)
    inner.finish()
    if equals == WRITTEN:
        return Confirm(name, within_ms, equals_written=True)
    raws: list[int] = []
    for item in equals if isinstance(equals, list) and equals else [equals]:
        meant = _raws(item, field)
        if not meant:
            inner.fault(
                "equals",
                f"{told(item)} is no value of this field",
                'write a raw number, a word of its enum, a list of them, or "value": what was written',
            )
        raws += meant
    return Confirm(name, within_ms, tuple(raws))


def _raws(item: Any, field: Field | None) -> list[int]:
    """The raw values a person means by a number or a word."""
    if isinstance(item, str) and field is not None:
        return [raw for raw, word in field.enum.items() if word == item]
    number = as_number(int(item) if isinstance(item, bool) else item)
    return [] if number is None else [number]
