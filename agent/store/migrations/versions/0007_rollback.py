"""What the price at the pump was lowered from, and by which offer, beside each sale made so."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = (("rollback_offer", sa.String()), ("list_price_milli", sa.Integer()))


def upgrade() -> None:
    """Add two columns that older sales leave empty."""
    for name, kind in COLUMNS:
        op.add_column("sale", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    """Drop them."""
    for name, _ in COLUMNS:
        op.drop_column("sale", name)
