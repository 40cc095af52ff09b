"""Delivered records leave the journal after their term; their hashes stay, so the chain can still be compared (W-22).

Works inside the caller's transaction. What is kept for how long is settings, when to look is ``pipeline.retention``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection

from agent.store.retention import COUNTED

PRUNED_UNTIL = "pruned_until_ms"
"""Fact about a database: the newest time of a record of L that was deleted; nothing older need be in the journal."""

_NOTE = """
INSERT OR REPLACE INTO delivered_to (at_ms, generation, stream, seq)
SELECT ?, (SELECT max(generation) FROM incarnation), stream, acked FROM stream_head
"""
_FORGET_NOTES = """
DELETE FROM delivered_to WHERE at_ms < (SELECT max(at_ms) FROM delivered_to WHERE at_ms < ?)
"""
_BOUNDS = """
SELECT i.generation, h.stream, CASE WHEN i.ended IS NULL
    THEN coalesce((SELECT max(d.seq) FROM delivered_to d
                   WHERE d.generation = i.generation AND d.stream = h.stream AND d.at_ms < :before), 0)
    ELSE json_extract(i.ended, '$.' || h.stream || '.seq') END AS bound, i.ended IS NULL AS runs, h.seq AS head
FROM incarnation i CROSS JOIN stream_head h
WHERE i.generation > 0
  AND (i.ended IS NULL OR (SELECT n.begun_ms FROM incarnation n WHERE n.generation = i.generation + 1) < :before)
ORDER BY i.generation, h.stream
"""
"""How far each chain may go. Of an ended one everything that was delivered, and telemetry, which nobody sends again."""

_DUE = """
SELECT seq, time_ms FROM journal WHERE generation = :generation AND stream = :stream AND seq <= :bound
  AND time_ms < :open_ms AND (delivered = 1 OR (:stream = 'T' AND NOT :runs)) ORDER BY seq LIMIT :n
"""
_KEEP_HASHES = """
INSERT INTO journal_hash (generation, stream, seq, hash)
SELECT generation, stream, seq, hash FROM journal WHERE generation = ? AND stream = ? AND seq BETWEEN ? AND ?
"""
_DELETE = "DELETE FROM journal WHERE generation = ? AND stream = ? AND seq BETWEEN ? AND ?"
_OPEN_SHIFT = "SELECT coalesce(min(from_ms), 9223372036854775807) FROM shift WHERE closed_ms IS NULL"
_PRUNED_UNTIL = """
INSERT INTO meta (key, value) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET value = max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER))
"""


class PruningTable:
    """``told``: how far head office says that it has each stream of the running incarnation; empty while nobody knows.

    Without that nothing is deleted: head office may have been restored from a backup and need what it once had (W-34).
    """

    def __init__(self, connection: Connection, told: Mapping[str, int]) -> None:
        self._connection = connection
        self._told = told

    def _run(self, statement: str, *values: Any) -> Any:
        return self._connection.exec_driver_sql(statement, tuple(values))

    def note(self, wall_ms: int) -> None:
        """Note how far head office has every stream tonight: the term of a record counts from its delivery."""
        self._run(_NOTE, wall_ms)

    def due(self, before_ms: int) -> int:
        """Return how many records were delivered before an instant, up to ``COUNTED``."""
        found = 0
        for _, _, seqs in self._due(before_ms, COUNTED):
            found += len(seqs)
        return min(found, COUNTED)

    def drop(self, before_ms: int, at_most: int) -> int:
        """Delete the oldest records that were delivered before an instant and keep their hashes; return how many."""
        dropped = 0
        for generation, stream, found in self._due(before_ms, at_most):
            rows = found[: at_most - dropped]
            if not rows:
                continue
            place = (generation, stream, rows[0][0], rows[-1][0])
            self._run(_KEEP_HASHES, *place)
            self._run(_DELETE, *place)
            if stream == "L":
                self._run(_PRUNED_UNTIL, PRUNED_UNTIL, str(max(time_ms for _, time_ms in rows)))
            dropped += len(rows)
        if dropped < at_most:
            self._run(_FORGET_NOTES, before_ms)
        return dropped

    def _due(self, before_ms: int, at_most: int) -> Iterator[tuple[int, str, list[tuple[int, int]]]]:
        """Yield generation, stream and (seq, time) of what is due, in order and without a gap in each chain."""
        if not self._told:
            return
        open_ms = int(self._run(_OPEN_SHIFT).scalar_one())
        bounds = self._connection.exec_driver_sql(_BOUNDS, {"before": before_ms}).all()
        for generation, stream, bound, runs, head in bounds:
            # the newest record of a running chain stays: it says how late it is
            last = min(bound, self._told.get(stream, 0), head - 1) if runs else bound
            values = {"generation": generation, "stream": stream, "bound": last, "runs": runs, "n": at_most}
            rows = self._connection.exec_driver_sql(_DUE, {**values, "open_ms": open_ms}).all()
            yield generation, stream, [(int(seq), int(time_ms)) for seq, time_ms in rows]
