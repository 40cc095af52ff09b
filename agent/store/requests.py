"""What this station asks head office and has no answer to yet, inside the transaction; it survives a restart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Connection, Integer, String, Table, bindparam, delete, insert, select

from agent.store.prepared import Found, Prepared, raw
from agent.store.tables import metadata

REQUEST = Table(
    "request",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("kind", String, nullable=False),
    Column("body", String, nullable=False),
    Column("about", String, nullable=False),
    Column("asked_ms", Integer, nullable=False),
)
"""A request that is open. ``body``: JSON as it travels; ``about``: the sale, member or campaign it is for."""

_ADD = Prepared(insert(REQUEST))
_ONE = Prepared(select(REQUEST).where(REQUEST.c.id == bindparam("of_id")))
_ALL = Prepared(select(REQUEST).order_by(REQUEST.c.asked_ms, REQUEST.c.id))
_END = Prepared(delete(REQUEST).where(REQUEST.c.id == bindparam("of_id")))


class RequestTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def add(self, values: Mapping[str, Any]) -> None:
        """Keep a request until it is answered."""
        _ADD.run(self._raw, dict(values))

    def one(self, req_id: str) -> Found | None:
        """Return an open request, ``None`` where it was answered or never asked."""
        return _ONE.first(self._raw, {"of_id": req_id})

    def all(self) -> list[Found]:
        """Return every open request, oldest first."""
        return _ALL.all(self._raw, {})

    def end(self, req_id: str) -> None:
        """A request is answered; a second answer finds nothing."""
        _END.run(self._raw, {"of_id": req_id})

    def end_all(self) -> None:
        """Another incarnation has begun: what was asked for the one before is nobody's any more."""
        self._connection.execute(delete(REQUEST))
