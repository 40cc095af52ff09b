"""Deliveries keep their end and what the gauge's own clock called their start, by which they are known again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INDEX = "ix_delivery_station_tank_console_start"


def upgrade() -> None:
    """Add three columns and their index."""
    op.add_column("delivery", sa.Column("end", sa.Text(), nullable=True))
    op.add_column("delivery", sa.Column("end_volume_ml", BIG, nullable=True))
    op.add_column("delivery", sa.Column("console_start", sa.Text(), nullable=True))
    op.create_index(INDEX, "delivery", ["station", "tank", "console_start"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index(INDEX, "delivery")
    for name in ("console_start", "end_volume_ml", "end"):
        op.drop_column("delivery", name)
