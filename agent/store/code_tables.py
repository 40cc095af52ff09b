"""Tables of signed member codes; a part of the station's database beside ``tables``. Never a code's text."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table

from agent.store.tables import metadata

SPENT_CODE = Table(
    "spent_code",
    metadata,
    Column("kid", String, primary_key=True, nullable=False),
    Column("member", String, primary_key=True, nullable=False),
    Column("cti", String, primary_key=True, nullable=False),
    Column("expires_s", Integer, nullable=False),
    Column("first_seen_ms", Integer, nullable=False),
    Column("reader", String, nullable=False),
    Column("scan", String, nullable=False),
    Index("spent_code_by_end", "expires_s"),
)
"""A one-time code that was accepted, by its signed fields (lower-case hex). ``scan``: the event that spent it."""
