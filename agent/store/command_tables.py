"""Table of head office's commands; a part of the station's database beside ``tables``."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, String, Table

from agent.store.tables import metadata

COMMAND = Table(
    "command",
    metadata,
    Column("cmd_id", String, primary_key=True, nullable=False),
    Column("kind", String, nullable=False),
    Column("args", String, nullable=False),
    Column("by", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("not_after_ms", Integer, nullable=False),
    Column("received_ms", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("answered_ms", Integer, nullable=True),
    Column("status", String, nullable=True),
    Column("reason", String, nullable=True),
    Column("data", String, nullable=True),
    CheckConstraint("(status is null) = (answered_ms is null)", name="command_answered"),
    Index("command_by_time", "received_ms"),
)
"""A command whose signature was good, and its first result: a repeat of ``cmd_id`` gets it again.

``args``, ``data``: JSON. ``digest``: of what was signed. ``tries``: how often it was begun; a result ends that.
"""
