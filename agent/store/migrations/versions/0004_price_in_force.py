"""From when on each nozzle has sold at which price."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the history of prices in force."""
    op.create_table(
        "price_in_force",
        sa.Column("fuelling_point", sa.Integer(), nullable=False),
        sa.Column("nozzle", sa.Integer(), nullable=False),
        sa.Column("since_ms", sa.Integer(), nullable=False),
        sa.Column("unit_price_milli", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("fuelling_point", "nozzle", "since_ms"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("price_in_force")
