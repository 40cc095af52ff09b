"""The buckets of the member cache inside the writer's transaction: what is missing, what is there, all of it gone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Column, Connection, Integer, LargeBinary, Table, delete

from agent.store.members import MemberTable
from agent.store.tables import metadata

MEMBER_BUCKET = Table(
    "member_bucket",
    metadata,
    Column("bucket", Integer, primary_key=True, nullable=False),
    Column("op", Integer, nullable=False),
    Column("need", Integer, nullable=True),
    Column("sum", LargeBinary, nullable=True),
)
"""One bucket that something is known of. ``op``: it holds every change up to there. ``need``: it is to be fetched, as
of this change or a later one; ``sum``: what it must come to where it is exactly that one.
"""


CACHE_KIB, LOG_PAGES = 2_000, 1_000
"""What SQLite takes by itself."""

FILL_CACHE_KIB, FILL_LOG_PAGES = 24_000, 16_000
"""While the cache is filled: a bucket's indexes fall anywhere, and those of the next ones beside them."""


class State(NamedTuple):
    """A row of ``MEMBER_BUCKET``; of a bucket without one nothing is known."""

    op: int = 0
    need: int | None = None
    sum: bytes | None = None


class BucketTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection = connection
        self._now_ms = now_ms

    def states(self, numbers: Iterable[int]) -> dict[int, State]:
        """Return the state of each of these buckets."""
        wanted = sorted(set(numbers))
        rows = self._connection.exec_driver_sql(_STATES, (json.dumps(wanted),))
        return {**dict.fromkeys(wanted, State()), **{row[0]: State(*row[1:]) for row in rows}}

    def reached(self, ops: Mapping[int, int]) -> None:
        """These buckets hold every change up to these ops."""
        if ops:
            self._connection.exec_driver_sql(_REACHED, list(ops.items()))

    def need(self, wanted: Mapping[int, tuple[int, bytes | None]]) -> None:
        """These buckets are to be fetched, as of an op or later."""
        if wanted:
            rows = [(number, need, digest) for number, (need, digest) in wanted.items()]
            self._connection.exec_driver_sql(_NEED, rows)

    def filled(self, number: int, op: int) -> None:
        """A bucket was stored as of an op."""
        self._connection.exec_driver_sql(_FILLED, (number, op))

    def make_room(self) -> None:
        """Much is going to be written all over the indexes: keep more of them in memory, write them back seldom."""
        self._connection.exec_driver_sql(f"PRAGMA cache_size=-{FILL_CACHE_KIB}")
        self._connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={FILL_LOG_PAGES}")

    def give_room_back(self) -> None:
        """As before."""
        self._connection.exec_driver_sql(f"PRAGMA cache_size=-{CACHE_KIB}")
        self._connection.exec_driver_sql(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        self._connection.exec_driver_sql("PRAGMA shrink_memory")

    def missing(self) -> int:
        """Return how many buckets are to be fetched."""
        return int(self._connection.exec_driver_sql(_MISSING).scalar_one())

    def told_members(self, number: int) -> list[str]:
        """Return the ids of a bucket's members whom head office told."""
        return list(self._connection.exec_driver_sql(_TOLD, (number,)).scalars())

    def forget_states(self) -> None:
        """Nothing is known of any bucket."""
        MemberTable(self._connection, self._now_ms).waiting.settle_all()
        self._connection.execute(delete(MEMBER_BUCKET))

    def forget_all(self) -> None:
        """Empty the cache: nobody whom head office told is known any more; what the ledger needs stays."""
        members = MemberTable(self._connection, self._now_ms)
        members.waiting.forget_all()
        for statement in (_NO_INDEXES, _NO_FACTS, _NO_ANSWERS):
            self._connection.exec_driver_sql(statement)
        self._connection.exec_driver_sql(_NO_CARDS, (self._now_ms,))
        members.blank_all()


_STATES = "SELECT bucket, op, need, sum FROM member_bucket WHERE bucket IN (SELECT value FROM json_each(?))"
_REACHED = """
INSERT INTO member_bucket (bucket, op) VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE SET op = max(op, excluded.op)
"""
_NEED = """
INSERT INTO member_bucket (bucket, op, need, sum) VALUES (?, 0, ?, ?)
ON CONFLICT (bucket) DO UPDATE SET need = excluded.need, sum = excluded.sum
"""
_FILLED = """
INSERT INTO member_bucket (bucket, op) VALUES (?, ?)
ON CONFLICT (bucket) DO UPDATE SET op = max(op, excluded.op), need = NULL, sum = NULL
"""
_MISSING = "SELECT count(*) FROM member_bucket WHERE need IS NOT NULL"
TOLD = "ref > 0 AND known = 1 AND op > 0"
"""Members whom head office told; one with op 0 was enrolled here, and head office does not know of it yet."""

_TOLD = f"SELECT id FROM member WHERE bucket = ? AND {TOLD}"  # noqa: S608
_NO_INDEXES = f"DELETE FROM member_index WHERE member_ref IN (SELECT ref FROM member WHERE {TOLD})"  # noqa: S608
_NO_FACTS = f"UPDATE priced SET facts = NULL WHERE member_ref IN (SELECT ref FROM member WHERE {TOLD})"  # noqa: S608
_NO_ANSWERS = "DELETE FROM handheld_answer"
_NO_CARDS = f"""
UPDATE card SET sealed_key = NULL, gone_ms = coalesce(gone_ms, ?), member_ref = NULL
WHERE member_ref IN (SELECT ref FROM member WHERE {TOLD})
"""  # noqa: S608
