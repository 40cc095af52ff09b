"""The tables of what stations may spend: leases, what they took, whose balance is to be told, which coupon is held.

Points themselves have no table: a balance is what was imported and the postings of the accepted records. Its own file,
as ``schema`` is full. No key into ``record``, which may be in parts.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from headoffice.store.schema import BIG, metadata


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _big(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BIG, nullable=null)


def _number() -> Column[int]:
    return Column("number", BIG, primary_key=True, autoincrement=True)


life = Table(
    "life",
    metadata,
    _number(),
    _text("station"),
    _text("incarnation"),
    UniqueConstraint("station", "incarnation"),
)
"""The incarnations of a station in the order in which their first records came."""

pool = Table(
    "pool",
    metadata,
    _text("kind"),
    _text("subject"),
    _big("amount"),
    _big("made_ms"),
    PrimaryKeyConstraint("kind", "subject"),
)
"""What is lent from: a member's points (``amount`` 0: they are counted) or a campaign's budget. Each grant locks it."""

lease = Table(
    "lease",
    metadata,
    Column("id", Text, primary_key=True),
    _text("kind"),
    _text("subject"),
    _text("station"),
    _text("incarnation"),
    _big("amount"),
    _big("after_seq"),
    _text("state"),
    _big("spent"),
    _big("reclaimed"),
    _big("overrun"),
    _text("req_id"),
    _text("sale", null=True),
    _text("said", null=True),
    _big("granted_ms"),
    _big("expires_ms"),
    _big("ended_ms", null=True),
    UniqueConstraint("station", "req_id"),
    Index(None, "kind", "subject"),
)
"""A lease. ``spent`` by the records that came, ``overrun`` beyond it; ``said``: confirmed or released."""

lease_move = Table(
    "lease_move",
    metadata,
    _big("record"),
    _big("place"),
    _text("lease", null=True),
    _text("kind"),
    _text("subject"),
    _text("sale", null=True),
    _big("amount"),
    PrimaryKeyConstraint("record", "place"),
    Index(None, "lease"),
    Index(None, "kind", "subject"),
)
"""What one record took from a lease, or below 0 gave back: to it, or (``lease`` null) to what is free."""

point_lot = Table(
    "point_lot",
    metadata,
    _big("record"),
    _big("place"),
    _text("lot"),
    _big("earned_ms"),
    _big("usable_from_ms", null=True),
    _text("expires_on", null=True),
    PrimaryKeyConstraint("record", "place"),
    Index(None, "lot"),
)
"""The terms of a lot, as the records say that made it or changed it; the last one counts."""

member_alias = Table(
    "member_alias",
    metadata,
    Column("member", Text, primary_key=True),
    _text("became"),
    Index(None, "became"),
)
"""Who a merged member is by now."""

member_base = Table("member_base", metadata, Column("member", Text, primary_key=True), _text("lots"))
"""The lots that were imported, of members whose told lots include postings of stations."""

member_place = Table(
    "member_place",
    metadata,
    _text("member"),
    _text("station"),
    _text("incarnation"),
    _big("seq"),
    PrimaryKeyConstraint("member", "station"),
)
"""Up to where a member's told balance includes a station's records."""

tell_due = Table(
    "tell_due",
    metadata,
    _number(),
    _text("member"),
    _text("station", null=True),
    _text("incarnation", null=True),
    _big("seq", null=True),
)
"""Members whose balance changed and was not told yet, by the record that changed it. Rows are only added and taken."""

coupon_mark = Table(
    "coupon_mark",
    metadata,
    Column("code", Text, primary_key=True),
    _text("station"),
    _text("sale"),
    _text("state"),
    _big("marked_ms"),
)
"""A coupon that is ``held`` for a sale or ``used`` by it."""
