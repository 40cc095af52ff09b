"""Contactless cards that sign: their keys, closed, and their counters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; head office tells its cards again with the next change of their members."""
    op.create_table(
        "card",
        sa.Column("card_id", sa.LargeBinary(), nullable=False),
        sa.Column("member_ref", sa.Integer(), nullable=True),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=True),
        sa.Column("key_mark", sa.LargeBinary(), nullable=True),
        sa.Column("random_uid", sa.Integer(), nullable=False),
        sa.Column("clearance", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=True),
        sa.Column("seen_ms", sa.Integer(), nullable=True),
        sa.Column("scan", sa.String(), nullable=True),
        sa.Column("gone_ms", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["member_ref"], ["member.ref"]),
        sa.PrimaryKeyConstraint("card_id"),
    )
    op.create_index("card_by_member", "card", ["member_ref"])
    op.create_index("card_by_end", "card", ["gone_ms"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("card")
