"""Leases, coupons, and quotes that hold both; each posting names its record's place and what of its sale it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = ("lease", "lease_move", "coupon", "coupon_use", "quote", "held")

_PLACE = """
UPDATE posting SET (generation, seq) = (
    SELECT j.generation, j.seq FROM journal j
    WHERE j.id = posting.source AND j.generation IN (SELECT generation FROM incarnation)
    ORDER BY j.generation DESC LIMIT 1
) WHERE EXISTS (
    SELECT 1 FROM journal j
    WHERE j.id = posting.source AND j.generation IN (SELECT generation FROM incarnation)
)
"""


def upgrade() -> None:
    """Create six tables; postings of earlier versions keep their source as their rule."""
    op.add_column("posting", sa.Column("rule", sa.String(), nullable=False, server_default=""))
    op.add_column("posting", sa.Column("generation", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("posting", sa.Column("seq", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE posting SET rule = source")
    op.execute(_PLACE)
    once = sa.text("sale is not null")
    op.create_index("posting_once_per_rule", "posting", ["sale", "rule", "leg"], unique=True, sqlite_where=once)
    op.add_column("member", sa.Column("base_lots", sa.String(), nullable=False, server_default="[]"))
    op.add_column("member", sa.Column("as_of", sa.String(), nullable=True))
    # the dates of head office's lots were not kept before: the members are asked for again
    op.execute(
        "UPDATE meta SET value = '0' WHERE key = 'member_op' AND EXISTS (SELECT 1 FROM member WHERE base_points <> 0)"
    )
    op.add_column("link", sa.Column("clock_suspect", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("correction", sa.Column("request", sa.String(), nullable=True))
    asked = sa.text("request is not null")
    op.create_index("correction_once", "correction", ["sale", "request"], unique=True, sqlite_where=asked)
    _create_leases()
    _create_coupons()
    _create_quotes()


def downgrade() -> None:
    """Drop what ``upgrade`` made."""
    for name in reversed(TABLES):
        op.drop_table(name)
    op.drop_index("correction_once", "correction")
    op.drop_column("correction", "request")
    op.drop_column("link", "clock_suspect")
    for column in ("as_of", "base_lots"):
        op.drop_column("member", column)
    op.drop_index("posting_once_per_rule", "posting")
    for column in ("seq", "generation", "rule"):
        op.drop_column("posting", column)


def _create_leases() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.Column("spent", sa.Integer(), nullable=False),
        sa.Column("expires_ms", sa.Integer(), nullable=False),
        sa.Column("received_ms", sa.Integer(), nullable=False),
        sa.Column("incarnation", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("ended_ms", sa.Integer(), nullable=True),
        sa.CheckConstraint("kind in ('points', 'budget')", name="lease_kind_known"),
        sa.CheckConstraint("state in ('open', 'closing', 'closed', 'void')", name="lease_state_known"),
        sa.CheckConstraint("spent between 0 and granted", name="lease_not_overspent"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("lease_running", "lease", ["kind", "subject"], sqlite_where=sa.text("state in ('open', 'closing')"))
    op.create_table(
        "lease_move",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("lease", sa.String(), nullable=False),
        sa.Column("sale", sa.String(), nullable=True),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["lease"], ["lease.id"]),
        sa.PrimaryKeyConstraint("source", "lease"),
    )
    op.create_index("lease_move_by_lease", "lease_move", ["lease"])
    op.create_index("lease_move_by_sale", "lease_move", ["sale"])


def _create_coupons() -> None:
    op.create_table(
        "coupon",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("offer", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=True),
        sa.Column("station", sa.String(), nullable=True),
        sa.Column("expires_on", sa.String(), nullable=True),
        sa.Column("balance_minor", sa.Integer(), nullable=True),
        sa.Column("learned_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("code"),
    )
    op.create_table(
        "coupon_use",
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("offer", sa.String(), nullable=False),
        sa.Column("value_minor", sa.Integer(), nullable=False),
        sa.Column("left_minor", sa.Integer(), nullable=True),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("returned_ms", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["sale"], ["sale.id"]),
        sa.ForeignKeyConstraint(["code"], ["coupon.code"]),
        sa.PrimaryKeyConstraint("sale", "code"),
    )
    once = sa.text("used = 1 and returned_ms is null")
    op.create_index("coupon_used_once", "coupon_use", ["code"], unique=True, sqlite_where=once)
    op.create_index("coupon_use_by_code", "coupon_use", ["code"])


def _create_quotes() -> None:
    op.create_table(
        "quote",
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("member_ref", sa.Integer(), nullable=True),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("rule_hash", sa.String(), nullable=False),
        sa.Column("asked", sa.String(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("uses", sa.String(), nullable=False),
        sa.Column("station_uses", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("made_ms", sa.Integer(), nullable=False),
        sa.Column("until_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["sale"], ["sale.id"]),
        sa.ForeignKeyConstraint(["member_ref"], ["member.ref"]),
        sa.PrimaryKeyConstraint("sale"),
    )
    op.create_table(
        "held",
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["sale"], ["quote.sale"], ondelete="CASCADE"),
        sa.CheckConstraint("kind in ('lease', 'coupon', 'points')", name="held_kind_known"),
        sa.PrimaryKeyConstraint("sale", "kind", "key"),
    )
    only = sa.text("kind = 'coupon'")
    op.create_index("held_coupon_once", "held", ["key"], unique=True, sqlite_where=only)
    op.create_index("held_by_key", "held", ["key"])
