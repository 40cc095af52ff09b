"""The table of commands to stations; a part of head office's database beside ``schema``."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, Text

from headoffice.store.schema import BIG, metadata

command = Table(
    "command",
    metadata,
    Column("cmd_id", Text, primary_key=True),
    Column("station", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("args", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_ms", BIG, nullable=False),
    Column("not_after_ms", BIG, nullable=False),
    Column("jws", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("sends", BIG, nullable=False),
    Column("sent_ms", BIG, nullable=True),
    Column("next_ms", BIG, nullable=False),
    Column("reason", Text, nullable=True),
    Column("result", Text, nullable=True),
    Column("answered_ms", BIG, nullable=True),
    Index(None, "station", "status"),
    Index(None, "status", "next_ms"),
)
"""A command from its order to its first result. ``args``, ``result``: JSON; ``next_ms``: not said by time before."""
