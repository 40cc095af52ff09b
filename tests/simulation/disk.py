"""What a dying process and a dying disk leave behind: real SQLite files, put back as they were at one instant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from agent.store.store import Store

TORN_MAX_BYTES = 6_000
"""More than one page of a write-ahead log frame, so that a torn tail may end inside a frame or behind one."""


def kill(store: Store, path: Path, before: Callable[[], None]) -> None:
    """The process is gone: what was written stays, what was in memory does not. ``before`` closes the readers."""
    wal = path.with_name(path.name + "-wal")
    image = {file: file.read_bytes() for file in (path, wal) if file.exists()}
    before()
    store.roll_back()
    store.close()
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    wal.unlink(missing_ok=True)
    for file, content in image.items():
        file.write_bytes(content)


def tear(path: Path, rng: Random) -> None:
    """A power cut in the middle of the next write: bytes nobody synchronised stand behind the last commit."""
    wal = path.with_name(path.name + "-wal")
    if wal.exists():
        with wal.open("ab") as file:
            file.write(rng.randbytes(rng.randrange(1, TORN_MAX_BYTES)))


def fill(store: Store) -> None:
    """The disk is full: SQLite itself refuses every page more than there is now."""
    below = store._connection.connection.dbapi_connection
    assert below is not None
    pages = below.execute("PRAGMA page_count").fetchone()[0]
    below.execute(f"PRAGMA max_page_count={pages}").fetchone()
