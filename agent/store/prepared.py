"""Statements of the hot path: compiled once from the tables, then sent as text and values over the same connection.

SQLAlchemy's own execution costs several times what SQLite needs for one row. Errors are SQLAlchemy's all the same, so
that one kind of exception leaves the store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from operator import itemgetter
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection, Insert, Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from agent.store.failures import disk_named, of_sqlite

Found: TypeAlias = dict[str, Any]
"""A row by column name."""

_DIALECT = sqlite.dialect(paramstyle="qmark")


class Prepared:
    """One statement of which every bound parameter is a column's or parameter's name; constants are kept."""

    def __init__(self, statement: Any, *, without: Sequence[str] = ()) -> None:
        """``without``: columns that an insert leaves to the database, such as a rowid."""
        columns = None
        if isinstance(statement, Insert):
            columns = [column.key for column in statement.table.c if column.key not in without]
        compiled = statement.compile(dialect=_DIALECT, column_keys=columns)
        self.text = str(compiled)
        order = tuple(compiled.positiontup or ())
        given = {name: compiled.params[name] for name in order if not compiled.binds[name].required}
        self._constants = {name: value for name, value in given.items() if value is not None}
        self._in_order: Callable[[Mapping[str, Any]], Sequence[Any]] = (
            itemgetter(*order) if len(order) > 1 else lambda values: [values[name] for name in order]
        )
        self._names = (
            tuple(str(column.key) for column in statement.selected_columns) if isinstance(statement, Select) else ()
        )

    def ordered(self, values: Mapping[str, Any]) -> Sequence[Any]:
        """Return the values as the text wants them."""
        return self._in_order({**self._constants, **values} if self._constants else values)

    def run(self, connection: sqlite3.Connection, values: Mapping[str, Any]) -> sqlite3.Cursor:
        """Send it. Raises StorageFailed for what the disk did, else SQLAlchemy's errors, as every statement here."""
        ordered = self.ordered(values)
        try:
            return connection.execute(self.text, ordered)
        except sqlite3.Error as failure:
            named = of_sqlite(failure)
            if named is not None:
                raise named from failure
            raise DBAPIError.instance(self.text, ordered, failure, sqlite3.Error, hide_parameters=True) from failure

    def all(self, connection: sqlite3.Connection, values: Mapping[str, Any]) -> list[Found]:
        """Send a select and return its rows by column name."""
        with disk_named(), closing(self.run(connection, values)) as rows:
            return [dict(zip(self._names, row, strict=True)) for row in rows]

    def first(self, connection: sqlite3.Connection, values: Mapping[str, Any]) -> Found | None:
        """Send a select and return its first row by column name."""
        with closing(self.run(connection, values)) as rows:
            row = rows.fetchone()
        return None if row is None else dict(zip(self._names, row, strict=True))


def raw(connection: Connection) -> sqlite3.Connection:
    """Return the sqlite3 connection below SQLAlchemy's, in the same transaction."""
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)
