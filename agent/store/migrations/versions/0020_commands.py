"""Commands of head office and their first results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "command",
        sa.Column("cmd_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("args", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("not_after_ms", sa.Integer(), nullable=False),
        sa.Column("received_ms", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("answered_ms", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("data", sa.String(), nullable=True),
        sa.CheckConstraint("(status is null) = (answered_ms is null)", name="command_answered"),
        sa.PrimaryKeyConstraint("cmd_id"),
    )
    op.create_index("command_by_time", "command", ["received_ms"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("command")
