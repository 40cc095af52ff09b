"""One agent per database: the lock that is taken before anything else is opened, and the errors of the store.

Imports nothing heavy, so that a second agent is refused before it has loaded the rest of itself.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path


class StoreError(Exception):
    """The database cannot be used as asked. ``hint`` tells a person what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class StoreBusy(StoreError):
    """Another agent works on this database."""


class StoreNewer(StoreError):
    """The database was written by a newer version of this software."""


class InstanceLock:
    """One agent per database: an advisory lock beside it, held until the process ends."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock or raise StoreBusy naming the process that has it. Opens no port, writes nothing else."""
        if self._descriptor is not None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as failure:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            if failure.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise StoreBusy(
                f"another agent (process {owner or 'unknown'}) works on this database",
                hint="stop it first: systemctl stop forecourt, or end the demo that runs in this directory",
            ) from failure
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the lock go (the end of the process does the same)."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
