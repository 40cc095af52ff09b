"""The simulator's own ends of wires: ptys behind stable symlinks and listening TCP sockets. Knows bytes and
descriptors only.
"""

from __future__ import annotations

import os
import socket
import tty
from pathlib import Path

READ_SIZE = 4096
# one master at a time is real; a few more so that a reconnect never waits for an old connection to die
MAX_CONNECTIONS = 8


class PtyWire:
    """A serial cable: the other end opens ``link``. The slave side is held open, so a restarted agent is no hang-up."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.lost_bytes = 0
        self._master: int | None = None
        self._slave: int | None = None

    @property
    def plugged(self) -> bool:
        """Whether the port exists now."""
        return self._master is not None

    def fileno(self) -> int:
        """Descriptor of our end; -1 when unplugged."""
        return -1 if self._master is None else self._master

    def plug(self) -> None:
        """Make the port appear under its link."""
        old = (self._master, self._slave)
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._relink(os.ttyname(self._slave))
        _close(*old)

    def unplug(self) -> None:
        """The cable is pulled: link and device vanish, whoever has it open gets a hang-up."""
        self.link.unlink(missing_ok=True)
        _close(self._master, self._slave)
        self._master = self._slave = None

    def read(self) -> bytes:
        """What the other end has sent; empty when nothing."""
        if self._master is None:
            return b""
        try:
            return os.read(self._master, READ_SIZE)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Send; what does not fit because nobody reads is lost, as on a real wire."""
        if self._master is None:
            self.lost_bytes += len(data)
            return
        try:
            self.lost_bytes += len(data) - os.write(self._master, data)
        except BlockingIOError:
            self.lost_bytes += len(data)

    def _relink(self, target: str) -> None:
        self.link.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.link.with_name(self.link.name + ".new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(self.link)


class TcpWire:
    """A listening socket on loopback; ``port`` is chosen by the system."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=MAX_CONNECTIONS)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    def fileno(self) -> int:
        """Descriptor of the listener."""
        return self._listener.fileno()

    def accept(self) -> TcpConnection | None:
        """The next connection, if one waits."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        return TcpConnection(connection)

    def close(self) -> None:
        """No more connections."""
        self._listener.close()


class TcpConnection:
    """One accepted connection. ``gone`` once the peer has closed or broken it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self.gone = False

    def fileno(self) -> int:
        """Descriptor of the connection."""
        return self._socket.fileno()

    def read(self) -> bytes:
        """What has come; empty when nothing or when the peer is gone."""
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        self.gone = not data
        return data

    def write(self, data: bytes) -> None:
        """Send; a peer that does not read its short reply is treated as gone."""
        try:
            self.gone = self._socket.send(data) < len(data)
        except OSError:
            self.gone = True

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()


def _close(*descriptors: int | None) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)
