"""The only file here that opens a serial port or socket (pyserial URLs, so ``socket://`` and ``loop://`` work)."""

from __future__ import annotations

from typing import Protocol


class Port(Protocol):
    """A byte pipe to one wire. All methods raise ``PortLost`` when the wire itself has gone."""

    def write(self, data: bytes) -> None:
        """Send all of ``data`` and wait until the system has taken it."""
        ...

    def read(self, size: int, timeout_s: float) -> bytes:
        """Return between 0 and ``size`` bytes: as soon as any are there, or empty after ``timeout_s`` without one."""
        ...

    def discard(self) -> int:
        """Throw away what has arrived unread; returns how many bytes."""
        ...

    def monotonic(self) -> float:
        """The clock of the wire in seconds (real time in production, virtual in scenario tests)."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait for ``seconds`` on the clock of the wire (turn-around times of the protocol)."""
        ...

    def close(self) -> None:
        """Release the descriptor; never raises."""
        ...
