"""Modbus telegrams taken apart for a person: RTU by its checksum, TCP by its header, both sides of a wire.

Pure, never raises, loses no byte. Not used while a station runs. What a register means stands in a map, not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from drivers.checks import crc16_modbus
from drivers.dissection import Cutting, Direction, FieldKit, Piece, singles, unread

SURE, BY_HEADER, DAMAGED = 100, 70, 30
HEADER_BYTES = 6
LONGEST = 260
UNITS = range(1, 248)
FUNCTIONS = {
    1: "read coils",
    2: "read discrete inputs",
    3: "read holding registers",
    4: "read input registers",
    5: "write one coil",
    6: "write one register",
    15: "write coils",
    16: "write registers",
}
EXCEPTIONS = {
    1: "function not allowed",
    2: "address not allowed",
    3: "value not allowed",
    4: "device failure",
    5: "acknowledged, still working",
    6: "busy",
    10: "gateway has no path",
    11: "gateway target silent",
}


def dissect(data: bytes, direction: Direction = None) -> list[Piece]:
    """Return the pieces of ``data`` in order; with ``direction`` ``None`` both sides of a wire may be mixed."""
    pieces: list[Piece] = []
    at = start = 0
    expected = direction or "to_device"
    while at < len(data):
        found = _frame(data, at, direction, expected)
        if found is None:
            at += 1
            continue
        if start < at:
            pieces.append(_stray(data[start:at], start, "noise before a frame"))
        pieces.append(found)
        at = start = at + len(found.raw)
        expected = direction or ("from_device" if found.direction == "to_device" else "to_device")
    if start < len(data):
        pieces.append(_stray(data[start:], start, "no frame of Modbus: wrong checksum, cut off, or another protocol"))
    return pieces


def _frame(data: bytes, at: int, direction: Direction, expected: Direction) -> Piece | None:
    """The frame that begins at ``at`` and is certain, or (TCP) has the form of one."""
    both: tuple[Direction, ...] = ("from_device", "to_device")
    senders = (direction,) if direction is not None else both if expected == "from_device" else both[::-1]
    for sender in senders:
        for size in _sizes(data[at:], sender):
            raw = data[at : at + size]
            if len(raw) == size and crc16_modbus(raw[:-2]).to_bytes(2, "little") == raw[-2:]:
                return _rtu(raw, at, sender)
    length = HEADER_BYTES + int.from_bytes(data[at + 4 : at + 6], "big")
    raw = data[at : at + length]
    header_fits = data[at + 2 : at + 4] == b"\0\0" and HEADER_BYTES + 2 <= length == len(raw) <= LONGEST
    if not header_fits or raw[7] & 0x7F not in FUNCTIONS:
        return None
    return next((piece for sender in senders if (piece := _tcp(raw, at, sender)) is not None), None)


def _sizes(data: bytes, sender: Direction) -> list[int]:
    """How long an RTU frame that begins here is."""
    if len(data) < 3 or data[1] & 0x7F not in FUNCTIONS:
        return []
    function = data[1]
    if function & 0x80:
        return [5] if sender == "from_device" else []
    if function in (5, 6):
        return [8]
    if sender == "from_device":
        return [data[2] + 5] if function <= 4 else [8]
    return [8] if function <= 4 else [data[6] + 9] if len(data) > 6 else []


def _rtu(raw: bytes, offset: int, sender: Direction) -> Piece:
    cut = Cutting(raw, singles(raw), offset)
    kind = _message(cut, raw[:-2], sender)
    given = raw[-2:].hex().upper()
    cut.add(2, "crc", framing=True)
    return Piece(offset, raw, kind, sender, tuple(cut.fields), "ok", given, given, confidence=SURE)


def _tcp(raw: bytes, offset: int, sender: Direction) -> Piece | None:
    """``None`` where the message inside is not as long as a frame of this side must be."""
    message = raw[HEADER_BYTES:]
    if not any(size - 2 == len(message) for size in _sizes(message + b"\0\0", sender)):
        return None
    cut = Cutting(raw, singles(raw), offset)
    cut.add(2, "transaction", int.from_bytes(raw[:2], "big"), framing=True)
    cut.add(2, "protocol", 0, framing=True)
    cut.add(2, "length", len(message), framing=True)
    kind = _message(cut, raw, sender)
    return Piece(offset, raw, kind, sender, tuple(cut.fields), "none", confidence=BY_HEADER)


def _message(cut: Cutting, raw: bytes, sender: Direction) -> str:
    """Cut unit, function and what follows up to the end of ``raw``; returns the kind of the frame."""
    cut.add(1, "address", raw[cut.at], meaning=f"unit {raw[cut.at]}")
    function = raw[cut.at]
    name = FUNCTIONS[function & 0x7F]
    cut.add(1, "function", function, meaning=name, framing=True)
    if function & 0x80:
        cut.add(1, "exception", raw[cut.at], meaning=EXCEPTIONS.get(raw[cut.at], ""))
        return "exception"
    if sender == "from_device" and function <= 4:
        cut.add(1, "byte count", raw[cut.at], framing=True)
        _values(cut, raw, function)
        return f"{name}, reply"
    cut.add(2, "first register", int.from_bytes(raw[cut.at : cut.at + 2], "big"))
    if function in (5, 6):
        _values(cut, raw, function)
    else:
        cut.add(2, "count", int.from_bytes(raw[cut.at : cut.at + 2], "big"))
    if function in (15, 16) and cut.at < len(raw):
        cut.add(1, "byte count", raw[cut.at], framing=True)
        _values(cut, raw, function)
    return name if sender == "to_device" else f"{name}, reply"


def _values(cut: Cutting, raw: bytes, function: int) -> None:
    """Registers one by one; bits as the bytes that hold them."""
    size = 1 if function in (1, 2, 15) else 2
    name = "bits" if size == 1 else "register"
    while cut.at + size <= len(raw):
        value = int.from_bytes(raw[cut.at : cut.at + size], "big")
        cut.add(size, name, value, meaning=f"{value:0{2 * size}X}")
    if cut.at < len(raw):
        cut.add(len(raw) - cut.at, "rest")


def _stray(raw: bytes, offset: int, problem: str) -> Piece:
    """Bytes that are no frame; one that has the form of a frame except for its checksum is shown as that."""
    senders: tuple[Direction, ...] = ("from_device", "to_device")
    for sender in senders:
        if len(raw) in _sizes(raw, sender):
            computed = crc16_modbus(raw[:-2]).to_bytes(2, "little")
            return replace(
                _rtu(raw, offset, sender),
                check="bad",
                check_computed=computed.hex().upper(),
                problem="wrong checksum",
                confidence=DAMAGED,
            )
    return unread(raw, offset, problem)


def _probes(unit: int) -> Sequence[bytes]:
    """Reads of one register: an exception is an answer as good as a value."""
    questions = (bytes((unit, 3, 0, 0, 0, 1)), bytes((unit, 4, 0, 0, 0, 1)))
    return [question + crc16_modbus(question).to_bytes(2, "little") for question in questions]


KIT = FieldKit(
    dissect=dissect,
    probes=_probes,
    addresses=UNITS,
    probe_wait_s=0.2,
    serial_guesses=(
        (9600, 8, "none", 1),
        (9600, 8, "even", 1),
        (19200, 8, "none", 1),
        (19200, 8, "even", 1),
        (19200, 8, "odd", 1),
        (4800, 8, "none", 1),
        (38400, 8, "none", 1),
        (115200, 8, "none", 1),
    ),
    silence="the unit address is another one, or the device wants another transport (serial or TCP)",
)
