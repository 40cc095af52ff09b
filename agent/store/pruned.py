"""How far the journal was pruned, for those who recompute: what is older need not be in it any more. Reads only."""

from __future__ import annotations

import sqlite3

from agent.ids import ulid_ms
from agent.store.pruning import PRUNED_UNTIL


class Pruned:
    """Everything that was written up to ``until_ms`` (Unix milliseconds) may have left the journal; -1: nothing has."""

    def __init__(self, db: sqlite3.Connection) -> None:
        row = db.execute("SELECT value FROM meta WHERE key = ?", (PRUNED_UNTIL,)).fetchone()
        self.until_ms = -1 if row is None else int(row["value"])

    def covers(self, written_ms: int | None) -> bool:
        """Whether a record of this instant may have been deleted."""
        return written_ms is not None and written_ms <= self.until_ms

    def covers_id(self, record: str) -> bool:
        """Whether the record with this id may have been deleted: a ULID begins with its time."""
        return self.until_ms >= 0 and self.covers(ulid_ms(record))
