"""Alerts as people see them: one row from raised to over and acknowledged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlmodel import col

from agent.store.tables import AlertRow

OPEN_STATES = ("ACTIVE", "ACTIVE_ACKED", "CLEARED")
"""An alert leaves the screen only when it is both over and acknowledged (state NORMAL)."""


class AlertTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open_row(self, subject: str, name: str) -> RowMapping | None:
        """Return the row of an alert that is still on the screen."""
        here = (col(AlertRow.subject) == subject) & (col(AlertRow.name) == name)
        statement = (
            select(AlertRow.__table__)  # type: ignore[attr-defined]
            .where(here & col(AlertRow.state).in_(OPEN_STATES))
            .order_by(col(AlertRow.id).desc())
        )
        return self._connection.execute(statement).mappings().first()

    def by_id(self, alert: int) -> RowMapping | None:
        """Return one alert."""
        return self._connection.execute(select(AlertRow.__table__).where(col(AlertRow.id) == alert)).mappings().first()  # type: ignore[attr-defined]

    def add(self, values: Mapping[str, Any]) -> None:
        """Insert a raised alert."""
        self._connection.execute(insert(AlertRow), dict(values))

    def change(self, alert: int, values: Mapping[str, Any]) -> None:
        """Change state and times of an alert."""
        self._connection.execute(update(AlertRow).where(col(AlertRow.id) == alert).values(**values))
