"""SENS PMP probes on one RS-485 wire: each tells all its parameters. Open points as switches.

Works on bytes handed in and out; knows no port and no thread.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from drivers.simulator.buses import CommandLog, MasterCommand, Reply
from drivers.simulator.config import LineConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.tank import Tank

QUESTION_BYTES = 6
DENSITY_T_M3 = 0.74
LENGTHS = ("whole", "after", "parameters", "one")


class SensProbes:
    """The probe of a tank has its number as address. ``length``: what the third byte of a reply says ("one": always
    01, as in the question). ``kilograms``: density in kg/m3 and not t/m3.
    """

    def __init__(
        self,
        name: str,
        tanks: Mapping[int, Tank],
        board: FaultBoard,
        log: CommandLog,
        *,
        length: str = "whole",
        kilograms: bool = False,
    ) -> None:
        assert length in LENGTHS
        self.name = name
        self.length = length
        self.kilograms = kilograms
        self._tanks = tanks
        self._board = board
        self._log = log
        self._heard = b""

    def exchange(self, data: bytes) -> list[Reply]:
        """As ``Bus.exchange``."""
        self._heard += data
        replies = []
        while len(self._heard) >= QUESTION_BYTES:
            question, self._heard = self._heard[:QUESTION_BYTES], self._heard[QUESTION_BYTES:]
            answer = self._answer(question)
            replies += [Reply(answer)] if answer else []
        return replies

    def receive(self, data: bytes) -> bytes:
        """As ``Bus.receive``."""
        return b"".join(reply.data for reply in self.exchange(data))

    def silence(self) -> None:
        """As ``Bus.silence``."""
        self._heard = b""

    def _answer(self, question: bytes) -> bytes:
        address = question[1]
        known = question == bytes((0xB5, address, 1, 1, 0, (address + 2) % 256))
        name = "INQUIRY" if known else "UNKNOWN"
        self._log.add(MasterCommand(self._board.now_ms, None, name, address, question.hex()))
        tank = self._tanks.get(address)
        if tank is None or not known or self._board.active("gauge-silent", self.name):
            return b""
        return b"" if self._board.active("probe-out", address) else self._reply(address, tank)

    def _reply(self, address: int, tank: Tank) -> bytes:
        cubic = tank.volume_ml / 1_000_000
        values = {
            1: tank.height_um(tank.volume_ml) / 1_000_000,
            2: tank.temperature_mdegc / 1_000,
            3: 100 * tank.volume_ml / tank.config.full_ml,
            4: cubic,
            5: cubic * DENSITY_T_M3,
            6: DENSITY_T_M3 * (1_000 if self.kilograms else 1),
            7: cubic,
            8: tank.water_um / 1_000_000,
        }
        body = b"".join(bytes((number,)) + _upper(value) for number, value in values.items())
        counted = {"whole": len(body) + 5, "after": len(body) + 2, "parameters": len(values), "one": 1}
        frame = bytes((address, counted[self.length], 1)) + body
        return b"\xb5" + frame + bytes((sum(frame) % 256,))


def make_probes(line: LineConfig, tanks: Mapping[int, Tank], board: FaultBoard, log: CommandLog) -> SensProbes:
    """A wire with a probe in every tank."""
    return SensProbes(line.name, tanks, board, log)


def _upper(value: float) -> bytes:
    """The three upper bytes of a little-endian float."""
    return struct.pack("<f", value)[1:]
