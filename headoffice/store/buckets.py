"""The 1,024 buckets of the members: which one a change is in, how each is summed up and packed, the manifest of all.

Works inside the caller's transaction. A change only marks its bucket; the bucket is summed up when somebody asks, so an
import of a million members does so once for each bucket, and a change of one member for one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from headoffice.store.buckets_schema import member_bucket
from headoffice.store.schema import member
from sync.buckets import BUCKETS, Manifest, bucket_of, columns, pack, rows_of, sum_of

_TOUCH = (
    update(member_bucket)
    .where(member_bucket.c.bucket == bindparam("of_bucket"))
    .values(op=bindparam("to_op"), sum=None, frame=None)
)
_OP = select(member_bucket.c.op).where(member_bucket.c.bucket == bindparam("of_bucket"))
_KEEP = (
    update(member_bucket)
    .where((member_bucket.c.bucket == bindparam("of_bucket")) & (member_bucket.c.op == bindparam("as_of")))
    .values(members=bindparam("to_members"), sum=bindparam("to_sum"), frame=bindparam("to_frame"))
)
_IN_BUCKET = select(member.c.body, member.c.gone).where(member.c.bucket == bindparam("of_bucket"))


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket as it is handed out. ``op``: the last change in it; ``frame``: its packed bytes."""

    op: int
    members: int
    sum: bytes
    frame: bytes


def touched(connection: Connection, changes: Iterable[tuple[str, int]]) -> None:
    """Members changed by these ops: what was summed up of their buckets is no longer true."""
    newest: dict[int, int] = {}
    for name, op in changes:
        number = bucket_of(name)
        newest[number] = max(op, newest.get(number, 0))
    if newest:
        connection.execute(_TOUCH, [{"of_bucket": number, "to_op": op} for number, op in sorted(newest.items())])


def stale(connection: Connection, at_most: int = BUCKETS) -> list[int]:
    """Return the numbers of buckets that are to be summed up."""
    question = select(member_bucket.c.bucket).where(member_bucket.c.frame.is_(None)).order_by(member_bucket.c.bucket)
    return list(connection.execute(question.limit(at_most)).scalars())


def refresh(connection: Connection, numbers: Iterable[int]) -> None:
    """Sum up and pack these buckets. One that another session changes meanwhile stays to be done."""
    for number in numbers:
        op = connection.execute(_OP, {"of_bucket": number}).scalar_one()
        built = _built(connection, number, op)
        told = {"to_members": built.members, "to_sum": built.sum, "to_frame": built.frame}
        connection.execute(_KEEP, {"of_bucket": number, "as_of": op, **told})


def one(connection: Connection, number: int) -> Bucket:
    """Return a bucket as it is now."""
    question = select(member_bucket).where(member_bucket.c.bucket == number)
    row = connection.execute(question).one()
    if row.frame is None:
        refresh(connection, [number])
        return _built(connection, number, row.op)
    return Bucket(row.op, row.members, row.sum, row.frame)


def manifest(connection: Connection, last_op: int) -> Manifest:
    """Return the manifest of the state after ``last_op``; every bucket must be summed up."""
    table = member_bucket
    rows = connection.execute(select(table.c.op, table.c.sum, table.c.members).order_by(table.c.bucket)).all()
    return Manifest(last_op, sum(row.members for row in rows), tuple((row.op, bytes(row.sum)) for row in rows))


def count(connection: Connection) -> int:
    """Return how many members the buckets had when they were last summed up."""
    return int(connection.execute(select(func.coalesce(func.sum(member_bucket.c.members), 0))).scalar_one())


def _built(connection: Connection, number: int, op: int) -> Bucket:
    puts: list[Mapping[str, Any]] = []
    merged: dict[str, str] = {}
    for body, gone in connection.execute(_IN_BUCKET, {"of_bucket": number}).tuples():
        told = json.loads(body)
        if not gone:
            puts.append(told)
        elif told.get("to"):
            merged[told["member"]] = told["to"]
    strips = columns(rows_of(puts), merged)
    return Bucket(op, len(puts), sum_of(len(puts), strips), pack(len(puts), strips))
