"""The device end of a Modbus wire: units behind one address each, on a serial line or on TCP, and what faults make of
their replies.

Works on bytes handed in and out; knows no port and no thread. What the registers mean stands in the units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from drivers.simulator import modbus_frames as modbus
from drivers.simulator.buses import CommandLog, MasterCommand, Reply
from drivers.simulator.faults import LATE_REPLY_MS, SLOW_REPLY_MS, FaultBoard
from drivers.simulator.modbus_frames import Request

BABBLE_BYTES = 48
WRITES = frozenset({5, 6, 16})
EXCEPTIONS = {"wrong-map": modbus.ILLEGAL_ADDRESS, "device-failure": modbus.DEVICE_FAILURE, "device-busy": modbus.BUSY}


class Refused(Exception):
    """The unit says no; ``code`` is the exception it answers with."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


class Unit(Protocol):
    """One device. ``target``: what faults name it by (a point number, or the name of the line)."""

    target: int | str

    def read(self, function: int, address: int, count: int) -> tuple[int, ...]:
        """The values of a table; raises ``Refused``."""
        ...

    def write(self, function: int, address: int, values: tuple[int, ...]) -> None:
        """Take what the master writes; raises ``Refused``."""
        ...

    def called(self, address: int, values: tuple[int, ...]) -> str:
        """What a write means, as one word for the log."""
        ...


def block(registers: Mapping[int, int], address: int, count: int) -> tuple[int, ...]:
    """``count`` registers from ``address`` on; raises ``Refused`` where one does not exist or too many are wanted."""
    if not 1 <= count <= 125:
        raise Refused(modbus.ILLEGAL_VALUE)
    if any(at not in registers for at in range(address, address + count)):
        raise Refused(modbus.ILLEGAL_ADDRESS)
    return tuple(registers[at] for at in range(address, address + count))


def words(value: int, count: int) -> tuple[int, ...]:
    """A number as ``count`` registers, high word first; negative numbers as two's complement."""
    return tuple((value >> (16 * at)) & 0xFFFF for at in reversed(range(count)))


class ModbusBus:
    """Several units on one wire; ``tcp``: with the header of TCP instead of a checksum. ``log`` has every request."""

    def __init__(
        self, name: str, units: Mapping[int, Unit], board: FaultBoard, log: CommandLog, *, tcp: bool = False
    ) -> None:
        self.name = name
        self.units = dict(units)
        self.log = log
        self._board = board
        self._tcp = tcp
        self._reader = modbus.TcpReader() if tcp else modbus.RtuReader()
        self._late = b""

    def exchange(self, data: bytes) -> list[Reply]:
        """As ``Bus.exchange``."""
        replies = [Reply(data)] if data and self._board.active("echo", self.name) else []
        for request in self._reader.feed(data):
            unit = self.units.get(request.unit)
            self._note(request, unit)
            if unit is not None and not self._board.active(self._silence(unit), unit.target):
                replies += self._disturb(request, unit)
        return replies

    def receive(self, data: bytes) -> bytes:
        """As ``Bus.receive``."""
        replies = self.exchange(data)
        late, self._late = self._late, b"".join(r.data for r in replies if r.delay_ms >= LATE_REPLY_MS)
        return late + b"".join(r.data for r in replies if r.delay_ms < LATE_REPLY_MS)

    def silence(self) -> None:
        """As ``Bus.silence``."""
        self._reader.clear()

    def _silence(self, unit: Unit) -> str:
        return "pump-silent" if isinstance(unit.target, int) else "gauge-silent"

    def _note(self, request: Request, unit: Unit | None) -> None:
        name = "INQUIRY"
        if request.function not in modbus.READS:
            name = "WRITE" if unit is None else unit.called(request.address, request.values)
        written = " ".join(f"{value:04X}" for value in request.values)
        detail = f"{request.function:02X} {request.address} {written or request.count}"
        point = unit.target if unit is not None and isinstance(unit.target, int) else None
        self.log.add(MasterCommand(self._board.now_ms, point, name, request.unit, detail))

    def _answer(self, request: Request, unit: Unit) -> bytes:
        for fault, code in EXCEPTIONS.items():
            if self._board.hit(fault, unit.target):
                return modbus.refusal(request, code)
        try:
            if request.function in modbus.READS:
                values = unit.read(request.function, request.address, request.count)
                return modbus.answer(request, self._swapped(values, unit))
            if request.function not in WRITES:
                raise Refused(modbus.ILLEGAL_FUNCTION)
            unit.write(request.function, request.address, request.values)
        except Refused as error:
            return modbus.refusal(request, error.code)
        return modbus.answer(request)

    def _swapped(self, values: tuple[int, ...], unit: Unit) -> tuple[int, ...]:
        """Somebody has set the word order the other way round: every pair of registers arrives exchanged."""
        if not self._board.active("words-swapped", unit.target):
            return values
        pairs = [values[at : at + 2][::-1] for at in range(0, len(values), 2)]
        return tuple(value for pair in pairs for value in pair)

    def _disturb(self, request: Request, unit: Unit) -> list[Reply]:
        """What the wire, or a fault of this unit, makes of an answer."""
        board, target = self._board, unit.target
        message = self._answer(request, unit)
        if board.active("pump-babbles", target):
            return [Reply(board.rng.randbytes(BABBLE_BYTES))]
        if board.hit("lost-reply", target):
            return []
        stranger = request.unit % 247 + 1 if board.hit("wrong-address", target) else None
        answer = modbus.envelope(request, message, tcp=self._tcp, unit=stranger)
        if board.hit("bad-crc", target):
            answer = answer[:-1] + bytes((answer[-1] ^ 0x01,)) if not self._tcp else answer[:-1]
        if board.hit("half-frames", target):
            answer = answer[: len(answer) // 2]
        if board.active("duplicate-address", target):
            answer = bytes(a & b for a, b in zip(answer, b"\x55" * len(answer), strict=True))
        if board.hit("noise", self.name):
            answer = board.rng.randbytes(board.rng.randint(1, 3)) + answer[:-1] + bytes((answer[-1] ^ 0x10,))
        if board.hit("late-answer", target):
            return [Reply(answer, LATE_REPLY_MS)]
        return [Reply(answer, SLOW_REPLY_MS if board.active("slow-device", target) else 0)]
