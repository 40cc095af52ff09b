"""A cable between a TCP client and a server on this machine that a test can pull and plug: one thread, bytes both ways."""

from __future__ import annotations

import select
import socket
import threading

from tests.support.ports import KeptPort

READ_SIZE = 4096
CONNECT_WITHIN_S = 60.0
REST_S = 0.002
"""How long a byte may wait in the cable when nothing else moves."""


class TcpCable:
    """Listens on a port chosen by the system; ``pull`` drops every connection and refuses new ones until ``plug``."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._held = KeptPort()
        self._port = self._held.number
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", self._port))
        self._ends: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="tcp-cable", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a line connects to."""
        return f"socket://127.0.0.1:{self._port}"

    def pull(self) -> None:
        """Nothing goes through any more."""
        with self._lock:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            for end in self._ends:
                end.close()
            self._ends.clear()

    def plug(self) -> None:
        """Connections are taken again, at the same address."""
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self._port))

    def close(self) -> None:
        """End for good."""
        self._stop.set()
        self._thread.join()
        self.pull()
        self._held.close()

    def _carry(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                listener = [] if self._listener is None else [self._listener]
                ready, _, _ = select.select([*self._ends, *listener], [], [], 0)
                for end in ready:
                    self._move(end)
            if not ready:
                self._stop.wait(REST_S)

    def _move(self, end: socket.socket) -> None:
        if end is self._listener:
            near, _ = end.accept()
            try:
                far = socket.create_connection(self._target, timeout=CONNECT_WITHIN_S)
            except OSError:  # the server has gone: so does whoever wanted it
                near.close()
                return
            self._ends |= {near: far, far: near}
            return
        if end not in self._ends:
            return
        try:
            data = end.recv(READ_SIZE)
            if data:
                self._ends[end].sendall(data)
                return
        except OSError:
            pass  # one end has gone, so both go
        other = self._ends.pop(end)
        self._ends.pop(other, None)
        end.close()
        other.close()
