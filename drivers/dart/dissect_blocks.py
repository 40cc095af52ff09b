"""The transactions of a DART block named field by field, in both directions, with those that the driver never uses.

Pure. Numbers are digits as they travel: the wire does not tell decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from drivers.checks import bcd_to_int
from drivers.dart.blocks import Dcc, State
from drivers.dart.level import ALARMS
from drivers.dissection import Cutting, Direction
from drivers.errors import FrameRejected

Reader = Callable[[Cutting, int], None]
"""Cuts the value of one transaction; the number is its length."""

UNUSED = "not used"
_SENDERS: tuple[Literal["to_device", "from_device"], ...] = ("to_device", "from_device")
PARAMETERS_LENGTH = 51
TOTALS, BOTH_TOTALS = 0x10, 0x0D


def likely_direction(body: bytes) -> Direction:
    """Who sent a block, by what only one side can say; ``None`` when both could have."""
    fits = [sender for sender in _SENDERS if _fits(body, _LEGAL[sender])]
    return fits[0] if len(fits) == 1 else None


def transactions(cut: Cutting, size: int, direction: Direction) -> str:
    """Cut the transactions in the next ``size`` bytes; returns what is wrong with them, in words."""
    end = cut.at + size
    problems = []
    while cut.at < end:
        head = cut.plain[cut.at : cut.at + 2]
        if len(head) < 2 or cut.at + 2 + head[1] > end:
            cut.add(end - cut.at, "undecoded", meaning="a transaction runs past the end of its block")
            problems.append("a transaction runs past the end of its block")
            break
        problems += _transaction(cut, head[0], head[1], direction)
    return "; ".join(problems)


def _transaction(cut: Cutting, number: int, length: int, direction: Direction) -> list[str]:
    name, reader = _named(number, cut.plain[cut.at + 2 : cut.at + 2 + length], direction)
    cut.add(1, "transaction", number, meaning=name or "unknown", framing=bool(name))
    cut.add(1, "length", length, framing=True)
    if reader is None:
        value = cut.peek(length)
        if length:
            why = "unknown transaction" if not name else f"{length} bytes are not its length"
            cut.add(length, "value", value.hex().upper(), meaning=f"{value.hex(' ').upper()} ({why})")
        return [] if not name else [f"{name}: {length} bytes are not its length"]
    before = len(cut.fields)
    reader(cut, length)
    return [
        f"{name}: {field.name} is not packed decimal"
        for field in cut.fields[before:]
        if field.unit == DIGITS and field.value is None
    ]


def _named(number: int, value: bytes, direction: Direction) -> tuple[str, Reader | None]:
    """Name and reader of a transaction; the reader is ``None`` where the length is not that of the transaction."""
    if direction is not None:
        name, lengths, reader = _TABLES[direction].get(number, ("", (), _text))
        return name, reader if name and _length_fits(len(value), lengths) else None
    if (number, len(value)) == (0x01, 1):
        return "CD1 command or DC1 status", _command_or_status
    legal = [sender for sender in _SENDERS if _LEGAL[sender](number, value)]
    if number == 0x03 and len(legal) == 2:
        return "CD3 preset volume or DC3 nozzle and price", _preset_or_nozzle
    for sender in legal or _SENDERS:
        name, reader_or_none = _named(number, value, sender)
        if name:
            return name, reader_or_none
    return "", None


def _length_fits(length: int, lengths: tuple[int, ...]) -> bool:
    """``lengths``: those allowed; a negative one stands for all its multiples."""
    return any(length == one if one > 0 else length > 0 and length % -one == 0 for one in lengths)


def _fits(body: bytes, legal: Callable[[int, bytes], bool]) -> bool:
    at = 0
    while at < len(body):
        value = body[at + 2 : at + 2 + (body[at + 1] if at + 1 < len(body) else 256)]
        if at + 1 >= len(body) or len(value) != body[at + 1] or not legal(body[at], value):
            return False
        at += 2 + len(value)
    return True


def _legal_command(number: int, value: bytes) -> bool:
    name, reader = _named(number, value, "to_device")
    if not name or reader is None:
        return False
    if number == 0x02:
        return all(1 <= nozzle <= 0x0F for nozzle in value)
    return number != 0x01 or value[0] in set(Dcc)


def _legal_answer(number: int, value: bytes) -> bool:
    name, reader = _named(number, value, "from_device")
    if not name or reader is None:
        return False
    if number == 0x03:
        return value[:3].hex().isdecimal() and value[3] <= 0x1F
    return number != 0x01 or value[0] in set(State)


_LEGAL: Mapping[str, Callable[[int, bytes], bool]] = {"to_device": _legal_command, "from_device": _legal_answer}

DIGITS = "digits"


def _digits(cut: Cutting, size: int, name: str, decimals: int) -> None:
    """One number of packed decimals; ``decimals`` are those of most heads, shown as an example only."""
    raw = cut.peek(size)
    try:
        value = bcd_to_int(raw)
    except FrameRejected:
        cut.add(size, name, None, DIGITS, f"{raw.hex().upper()} is not packed decimal")
        return
    shown = f"{value} ({value // 10**decimals}.{value % 10**decimals:0{decimals}d} with {decimals} decimals)"
    cut.add(size, name, value, DIGITS, shown)


def _number(name: str, words: Mapping[int, str] | None = None) -> Reader:
    def read(cut: Cutting, _length: int) -> None:
        value = cut.peek(1)[0]
        meaning = f"{value:02X}" if words is None else f"{value:02X} {words.get(value, 'unknown')}"
        cut.add(1, name, value, meaning=meaning)

    return read


def _each(name: str) -> Reader:
    def read(cut: Cutting, length: int) -> None:
        for _ in range(length):
            cut.add(1, name, cut.peek(1)[0], meaning=str(cut.peek(1)[0]))

    return read


def _two(first: str, second: str) -> Reader:
    def read(cut: Cutting, _length: int) -> None:
        _number(first)(cut, 1)
        _number(second)(cut, 1)

    return read


def _value(name: str, decimals: int) -> Reader:
    return lambda cut, _length: _digits(cut, 4, name, decimals)


def _prices(cut: Cutting, length: int) -> None:
    for nozzle in range(1, length // 3 + 1):
        _digits(cut, 3, f"price of nozzle {nozzle}", 3)


def _filled(cut: Cutting, _length: int) -> None:
    _digits(cut, 4, "volume", 2)
    _digits(cut, 4, "amount", 2)


def _nozzle_price(cut: Cutting, _length: int) -> None:
    _digits(cut, 3, "price", 3)
    byte = cut.peek(1)[0]
    nozzle = f"nozzle {byte & 0x0F}" if byte & 0x0F else "none selected"
    cut.add(1, "nozzle", byte & 0x0F, meaning=f"{nozzle}, {'out' if byte & 0x10 else 'in'}")


def _parameters(cut: Cutting, length: int) -> None:
    end = cut.at + length
    cut.add(22, UNUSED, framing=True)
    for name in ("volume decimals", "amount decimals", "price decimals"):
        _digits(cut, 1, name, 0)
    cut.add(5, UNUSED, framing=True)
    _digits(cut, 4, "maximum amount", 2)
    if cut.at < end:
        cut.add(2, UNUSED, framing=True)
        cut.add(15, "grades", cut.peek(15).hex().upper(), meaning=cut.peek(15).hex(" ").upper())


def _identity(cut: Cutting, _length: int) -> None:
    for size, name in ((2, "maker"), (1, "type"), (2, "program")):
        digits = cut.peek(size).hex()
        cut.add(size, name, digits, meaning=digits)


def _counter(cut: Cutting) -> None:
    value = cut.peek(1)[0]
    kind = "amount" if value & 0x10 else "volume"
    cut.add(1, "counter", value, meaning=f"{value:02X}, {kind} total of nozzle {value & 0x0F}")


def _totals(cut: Cutting, length: int) -> None:
    if length == 1:
        _counter(cut)
        return
    _counter(cut)
    if length == BOTH_TOTALS:
        for name in ("volume total", "amount total"):
            cut.add(1, UNUSED, meaning="top byte, not part of the value", framing=True)
            _digits(cut, 5, name, 2)
        return
    for name in ("total", "total of grade 1", "total of grade 2"):
        _digits(cut, 5, name, 2)


def _mode_or_totals(cut: Cutting, length: int) -> None:
    if length == TOTALS:
        _totals(cut, length)
    else:
        _two("stand-alone mode", "local authorise")(cut, length)


def _temperature_or_price(cut: Cutting, length: int) -> None:
    """Three bytes are one price of a Wayne head, or nozzle and temperature of an S4 head: the wire does not tell."""
    if length == 3 and not cut.peek(3).hex().isdecimal():
        _number("nozzle")(cut, 1)
        cut.add(2, "temperature", cut.peek(2).hex().upper(), meaning=cut.peek(2).hex(" ").upper())
    else:
        _prices(cut, length)


def _tag(cut: Cutting, _length: int) -> None:
    _number("nozzle")(cut, 1)
    cut.add(12, "tag", cut.peek(12).hex().upper(), meaning=cut.peek(12).hex().upper())


def _text(cut: Cutting, length: int) -> None:
    cut.add(length, "value", cut.peek(length).hex().upper())


_COMMANDS = {code.value: code.name.replace("_", " ") for code in Dcc}
_STATES = {state.value: state.name.replace("_", " ") for state in State}


def _command_or_status(cut: Cutting, _length: int) -> None:
    value = cut.peek(1)[0]
    command, state = _COMMANDS.get(value, "unknown"), _STATES.get(value, "unknown")
    cut.add(1, "command or status", value, meaning=f"to the pump {command}; from the pump state {state}")


def _preset_or_nozzle(cut: Cutting, _length: int) -> None:
    raw = cut.peek(4)
    nozzle = f"nozzle {raw[3] & 0x0F} {'out' if raw[3] & 0x10 else 'in'}"
    meaning = f"to the pump preset volume {raw.hex()}; from the pump price {raw[:3].hex()}, {nozzle}"
    cut.add(4, "preset volume or nozzle and price", raw.hex(), meaning=meaning)


_Row = tuple[str, tuple[int, ...], Reader]
_PAUSES: dict[int, _Row] = {
    0x0E: ("CD14/DC14 suspend", (1,), _number("nozzle")),
    0x0F: ("CD15/DC15 resume", (1,), _number("nozzle")),
}
_TABLES: Mapping[str, Mapping[int, _Row]] = {
    "to_device": {
        **_PAUSES,
        0x01: ("CD1 command", (1,), _number("command", _COMMANDS)),
        0x02: ("CD2 allowed nozzles", (-1,), _each("allowed nozzle")),
        0x03: ("CD3 preset volume", (4,), _value("preset volume", 2)),
        0x04: ("CD4 preset amount", (4,), _value("preset amount", 2)),
        0x05: ("CD5 prices", (-3,), _prices),
        0x07: ("CD7 output", (2,), _two("function", "command")),
        0x09: ("CD9 set parameters", (PARAMETERS_LENGTH,), _parameters),
        0x0D: ("CD13 filling type", (1,), _number("filling type", {0: "cash", 1: "credit"})),
        0x65: ("CD101 ask total", (1,), _totals),
        0x66: ("CD102 ask amount total", (1,), _totals),
    },
    "from_device": {
        **_PAUSES,
        0x01: ("DC1 status", (1,), _number("state", _STATES)),
        0x02: ("DC2 filled", (8,), _filled),
        0x03: ("DC3 nozzle and price", (4,), _nozzle_price),
        0x05: ("DC5 alarm", (1,), _number("alarm", ALARMS)),
        0x07: ("DC7 parameters", (PARAMETERS_LENGTH,), _parameters),
        0x09: ("DC9 identity", (5,), _identity),
        0x65: ("DC101 totals", (TOTALS, BOTH_TOTALS), _totals),
        0x66: ("DC102 amount totals or mode", (TOTALS, 2), _mode_or_totals),
        0x67: ("DC103 prices", (-3,), _temperature_or_price),
        0x68: ("DC104 tag", (13,), _tag),
    },
}
