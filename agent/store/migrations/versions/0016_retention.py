"""When each kind of data was last looked through for what is too old; who is who in the month of sales just parted."""

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
    op.create_table(
        "delivered_by",
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("until_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("at_ms"),
    )
    op.create_table(
        "pseudonym",
        sa.Column("member_ref", sa.Integer(), nullable=False),
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("ref", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["member_ref"], ["member.ref"]),
        sa.ForeignKeyConstraint(["ref"], ["member.ref"]),
        sa.PrimaryKeyConstraint("member_ref", "month"),
    )
    op.create_table(
        "carried_use",
        sa.Column("member_ref", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("offer", "window", "period")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("uses", "amount")),
        sa.ForeignKeyConstraint(["member_ref"], ["member.ref"]),
        sa.PrimaryKeyConstraint("member_ref", "offer", "window", "period"),
    )
    op.create_index("scan_event_by_time", "scan_event", ["at_ms"])
    op.create_index("link_named", "link", ["made_ms"], sqlite_where=sa.text("member_ref > 0"))


def downgrade() -> None:
    """Drop both."""
    op.drop_index("link_named", "link")
    op.drop_index("scan_event_by_time", "scan_event")
    for table in ("carried_use", "pseudonym", "delivered_by", "retention_run"):
        op.drop_table(table)
