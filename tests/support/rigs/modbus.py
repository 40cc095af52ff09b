"""The contract suite's knowledge of Modbus dispensers: four reference dispensers on one line of the simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

from drivers.device import DispenserCapabilities
from drivers.modbus.codec import Function, ReadRequest, ReplyDecoder
from drivers.simulator.config import ForecourtConfig
from tests.support.mutation import Wording, substrings
from tests.support.rigs.base import Rig
from tests.support.rigs.simulated import SimulatedDispenser, station

ASKED = ReadRequest(Function.READ_HOLDING, 20, 4)
UNIT_ML = 10


class ModbusSubject(SimulatedDispenser):
    """Units 1, 2, ... with one nozzle each: a map tells one total."""

    protocol = "modbus"
    simulated = "modbus"
    """What the simulator calls the devices."""
    first_address = 1
    nozzles = (1,)
    totals_unit_ml = 1
    totals_modulus = 10**12
    forgets = frozenset({"ACKNOWLEDGE"})
    options: Mapping[str, object] = {"map": "reference-dispenser"}

    @property
    def capabilities(self) -> DispenserCapabilities:
        """Of the points: the map says what they can do."""
        (device, *_) = self.spec.make_devices(self.line_config())
        found: Any = device
        assert isinstance(found.capabilities, DispenserCapabilities)
        return found.capabilities

    @property
    def wording(self) -> Wording:
        replies = ((0, 0, 0, 0), (0, 1, 0, 20_000), (0xFFFF, 0x0103, 0x0801, 7))
        values = [
            crc(b"\x01\x03\x08" + b"".join(word.to_bytes(2, "big") for word in registers)) for registers in replies
        ]
        return Wording((*values, crc(b"\x01\x83\x02")), decode, oracle)

    def station(self, points: int) -> ForecourtConfig:
        made = station(points, self.simulated, self.first_address)
        (line,) = made.lines
        single = tuple(dataclasses.replace(point, nozzles=point.nozzles[:1]) for point in line.points)
        return dataclasses.replace(made, lines=(dataclasses.replace(line, points=single),))

    def totals(self, rig: Rig, point: int) -> dict[int, int]:
        return {nozzle: total * UNIT_ML for nozzle, total in rig.forecourt.world.heads[point].totals.items()}

    def sales(self, rig: Rig) -> list[dict[str, Any]]:
        return [sale | {"totalizer_end": sale["totalizer_end"] * UNIT_ML} for sale in super().sales(rig)]

    def is_poll(self, data: bytes, point: int) -> bool:
        return data == crc(bytes((self.first_address + point - 1, 3, 0, 0, 0, 30)))


def crc(data: bytes) -> bytes:
    """``data`` and its CRC-16/MODBUS, bit by bit."""
    register = 0xFFFF
    for bit in (byte >> place & 1 for byte in data for place in range(8)):
        register = register >> 1 ^ (0xA001 if (register ^ bit) & 1 else 0)
    return data + register.to_bytes(2, "little")


def decode(data: bytes) -> list[Hashable]:
    """The reply to one read that the driver accepts, if any."""
    reply = ReplyDecoder("rtu", 1, ASKED).feed(data)
    return [] if reply is None else [(reply.exception, reply.values)]


def oracle(data: bytes) -> set[Hashable]:
    """Every reply to that read that stands in ``data``."""
    found: set[Hashable] = set()
    for frame in substrings(data, 5, 13):
        if crc(frame[:-2]) != frame:
            continue
        if frame[:2] == b"\x01\x83" and len(frame) == 5:
            found.add((frame[2], ()))
        if frame[:3] == b"\x01\x03\x08" and len(frame) == 13:
            found.add((0, tuple(int.from_bytes(frame[at : at + 2], "big") for at in range(3, 11, 2))))
    return found


SUBJECT = ModbusSubject()
