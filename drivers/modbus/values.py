"""Registers to exact values and back: types, word orders, factors, and what is no value at all.

Arithmetic is exact (integers and fractions); a float is taken at its exact binary value and rounded once. Knows no
address, no request and no unit of a station.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from drivers.errors import WiringError
from drivers.modbus.model import Condition, DeviceCommand, Field, Guard, RawType, RegisterMap, Unit, Write, WriteKind

MOST_DECIMALS = 12
COIL_ON = 0xFF00

_FORMATS = {RawType.F32: (">f", 23, 127), RawType.F64: (">d", 52, 1023)}

Key = tuple[str, int | None]
"""(field, tank): the tank of a field that repeats per tank, ``None`` for the others."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One field as it was read. ``reason`` is empty for a value and otherwise one word for why there is none.

    Reasons: ``short``, ``not_a_number``, ``not_decimal``, ``not_text``, ``no_value``, ``coarse``, ``unlisted`` (a raw
    value outside ``enum``; ``raw`` is given), ``decimals``, ``unit``, ``condition``. ``raw``: the count before scale
    (of a float: steps of its resolution). ``value``: after scale, in ``unit``. ``word``: of ``enum``, or the text.
    ``flags``: the named bits that stand.
    """

    raw: int | None = None
    value: Fraction | None = None
    word: str = ""
    unit: Unit | None = None
    flags: frozenset[str] = frozenset()
    reason: str = ""


def decode(field: Field, registers: Sequence[int]) -> Sample:
    """The value of ``field`` in its registers as received (in a table of bits: one 0 or 1); raises nothing."""
    if len(registers) != field.count:
        return Sample(reason="short")
    if field.address.table.of_bits:
        return _named(field, Sample(raw=registers[0], value=Fraction(registers[0])))
    data = assembled(field, registers)
    bits = int.from_bytes(data, "big")
    if bits in field.no_value:
        return Sample(reason="no_value")
    if field.type is RawType.ASCII:
        return _text(data)
    sample = _number(field, data, bits)
    if sample.reason:
        return sample
    if field.flags:
        sample = replace(sample, flags=_flags(field, bits))
    return _named(field, replace(sample, unit=field.unit))


def samples(map_: RegisterMap, registers: Mapping[Key, Sequence[int]]) -> dict[Key, Sample]:
    """All fields of one turn, each with what it takes from others: decimals, unit, whether it counts at all."""
    found = {key: decode(map_.fields[key[0]], words) for key, words in registers.items()}
    return {key: _dependent(map_.fields[key[0]], key[1], sample, found, map_) for key, sample in found.items()}


def unusable(guard: Guard, sample: Sample | None) -> str:
    """Why no field of the device is a reading now; empty while all is well. An unread guard is ``guard_unread``."""
    if sample is None or sample.raw is None:
        return "guard_unread"
    return next((case.reason for case in guard.unusable if sample.raw >> case.bit & 1), "")


def encode(write: Write, value: Fraction | int | None = None) -> tuple[int, ...]:
    """The registers to write, in the order they travel; ``value`` is in the unit of the write, before ``scale``.

    ``None`` takes the raw value of the map (0 where any value triggers). Raises ``WiringError`` when the value does not
    fit the register: nothing is ever cut off or rounded on the way to a device.
    """
    if value is None:
        raw: Fraction = Fraction(0 if write.value is None else write.value)
    else:
        raw = Fraction(value) / write.scale
    if write.kind is WriteKind.COIL:
        return (COIL_ON if raw else 0,)
    field = Field("", write.address, write.type, write.word_order, write.size_bytes)
    try:
        bits = _bits(write.type, field, raw)
    except (OverflowError, ValueError) as error:
        raise _unfit(write, raw) from error
    if bits & write.set_bits:
        raise _unfit(write, raw)
    return travelling(field, (bits | write.set_bits).to_bytes(field.count * 2, "big"))


def confirmed(command: DeviceCommand, field: Field, sample: Sample, value: Fraction | int | None = None) -> bool:
    """Whether ``sample`` of the confirming ``field`` proves ``command``, sent with ``value``; unknown never does."""
    if command.confirm is None or sample.raw is None:
        return False
    if not command.confirm.equals_written:
        return sample.raw in command.confirm.equals
    plain = replace(field, word_order=command.write.word_order, enum={}, no_value=frozenset())
    return decode(plain, encode(command.write, value)).raw == sample.raw


def pattern(field: Field, number: int) -> int:
    """The assembled bits that spell ``number`` in ``field``; raises ValueError or OverflowError when it cannot."""
    if not field.type.is_float and field.type is not RawType.BCD and field.type.is_number:
        if not -(1 << field.width_bits - 1) <= number < 1 << field.width_bits:
            raise OverflowError(number)
        return number & (1 << field.width_bits) - 1
    return _bits(field.type, field, Fraction(number))


def highest(field: Field) -> int:
    """The bits of the highest value of the type: what a device fills in when it has none."""
    if field.type is RawType.BCD:
        return int("9" * (field.width_bits // 4), 16)
    if field.type.is_float:
        _, mantissa, bias = _FORMATS[field.type]
        return (2 * bias << mantissa) | ((1 << mantissa) - 1)
    return (1 << field.width_bits - (1 if field.type.is_signed else 0)) - 1


def assembled(field: Field, registers: Sequence[int]) -> bytes:
    """The big-endian bytes of a value whose registers arrived in the order of ``field``."""
    order = field.word_order
    assert order is not None, "a map is bound to its station before it is used"
    turned = reversed(registers) if order.reverses_registers and field.type is not RawType.ASCII else registers
    endian = "little" if order.swaps_bytes else "big"
    return b"".join(register.to_bytes(2, endian) for register in turned)  # type: ignore[arg-type]


def travelling(field: Field, data: bytes) -> tuple[int, ...]:
    """The registers of big-endian ``data`` in the order in which they travel: the reverse of ``assembled``."""
    registers = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    return tuple(int.from_bytes(assembled(field, [register]), "big") for register in _in_order(field, registers))


def _in_order(field: Field, registers: list[int]) -> list[int]:
    order = field.word_order
    turns = order is not None and order.reverses_registers and field.type is not RawType.ASCII
    return registers[::-1] if turns else registers


def _text(data: bytes) -> Sample:
    plain = data.rstrip(b"\x00 ")
    if not all(0x20 <= byte < 0x7F for byte in plain):
        return Sample(reason="not_text")
    return Sample(word=plain.decode("ascii"))


def _number(field: Field, data: bytes, bits: int) -> Sample:
    match field.type:
        case RawType.F32 | RawType.F64:
            return _float(field, data, bits)
        case RawType.BCD:
            digits = data.hex()
            raw = int(digits) if digits.isdecimal() else None
            if raw is None:
                return Sample(reason="not_decimal")
        case RawType.BIT:
            raw = bits >> field.bit & 1
        case RawType.BOOL:
            raw = 1 if bits else 0
        case _:
            raw = bits
            if field.type.is_signed and bits >> field.width_bits - 1:
                raw -= 1 << field.width_bits
    return Sample(raw=raw, value=raw * field.scale)


def _float(field: Field, data: bytes, bits: int) -> Sample:
    layout, mantissa, bias = _FORMATS[field.type]
    number: float = struct.unpack(layout, data)[0]
    if not math.isfinite(number):
        return Sample(reason="not_a_number")
    value = Fraction(number) * field.scale
    if field.resolution is None:
        return Sample(value=value)
    exponent = max(bits >> mantissa & (2 * bias + 1), 1)
    step = Fraction(2) ** (exponent - bias - mantissa) * abs(field.scale)
    if step > field.resolution:
        return Sample(reason="coarse")
    raw = round(value / field.resolution)  # half to even
    return Sample(raw=raw, value=raw * field.resolution)


def _named(field: Field, sample: Sample) -> Sample:
    if not field.enum:
        return sample
    word = field.enum.get(_known(sample.raw))
    return replace(sample, word=word) if word else replace(sample, reason="unlisted")


def _flags(field: Field, bits: int) -> frozenset[str]:
    return frozenset(flag.name for flag in field.flags if (bits >> flag.bit & 1) != flag.active_low)


def _dependent(
    field: Field, tank: int | None, sample: Sample, found: Mapping[Key, Sample], map_: RegisterMap
) -> Sample:
    """``sample`` after a look at the fields it depends on: of the same tank, or of the whole device."""

    def other(name: str) -> Sample:
        return found.get((name, tank)) or found.get((name, None)) or Sample(reason="short")

    if sample.reason:
        return sample
    if field.valid_when is not None and not _holds(field.valid_when, other(field.valid_when.field)):
        return Sample(reason="condition")
    if field.decimals_from:
        places = other(field.decimals_from).raw
        if places is None or not 0 <= places <= MOST_DECIMALS:
            return Sample(reason="decimals")
        sample = replace(sample, value=_known(sample.value) / 10**places)
    if field.unit_from:
        code = other(field.unit_from)
        if code.reason or code.word not in map_.fields[field.unit_from].enum.values():
            return Sample(reason="unit")
        sample = replace(sample, unit=Unit(code.word))
    return sample


def _holds(condition: Condition, sample: Sample) -> bool:
    if sample.raw is None or (condition.equals is not None and sample.raw != condition.equals):
        return False
    return not sample.flags & set(condition.none_of)


def _bits(kind: RawType, field: Field, raw: Fraction) -> int:
    if kind.is_float:
        data: bytes = struct.pack(_FORMATS[kind][0], float(raw))
        return int.from_bytes(data, "big")
    if raw.denominator != 1:
        raise ValueError(raw)
    number = raw.numerator
    if kind is RawType.BCD:
        if not 0 <= number < 10 ** (field.width_bits // 4):
            raise OverflowError(number)
        return int(str(number), 16)
    return int.from_bytes(number.to_bytes(field.width_bits // 8, "big", signed=kind.is_signed), "big")


def _unfit(write: Write, raw: Fraction) -> WiringError:
    return WiringError(
        f"{raw} does not fit a register of type {write.type.value} at wire address {write.address.base}",
        hint="correct scale, decimals or type of this write in the register map",
    )


_T = TypeVar("_T")


def _known(value: _T | None) -> _T:
    assert value is not None
    return value
