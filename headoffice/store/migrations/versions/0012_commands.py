"""Commands to stations and what came of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "command",
        sa.Column("cmd_id", sa.Text(), nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_ms", BIG, nullable=False),
        sa.Column("not_after_ms", BIG, nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("sends", BIG, nullable=False),
        sa.Column("sent_ms", BIG, nullable=True),
        sa.Column("next_ms", BIG, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("answered_ms", BIG, nullable=True),
        sa.PrimaryKeyConstraint("cmd_id", name="pk_command"),
    )
    op.create_index("ix_command_station_status", "command", ["station", "status"])
    op.create_index("ix_command_status_next_ms", "command", ["status", "next_ms"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("command")
