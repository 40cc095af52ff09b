"""Claims of terminals on payable sales; what links and scans tell beside: scan, lateness, attendant, sale, clock."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table and the columns; what was linked and scanned before has none of it."""
    op.create_table(
        "claim",
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("terminal", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=True),
        sa.Column("until_ms", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["sale"], ["sale.id"]),
        sa.PrimaryKeyConstraint("sale"),
    )
    op.add_column("link", sa.Column("scan", sa.String(), nullable=True))
    op.add_column("link", sa.Column("late", sa.Integer(), server_default="0", nullable=False))
    op.add_column("scan_event", sa.Column("attendant", sa.String(), nullable=True))
    op.add_column("scan_event", sa.Column("sale", sa.String(), nullable=True))
    op.add_column("scan_event", sa.Column("clock_suspect", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    """Drop them."""
    op.drop_table("claim")
    for table, column in (
        ("link", "scan"),
        ("link", "late"),
        ("scan_event", "attendant"),
        ("scan_event", "sale"),
        ("scan_event", "clock_suspect"),
    ):
        op.drop_column(table, column)
