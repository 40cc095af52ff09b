"""An Aoke PD-3 tank gauge: the records of its alarms, nothing else. Open points as switches.

Works on bytes handed in and out; knows no port and no thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from drivers.simulator.buses import CommandLog, MasterCommand, Reply
from drivers.simulator.config import LineConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.tank import Tank

HIGH_ALARM, HIGH_WARNING, LOW_WARNING, LOW_ALARM, HIGH_WATER = 0x0A, 0x0B, 0x0C, 0x0D, 0x0E
QUESTION_BYTES = 8
RECORDS_KEPT = 20
BEGAN = datetime(2026, 1, 5, 14, 0)  # noqa: DTZ001  its own clock, which knows no zone


class Pd3Gauge:
    """``records``: (tank, time, code), oldest first. ``stride``: ten bytes for a record, or nine with a short year."""

    def __init__(
        self, name: str, tanks: Mapping[int, Tank], board: FaultBoard, log: CommandLog, *, stride: int = 10
    ) -> None:
        assert stride in {9, 10}
        self.name = name
        self.stride = stride
        self.records: deque[tuple[int, datetime, int]] = deque(maxlen=RECORDS_KEPT)
        self._tanks = tanks
        self._board = board
        self._log = log
        self._standing: set[tuple[int, int]] = set()
        self._heard = b""

    def exchange(self, data: bytes) -> list[Reply]:
        """As ``Bus.exchange``."""
        self._heard += data
        replies = []
        while len(self._heard) >= QUESTION_BYTES:
            question, self._heard = self._heard[:QUESTION_BYTES], self._heard[QUESTION_BYTES:]
            known = question == _sealed(b"\x01\x03\x00\x04\x00\x00")
            name = "INQUIRY" if known else "UNKNOWN"
            self._log.add(MasterCommand(self._board.now_ms, None, name, 0, question.hex()))
            if known and not self._board.active("gauge-silent", self.name):
                replies.append(Reply(self._reply()))
        return replies

    def receive(self, data: bytes) -> bytes:
        """As ``Bus.receive``."""
        return b"".join(reply.data for reply in self.exchange(data))

    def silence(self) -> None:
        """As ``Bus.silence``."""
        self._heard = b""

    def _reply(self) -> bytes:
        self._watch()
        body = b"".join(self._record(*record) for record in self.records)
        return _sealed(bytes((1, 3, len(self.records))) + body)

    def _watch(self) -> None:
        """What has come to stand since the last question becomes a record."""
        now = BEGAN + timedelta(milliseconds=self._board.now_ms // 1_000 * 1_000)
        standing = set()
        for number, tank in self._tanks.items():
            limits = tank.config
            conditions = {
                HIGH_ALARM: tank.volume_ml >= limits.high_product_ml,
                HIGH_WARNING: limits.overfill_ml <= tank.volume_ml < limits.high_product_ml,
                LOW_WARNING: limits.delivery_needed_ml <= tank.volume_ml < limits.low_product_ml,
                LOW_ALARM: tank.volume_ml < limits.delivery_needed_ml,
                HIGH_WATER: tank.water_um >= limits.water_alarm_um,
            }
            standing |= {(number, code) for code, stands in conditions.items() if stands}
        for number, code in sorted(standing - self._standing):
            self.records.append((number, now, code))
        self._standing = standing

    def _record(self, tank: int, at: datetime, code: int) -> bytes:
        year = at.year.to_bytes(2, "big") if self.stride == 10 else bytes((at.year % 100,))
        date = year + bytes((at.month, at.day, at.hour, at.minute, at.second))
        return bytes((tank,)) + date + code.to_bytes(2, "big")


def make_gauge(line: LineConfig, tanks: Mapping[int, Tank], board: FaultBoard, log: CommandLog) -> Pd3Gauge:
    """A wire with one gauge whose records have ten bytes."""
    return Pd3Gauge(line.name, tanks, board, log)


def _sealed(data: bytes) -> bytes:
    """``data`` and its CRC-16/MODBUS, bit by bit."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return data + register.to_bytes(2, "little")
