"""Head office without a station for tests: a broker, a PostgreSQL database and `forecourt-hq` as processes.

Knows how to start and to count; ends what it started.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from headoffice.keys import make_keys
from headoffice.store import session
from headoffice.store.database import Database
from sync.envelope import decode_as
from sync.notices import HoState
from sync.topics import HO_STATE
from tests.support.broker import Mosquitto
from tests.support.processes import HEAD_OFFICE, Running, eventually

RUN_WITHIN_S = 240.0


class Office:
    """A context manager: the broker runs while it is open; workers and fleets are processes of their own."""

    def __init__(self, folder: Path, location: str, *, broker: str = "") -> None:
        """``broker``: more lines of its configuration."""
        self.broker = Mosquitto(folder / "broker", extra=broker)
        self.database = Database(location)
        self._folder = folder
        self._location = location
        self._own: list[Running] = []

    def __enter__(self) -> Self:
        make_keys(self._folder / "hq" / "keys")
        self.broker.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._own:
            process.end()
        self.broker.stop()
        self.database.close()

    def command(self, *arguments: str, **other: str) -> Running:
        """Start ``forecourt-hq``; it is ended with this office. ``other``: variables, where it goes another way."""
        environment = {
            "FORECOURT_HQ_STATE": str(self._folder / "hq"),
            "FORECOURT_HQ_DATABASE": self._location,
            "FORECOURT_HQ_BROKER": f"mqtt://127.0.0.1:{self.broker.port}",
            **other,
        }
        log = self._folder / f"{arguments[0]}-{len(self._own)}.log"
        process = Running([sys.executable, "-c", HEAD_OFFICE, *arguments], log, environment)
        self._own.append(process)
        return process

    def fleet(self, *arguments: str) -> Running:
        """Start a fleet; its last line is the outcome."""
        return self.command("fleet", "--json", "--reconnect-max", "2", *arguments)

    def workers(self) -> list[dict[str, Any]]:
        """What `forecourt-hq workers` shows."""
        with self.database.read() as connection:
            return session.listed(connection)

    def shares(self) -> list[int]:
        """How many shards each worker holds, sorted."""
        return sorted(len(worker["shards"]) for worker in self.workers())

    def sales(self) -> int:
        """How many sales arrived."""
        with self.database.read() as connection:
            count: int = connection.exec_driver_sql("SELECT count(*) FROM sale").scalar_one()
        return count

    def process_of(self, worker: dict[str, Any]) -> int:
        """The process of a worker, by the name it gave itself."""
        return int(worker["name"].rpartition(":")[2])


def outcome(fleet: Running) -> dict[str, Any]:
    """Wait for a fleet's end and return what it told."""
    code = fleet.wait(RUN_WITHIN_S, "the fleet")
    told: dict[str, Any] = json.loads(fleet.text.splitlines()[-1])
    assert (code == 0) == told["passed"], fleet.text[-2_000:]
    return told


class StateListener:
    """What is said of head office's presence, in order: True is online."""

    def __init__(self, port: int) -> None:
        self._said: queue.Queue[bool] = queue.Queue(1_000)
        self.heard: list[bool] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener")
        self._client.on_message = lambda _client, _data, message: self._said.put(
            decode_as(bytes(message.payload), HoState)[1].online
        )
        self._client.on_connect = lambda client, *_: client.subscribe(HO_STATE, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def until(self, online: bool, what: str) -> None:
        """Wait until the newest word is ``online``."""
        eventually(lambda: self._newest() is online, 60, what)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _newest(self) -> bool | None:
        while not self._said.empty():
            self.heard.append(self._said.get())
        return self.heard[-1] if self.heard else None


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    told = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(word) for word in told.stdout.split()]


def is_there(pid: int) -> bool:
    """Whether a process lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
