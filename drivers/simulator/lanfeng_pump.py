"""Lanfeng panels: twelve bytes in, twelve bytes out. Written from section A of the protocol sheet, not from the driver.

``echoes_totals``: whether replies to the totals repeat the command, which the sheet leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.simulator.buses import CommandLog
from drivers.simulator.config import LineConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.fixed_pump import STOP, FixedBus, FixedPump
from drivers.simulator.pump_head import PumpHead, State

FRAME = 12
NAMES = {
    0xA0: "TAKE_CONTROL",
    0xA1: "AUTHORIZE",
    0xA2: "PRESET_AMOUNT",
    0xA3: "PRESET_VOLUME",
    0xA4: "PRICES",
    0xAC: "TOTALS",
    0xAD: "TOTALS",
    0xB1: "STOP",
    0xB8: "POLL",
}


def framed(panel: int, body: bytes) -> bytes:
    """Ten bytes between the panel and what makes their sum zero."""
    return bytes((panel, *body, (0x100 - sum(body) % 0x100) % 0x100))


def packed(value: int, size: int) -> bytes:
    """Decimal digits, two in a byte; what does not fit is cut off as a display does."""
    return bytes.fromhex(str(value % 100**size).zfill(2 * size))


class LanfengPump(FixedPump):
    """One panel. It gives host control up when its processor starts again."""

    def __init__(
        self, head: PumpHead, address: int, board: FaultBoard, log: CommandLog, *, echoes_totals: bool = True
    ) -> None:
        super().__init__(head, address, board, log)
        self.controlled = False
        self.echoes_totals = echoes_totals
        self._restarts = head.restarts

    @property
    def hose(self) -> int:
        """The only nozzle."""
        return self.head.nozzles[0]

    def answer(self, request: bytes) -> bytes:
        """As ``FixedPump.answer``."""
        head, code, data = self.head, request[2], request[3:11]
        if head.restarts != self._restarts:
            self._restarts, self.controlled = head.restarts, False
        self.said(NAMES.get(code, f"UNKNOWN_{code:02X}"), data.hex().upper() if code in {0xA2, 0xA3, 0xA4} else "")
        if code in {0xAC, 0xAD}:
            total = head.amount_totals[self.hose] if code == 0xAC else head.totals[self.hose]
            body = bytes((0, code if self.echoes_totals else 0, 0, 0)) + packed(total, 6)
            return framed(self.address, body) if self.totals_readable else b""
        if code == 0xB8:
            return framed(self.address, self._status())
        if code not in NAMES:
            return b""
        self._obey(code, data)
        return framed(self.address, bytes((0, code)) + bytes(8))

    def _obey(self, code: int, data: bytes) -> None:
        head = self.head
        if code == 0xA0:
            self.controlled = True
        elif not self.controlled:
            return
        elif code == 0xA1:
            self.authorise()
            if self._limit is not None:
                units, minor = self._limit
                head.preset(units=units, minor=minor)
            self._limit = None
        elif code == 0xA2:
            self._limit = (None, int(data[:3].hex()))
        elif code == 0xA3:
            self._limit = (int(data[:3].hex()), None)
        elif code == 0xA4:
            head.set_prices([int(data[:2].hex()) * 10])
        elif code == 0xB1:
            head.command(STOP)

    _limit: tuple[int | None, int | None] | None = None

    def _status(self) -> bytes:
        head = self.head
        running = head.state in {State.AUTHORIZED, State.FILLING, State.SUSPENDED}
        state = (0x80 if head.nozzle_out else 0) | (0x40 if self.controlled else 0) | (2 if running else 1)
        price = packed(head.prices[self.hose] // 10, 2)
        return b"\x00" + price + packed(head.amount, 3) + packed(head.volume, 3) + bytes((state,))

    def readdressed(self, answer: bytes) -> bytes:
        """As ``FixedPump.readdressed``: the panel stands outside the sum."""
        return bytes((answer[0] + 1,)) + answer[1:]


class LanfengBus(FixedBus):
    """A wire of panels."""

    def cut(self, heard: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
        """As ``FixedBus.cut``; a frame with a wrong sum is dropped whole."""
        found = []
        while len(heard) >= FRAME:
            raw, heard = heard[:FRAME], heard[FRAME:]
            if sum(raw[1:]) % 0x100 == 0:
                found.append((raw[0], raw))
        return found, heard


def make_bus(line: LineConfig, heads: Mapping[int, PumpHead], board: FaultBoard, log: CommandLog) -> LanfengBus:
    """The Lanfeng wire of ``line``."""
    pumps = [LanfengPump(heads[point.number], point.address, board, log) for point in line.points]
    return LanfengBus(line.name, pumps, board, log)
