"""For tests of the field tools: a quiet simulated forecourt, and small peers on real ptys and sockets with odd habits."""

from __future__ import annotations

import dataclasses
import os
import select
import socket
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from drivers.simulator.config import ConsoleConfig, CustomerConfig, default_config
from drivers.simulator.server import ForecourtServer

Answer = Callable[[bytes], bytes | None]
"""What a peer says to what it just got; ``None`` hangs up."""


@contextmanager
def quiet_forecourt(state: Path, **console: Any) -> Iterator[dict[str, Any]]:
    """A simulated station that nobody visits: endpoints of its wires."""
    config = dataclasses.replace(
        default_config(state),
        customers=CustomerConfig(opens_when_told=True),
        deliveries=(),
        console=ConsoleConfig(**console),
    )
    server = ForecourtServer(config).start()
    try:
        yield server.endpoints()
    finally:
        server.stop()


class Peer:
    """The far end of a wire: ``port`` is what to open. ``heard`` is every byte it was sent. ``closes``: after each answer."""

    def __init__(self, answer: Answer, *, tcp: bool = False, closes: bool = False) -> None:
        self.heard = bytearray()
        self._answer = answer
        self._closes = closes
        self._stop = threading.Event()
        self._listener: socket.socket | None = None
        self.master = self._slave = -1
        if tcp:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        else:
            self.master, self._slave = os.openpty()
            tty.setraw(self._slave)
            self.port = os.ttyname(self._slave)
        self._thread = threading.Thread(target=self._serve_tcp if tcp else self._serve_pty, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._listener is not None:
            self._listener.close()
        for descriptor in (self.master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)

    def say(self, data: bytes) -> int:
        """Send without being asked; how many bytes were taken."""
        return os.write(self.master, data)

    def speed(self) -> int:
        """Baud rate that the other side has set."""
        return {termios.B9600: 9600, termios.B19200: 19200, termios.B4800: 4800}[termios.tcgetattr(self.master)[5]]

    def _serve_pty(self) -> None:
        while not self._stop.is_set():
            if select.select([self.master], [], [], 0.02)[0]:
                data = os.read(self.master, 4096)
                self.heard += data
                os.write(self.master, self._answer(data) or b"")

    def _serve_tcp(self) -> None:
        assert self._listener is not None
        while not self._stop.is_set():
            if not select.select([self._listener], [], [], 0.02)[0]:
                continue
            connection, _ = self._listener.accept()
            with connection:
                self._serve_one(connection)

    def _serve_one(self, connection: socket.socket) -> None:
        while not self._stop.is_set():
            if not select.select([connection], [], [], 0.02)[0]:
                continue
            try:
                data = connection.recv(4096)
                if not data:
                    return
                self.heard += data
                answer = self._answer(data)
                if answer is None:
                    return
                connection.sendall(answer)
                if answer and self._closes:
                    return
            except OSError:
                return
