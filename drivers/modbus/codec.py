"""Modbus requests to bytes, bytes to the one reply that a request can have: RTU with its checksum, TCP with its header.

The only file that imports pymodbus (framers and message classes, never its clients). Knows no port, no clock, no map.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from pymodbus.framer import FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadCoilsResponse,
    ReadDiscreteInputsRequest,
    ReadDiscreteInputsResponse,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from drivers.errors import FrameRejected

Transport = Literal["rtu", "tcp"]

MAX_REGISTERS = 125
MAX_BITS = 2000
MAX_WRITTEN = 123
EXCEPTION = 0x80
HEADER_BYTES = 7  # of TCP: transaction, protocol, length, unit
MAX_BUFFER = 1_024  # two of the longest replies and as much noise; more is babble


class Function(IntEnum):
    """The function codes in use."""

    READ_COILS = 1
    READ_DISCRETE = 2
    READ_HOLDING = 3
    READ_INPUT = 4
    WRITE_COIL = 5
    WRITE_REGISTER = 6
    WRITE_REGISTERS = 16


BIT_READS = frozenset({Function.READ_COILS, Function.READ_DISCRETE})


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Read ``count`` registers or bits from the wire address ``address``. Changes nothing in a device."""

    function: Function
    address: int
    count: int


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """Write ``values`` (16-bit registers; for a coil one 0 or 1) from the wire address ``address`` on."""

    function: Function
    address: int
    values: tuple[int, ...]


Request = ReadRequest | WriteRequest


@dataclass(frozen=True, slots=True)
class Reply:
    """``values``: registers or bits as asked, empty after a write. ``exception``: the device's "no", 0 = none."""

    values: tuple[int, ...] = ()
    exception: int = 0


_READS: dict[Function, Callable[..., ModbusPDU]] = {
    Function.READ_COILS: ReadCoilsRequest,
    Function.READ_DISCRETE: ReadDiscreteInputsRequest,
    Function.READ_HOLDING: ReadHoldingRegistersRequest,
    Function.READ_INPUT: ReadInputRegistersRequest,
}
_REPLIES: dict[Function, Callable[..., ModbusPDU]] = {
    Function.READ_COILS: ReadCoilsResponse,
    Function.READ_DISCRETE: ReadDiscreteInputsResponse,
    Function.READ_HOLDING: ReadHoldingRegistersResponse,
    Function.READ_INPUT: ReadInputRegistersResponse,
}
_FRAMERS: dict[Transport, FramerBase] = {
    "rtu": FramerRTU(DecodePDU(is_server=False)),
    "tcp": FramerSocket(DecodePDU(is_server=False)),
}


def encode(transport: Transport, unit: int, request: Request, transaction: int = 0) -> bytes:
    """The bytes of ``request`` for ``unit``; ``transaction`` (1..65535) travels on TCP only.

    Raises ``FrameRejected`` (reason ``"range"``) for what no telegram can carry: addresses, counts, values, units.
    """
    limit = 255 if transport == "tcp" else 247
    objection = _objection(request)
    if not 0 <= unit <= limit or objection:
        raise FrameRejected(
            objection or f"unit {unit} is not allowed", reason="range", hint="correct the map or the unit address"
        )
    message = _message(request)
    message.dev_id, message.transaction_id = unit, transaction
    return _FRAMERS[transport].buildFrame(message)


def reply_bytes(transport: Transport, request: Request) -> int:
    """How long the complete reply to ``request`` is; an exception is never longer."""
    data = 5 if isinstance(request, WriteRequest) else 2 + _data_bytes(request)
    return data + (HEADER_BYTES if transport == "tcp" else 3)


class ReplyDecoder:
    """Finds the reply to one request in whatever comes. ``rejected`` counts what was dropped, by reason.

    RTU: at any place where unit, function and byte count are those of the request and the checksum is right; noise
    before or after costs nothing. TCP: by the header; a stream that is out of step raises ``FrameRejected``.
    """

    def __init__(self, transport: Transport, unit: int, request: Request, transaction: int = 0) -> None:
        self.rejected: Counter[str] = Counter()
        self._rtu = transport == "rtu"
        self._unit = unit
        self._request = request
        self._transaction = transaction
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Reply | None:
        """The reply as soon as its last byte is in ``data``; ``None`` while it is not there.

        Raises ``FrameRejected`` (reason ``"header"``) when a TCP stream carries no Modbus frames.
        """
        self._buffer += data
        return self._hunt() if self._rtu else self._unwrap()

    def end(self) -> None:
        """Nothing more comes: count what is left over by what it most likely was."""
        if self._buffer:
            self.rejected[self._verdict()] += 1

    def take_over(self, before: ReplyDecoder) -> None:
        """A TCP stream goes on where the decoder of the request before has left it."""
        self._buffer += before._buffer

    # RTU.

    def _hunt(self) -> Reply | None:
        buffer = self._buffer
        for at in range(len(buffer) - 4):
            size = self._size(buffer, at)
            if size == 0 or len(buffer) < at + size:
                continue
            frame = bytes(buffer[at : at + size])
            reply = self._checked(frame)
            if reply is None:
                continue
            if at:
                self.rejected["noise"] += 1
            del buffer[: at + size]
            return reply
        if len(buffer) > MAX_BUFFER:
            self.rejected["noise"] += 1
            del buffer[:-MAX_BUFFER]
        return None

    def _size(self, buffer: bytearray, at: int) -> int:
        """Length of the reply that could begin here; 0 = none can."""
        if buffer[at] != self._unit:
            return 0
        function = buffer[at + 1]
        if function == self._request.function | EXCEPTION:
            return 5
        if function != self._request.function:
            return 0
        if isinstance(self._request, WriteRequest):
            return 8
        return buffer[at + 2] + 5 if buffer[at + 2] == _data_bytes(self._request) else 0

    def _checked(self, frame: bytes) -> Reply | None:
        if not FramerRTU.check_CRC(frame[:-2], int.from_bytes(frame[-2:], "big")):
            return None
        return self._meaning(frame[1:-2])

    def _verdict(self) -> str:
        """What the leftover bytes of an exchange without reply most likely were."""
        buffer = self._buffer
        if len(buffer) < 5 or not self._rtu:
            return "short"
        if buffer[0] != self._unit:
            return "other_unit"
        if buffer[1] & ~EXCEPTION != self._request.function:
            return "other_function"
        size = self._size(buffer, 0)
        if size == 0:
            return "length"
        return "short" if len(buffer) < size else "crc"

    # TCP.

    def _unwrap(self) -> Reply | None:
        buffer = self._buffer
        while len(buffer) >= HEADER_BYTES:
            protocol, length = int.from_bytes(buffer[2:4], "big"), int.from_bytes(buffer[4:6], "big")
            if protocol != 0 or not 3 <= length <= 254:
                buffer.clear()
                self.rejected["header"] += 1
                raise FrameRejected(
                    "the peer does not speak Modbus TCP",
                    reason="header",
                    hint="check port and transport: a serial server that passes bytes on wants transport = rtu",
                )
            if len(buffer) < 6 + length:
                return None
            frame = bytes(buffer[: 6 + length])
            del buffer[: 6 + length]
            reply = self._ours(frame)
            if reply is not None:
                return reply
        return None

    def _ours(self, frame: bytes) -> Reply | None:
        transaction, unit, function = int.from_bytes(frame[:2], "big"), frame[6], frame[7]
        if transaction != self._transaction:
            self.rejected["other_transaction"] += 1
        elif unit != self._unit:
            self.rejected["other_unit"] += 1
        elif function & ~EXCEPTION != self._request.function:
            self.rejected["other_function"] += 1
        elif len(frame) != self._wanted(frame):
            self.rejected["length"] += 1
        else:
            return self._meaning(frame[7:])
        return None

    def _wanted(self, frame: bytes) -> int:
        return HEADER_BYTES + 2 if frame[7] & EXCEPTION else reply_bytes("tcp", self._request)

    # Both.

    def _meaning(self, pdu: bytes) -> Reply | None:
        request = self._request
        if pdu[0] & EXCEPTION:
            return Reply(exception=pdu[1])
        if isinstance(request, WriteRequest):
            if pdu[1:] != _echo(request):
                self.rejected["echo"] += 1
                return None
            return Reply()
        if pdu[1] != _data_bytes(request):
            self.rejected["length"] += 1
            return None
        message = _REPLIES[request.function]()
        message.decode(pdu[1:])
        values = message.bits if request.function in BIT_READS else message.registers
        return Reply(tuple(int(value) for value in values[: request.count]))


def _message(request: Request) -> ModbusPDU:
    if isinstance(request, ReadRequest):
        return _READS[request.function](address=request.address, count=request.count)
    if request.function is Function.WRITE_COIL:
        return WriteSingleCoilRequest(address=request.address, bits=[bool(request.values[0])])
    if request.function is Function.WRITE_REGISTER:
        return WriteSingleRegisterRequest(address=request.address, registers=list(request.values))
    return WriteMultipleRegistersRequest(address=request.address, registers=list(request.values))


def _objection(request: Request) -> str:
    many = request.count if isinstance(request, ReadRequest) else len(request.values)
    if isinstance(request, ReadRequest):
        most = MAX_BITS if request.function in BIT_READS else MAX_REGISTERS
        fits = request.function in _READS
    else:
        most = MAX_WRITTEN if request.function is Function.WRITE_REGISTERS else 1
        highest = 1 if request.function is Function.WRITE_COIL else 0xFFFF
        fits = request.function not in _READS and all(0 <= value <= highest for value in request.values)
    if not fits:
        return f"function {int(request.function)} cannot carry this"
    if not 1 <= many <= most:
        return f"{many} values do not fit one telegram (1 to {most})"
    if not 0 <= request.address <= 0x10000 - many:
        return f"address {request.address} is outside of 0 to 65535"
    return ""


def _data_bytes(request: ReadRequest) -> int:
    return (request.count + 7) // 8 if request.function in BIT_READS else 2 * request.count


def _echo(request: WriteRequest) -> bytes:
    """What a device repeats of a write."""
    address = request.address.to_bytes(2, "big")
    if request.function is Function.WRITE_REGISTERS:
        return address + len(request.values).to_bytes(2, "big")
    value = request.values[0]
    return address + (b"\xff\x00" if request.function is Function.WRITE_COIL and value else value.to_bytes(2, "big"))
