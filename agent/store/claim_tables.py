"""The table of claims: who works on a payable sale. Its own file, as ``tables`` is full."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Integer, String, Table

from agent.store.tables import metadata

CLAIM = Table(
    "claim",
    metadata,
    Column("sale", String, primary_key=True, nullable=False),
    Column("terminal", String, nullable=False),
    Column("person", String, nullable=True),
    Column("until_ms", Integer, nullable=True),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
)
"""A terminal (reader, handheld or ``cli``) works on a sale. ``until_ms``: null while it is being paid there."""
