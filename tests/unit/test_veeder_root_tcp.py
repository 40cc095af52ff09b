"""The TLS gauge on its line over a real TCP socket: a server that stays, and one that closes after each reply."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from drivers.config import LineConfig
from drivers.readings import DeviceStatus, GaugeLimits, Quality, Reading, TankReading
from drivers.registry import make_line
from tests.support.tls_console import NOT_KNOWN, ConsolePort

DEADLINE_S = 90.0


class Server:
    """Answers questions from the table of a scripted console; ``closes``: hangs up after each reply."""

    def __init__(self, *, closes: bool) -> None:
        self.answers = ConsolePort().answers
        self.closes = closes
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.connections = 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        pending = b""
        while True:
            try:
                data = connection.recv(100)
            except OSError:
                return
            if not data:
                return
            pending += data.replace(b"\x1b", b"")
            while b"\r\n" in pending:
                question, _, pending = pending.partition(b"\r\n")
                connection.sendall(self.answers.get(question.strip(b"\x01").decode(), NOT_KNOWN))
                if self.closes:
                    return

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers on free ports and ends them."""
    servers: list[Server] = []

    def start(*, closes: bool) -> Server:
        servers.append(Server(closes=closes))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def run_until(server: Server, enough: Callable[[list[Reading]], bool]) -> list[Reading]:
    options = {"poll_s": "100ms", "drain_s": "20ms", "pause_s": "10ms", "alarms_s": "1h"}
    url = f"socket://127.0.0.1:{server.port}"
    line = make_line(LineConfig("tanks", url, "veeder-root", options=options, tanks=(1, 2)))
    readings: list[Reading] = []
    until = time.monotonic() + DEADLINE_S
    while not enough(readings) and time.monotonic() < until:
        readings += line.turn()
    line.close()
    assert enough(readings)
    return readings


def good(readings: list[Reading]) -> int:
    return sum(isinstance(reading, TankReading) and reading.quality is Quality.GOOD for reading in readings)


def test_a_console_behind_a_tunnel_is_read_over_one_connection(serve: Callable[..., Server]) -> None:
    """Online once, readings and limits, and the connection is kept."""
    server = serve(closes=False)
    readings = run_until(
        server, lambda found: good(found) >= 6 and sum(isinstance(reading, GaugeLimits) for reading in found) == 2
    )
    statuses = [reading for reading in readings if isinstance(reading, DeviceStatus)]
    assert statuses == [DeviceStatus("line:tanks", online=True), DeviceStatus("gauge:tanks", online=True)]
    assert server.connections == 1


def test_a_server_that_hangs_up_after_each_reply_still_gives_readings(serve: Callable[..., Server]) -> None:
    """Each connection answers one question; after two of them the driver goes on where it was."""
    server = serve(closes=True)
    readings = run_until(server, lambda found: good(found) >= 2)
    assert server.connections >= 4
    assert DeviceStatus("gauge:tanks", online=True) in readings


def test_hanging_up_by_habit_is_not_reported_as_an_outage(serve: Callable[..., Server]) -> None:
    """Once the habit is known, a server that closes after each reply gives readings without going offline again."""
    server = serve(closes=True)

    def many(readings: list[Reading]) -> bool:
        return sum(isinstance(reading, TankReading) for reading in readings) >= 8

    readings = run_until(server, many)
    last_outage = max(n for n, r in enumerate(readings) if isinstance(r, DeviceStatus) and not r.online)
    after = [reading for reading in readings[last_outage:] if isinstance(reading, TankReading)]
    outages = [r for r in readings if isinstance(r, DeviceStatus) and not r.online]
    assert len(outages) <= 6
    assert len(after) >= 4
