"""A Two-Wire pump: what it answers in which state, what it keeps, and the loop that several share.

Works on bytes handed in and out; knows no port and no thread. The state behind it is ``pump_head.PumpHead``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drivers.simulator import gilbarco_words as gilbarco
from drivers.simulator.buses import CommandLog, MasterCommand, Reply
from drivers.simulator.config import LineConfig
from drivers.simulator.faults import LATE_REPLY_MS, SLOW_REPLY_MS, FaultBoard
from drivers.simulator.gilbarco_words import Block
from drivers.simulator.pump_head import PumpHead, Sale, State

TOTAL_MODULUS = 10**8
# how long the end of a sale shows before the pump is off again, and how long a refused announcement locks the gate
END_SHOWN_S = 1.0
GATE_LOCKED_S = 2.0
GATE_OPEN_S = 1.0
BABBLE_BYTES = 48
RESET, AUTHORIZE, STOP = 0x05, 0x06, 0x08


@dataclass(frozen=True, slots=True)
class Told:
    """A finished sale as the pump tells it: volume in units of 10 ml, money in minor units."""

    grade: int
    volume: int
    money: int
    unit_price: int


class GilbarcoPump:
    """One pump of the loop, ``address`` 1 to 16. ``told``: the last sale, kept until the next delivery starts."""

    def __init__(self, head: PumpHead, address: int, board: FaultBoard, log: CommandLog) -> None:
        self.head = head
        self.address = address
        self.log = log
        self.told: Told | None = None
        self.level_2 = dict.fromkeys(head.nozzles, 0)
        self.preset: Block | None = None
        self._prices = dict(head.prices)
        self._board = board
        self._restarts = head.restarts
        self._end_shown_until_ms = 0
        self._stopped = False
        self._gate_locked_until_ms = 0
        self._gate_open_until_ms: int | None = None
        self._sold_before = head.on_sale
        head.on_sale = self._sold

    @property
    def gate_is_open(self) -> bool:
        """Whether this pump waits for a block."""
        return self._gate_open_until_ms is not None and self._board.now_ms <= self._gate_open_until_ms

    def word(self, word: int) -> list[Reply]:
        """Answer one command word; nothing for another pump."""
        if word & 0x0F != self.address % 16 or not self._is_here():
            return []
        command = word >> 4
        self._gate_open_until_ms = None
        if command >= len(gilbarco.COMMAND_NAMES):
            return []
        self._log(gilbarco.COMMAND_NAMES[command])
        if self._board.hit("lost-ack", self.head.number):
            return []
        return self._disturbed(self._answer(command))

    def all_stop(self) -> None:
        """FC: everybody stops."""
        if self._is_here():
            self._stop()

    def block(self, raw: bytes) -> list[Reply]:
        """Take the block that was announced."""
        self._gate_open_until_ms = None
        if not self._is_here():
            return []
        found = gilbarco.parse_block(raw)
        if found is None:
            self._log("DAMAGED")
            return []
        name = "NOZZLE_QUERY" if found.asks_nozzle else "PRESET" if found.preset else "LEVEL"
        self._log("PRICES" if found.unit_price is not None else name, raw.hex().upper())
        if self._board.hit("lost-ack", self.head.number):
            return []
        return self._disturbed(self._obey(found))

    # What it says.

    def _answer(self, command: int) -> bytes:
        state = self._state()
        at_rest = state not in (gilbarco.AUTHORISED, gilbarco.BUSY)
        if command == gilbarco.STATUS:
            return self._status(state)
        if command == gilbarco.AUTHORISE and state in (gilbarco.OFF, gilbarco.CALL):
            self._authorise()
        elif command == gilbarco.DATA_NEXT:
            return self._open_gate(state)
        elif command == gilbarco.STOP:
            self._stop()
        elif command == gilbarco.TRANSACTION and at_rest:
            return self._transaction()
        elif command == gilbarco.TOTALS and at_rest and not self._board.active("totals-unreadable", self.head.number):
            return gilbarco.totals(self._rows())
        elif command == gilbarco.MONEY and state == gilbarco.BUSY:
            return gilbarco.digits(self.head.amount, 6)
        return b""

    def _status(self, state: int) -> bytes:
        if self.head.silent_once:
            self.head.silent_once = False
            return b""
        return gilbarco.status(state, self.address)

    def _state(self) -> int:
        head = self.head
        if head.state is State.AUTHORIZED:
            self._apply_preset()
            return gilbarco.AUTHORISED
        if head.state is State.FILLING:
            self._stopped = False
            return gilbarco.BUSY
        if head.state is State.MAXIMUM:
            return gilbarco.PEOT
        if head.state is State.SWITCHED_OFF:
            return gilbarco.ERROR
        if not head.nozzle_out:
            self._stopped = False
        if self._stopped:
            return gilbarco.STOPPED
        if self._board.now_ms < self._end_shown_until_ms:
            return gilbarco.FEOT
        return gilbarco.CALL if head.nozzle_out else gilbarco.OFF

    def _transaction(self) -> bytes:
        told = self._running() or self.told or Told(1, 0, 0, 0)
        return gilbarco.transaction(
            self.address,
            grade=told.grade,
            level=1,
            unit_price=told.unit_price,
            volume=told.volume * 10,
            money=told.money,
        )

    def _rows(self) -> list[tuple[int, int, int, int, int]]:
        """Totals of each grade; the money of a sale that waits at its limit is counted as its volume is."""
        head, running = self.head, self._running()
        return [
            (
                nozzle,
                head.totals[nozzle],
                head.amount_totals[nozzle] + (running.money if running and running.grade == nozzle else 0),
                self._prices[nozzle],
                self.level_2[nozzle],
            )
            for nozzle in head.nozzles
        ]

    def _running(self) -> Told | None:
        """A sale that its limit has stopped while the nozzle is still out."""
        return self._shown() if self.head.state is State.MAXIMUM else None

    def _shown(self) -> Told:
        head = self.head
        return Told(head.nozzle, head.volume, head.amount, head.prices[head.nozzle])

    # What it does.

    def _open_gate(self, state: int) -> bytes:
        now_ms = self._board.now_ms
        if state not in (gilbarco.OFF, gilbarco.CALL) or now_ms < self._gate_locked_until_ms:
            if now_ms < self._gate_locked_until_ms:
                self._log("DATA_NEXT_LOCKED")
            self._gate_locked_until_ms = now_ms + self._board.wire_ms(GATE_LOCKED_S)
            return b""
        self._gate_open_until_ms = now_ms + self._board.wire_ms(GATE_OPEN_S)
        return gilbarco.status(gilbarco.SEND_DATA, self.address)

    def _obey(self, block: Block) -> bytes:
        head = self.head
        if block.asks_nozzle:
            # as some heads do: nothing while the nozzle hangs
            return gilbarco.nozzle(head.nozzle, out=True) if head.nozzle_out else b""
        if block.unit_price is not None and block.grade in head.nozzles:
            if block.level == 2:
                self.level_2[block.grade] = block.unit_price
            else:
                self._prices[block.grade] = block.unit_price
                head.set_prices([self._prices[nozzle] for nozzle in head.nozzles])
        elif block.preset is not None:
            self.preset = block
        return b""

    def _authorise(self) -> None:
        head = self.head
        head.command(RESET)
        head.command(AUTHORIZE)
        head.allow(frozenset(head.nozzles))
        self._apply_preset()

    def _apply_preset(self) -> None:
        """A preset counts for the next delivery, whoever's that is."""
        if self.preset is None or self.head.state is not State.AUTHORIZED:
            return
        if self.preset.is_money:
            self.head.preset(minor=self.preset.preset)
        else:
            self.head.preset(units=self.preset.preset)
        self.preset = None

    def _stop(self) -> None:
        if self.head.state in (State.AUTHORIZED, State.FILLING, State.MAXIMUM):
            self.head.command(STOP)
            self._stopped = self.head.nozzle_out

    def _sold(self, sale: Sale) -> None:
        self.told = self._shown()
        self._end_shown_until_ms = self._board.now_ms + self._board.wire_ms(END_SHOWN_S)
        self._sold_before(sale)

    def _is_here(self) -> bool:
        if self.head.restarts != self._restarts:
            self._restarts = self.head.restarts
            self.told = self.preset = None
            self._stopped = False
            self._end_shown_until_ms = 0
            self._prices = dict(self.head.prices)
        if self._board.active("pump-silent", self.head.number):
            return False
        self.head.contacted = True
        return True

    # What the line, or a fault of this pump, makes of an answer.

    def _disturbed(self, answer: bytes) -> list[Reply]:
        board, point = self._board, self.head.number
        if board.active("pump-babbles", point):
            return [Reply(board.rng.randbytes(BABBLE_BYTES))]
        if not answer or board.hit("lost-reply", point):
            return []
        if board.hit("wrong-address", point):
            answer = self._readdressed(answer)
        if answer[0] == 0xFF and board.hit("bad-crc", point):
            answer = answer[:-2] + bytes((0xE0 + (answer[-2] + 1) % 16,)) + answer[-1:]
        if answer[0] == 0xFF and board.hit("swapped-digits", point):
            answer = gilbarco.swap_digits(answer)
        if board.hit("half-frames", point):
            answer = answer[: len(answer) // 2]
        if board.active("duplicate-address", point):
            answer = bytes(byte & 0xE7 for byte in answer)
        if board.hit("late-answer", point):
            return [Reply(answer, LATE_REPLY_MS)]
        return [Reply(answer, SLOW_REPLY_MS if board.active("slow-device", point) else 0)]

    def _readdressed(self, answer: bytes) -> bytes:
        other = self.address % 15 + 1
        if len(answer) == 1:
            return gilbarco.status(answer[0] >> 4, other)
        if len(answer) == 33:
            words = answer[:4] + bytes((0xE0 + other - 1,)) + answer[5:-2]
            return words + bytes((gilbarco.check_word(words),)) + answer[-1:]
        return answer

    def _log(self, name: str, detail: str = "") -> None:
        self.log.add(MasterCommand(self._board.now_ms, self.head.number, name, 0, detail))


class GilbarcoBus:
    """Several pumps on one loop; a block belongs to the pump whose gate is open."""

    def __init__(self, name: str, pumps: Iterable[GilbarcoPump], board: FaultBoard, log: CommandLog) -> None:
        self.name = name
        self.pumps = tuple(pumps)
        self.log = log
        self._board = board
        self._reader = gilbarco.MasterReader()
        self._late = b""

    def exchange(self, data: bytes) -> list[Reply]:
        """The master's bytes in, the answers with their delays out."""
        replies = [Reply(data)] if data and self._board.active("echo", self.name) else []
        for said in self._reader.feed(data):
            replies += [self._noisy(reply) for reply in self._answers(said)]
        return replies

    def receive(self, data: bytes) -> bytes:
        """As ``exchange`` for one thread on a virtual clock: a late answer comes out in front of the next one."""
        replies = self.exchange(data)
        late, self._late = self._late, b"".join(r.data for r in replies if r.delay_ms >= LATE_REPLY_MS)
        return late + b"".join(r.data for r in replies if r.delay_ms < LATE_REPLY_MS)

    def silence(self) -> None:
        """Nothing came for a while: a broken block of the master is forgotten."""
        self._reader.clear()

    def _answers(self, said: bytes) -> list[Reply]:
        if said == bytes((gilbarco.ALL_STOP,)):
            self.log.add(MasterCommand(self._board.now_ms, None, "ALL_STOP", 0))
            for pump in self.pumps:
                pump.all_stop()
            return []
        if len(said) > 1:
            return [reply for pump in self.pumps if pump.gate_is_open for reply in pump.block(said)]
        if all(pump.address % 16 != said[0] & 0x0F for pump in self.pumps):
            self.log.add(MasterCommand(self._board.now_ms, None, "POLL", 0, f"{said[0]:02X}"))
        return [reply for pump in self.pumps for reply in pump.word(said[0])]

    def _noisy(self, reply: Reply) -> Reply:
        """Stray bytes in front, and one flipped bit in a long answer."""
        if not self._board.hit("noise", self.name):
            return reply
        rng = self._board.rng
        data = bytearray(reply.data)
        if len(data) > 6:
            data[rng.randrange(2, len(data) - 2)] ^= 1 << rng.randrange(8)
        stray = bytes(rng.choice((0x00, 0x7E, 0xFF)) for _ in range(rng.randint(1, 3)))
        return Reply(stray + bytes(data), reply.delay_ms)


def make_bus(line: LineConfig, heads: Mapping[int, PumpHead], board: FaultBoard, log: CommandLog) -> GilbarcoBus:
    """The loop of ``line``."""
    pumps = [GilbarcoPump(heads[point.number], point.address, board, log) for point in line.points]
    return GilbarcoBus(line.name, pumps, board, log)
