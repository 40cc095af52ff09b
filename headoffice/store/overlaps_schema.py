"""The tables of sales that were put aside for their litres, and of postings that count no more."""

from __future__ import annotations

from sqlalchemy import Column, ColumnElement, PrimaryKeyConstraint, Table, Text, and_, exists

from headoffice.store.schema import BIG, metadata

overlapped_sale = Table(
    "overlapped_sale",
    metadata,
    Column("station", Text, nullable=False),
    Column("sale", Text, nullable=False),
    Column("fuelling_point", BIG, nullable=False),
    Column("nozzle", BIG, nullable=False),
    Column("start_key", Text, nullable=False),
    Column("end_key", Text, nullable=False),
    PrimaryKeyConstraint("station", "sale"),
)
"""A sale that is a dead letter because others have its litres, and between which meter keys they lie."""

annulled_posting = Table(
    "annulled_posting",
    metadata,
    Column("record", BIG, nullable=False, autoincrement=False),
    Column("place", BIG, nullable=False, autoincrement=False),
    PrimaryKeyConstraint("record", "place"),
)
"""A posting that stands, as its record says, and counts in no balance."""


def counts(posting: Table) -> ColumnElement[bool]:
    """The condition that a posting counts in balances."""
    same = and_(annulled_posting.c.record == posting.c.record, annulled_posting.c.place == posting.c.place)
    return ~exists().where(same)
