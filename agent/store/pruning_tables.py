"""Tables of what delivered records leave behind when they leave the journal; a part of the station's database."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from agent.store.tables import metadata

JOURNAL_HASH = Table(
    "journal_hash",
    metadata,
    Column("generation", Integer, primary_key=True, nullable=False),
    Column("stream", String, primary_key=True, nullable=False),
    Column("seq", Integer, primary_key=True, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""The hash of a record that was delivered and deleted: what head office says of it can be compared for ever (W-22)."""

DELIVERED_TO = Table(
    "delivered_to",
    metadata,
    Column("at_ms", Integer, primary_key=True, nullable=False),
    Column("generation", Integer, primary_key=True, nullable=False),
    Column("stream", String, primary_key=True, nullable=False),
    Column("seq", Integer, nullable=False),
)
"""One row a night and stream: at ``at_ms`` head office had everything of the running incarnation up to ``seq``."""
