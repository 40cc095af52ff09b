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
    """Three tables, empty."""
    op.create_table(
        "restoration",
        sa.Column("at_ms", BIG, autoincrement=False, nullable=False),
        sa.Column("floor", BIG, nullable=False),
        sa.PrimaryKeyConstraint("at_ms", name="pk_restoration"),
    )
    op.create_table(
        "overlapped_sale",
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("sale", sa.Text(), nullable=False),
        sa.Column("fuelling_point", BIG, nullable=False),
        sa.Column("nozzle", BIG, nullable=False),
        sa.Column("start_key", sa.Text(), nullable=False),
        sa.Column("end_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("station", "sale", name="pk_overlapped_sale"),
    )
    op.create_table(
        "annulled_posting",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("place", BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("record", "place", name="pk_annulled_posting"),
    )
