"""One driver at the simulator, the same handle for every protocol: on a virtual wire (fast, exact) or on real ptys and TCP.

Knows how each protocol's wire, faults and commands look; the contract tests know none of it.
"""

from __future__ import annotations

import dataclasses
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from drivers.commands import (
    Acknowledge,
    Authorise,
    Command,
    ConfirmUnits,
    Preset,
    ReadHeldSale,
    ReadSale,
    ReadTotalizer,
    SetPrices,
    Stop,
)
from drivers.config import LineConfig, PointConfig
from drivers.errors import PortLost
from drivers.line import Line
from drivers.port import Port
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, Reading
from drivers.registry import make_line
from drivers.simulator.config import ConsoleConfig, ForecourtConfig, default_config
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.server import ForecourtServer
from tests.support.simulated import nobody, running_forecourt
from tests.support.tcp_cable import TcpCable
from tests.support.wire import VirtualPort

PROTOCOLS = ("dart", "serial-scanner", "veeder-root")
"""Every protocol the suite covers; the registry may know no other."""

WIRES = {
    "dart": "dart",
    "serial-scanner": "serial-scanner",
    "veeder-root over TCP": "veeder-root",
    "veeder-root over pty": "veeder-root",
}
"""Real wires by name, and the protocol spoken on each."""

NEEDS_NO_WIRE = (Stop, Preset, Acknowledge, ConfirmUnits)
"""Commands that may be applied without a word on the wire: nothing to stop, kept for later, remembered here."""

BABBLE_BYTES = 48
READER = "reader-1"

T = TypeVar("T")


def station() -> ForecourtConfig:
    """The simulated station without customers; the console on both kinds of wire."""
    config = nobody(default_config("."))
    return dataclasses.replace(config, console=ConsoleConfig(pty=True), deliveries=())


def line_config(protocol: str, port: str = "virtual", *, control: bool = True) -> LineConfig:
    """What a line is told about everything of ``protocol`` at the simulated station. ``control``: not in mode monitor."""
    if protocol == "dart":
        points = tuple(PointConfig(number, 0x4F + number, (1, 2, 3), sends_commands=control) for number in range(1, 5))
        return LineConfig("island-1", port, protocol, points=points)
    if protocol == "veeder-root":
        return LineConfig("tanks", port, protocol, tanks=(1, 2, 3))
    return LineConfig(READER, port, protocol, reader=READER)


def every_command(gauge: str = "gauge:tanks") -> list[Command]:
    """One of each kind, for point 1."""
    prices = ((1, 7_850), (2, 8_360), (3, 7_490))
    return [
        Authorise("authorise", 1),
        Acknowledge("acknowledge", 1, "a token of nobody"),
        SetPrices("prices", 1, prices),
        Stop("stop", 1),
        Preset("preset", 1, volume_ml=10_000),
        ReadTotalizer("total", 1, 1),
        ReadHeldSale("held", 1),
        ReadSale("sale", 1, (1, 2, 3)),
        ConfirmUnits("units", gauge),
    ]


class Rig:
    """A line, what came out of it with the time, and the simulator behind it."""

    line: Line
    forecourt: Forecourt

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.seen: list[tuple[float, Reading]] = []

    @property
    def devices(self) -> list[str]:
        """Ids of the devices of the line."""
        return [device.device_id for device in self.line.devices]

    def now_s(self) -> float:
        """The clock of this rig."""
        raise AssertionError("each rig has its clock")

    def turn(self) -> None:
        """One turn of the line, its readings kept."""
        readings = self.line.turn()
        self.seen += [(self.now_s(), reading) for reading in readings]

    def until(self, done: Callable[[], bool], limit_s: float = 30.0) -> float:
        """Turn until ``done``; returns the seconds it took, fails after ``limit_s``."""
        began_s = self.now_s()
        while not done():
            assert self.now_s() < began_s + limit_s, f"never came; last readings {self.seen[-6:]}"
            self.turn()
        return self.now_s() - began_s

    def turns(self, seconds: float) -> None:
        """Turn for so long."""
        end_s = self.now_s() + seconds
        self.until(lambda: self.now_s() >= end_s, seconds + 60)

    def online(self) -> Rig:
        """Turn until every device is online."""
        self.until(lambda: all(self.status(name) is True for name in self.devices))
        return self

    def of(self, kind: type[T]) -> list[T]:
        """The readings of one kind, oldest first."""
        return [reading for _, reading in self.seen if isinstance(reading, kind)]

    def statuses(self, device: str) -> list[DeviceStatus]:
        """What was told about one device."""
        return [status for status in self.of(DeviceStatus) if status.device == device]

    def status(self, device: str) -> bool | None:
        """Whether a device is online as last told."""
        told = self.statuses(device)
        return told[-1].online if told else None

    def finals(self, command_id: str) -> list[CommandOutcome]:
        """The ends a command has come to: one when all is well."""
        return [
            result.outcome
            for result in self.of(CommandResult)
            if result.command_id == command_id and result.outcome is not CommandOutcome.LINK_ACKED
        ]

    def run(self, command: Command, limit_s: float = 60.0) -> CommandOutcome:
        """Submit to the line and turn until the end."""
        self.line.submit(command)
        self.until(lambda: bool(self.finals(command.command_id)), limit_s)
        (outcome,) = self.finals(command.command_id)
        return outcome


class VirtualRig(Rig):
    """The steppable simulator behind a port on a virtual clock."""

    def __init__(self, protocol: str, *, control: bool = True, seed: int = 1) -> None:
        super().__init__(protocol)
        self.forecourt = Forecourt(station(), seed=seed)
        self.port = VirtualPort(self._answer)
        self.rng = random.Random(seed)
        self.babbling = False
        self._questions = self.forecourt.console.reader()
        self.line = make_line(line_config(protocol, control=control), self._open, self.port.monotonic)

    def now_s(self) -> float:
        return self.port.now_s

    def turn(self) -> None:
        super().turn()
        if not self.line.is_open:
            self.port.now_s += 0.05

    def settle(self) -> None:
        """Bring the simulated world to the time of the wire."""
        self.forecourt.step(int((self.port.now_s - 1000) * 1000))

    def type(self, data: bytes) -> None:
        """Bytes arrive without a question, as from a scanner."""
        self.port._arriving.append((self.port.now_s, data))

    def silence(self) -> str:
        """The last device of the line falls silent; returns its id. A silent scanner is an ordinary one."""
        if self.protocol == "dart":
            self.forecourt.inject("pump-silent", point=4, for_s=0)
        elif self.protocol == "veeder-root":
            self.forecourt.inject("gauge-silent", for_s=0)
        return self.devices[-1]

    def babble(self) -> str:
        """The last device of the line answers every question with noise; returns its id."""
        if self.protocol == "dart":
            self.forecourt.inject("pump-babbles", point=4, for_s=0)
        else:
            self.babbling = True
        return self.devices[-1]

    def recover(self) -> None:
        """Silence and noise are over."""
        self.forecourt.clear()
        self.babbling = False

    def _open(self) -> Port:
        if self.port.gone:
            raise PortLost("the virtual cable is pulled", hint="plug it in")
        return self.port

    def _answer(self, data: bytes) -> bytes:
        self.settle()
        if self.protocol == "dart":
            return self.forecourt.bus("island-1").receive(data)
        if self.protocol != "veeder-root":
            return b""
        answer = b"".join(self.forecourt.console.answer(question) for question in self._questions.feed(data))
        return self.rng.randbytes(BABBLE_BYTES) if self.babbling and len(data) > 1 else answer


class RealRig(Rig):
    """The simulator on real wires; ``pull`` and ``plug`` are the cable. ``speed`` hastens the line's own waiting only."""

    def __init__(self, wire: str, server: ForecourtServer, *, speed: int = 1) -> None:
        super().__init__(WIRES[wire])
        self.server = server
        self.forecourt = server.forecourt
        where = server.endpoints()
        self._cable: TcpCable | None = None
        if wire == "veeder-root over TCP":
            self._cable = TcpCable(where["gauge"]["port"])
            port = self._cable.url
        elif wire == "veeder-root over pty":
            port = where["gauge"]["pty"]
        else:
            port = where["lines"]["island-1"] if wire == "dart" else where["readers"][READER]
        config = line_config(self.protocol, port)
        clock = time.monotonic if speed == 1 else lambda: time.monotonic() * speed
        self.line = make_line(config, monotonic=clock)

    def now_s(self) -> float:
        return time.monotonic()

    def pull(self) -> None:
        """The cable is out when this returns."""
        if self._cable is not None:
            self._cable.pull()
        elif self.protocol == "dart":
            self.server.inject("cable-pulled", line="island-1", for_s=0)
        elif self.protocol == "serial-scanner":
            self.server.inject("scanner-unplugged", reader=READER, for_s=0)
        else:
            self._gauge_cable(pulled=True)

    def plug(self) -> None:
        """The cable is in again."""
        if self._cable is not None:
            self._cable.plug()
        elif self.protocol == "veeder-root":
            self._gauge_cable(pulled=False)
        else:
            self.server.clear()

    def close(self) -> None:
        """Release the wire."""
        self.line.close()
        if self._cable is not None:
            self._cable.close()

    def _gauge_cable(self, *, pulled: bool) -> None:
        wire = self.server._gauge_pty
        assert wire is not None
        with self.server.lock:
            handler = self.server._gauge_handler(wire, self.forecourt.console.reader())
            self.server._cable(wire, handler, pulled=pulled)


@contextmanager
def real_rig(wire: str, state_dir: Path, *, speed: int = 1) -> Iterator[RealRig]:
    """A driver on a real wire of the simulator, both ended at the end."""
    with running_forecourt(state_dir, config=station()) as server:
        rig = RealRig(wire, server, speed=speed)
        try:
            yield rig
        finally:
            rig.close()


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
