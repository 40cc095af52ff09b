"""Many members stored at once: a statement of each kind for a few hundred, with the same outcome as one by one.

Works inside the caller's transaction. Members that meet somebody else are not for it: it then changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from headoffice.store import balances, buckets
from headoffice.store.members import encode
from headoffice.store.schema import insert_into, member, member_index
from sync.buckets import bucket_of

MAX_VALUES = 10_000
"""In one list of a statement; both databases take three times as many."""

_CHANGE = (
    update(member)
    .where(member.c.member == bindparam("of_member"))
    .values(body=bindparam("to_body"), op=bindparam("to_op"), gone=False)
)


class Fresh(NamedTuple):
    """A member of a file: its line, id, body as it is stored, and everything it is recognised by."""

    line: int
    member: str
    text: str
    indexes: tuple[str, ...]


def put_many(connection: Connection, some: Sequence[Fresh], op: int) -> int | None:
    """Store members from op ``op`` on; return how many changed, ``None`` where they must be stored one by one.

    That is so where two of them share an id or an index, or an index or the id is somebody else's by now.
    """
    names = [fresh.member for fresh in some]
    some = _with_balances(connection, some, names)
    indexes = [index for fresh in some for index in fresh.indexes]
    if len(set(names)) < len(names) or len(set(indexes)) < len(indexes):
        return None
    there = {row.member: row for row in _among(connection, names)}
    if any(row.gone and json.loads(row.body).get("to") for row in there.values()):
        return None
    owners = dict(_owners(connection, indexes))
    if any(owners.get(index, fresh.member) != fresh.member for fresh in some for index in fresh.indexes):
        return None
    changed = [fresh for fresh in some if not _is_stored(there.get(fresh.member), fresh)]
    _write(connection, changed, frozenset(there), op)
    return len(changed)


def _with_balances(connection: Connection, some: Sequence[Fresh], names: Sequence[str]) -> Sequence[Fresh]:
    """What stations posted stands beside what the file says."""
    touched = set().union(*(balances.touched(connection, part) for part in _slices(names)))
    if not touched:
        return some
    return [
        fresh._replace(text=encode(balances.told(connection, json.loads(fresh.text))))
        if fresh.member in touched
        else fresh
        for fresh in some
    ]


def _is_stored(row: Row[Any] | None, fresh: Fresh) -> bool:
    return row is not None and not row.gone and bool(row.body == fresh.text)


def _write(connection: Connection, changed: Sequence[Fresh], there: frozenset[str], op: int) -> None:
    new: list[dict[str, Any]] = []
    old: list[dict[str, Any]] = []
    for number, fresh in enumerate(changed, op):
        if fresh.member in there:
            old.append({"of_member": fresh.member, "to_body": fresh.text, "to_op": number})
        else:
            place = {"bucket": bucket_of(fresh.member), "gone": False}
            new.append({"member": fresh.member, "body": fresh.text, "op": number, **place})
    if old:
        connection.execute(_CHANGE, old)
        for some in _slices([row["of_member"] for row in old]):
            connection.execute(delete(member_index).where(member_index.c.member.in_(some)))
    if new:
        connection.execute(insert_into(member), new)
    known_by = [{"value": index, "member": fresh.member} for fresh in changed for index in fresh.indexes]
    if known_by:
        connection.execute(insert_into(member_index), known_by)
    buckets.touched(connection, [(fresh.member, number) for number, fresh in enumerate(changed, op)])


def _among(connection: Connection, names: Sequence[str]) -> Iterator[Row[Any]]:
    for some in _slices(names):
        yield from connection.execute(
            select(member.c.member, member.c.body, member.c.gone).where(member.c.member.in_(some))
        )


def _owners(connection: Connection, indexes: Sequence[str]) -> Iterator[tuple[str, str]]:
    for some in _slices(indexes):
        question = select(member_index.c.value, member_index.c.member).where(member_index.c.value.in_(some))
        yield from connection.execute(question).tuples()


def _slices(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(values), MAX_VALUES):
        yield values[at : at + MAX_VALUES]
