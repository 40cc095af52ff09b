"""The contract suite's knowledge of Modbus dispensers: four reference dispensers on one line of the simulator."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from drivers.config import LineConfig
from drivers.device import DispenserCapabilities
from drivers.modbus.codec import Function, ReadRequest, ReplyDecoder
from drivers.simulator.config import ForecourtConfig
from drivers.simulator.server import ForecourtServer
from tests.support.mutation import Wording, substrings
from tests.support.rigs.base import Plug, Rig
from tests.support.rigs.simulated import LINE, LinePlug, SimulatedDispenser, station
from tests.support.simulated import running_forecourt
from tests.support.tcp_cable import TcpCable

ASKED = ReadRequest(Function.READ_HOLDING, 20, 4)
UNIT_ML = 10


class NetworkLine(TcpCable):
    """The line as Modbus TCP, with a cable that can be pulled."""

    def __init__(self, server: ForecourtServer) -> None:
        super().__init__(int(server.endpoints()["lines"][LINE].rpartition(":")[2]))
        self.stand = server.forecourt
        self.port = self.url

    def arrive(self, data: bytes) -> None:
        raise AssertionError(f"a dispenser types nothing: {data!r}")


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
    answers_tell_windows = True
    options: Mapping[str, object] = {"map": "reference-dispenser"}
    wires = ("pty", "TCP")

    @cached_property
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

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        config = super().line_config(port, control=control, points=points)
        if not port.startswith("socket://"):
            return config
        return dataclasses.replace(config, options={**self.options, "transport": "tcp"})

    @contextmanager
    def plugged(self, wire: str, state_dir: Path) -> Iterator[Plug]:
        made = self.station(4)
        (line,) = made.lines
        made = dataclasses.replace(made, lines=(dataclasses.replace(line, tcp=wire == "TCP"),))
        with running_forecourt(state_dir, config=made) as server:
            if wire == "pty":
                yield LinePlug(server)
                return
            cable = NetworkLine(server)
            try:
                yield cable
            finally:
                cable.close()

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
