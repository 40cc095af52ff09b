"""One agent per database: the lock that is taken before anything else is opened, and the errors of the store.

Imports nothing heavy, so that a second agent is refused before it has loaded the rest of itself.
"""

from __future__ import annotations

import contextlib
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


_ENDED = "-"
_WIDTH = 10
"""The file is overwritten in place, never cut and grown: that works on a full disk as well."""


class InstanceLock:
    """One agent per database: an advisory lock beside it, held until the process ends.

    It holds the process id while an agent works and says so when one has ended in order: ``unclean`` is the rest.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None
        self.unclean = False

    def take(self) -> None:
        """Take the lock or raise StoreBusy naming the process that has it. Opens no port, writes nothing else.

        Raises StoreError where the folder cannot be written.
        """
        if self._descriptor is not None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as failure:
            hint = "free space on its disk, or mount it writable: df -h and dmesg tell; or name another [store] path"
            raise StoreError(f"{self._path} cannot be written: {failure.strerror or failure}", hint=hint) from failure
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
        self.unclean = os.read(descriptor, 32).decode("ascii", "replace").strip() not in ("", _ENDED)
        self._descriptor = descriptor
        self._say(str(os.getpid()))

    def _say(self, word: str) -> None:
        assert self._descriptor is not None
        # a disk too full for the first block of this file only costs the name of the process
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, f"{word:<{_WIDTH}}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let the lock go and say that this was an end in order (the end of the process only lets it go)."""
        if self._descriptor is not None:
            self._say(_ENDED)
            os.close(self._descriptor)
            self._descriptor = None
