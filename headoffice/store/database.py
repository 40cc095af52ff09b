"""Opens the database of head office: migrations, one writer, read-only readers, work tried again. ``store`` queries.

Knows what a transaction is; what SQLite and PostgreSQL promise is in ``sqlite`` and ``postgresql``. Knows no table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.util import LRUCache

from headoffice.errors import DatabaseAway, DatabaseProblem, HeadOfficeError
from headoffice.store import postgresql, sqlite

SCHEMA_VERSION = "0018"
"""The newest migration. Written down here so that reading commands need not load the migration tool."""

Transaction = Connection
"""An open transaction, as the rest of head office hands it around."""

COMPILED: LRUCache[Any, Any] = LRUCache(500)
"""Compiled statements by their shape: one for the process, for its reader and its writer."""

TRIES = 8
"""How often work meets another session that was faster before it is an error: each time the other one got on."""

REFUSALS = (DBAPIError, DatabaseProblem)
"""What ``transact`` raises where the database does not take the work: the world's fault, or one of ours."""

T = TypeVar("T")


class Database:
    """One database of head office. ``write()`` and ``read()`` give a connection inside a transaction.

    ``location`` is a file path (SQLite) or a URL: ``postgresql://USER@HOST/NAME``. ``migrate`` creates and upgrades the
    tables, with ``create`` False it only upgrades them; without it they must exist as they are. Raises DatabaseProblem
    where the database is missing, newer than this software or keeps no promises, DatabaseAway where its server cannot
    be reached.
    """

    def __init__(self, location: str | Path, *, migrate: bool = False, create: bool = True) -> None:
        self._url = _url(location)
        self.name = shown(location)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        if self._is_sqlite and not (migrate and create) and not Path(self._url.database or "").exists():
            raise DatabaseProblem(
                f"there is no head-office database at {self._url.database}",
                hint="start `forecourt-hq serve` or `forecourt-hq members import` once, or give --database or --state",
            )
        self._kind = sqlite if self._is_sqlite else postgresql
        self._months: set[int] = set()
        self._writer, self._reader = (
            self._kind.open_engine(self._url, read_only=read_only).execution_options(compiled_cache=COMPILED)
            for read_only in (False, True)
        )
        try:
            self._open(migrate=migrate, create=create)
        except HeadOfficeError:
            self.close()
            raise

    def _open(self, *, migrate: bool, create: bool) -> None:
        try:
            with self._writer.connect() as connection:
                if migrate:
                    self._migrate(connection, create=create)
                _refuse_other_version(connection)
        except DBAPIError as error:
            raise self._meaning(error) or DatabaseProblem(
                f"cannot open the database {self.name}: {error.orig}",
                hint="check the path, the free space and that it is a head-office database",
            ) from error

    @property
    def url(self) -> URL:
        """Where it is; for the sessions by which several workers share it."""
        return self._url

    @property
    def is_shared(self) -> bool:
        """Whether several workers, on several machines, may serve it at once: not a SQLite file."""
        return not self._is_sqlite

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a connection in a transaction that may write; commit at the end, roll back on any error.

        SQLite holds the write lock from the start; PostgreSQL reads what is committed at each statement. Raises
        DatabaseProblem where the disk or another writer refuses, DatabaseAway where the server went; nothing of the
        transaction is stored then (or all of it, where the answer to the commit was lost).
        """
        try:
            with self._writer.begin() as connection:
                yield connection
        except DBAPIError as error:
            refused = self._refused(error)
            if refused is None:
                raise
            raise refused from error

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in a transaction of ``write()`` and return what it returns once that is committed.

        Where another session was faster, or the connection was lost, all of it is done again: ``work`` must decide by
        what it reads there. Raises what ``write()`` raises, when ``TRIES`` are used up or the server stays away.
        """
        lost = 0
        for attempt in range(1, TRIES + 1):
            try:
                with self._writer.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                refused = self._refused(error)
                if isinstance(refused, DatabaseAway):
                    lost += 1  # a pooled connection may be older than the server's last start; a new one is not
                    again = lost == 1
                else:
                    again = not self._is_sqlite and postgresql.is_transient(error)
                if not again or attempt == TRIES:
                    if refused is None:
                        raise
                    raise refused from error
        raise AssertionError("the last try returns or raises")

    def make_room(self, at_ms: int) -> None:
        """See to it that what is received at ``at_ms`` has a place, and in the next month; cheap when asked again.

        Raises what ``write()`` raises.
        """
        month = postgresql.month_of(at_ms)[0]
        if month not in self._months:
            self.transact(lambda connection: self._kind.make_month(connection, at_ms))
            self._months.add(month)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a read-only connection that sees one state of the database."""
        try:
            with self._reader.begin() as connection:
                yield connection
        except DBAPIError as error:
            meaning = self._meaning(error)
            if meaning is None:
                raise
            raise meaning from error

    def close(self) -> None:
        """Close all connections."""
        self._writer.dispose()
        self._reader.dispose()

    def _meaning(self, error: DBAPIError) -> HeadOfficeError | None:
        return None if self._is_sqlite else postgresql.explain(error, self.name)

    def _refused(self, error: DBAPIError) -> HeadOfficeError | None:
        """What a failed write means where the world is at fault."""
        if isinstance(error, OperationalError) and self._is_sqlite:
            return DatabaseProblem(
                f"the database refuses to write: {error.orig}",
                hint="check free space and permissions, and that no other program holds the database",
            )
        return self._meaning(error)

    def _migrate(self, connection: Connection, *, create: bool) -> None:
        """Bring the tables up to date, all steps in one transaction; a database of newer software is left alone."""
        with connection.begin():
            if _version(connection) == SCHEMA_VERSION:  # most starts: then the migration tool would be loaded in vain
                return
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(files("headoffice.store") / "migrations"))
        config.attributes["connection"] = connection
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        with connection.begin():
            if not self._is_sqlite:
                postgresql.lock_schema(connection)
            if _version(connection) in ({None, *known} if create else known):
                command.upgrade(config, "head")


def shown(location: str | Path) -> str:
    """A location as it may be printed: without password and options."""
    url = _url(location)
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    bare = URL.create("postgresql", username=url.username, host=url.host, port=url.port, database=url.database)
    return bare.render_as_string()


def _url(location: str | Path) -> URL:
    text = str(location)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    if text.split("://", 1)[0] in (*postgresql.SCHEMES, "sqlite"):
        try:
            url = make_url(text)
            return url if url.drivername == "sqlite" else url.set(drivername=postgresql.DRIVER)
        except (ArgumentError, ValueError):
            pass
    raise DatabaseProblem(
        "--database is neither a file nor a URL that is understood",
        hint="write /path/to/database.sqlite or postgresql://USER@HOST:PORT/NAME",
    )


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
