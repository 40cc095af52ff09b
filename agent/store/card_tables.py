"""Table of contactless cards; a part of the station's database beside ``tables``. Never an id, never a plain key."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, LargeBinary, String, Table

from agent.store.tables import metadata

CARD = Table(
    "card",
    metadata,
    Column("card_id", LargeBinary, primary_key=True, nullable=False),
    Column("member_ref", Integer, nullable=True),
    Column("sealed_key", LargeBinary, nullable=True),
    Column("key_mark", LargeBinary, nullable=True),
    Column("random_uid", Integer, nullable=False),
    Column("clearance", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    Column("counter", Integer, nullable=True),
    Column("seen_ms", Integer, nullable=True),
    Column("scan", String, nullable=True),
    Column("gone_ms", Integer, nullable=True),
    ForeignKeyConstraint(["member_ref"], ["member.ref"]),
    Index("card_by_member", "member_ref"),
    Index("card_by_end", "gone_ms"),
)
"""A card that signs. ``card_id``: keyed digest of its id; ``sealed_key``: its key, closed by the station's field key.

``key_mark``: which key the counter belongs to, as a digest. ``counter``: the last accepted, by ``scan``. ``held``: it
earns only, until head office tells a higher ``clearance``. ``gone_ms``: since when its key is not in the cache; the
counter stays for a while, so that a card that comes back is no new one.
"""
