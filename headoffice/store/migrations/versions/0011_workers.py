"""Which workers serve this head office, for people; who holds what is a matter of locks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "worker",
        sa.Column("number", BIG, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started_ms", BIG, nullable=False),
        sa.Column("beat_ms", BIG, nullable=False),
        sa.Column("taken", BIG, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_worker"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("worker")
