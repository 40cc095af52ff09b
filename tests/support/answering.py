"""A control socket in this process with any answers behind it, for tests of commands."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.control import Answer, ControlServer


@contextmanager
def answering(path: Path, answer: Answer) -> Iterator[Path]:
    """Listen at ``path`` while the block runs."""
    server = ControlServer(path, frozenset({"root"}), answer)
    server.open()
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.serve_once()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield path
    finally:
        stop.set()
        with socket.socket(socket.AF_UNIX) as waker:
            waker.connect(str(path))
        thread.join()
        server.close()
