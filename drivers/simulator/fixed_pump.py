"""What pumps that answer every question have in common: faults of their replies, and the bus that several share.

Works on bytes handed in and out; knows no port, no thread and no protocol. The state behind a pump is ``PumpHead``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from drivers.simulator.buses import CommandLog, MasterCommand, Reply
from drivers.simulator.faults import LATE_REPLY_MS, SLOW_REPLY_MS, FaultBoard
from drivers.simulator.pump_head import PumpHead, State

BABBLE_BYTES = 48
AUTHORIZE, RESET, STOP = 0x06, 0x05, 0x08


class FixedPump(ABC):
    """One address on the line."""

    def __init__(self, head: PumpHead, address: int, board: FaultBoard, log: CommandLog) -> None:
        self.head = head
        self.address = address
        self._board = board
        self._log = log

    def handle(self, request: bytes) -> list[Reply]:
        """Answer one question that names this pump."""
        board, point = self._board, self.head.number
        if board.active("pump-silent", point):
            return []
        self.head.contacted = True
        answer = self.answer(request)
        if board.active("pump-babbles", point):
            return [Reply(board.rng.randbytes(BABBLE_BYTES))]
        if self.head.silent_once:
            self.head.silent_once = False
            return []
        return self._disturb(answer) if answer else []

    @abstractmethod
    def answer(self, request: bytes) -> bytes:
        """Do what is asked and answer; empty = this is never answered."""

    @abstractmethod
    def readdressed(self, answer: bytes) -> bytes:
        """The same answer as if the next address had given it."""

    def said(self, name: str, detail: str = "") -> None:
        """Enter into the log what the master said."""
        self._log.add(MasterCommand(self._board.now_ms, self.head.number, name, 0, detail))

    def authorise(self) -> None:
        """Let go in one: these heads have no separate reset."""
        if self.head.state in {State.COMPLETED, State.MAXIMUM} and any(self.head.prices.values()):
            self.head.command(RESET)
        self.head.command(AUTHORIZE)

    @property
    def totals_readable(self) -> bool:
        """Whether the counters are told now."""
        return not self._board.active("totals-unreadable", self.head.number)

    def _disturb(self, answer: bytes) -> list[Reply]:
        """What the line, or a fault of this pump, makes of an answer."""
        board, point = self._board, self.head.number
        if board.hit("lost-reply", point) or board.hit("lost-ack", point):
            return []
        if board.hit("wrong-address", point):
            answer = self.readdressed(answer)
        if board.hit("bad-crc", point):
            answer = answer[:3] + bytes((answer[3] ^ 0x01,)) + answer[4:]
        if board.hit("half-frames", point):
            answer = answer[: len(answer) // 2]
        if board.active("duplicate-address", point):
            answer = bytes(byte & other for byte, other in zip(answer, answer[1:] + b"\x00", strict=True))
        if board.hit("late-answer", point):
            return [Reply(answer, LATE_REPLY_MS)]
        return [Reply(answer, SLOW_REPLY_MS if board.active("slow-device", point) else 0)]


class FixedBus(ABC):
    """Several pumps on one wire: every pump hears everything and answers only its own address."""

    def __init__(self, name: str, pumps: Iterable[FixedPump], board: FaultBoard, log: CommandLog) -> None:
        self.name = name
        self.pumps = tuple(pumps)
        self.log = log
        self._board = board
        self._heard = b""
        self._late = b""

    @abstractmethod
    def cut(self, heard: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
        """The questions in ``heard`` with the address each names, and what is left over."""

    def exchange(self, data: bytes) -> list[Reply]:
        """The master's bytes in, the answers with their delays out."""
        replies = [Reply(data)] if data and self._board.active("echo", self.name) else []
        questions, self._heard = self.cut(self._heard + data)
        for address, question in questions:
            if all(pump.address != address for pump in self.pumps):
                self.log.add(MasterCommand(self._board.now_ms, None, "POLL", 0, f"{address:02X}"))
            for pump in self.pumps:
                if pump.address == address:
                    replies += [self._noisy(reply) for reply in pump.handle(question)]
        return replies

    def receive(self, data: bytes) -> bytes:
        """As ``exchange`` for one thread on a virtual clock: a late answer comes out in front of the next one."""
        replies = self.exchange(data)
        late, self._late = self._late, b"".join(r.data for r in replies if r.delay_ms >= LATE_REPLY_MS)
        return late + b"".join(r.data for r in replies if r.delay_ms < LATE_REPLY_MS)

    def silence(self) -> None:
        """Nothing came for a while: a broken frame of the master is forgotten."""
        self._heard = b""

    def _noisy(self, reply: Reply) -> Reply:
        """Stray bytes in front, and one flipped bit."""
        if not self._board.hit("noise", self.name):
            return reply
        rng = self._board.rng
        data = bytearray(reply.data)
        data[rng.randrange(1, len(data))] ^= 1 << rng.randrange(8)
        stray = bytes(rng.choice((0x00, 0x7E, 0xFF)) for _ in range(rng.randint(1, 3)))
        return Reply(stray + bytes(data), reply.delay_ms)
