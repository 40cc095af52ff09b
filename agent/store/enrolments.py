"""Enrolments made here and look-ups by number, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select

from agent.store.enrolment_tables import ENROLMENT, LOOKUP
from agent.store.people_tables import SHIFT
from agent.store.retention import counted


class EnrolmentTable:
    """Who was enrolled here, and how often a person looked members up."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, values: Mapping[str, Any]) -> None:
        """Keep an enrolment; a second one of the same request raises IntegrityError, our bug."""
        self._connection.execute(insert(ENROLMENT), dict(values))

    def of_request(self, request: str) -> RowMapping | None:
        """Return the enrolment that a request made."""
        return self._connection.execute(select(ENROLMENT).where(ENROLMENT.c.request == request)).mappings().first()

    def looked_up(self, values: Mapping[str, Any]) -> None:
        """Note that a person looked a member up."""
        self._connection.execute(insert(LOOKUP), dict(values))

    def count_lookups(self, person: str, *, since_ms: int) -> int:
        """Return how many look-ups a person made after an instant."""
        here = (LOOKUP.c.person == person) & (LOOKUP.c.at_ms > since_ms)
        return int(self._connection.execute(select(func.count()).where(here)).scalar_one())

    def count_in_period(self, person: str, period: str) -> int:
        """Return how many look-ups of a person count for a shift or a day."""
        here = (LOOKUP.c.person == person) & (LOOKUP.c.period == period)
        return int(self._connection.execute(select(func.count()).where(here)).scalar_one())

    def open_shift(self) -> str | None:
        """Return the id of the shift that is open, ``None`` where none is."""
        return self._connection.execute(select(SHIFT.c.id).where(SHIFT.c.closed_ms.is_(None))).scalar()

    def due_lookups(self, before_ms: int) -> int:
        """Return how many look-ups are older, up to ``COUNTED``."""
        return counted(self._connection, select(LOOKUP.c.id).where(LOOKUP.c.at_ms < before_ms))

    def drop_lookups(self, before_ms: int, at_most: int) -> int:
        """Delete the oldest look-ups; the audit records of them are the journal's."""
        oldest = select(LOOKUP.c.id).where(LOOKUP.c.at_ms < before_ms).order_by(LOOKUP.c.at_ms).limit(at_most)
        return int(self._connection.execute(delete(LOOKUP).where(LOOKUP.c.id.in_(oldest))).rowcount)
