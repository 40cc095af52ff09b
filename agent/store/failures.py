"""What the disk did to the database, by name: full, read-only, input/output error, damaged. Each with what to do.

Knows the error codes of SQLite and of the system. Decides nothing: a failed write is fatal to whoever wrote.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from agent.store.lock import StoreError


class Failure(StrEnum):
    """Why nothing can be written (or read) any more."""

    FULL = "the disk is full"
    READ_ONLY = "the file system is read-only"
    IO = "the disk reports an error"
    DAMAGED = "the database is damaged"


_HINTS = {
    Failure.FULL: "free space on the disk of the database (df -h); the station goes on by itself",
    Failure.READ_ONLY: "mount the file system writable again, after looking into dmesg for the reason",
    Failure.IO: "look into dmesg and replace the disk if it is failing; the station goes on by itself if it is not",
    Failure.DAMAGED: "the next start examines the database and puts it aside if it cannot be used",
}
_SHM_CANNOT_GROW = sqlite3.SQLITE_IOERR_SHMSIZE
_SQLITE = {
    sqlite3.SQLITE_FULL: Failure.FULL,
    sqlite3.SQLITE_READONLY: Failure.READ_ONLY,
    sqlite3.SQLITE_PERM: Failure.READ_ONLY,
    sqlite3.SQLITE_IOERR: Failure.IO,
    sqlite3.SQLITE_CANTOPEN: Failure.IO,
    sqlite3.SQLITE_CORRUPT: Failure.DAMAGED,
    sqlite3.SQLITE_NOTADB: Failure.DAMAGED,
}
_SYSTEM = {
    errno.ENOSPC: Failure.FULL,
    errno.EDQUOT: Failure.FULL,
    errno.EROFS: Failure.READ_ONLY,
    errno.EIO: Failure.IO,
}


class StorageFailed(StoreError):
    """The disk did not do what was asked of it. Nothing of the step under way may be taken as written, nor repeated.

    Example scenarios: a log filled the disk; the kernel remounted it read-only after an error; fsync failed.
    """

    def __init__(self, what: Failure, detail: str) -> None:
        super().__init__(f"{what.value}: {detail}", hint=_HINTS[what])
        self.what = what


def of_sqlite(failure: sqlite3.Error) -> StorageFailed | None:
    """Return what the disk did, or ``None`` where this error is not about the disk (a constraint, a lock)."""
    code = getattr(failure, "sqlite_errorcode", None)
    if code is None:
        return None
    what = Failure.FULL if code == _SHM_CANNOT_GROW else _SQLITE.get(code & 0xFF)
    return None if what is None else StorageFailed(what, f"{failure} ({failure.sqlite_errorname})")


def of_system(failure: OSError) -> StorageFailed | None:
    """As ``of_sqlite`` for an error of the operating system."""
    what = _SYSTEM.get(failure.errno or 0)
    return None if what is None else StorageFailed(what, str(failure))


@contextmanager
def disk_named() -> Iterator[None]:
    """Turn what the disk does inside this context into StorageFailed; every other error passes."""
    try:
        yield
    except sqlite3.Error as failure:
        named = of_sqlite(failure)
        if named is None:
            raise
        raise named from failure
    except OSError as failure:
        named = of_system(failure)
        if named is None:
            raise
        raise named from failure
