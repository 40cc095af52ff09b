"""Alerts as people see them: one row from raised to over and acknowledged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from agent.store.tables import ALERT

OPEN_STATES = ("ACTIVE", "ACTIVE_ACKED", "CLEARED")
"""An alert leaves the screen only when it is both over and acknowledged (state NORMAL)."""


class AlertTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open_row(self, subject: str, name: str) -> RowMapping | None:
        """Return the row of an alert that is still on the screen."""
        here = (ALERT.c.subject == subject) & (ALERT.c.name == name)
        statement = select(ALERT).where(here & ALERT.c.state.in_(OPEN_STATES)).order_by(ALERT.c.id.desc())
        return self._connection.execute(statement).mappings().first()

    def by_id(self, alert: int) -> RowMapping | None:
        """Return one alert."""
        return self._connection.execute(select(ALERT).where(ALERT.c.id == alert)).mappings().first()

    def add(self, values: Mapping[str, Any]) -> None:
        """Insert a raised alert."""
        self._connection.execute(insert(ALERT), dict(values))

    def change(self, alert: int, values: Mapping[str, Any]) -> None:
        """Change state and times of an alert."""
        self._connection.execute(update(ALERT).where(ALERT.c.id == alert).values(**values))
