"""Staff with their sign-ins, shifts of the station, and litres that were dispensed and not sold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the five tables."""
    _people()
    op.create_table(
        "shift",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("from_ms", sa.Integer(), nullable=False),
        sa.Column("opened_ms", sa.Integer(), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("open_request", sa.String(), nullable=True),
        sa.Column("open_marks", sa.String(), nullable=False),
        sa.Column("closed_ms", sa.Integer(), nullable=True),
        sa.Column("closed_by", sa.String(), nullable=True),
        sa.Column("close_request", sa.String(), nullable=True),
        sa.Column("close_marks", sa.String(), nullable=True),
        sa.Column("counted", sa.String(), server_default="{}", nullable=False),
        sa.Column("report", sa.String(), nullable=True),
        sa.Column("open", sa.Integer(), nullable=True),
        sa.UniqueConstraint("number"),
        sa.UniqueConstraint("open_request"),
        sa.UniqueConstraint("close_request"),
        sa.UniqueConstraint("open"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "fuel_use",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("fuelling_point", sa.Integer(), nullable=False),
        sa.Column("nozzle", sa.Integer(), nullable=False),
        sa.Column("volume_ml", sa.Integer(), nullable=False),
        sa.Column("sale", sa.String(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("request", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["sale"], ["sale.id"]),
        sa.CheckConstraint("what in ('meter-test', 'own-use') and volume_ml > 0", name="fuel_use_known"),
        sa.UniqueConstraint("sale"),
        sa.UniqueConstraint("request"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("fuel_use_by_time", "fuel_use", ["at_ms"])


def _people() -> None:
    op.create_table(
        "staff",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("pin_hash", sa.String(), nullable=True),
        sa.Column("badge", sa.LargeBinary(), nullable=True),
        sa.Column("added_ms", sa.Integer(), nullable=False),
        sa.CheckConstraint("role in ('attendant', 'supervisor', 'technician')", name="staff_role_known"),
        sa.UniqueConstraint("badge"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "staff_lock",
        sa.Column("staff", sa.String(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("boot", sa.String(), nullable=True),
        sa.Column("until_mono_ms", sa.Integer(), nullable=True),
        sa.Column("until_ms", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("staff"),
    )
    op.create_table(
        "attendance",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("staff", sa.String(), nullable=False),
        sa.Column("terminal", sa.String(), nullable=False),
        sa.Column("since_ms", sa.Integer(), nullable=False),
        sa.Column("until_ms", sa.Integer(), nullable=True),
        sa.Column("ended", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    here = sa.text("until_ms is null")
    op.create_index("attendance_one_each", "attendance", ["terminal"], unique=True, sqlite_where=here)
    op.create_index("attendance_by_end", "attendance", ["until_ms"])


def downgrade() -> None:
    """Drop them."""
    for table in ("fuel_use", "shift", "attendance", "staff_lock", "staff"):
        op.drop_table(table)
