"""One database session whose advisory locks say which worker is there, who leads and who serves which shard (W-27).

A lock lives exactly as long as its session, so nothing is left behind by a worker that dies. Knows PostgreSQL; decides
nothing: ``sharing`` does.
"""

from __future__ import annotations

import selectors
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy.exc
from sqlalchemy import Connection, Executable, NullPool, Result, create_engine, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import URL

from headoffice.errors import DatabaseAway, DatabaseProblem
from headoffice.sharing import View
from headoffice.store import schema
from headoffice.store.postgresql import NOTICE_A_DEAD_PEER

WORKER, SHARD, LEADER = 0x66630001, 0x66630002, 0x66630003
"""First key of each kind of lock ("fc"); the second is the worker's number, the shard, or 0."""

MAX_WORKERS = 1_000
SILENT_MS = 20_000
"""A worker that says nothing for so long, frozen or cut off, loses its session, and by that its shards (from 14 on)."""

CONNECT = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""This end notices within about ten seconds that the server is gone without a word, and so does the other one:"""

SETTINGS = {**NOTICE_A_DEAD_PEER, "application_name": "forecourt-hq worker"}
AGAIN = "the worker tries again by itself; see whether the database server is there"
_SET = text("SELECT set_config(:name, :value, false)")
_TRY = text("SELECT pg_try_advisory_lock(:kind, :number)")
_UNLOCK = text("SELECT pg_advisory_unlock(:kind, :number)")
_LOCKS = text(
    "SELECT classid::bigint AS kind, objid::bigint AS number, pid FROM pg_locks"
    " WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint IN (:worker, :shard, :leader)"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
).bindparams(worker=WORKER, shard=SHARD, leader=LEADER)


class ShardSession:
    """One worker's session. Every method but ``close`` raises DatabaseAway where the session is gone or refused.

    ``name`` says to people where the worker runs.
    """

    def __init__(self, url: URL, name: str, now_ms: int) -> None:
        engine = create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=CONNECT, hide_parameters=True
        )
        try:
            self._connection = engine.connect()
        except sqlalchemy.exc.DBAPIError as error:
            raise _gone(error) from error
        for setting, value in self._settings().items():
            self._run(_SET, {"name": setting, "value": value})
        self.number = self._numbered()
        row = {"name": name, "started_ms": now_ms, "beat_ms": now_ms, "taken": 0}
        statement = insert(schema.worker).values(number=self.number, **row)
        self._run(statement.on_conflict_do_update(index_elements=["number"], set_=row))
        self._wire = selectors.DefaultSelector()
        driver: Any = self._connection.connection.driver_connection
        self._wire.register(driver.fileno(), selectors.EVENT_READ)

    def is_quiet(self) -> bool:
        """Whether the server has said nothing unasked: it does so when it ends the session. Costs no round trip."""
        return not self._connection.invalidated and not self._wire.select(0)

    def view(self) -> View:
        """Who is there, who leads, who holds what."""
        return _read(self._run(_LOCKS))

    def take(self, shards: Iterable[int]) -> list[int]:
        """Lock shards; return those that nobody else was quicker to take."""
        return [shard for shard in shards if self._ask(_TRY, SHARD, shard)]

    def let_go(self, shards: Iterable[int]) -> None:
        """Unlock shards."""
        for shard in shards:
            self._ask(_UNLOCK, SHARD, shard)

    def lead(self) -> bool:
        """Try to become the one that leads; once it is, it stays so until it steps down or the session ends."""
        return self._ask(_TRY, LEADER, 0)

    def step_down(self) -> None:
        """Leave the lead to another."""
        self._ask(_UNLOCK, LEADER, 0)

    def tell(self, beat_ms: int, taken: int) -> None:
        """Let people know that this worker is alive, and how many messages it has taken since it began."""
        table = schema.worker
        self._run(update(table).where(table.c.number == self.number).values(beat_ms=beat_ms, taken=taken))

    def close(self) -> bool:
        """End the session and return whether this was the last worker; what cannot be asked any more is no."""
        try:
            self._run(delete(schema.worker).where(schema.worker.c.number == self.number))
            self._ask(_UNLOCK, WORKER, self.number)
            return not self.view().workers
        except DatabaseAway:
            return False
        finally:
            self._wire.close()
            self._connection.invalidate()  # a session that is in doubt is not asked to end: its socket is closed
            self._connection.close()

    def _settings(self) -> dict[str, str]:
        version = self._connection.dialect.server_version_info or ()
        return SETTINGS | ({"idle_session_timeout": f"{SILENT_MS}ms"} if version >= (14,) else {})

    def _numbered(self) -> int:
        """The lowest number that no other worker has."""
        for number in range(1, MAX_WORKERS + 1):
            if self._ask(_TRY, WORKER, number):
                return number
        raise DatabaseProblem(f"there are {MAX_WORKERS} workers already", hint="see `forecourt-hq workers`")

    def _ask(self, statement: Any, kind: int, number: int) -> bool:
        return bool(self._run(statement, {"kind": kind, "number": number}).scalar_one())

    def _run(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Result[Any]:
        """A connection that broke would be made again unasked, without a single lock; so it is not used any more."""
        if self._connection.invalidated:
            raise DatabaseAway("the worker's database session is gone", hint=AGAIN)
        try:
            return self._connection.execute(statement, values)
        except sqlalchemy.exc.DBAPIError as error:
            raise _gone(error) from error


def listed(connection: Connection) -> list[dict[str, Any]]:
    """What people may know of every worker that is there: its row, its shards and whether it leads."""
    view = _read(connection.execute(_LOCKS))
    shards: dict[int, list[int]] = {}
    for shard, holder in sorted(view.held.items()):
        shards.setdefault(holder, []).append(shard)
    return [
        {**row, "shards": shards.get(row["number"], []), "leads": row["number"] == view.leader}
        for row in connection.execute(select(schema.worker).order_by(schema.worker.c.number)).mappings()
        if row["number"] in view.workers
    ]


def _read(locks: Result[Any]) -> View:
    """A worker's number and its shards are locks of one session; 0 holds those of a session that has no number."""
    rows = locks.all()
    numbers = {row.pid: row.number for row in rows if row.kind == WORKER}
    held = {row.number: numbers.get(row.pid, 0) for row in rows if row.kind == SHARD}
    leader = next((numbers.get(row.pid, 0) for row in rows if row.kind == LEADER), None)
    return View(frozenset(numbers.values()), held, leader)


def _gone(error: sqlalchemy.exc.DBAPIError) -> DatabaseAway:
    return DatabaseAway(
        f"the worker's database session is gone: {str(error.orig).strip()}",
        hint=AGAIN,
    )
