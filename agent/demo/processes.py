"""The processes of the demo: started, watched, started again when they die, ended by process id and nothing else.

Knows roles, logs and pids.json. Knows nothing of what a process does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STATE_VARIABLE = "FORECOURT_DEMO_STATE"
"""Every process of a demo carries it, so that nothing else is ever taken for one of ours."""
WATCH_S = 0.1
"""A dead agent is running again within a second, most of which is Python's own start."""
QUICK_DEATHS = 6
"""A role that ends by itself so often in a row will not run: the demo ends and shows its log."""
QUICK_S = 3.0
POLITE_S = 6.0
"""The daemon joins its threads for five seconds at the most."""


@dataclass(slots=True)
class _Role:
    command: Sequence[str]
    environment: Mapping[str, str]
    restarts: bool
    process: subprocess.Popen[bytes] | None = None
    held: bool = True
    started_s: float = 0.0
    quick_deaths: int = 0
    starts: int = 0
    deaths: list[int] = field(default_factory=list)


class Fleet:
    """All roles by name. Any thread may call; ``watch_once`` belongs to one."""

    def __init__(self, root: Path, logs: Path, pids: Path) -> None:
        self._root = root
        self._logs = logs
        self._pids = pids
        self._roles: dict[str, _Role] = {}
        self._lock = threading.RLock()
        self._given_up: str | None = None
        self._write_pids()

    @property
    def given_up(self) -> str | None:
        """Return why the demo cannot go on: a role that will not run; ``None`` while all is well."""
        return self._given_up

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None, *, restarts: bool = True
    ) -> None:
        """Start a role; with ``restarts`` it is started again whenever it ends without having been asked to."""
        with self._lock:
            self._roles[name] = _Role(command, dict(environment or {}), restarts)
            self._launch(name)

    def spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a process that is no role: logged like one, in a session of its own, so Ctrl-C does not reach it."""
        with (self._logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment, STATE_VARIABLE: str(self._root)},
                start_new_session=True,
            )

    def pid(self, name: str) -> int | None:
        """Return the process id of a running role."""
        with self._lock:
            role = self._roles.get(name)
            alive = role is not None and role.process is not None and role.process.poll() is None
            return role.process.pid if alive and role is not None and role.process is not None else None

    def starts(self, name: str) -> int:
        """Return how often a role has been started."""
        with self._lock:
            return self._roles[name].starts if name in self._roles else 0

    def strike(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a running role; a dead one gets none."""
        with self._lock:
            role = self._roles[name]
            if role.process is not None and role.process.poll() is None:
                role.process.send_signal(number)

    def hold(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a role and keep it down until ``release``."""
        with self._lock:
            self._roles[name].held = True
        self._end(name, number)

    def release(self, name: str) -> None:
        """Start a role that is held down; does nothing for one that runs."""
        with self._lock:
            if self._roles[name].held:
                self._launch(name)

    def watch_once(self) -> None:
        """Start again whatever has died."""
        with self._lock:
            for name, role in self._roles.items():
                if role.held or role.process is None or role.process.poll() is None:
                    continue
                self._judge(name, role, role.process.returncode)
                if self._given_up is None:
                    self._launch(name)

    def stop_all(self, names: Sequence[str], *, politely: bool = True) -> None:
        """End roles one after the other in the order given: SIGTERM and, where that does not help, SIGKILL."""
        with self._lock:
            for role in self._roles.values():
                role.held = True
        for name in names:
            if name in self._roles:
                self._end(name, signal.SIGTERM if politely else signal.SIGKILL)

    def _judge(self, name: str, role: _Role, code: int) -> None:
        role.deaths.append(code)
        by_itself = code >= 0  # a signal came from outside: that is what faults and people do
        quick = by_itself and time.monotonic() - role.started_s < QUICK_S
        role.quick_deaths = role.quick_deaths + 1 if quick else 0
        if not role.restarts or role.quick_deaths >= QUICK_DEATHS:
            self._given_up = f"{name} ended with code {code}; its last words are in {self._logs / name}.log"

    def _launch(self, name: str) -> None:
        role = self._roles[name]
        role.process = self.spawn(name, role.command, role.environment)
        role.started_s = time.monotonic()
        role.starts += 1
        role.held = False
        self._write_pids()

    def _end(self, name: str, number: signal.Signals) -> None:
        process = self._roles[name].process
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.send_signal(number)
            try:
                process.wait(POLITE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(POLITE_S)
        with self._lock:
            self._write_pids()

    def _write_pids(self) -> None:
        running = {
            name: role.process.pid
            for name, role in self._roles.items()
            if role.process is not None and role.process.poll() is None
        }
        temporary = self._pids.with_name(self._pids.name + ".tmp")
        temporary.write_text(json.dumps(running, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self._pids)
