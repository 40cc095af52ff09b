"""Members as head office hands them out: each with its newest body, blind indexes and the global op id of that.

Works inside the caller's transaction. Bodies are the wire's objects (W-40) without ``op`` and ``kind``; no plain
numbers here. An older change of the same member is nowhere kept: who is behind is told the newest of each.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, text

from headoffice.store import balances, buckets, pools, restorations
from headoffice.store.schema import member, member_index
from sync.buckets import bucket_of

PUT, DEL, ALIAS = "PUT", "DEL", "ALIAS"
MAX_OPS_READ = 1_000
"""Ops looked at for one page: more small ops than fit into 48 KiB."""


class IndexTaken(Exception):
    """A phone, card or plate already recognises another member. Example: a recycled number of a member long gone."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        super().__init__(f"its phone, a card or a plate already belongs to member {owner[:4]}..")


class MergedAway(Exception):
    """The id of a member who was merged into another one. Example: a file from before the merge."""

    def __init__(self, to: str) -> None:
        super().__init__(f"this member was merged into {to[:4]}..")
        self.to = to


@dataclass(frozen=True, slots=True)
class Op:
    """One change of one member: ``body`` is the compact JSON text of the wire's object."""

    op: int
    body: str

    def data(self) -> dict[str, Any]:
        """The object that travels in ``ops``."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def encode(body: dict[str, Any]) -> str:
    """The one compact JSON text of a body: equal bodies give equal texts."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def known(connection: Connection, name: str) -> bool:
    """Whether there is a member of that id who is not gone."""
    found = connection.execute(select(member.c.gone).where(member.c.member == name)).scalar_one_or_none()
    return found is not None and not found


def bodies(connection: Connection) -> list[dict[str, Any]]:
    """The newest body of every member who is not gone."""
    rows = connection.execute(select(member.c.body).where(member.c.gone.is_(False))).scalars()
    return [json.loads(body) for body in rows]


def last_op(connection: Connection) -> int:
    """The newest op id; 0 before the first. Never below where a database that was put back went on."""
    newest = int(connection.execute(select(func.coalesce(func.max(member.c.op), 0))).scalar_one())
    return max(newest, restorations.floor(connection))


def next_op(connection: Connection) -> int:
    """The op id of the change that is made now; until the end of the transaction no other session makes one."""
    if connection.dialect.name == "postgresql":
        connection.execute(_TURN)
    return last_op(connection) + 1


_TURN = text("SELECT pg_advisory_xact_lock(hashtext('forecourt member op'))")


def put(connection: Connection, body: dict[str, Any], op: int) -> bool:
    """Store a member's new body as op ``op``; return False, and change nothing, where it is what is stored already.

    Raises IndexTaken, and MergedAway for an id that is another member's by now.
    """
    name, told = body["member"], encode(body)
    row = connection.execute(select(member.c.body, member.c.gone).where(member.c.member == name)).one_or_none()
    if row is not None and row.gone and (merged := _told_to(row.body)) is not None:
        raise MergedAway(merged)
    if row is not None and row.body == told and not row.gone:
        return False
    indexes = tuple(dict.fromkeys(indexes_of(body)))
    for index in indexes:
        taken = owner(connection, index)
        if taken not in (None, name):
            raise IndexTaken(str(taken))
    _write(connection, name, told, op, gone=False)
    connection.execute(delete(member_index).where(member_index.c.member == name))
    for index in indexes:
        connection.execute(member_index.insert().values(value=index, member=name))
    return True


def body(connection: Connection, name: str) -> dict[str, Any] | None:
    """Return what is told of a member, ``None`` where there is none or they are gone."""
    row = connection.execute(select(member.c.body, member.c.gone).where(member.c.member == name)).one_or_none()
    return None if row is None or row.gone else dict(json.loads(row.body))


def tell(connection: Connection, body: dict[str, Any], op: int) -> bool:
    """Store the body of a member whose balance changed, as op ``op``; their indexes stay as they are.

    Returns False, and changes nothing, where it is what is told already.
    """
    name, told = body["member"], encode(body)
    if connection.execute(select(member.c.body).where(member.c.member == name)).scalar() == told:
        return False
    _write(connection, name, told, op, gone=False)
    return True


def remove(connection: Connection, name: str, op: int) -> bool:
    """Delete a member as op ``op``: body and indexes are erased at once; return False if there is none."""
    if not known(connection, name):
        return False
    connection.execute(delete(member_index).where(member_index.c.member == name))
    _write(connection, name, encode({"member": name}), op, gone=True)
    balances.forget(connection, name)
    return True


def merge(connection: Connection, name: str, to: str, op: int) -> None:
    """Tell as op ``op`` that a member is another one, whose indexes, tier and balance stand."""
    connection.execute(delete(member_index).where(member_index.c.member == name))
    _write(connection, name, encode({"member": name, "to": to}), op, gone=True)
    balances.merged(connection, name, to)
    pools.became(connection, name, to)


def merged_into(connection: Connection, name: str) -> str | None:
    """Return whom a member was merged into, ``None`` where they were not."""
    body = connection.execute(select(member.c.body).where((member.c.member == name) & member.c.gone)).scalar()
    return None if body is None else _told_to(body)


def indexes_of(body: dict[str, Any]) -> tuple[str, ...]:
    """Return everything by which a member is recognised."""
    return (*body["indexes"], *body.get("indexes_next", ()))


def _told_to(body: str) -> str | None:
    found: str | None = json.loads(body).get("to")
    return found


def _write(connection: Connection, name: str, body: str, op: int, *, gone: bool) -> None:
    values = {"body": body, "op": op, "gone": gone}
    if connection.execute(member.update().where(member.c.member == name).values(**values)).rowcount == 0:
        connection.execute(member.insert().values(member=name, bucket=bucket_of(name), **values))
    buckets.touched(connection, [(name, op)])


def owner(connection: Connection, index: str) -> str | None:
    """Return the member who is recognised by a blind index."""
    return connection.execute(select(member_index.c.member).where(member_index.c.value == index)).scalar()


def is_known(connection: Connection, name: str) -> bool:
    """Return whether there is, or was, a member of this id."""
    return connection.execute(select(member.c.op).where(member.c.member == name)).first() is not None


def give_up(connection: Connection, name: str) -> None:
    """A member is recognised by nothing any more: another one takes its place."""
    connection.execute(delete(member_index).where(member_index.c.member == name))


def ops_after(connection: Connection, have_op: int, max_bytes: int) -> list[Op]:
    """The oldest ops after ``have_op`` whose wire texts together have at most ``max_bytes``; at least one if any."""
    rows = connection.execute(
        select(member.c.op, member.c.body, member.c.gone)
        .where(member.c.op > have_op)
        .order_by(member.c.op)
        .limit(MAX_OPS_READ)
    )
    found: list[Op] = []
    size = 0
    for row in rows:
        told = f'{{"op":{row.op},"kind":"{_kind(row.body, gone=row.gone)}",{row.body[1:]}'
        size += len(told.encode()) + 1
        if found and size > max_bytes:
            break
        found.append(Op(row.op, told))
    return found


def behind(connection: Connection, have_op: int, at_most: int) -> int:
    """Return how many members changed after ``have_op``, up to ``at_most``."""
    some = select(member.c.op).where(member.c.op > have_op).limit(at_most).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def _kind(body: str, *, gone: bool) -> str:
    if not gone:
        return PUT
    return DEL if _told_to(body) is None else ALIAS
