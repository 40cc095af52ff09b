"""When this database was put back from a copy, and from where its numbers went on then; points that count no more.

Works inside the caller's transaction. Knows numbers; knows no reason to restore.
"""

from __future__ import annotations

from sqlalchemy import Column, Connection, Table, case, func, select, update

from headoffice.store.buckets_schema import member_bucket
from headoffice.store.schema import BIG, head, member, metadata, station

restoration = Table(
    "restoration",
    metadata,
    Column("at_ms", BIG, primary_key=True, autoincrement=False),
    Column("floor", BIG, nullable=False),
)
"""``floor``: the number that the head, the changes of members and the key set went on from."""


def newest_ms(connection: Connection) -> int | None:
    """Return when this database was last put back, ``None`` where it never was."""
    found: int | None = connection.execute(select(func.max(restoration.c.at_ms))).scalar_one()
    return found


def floor(connection: Connection) -> int:
    """Return the number that nothing may be numbered below any more; 0 where no copy was ever put back."""
    return int(connection.execute(select(func.coalesce(func.max(restoration.c.floor), 0))).scalar_one())


def newest_sign_ms(connection: Connection) -> int:
    """Return the newest instant this database knows of; 0 where it knows none."""
    heard = func.coalesce(select(func.max(station.c.last_heard_ms)).scalar_subquery(), 0)
    made = func.coalesce(select(func.max(head.c.made_ms)).scalar_subquery(), 0)
    return int(connection.execute(select(case((heard > made, heard), else_=made))).scalar_one())


def move_members(connection: Connection, by: int) -> int:
    """Raise the number of every member's change, in their order; return how many members there are.

    Every station is told each of them anew, and fetches those buckets whose members differ.
    """
    buckets = update(member_bucket).where(member_bucket.c.op > 0).values(op=member_bucket.c.op + by)
    connection.execute(buckets)
    return connection.execute(update(member).values(op=member.c.op + by)).rowcount


def note(connection: Connection, at_ms: int, number: int) -> None:
    """Keep that the database was put back, and from where it went on."""
    connection.execute(restoration.insert().values(at_ms=at_ms, floor=number))
