"""The three kinds of device a driver can be, and what each says about itself.

A device is a state machine behind one address of one line. ``turn`` is one bounded poll turn: it may write and read the
port, must return within its protocol's reply windows and retries, and never sleeps for longer than the protocol asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from drivers.commands import Command
from drivers.port import Port
from drivers.readings import Reading


@dataclass(frozen=True, slots=True)
class DispenserCapabilities:
    """What a dispenser protocol can do; values as in section 2 of docs/sale-safety.md."""

    sale_memory: str  # none | last | queue
    memory_ends: str  # reset | next_flow | ack
    release: str  # none | reset | ack
    totals: str  # none | volume | volume+amount
    totals_during_flow: str  # yes | no | unknown
    power_off: str  # kept | lost | unknown
    presets: tuple[str, ...] = ()
    sets_prices: bool = False
    stops: bool = False
    suspends: bool = False


@dataclass(frozen=True, slots=True)
class TankGaugeCapabilities:
    """What a gauge can tell. ``reads_only`` is true by construction for every gauge driver."""

    reads_only: bool
    inventory: bool
    tc_volume: bool
    water: bool
    alarms: bool
    deliveries: bool = False


@dataclass(frozen=True, slots=True)
class CodeReaderCapabilities:
    """What a reader of codes can do for the attendant."""

    feedback: bool = False
    choices: bool = False
    nfc: bool = False


class Device(Protocol):
    """What the line needs of every device."""

    device_id: str

    def turn(self, port: Port) -> Sequence[Reading]:
        """One poll turn: at most one exchange with the device, plus at most one queued command.

        Raises ``PortLost`` when the port itself has gone. A silent device is not an exception: it is counted and, past
        the protocol's limit, reported once as ``DeviceStatus(online=False)``.
        """
        ...

    def due_in_s(self) -> float:
        """Seconds until this device wants its next turn, counted from the end of its last one; 0 = it wants one now.

        The line asks right after each turn and again while it waits: 0 as soon as a command is queued.
        """
        ...

    def submit(self, command: Command) -> None:
        """Queue a command from any thread; it is run in a later turn."""
        ...

    def reset(self) -> Sequence[Reading]:
        """The port was (re)opened or lost: forget the wire's state, fail queued commands as UNKNOWN, report a gap."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A device that counts what went wrong on its wire, for people who look for a bad cable."""

    def counters(self) -> Mapping[str, int]:
        """Counts since the start by stable name, such as ``frames_rejected.crc``; callable from any thread."""
        ...


@runtime_checkable
class Hinting(Protocol):
    """A device that knows what a person can do where a count of ``Counting`` rises. ``hints``: by the count's name."""

    hints: Mapping[str, str]


@runtime_checkable
class Episodic(Protocol):
    """A device whose peer closes the connection after each answer by habit, as some TCP servers of gauges do.

    ``closed_by_habit``: after ``reset``, whether the end of the last connection was that habit and no fault.
    """

    closed_by_habit: bool


class Dispenser(Device, Protocol):
    """One fuelling point."""

    capabilities: DispenserCapabilities


class TankGauge(Device, Protocol):
    """One console with its tanks."""

    capabilities: TankGaugeCapabilities


class CodeReader(Device, Protocol):
    """One reader of member codes or control barcodes."""

    capabilities: CodeReaderCapabilities


def of_points(devices: Iterable[Device]) -> dict[int, DispenserCapabilities]:
    """What the dispensers among ``devices`` can do, by the number of their fuelling point."""
    found: dict[int, DispenserCapabilities] = {}
    for device in devices:
        kind, _, name = device.device_id.partition(":")
        can = getattr(device, "capabilities", None)
        if kind == "point" and isinstance(can, DispenserCapabilities):
            found[int(name)] = can
    return found
