"""A virtual wire for driver tests: a Port on a virtual clock whose peer is a function of bytes, a small DART pump, and
a line of the two.

The pump uses the driver's own frame codec, which the published vectors pin down separately.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.commands import Command
from drivers.config import LineConfig, PointConfig
from drivers.dart.codec import Control, Decoder, Frame, encode
from drivers.dart.driver import make_devices
from drivers.errors import PortLost
from drivers.line import Line
from drivers.readings import CommandOutcome, CommandResult, FuellingPointReading, Reading

Change = Callable[[bytes], list[tuple[float, bytes]]]
"""What a fault makes of one reply: (extra delay in seconds, bytes) pairs; an empty list loses it."""


def lost(_reply: bytes) -> list[tuple[float, bytes]]:
    """The reply never arrives."""
    return []


def late(seconds: float) -> Change:
    """The reply arrives so much later."""
    return lambda reply: [(seconds, reply)]


def flipped(at: int) -> Change:
    """One bit of the byte at ``at`` is wrong."""
    return lambda reply: [(0.0, reply[:at] + bytes((reply[at] ^ 0x01,)) + reply[at + 1 :])]


class VirtualPort:
    """A Port whose time moves only when somebody waits on it. ``peer`` answers each write.

    Bytes take the time of ``baudrate``; answers begin ``answer_after_s`` after the request. ``sent`` logs (time, bytes).
    ``through``: what a bad wire makes of (request, reply), as a ``Change`` does, every time.
    """

    def __init__(self, peer: Callable[[bytes], bytes], *, baudrate: int = 9600, answer_after_s: float = 0.010) -> None:
        self.peer = peer
        self.now_s = 1000.0
        self.sent: list[tuple[float, bytes]] = []
        self.gone = False
        self.closed = 0
        self.discarded = 0
        self._character_s = 11 / baudrate
        self._answer_after_s = answer_after_s
        self._arriving: list[tuple[float, bytes]] = []
        self.through: Callable[[bytes, bytes], list[tuple[float, bytes]]] | None = None
        self._faults: list[tuple[Callable[[bytes], bool], Change]] = []

    def fault(self, change: Change, request: Callable[[bytes], bool] = lambda _request: True) -> None:
        """Apply ``change`` to the next reply whose request matches; faults are used once, in order."""
        self._faults.append((request, change))

    def arrive(self, data: bytes) -> None:
        """Bytes that nobody asked for are there now."""
        self._arriving.append((self.now_s, data))

    def write(self, data: bytes) -> None:
        self._check()
        self.sent.append((self.now_s, data))
        changes = [(index, change) for index, (match, change) in enumerate(self._faults) if match(data)]
        reply = self.peer(data)
        if not reply and not changes and self.through is None:
            return
        parts = [(0.0, reply)] if self.through is None else self.through(data, reply)
        if changes:
            index, change = changes[0]
            del self._faults[index]
            parts = change(reply)
        starts_s = self.now_s + len(data) * self._character_s + self._answer_after_s
        for delay_s, part in parts:
            if part:
                self._arriving.append((starts_s + delay_s + len(part) * self._character_s, part))
        self._arriving.sort(key=lambda item: item[0])

    def read(self, size: int, timeout_s: float) -> bytes:
        self._check()
        until_s = self.now_s + timeout_s
        if not self._arriving or self._arriving[0][0] > until_s:
            self.now_s = max(self.now_s, until_s)
            return b""
        arrives_s, data = self._arriving.pop(0)
        self.now_s = max(self.now_s, arrives_s)
        if len(data) > size:
            self._arriving.insert(0, (arrives_s, data[size:]))
        return data[:size]

    def discard(self) -> int:
        self._check()
        there = [item for item in self._arriving if item[0] <= self.now_s]
        self._arriving = [item for item in self._arriving if item[0] > self.now_s]
        thrown = sum(len(data) for _, data in there)
        self.discarded += thrown
        return thrown

    def monotonic(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self._check()
        self.now_s += max(0.0, seconds)

    def close(self) -> None:
        self.closed += 1

    def _check(self) -> None:
        if self.gone:
            raise PortLost("the virtual cable is pulled", hint="plug it in")


@dataclass
class FakePump:
    """One pump head of the DART sheet, without flow of its own: tests change its fields and call ``tell``."""

    address: int = 0x51
    state: int = 5
    nozzle: int = 1
    out: bool = False
    prices: dict[int, int] = field(default_factory=lambda: {1: 1175, 2: 1300})
    volume: int = 0
    amount: int = 0
    totals: dict[int, int] = field(default_factory=lambda: {1: 426633, 2: 100})
    hung_reset_ignored: bool = True
    ignores: set[int | str] = field(default_factory=set)
    silent: bool = False
    log: list[bytes] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)
    preset: bytes | None = None
    preset_at_authorise: bytes | None = None
    tx: int = 0
    unacked: bytes | None = None
    last_received: int | None = None
    decoder: Decoder = field(default_factory=Decoder)

    def receive(self, data: bytes) -> bytes:
        """The answer to what the master wrote."""
        frames = self.decoder.feed(data)
        if self.silent:
            return b""
        return b"".join(self._answer(frame) for frame in frames if frame.address == self.address)

    def tell(self, *transactions: bytes) -> None:
        """Have a block ready for the next poll: by default status, nozzle and display."""
        self.waiting.append(b"".join(transactions) or self.dc1() + self.dc3() + self.dc2())

    def restart(self) -> None:
        """Power off and on: numbering, state, display and waiting blocks are gone."""
        self.tx, self.unacked, self.last_received, self.waiting = 0, None, 0, []
        self.state, self.volume, self.amount = 0, 0, 0
        self.tell(self.dc1())

    def to_state(self, state: int) -> None:
        """Enter ``state`` and tell it."""
        self.state = state
        self.tell(self.dc1())

    def lift(self, nozzle: int = 1) -> None:
        """A nozzle is taken."""
        self.nozzle, self.out = nozzle, True
        self.tell(self.dc3())

    def deliver(self, volume: int, amount: int) -> None:
        """So much more has flowed."""
        self.state = 4
        self.volume, self.amount = volume, amount
        self.tell(self.dc1(), self.dc2())

    def hang_up(self) -> None:
        """The nozzle is put back: a filling ends and the total moves."""
        self.out = False
        if self.state in (2, 4, 6, 8):
            self.state = 5
            self.totals[self.nozzle] += self.volume
        self.tell(self.dc3(), self.dc1())

    def dc1(self) -> bytes:
        return bytes((1, 1, self.state))

    def dc2(self) -> bytes:
        return b"\x02\x08" + bytes.fromhex(f"{self.volume:08d}{self.amount:08d}")

    def dc3(self) -> bytes:
        digits = f"{self.prices.get(self.nozzle, 0):06d}"
        return b"\x03\x04" + bytes.fromhex(digits) + bytes((self.nozzle | (0x10 if self.out else 0),))

    def names(self) -> list[str]:
        """The transactions received, without repeats: ``"01:05"`` is RESET, ``"65:01"`` asks a total."""
        return [f"{block[0]:02X}:{block[2:].hex().upper()}" for block in self.log]

    def _answer(self, frame: Frame) -> bytes:
        if frame.control in (Control.ACK, Control.ACKPOLL) and self.unacked is not None and frame.tx == self.tx:
            self.unacked = None
            self.tx = 1 if self.tx == 15 else self.tx + 1
        if frame.control is Control.DATA:
            if frame.tx != self.last_received:
                self.last_received = frame.tx
                self.log.append(frame.data)
                if frame.data[0] not in self.ignores and frame.data[:3].hex() not in self.ignores:
                    self._apply(frame.data)
            return encode(Frame(self.address, Control.ACK, frame.tx))
        if frame.control in (Control.POLL, Control.ACKPOLL):
            if self.unacked is None and self.waiting:
                self.unacked = self.waiting.pop(0)
            if self.unacked is not None:
                return encode(Frame(self.address, Control.DATA, self.tx, self.unacked))
            return encode(Frame(self.address, Control.EOT))
        return b""

    def _apply(self, block: bytes) -> None:
        kind, value = block[0], block[2:]
        if kind == 1:
            self._command(value[0])
        elif kind in (3, 4):
            self.preset = block
        elif kind == 5:
            for nozzle in self.prices:
                self.prices[nozzle] = int(value[3 * nozzle - 3 : 3 * nozzle].hex())
            self.state = 5 if self.state == 0 else self.state
            self.tell(self.dc1(), self.dc3())
        elif kind == 0x65 and value[0] in self.totals:
            total = bytes.fromhex(f"{self.totals[value[0]] % 10**10:010d}")
            self.tell(b"\x65\x10" + value + total + total + bytes(5))

    def _command(self, code: int) -> None:
        if code == 0:
            self.tell(self.dc1(), self.dc3())
        elif code == 4:
            self.tell(self.dc2(), self.dc3())
        elif code == 0x0F:
            digits = "".join(f"{self.prices[nozzle]:06d}" for nozzle in sorted(self.prices))
            self.tell(bytes((0x67, len(digits) // 2)) + bytes.fromhex(digits))
        elif code == 5 and self.state in (5, 6) and (self.out or not self.hung_reset_ignored):
            self.state, self.volume, self.amount, self.preset = 1, 0, 0, None
            self.tell(self.dc1(), self.dc2())
        elif code == 6 and self.state == 1:
            self.preset_at_authorise = self.preset
            self.to_state(2)
        elif code == 8 and self.state in (1, 2, 4, 6, 8):
            self.totals[self.nozzle] += self.volume if self.state == 4 else 0
            self.to_state(5)


class Bus:
    """Several peers on one wire: everybody hears everything."""

    def __init__(self, *peers: Callable[[bytes], bytes]) -> None:
        self.peers = peers

    def receive(self, data: bytes) -> bytes:
        """All answers one after another."""
        return b"".join(peer(data) for peer in self.peers)


class Station:
    """One line with one pump on a virtual wire."""

    def __init__(self, pump: FakePump | None = None, options: dict[str, object] | None = None, **point: object) -> None:
        self.pump = pump or FakePump()
        self.port = VirtualPort(self.pump.receive)
        values: dict[str, object] = {"nozzles": (1,), **point}
        config = LineConfig(
            id="a",
            port="virtual",
            protocol="dart",
            options=options or {},
            points=(PointConfig(fuelling_point=1, address=0x51, **values),),  # type: ignore[arg-type]
        )
        self.line = Line(config, make_devices(config), lambda: self.port, self.port.monotonic)
        self.seen: list[Reading] = []
        self.names = 0

    def until(self, done: Callable[[], bool], limit_s: float = 30.0) -> None:
        """Turn until ``done``; fails after ``limit_s`` of virtual time."""
        end_s = self.port.now_s + limit_s
        while not done():
            assert self.port.now_s < end_s, f"never came; last readings {self.seen[-5:]}"
            self.seen += self.line.turn()

    def turns(self, seconds: float) -> None:
        """Turn for so much virtual time."""
        end_s = self.port.now_s + seconds
        self.until(lambda: self.port.now_s >= end_s, seconds + 10)

    def online(self) -> Station:
        """Turn until the pump is online and has told its state."""
        self.until(lambda: bool(self.levels()))
        return self

    def run(self, command: Command) -> CommandResult:
        """Submit ``command`` and turn until its final result."""
        self.line.submit(command)
        self.until(lambda: self.result(command.command_id) is not None)
        found = self.result(command.command_id)
        assert found is not None
        return found

    def result(self, command_id: str) -> CommandResult | None:
        found = [r for r in self.results(command_id) if r.outcome is not CommandOutcome.LINK_ACKED]
        assert len(found) <= 1, "more than one final result"
        return found[0] if found else None

    def results(self, command_id: str) -> list[CommandResult]:
        return [r for r in self.seen if isinstance(r, CommandResult) and r.command_id == command_id]

    def levels(self) -> list[FuellingPointReading]:
        return [r for r in self.seen if isinstance(r, FuellingPointReading)]
