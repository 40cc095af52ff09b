"""Subjects that stand on the simulated forecourt: its dispenser lines as one class, and the station they all share.

Knows the simulator's faults and log. Knows no protocol: a dispenser's rig module adds addresses, names and polls.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivers.config import LineConfig, PointConfig
from drivers.simulator.config import ConsoleConfig, ForecourtConfig, default_config
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.server import SILENCE_S, ForecourtServer
from tests.support.rigs.base import Plug, Rig, VirtualRig
from tests.support.rigs.kinds import DispenserSubject, Head
from tests.support.simulated import nobody, running_forecourt

LINE = "island-1"
READER = "reader-1"
FAULTS = (
    "lost-reply",
    "lost-ack",
    "bad-crc",
    "late-answer",
    "half-frames",
    "wrong-address",
    "slow-device",
    "duplicate-address",
)


def station(points: int = 4, protocol: str = "dart", first_address: int = 0x50) -> ForecourtConfig:
    """The simulated station without customers; ``points`` on one dispenser line, the console on both kinds of wire."""
    config = nobody(default_config("."))
    (line,) = config.lines
    numbers = range(1, points + 1)
    made = tuple(dataclasses.replace(line.points[0], number=n, address=first_address + n - 1) for n in numbers)
    return dataclasses.replace(
        config,
        lines=(dataclasses.replace(line, points=made, protocol=protocol),),
        readers=config.readers[:1],
        console=ConsoleConfig(pty=True),
        deliveries=(),
    )


class LinePlug:
    """A line of a running simulator."""

    def __init__(self, server: ForecourtServer, line: str = LINE) -> None:
        self.stand = server.forecourt
        self.port: str = server.endpoints()["lines"][line]
        self._server = server
        self._line = line

    def pull(self) -> None:
        self._server.inject("cable-pulled", line=self._line, for_s=0)

    def plug(self) -> None:
        self._server.clear()

    def arrive(self, data: bytes) -> None:
        raise AssertionError(f"a dispenser types nothing: {data!r}")


class SimulatedDispenser(DispenserSubject):
    """A dispenser protocol that the simulator speaks on its lines (``forecourt.BUSES``). Left to say: ``protocol``,
    ``first_address``, ``changes_nothing``, ``forgets`` and ``is_poll``; options of the line, totals, where they differ.
    """

    faults: tuple[str, ...] = FAULTS
    first_address: int

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        first = self.first_address
        made = tuple(
            PointConfig(number, first + number - 1, self.nozzles, sends_commands=control)
            for number in range(1, points + 1)
        )
        return LineConfig(LINE, port, self.protocol, options=self.options, points=made)

    def station(self, points: int) -> ForecourtConfig:
        """What stands on the forecourt."""
        return station(points, self.protocol, self.first_address)

    def stand(self, seed: int, points: int = 4) -> Forecourt:
        return Forecourt(self.station(points), seed=seed)

    def answer(self, rig: VirtualRig, data: bytes) -> bytes:
        settle(rig)
        bus = rig.forecourt.bus(LINE)
        if len(rig.port.sent) > 1 and rig.now_s() - rig.port.sent[-2][0] > SILENCE_S:
            bus.silence()
        return bus.receive(data)

    def heard(self, rig: Rig, point: int | None = None) -> list[str]:
        return rig.forecourt.log.names(point)

    @contextmanager
    def plugged(self, wire: str, state_dir: Path) -> Iterator[Plug]:
        assert wire == "pty"
        with running_forecourt(state_dir, config=self.station(4)) as server:
            yield LinePlug(server)

    def silence(self, rig: VirtualRig) -> str:
        rig.forecourt.inject("pump-silent", point=len(rig.devices), for_s=0)
        return rig.devices[-1]

    def babble(self, rig: VirtualRig) -> str:
        rig.forecourt.inject("pump-babbles", point=len(rig.devices), for_s=0)
        return rig.devices[-1]

    def recover(self, rig: VirtualRig) -> None:
        rig.forecourt.clear()

    def head(self, rig: Rig, point: int) -> Head:
        return rig.forecourt.world.heads[point]

    def totals(self, rig: Rig, point: int) -> dict[int, int]:
        return dict(rig.forecourt.world.heads[point].totals)

    def sales(self, rig: Rig) -> list[dict[str, Any]]:
        return [record for record in rig.forecourt.truth.records if record["kind"] == "sale"]

    def inject(self, rig: Rig, fault: str, point: int, times: int | None) -> None:
        rig.forecourt.inject(fault, point=point, times=times)


class SingleHoses(SimulatedDispenser):
    """Points of one nozzle that the station has accepted as experimental; two decimals everywhere."""

    nozzles = (1,)
    first_address = 1
    options: Mapping[str, object] = {"experimental": True}

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        config = super().line_config(port, control=control, points=points)
        return dataclasses.replace(
            config, points=tuple(dataclasses.replace(point, unit_price_decimals=2) for point in config.points)
        )

    def station(self, points: int) -> ForecourtConfig:
        config = super().station(points)
        (line,) = config.lines
        hoses = tuple(dataclasses.replace(point, nozzles=point.nozzles[:1]) for point in line.points)
        return dataclasses.replace(config, lines=(dataclasses.replace(line, points=hoses),))


def settle(rig: VirtualRig) -> None:
    """Bring the simulated world to the time of the wire."""
    rig.forecourt.step(int((rig.port.now_s - 1000) * 1000))
