"""Which one-time member codes were accepted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the replay table."""
    op.create_table(
        "spent_code",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("kid", "member", "cti")),
        sa.Column("expires_s", sa.Integer(), nullable=False),
        sa.Column("first_seen_ms", sa.Integer(), nullable=False),
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("scan", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("kid", "member", "cti"),
    )
    op.create_index("spent_code_by_end", "spent_code", ["expires_s"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("spent_code")
