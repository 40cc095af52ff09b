"""When each kind of data was last looked through for what is too old; scans are found by their age."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create table and index."""
    op.create_table(
        "retention_run",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("night", sa.String(), nullable=True),
        sa.Column("finished_ms", sa.Integer(), nullable=True),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.Column("going", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("scan_event_by_time", "scan_event", ["at_ms"])


def downgrade() -> None:
    """Drop both."""
    op.drop_index("scan_event_by_time", "scan_event")
    op.drop_table("retention_run")
