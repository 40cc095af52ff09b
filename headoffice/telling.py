"""Tells stations what members have by now: imported points and every posting, and which records that includes (W-44).

Knows whose balance changed and how it is told. Knows no broker and no clock: the caller says when.
"""

from __future__ import annotations

from headoffice.store import balances, members
from headoffice.store.database import Database, Transaction

MEMBERS_AT_ONCE = 200
"""Members told in one go: about 80 KB to every station, so that a busy evening does not fill a thin line."""


def tell_balances(database: Database) -> int:
    """Give a change to each member whose balance changed since it was told; returns how many.

    At most MEMBERS_AT_ONCE, the oldest first. What a record changed while this runs is told the next time.
    """
    with database.read() as connection:
        if not balances.any_due(connection):
            return 0
    return database.transact(_tell)


def _tell(connection: Transaction) -> int:
    waiting = balances.take_due(connection, MEMBERS_AT_ONCE)
    for name, places in waiting.items():
        for place in places:
            balances.note_place(connection, name, place)
    return sum(_tell_one(connection, name) for name in waiting)


def _tell_one(connection: Transaction, name: str) -> int:
    body = members.body(connection, name)
    if body is None:
        return 0
    told = balances.body_with_balance(connection, body, balances.base(connection, name))
    told["growth_stands"] = True  # it was imported: a station that knows the member has counted on since
    return int(members.tell(connection, told, members.next_op(connection)))
