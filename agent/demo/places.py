"""Where the demo keeps things inside its state directory; makes the directory and locks it against a second demo.

Knows paths only. A directory that a demo made is emptied of what demos make, and of nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agent.demo.options import MARKER, DemoOptions, DemoRefused

MAX_SOCKET_PATH = 100
"""A Unix socket's address holds 107 bytes; longer directories get their socket elsewhere."""
_MADE = ("station", "head-office", "simulator", "logs", "broker")
_FILES = ("pids.json", "station.toml", "members.jsonl", "clock-offset", "control.sock")


@dataclass(frozen=True, slots=True)
class Places:
    """Every path of one demo. ``socket`` is where the agent answers; ``lock`` an open descriptor that is held."""

    root: Path
    socket: Path
    lock: int

    @property
    def pids(self) -> Path:
        """Role -> process id, JSON, replaced as a whole."""
        return self.root / "pids.json"

    @property
    def logs(self) -> Path:
        """One file per role."""
        return self.root / "logs"

    @property
    def station_toml(self) -> Path:
        """The agent's configuration."""
        return self.root / "station.toml"

    @property
    def database(self) -> Path:
        """The station's database."""
        return self.root / "station" / "station.db"

    @property
    def mark(self) -> Path:
        """The station's high-water file."""
        return self.root / "station" / "mark" / "mark.json"

    @property
    def field_key(self) -> Path:
        """The key of what stands encrypted in the station's database."""
        return self.root / "station" / "field-key"

    @property
    def head_office(self) -> Path:
        """Head office's state: database.sqlite and keys."""
        return self.root / "head-office"

    @property
    def head_office_database(self) -> Path:
        """Head office's database."""
        return self.head_office / "database.sqlite"

    @property
    def simulator(self) -> Path:
        """The simulator's state: ports, endpoints.json, truth."""
        return self.root / "simulator"

    @property
    def truth(self) -> Path:
        """What really happened, one JSON fact per line."""
        return self.simulator / "truth.jsonl"

    @property
    def clock_offset(self) -> Path:
        """Milliseconds by which a clock fault moves the agent's wall clock."""
        return self.root / "clock-offset"


def prepare(options: DemoOptions) -> Places:
    """Make the directory, or empty the one of an earlier demo. Raises DemoRefused: not writable, a demo runs there."""
    try:
        root = options.state or Path(tempfile.mkdtemp(prefix="forecourt-demo-"))
        root.mkdir(parents=True, exist_ok=True)
        lock = _lock(root)
        for name in _MADE:
            shutil.rmtree(root / name, ignore_errors=True)
        for name in _FILES:
            (root / name).unlink(missing_ok=True)
        words = {"seed": options.seed, "speed": options.speed, "faults": list(options.faults)}
        (root / MARKER).write_text(json.dumps(words) + "\n", encoding="utf-8")
        socket = root / "control.sock"
        if len(os.fsencode(socket)) > MAX_SOCKET_PATH:
            socket = Path(tempfile.mkdtemp(prefix="forecourt-")) / "control.sock"
        places = Places(root, socket, lock)
        for folder in (places.logs, places.database.parent, places.mark.parent, places.simulator, root / "broker"):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise DemoRefused(
            f"the demo cannot write to {failure.filename or options.state}: {failure.strerror}",
            hint="name another directory with --state",
        ) from failure
    return places


def _lock(root: Path) -> int:
    descriptor = os.open(root / MARKER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as failure:
        os.close(descriptor)
        raise DemoRefused(
            f"another demo runs in {root}", hint="end it with Ctrl-C, or name another --state"
        ) from failure
    return descriptor
