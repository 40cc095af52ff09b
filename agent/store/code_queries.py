"""What a person at a desk needs of the database to check a member code: key set, replay table, newest time. Read-only.

Opens the file for each question and never writes, so that it may run beside the daemon.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path


class CodeQueries:
    """Questions to one database. Raises sqlite3.Error where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5)) as connection:
            connection.execute("PRAGMA query_only=1")
            yield connection

    def key_set(self) -> bytes | None:
        """Return the key set in force as its document; ``None`` where head office has sent none."""
        with self._open() as db:
            row = db.execute(
                "SELECT body FROM document WHERE kind = 'keys' AND activated_ms IS NOT NULL"
                " ORDER BY version DESC LIMIT 1"
            ).fetchone()
        return None if row is None else bytes(row[0])

    def is_spent(self, key: Sequence[str]) -> bool:
        """Return whether a one-time code was accepted here. ``key``: (kid, member, cti) as lower-case hex."""
        with self._open() as db:
            found = db.execute("SELECT 1 FROM spent_code WHERE kid = ? AND member = ? AND cti = ?", tuple(key))
            return found.fetchone() is not None

    def newest_ms(self) -> int:
        """Return the newest wall time that was written here: a clock behind it is wrong."""
        with self._open() as db:
            found = db.execute("SELECT MAX(time_ms) FROM journal").fetchone()[0]
        return int(found or 0)
