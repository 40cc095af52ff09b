"""A port that remembers everything that goes over it, for evidence and recordings. The drivers open the real one.

Knows bytes and times. Knows no protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.field import inuse
from agent.field.recording import Chunk
from drivers.config import LineConfig, SerialSettings
from drivers.errors import PortLost
from drivers.marks import Marks
from drivers.port import PCSC, Port, open_port

BUSY_WORDS = ("unavailable", "busy")


class PortInUse(PortLost):
    """Another program has the port, most likely the daemon of this station."""


@dataclass(slots=True)
class Traffic:
    """What went over one wire: ``a`` is what we sent, ``b`` what came. ``damaged``: characters with errors."""

    chunks: list[Chunk] = field(default_factory=list)
    began_s: float | None = None
    damaged: int = 0

    def add(self, side: str, data: bytes, now_s: float, damaged: tuple[int, ...] = ()) -> None:
        """Remember ``data``."""
        if self.began_s is None:
            self.began_s = now_s
        self.damaged += len(damaged)
        t_us = int((now_s - self.began_s) * 1_000_000)
        self.chunks.append(Chunk(t_us, "a" if side == "a" else "b", data, damaged))

    @property
    def sent(self) -> bytes:
        """Everything we sent."""
        return b"".join(chunk.data for chunk in self.chunks if chunk.side == "a")

    @property
    def received(self) -> bytes:
        """Everything that came."""
        return b"".join(chunk.data for chunk in self.chunks if chunk.side == "b")


class TracedPort:
    """A port whose bytes go into ``traffic``. What a driver discards is read first, so that it counts as evidence."""

    def __init__(self, port: Port, traffic: Traffic, marks: Marks) -> None:
        self._port = port
        self._traffic = traffic
        self._marks = marks

    def write(self, data: bytes) -> None:
        """As ``Port.write``."""
        self._traffic.add("a", data, self._port.monotonic())
        self._port.write(data)

    def read(self, size: int, timeout_s: float) -> bytes:
        """As ``Port.read``."""
        data = self._port.read(size, timeout_s)
        if data:
            self._traffic.add("b", data, self._port.monotonic(), self._marks.take())
        return data

    def discard(self) -> int:
        """As ``Port.discard``."""
        thrown = 0
        while data := self.read(4096, 0):
            thrown += len(data)
            if thrown >= 1 << 20:
                break
        return thrown

    def monotonic(self) -> float:
        """As ``Port.monotonic``."""
        return self._port.monotonic()

    def pause(self, seconds: float) -> None:
        """As ``Port.pause``."""
        self._port.pause(seconds)

    def close(self) -> None:
        """As ``Port.close``."""
        self._port.close()


Opener = Callable[[LineConfig, SerialSettings, Marks], Port]


def open_traced(config: LineConfig, defaults: SerialSettings, traffic: Traffic) -> Port:
    """Open the port of ``config``. Raises ``PortInUse``, ``PortLost`` or ``WiringError``.

    A reader of the PC/SC service has no bytes to remember, and what a card says is not for recordings.
    """
    if config.port.startswith("socket://") and inuse.connected(config.port):
        raise PortInUse(
            f"{config.port}: a program on this PC is already connected to it",
            hint="stop the daemon first: systemctl stop forecourt",
        )
    marks = Marks()
    try:
        port = open_port(config, defaults, marks)
    except PortLost as error:
        raise in_use(config.port, error) from error
    return port if config.port.startswith(PCSC) else TracedPort(port, traffic, marks)


def in_use(port: str, error: PortLost) -> PortLost:
    """``error``, or ``PortInUse`` with the holder's name when another program has locked ``port``."""
    if not any(word in str(error).lower() for word in BUSY_WORDS):
        return error
    who = inuse.holder(port)
    by = f" by {who}" if who else " by another program"
    return PortInUse(f"{port} is in use{by}", hint="stop the daemon first: systemctl stop forecourt")


def echoed(chunks: Sequence[Chunk]) -> int:
    """How many of our writes came back as the next bytes received."""
    count = 0
    for number, chunk in enumerate(chunks):
        if chunk.side != "a":
            continue
        after = b""
        for other in chunks[number + 1 :]:
            if other.side == "a":
                break
            after += other.data
        count += bool(chunk.data.strip(b"\x1b")) and after.startswith(chunk.data)
    return count
