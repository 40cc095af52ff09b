"""Indexes of members that wait for their place: while the cache is filled they are put in range by range.

A bucket's indexes fall anywhere into a tree of millions, each on a page of its own. A fill puts them aside in 32 slices
by their first five bits, and each step puts one whole slice where it belongs. An index stands in one place only; who is
told later has it, as if none had waited. Knows nothing of what else a member is.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from bisect import bisect_left
from collections.abc import Collection, Iterable

from sqlalchemy import Connection

from agent.store.failures import disk_named
from agent.store.prepared import raw
from sync.buckets import DIGEST_BYTES

SLICES = 32
_SHIFT = 3
_PAIR = struct.Struct(f">{DIGEST_BYTES}sI")
_BOUNDS = [bytes([number << _SHIFT]) for number in range(SLICES)]

Pair = tuple[bytes, int]
"""An index and the surrogate of its member."""

INSERT_INDEX = """
INSERT INTO member_index (digest, member_ref) VALUES (?, ?)
ON CONFLICT (digest) DO UPDATE SET member_ref = excluded.member_ref
WHERE (SELECT op FROM member WHERE ref = member_index.member_ref)
   <= (SELECT op FROM member WHERE ref = excluded.member_ref)
"""
"""Who was told later has it: buckets and changes do not always come in the order in which they were made."""


def waiting_owner(db: sqlite3.Connection, digest: bytes) -> int | None:
    """Return the surrogate of whom an index names, where it is among those that wait; else ``None``: ask the tree."""
    if len(digest) != DIGEST_BYTES:
        return None
    rows = db.execute("SELECT pairs FROM member_index_waiting WHERE slice = ?", (digest[0] >> _SHIFT,))
    refs = [ref for (pairs,) in rows if (ref := _found(pairs, digest)) is not None]
    if not refs:
        return None
    settled = db.execute("SELECT member_ref FROM member_index WHERE digest = ?", (digest,)).fetchone()
    # of two that were told alike the later stored one has it, and what waits was stored later
    candidates: list[int] = [*sorted(refs, reverse=True), *(settled or ())]
    ops: dict[int, int] = dict(db.execute(_OPS, (_json(candidates),)).fetchall())
    return max(candidates, key=lambda ref: ops[ref])


def waiting_pairs(db: sqlite3.Connection, bucket: int | None = None) -> list[Pair]:
    """Return what waits of one bucket, or of all."""
    rows = db.execute("SELECT pairs FROM member_index_waiting WHERE bucket = coalesce(?, bucket)", (bucket,))
    return [pair for (pairs,) in rows for pair in _PAIR.iter_unpack(pairs)]


class WaitingIndexes:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def put_aside(self, bucket: int, pairs: Iterable[Pair]) -> None:
        """Let the indexes of a bucket wait, of which none waits yet; each has all its ten bytes."""
        packed = sorted(_PAIR.pack(*pair) for pair in pairs)
        cuts = [*(bisect_left(packed, bound) for bound in _BOUNDS), len(packed)]
        rows = [(number, bucket, b"".join(packed[cuts[number] : cuts[number + 1]])) for number in range(SLICES)]
        self._connection.exec_driver_sql(_PUT_ASIDE, [row for row in rows if row[2]])

    def settle_bucket(self, bucket: int) -> None:
        """Put in what waits of one bucket."""
        pairs = waiting_pairs(self._raw, bucket)
        if pairs:
            self._settle(pairs)
            self._connection.exec_driver_sql("DELETE FROM member_index_waiting WHERE bucket = ?", (bucket,))

    def settle_next(self, left: int) -> None:
        """Put in one slice, of which ``left`` says which: counted down to 1, it leaves none."""
        self._settle_slice(left % SLICES)

    def settle_all(self) -> None:
        """Put in everything."""
        for number in range(SLICES):
            self._settle_slice(number)

    def settle(self, refs: Collection[int], digests: Iterable[bytes] = ()) -> None:
        """Put in what waits of these members, and whatever else waits under their indexes or under ``digests``.

        What is changed afterwards is then changed as if nothing had waited.
        """
        if self._connection.exec_driver_sql("SELECT 1 FROM member_index_waiting LIMIT 1").first() is None:
            return
        send, own = self._connection.exec_driver_sql, _json(refs)
        wanted = {*digests, *send(_SETTLED_OF, (own,)).scalars()}
        mine = frozenset(refs)
        for (pairs,) in send(_ROWS_OF, (own,)):
            wanted.update(digest for digest, ref in _PAIR.iter_unpack(pairs) if ref in mine)
        slices = sorted({digest[0] >> _SHIFT for digest in wanted if digest})
        for number, bucket, pairs in send(_ROWS_IN, (_json(slices),)).all():
            self._take_out(number, bucket, list(_PAIR.iter_unpack(pairs)), wanted)

    def forget_all(self) -> None:
        """Nothing waits any more, and nothing of it was put in."""
        self._connection.exec_driver_sql("DELETE FROM member_index_waiting")

    def _take_out(self, number: int, bucket: int, pairs: list[Pair], wanted: Collection[bytes]) -> None:
        taken = [pair for pair in pairs if pair[0] in wanted]
        if not taken:
            return
        self._settle(taken)
        stay = b"".join(_PAIR.pack(*pair) for pair in pairs if pair[0] not in wanted)
        self._connection.exec_driver_sql(_LEAVE if stay else _LEAVE_NONE, (stay, number, bucket)[not stay :])

    def _settle_slice(self, number: int) -> None:
        rows = self._connection.exec_driver_sql("SELECT pairs FROM member_index_waiting WHERE slice = ?", (number,))
        pairs = list(_PAIR.iter_unpack(b"".join(rows.scalars())))
        if not pairs:
            return
        self._settle(pairs)
        self._connection.exec_driver_sql("DELETE FROM member_index_waiting WHERE slice = ?", (number,))

    def _settle(self, pairs: list[Pair]) -> None:
        rows = sorted(pairs)
        with disk_named():
            fresh = self._raw.executemany(_INSERT_FRESH, rows).rowcount
        if fresh < len(rows):
            self._connection.exec_driver_sql(INSERT_INDEX, rows)


def _found(pairs: bytes, digest: bytes) -> int | None:
    at = pairs.find(digest)
    while at % _PAIR.size and at >= 0:  # the bytes of two neighbours
        at = pairs.find(digest, at + 1)
    return None if at < 0 else int(_PAIR.unpack_from(pairs, at)[1])


def _json(values: Iterable[int]) -> str:
    return json.dumps(list(values))


_INSERT_FRESH = "INSERT INTO member_index (digest, member_ref) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING"
_OPS = "SELECT ref, op FROM member WHERE ref IN (SELECT value FROM json_each(?))"
_LEAVE = "UPDATE member_index_waiting SET pairs = ? WHERE slice = ? AND bucket = ?"
_LEAVE_NONE = "DELETE FROM member_index_waiting WHERE slice = ? AND bucket = ?"
_PUT_ASIDE = "INSERT INTO member_index_waiting (slice, bucket, pairs) VALUES (?, ?, ?)"
_SETTLED_OF = "SELECT digest FROM member_index WHERE member_ref IN (SELECT value FROM json_each(?))"
_ROWS_OF = """
SELECT pairs FROM member_index_waiting
WHERE bucket IN (SELECT bucket FROM member WHERE ref IN (SELECT value FROM json_each(?)))
"""
_ROWS_IN = """
SELECT slice, bucket, pairs FROM member_index_waiting
WHERE slice IN (SELECT value FROM json_each(?)) ORDER BY slice, bucket
"""
