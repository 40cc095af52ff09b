"""Disks that fail for real: a small file system of its own that can be filled or made read-only, and fsync that fails.

Mounts as root, else with sudo, as the packages of the suite are installed. Unmounts what it mounted.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MB = 1024 * 1024


class TinyDisk:
    """A mounted tmpfs below ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "somebody-else"

    @property
    def free_bytes(self) -> int:
        """What anybody may still write."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Somebody else writes until only this much is free."""
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            # the agent may write at the same time: what it takes is not ours to fill
            while (size := self.free_bytes - leave_bytes) > 0:
                with suppress(OSError):
                    os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, size)
        finally:
            os.close(descriptor)

    def empty(self) -> None:
        """Somebody else tidies up."""
        self._ballast.unlink()

    def read_only(self, *, on: bool) -> None:
        """Mount it read-only, or writable again; nobody may have a file open for writing."""
        _as_root("mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.path))


@contextmanager
def tiny_disk(path: Path, size_bytes: int) -> Iterator[TinyDisk]:
    """A file system of ``size_bytes`` at ``path``, gone afterwards."""
    path.mkdir()
    _as_root("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0777", "tmpfs", str(path))
    try:
        yield TinyDisk(path)
    finally:
        _as_root("umount", "--lazy", str(path))


class FailingFsync:
    """A library that makes fsync of every ``-wal`` fail with EIO while it is told to: ``$LD_PRELOAD``, ``$FSYNC_FAILS``."""

    def __init__(self, folder: Path) -> None:
        self._flag = folder / "fsync-fails"
        self.flag = str(self._flag)
        self.library = str(folder / "failing_fsync.so")
        source = Path(__file__).with_name("failing_fsync.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, str(source)], check=True)

    def fail(self, *, on: bool) -> None:
        """From now on."""
        if on:
            self._flag.touch()
        else:
            self._flag.unlink()


def _as_root(*command: str) -> None:
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*prefix, *command], check=True)
