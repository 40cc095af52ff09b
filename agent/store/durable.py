"""Files that are whole or not there: written under a temporary name, synced, renamed, the folder synced.

Knows files, nothing of what is in them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
PARTIAL = ".partial"


def sync_folder(folder: Path) -> None:
    """Make names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, like: Path) -> None:
    """Make a private folder that belongs to whom ``like`` belongs to; one that is there stays as it is."""
    if not folder.is_dir():
        folder.mkdir(parents=True, mode=PRIVATE_FOLDER)
        give(folder, like)
        sync_folder(folder.parent)


def give(path: Path, like: Path) -> None:
    """As root, let ``path`` belong to whom ``like`` belongs to: a command of root must not lock the agent out."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def partial(final: Path) -> Path:
    """Return the temporary name of ``final``."""
    return final.with_name(f".{final.name}{PARTIAL}")


@contextmanager
def writing(path: Path, like: Path) -> Iterator[BinaryIO]:
    """A new private file at ``path`` that is synced when the block ends, and removed when it cannot be completed."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
    with os.fdopen(descriptor, "w+b") as file:
        give(path, like)
        yield file
        file.flush()
        os.fsync(descriptor)


def put(path: Path, content: bytes, like: Path) -> None:
    """Write a small file durably. Raises OSError; then ``path`` is as it was."""
    fresh = partial(path)
    try:
        with writing(fresh, like) as file:
            file.write(content)
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    sync_folder(path.parent)
