"""A small ext4 disk on a loop device whose power can be cut for real, as root: the kernel drops what was not synced.

Knows mount and one ioctl. Leaves neither mount nor loop device behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from enum import IntEnum
from pathlib import Path
from typing import Self

SIZE_BYTES = 64 << 20
SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)."""

TOOLS = ("mkfs.ext4", "mount", "umount", "unshare")
FREE_WITHIN_S = 20.0
_MEMORY = Path("/dev/shm")


ALONE = "POWER_CUT_MOUNTS_ALONE"


def in_memory() -> Path | None:
    """Return a folder whose files never wait for a disk, ``None`` where there is none."""
    return _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None


def mount_alone() -> None:
    """Start this program again with mounts of its own: even a killed one leaves none behind. Raises NoLoopDisk."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        what = f"{', '.join(missing)} not found" if missing else "only root may mount a disk"
        raise NoLoopDisk(what, hint="run as root with e2fsprogs, util-linux and mount installed, outside a container")
    if ALONE not in os.environ:
        os.environ[ALONE] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, *sys.argv])


class Cut(IntEnum):
    """How the file system goes down: nothing more is written; its own journal still is; everything still is."""

    AT_ONCE = 2
    JOURNAL_WRITTEN = 1
    ALL_WRITTEN = 0


class NoLoopDisk(Exception):
    """No such disk on this machine or for this user. ``hint``: what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class LoopDisk:
    """``folder`` is the mounted disk. ``cut`` takes its power, ``mount_again`` brings back what the disk has."""

    def __init__(self) -> None:
        self._own = Path(tempfile.mkdtemp(prefix="power-cut-", dir=in_memory()))
        self.folder = self._own / "disk"
        self.folder.mkdir()
        self._image = self._own / "image"

    def __enter__(self) -> Self:
        with self._image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        try:
            _run("mkfs.ext4", "-q", str(self._image))
            self._mount()
        except subprocess.CalledProcessError as failure:
            self.__exit__()
            raise NoLoopDisk(
                f"{failure.cmd[0]}: {failure.stderr.strip()}",
                hint="loop devices and ext4 must be there: not in a container",
            ) from failure
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder.is_mount():
            _run("umount", "--lazy", str(self.folder))  # whatever still has a file open there
        shutil.rmtree(self._own)

    def _mount(self) -> None:
        """The loop device is made with the mount and goes with it."""
        _run("mount", "-t", "ext4", "-o", "loop", str(self._image), str(self.folder))

    def cut(self, how: Cut) -> None:
        """The power is gone: from here on every access fails."""
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", how))
        finally:
            os.close(descriptor)

    def mount_again(self) -> None:
        """The power is back: the file system is mounted as the disk has it. Nobody may have a file open."""
        deadline = time.monotonic() + FREE_WITHIN_S
        while self.folder.is_mount():
            assert time.monotonic() < deadline, f"somebody still has a file open on {self.folder}"
            subprocess.run(["umount", str(self.folder)], check=False, capture_output=True)
        self._mount()

    def wipe(self) -> None:
        """Delete everything, and durably so: a deletion that was not synced is undone by the next cut."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
