"""Opens the database of head office: pragmas, migrations, one writer, read-only readers. The rest of ``store`` queries.

Knows SQLite's promises and how to ask for them; anything portable is left to SQLAlchemy. Knows no table.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import sqlalchemy.exc
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.util import LRUCache

from headoffice.errors import DatabaseProblem

SCHEMA_VERSION = "0012"
"""The newest migration. Written down here so that reading commands need not load the migration tool."""

Transaction = Connection
"""An open transaction, as the rest of head office hands it around."""

BUSY_TIMEOUT_MS = 10_000
"""A second command may hold the write lock while it imports; longer than any of our transactions."""

COMPILED: LRUCache[Any, Any] = LRUCache(500)
"""Compiled statements by their shape: one for the process, for its reader and its writer."""

WANTED_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
"""WAL with FULL loses nothing that was acknowledged; NORMAL does. Read back on every connection."""


class Database:
    """One database of head office. ``write()`` and ``read()`` give a connection inside a transaction.

    ``location`` is a file path (SQLite) or a database URL. ``migrate`` creates and upgrades the tables; without it the
    file must exist. Raises DatabaseProblem where the file is missing, newer than this software or keeps no promises.
    """

    def __init__(self, location: str | Path, *, migrate: bool = False) -> None:
        self._url = _url(location)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        if self._is_sqlite and not migrate and not Path(self._url.database or "").exists():
            raise DatabaseProblem(
                f"there is no head-office database at {self._url.database}",
                hint="start `forecourt-hq serve` or `forecourt-hq members import` once, or give --database or --state",
            )
        self._writer = _engine(self._url, read_only=False)
        self._reader = _engine(self._url, read_only=True)
        try:
            with self._writer.connect() as connection:
                if migrate:
                    _migrate(connection)
                _refuse_other_version(connection)
        except sqlalchemy.exc.DBAPIError as error:
            self.close()
            raise DatabaseProblem(
                f"cannot open the database {location}: {error.orig}",
                hint="check the path, the free space and that the file is a head-office database",
            ) from error

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection in a transaction that holds the write lock; commit at the end, roll back on any error.

        Raises DatabaseProblem where the disk or another writer refuses; nothing of the transaction is stored then.
        """
        try:
            with self._writer.begin() as connection:
                yield connection
        except sqlalchemy.exc.OperationalError as error:
            raise DatabaseProblem(
                f"the database refuses to write: {error.orig}",
                hint="check free space and permissions, and that no other program holds the database",
            ) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a read-only connection that sees one state of the database."""
        with self._reader.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._writer.dispose()
        self._reader.dispose()


def _url(location: str | Path) -> URL:
    text = str(location)
    return make_url(text) if "://" in text else URL.create("sqlite", database=text)


def _engine(url: URL, *, read_only: bool) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True)
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
    return engine.execution_options(compiled_cache=COMPILED)


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


def _migrate(connection: Connection) -> None:
    """Bring the tables up to date, all steps in one transaction; a database of newer software is left alone."""
    with connection.begin():
        if _version(connection) == SCHEMA_VERSION:  # most starts: then the migration tool would be loaded for nothing
            return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(files("headoffice.store") / "migrations"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with connection.begin():
        if _version(connection) in {None, *known}:
            command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def _refuse_other_version(connection: Connection) -> None:
    with connection.begin():
        current = _version(connection)
    if current != SCHEMA_VERSION:
        raise DatabaseProblem(
            f"the database has schema {current or 'none'}, this software needs {SCHEMA_VERSION}",
            hint="run `forecourt-hq serve` of the version that owns this database, or upgrade the software",
        )
