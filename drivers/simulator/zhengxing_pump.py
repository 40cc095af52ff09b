"""Zhengxing panels with their queue of stored sales. Written from section B of the protocol sheet, not from the driver.

Every fuelling, also one without flow, is stored until it is removed by its sequence number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from drivers.simulator.buses import CommandLog
from drivers.simulator.config import LineConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.fixed_pump import STOP, FixedBus, FixedPump
from drivers.simulator.pump_head import PumpHead, Sale, State

START = 0xFC
LENGTHS = {0x01: 10, 0x02: 9, 0x03: 6, 0x08: 5, 0x17: 6}
SHORTEST = 4
NAMES = {
    0x01: "PRESET_AMOUNT",
    0x02: "PRESET_VOLUME",
    0x03: "PRICES",
    0x05: "STOP",
    0x06: "AUTHORIZE",
    0x08: "MODE",
    0x0C: "TOTALS",
    0x0D: "POLL",
    0x12: "RETURN_PRICES",
    0x13: "HISTORY",
    0x15: "RETURN_FILLING_INFO",
    0x17: "ACKNOWLEDGE",
    0x18: "LIVE",
}
DETAILED = frozenset({0x01, 0x02, 0x03, 0x17})
# what a pump keeps; more than the agent ever leaves there
MEMORY = 1_000


@dataclass(frozen=True, slots=True)
class Stored:
    """One record: volume and amount in hundredths, the unit price in hundredths."""

    volume: int
    amount: int
    price: int
    sequence: int


def framed(code: int, panel: int, data: bytes) -> bytes:
    """Start, command, panel, data and their exclusive or."""
    check = code ^ panel
    for byte in data:
        check ^= byte
    return bytes((START, code, panel, *data, check))


def packed(value: int, size: int) -> bytes:
    """Decimal digits, two in a byte; what does not fit is cut off as a display does."""
    return bytes.fromhex(str(value % 100**size).zfill(2 * size))


class ZhengxingPump(FixedPump):
    """One panel. ``stored``: what waits to be removed, oldest first; it survives every restart."""

    def __init__(self, head: PumpHead, address: int, board: FaultBoard, log: CommandLog) -> None:
        super().__init__(head, address, board, log)
        self.stored: deque[Stored] = deque(maxlen=MEMORY)
        self._sequence = 0
        self._limit: tuple[int | None, int | None] | None = None
        told_sale, told_zero = head.on_sale, head.on_zero_lift

        def sold(sale: Sale) -> None:
            told_sale(sale)
            self._store(head.volume, head.amount, head.prices[self.hose] // 10)

        def zero(point: int, nozzle: int) -> None:
            told_zero(point, nozzle)
            self._store(0, 0, head.prices[self.hose] // 10)

        head.on_sale, head.on_zero_lift = sold, zero

    @property
    def hose(self) -> int:
        """The only nozzle."""
        return self.head.nozzles[0]

    def answer(self, request: bytes) -> bytes:
        """As ``FixedPump.answer``."""
        head, code, data = self.head, request[1], request[3:-1]
        self.said(NAMES.get(code, f"UNKNOWN_{code:02X}"), data.hex().upper() if code in DETAILED else "")
        if code in {0x01, 0x02, 0x03}:
            verdict = self._take(code, data)
            return self._told(code, bytes((self._status(), 0xBB if verdict else 0xCC)))
        if code == 0x0C:
            totals = head.amount_totals[self.hose] % 2**32, head.totals[self.hose] % 2**32
            body = b"\x00" + totals[0].to_bytes(4, "big") + totals[1].to_bytes(4, "big") + bytes(4)
            return self._told(code, body) if self.totals_readable else b""
        if code == 0x12:
            return self._told(code, bytes((self._status(),)) + packed(head.prices[self.hose] // 10, 2) + bytes(11))
        if code == 0x18:
            shown = packed(head.volume, 3) + packed(head.amount, 3)
            return self._told(code, bytes((self._status(),)) + shown + bytes(2))
        if code == 0x15:
            return self._oldest()
        if code in {0x05, 0x06, 0x08, 0x0D, 0x17}:
            self._obey(code, data)
            return self._told(code, bytes((self._status(),)))
        return b""

    def _told(self, code: int, data: bytes) -> bytes:
        return framed(code, self.address, data)

    def _take(self, code: int, data: bytes) -> bool:
        head = self.head
        if code == 0x03:
            head.set_prices([int(data.hex()) * 10])
            return head.prices[self.hose] == int(data.hex()) * 10
        if head.state not in {State.RESET, State.COMPLETED, State.MAXIMUM}:
            return False
        limit = int(data[:3].hex())
        self._limit = (None, limit) if code == 0x01 else (limit, None)
        return True

    def _obey(self, code: int, data: bytes) -> None:
        if code == 0x05:
            self.head.command(STOP)
        elif code == 0x06 and not self.stored:
            self.authorise()
            if self._limit is not None:
                units, minor = self._limit
                self.head.preset(units=units, minor=minor)
            self._limit = None
        elif code == 0x17 and self.stored and self.stored[0].sequence == int.from_bytes(data, "big"):
            self.stored.popleft()

    def _oldest(self) -> bytes:
        if not self.stored:
            return self._told(0x16, b"")
        sale = self.stored[0]
        body = bytearray(32)
        body[0] = self._status()
        both = sale.amount % 2**20 << 20 | sale.volume % 2**20
        body[3:8] = both.to_bytes(5, "big")
        body[16:18] = packed(sale.price, 2)
        body[20:22] = sale.sequence.to_bytes(2, "big")
        return self._told(0x15, bytes(body))

    def _status(self) -> int:
        head = self.head
        calling = 4 if head.nozzle_out else 3
        states = {
            State.NOT_PROGRAMMED: 1,
            State.SWITCHED_OFF: 2,
            State.RESET: calling,
            State.COMPLETED: calling,
            State.AUTHORIZED: 6 if head.nozzle_out else 5,
            State.SUSPENDED: 7,
            State.FILLING: 8,
            State.MAXIMUM: 9,
        }
        return states[head.state] | (0x10 if self.stored else 0) | (0x80 if head.nozzle_out else 0)

    def _store(self, volume: int, amount: int, price: int) -> None:
        self._sequence = self._sequence % 0xFFFF + 1
        self.stored.append(Stored(volume, amount, price, self._sequence))

    def readdressed(self, answer: bytes) -> bytes:
        """As ``FixedPump.readdressed``."""
        return framed(answer[1], answer[2] + 1, answer[3:-1])


class ZhengxingBus(FixedBus):
    """A wire of panels."""

    def cut(self, heard: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
        """As ``FixedBus.cut``: from one start byte to the check that its command leads to expect."""
        found = []
        while heard:
            if heard[0] != START:
                heard = heard[1:]
                continue
            length = SHORTEST if len(heard) < 2 else LENGTHS.get(heard[1], SHORTEST)
            if len(heard) < length:
                break
            raw = heard[:length]
            check = 0
            for byte in raw[1:]:
                check ^= byte
            if check:
                heard = heard[1:]
                continue
            found.append((raw[2], raw))
            heard = heard[length:]
        return found, heard


def make_bus(line: LineConfig, heads: Mapping[int, PumpHead], board: FaultBoard, log: CommandLog) -> ZhengxingBus:
    """The Zhengxing wire of ``line``."""
    pumps = [ZhengxingPump(heads[point.number], point.address, board, log) for point in line.points]
    return ZhengxingBus(line.name, pumps, board, log)
