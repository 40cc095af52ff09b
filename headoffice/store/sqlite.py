"""SQLite as head office wants it: what every connection must promise, when the lock is taken, many rows at once.

What its sibling ``postgresql`` does the same way has the same name. Knows no table by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, create_engine, event, func, select
from sqlalchemy.engine import URL

from headoffice.errors import DatabaseProblem

BUSY_TIMEOUT_MS = 10_000
"""A second command may hold the write lock while it imports; longer than any of our transactions."""

WANTED_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
"""WAL with FULL loses nothing that was acknowledged; NORMAL does. Read back on every connection."""


def open_engine(url: URL, *, read_only: bool) -> Engine:
    """Make the engine of a file; its transactions begin with the write lock, or see one state of the file."""
    path = Path(url.database or "").absolute()
    mode = "ro" if read_only else "rwc"
    engine = create_engine(
        f"sqlite:///file:{path}?mode={mode}&uri=true",
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
        hide_parameters=True,
    )
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    def on_connect(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # SQLAlchemy says BEGIN itself, so that the lock is taken at the start
        _set_pragmas(raw, read_only=read_only)

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


def new_numbers(connection: Connection, column: Column[int], _wanted: int) -> Iterator[int]:
    """Give numbers for new rows; the transaction holds the write lock, so nobody else takes them."""
    newest = connection.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
    return count(newest + 1)


def numbers_by_key(
    connection: Connection, key: Column[str], number: Column[int], wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Return the numbers of those rows whose (station, ``key``) is among many, by these two, in one statement."""
    stations, keys = (json.dumps(list(dict.fromkeys(some))) for some in zip(*wanted, strict=True))
    rows = connection.exec_driver_sql(_by_key(key, number), (stations, keys))
    return {(row[0], row[1]): row[2] for row in rows}


def insert_rows(connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert many rows of one table; ``names``: the columns their values stand for, in order."""
    connection.exec_driver_sql(_insert(table, names), list(rows))


def make_month(_connection: Connection, _at_ms: int) -> None:
    """One file holds every month."""


@cache
def _by_key(key: Column[str], number: Column[int]) -> str:
    return (
        f'SELECT station, "{key.name}", "{number.name}" FROM "{key.table.name}" '  # noqa: S608  # names of our own tables
        f'WHERE station IN (SELECT value FROM json_each(?)) AND "{key.name}" IN (SELECT value FROM json_each(?))'
    )


@cache
def _insert(table: Table, names: tuple[str, ...]) -> str:
    columns, places = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
    return f'INSERT INTO "{table.name}" ({columns}) VALUES ({places})'  # noqa: S608  # names of our own tables


def _set_pragmas(raw: Any, *, read_only: bool) -> None:
    cursor = raw.cursor()
    for name, wanted in WANTED_PRAGMAS.items():
        if not (read_only and name == "journal_mode"):
            cursor.execute(f"PRAGMA {name}={wanted}")
        got = cursor.execute(f"PRAGMA {name}").fetchone()[0]
        if got != wanted:
            raise DatabaseProblem(
                f"the database answers {name}={got}, {wanted} is needed so that nothing acknowledged is lost",
                hint="put the database on a local disk, not on a network share",
            )
    cursor.close()
