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
"""Up to this size everything is looked at after an unclean end: about a second. Larger databases are left to the
verification in the background. (The quick check would not see an old backup under the log of a newer database.)"""

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
        try:
            tables = _tables(database, everything=is_suspect and _size(database) <= THOROUGH_BYTES)
        except _Damaged as problem:
            folder = quarantine(database, wall_ms)
            raise DatabaseDamaged(
                f"{database} is damaged ({problem}); it was put aside in {folder}", hint=WHAT_TO_DO
            ) from problem
    if tables == 0:
        # a new database lives in its log alone until the log is merged for the first time: without it, it looks new
        _refuse_if_known(database, mark, log)
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


class _Damaged(Exception):
    """What is wrong with the file."""


def _tables(database: Path, *, everything: bool) -> int:
    """Return how many tables there are. Raises _Damaged, and sqlite3.Error for what is not the file's fault."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as db:
            tables = int(db.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0])
            found = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0]) if everything else "ok"
    except sqlite3.DatabaseError as failure:
        if getattr(failure, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        raise _Damaged(str(failure)) from failure
    except UnicodeDecodeError as failure:  # SQLite quotes the damaged bytes in its own message
        raise _Damaged("its schema cannot be read") from failure
    if found != "ok":
        raise _Damaged(" ".join(found.split()))
    return tables


def quarantine(database: Path, wall_ms: int) -> Path:
    """Move the database, its log and index into a folder of their own and return it. Raises OSError.

    The database goes first: alone it would be an older state that looks whole, its log alone is noticed.
    """
    when = datetime.fromtimestamp(wall_ms // 1000, UTC)
    folder = _beside(database, f".damaged-{when:%Y%m%dT%H%M%SZ}")
    folder.mkdir(exist_ok=True)
    for file in (database, _beside(database, "-wal"), _beside(database, "-shm")):
        if file.exists():
            file.rename(folder.joinpath(file.name))
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
