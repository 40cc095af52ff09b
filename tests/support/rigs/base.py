"""What the contract suite must know of one protocol (``Subject``), and one driver of it at work: on a virtual wire, fast and
exact (``VirtualRig``), or on a real one (``RealRig``).

Knows no protocol. ``Subject`` says how to add one.
"""

from __future__ import annotations

import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from drivers import registry
from drivers.commands import (
    Acknowledge,
    Authorise,
    Command,
    ConfirmUnits,
    Preset,
    ReadHeldSale,
    ReadSale,
    ReadTotalizer,
    Resume,
    SetPrices,
    Stop,
    Suspend,
)
from drivers.config import LineConfig
from drivers.errors import PortLost
from drivers.line import Line
from drivers.port import Port
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, Reading
from drivers.registry import DriverSpec, make_line
from drivers.simulator.forecourt import Forecourt
from tests.support.mutation import Wording
from tests.support.wire import VirtualPort

NEEDS_NO_WIRE = (Stop, Preset, Acknowledge, ConfirmUnits)
"""Commands that may be applied without a word on the wire: nothing to stop, kept for later, remembered here."""

BABBLE_BYTES = 48

T = TypeVar("T")


def every_command(gauge: str = "gauge:tanks") -> list[Command]:
    """One of each kind, for point 1."""
    prices = ((1, 7_850), (2, 8_360), (3, 7_490))
    return [
        Authorise("authorise", 1),
        Acknowledge("acknowledge", 1, "a token of nobody"),
        SetPrices("prices", 1, prices),
        Stop("stop", 1),
        Suspend("suspend", 1),
        Resume("resume", 1),
        Preset("preset", 1, volume_ml=10_000),
        ReadTotalizer("total", 1, 1),
        ReadHeldSale("held", 1),
        ReadSale("sale", 1, (1, 2, 3)),
        ConfirmUnits("units", gauge),
    ]


class Plug(Protocol):
    """The far end of a real wire: the simulated devices (``stand``) behind ``port``, and the cable between."""

    port: str
    stand: Any

    def pull(self) -> None:
        """The cable is out when this returns, or very soon."""
        ...

    def plug(self) -> None:
        """The cable is in again."""
        ...

    def arrive(self, data: bytes) -> None:
        """Bytes come without a question, as from a code reader."""
        ...


class Subject(ABC):
    """Everything the contract suite must know of one protocol. The tests themselves name none.

    To add one, write ``tests/support/rigs/<protocol with _ for ->.py`` and let it export ``SUBJECT``, an instance of the
    class for its kind: ``simulated.SimulatedDispenser`` (a bus of the simulator), ``kinds.GaugeSubject`` or
    ``kinds.ReaderSubject``. Fill in the attributes here and the abstract methods; override what your devices do otherwise.
    The registry names the protocols: one without a rig fails a test. A rig from another package: ``--rig package.module``.
    """

    protocol: str
    wires: tuple[str, ...] = ("pty",)
    """Names of the real wires that ``plugged`` can make."""
    asks = True
    """Whether the driver asks questions; a code reader only listens."""
    answers_name_the_asked = False
    """Whether every answer says which device it comes from, so that somebody else's can be told."""
    options: Mapping[str, object] = {}
    """Options that a line of it cannot do without."""
    changes_nothing: frozenset[str] = frozenset()
    """Names in ``heard`` of what leaves a device as it was."""
    answers_tell_windows = False
    """Whether one question serves everything, so that only its answer tells one situation of a story from another."""
    longest_turn_s = 12.0
    """How long one turn of the line may take, watchdog in mind."""

    def __str__(self) -> str:
        return self.protocol

    @property
    def spec(self) -> DriverSpec:
        """The driver as the registry gives it."""
        return registry.spec(self.protocol)

    @abstractmethod
    def lies(self, rig: Rig) -> list[str]:
        """Values told so far that are not true, while nobody has moved what stands there."""

    @property
    def wording(self) -> Wording | None:
        """Valid frames of the devices and two readings of them, for mutation; ``None`` where frames carry no check."""
        return None

    @abstractmethod
    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        """The line of the simulated station. ``control``: not in mode monitor. ``points``: so many dispensers on it."""

    @abstractmethod
    def stand(self, seed: int, points: int = 4) -> Any:
        """The simulated devices, standing still, nobody using them."""

    @abstractmethod
    def answer(self, rig: VirtualRig, data: bytes) -> bytes:
        """What the simulated devices answer, by now (``rig.now_s``), to bytes of the driver."""

    @abstractmethod
    def heard(self, rig: Rig, point: int | None = None) -> list[str]:
        """Names of what the devices (or one point) were told, in order; polls and plain acknowledgements left out."""

    @abstractmethod
    def plugged(self, wire: str, state_dir: Path) -> AbstractContextManager[Plug]:
        """The same devices behind a real wire, until the end of the context."""

    @abstractmethod
    def reads_the_truth(self, rig: Rig) -> None:
        """Read one fact of each kind that the devices tell, and assert that it is as it is there now."""

    def virtual_port(self, peer: Callable[[bytes], bytes]) -> VirtualPort:
        """The port of a virtual rig; another one where no bytes go over the wire."""
        return VirtualPort(peer)

    def silence(self, rig: VirtualRig) -> str:
        """The last device of the line falls silent; returns its id. Here: of a line with one device."""
        rig.silent = True
        return rig.devices[-1]

    def babble(self, rig: VirtualRig) -> str:
        """The last device of the line answers every question with noise; returns its id. Here: the only one."""
        rig.babbling = True
        return rig.devices[-1]

    def recover(self, rig: VirtualRig) -> None:
        """Silence and noise are over."""
        rig.silent = rig.babbling = False

    def is_question(self, data: bytes) -> bool:
        """Whether bytes of the driver call for an answer; what a babbling device answers to."""
        return bool(data)


class Rig:
    """A line, what came out of it with the time, and the simulated devices behind it."""

    line: Line
    stand: Any

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.seen: list[tuple[float, Reading]] = []

    @property
    def forecourt(self) -> Forecourt:
        """The stand, where it is a forecourt of the simulator."""
        assert isinstance(self.stand, Forecourt)
        return self.stand

    @property
    def devices(self) -> list[str]:
        """Ids of the devices of the line."""
        return [device.device_id for device in self.line.devices]

    def now_s(self) -> float:
        """The clock of this rig."""
        raise AssertionError("each rig has its clock")

    def arrive(self, data: bytes) -> None:
        """Bytes arrive without a question, as from a code reader."""
        raise AssertionError(f"each rig has its wire: {data!r}")

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

    def online(self, limit_s: float = 60.0) -> Rig:
        """Turn until every device is online."""
        self.until(lambda: all(self.status(name) is True for name in self.devices), limit_s)
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
    """The steppable devices behind a port on a virtual clock. ``silent`` and ``babbling`` hold for the whole wire."""

    def __init__(self, subject: Subject, *, control: bool = True, seed: int = 1, points: int = 4) -> None:
        super().__init__(subject)
        self.stand = subject.stand(seed, points)
        self.port = subject.virtual_port(self.answer)
        self.rng = random.Random(seed)
        self.silent = False
        self.babbling = False
        self._config = subject.line_config(control=control, points=points)
        self.line = make_line(self._config, self._open, self.port.monotonic)

    def start_again(self) -> None:
        """The agent's process has ended and begins again: a new driver at the same devices and wire, nothing remembered."""
        self.seen.clear()
        self.line = make_line(self._config, self._open, self.port.monotonic)

    def now_s(self) -> float:
        return self.port.now_s

    def turn(self) -> None:
        super().turn()
        if not self.line.is_open:
            self.port.now_s += 0.05

    def arrive(self, data: bytes) -> None:
        self.port.arrive(data)

    def _open(self) -> Port:
        if self.port.gone:
            raise PortLost("the virtual cable is pulled", hint="plug it in")
        return self.port

    def answer(self, data: bytes) -> bytes:
        """What comes back for bytes of the driver: the peer of ``port`` unless a test puts itself between."""
        answer = self.subject.answer(self, data)
        if self.silent:
            return b""
        return self.rng.randbytes(BABBLE_BYTES) if self.babbling and self.subject.is_question(data) else answer


class RealRig(Rig):
    """The devices on a real wire; ``pull`` and ``put_back`` are the cable. ``speed`` hastens the line's own waiting only."""

    def __init__(self, subject: Subject, plug: Plug, *, speed: int = 1) -> None:
        super().__init__(subject)
        self.stand = plug.stand
        self._plug = plug
        clock = time.monotonic if speed == 1 else lambda: time.monotonic() * speed
        self.line = make_line(subject.line_config(plug.port), monotonic=clock)

    def now_s(self) -> float:
        return time.monotonic()

    def arrive(self, data: bytes) -> None:
        self._plug.arrive(data)

    def pull(self) -> None:
        """The cable is out."""
        self._plug.pull()

    def plug(self) -> None:
        """The cable is in again."""
        self._plug.plug()


@contextmanager
def real_rig(subject: Subject, wire: str, state_dir: Path, *, speed: int = 1) -> Iterator[RealRig]:
    """A driver on a real wire of its devices, both ended at the end."""
    with subject.plugged(wire, state_dir) as plug:
        rig = RealRig(subject, plug, speed=speed)
        try:
            yield rig
        finally:
            rig.line.close()


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


def p99(values: Sequence[float]) -> float:
    """The 99th percentile."""
    return sorted(values)[int(len(values) * 0.99)]
