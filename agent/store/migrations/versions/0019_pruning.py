"""Hashes of records that were delivered and deleted, and how far head office had the journal each night."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "journal_hash",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "stream", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "delivered_to",
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("at_ms", "generation", "stream"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("delivered_to")
    op.drop_table("journal_hash")
