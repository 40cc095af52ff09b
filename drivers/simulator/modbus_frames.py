"""Modbus from the device's side: requests out of bytes, replies into bytes, RTU and TCP. Written from the standard.

Pure. Knows no register's meaning. A function that does not exist here is a request all the same: it gets exception 1.
"""

from __future__ import annotations

from dataclasses import dataclass

READS = (1, 2, 3, 4)
BITS = (1, 2)
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE, BUSY = 1, 2, 3, 4, 6
MAX_WAITING = 512


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``values``: what is written (bits as 0 and 1), empty for a read. ``transaction``: of TCP, else 0."""

    unit: int
    function: int
    address: int
    count: int
    values: tuple[int, ...] = ()
    transaction: int = 0


def _table() -> tuple[int, ...]:
    """What one byte does to the register, by its low eight bits."""
    rows = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = (register >> 1) ^ (0xA001 if register & 1 else 0)
        rows.append(register)
    return tuple(rows)


_TABLE = _table()


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS, low byte first."""
    register = 0xFFFF
    for byte in data:
        register = (register >> 8) ^ _TABLE[(register ^ byte) & 0xFF]
    return register.to_bytes(2, "little")


class RtuReader:
    """Requests out of a serial stream, for units ``units`` or any. A byte that begins no request is dropped."""

    def __init__(self) -> None:
        self._waiting = b""

    def feed(self, data: bytes) -> list[Request]:
        """The complete requests in ``data`` and what was kept."""
        self._waiting = (self._waiting + data)[-MAX_WAITING:]
        found = []
        at = 0
        while at + 4 <= len(self._waiting):
            size = _rtu_size(self._waiting[at:])
            frame = self._waiting[at : at + size]
            if size and len(frame) == size and crc(frame[:-2]) == frame[-2:]:
                found.append(_request(frame[0], frame[1:-2]))
                at += size
                self._waiting, at = self._waiting[at:], 0
            else:
                at += 1
        return found

    def clear(self) -> None:
        """Silence: half a request is forgotten."""
        self._waiting = b""


class TcpReader:
    """Requests out of one connection."""

    def __init__(self) -> None:
        self._waiting = b""

    def feed(self, data: bytes) -> list[Request]:
        """The complete requests in ``data`` and what was kept; a stream without headers is thrown away."""
        self._waiting += data
        found = []
        while len(self._waiting) >= 8:
            length = int.from_bytes(self._waiting[4:6], "big")
            if self._waiting[2:4] != b"\0\0" or not 2 <= length <= 254:
                self._waiting = b""
                break
            if len(self._waiting) < 6 + length:
                break
            frame, self._waiting = self._waiting[: 6 + length], self._waiting[6 + length :]
            found.append(_request(frame[6], frame[7:], int.from_bytes(frame[:2], "big")))
        return found

    def clear(self) -> None:
        """Another connection: half a request is forgotten."""
        self._waiting = b""


def answer(request: Request, values: tuple[int, ...] = ()) -> bytes:
    """The reply without envelope: the values read, or the echo of a write."""
    head = bytes((request.function,))
    if request.function in BITS:
        packed = bytearray((len(values) + 7) // 8)
        for index, value in enumerate(values):
            packed[index // 8] |= (value & 1) << (index % 8)
        return head + bytes((len(packed),)) + bytes(packed)
    if request.function in READS:
        return head + bytes((2 * len(values),)) + b"".join(value.to_bytes(2, "big") for value in values)
    address = request.address.to_bytes(2, "big")
    if request.function == 5:
        return head + address + (b"\xff\x00" if request.values[0] else b"\0\0")
    if request.function == 6:
        return head + address + request.values[0].to_bytes(2, "big")
    return head + address + len(request.values).to_bytes(2, "big")


def refusal(request: Request, code: int) -> bytes:
    """An exception without envelope."""
    return bytes((request.function | 0x80, code))


def envelope(request: Request, message: bytes, *, tcp: bool, unit: int | None = None) -> bytes:
    """``message`` as it travels. ``unit``: another one than was asked."""
    whole = bytes((request.unit if unit is None else unit,)) + message
    if not tcp:
        return whole + crc(whole)
    return request.transaction.to_bytes(2, "big") + b"\0\0" + len(whole).to_bytes(2, "big") + whole


def _rtu_size(data: bytes) -> int:
    """Bytes of the request that may begin here; 0 = none that is known."""
    if data[1] in {1, 2, 3, 4, 5, 6}:
        return 8
    if data[1] in {15, 16}:
        return 9 + data[6] if len(data) > 6 else len(data) + 1
    return 0


def _request(unit: int, message: bytes, transaction: int = 0) -> Request:
    function, address = message[0], int.from_bytes(message[1:3], "big")
    number = int.from_bytes(message[3:5], "big")
    if function in READS:
        return Request(unit, function, address, number, (), transaction)
    if function == 5:
        return Request(unit, function, address, 1, (int(number == 0xFF00),), transaction)
    if function == 6:
        return Request(unit, function, address, 1, (number,), transaction)
    if function == 16:
        data = message[6:]
        values = tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data) - 1, 2))
        return Request(unit, function, address, number, values, transaction)
    return Request(unit, function, address, 0, (), transaction)
