"""A real mosquitto for tests: a free port, with or without persistence, killable and restartable on the same port.

``FORECOURT_MQTT=3.1.1`` puts a gate before it that turns MQTT 5 away: the same tests over the older protocol.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from pathlib import Path
from typing import Self

from tests.support.old_gate import OldGate
from tests.support.ports import KeptPort

READY_WITHIN_S = 60.0
PROTOCOL = os.environ.get("FORECOURT_MQTT", "5")
_HELD: deque[KeptPort] = deque()
_HELD_MOST = 128
"""Ports of tests that are over go back to the system."""


def free_port() -> int:
    """A TCP port nobody listens on, held for whoever is told its number: others start servers at the same time."""
    _HELD.append(KeptPort())
    if len(_HELD) > _HELD_MOST:
        _HELD.popleft().close()
    return _HELD[-1].number


class Mosquitto:
    """One broker on loopback. Use as a context manager; ``extra`` lines go into its configuration file."""

    def __init__(self, folder: Path, *, persistence: bool = False, extra: str = "", protocol: str = PROTOCOL) -> None:
        self._kept = [KeptPort()]
        self.port = self._own_port = self._kept[0].number
        if protocol != "5":
            self._own_port = self.keep_port()
        self._gate = None if protocol == "5" else OldGate(self.port, self._own_port)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self._own_port} 127.0.0.1\n"
            "allow_anonymous true\n"
            "set_tcp_nodelay true\n"
            f"persistence {'true' if persistence else 'false'}\n"
            f"persistence_location {folder}/\n"
            f"log_dest file {folder}/mosquitto.log\n"
            f"user {_user()}\n"
            f"{extra}\n"
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def keep_port(self) -> int:
        """One more port that is this broker's own."""
        self._kept.append(KeptPort())
        return self._kept[-1].number

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the broker wrote so far."""
        path = self._folder / "mosquitto.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start it and wait until it accepts a connection; the port stays the same for ever."""
        assert not self.running, "already running"
        binary = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        assert binary is not None, "these tests need mosquitto; install the package of that name"
        self._process = subprocess.Popen([binary, "-c", str(self._config)], stderr=subprocess.PIPE)
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._accepts():
            assert self._process.poll() is None, f"mosquitto ended at once: {self.log}"
            assert time.monotonic() < deadline, f"mosquitto does not accept connections: {self.log}"
        if self._gate is not None:
            self._gate.start()

    def stop(self) -> None:
        """End it politely; a broker with persistence writes its file."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL: nothing is written any more."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again on the same port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        assert self._process is not None, "not running"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen broker go on."""
        assert self._process is not None, "not running"
        self._process.send_signal(signal.SIGCONT)

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._gate is not None:
            self._gate.stop()
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(sign)
        process.wait(READY_WITHIN_S)
        if process.stderr is not None:
            process.stderr.close()

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._own_port), timeout=5):
                return True
        except OSError:
            threading.Event().wait(0.01)
            return False


def _user() -> str:
    """The account the broker changes to when it is started as root; our own, so that it can write its files."""
    return "root" if os.getuid() == 0 else "nobody"
