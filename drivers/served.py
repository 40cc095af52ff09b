"""The other end of a wire, where a master connects to us: a new pseudo terminal, or a listening TCP socket.

Knows descriptors. Knows no protocol, and no port that somebody else has (``port.py`` opens those).
"""

from __future__ import annotations

import os
import select
import socket
import tty
from typing import Protocol

from drivers.errors import PortLost, WiringError
from drivers.port import DescriptorPort, Port

LOOPBACK = "127.0.0.1"


class Served(Protocol):
    """A place where one master at a time may connect. ``name``: what to write as the port of its line."""

    name: str

    def connect(self, timeout_s: float) -> Port | None:
        """Wait for a master; ``None`` when none has come in time."""
        ...

    def close(self) -> None:
        """Nobody can connect any more; may be repeated."""
        ...


def serve(where: str) -> Served:
    """Open ``"pty"``, ``"tcp"`` (a port of 127.0.0.1 that the system chooses) or ``"tcp:[HOST:]PORT"``.

    Raises ``WiringError`` for anything else, ``PortLost`` when the address cannot be listened on.
    """
    if where == "pty":
        return ServedPty()
    kind, _, address = where.partition(":")
    host, _, number = address.rpartition(":")
    if kind != "tcp" or (number and not (number.isascii() and number.isdecimal() and int(number) < 65536)):
        raise WiringError(f"{where!r} is no place to serve at", hint="write pty, tcp, tcp:PORT or tcp:HOST:PORT")
    return ServedTcp(host or LOOPBACK, int(number or 0))


class ServedPty:
    """A pseudo terminal; our side of it stays open, so a master may come and go."""

    def __init__(self) -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self.name = os.ttyname(slave)
        self._slave: int | None = slave
        self._port = DescriptorPort(self.name, master, lambda: os.close(master))

    def connect(self, timeout_s: float) -> Port | None:
        """As ``Served.connect``: there always is a wire, whether or not somebody listens at its end."""
        del timeout_s
        return self._port

    def close(self) -> None:
        """As ``Served.close``."""
        self._port.close()
        if self._slave is not None:
            os.close(self._slave)
            self._slave = None


class ServedTcp:
    """A listening socket; one connection at a time is served, the next waits."""

    def __init__(self, host: str, number: int) -> None:
        try:
            self._listener = socket.create_server((host, number), backlog=1)
        except OSError as error:
            raise PortLost(f"tcp:{host}:{number}: {error}", hint="choose another port, or none") from error
        self._listener.setblocking(False)
        self.name = f"socket://{host}:{self._listener.getsockname()[1]}"

    def connect(self, timeout_s: float) -> Port | None:
        """As ``Served.connect``."""
        if not select.select([self._listener], [], [], timeout_s)[0]:
            return None
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        return DescriptorPort(self.name, connection.fileno(), connection.close)

    def close(self) -> None:
        """As ``Served.close``."""
        self._listener.close()
