"""Wires of a station on a virtual clock: a Port whose time moves only when somebody waits on it, and its far end.

Knows bytes, their times, and whether the port exists. Knows no protocol.
"""

from __future__ import annotations

from collections.abc import Callable

from drivers.errors import PortLost
from drivers.port import Port

CHARACTER_S = 11 / 9600
"""Eight data bits, parity, start and stop at 9600 baud."""

ANSWER_AFTER_S = 0.005
"""How long a device thinks before its answer begins."""

Peer = Callable[[bytes], list[tuple[float, bytes]]]
"""The far end: (extra delay in seconds, bytes) for what was written."""


def mute(_data: bytes) -> list[tuple[float, bytes]]:
    """The far end of a wire that only sends."""
    return []


class VirtualWire:
    """One cable with a local time of its own. ``plugged`` and ``generation`` say whether an open port still lives."""

    def __init__(self, peer: Peer = mute) -> None:
        self.peer = peer
        self.now_s = 0.0
        self.plugged = True
        self.generation = 0
        self.opened = 0
        self._arriving: list[tuple[float, bytes]] = []

    @property
    def has_bytes(self) -> bool:
        """Whether anything waits or is on its way."""
        return bool(self._arriving)

    def open(self) -> Port:
        """Open the port. Raises PortLost while the cable is pulled."""
        if not self.plugged:
            raise PortLost("the virtual port does not exist", hint="plug it in")
        self.opened += 1
        self._arriving.clear()
        return VirtualPort(self, self.generation)

    def pull(self) -> None:
        """The port vanishes."""
        self.plugged = False
        self.generation += 1

    def plug(self) -> None:
        """The port is there again, as another one."""
        self.plugged = True

    def monotonic(self) -> float:
        """The local time."""
        return self.now_s

    def arrive(self, at_s: float, data: bytes) -> None:
        """Bytes that come by themselves."""
        self._arriving.append((at_s + len(data) * CHARACTER_S, data))
        self._arriving.sort(key=lambda item: item[0])

    def written(self, data: bytes) -> None:
        """Hand a request to the far end and queue its answers."""
        asked_s = self.now_s + len(data) * CHARACTER_S
        for delay_s, reply in self.peer(data):
            if reply:
                self.arrive(asked_s + ANSWER_AFTER_S + delay_s, reply)

    def take(self, size: int, timeout_s: float) -> bytes:
        """Wait for bytes; local time moves on to whatever comes first."""
        until_s = self.now_s + timeout_s
        if not self._arriving or self._arriving[0][0] > until_s:
            self.now_s = max(self.now_s, until_s)
            return b""
        arrives_s, data = self._arriving.pop(0)
        self.now_s = max(self.now_s, arrives_s)
        if len(data) > size:
            self._arriving.insert(0, (arrives_s, data[size:]))
        return data[:size]

    def drop_arrived(self) -> int:
        """Throw away what is there now; returns how many bytes."""
        there = [data for at_s, data in self._arriving if at_s <= self.now_s]
        self._arriving = [item for item in self._arriving if item[0] > self.now_s]
        return sum(len(data) for data in there)


class VirtualPort:
    """``drivers.port.Port`` on a virtual wire; every call raises PortLost once the cable was pulled or renamed."""

    def __init__(self, wire: VirtualWire, generation: int) -> None:
        self._wire = wire
        self._generation = generation

    def write(self, data: bytes) -> None:
        """See Port."""
        self._check()
        self._wire.written(data)

    def read(self, size: int, timeout_s: float) -> bytes:
        """See Port."""
        self._check()
        return self._wire.take(size, timeout_s)

    def discard(self) -> int:
        """See Port."""
        self._check()
        return self._wire.drop_arrived()

    def monotonic(self) -> float:
        """See Port."""
        return self._wire.now_s

    def pause(self, seconds: float) -> None:
        """See Port."""
        self._check()
        self._wire.now_s += max(0.0, seconds)

    def close(self) -> None:
        """See Port."""

    def _check(self) -> None:
        if self._generation != self._wire.generation:
            raise PortLost("the virtual cable is pulled", hint="plug it in")
