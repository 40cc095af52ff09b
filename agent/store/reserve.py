"""Room kept free for the database: a file beside it, really allocated, that is given up when the disk runs full.

Knows the file system's free space. Knows no database and raises no alert: it says how the disk is.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

USUAL_BYTES = 64 * 1024 * 1024
"""The measure of every threshold where no reserve is kept."""


class Level(StrEnum):
    """LOW: a warning, nothing changes. FULL: the reserve is given up and only what must be written is written."""

    NORMAL = "normal"
    LOW = "low"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Disk:
    """How the disk is: its level, what is free in bytes, whether the reserve is there."""

    level: Level
    free_bytes: int
    reserved: bool


def judged(before: Level, free_bytes: int, measure_bytes: int) -> Level:
    """Return the level for what is free. It is left later than it is entered, so that it does not flutter."""
    if free_bytes < measure_bytes // 4 or (before is Level.FULL and free_bytes < 2 * measure_bytes):
        return Level.FULL
    if free_bytes < 4 * measure_bytes or (before is not Level.NORMAL and free_bytes < 5 * measure_bytes):
        return Level.LOW
    return Level.NORMAL


class Reserve:
    """``look`` once a second and before the database is opened; ``give`` when a write has failed for want of room."""

    def __init__(self, database: Path, size_bytes: int) -> None:
        self._path = database.with_name(database.name + ".reserve")
        self._size = size_bytes
        self._measure = size_bytes or USUAL_BYTES
        self._level = Level.NORMAL

    def look(self) -> Disk:
        """Give the reserve up or take it again as the free space asks, and return how the disk is. Raises OSError."""
        # a reserve that is not there was given up, or never taken: the disk is full until there is room for it
        before = self._level if self._held() else Level.FULL
        self._level = judged(before, self._free(), self._measure)
        if self._level is Level.FULL or (not self._held() and not self._take()):
            self.give()
        return Disk(self._level, self._free(), self._held())

    def give(self) -> None:
        """Give the reserve up: its room is the database's now."""
        self._level = Level.FULL
        with suppress(FileNotFoundError):
            # some file systems need room to remove a file, none needs any to cut it
            os.truncate(self._path, 0)
            self._path.unlink()

    def _free(self) -> int:
        found = os.statvfs(self._path.parent)
        return found.f_bavail * found.f_frsize

    def _held(self) -> bool:
        if not self._size:
            return True
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        return found.st_size == self._size and found.st_blocks * 512 >= self._size

    def _take(self) -> bool:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
        except OSError as failure:
            if failure.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            self.give()
            return False
        finally:
            os.close(descriptor)
        return True
