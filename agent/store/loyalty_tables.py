"""Tables of what a sale may spend (leases, coupons, quotes that hold both for a while) and of what rules were told.

Integers only, as in ``tables``; ``amount`` is minor units for a budget and points for a lease of points.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, String, Table, text

from agent.store.tables import metadata

LEASE = Table(
    "lease",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("granted", Integer, nullable=False),
    Column("spent", Integer, nullable=False, default=0),
    Column("expires_ms", Integer, nullable=False),
    Column("received_ms", Integer, nullable=False),
    Column("incarnation", String, nullable=False),
    Column("state", String, nullable=False),
    Column("ended_ms", Integer, nullable=True),
    Column("sale", String, nullable=True),
    CheckConstraint("kind in ('points', 'budget')", name="lease_kind_known"),
    CheckConstraint("state in ('open', 'closing', 'closed', 'void')", name="lease_state_known"),
    CheckConstraint("spent between 0 and granted", name="lease_not_overspent"),
    Index("lease_running", "kind", "subject", sqlite_where=text("state in ('open', 'closing')")),
)
"""What head office lets this incarnation spend of a member's points or a campaign's budget, and what is gone of it.

``subject``: the member's or the campaign's id. ``spent`` is the sum of its moves. ``incarnation``: to whom it was lent.
``sale``: whose customer waited for it, null where it is kept for whoever comes.
"""

LEASE_MOVE = Table(
    "lease_move",
    metadata,
    Column("source", String, primary_key=True, nullable=False),
    Column("lease", String, primary_key=True, nullable=False),
    Column("sale", String, nullable=True),
    Column("amount", Integer, nullable=False),
    Column("at_ms", Integer, nullable=False),
    ForeignKeyConstraint(["lease"], ["lease.id"]),
    Index("lease_move_by_lease", "lease"),
    Index("lease_move_by_sale", "sale"),
)
"""Spent of a lease by one record (``source``), or, below 0, come back to it."""

COUPON = Table(
    "coupon",
    metadata,
    Column("code", String, primary_key=True, nullable=False),
    Column("offer", String, nullable=False),
    Column("member", String, nullable=True),
    Column("station", String, nullable=True),
    Column("expires_on", String, nullable=True),
    Column("balance_minor", Integer, nullable=True),
    Column("learned_ms", Integer, nullable=False),
)
"""A coupon that was shown here with head office's signature; ``balance_minor`` as it was issued, null while whole."""

COUPON_USE = Table(
    "coupon_use",
    metadata,
    Column("sale", String, primary_key=True, nullable=False),
    Column("code", String, primary_key=True, nullable=False),
    Column("source", String, nullable=False),
    Column("offer", String, nullable=False),
    Column("value_minor", Integer, nullable=False),
    Column("left_minor", Integer, nullable=True),
    Column("used", Integer, nullable=False),
    Column("at_ms", Integer, nullable=False),
    Column("returned_ms", Integer, nullable=True),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
    ForeignKeyConstraint(["code"], ["coupon.code"]),
    Index("coupon_used_once", "code", unique=True, sqlite_where=text("used = 1 and returned_ms is null")),
    Index("coupon_use_by_code", "code"),
)
"""What a coupon gave on a sale. ``used``: it is spent for ever, unless the whole sale was given back."""

QUOTE = Table(
    "quote",
    metadata,
    Column("sale", String, primary_key=True, nullable=False),
    Column("member_ref", Integer, nullable=True),
    Column("rule_version", Integer, nullable=False),
    Column("rule_hash", String, nullable=False),
    Column("asked", String, nullable=False),
    Column("result", String, nullable=False),
    Column("uses", String, nullable=False),
    Column("station_uses", String, nullable=False),
    Column("by", String, nullable=False),
    Column("made_ms", Integer, nullable=False),
    Column("until_ms", Integer, nullable=False),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
    ForeignKeyConstraint(["member_ref"], ["member.ref"]),
)
"""A price told to a customer and held: the sale is Locked while this row stands. ``result``: the evaluation, as it is
committed by the settlement. ``uses`` and ``station_uses`` are in the counts already."""

HELD = Table(
    "held",
    metadata,
    Column("sale", String, primary_key=True, nullable=False),
    Column("kind", String, primary_key=True, nullable=False),
    Column("key", String, primary_key=True, nullable=False),
    Column("amount", Integer, nullable=False),
    ForeignKeyConstraint(["sale"], ["quote.sale"], ondelete="CASCADE"),
    CheckConstraint("kind in ('lease', 'coupon', 'points')", name="held_kind_known"),
    Index("held_coupon_once", "key", unique=True, sqlite_where=text("kind = 'coupon'")),
    Index("held_by_key", "key"),
)
"""What a quote holds until it is settled or released: an amount of a lease, a coupon, points of a member."""

PRICED = Table(
    "priced",
    metadata,
    Column("source", String, primary_key=True, nullable=False),
    Column("sale", String, nullable=False),
    Column("what", String, nullable=False),
    Column("member_ref", Integer, nullable=True),
    Column("rule_version", Integer, nullable=False),
    Column("rule_hash", String, nullable=False),
    Column("facts", String, nullable=True),
    Column("lines", String, nullable=False),
    Column("points_earned", Integer, nullable=False),
    Column("at_ms", Integer, nullable=False),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
    ForeignKeyConstraint(["member_ref"], ["member.ref"]),
    Index("priced_by_sale", "sale"),
    Index("priced_by_member", "member_ref"),
    CheckConstraint("what in ('settlement', 'link', 'late-link')", name="priced_what_known"),
)
"""What the rules were told when a sale was priced (``domain.rules.told``), so that the answer can be given again.

``source``: id of the record it led to; ``lines``: the verdicts, empty where the settlement itself has them; ``facts``:
null once the member was deleted.
"""
