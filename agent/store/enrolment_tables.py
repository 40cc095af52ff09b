"""Tables of what a station knows about members by itself: who was enrolled here, who became whom, who was looked up.

Integers only, as in ``tables``. Never a number or a plate: of those, the member cache holds keyed indexes.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, String, Table, text

from agent.store.tables import metadata

MEMBER_ALIAS = Table(
    "member_alias",
    metadata,
    Column("ref", Integer, primary_key=True, nullable=False),
    Column("to_ref", Integer, nullable=False),
    Column("op", Integer, nullable=False),
    Column("at_ms", Integer, nullable=False),
    ForeignKeyConstraint(["ref"], ["member.ref"]),
    ForeignKeyConstraint(["to_ref"], ["member.ref"]),
    Index("member_alias_by_target", "to_ref"),
)
"""Head office merged member ``ref`` into ``to_ref``, which is nobody's alias itself: chains are kept short.

The ledger rows of ``ref`` stay as they were posted; everybody who reads a member reads its aliases too. ``op``: the
member change that said so.
"""

ENROLMENT = Table(
    "enrolment",
    metadata,
    Column("member", String, primary_key=True, nullable=False),
    Column("request", String, nullable=True),
    Column("by", String, nullable=False),
    Column("mask", String, nullable=False),
    Column("at_ms", Integer, nullable=False),
    Column("sale", String, nullable=True),
    Column("source", String, nullable=False),
    Index("enrolment_once", "request", unique=True, sqlite_where=text("request is not null")),
)
"""A provisional member enrolled here. ``source``: its record; ``request``: the asker's own name of the wish."""

LOOKUP = Table(
    "lookup",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("person", String, nullable=False),
    Column("period", String, nullable=False),
    Column("at_ms", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("hit", Integer, nullable=False),
    Column("terminal", String, nullable=False),
    Index("lookup_by_person", "person", "at_ms"),
)
"""Who looked a member up by phone or plate, and whether there was one; never by which number.

``period``: the shift or business day that the look-up counts for.
"""
