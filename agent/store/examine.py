"""Looked at before the database is opened: is it there, is it one, is its log on disk. Never silently empty.

Plain sqlite3, no schema. A damaged database is put aside, never deleted; what to do then is a person's decision.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from agent.store.failures import disk_named
from agent.store.lock import StoreError

THOROUGH_BYTES = 64 * 1024 * 1024
"""Up to this size every page is looked at after an unclean end: a third of a second. Larger ones are left to the
verification in the background."""

CHUNK_BYTES = 1024 * 1024
WHAT_TO_DO = "bring back a backup with: forecourt restore; or begin with an empty database: forecourt restore --empty"


class DatabaseMissing(StoreError):
    """There was a database, there is none now. A new one is never made in its place by itself."""


class DatabaseDamaged(StoreError):
    """The file is no database, or its pages contradict each other. It was put aside."""


def examine(database: Path, mark: Path, *, unclean: bool, wall_ms: int) -> bool:
    """Refuse a database that is missing or damaged; returns whether every page may be trusted without a closer look.

    ``unclean``: the last agent did not end in order, so its log is made durable anew and every page is looked at.
    Raises DatabaseMissing, DatabaseDamaged (after putting it aside) and StorageFailed.
    """
    log = _beside(database, "-wal")
    if _size(database) == 0:
        _refuse_if_known(database, mark, log)
        return True
    is_suspect = unclean or _size(log) > 0
    with disk_named():
        if is_suspect:
            settle(log)
        problem = _problem(database, every_page=is_suspect and _size(database) <= THOROUGH_BYTES)
        if problem is not None:
            folder = quarantine(database, wall_ms)
            raise DatabaseDamaged(f"{database} is damaged ({problem}); it was put aside in {folder}", hint=WHAT_TO_DO)
    return not is_suspect


def _refuse_if_known(database: Path, mark: Path, log: Path) -> None:
    """Raise DatabaseMissing where something remembers a database of this name."""
    aside = sorted(database.parent.glob(f"{database.name}.damaged-*"))
    if aside:
        reason = f"a damaged one was put aside in {aside[-1]}"
    elif _size(log) > 0:
        reason = f"its log {log.name} is still there"
    elif mark.exists():
        reason = f"{mark} remembers one"
    else:
        return
    raise DatabaseMissing(f"there is no database at {database}, although {reason}", hint=WHAT_TO_DO)


def settle(log: Path) -> None:
    """Write the log's own bytes over it and wait for the disk. Raises OSError.

    When fsync has failed, the system may hold pages for clean that never reached the disk; they would be read as
    committed now and be gone after the next power cut. Written again, they are on disk or this start fails.
    """
    try:
        descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        place = 0
        while chunk := os.pread(descriptor, CHUNK_BYTES, place):
            place += os.pwrite(descriptor, chunk, place)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _problem(database: Path, *, every_page: bool) -> str | None:
    """Return what is wrong with the file, ``None`` for nothing. Raises sqlite3.Error for what is not its fault."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as db:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0] if every_page else "ok"
    except sqlite3.DatabaseError as failure:
        if getattr(failure, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        return str(failure)
    return None if found == "ok" else " ".join(str(found).split())


def quarantine(database: Path, wall_ms: int) -> Path:
    """Move the database, its log and index into a folder of their own and return it. Raises OSError.

    The database goes first: alone it would be an older state that looks whole, its log alone is noticed.
    """
    when = datetime.fromtimestamp(wall_ms // 1000, UTC)
    folder = _beside(database, f".damaged-{when:%Y%m%dT%H%M%SZ}")
    folder.mkdir(exist_ok=True)
    for file in (database, _beside(database, "-wal"), _beside(database, "-shm")):
        if file.exists():
            file.rename(folder / file.name)
    descriptor = os.open(database.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return folder


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(database.name + suffix)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
