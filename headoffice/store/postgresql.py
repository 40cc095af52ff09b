"""PostgreSQL as head office wants it: what the server must promise, what its errors mean, many rows at once, months.

What its sibling ``sqlite`` does the same way has the same name. Knows settings and SQLSTATEs; psycopg is loaded only
here, by the engine. Knows one table by name: the one that is parted by months.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError

from headoffice.errors import DatabaseAway, DatabaseProblem, HeadOfficeError

SCHEMES = ("postgresql", "postgresql+psycopg", "postgres")
DRIVER = "postgresql+psycopg"

CONNECT_ARGS: dict[str, Any] = {
    "connect_timeout": 10,
    "application_name": "forecourt-hq",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A server that vanished without a word is noticed within a minute."""

FROZEN_MS = 30_000
"""A transaction whose worker says nothing for so long is rolled back: it may have a station's row locked."""

NOTICE_A_DEAD_PEER = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}
"""What a session asks of the server, which so notices within about ten seconds that a machine is gone."""

OLDEST_VERSION = 13_00_00

TRANSIENT = ("40001", "40P01", "23505")
"""Serialization failure, deadlock, and two sessions that stored the same key at once: what the whole batch survives
when it is judged again, because then it sees what the other one stored."""

_GOING_AWAY = ("25P03", "57P01", "57P02", "57P03")
_REFUSALS = {
    "23505": ("another session was faster", "try again"),
    "25006": ("the server only reads", "it is a standby: give the address of the primary"),
    "28": ("the server does not let this user in", "check user and password in the URL, PGPASSWORD or ~/.pgpass"),
    "3D": ("there is no such database", "create it first: createdb -E UTF8 NAME"),
    "40": ("other sessions were faster every time", "try again"),
    "42501": ("this user may not do that", "let the user own the database: ALTER DATABASE ... OWNER TO ..."),
    "53": ("the server has no room left", "free space on its disk, or connections"),
    "57": ("the server broke the statement off", "look at its log"),
    "58": ("the server cannot reach its own files", "look at its log"),
}
_SAID_AT_THE_DOOR = (
    ("password authentication failed", "28"),
    ("no password supplied", "28"),
    ("pg_hba.conf", "28"),
    ("role ", "28"),
    ("does not exist", "3D"),
)
"""A refused connection has no SQLSTATE; these are the server's words in English, others get the general hint."""

_SCHEMA_LOCK = 0x666F_7265_636F_7572
"""Names the advisory lock of whoever makes tables, among those of other programs."""

PARTED = "record_bytes"
"""The table that is parted by months of receipt: the bytes of records are most of what grows for ever."""


def open_engine(url: URL, *, read_only: bool) -> Engine:
    """Make the engine of a database; readers see one state and cannot write. Raises DatabaseProblem without psycopg."""
    try:
        engine = create_engine(
            url.set(drivername=DRIVER),
            connect_args=CONNECT_ARGS,
            hide_parameters=True,
            isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
            execution_options={"postgresql_readonly": read_only},
            pool_size=2,
            pool_reset_on_return="rollback",
        )
    except ModuleNotFoundError as error:
        raise DatabaseProblem(
            "a PostgreSQL database needs the library psycopg, which is not installed",
            hint="pip install 'forecourt-edge-agent[postgresql]'",
        ) from error
    event.listen(engine, "connect", _check_promises)
    if not read_only:
        event.listen(engine, "connect", _end_if_frozen)
    return engine


def lock_schema(connection: Connection) -> None:
    """Wait until no other process makes tables in this database; held until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _SCHEMA_LOCK})


def new_numbers(connection: Connection, column: Column[int], wanted: int) -> Iterator[int]:
    """Give ``wanted`` numbers for new rows, which no other session gets; those that are not used stay unused."""
    sequence = f"{column.table.name}_{column.name}_seq"
    rows = connection.exec_driver_sql("SELECT nextval(%s) FROM generate_series(1, %s)", (sequence, wanted))
    return iter([int(row[0]) for row in rows])


def numbers_by_key(
    connection: Connection, key: Column[str], number: Column[int], wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Return the numbers of those rows whose (station, ``key``) is among many, by these two, in one statement."""
    stations, keys = (json.dumps(some) for some in zip(*wanted, strict=True))
    rows = connection.exec_driver_sql(_by_key(key, number), (stations, keys))
    return {(row[0], row[1]): row[2] for row in rows}


def insert_rows(connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert many rows of one table; ``names``: the columns their values stand for, in order.

    By COPY: the server plans nothing and answers once, so that rows cost about what they cost a bulk load.
    """
    raw: Any = connection.connection.driver_connection
    statement = _copy(table, names)
    library: Any = connection.dialect.loaded_dbapi
    try:
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except library.Error as error:
        is_lost = connection.dialect.is_disconnect(error, raw, None)
        if is_lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement, None, error, library.Error, hide_parameters=True, connection_invalidated=is_lost
        ) from error


def make_month(connection: Connection, at_ms: int) -> None:
    """Make the partitions of the month of ``at_ms`` and of the next one, where they are missing. Takes a lock."""
    lock_schema(connection)
    for bounds in (month_of(at_ms), month_of(month_of(at_ms)[1])):
        name = partition_name(bounds[0])
        if connection.exec_driver_sql("SELECT to_regclass(%s)", (name,)).scalar_one() is None:
            connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {PARTED} INCLUDING ALL)")
            connection.exec_driver_sql(
                f"ALTER TABLE {PARTED} ATTACH PARTITION {name} FOR VALUES FROM ({bounds[0]}) TO ({bounds[1]})"
            )


def months(connection: Connection) -> frozenset[str]:
    """Return the names of the partitions there are."""
    statement = "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = %s::regclass"
    return frozenset(row[0] for row in connection.exec_driver_sql(statement, (PARTED,)))


def partition_name(at_ms: int) -> str:
    """Return the partition in which what came at an instant lies."""
    return f"{PARTED}_{datetime.fromtimestamp(at_ms / 1000, UTC):%Y_%m}"


def month_of(at_ms: int) -> tuple[int, int]:
    """Return the first instant of the month in UTC and of the next one, in milliseconds."""
    first = datetime.fromtimestamp(at_ms / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return int(first.timestamp()) * 1000, int(after.timestamp()) * 1000


@cache
def _by_key(key: Column[str], number: Column[int]) -> str:
    """One look into the index for each key; one plan for all walks the table where nothing is known of it."""
    return (
        "SELECT wanted.station, wanted.key, found.number "  # noqa: S608  # names of our own tables
        "FROM ROWS FROM (json_array_elements_text(%s::json), json_array_elements_text(%s::json)) "
        "AS wanted (station, key) "
        f'CROSS JOIN LATERAL (SELECT "{number.name}" AS number FROM "{key.table.name}" '
        f'WHERE station = wanted.station AND "{key.name}" = wanted.key LIMIT 1) AS found'
    )


@cache
def _copy(table: Table, names: tuple[str, ...]) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    return f'COPY "{table.name}" ({columns}) FROM STDIN'


def is_transient(error: DBAPIError) -> bool:
    """Whether the same work may succeed at once, on the same server."""
    return _state(error) in TRANSIENT


def explain(error: DBAPIError, where: str) -> HeadOfficeError | None:
    """What an error of the server means for an operator; None for what only a fault of ours can cause."""
    state = _state(error)
    said = " ".join(str(error.orig).split())
    if not state and isinstance(error, OperationalError):
        state = next((code for words, code in _SAID_AT_THE_DOOR if words in said), "")
    if state in _GOING_AWAY or state.startswith("08") or (not state and isinstance(error, OperationalError)):
        return DatabaseAway(
            f"the database server of {where} cannot be reached: {said}",
            hint="start it, or check host and port of --database",
        )
    for code in (state, state[:2]):
        if code in _REFUSALS:
            meaning, hint = _REFUSALS[code]
            return DatabaseProblem(f"{meaning}, {where}: {said}", hint=hint)
    return None


def _state(error: DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _end_if_frozen(raw: Any, _record: Any) -> None:
    """The server ends this session where its owner cannot: keeps nothing locked for one that does not go on."""
    limits = {"idle_in_transaction_session_timeout": f"{FROZEN_MS}ms", **NOTICE_A_DEAD_PEER}
    for name, value in limits.items():
        raw.execute("SELECT set_config(%s, %s, false)", (name, value))
    raw.commit()


def _check_promises(raw: Any, _record: Any) -> None:
    """Refuse a server that may forget what was acknowledged. Asked on every connection: a role can have its own."""
    names = ("synchronous_commit", "fsync", "server_encoding", "server_version_num")
    row = raw.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in names)).fetchone()
    raw.rollback()
    found = dict(zip(names, row, strict=True))
    if found["synchronous_commit"] == "off":
        raise DatabaseProblem(
            "the database answers synchronous_commit=off, on is needed so that nothing acknowledged is lost",
            hint="ALTER DATABASE ... SET synchronous_commit = on",
        )
    if found["fsync"] != "on":
        raise DatabaseProblem(
            "the database answers fsync=off, on is needed so that nothing acknowledged is lost",
            hint="set fsync = on in postgresql.conf and restart the server",
        )
    if found["server_encoding"] != "UTF8":
        raise DatabaseProblem(
            f"the database is encoded as {found['server_encoding']}, UTF8 is needed", hint="createdb -E UTF8 NAME"
        )
    if int(found["server_version_num"]) < OLDEST_VERSION:
        raise DatabaseProblem("the server is older than PostgreSQL 13", hint="upgrade it")
