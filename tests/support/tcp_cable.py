"""A cable between a TCP client and a server on this machine that a test can pull and plug: one thread, bytes both ways."""

from __future__ import annotations

import selectors
import socket
import threading

READ_SIZE = 4096
WAKE_S = 0.02
"""How long a pulled cable may go unnoticed by the thread that carries the bytes."""


class TcpCable:
    """Listens on a port chosen by the system; ``pull`` drops every connection and refuses new ones until ``plug``."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self._port = int(self._listener.getsockname()[1])
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

    def _carry(self) -> None:
        while not self._stop.is_set():
            with self._lock, selectors.DefaultSelector() as selector:
                for end in [*self._ends, *([self._listener] if self._listener is not None else [])]:
                    selector.register(end, selectors.EVENT_READ)
                ready = selector.select(0) if selector.get_map() else []
                for key, _ in ready:
                    self._move(key.fileobj)
            if not ready:
                self._stop.wait(WAKE_S / 10)

    def _move(self, end: object) -> None:
        assert isinstance(end, socket.socket)
        if end is self._listener:
            near, _ = end.accept()
            far = socket.create_connection(self._target, timeout=5)
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
