"""SQLite as head office wants it: what every connection must promise, and when the lock is taken. Knows no table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
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
