"""Indexes for what a station with years of sales looks up: without them these questions read whole tables."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEXES = (
    ("journal_by_time", "journal", ["time_ms"]),
    ("sale_by_end", "sale", ["ended_ms", "id"]),
    ("link_by_sale", "link", ["sale"]),
    ("posting_by_sale", "posting", ["sale"]),
    ("correction_by_sale", "correction", ["sale"]),
    ("alert_by_state", "alert", ["state"]),
)


def upgrade() -> None:
    """Create every index."""
    for name, table, columns in INDEXES:
        op.create_index(name, table, columns)


def downgrade() -> None:
    """Drop every index."""
    for name, table, _ in reversed(INDEXES):
        op.drop_index(name, table)
