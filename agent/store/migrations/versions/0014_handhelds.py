"""Paired handhelds, and what their scans were answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "handheld",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("paired_ms", sa.Integer(), nullable=False),
        sa.Column("paired_by", sa.String(), nullable=False),
        sa.Column("seen_ms", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "handheld_answer",
        sa.Column("handheld", sa.String(), nullable=False),
        sa.Column("scan_id", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("handheld", "scan_id"),
    )
    op.create_index("handheld_answer_by_time", "handheld_answer", ["at_ms"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("handheld_answer")
    op.drop_table("handheld")
