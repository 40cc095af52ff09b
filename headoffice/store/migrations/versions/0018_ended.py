"""When an alert of head office itself ended; null while it stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """A column, empty: what was raised before stands until it is seen to have ended."""
    op.add_column("own_alert", sa.Column("ended_ms", BIG, nullable=True))
