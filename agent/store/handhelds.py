"""Paired handhelds and what their scans were answered, inside the caller's transaction. Knows no key and no text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from agent.store.handheld_tables import HANDHELD, HANDHELD_ANSWER
from agent.store.prepared import Found, Prepared, raw
from agent.store.retention import counted

KEPT_MS = 24 * 3_600_000
"""How long an answer is kept for a device that asks again: bad Wi-Fi lasts minutes, and an answer shows a mask."""

SLICE = 20
"""Old answers that go with each new one: more than come, and never so many that a scan would wait."""

_ALL = Prepared(select(HANDHELD).order_by(HANDHELD.c.id))
_ONE = Prepared(select(HANDHELD).where(HANDHELD.c.id == bindparam("of_id")))
_SEEN = Prepared(
    update(HANDHELD)
    .where(HANDHELD.c.id == bindparam("of_id"))
    .values(count=bindparam("new_count"), seen_ms=bindparam("new_seen_ms"))
)
_ANSWER = Prepared(
    select(HANDHELD_ANSWER.c.digest, HANDHELD_ANSWER.c.answer).where(
        (HANDHELD_ANSWER.c.handheld == bindparam("of_handheld")) & (HANDHELD_ANSWER.c.scan_id == bindparam("of_scan"))
    )
)
_KEEP = Prepared(insert(HANDHELD_ANSWER))
_FORGET = Prepared(
    text(
        "DELETE FROM handheld_answer WHERE (handheld, scan_id) IN (SELECT handheld, scan_id FROM handheld_answer"
        " WHERE at_ms < :before_ms ORDER BY at_ms LIMIT :at_most)"
    )
)


class HandheldTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def all(self) -> list[Found]:
        """Return every paired device."""
        return _ALL.all(self._raw, {})

    def one(self, handheld: str) -> Found | None:
        """Return a paired device, ``None`` where it is not."""
        return _ONE.first(self._raw, {"of_id": handheld})

    def pair(self, values: Mapping[str, Any]) -> None:
        """Pair a device; what was paired under its id before is not any more."""
        self.unpair(str(values["id"]))
        self._connection.execute(insert(HANDHELD), {**values, "count": 0, "seen_ms": None})

    def unpair(self, handheld: str) -> bool:
        """Forget a device and its answers; returns whether it was paired."""
        self._connection.execute(delete(HANDHELD_ANSWER).where(HANDHELD_ANSWER.c.handheld == handheld))
        return self._connection.execute(delete(HANDHELD).where(HANDHELD.c.id == handheld)).rowcount > 0

    def saw(self, handheld: str, *, count: int, at_ms: int) -> None:
        """Note the count of a device's newest request and when it came."""
        _SEEN.run(self._raw, {"of_id": handheld, "new_count": count, "new_seen_ms": at_ms})

    def answer(self, handheld: str, scan_id: str) -> Found | None:
        """Return digest and answer of a scan that was answered before."""
        return _ANSWER.first(self._raw, {"of_handheld": handheld, "of_scan": scan_id})

    def keep(self, row: Mapping[str, Any]) -> None:
        """Keep an answer, and forget those that nobody asks for any more."""
        self.drop(row["at_ms"] - KEPT_MS, SLICE)
        _KEEP.run(self._raw, row)

    def due(self, before_ms: int) -> int:
        """Return how many answers are older than an instant, up to ``COUNTED``."""
        return counted(self._connection, select(HANDHELD_ANSWER.c.at_ms).where(HANDHELD_ANSWER.c.at_ms < before_ms))

    def drop(self, before_ms: int, at_most: int) -> int:
        """Delete the oldest answers that are older than an instant; returns how many."""
        return _FORGET.run(self._raw, {"before_ms": before_ms, "at_most": at_most}).rowcount
