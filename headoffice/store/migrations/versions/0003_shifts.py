"""Shifts of the stations: one row per opening and closing, as their records tell them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "shift",
        sa.Column("record", BIG, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("shift", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("number", BIG, nullable=True),
        sa.Column("opened_at", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("sales", BIG, nullable=True),
        sa.Column("sold_ml", BIG, nullable=True),
        sa.Column("moved_ml", BIG, nullable=True),
        sa.Column("gross_minor", BIG, nullable=True),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name="fk_shift_record"),
        sa.PrimaryKeyConstraint("record", name="pk_shift"),
    )
    op.create_index("ix_shift_station_shift", "shift", ["station", "shift"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("shift")
