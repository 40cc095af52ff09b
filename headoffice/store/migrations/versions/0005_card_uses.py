"""Which counters of signing cards were seen where and when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table; links before it are not looked at again."""
    op.create_table(
        "card_use",
        sa.Column("record", BIG, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("counter", BIG, nullable=False),
        sa.Column("at_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name="fk_card_use_record"),
        sa.PrimaryKeyConstraint("record", name="pk_card_use"),
    )
    op.create_index("ix_card_use_card_counter", "card_use", ["card", "counter"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("card_use")
