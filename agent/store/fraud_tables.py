"""Tables of the signs of misuse; a part of the station's database beside ``tables``. Members by surrogate only."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, String, Table, text

from agent.store.tables import metadata

FRAUD_ALERT = Table(
    "fraud_alert",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("rule", String, nullable=False),
    Column("member_ref", Integer, nullable=True),
    Column("attendant", String, nullable=True),
    Column("day", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("from_ms", Integer, nullable=False),
    Column("to_ms", Integer, nullable=False),
    Column("observed", Integer, nullable=False),
    Column("threshold", Integer, nullable=False),
    Column("median", Integer, nullable=True),
    Column("unit", String, nullable=False),
    Column("other_ref", Integer, nullable=True),
    Column("other", String, nullable=True),
    Column("raised_ms", Integer, nullable=False),
    Column("updated_ms", Integer, nullable=False),
    Column("updates", Integer, nullable=False),
    Column("verdict", String, nullable=True),
    Column("reviewed_ms", Integer, nullable=True),
    ForeignKeyConstraint(["member_ref"], ["member.ref"]),
    ForeignKeyConstraint(["other_ref"], ["member.ref"]),
    CheckConstraint("severity in ('info', 'alert')", name="fraud_severity_known"),
    CheckConstraint("verdict is null or verdict in ('confirmed', 'harmless', 'unclear')", name="fraud_verdict_known"),
    CheckConstraint("(member_ref is null) <> (attendant is null)", name="fraud_one_subject"),
    Index(
        "fraud_alert_once",
        "rule",
        "day",
        text("coalesce(member_ref, 0)"),
        text("coalesce(attendant, '')"),
        unique=True,
    ),
    Index("fraud_alert_by_time", "raised_ms"),
    Index("fraud_alert_by_member", "member_ref", "rule"),
    Index("fraud_alert_by_attendant", "attendant", "rule"),
)
"""What a rule saw: one row per rule, subject (a member or an attendant) and local day. ``observed``, ``threshold`` and
``median`` in ``unit``; ``other_ref`` or ``other``: the member or attendant it happened with; ``verdict``: that of the
newest review, null where none was since anything was added.
"""

FRAUD_ALERT_SALE = Table(
    "fraud_alert_sale",
    metadata,
    Column("sale", String, primary_key=True, nullable=False),
    Column("alert", String, primary_key=True, nullable=False),
    Column("effect", String, nullable=False),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
    ForeignKeyConstraint(["alert"], ["fraud_alert.id"], ondelete="CASCADE"),
    CheckConstraint("effect in ('none', 'doubtful', 'hold', 'no_points')", name="fraud_effect_known"),
    Index("fraud_alert_sale_by_alert", "alert"),
)
"""A sale that an alert names, and what the alert does to its points."""

FRAUD_CODE = Table(
    "fraud_code",
    metadata,
    Column("code", String, primary_key=True, nullable=False),
    Column("alert", String, primary_key=True, nullable=False),
    ForeignKeyConstraint(["alert"], ["fraud_alert.id"], ondelete="CASCADE"),
    Index("fraud_code_by_alert", "alert"),
)
"""A one-time code shown again while its first scan still waited for a sale: that sale's points are held."""

FRAUD_REVIEW = Table(
    "fraud_review",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("alert", String, nullable=False),
    Column("verdict", String, nullable=False),
    Column("note", String, nullable=False),
    Column("by", String, nullable=False),
    Column("role", String, nullable=False),
    Column("at_ms", Integer, nullable=False),
    ForeignKeyConstraint(["alert"], ["fraud_alert.id"], ondelete="CASCADE"),
    Index("fraud_review_by_alert", "alert"),
)
"""What people found out about an alert; the newest counts, the older ones stay."""
