"""When the database was put back from a copy; which points count no more because other sales have the litres."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Two tables, empty."""
    op.create_table(
        "restoration",
        sa.Column("at_ms", BIG, autoincrement=False, nullable=False),
        sa.Column("floor", BIG, nullable=False),
        sa.PrimaryKeyConstraint("at_ms", name="pk_restoration"),
    )
