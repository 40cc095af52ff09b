"""``[field.x]`` of a map file: one value in the registers, with everything that can be judged by itself.

Knows the keys of a field. Knows no other field: what must hold between fields stands in ``checks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from drivers.modbus.addresses import AddressBase, read_address
from drivers.modbus.keys import Keys, Problems, as_number, told
from drivers.modbus.model import Condition, Field, Flag, Measure, RawType, Role, Table, Unit, WordOrder
from drivers.modbus.units import FLOWS, ML_PER_UNIT, TEMPERATURES, UM_PER_UNIT
from drivers.modbus.values import MOST_DECIMALS, highest, pattern
from drivers.places import Path
from drivers.readings import PointState

MOST_BYTES = 246
"""123 registers: what one write can carry; one read could carry four bytes more."""

VOLUMES = frozenset({*ML_PER_UNIT, Unit.KG, Unit.PULSE})
_UNITS_OF: Mapping[Role, frozenset[Unit]] = {
    **dict.fromkeys(
        (
            Role.VOLUME,
            Role.TOTALIZER,
            Role.SALE_VOLUME,
            Role.GROSS_VOLUME,
            Role.NET_VOLUME,
            Role.TC_VOLUME,
            Role.ULLAGE,
            Role.WATER_VOLUME,
            Role.LIMIT_HIGH_HIGH,
            Role.LIMIT_HIGH,
            Role.LIMIT_LOW,
            Role.LIMIT_LOW_LOW,
        ),
        VOLUMES,
    ),
    **dict.fromkeys((Role.AMOUNT, Role.TOTALIZER_AMOUNT, Role.SALE_AMOUNT), frozenset({Unit.MINOR})),
    **dict.fromkeys((Role.HEIGHT, Role.WATER_HEIGHT, Role.LIMIT_HIGH_WATER), frozenset(UM_PER_UNIT)),
    Role.TEMPERATURE: TEMPERATURES,
    Role.PERCENT: frozenset({Unit.PERCENT}),
    Role.DENSITY: frozenset({Unit.KG_M3}),
    Role.MASS: frozenset({Unit.KG}),
}
"""The units in which a role can be understood; without one of them the number would have to be guessed."""

_MEASURED = frozenset(Unit) - {Unit.STATION}
COUNTERS = frozenset({Role.TOTALIZER, Role.TOTALIZER_AMOUNT})
_PLAIN = frozenset({Role.STATE, Role.NOZZLE, Role.ALARM, Role.ALARMS, Role.STATUS, Role.IDENTITY, Role.FLOW})
_SYSTEMS = ("us", "metric", "imperial")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What ``[map]`` says for every field."""

    base: AddressBase
    word_order: WordOrder | None
    problems: Problems


def units_of(role: Role | None) -> frozenset[Unit]:
    """The units in which a field with ``role`` can be understood; telemetry may have any."""
    if role is Role.FLOW:
        return FLOWS
    return _UNITS_OF.get(role, _MEASURED) if role is not None else _MEASURED


def read_word_order(keys: Keys, default: WordOrder | None) -> WordOrder | None:
    """Take ``word_order``; ``"?"`` is ``None``: the station must give it."""
    if keys.any("word_order") == "?":
        return None
    if "word_order" not in keys:
        return default
    return keys.word("word_order", WordOrder, WordOrder.ABCD)


def read_scale(keys: Keys) -> Fraction:
    """Take ``scale`` and ``decimals`` as one factor."""
    scale = keys.decimal("scale", Fraction(1)) or Fraction(0)
    if scale <= 0:
        keys.fault("scale", "a factor is greater than zero", "correct it; a direction is no negative factor")
        scale = Fraction(1)
    return scale / Fraction(10) ** keys.number("decimals", 0, MOST_DECIMALS)


def read_size(keys: Keys, kind: RawType) -> int:
    """Take ``bytes`` of bcd and ascii, and only of these."""
    sized = kind in {RawType.BCD, RawType.ASCII}
    if sized and keys.require("bytes"):
        size = keys.number("bytes", 1, MOST_BYTES, 2)
        if kind is RawType.BCD and size % 2:
            keys.fault("bytes", f"{size} bytes are no whole registers", "count both bytes of every register")
        return size
    if not sized and "bytes" in keys:
        keys.any("bytes")
        keys.fault("bytes", f"{kind.value} has its own size", "leave bytes out; it is for bcd and ascii")
    return 2 if sized else 0


def read_field(name: str, path: Path, value: Any, defaults: Defaults) -> Field:
    """One field; what is wrong is noted and stands in with a harmless value."""
    keys = Keys(value, path, defaults.problems)
    keys.require("table", "address")
    table = keys.word("table", Table, Table.HOLDING)
    if not table.of_bits:
        keys.require("type")
    kind = keys.word("type", RawType, RawType.BOOL if table.of_bits else RawType.U16)
    if table.of_bits and kind is not RawType.BOOL:
        keys.fault("type", f"a {table.value} is one bit", 'write type = "bool" or leave it out')
        kind = RawType.BOOL
    field = Field(
        name=name,
        address=read_address(keys, table, defaults.base),
        type=kind,
        word_order=read_word_order(keys, defaults.word_order),
        size_bytes=read_size(keys, kind),
        bit=_bit(keys, kind),
        scale=read_scale(keys),
        decimals_from=keys.name("decimals_from"),
        **_unit(keys),
        resolution=_resolution(keys, kind),
        enum=_enum(keys),
        role=keys.word("role", Role, Role.STATUS) if "role" in keys else None,
        modulus=keys.count("modulus"),
        max_delta=keys.count("max_delta"),
        valid_when=_condition(keys),
        alias=keys.yes("alias"),
        **_expected(keys),
    )
    field = _with_bits(keys, field)
    keys.finish()
    if keys.readable and keys.any("type") in (None, kind.value):  # of a type that is not known nothing more can be said
        _judge(keys, field)
    return field


def _bit(keys: Keys, kind: RawType) -> int:
    bit = keys.number("bit", 0, 15)
    if (kind is RawType.BIT) != ("bit" in keys):
        keys.fault("bit", 'bit and type = "bit" belong together', "give both: 0 is the least significant bit")
    return bit


def _unit(keys: Keys) -> dict[str, Any]:
    """Take the one of ``unit``, ``units`` and ``unit_from`` that is there."""
    unit = keys.word("unit", Unit, Unit.STATION) if "unit" in keys else None
    unit_from = keys.name("unit_from")
    measures = {}
    if "units" in keys:
        systems = keys.below("units")
        for system, value in systems.items():
            inner = Keys(value, (*systems.path, system), keys.problems)
            if system not in _SYSTEMS:
                inner.fault("", f"{told(system)} is no system of units", "use " + ", ".join(_SYSTEMS))
            inner.require("unit")
            measures[system] = Measure(inner.word("unit", Unit, Unit.L), read_scale(inner))
            inner.finish()
        if unit is not Unit.STATION:
            keys.fault("units", "needs the station to choose", 'write unit = "station" beside it')
    if unit is not None and unit_from:
        keys.fault("unit_from", "stands beside unit", "keep one of the two")
    return {"unit": unit, "unit_from": unit_from, "measures": measures}


def _resolution(keys: Keys, kind: RawType) -> Fraction | None:
    resolution = keys.decimal("resolution")
    if kind.is_float and "resolution" not in keys:
        keys.fault(
            "resolution",
            f"is missing: {kind.value} has no decimals of its own",
            'say to what it is rounded, such as "0.01"; where its step is coarser there is no value',
        )
    if (not kind.is_float and "resolution" in keys) or (resolution is not None and resolution <= 0):
        keys.fault("resolution", "is for floats, and greater than zero", "use scale or decimals for whole numbers")
        return None
    return resolution


def _enum(keys: Keys) -> dict[int, str]:
    words: dict[int, str] = {}
    if "enum" not in keys:
        return words
    table = keys.below("enum")
    for raw, word in table.items():
        number = int(raw) if raw.isascii() and raw.isdecimal() and len(raw) <= 10 else None
        if number is None or not isinstance(word, str) or not 0 < len(word) <= 40:
            table.fault(raw, "is no pair of a raw number and a word", 'write them like 3 = "Idle"')
        else:
            words[number] = word
    return words


def _condition(keys: Keys) -> Condition | None:
    if "valid_when" not in keys:
        return None
    inner = keys.below("valid_when")
    inner.require("field")
    name = inner.name("field")
    equals = inner.number("equals", -(1 << 63), 1 << 64) if "equals" in inner else None
    none_of = inner.names("none_of")
    if equals is None and not none_of:
        inner.fault("", "says nothing", 'add equals = 0, or none_of = ["flag"]')
    inner.finish()
    return Condition(name, equals, none_of)


def _expected(keys: Keys) -> dict[str, Any]:
    value = keys.any("expect")
    if value is None or value == "unit":
        return {"expect": (), "expect_unit": value == "unit"}
    numbers = value if isinstance(value, list) else [value]
    if not numbers or any(as_number(number) is None for number in numbers):
        keys.fault("expect", f"{told(value)} cannot be expected", 'write raw numbers, or "unit" for the unit address')
        return {}
    return {"expect": tuple(numbers)}


def _with_bits(keys: Keys, field: Field) -> Field:
    """Take ``no_value`` and ``flags``, which depend on the width of the value."""
    return replace(field, no_value=_no_value(keys, field), flags=_flags(keys, field))


def _no_value(keys: Keys, field: Field) -> frozenset[int]:
    value = keys.any("no_value")
    if value is None:
        return frozenset()
    found = set()
    for item in value if isinstance(value, list) and field.type.is_number else [None]:
        if item == "max":
            found.add(highest(field))
        elif item == "umax":
            found.add((1 << field.width_bits) - 1)
        elif (bits := _pattern(field, item)) is not None:
            found.add(bits)
        else:
            keys.fault(
                "no_value",
                f"{told(item if item is not None else value)} is no raw value of {field.type.value}",
                'write a list of raw numbers, "max" (highest of the type) or "umax" (all bits set)',
            )
    return frozenset(found)


def _pattern(field: Field, item: Any) -> int | None:
    number = as_number(item)
    try:
        return None if number is None else pattern(field, number)
    except (OverflowError, ValueError):
        return None


def _flags(keys: Keys, field: Field) -> tuple[Flag, ...]:
    found = []
    for name, path, value in keys.named("flags"):
        inner = Keys(value, path, keys.problems)
        inner.require("bit")
        bit = inner.number("bit", 0, field.width_bits - 1)
        active = inner.any("active")
        if active not in (None, "high", "low"):
            inner.fault(
                "active", f"{told(active)} is not known", 'write "low" where the flag stands while the bit is 0'
            )
        found.append(Flag(name, bit, active == "low"))
        inner.finish()
    if found and (field.type.is_float or not field.type.is_number):
        keys.fault("flags", f"{field.type.value} has no bits with names", "use a whole-number type")
    return tuple(found)


def _judge(keys: Keys, field: Field) -> None:
    """What must hold within one field."""
    role = field.role
    integer = field.type.is_number and not field.type.is_float
    if role in COUNTERS and integer and field.modulus is None and "modulus" not in keys:
        keys.fault(
            "modulus", "is missing: every counter turns over", f'say after how many counts: "{1 << 32}" of a u32'
        )
    full = 10 ** (field.width_bits // 4) if field.type is RawType.BCD else 1 << field.width_bits
    if field.modulus is not None and (not integer or field.modulus > full):
        keys.fault("modulus", f"{field.type.value} cannot count that far", f"at most {full}; a float has none")
    if field.enum and (field.type.is_float or field.type is RawType.ASCII):
        keys.fault("enum", f"{field.type.value} has no raw numbers", "use a whole-number type")
    if role is Role.STATE:
        states = {state.value for state in PointState}
        if not field.enum or set(field.enum.values()) - states:
            keys.fault("enum", "a state is one of the project's words", "use " + ", ".join(sorted(states)))
    if role is not None and role not in _PLAIN and not field.type.is_number:
        keys.fault("role", f"{role.value} is a number, {field.type.value} is none", "use a number type")
    if (field.expect or field.expect_unit) and role is not Role.IDENTITY:
        keys.fault("expect", "is for a field that tells which device this is", 'write role = "identity" beside it')
    _judge_unit(keys, field)


def _judge_unit(keys: Keys, field: Field) -> None:
    wanted = units_of(field.role)
    if wanted == _MEASURED or field.unit_from or (field.role is Role.FLOW and field.unit is None):
        return
    units: set[Unit | None] = {measure.unit for measure in field.measures.values()} or {field.unit}
    hint = "use " + ", ".join(sorted({*wanted, Unit.STATION}))
    if field.unit is None:
        keys.fault("unit", f"is missing: {field.role} without a unit would be a guess", hint)
    elif not units <= wanted | {Unit.STATION}:
        names = ", ".join(sorted(unit.value for unit in units if unit))
        keys.fault("unit", f"{names} is no unit of {field.role}", hint)
