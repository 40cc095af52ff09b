"""Members as head office hands them out: the newest body, blind indexes, and the log of changes with its global op id.

Works inside the caller's transaction. Bodies are the wire's objects (W-40) without ``op`` and
``kind``; no plain numbers here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select

from headoffice.store import balances, pools
from headoffice.store.schema import member, member_index, member_op

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
    """The newest op id; 0 before the first."""
    return int(connection.execute(select(func.coalesce(func.max(member_op.c.op), 0))).scalar_one())


def put(connection: Connection, body: dict[str, Any], op: int) -> bool:
    """Store a member's new body as op ``op``; return False, and change nothing, where it is what is stored already.

    Raises IndexTaken, and MergedAway for an id that is another member's by now.
    """
    name, text = body["member"], encode(body)
    merged = merged_into(connection, name)
    if merged is not None:
        raise MergedAway(merged)
    row = connection.execute(select(member.c.body, member.c.gone).where(member.c.member == name)).one_or_none()
    if row is not None and row.body == text and not row.gone:
        return False
    if row is None:
        connection.execute(member.insert().values(member=name, body=text, op=op, gone=False))
    else:
        connection.execute(member.update().where(member.c.member == name).values(body=text, op=op, gone=False))
    _replace_indexes(connection, name, (*body["indexes"], *body.get("indexes_next", ())))
    connection.execute(member_op.insert().values(op=op, kind=PUT, member=name, body=text))
    return True


def body(connection: Connection, name: str) -> dict[str, Any] | None:
    """Return what is told of a member, ``None`` where there is none or they are gone."""
    row = connection.execute(select(member.c.body, member.c.gone).where(member.c.member == name)).one_or_none()
    return None if row is None or row.gone else dict(json.loads(row.body))


def tell(connection: Connection, body: dict[str, Any], op: int) -> bool:
    """Store the body of a member whose balance changed, as op ``op``; older bodies of theirs leave the log.

    Returns False, and changes nothing, where it is what is told already. Indexes stay as they are.
    """
    name, text = body["member"], encode(body)
    here = member.c.member == name
    if connection.execute(select(member.c.body).where(here)).scalar() == text:
        return False
    connection.execute(member.update().where(here).values(body=text, op=op))
    connection.execute(delete(member_op).where(member_op.c.member == name, member_op.c.kind == PUT))
    connection.execute(member_op.insert().values(op=op, kind=PUT, member=name, body=text))
    return True


def remove(connection: Connection, name: str, op: int) -> bool:
    """Delete a member as op ``op``: body and indexes are erased at once; return False if there is none.

    Older ops of the member are erased from the log as well, so a station that is behind never receives them.
    """
    row = connection.execute(select(member.c.gone).where(member.c.member == name)).one_or_none()
    if row is None or row.gone:
        return False
    connection.execute(delete(member_index).where(member_index.c.member == name))
    connection.execute(delete(member_op).where(member_op.c.member == name))
    text = encode({"member": name})
    connection.execute(member.update().where(member.c.member == name).values(body=text, op=op, gone=True))
    connection.execute(member_op.insert().values(op=op, kind=DEL, member=name, body=text))
    balances.forget(connection, name)
    return True


def merge(connection: Connection, name: str, to: str, op: int) -> None:
    """Tell as op ``op`` that a member is another one, whose indexes, tier and balance stand; older ops of it go."""
    connection.execute(delete(member_index).where(member_index.c.member == name))
    connection.execute(delete(member_op).where(member_op.c.member == name))
    values = {"body": encode({"member": name}), "op": op, "gone": True}
    if connection.execute(member.update().where(member.c.member == name).values(**values)).rowcount == 0:
        connection.execute(member.insert().values(member=name, **values))
    body = encode({"member": name, "to": to})
    connection.execute(member_op.insert().values(op=op, kind=ALIAS, member=name, body=body))
    balances.merged(connection, name, to)
    pools.became(connection, name, to)


def merged_into(connection: Connection, name: str) -> str | None:
    """Return whom a member was merged into, ``None`` where they were not."""
    here = (member_op.c.member == name) & (member_op.c.kind == ALIAS)
    body = connection.execute(select(member_op.c.body).where(here)).scalar()
    return None if body is None else str(json.loads(body)["to"])


def owner(connection: Connection, index: str) -> str | None:
    """Return the member who is recognised by a blind index."""
    return connection.execute(select(member_index.c.member).where(member_index.c.value == index)).scalar()


def is_known(connection: Connection, name: str) -> bool:
    """Return whether there is, or was, a member of this id."""
    return connection.execute(select(member.c.op).where(member.c.member == name)).first() is not None


def give_up(connection: Connection, name: str) -> None:
    """A member is recognised by nothing any more: another one takes its place."""
    connection.execute(delete(member_index).where(member_index.c.member == name))


def _replace_indexes(connection: Connection, name: str, indexes: Iterable[str]) -> None:
    connection.execute(delete(member_index).where(member_index.c.member == name))
    for index in indexes:
        taken = owner(connection, index)
        if taken is not None:
            raise IndexTaken(taken)
        connection.execute(member_index.insert().values(value=index, member=name))


def ops_after(connection: Connection, have_op: int, max_bytes: int) -> list[Op]:
    """The oldest ops after ``have_op`` whose wire texts together have at most ``max_bytes``; at least one if any."""
    rows = connection.execute(
        select(member_op.c.op, member_op.c.kind, member_op.c.body)
        .where(member_op.c.op > have_op)
        .order_by(member_op.c.op)
        .limit(MAX_OPS_READ)
    )
    found: list[Op] = []
    size = 0
    for row in rows:
        text = f'{{"op":{row.op},"kind":"{row.kind}",{row.body[1:]}'
        size += len(text.encode()) + 1
        if found and size > max_bytes:
            break
        found.append(Op(row.op, text))
    return found
