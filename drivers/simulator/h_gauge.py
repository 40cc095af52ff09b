"""A tank gauge that speaks the H-protocol: level, volume or ullage of one tank per question, open points as switches.

Works on bytes handed in and out; knows no port and no thread. Litres, hundredths of a millimetre, water in millimetres.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from drivers.simulator.buses import CommandLog, MasterCommand, Reply
from drivers.simulator.config import LineConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.tank import Tank

PROBE_OUT = "3"
SPIKE_UM = 80_000
CHECKS = ("without", "with", "zero")
MAX_QUESTION = 64


class HGauge:
    """``digits``: of the tank number; ``check``: "without" the ``@``, "with", or "zero" as emulators send it."""

    def __init__(
        self,
        name: str,
        tanks: Mapping[int, Tank],
        board: FaultBoard,
        log: CommandLog,
        *,
        digits: int = 2,
        check: str = "without",
    ) -> None:
        assert check in CHECKS
        self.name = name
        self.digits = digits
        self.check = check
        self._tanks = tanks
        self._board = board
        self._log = log
        self._heard = b""

    def exchange(self, data: bytes) -> list[Reply]:
        """As ``Bus.exchange``."""
        self._heard = (self._heard + data)[-MAX_QUESTION:]
        *questions, self._heard = re.split(rb"(?<=\n)", self._heard) if b"\n" in data else [self._heard]
        return [Reply(answer) for question in questions if (answer := self._answer(question))]

    def receive(self, data: bytes) -> bytes:
        """As ``Bus.receive``."""
        return b"".join(reply.data for reply in self.exchange(data))

    def silence(self) -> None:
        """As ``Bus.silence``."""
        self._heard = b""

    def _answer(self, question: bytes) -> bytes:
        match = re.search(rb"\$([A-Z])(\d+)\r\n$", question)
        known = match is not None and match[1] in b"ABC" and len(match[2]) == self.digits
        name = "INQUIRY" if known else "UNKNOWN"
        self._log.add(MasterCommand(self._board.now_ms, None, name, 0, question.hex()))
        if match is None or not known or self._board.active("gauge-silent", self.name):
            return b""
        tank = self._tanks.get(int(match[2]))
        return b"" if tank is None else self._reply(match[1].decode("ascii"), int(match[2]), tank)

    def _reply(self, asks: str, number: int, tank: Tank) -> bytes:
        volume_l = round(tank.volume_ml / 1_000)
        data = {
            "A": f"{round(tank.height_um(tank.volume_ml) / 10):06d}",
            "B": f"{volume_l:06d}",
            "C": f"{tank.config.full_ml // 1_000 - volume_l:06d}",
        }[asks]
        if self.check == "zero":
            return f"#{data}@0@0@0@0@0@0\r".encode("ascii")
        water_um = tank.water_um + (SPIKE_UM if self._board.active("water-spike", number) else 0)
        error = PROBE_OUT if self._board.active("probe-out", number) else "0"
        tenths = round(tank.temperature_mdegc / 100)
        fields = [data, f"{round(water_um / 1_000):04d}", f"{tenths:+04d}", "+000", "10", error]
        summed = 0x23
        for character in ("@" if self.check == "with" else "").join(fields).encode("ascii"):
            summed ^= character
        return f"#{'@'.join(fields)}@{summed:02X}\r".encode("ascii")


def make_gauge(line: LineConfig, tanks: Mapping[int, Tank], board: FaultBoard, log: CommandLog) -> HGauge:
    """A wire with one gauge, its open points as the protocol's page has them first."""
    return HGauge(line.name, tanks, board, log)
