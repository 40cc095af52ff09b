"""Tables of paired handhelds; a part of the station's database beside ``tables``. Never a scanned text, never a key."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table

from agent.store.tables import metadata

HANDHELD = Table(
    "handheld",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("kind", String, nullable=False),
    Column("proof", LargeBinary, nullable=False),
    Column("count", Integer, nullable=False),
    Column("paired_ms", Integer, nullable=False),
    Column("paired_by", String, nullable=False),
    Column("seen_ms", Integer, nullable=True),
)
"""A device that may ask. ``kind``: "page" or "native". ``proof``: of a page the SHA-256 of its cookie, of a native
application the salt that its key is derived with. ``count``: of its last signed request."""

HANDHELD_ANSWER = Table(
    "handheld_answer",
    metadata,
    Column("handheld", String, primary_key=True, nullable=False),
    Column("scan_id", String, primary_key=True, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("answer", String, nullable=False),
    Column("at_ms", Integer, nullable=False),
    Index("handheld_answer_by_time", "at_ms"),
)
"""What a scan was answered, so that asking again changes nothing. ``digest``: keyed, of the text that was scanned."""
