"""What the dispenser wires of all protocols have in common: replies, what masters said, how a bus is made and used.

Knows shapes. Knows no byte of any protocol; `forecourt` names the protocols.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from drivers.simulator.config import LineConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.pump_head import PumpHead
from drivers.simulator.tank import Tank

# a demonstration of hours stays within this; tests read it whole
MAX_LOG = 20_000
# what a master says all the time
QUIET = frozenset({"POLL", "ACK", "ACKPOLL", "INQUIRY"})


@dataclass(frozen=True, slots=True)
class MasterCommand:
    """One thing the master said. ``point`` is ``None`` for an address nobody has. ``duplicate``: same block number
    again.
    """

    t_ms: int
    point: int | None
    name: str
    tx: int
    detail: str = ""
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes for the master, ``delay_ms`` real milliseconds after its frame."""

    data: bytes
    delay_ms: int = 0


class CommandLog:
    """Everything the master said, newest ``MAX_LOG`` entries."""

    def __init__(self) -> None:
        self.entries: deque[MasterCommand] = deque(maxlen=MAX_LOG)
        self.fresh: deque[MasterCommand] = deque(maxlen=MAX_LOG)

    def add(self, entry: MasterCommand) -> None:
        """Keep it; polls, acknowledgements and gauge inquiries do not go to ``fresh``, the source of the command
        file.
        """
        self.entries.append(entry)
        if entry.name not in QUIET:
            self.fresh.append(entry)

    def names(self, point: int | None = None) -> list[str]:
        """The names in order without polls and acknowledgements, of one point or of all."""
        return [e.name for e in self.entries if e.name not in QUIET and (point is None or e.point == point)]


class Bus(Protocol):
    """Several pumps on one wire: every pump hears everything and answers only its own address."""

    name: str

    def exchange(self, data: bytes) -> list[Reply]:
        """The master's bytes in, the answers with their delays out."""
        ...

    def receive(self, data: bytes) -> bytes:
        """As ``exchange`` for one thread on a virtual clock: a late answer comes out in front of the next one."""
        ...

    def silence(self) -> None:
        """Nothing came for a while: a broken frame of the master is forgotten."""
        ...


MakeBus = Callable[[LineConfig, Mapping[int, PumpHead], FaultBoard, CommandLog], Bus]
"""Makes the wire of one line; the heads by fuelling point number."""

MakeGauge = Callable[[LineConfig, Mapping[int, Tank], FaultBoard, CommandLog], Bus]
"""Makes the wire of one gauge; the tanks by the gauge's own tank number."""
