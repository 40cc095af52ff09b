"""What a station's writer says to its database, recorded statement by statement, and the same said again through apsw.

apsw brings an SQLite of its own, which cannot sit under SQLAlchemy: so the trace is replayed there, with the store's
pragmas, over a VFS that writes down what reaches the disk. Knows SQLAlchemy's events and prepared statements; judges nothing.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
from sqlalchemy import Engine, event

from agent.store.engine import WRITER_PRAGMAS
from agent.store.prepared import Prepared
from tests.support.crash_vfs import Change, RecordingVfs

CLOSE = "-- the station closes its database and opens it again"
CHECKPOINT_PAGES = 40
"""A station's log is folded into the database every 1,000 pages. Here far more often: the cut in the middle of that is
what is interesting, and small logs let more cuts be tried."""

_COLUMNS = re.compile(r"INSERT INTO (\w+) \(([^)]*)\)")

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with its exact values."""

    sql: str
    values: Values = ()


@dataclass
class Trace:
    """All statements of the writer in order."""

    statements: list[Statement] = field(default_factory=list)

    def note(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Append one statement."""
        exact = tuple(bytes(value) if isinstance(value, memoryview | bytearray) else value for value in values)
        self.statements.append(Statement(sql, exact))

    def promised(self) -> Promise:
        """Return what the whole trace promised."""
        return _promised(_NOTHING, self.statements)

    def broken_after(self, start: str) -> Trace:
        """Return this trace with the mistake of a COMMIT behind each statement that begins with ``start``."""
        broken = Trace()
        for statement in self.statements:
            broken.statements.append(statement)
            if statement.sql.startswith(start):
                broken.statements += [Statement("COMMIT"), Statement("BEGIN IMMEDIATE")]
        return broken

    @contextmanager
    def recording(self, database: Path) -> Iterator[None]:
        """Write down everything said to ``database`` by any writing engine of this process."""

        def execute(connection: Any, _cursor: Any, sql: str, values: Any, _context: Any, many: bool) -> None:
            if connection.engine.url.database == str(database):
                for one in values if many else [values]:
                    self.note(sql, one)

        def commit(connection: Any) -> None:
            if connection.engine.url.database == str(database):
                self.note("COMMIT")

        def rollback(connection: Any) -> None:
            if connection.engine.url.database == str(database):
                self.note("ROLLBACK")

        ours: dict[sqlite3.Connection, bool] = {}
        run = Prepared.run

        def prepared(self: Prepared, connection: sqlite3.Connection, values: Mapping[str, Any]) -> sqlite3.Cursor:
            if connection not in ours:
                ours[connection] = connection.execute("PRAGMA database_list").fetchone()[2] == str(database.resolve())
            if ours[connection]:
                trace_note(self.text, self.ordered(values))
            return run(self, connection, values)

        trace_note = self.note
        hooks = (("before_cursor_execute", execute), ("commit", commit), ("rollback", rollback))
        for name, hook in hooks:
            event.listen(Engine, name, hook)
        Prepared.run = prepared  # type: ignore[method-assign]
        try:
            yield
        finally:
            Prepared.run = run  # type: ignore[method-assign]
            for name, hook in hooks:
                event.remove(Engine, name, hook)


@dataclass(frozen=True, slots=True)
class Promise:
    """What a committed transaction promised, taken from the values it was written with.

    ``heads``: last seq and hash per stream. ``sales`` and ``postings``: rows by their columns.
    """

    heads: Mapping[str, tuple[int, bytes]]
    sales: frozenset[Values]
    postings: frozenset[Values]


SALE = ("id", "fuelling_point", "nozzle", "start_raw", "end_raw", "volume_ml", "amount_minor")
POSTING = ("source", "leg", "account", "points", "lot")
_NOTHING = Promise({}, frozenset(), frozenset())


def _promised(before: Promise, written: Sequence[Statement]) -> Promise:
    heads, sales, postings = dict(before.heads), set(before.sales), set(before.postings)
    for statement in written:
        match = _COLUMNS.match(statement.sql)
        if match is None:
            continue
        row = dict(zip(match[2].split(", "), statement.values, strict=False))
        if match[1] == "journal":
            heads[row["stream"]] = (row["seq"], row["hash"])
        elif match[1] == "sale":
            sales.add(tuple(row[name] for name in SALE))
        elif match[1] == "posting":
            postings.add(tuple(row[name] for name in POSTING))
    return Promise(heads, frozenset(sales), frozenset(postings))


@dataclass(frozen=True, slots=True)
class State:
    """The database between two steps: after ``change`` changes of the disk the caller had its answer.

    ``pages``: all of them, as SQLite reads them. ``is_acknowledged``: a COMMIT answered, so nothing of it may be lost.
    """

    change: int
    pages: bytes
    promise: Promise
    is_acknowledged: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """The changes of the disk, and the states that the database went through, oldest first."""

    changes: list[Change]
    states: list[State]


def replay(
    trace: Trace,
    folder: Path,
    *,
    pragmas: Mapping[str, object] = WRITER_PRAGMAS,
    answers_early: bool = False,
    checkpoint_pages: int = CHECKPOINT_PAGES,
) -> Replay:
    """Say everything again to a new database below ``folder``.

    ``answers_early`` plants the mistake of acknowledging a transaction before its COMMIT.
    """
    vfs = RecordingVfs()
    states = [State(0, b"", _NOTHING, is_acknowledged=False)]
    connection = _open(vfs, folder, pragmas, checkpoint_pages)

    def answered(promise: Promise, change: int, *, is_acknowledged: bool) -> None:
        pages = connection.serialize("main")
        same = states[-1].pages
        states.append(State(change, same if pages == same else pages, promise, is_acknowledged))

    answered(_NOTHING, len(vfs.log), is_acknowledged=False)
    written: list[Statement] = []
    for statement in trace.statements:
        if statement.sql == CLOSE:
            connection.close()
            connection = _open(vfs, folder, pragmas, checkpoint_pages)
            continue
        before = len(vfs.log)
        connection.execute(statement.sql, statement.values)
        written.append(statement)
        if connection.in_transaction:
            continue
        kept = statement.sql == "COMMIT"
        promise = _promised(states[-1].promise, written) if kept else states[-1].promise
        answered(promise, before if answers_early else len(vfs.log), is_acknowledged=kept)
        written = []
    connection.close()
    return Replay(vfs.log, states)


def _open(vfs: RecordingVfs, folder: Path, pragmas: Mapping[str, object], checkpoint_pages: int) -> apsw.Connection:
    connection = apsw.Connection(str(folder / "station.db"), vfs=vfs.name)
    for name, value in pragmas.items():
        connection.execute(f"PRAGMA {name}={value}")
    connection.execute(f"PRAGMA wal_autocheckpoint={checkpoint_pages}")
    return connection
