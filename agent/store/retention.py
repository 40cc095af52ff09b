"""What was kept long enough is deleted here, in slices of the caller's transaction; and when that was last done."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, delete, func, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert

from agent.store.code_tables import SPENT_CODE
from agent.store.enrolment_tables import ENROLMENT
from agent.store.retention_tables import RETENTION_RUN
from agent.store.tables import SCAN_EVENT

COUNTED = 10_000
"""Rows that are counted for a person; more are told as so many."""


def _told(before_ms: int) -> ColumnElement[bool]:
    return (ENROLMENT.c.at_ms < before_ms) & (ENROLMENT.c.mask != "****")


def counted(connection: Connection, rows: Select[Any]) -> int:
    """Return how many rows a question finds, up to ``COUNTED``."""
    return int(connection.execute(select(func.count()).select_from(rows.limit(COUNTED).subquery())).scalar_one())


class RetentionTable:
    """Reads and writes inside the caller's transaction. ``before``: Unix milliseconds; what is older is due."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def runs(self) -> dict[str, RowMapping]:
        """Return the last look through each kind of data, by its name."""
        return {row["name"]: row for row in self._connection.execute(select(RETENTION_RUN)).mappings()}

    def add(self, name: str, dropped: int) -> None:
        """Count rows of a look that is not through yet."""
        fresh = upsert(RETENTION_RUN).values(name=name, night=None, finished_ms=None, dropped=0, going=dropped)
        more = {"going": RETENTION_RUN.c.going + dropped}
        self._connection.execute(fresh.on_conflict_do_update(["name"], set_=more))

    def finish(self, name: str, night: str, wall_ms: int) -> int:
        """A look is through: nothing of this kind is too old any more. Returns how many rows it dropped in all."""
        self.add(name, 0)
        here = RETENTION_RUN.c.name == name
        going = int(self._connection.execute(select(RETENTION_RUN.c.going).where(here)).scalar_one())
        done = {"night": night, "finished_ms": wall_ms, "dropped": going, "going": 0}
        self._connection.execute(update(RETENTION_RUN).where(here).values(**done))
        return going

    def due_scans(self, before_ms: int) -> int:
        """Return how many scan events are older, up to ``COUNTED``."""
        older = select(SCAN_EVENT.c.id).where(SCAN_EVENT.c.at_ms < before_ms)
        return counted(self._connection, older)

    def drop_scans(self, before_ms: int, at_most: int) -> int:
        """Delete the oldest scan events."""
        oldest = select(SCAN_EVENT.c.id).where(SCAN_EVENT.c.at_ms < before_ms).order_by(SCAN_EVENT.c.at_ms)
        gone = delete(SCAN_EVENT).where(SCAN_EVENT.c.id.in_(oldest.limit(at_most)))
        return self._connection.execute(gone).rowcount

    def due_enrolments(self, before_ms: int) -> int:
        """Return how many enrolments still tell a mask, up to ``COUNTED``."""
        return counted(self._connection, select(ENROLMENT.c.member).where(_told(before_ms)))

    def blank_enrolments(self, before_ms: int, at_most: int) -> int:
        """Take mask and request out of old enrolments; who enrolled whom and when stays."""
        some = select(ENROLMENT.c.member).where(_told(before_ms)).limit(at_most)
        blank = update(ENROLMENT).where(ENROLMENT.c.member.in_(some)).values(mask="****", request=None)
        return self._connection.execute(blank).rowcount

    def due_codes(self, before_ms: int) -> int:
        """Return how many spent one-time codes ended earlier, up to ``COUNTED``."""
        return counted(self._connection, select(SPENT_CODE.c.scan).where(SPENT_CODE.c.expires_s < before_ms // 1000))

    def drop_codes(self, before_ms: int, at_most: int) -> int:
        """Delete spent one-time codes that ended earlier."""
        statement = text(
            "DELETE FROM spent_code WHERE (kid, member, cti) IN (SELECT kid, member, cti FROM spent_code"
            " WHERE expires_s < :before_s ORDER BY expires_s LIMIT :n)"
        )
        return self._connection.execute(statement, {"before_s": before_ms // 1000, "n": at_most}).rowcount
