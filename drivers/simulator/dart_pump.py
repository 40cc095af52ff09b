"""A pump's end of a DART line: block numbers, duplicates, what is said in which block; and the bus that several share.

Works on bytes handed in and out; knows no port and no thread. The state behind it is ``pump_head.PumpHead``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from drivers.simulator import dart_frames as dart
from drivers.simulator.buses import CommandLog, MasterCommand, Reply
from drivers.simulator.config import LineConfig
from drivers.simulator.faults import LATE_REPLY_MS, SLOW_REPLY_MS, FaultBoard
from drivers.simulator.pump_head import PumpHead

NAKS_BEFORE_RENUMBERING = 3
BABBLE_BYTES = 48


class DartPump:
    """One address on the line."""

    def __init__(
        self,
        head: PumpHead,
        address: int,
        board: FaultBoard,
        *,
        totals_layout: int = 16,
        nak_bad_crc: bool = False,
        log: CommandLog | None = None,
    ) -> None:
        self.head = head
        self.address = address
        self.log = CommandLog() if log is None else log
        self._board = board
        self._layout = totals_layout
        self._nak_bad_crc = nak_bad_crc
        self._reader = dart.FrameReader()
        self._restarts = head.restarts
        self._forget()

    def receive(self, data: bytes) -> bytes:
        """A line with this pump alone: the master's bytes in, the pump's answer out (delays are dropped)."""
        return b"".join(reply.data for frame in self._reader.feed(data) for reply in self.handle(frame))

    def handle(self, frame: dart.Frame) -> list[Reply]:
        """Answer one frame; nothing for another address."""
        if frame.address != self.address:
            return []
        if self.head.restarts != self._restarts:
            self._restarts = self.head.restarts
            self._forget()
        if self._board.active("pump-silent", self.head.number):
            return []
        self.head.contacted = True
        answer = self._answer(frame)
        if self._board.active("pump-babbles", self.head.number):
            return [Reply(self._board.rng.randbytes(BABBLE_BYTES))]
        return self._disturb(answer) if answer else []

    def _forget(self) -> None:
        self._tx = 0
        self._last_received: int | None = None
        self._outstanding: bytes | None = None
        self._naks = 0

    def _answer(self, frame: dart.Frame) -> bytes:
        if frame.control == dart.DATA:
            return self._data(frame)
        self._log(frame.name, frame.tx)
        if frame.control in {dart.ACK, dart.ACKPOLL} and self._outstanding is not None:
            if self._board.hit("lost-ack", self.head.number):
                return b""
            if frame.tx == self._tx:
                self._outstanding = None
                self._naks = 0
                self._tx = 1 if self._tx == 0x0F else self._tx + 1
        if frame.control == dart.NAK and self._outstanding is not None and frame.tx == self._tx:
            self._refused()
        return self._poll() if frame.control in {dart.POLL, dart.ACKPOLL} else b""

    def _data(self, frame: dart.Frame) -> bytes:
        if not frame.intact:
            self._log("DAMAGED", frame.tx)
            return dart.encode_short(self.address, dart.NAK, frame.tx) if self._nak_bad_crc else b""
        duplicate = frame.tx == self._last_received
        found = dart.transactions(frame.data) or []
        for kind, data in found:
            self._log(dart.name_of(kind, data), frame.tx, data.hex().upper(), duplicate=duplicate)
        if not duplicate:
            self._last_received = frame.tx
            for kind, data in found:
                self._apply(kind, data)
        return dart.encode_short(self.address, dart.ACK, frame.tx)

    def _apply(self, kind: int, data: bytes) -> None:
        head = self.head
        value = dart.from_bcd(data)
        if kind == 0x01 and len(data) == 1:
            head.command(data[0])
        elif kind == 0x02:
            head.allow(frozenset(data))
        elif kind == 0x03 and len(data) == 4 and value is not None:
            head.preset(units=value)
        elif kind == 0x04 and len(data) == 4 and value is not None:
            head.preset(minor=value)
        elif kind == 0x05 and len(data) % 3 == 0 and value is not None:
            head.set_prices([int(data[at : at + 3].hex()) for at in range(0, len(data), 3)])
        elif kind in {0x0E, 0x0F}:
            head.command(kind - 1)
        elif kind == 0x65 and len(data) == 1 and not self._board.active("totals-unreadable", head.number):
            head.ask_total(data[0])

    def _poll(self) -> bytes:
        if self.head.silent_once:
            self.head.silent_once = False
            return b""
        if self._outstanding is None:
            block = self._next_block()
            if not block:
                return dart.encode_short(self.address, dart.EOT)
            self._outstanding = block
        return dart.encode_data(self.address, self._tx, self._outstanding)

    def _next_block(self) -> bytes:
        """A total has a block of its own; everything else that waits goes together, oldest first."""
        pending = self.head.pending
        if pending and pending[0].startswith("total:"):
            return self._render(pending.pop(0))
        block = b""
        while pending and not pending[0].startswith("total:"):
            block += self._render(pending.pop(0))
        return block

    def _render(self, kind: str) -> bytes:
        head = self.head
        if kind == "status":
            return bytes((0x01, 0x01, head.state))
        if kind == "filled":
            return b"\x02\x08" + dart.bcd(head.volume, 4) + dart.bcd(head.amount, 4)
        if kind == "nozzle":
            out = 0x10 if head.nozzle_out else 0
            return b"\x03\x04" + dart.bcd(head.prices[head.nozzle], 3) + bytes((out | head.nozzle,))
        if kind == "identity":
            return b"\x09\x05" + bytes.fromhex("1234050107")
        if kind == "parameters":
            return b"\x07\x33" + bytes(22) + bytes((2, 2, 3)) + bytes(26)
        if kind == "prices":
            prices = b"".join(dart.bcd(head.prices[n], 3) for n in head.nozzles)
            return bytes((0x67, len(prices))) + prices
        word, _, number = kind.partition(":")
        return bytes((0x05, 0x01, int(number))) if word == "alarm" else self._render_total(int(number))

    def _render_total(self, counter: int) -> bytes:
        volume = self.head.totals[counter & 0x0F]
        amount = self.head.amount_totals[counter & 0x0F]
        if self._layout == 13:
            # the six-byte fields of this dialect use their low five bytes
            return bytes((0x65, 0x0D, counter, 0)) + dart.bcd(volume, 5) + b"\x00" + dart.bcd(amount, 5)
        total = dart.bcd(amount if counter & 0x10 else volume, 5)
        return bytes((0x65, 0x10, counter)) + total + total + bytes(5)

    def _refused(self) -> None:
        self._naks += 1
        if self._naks >= NAKS_BEFORE_RENUMBERING:
            self._naks = 0
            self._tx = 0

    def _disturb(self, answer: bytes) -> list[Reply]:
        """What the line, or a fault of this pump, makes of an answer."""
        board, point = self._board, self.head.number
        is_data = answer[1] & 0xF0 == dart.DATA
        if board.hit("lost-reply", point):
            return []
        if board.hit("wrong-address", point):
            answer = self._readdressed(answer)
        if is_data and board.hit("bad-crc", point):
            answer = answer[:3] + bytes((answer[3] ^ 0x01,)) + answer[4:]
        if board.hit("half-frames", point):
            answer = answer[: len(answer) // 2]
        if board.active("duplicate-address", point):
            answer = collide(answer, dart.encode_short(self.address, dart.EOT))
        if board.hit("late-answer", point):
            return [Reply(answer, LATE_REPLY_MS)]
        return [Reply(answer, SLOW_REPLY_MS if board.active("slow-device", point) else 0)]

    def _readdressed(self, answer: bytes) -> bytes:
        frame = dart.FrameReader().feed(answer)[0]
        if frame.control == dart.DATA:
            return dart.encode_data(self.address + 1, frame.tx, frame.data)
        return dart.encode_short(self.address + 1, frame.control, frame.tx)

    def _log(self, name: str, tx: int, detail: str = "", *, duplicate: bool = False) -> None:
        self.log.add(MasterCommand(self._board.now_ms, self.head.number, name, tx, detail, duplicate))


def collide(first: bytes, second: bytes) -> bytes:
    """Two transmitters at once on one pair: a zero bit wins; what one sends alone stays as it is."""
    both = bytes(a & b for a, b in zip(first, second, strict=False))
    return both + (first if len(first) > len(second) else second)[len(both) :]


class DartBus:
    """Several pumps on one wire: every pump hears everything and answers only its own address."""

    def __init__(self, name: str, pumps: Iterable[DartPump], board: FaultBoard, log: CommandLog) -> None:
        self.name = name
        self.pumps = tuple(pumps)
        self.log = log
        self._board = board
        self._reader = dart.FrameReader()
        self._late = b""

    def exchange(self, data: bytes) -> list[Reply]:
        """The master's bytes in, the answers with their delays out."""
        replies = [Reply(data)] if data and self._board.active("echo", self.name) else []
        for frame in self._reader.feed(data):
            if all(pump.address != frame.address for pump in self.pumps):
                self.log.add(MasterCommand(self._board.now_ms, None, frame.name, frame.tx, f"{frame.address:02X}"))
            for pump in self.pumps:
                replies += [self._noisy(reply) for reply in pump.handle(frame)]
        return replies

    def receive(self, data: bytes) -> bytes:
        """As ``exchange`` for one thread on a virtual clock: a late answer comes out in front of the next one."""
        replies = self.exchange(data)
        late, self._late = self._late, b"".join(r.data for r in replies if r.delay_ms >= LATE_REPLY_MS)
        return late + b"".join(r.data for r in replies if r.delay_ms < LATE_REPLY_MS)

    def silence(self) -> None:
        """Nothing came for a while: a broken frame of the master is forgotten."""
        self._reader.clear()

    def _noisy(self, reply: Reply) -> Reply:
        """Stray bytes in front, and one flipped bit in a data block (short frames carry no check; there parity
        protects).
        """
        if not self._board.hit("noise", self.name):
            return reply
        rng = self._board.rng
        data = bytearray(reply.data)
        if len(data) > 6:
            data[rng.randrange(2, len(data) - 2)] ^= 1 << rng.randrange(8)
        stray = bytes(rng.choice((0x00, 0x7E, 0xFF)) for _ in range(rng.randint(1, 3)))
        return Reply(stray + bytes(data), reply.delay_ms)


def make_bus(line: LineConfig, heads: Mapping[int, PumpHead], board: FaultBoard, log: CommandLog) -> DartBus:
    """The DART wire of ``line``."""
    pumps = [
        DartPump(
            heads[point.number],
            point.address,
            board,
            totals_layout=point.totals_layout,
            nak_bad_crc=point.nak_bad_crc,
            log=log,
        )
        for point in line.points
    ]
    return DartBus(line.name, pumps, board, log)
