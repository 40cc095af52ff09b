"""Two ids of one member become one: what names the old id is moved or stays as posted, so that no point is lost.

Works on rows inside the caller's transaction. That they are one person, head office says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from agent.store.card_tables import CARD
from agent.store.enrolment_tables import MEMBER_ALIAS
from agent.store.fraud import FraudTable
from agent.store.loyalty_tables import HELD, LEASE, PRICED, QUOTE
from agent.store.prepared import Found
from agent.store.spending import POINTS, POINTS_HOLD
from agent.store.tables import LINK, MEMBER, MEMBER_INDEX, SETTLEMENT, USE_COUNT

_ALIASES = select(MEMBER_ALIAS.c.ref)
_NOBODY = {
    "tier": "",
    "growth": 0,
    "tags": "[]",
    "mask": "****",
    "birthday_md": None,
    "flags": "[]",
    "visits": 0,
    "first_fill_used": 0,
    "known": 0,
    "tank_ml": None,
}
"""What is left of the person in the row of an id that was merged; its base stands until a newer one includes it."""


def is_alias(connection: Connection, ref: int) -> bool:
    """Return whether a surrogate is that of an id merged into another one."""
    return connection.execute(_ALIASES.where(MEMBER_ALIAS.c.ref == ref)).first() is not None


def aliases_among(connection: Connection, refs: Iterable[int]) -> frozenset[int]:
    """Return which of these surrogates are those of ids merged into others."""
    return _among(connection, "SELECT ref FROM member_alias WHERE ref IN (SELECT value FROM json_each(?))", refs)


_OWNERS = "SELECT DISTINCT to_ref FROM member_alias WHERE to_ref IN (SELECT value FROM json_each(?))"


def included(connection: Connection, refs: Iterable[int]) -> None:
    """Head office told these members anew: what it tells includes the ids merged into them, up to the same place."""
    for ref in _among(connection, _OWNERS, refs):
        merged = _ALIASES.where(MEMBER_ALIAS.c.to_ref == ref)
        as_of = select(MEMBER.c.as_of).where(MEMBER.c.ref == ref).scalar_subquery()
        values = {"base_points": 0, "base_lots": "[]", "as_of": as_of}
        connection.execute(update(MEMBER).where(MEMBER.c.ref.in_(merged)).values(values))


def _among(connection: Connection, question: str, refs: Iterable[int]) -> frozenset[int]:
    if connection.exec_driver_sql("SELECT 1 FROM member_alias LIMIT 1").first() is None:
        return frozenset()
    return frozenset(connection.exec_driver_sql(question, (json.dumps(list(refs)),)).scalars())


def merge(connection: Connection, old: Found, target: Found, *, op: int, at_ms: int) -> None:
    """Make everything of ``old`` the target's; both are whole rows of members, and ``target`` is nobody's alias.

    Links, settlements, held quotes, leases, counts and signing cards change hands. Postings, lots and who was granted
    points stay as they were written: they are read together with the target's, each up to what its own base includes
    (W-44).
    """
    here, there = int(old["ref"]), int(target["ref"])
    _settlements(connection, here, there)
    for table in (LINK, PRICED, QUOTE, MEMBER_INDEX, CARD):
        _move(connection, table, here, there)
    FraudTable(connection).merged(here, there)
    held = (HELD.c.kind == POINTS_HOLD) & (HELD.c.key == str(here))
    connection.execute(update(HELD).where(held).values(key=str(there)))
    lent = (LEASE.c.kind == POINTS) & (LEASE.c.subject == old["id"])
    connection.execute(update(LEASE).where(lent).values(subject=target["id"]))
    _counts(connection, old, target)
    connection.execute(update(MEMBER_ALIAS).where(MEMBER_ALIAS.c.to_ref == here).values(to_ref=there))
    connection.execute(insert(MEMBER_ALIAS), {"ref": here, "to_ref": there, "op": op, "at_ms": at_ms})


def _move(connection: Connection, table: Table, here: int, there: int) -> None:
    connection.execute(update(table).where(table.c.member_ref == here).values(member_ref=there))


def _settlements(connection: Connection, here: int, there: int) -> None:
    """Found by the links of the member: the table has no index of its own, and there are years of it."""
    theirs = SETTLEMENT.c.sale.in_(select(LINK.c.sale).where(LINK.c.member_ref == here))
    connection.execute(update(SETTLEMENT).where(theirs & (SETTLEMENT.c.member_ref == here)).values(member_ref=there))


def _counts(connection: Connection, old: Found, target: Found) -> None:
    """Uses, visits and growth add up: what was used under either id is used."""
    here, there = int(old["ref"]), int(target["ref"])
    for row in connection.execute(select(USE_COUNT).where(USE_COUNT.c.subject == here)).mappings().all():
        _add_use(connection, {**row, "subject": there})
    connection.execute(delete(USE_COUNT).where(USE_COUNT.c.subject == here))
    sums = {name: target[name] + old[name] for name in ("visits", "growth")}
    first = max(target["first_fill_used"], old["first_fill_used"])
    connection.execute(update(MEMBER).where(MEMBER.c.ref == there).values(**sums, first_fill_used=first))
    connection.execute(update(MEMBER).where(MEMBER.c.ref == here).values(**_NOBODY))


def _add_use(connection: Connection, use: dict[str, Any]) -> None:
    table = USE_COUNT
    key = {name: use[name] for name in ("subject", "offer", "window", "period")}
    same = [table.c[name] == value for name, value in key.items()]
    more = {name: table.c[name] + use[name] for name in ("uses", "amount")}
    if connection.execute(update(table).where(*same).values(**more)).rowcount == 0:
        connection.execute(insert(table), {**key, "uses": use["uses"], "amount": use["amount"]})
