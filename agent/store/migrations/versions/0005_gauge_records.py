"""What gauge consoles remember: deliveries, alarm history and strapping tables, each kept once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

VOLUMES = ("volume_ml", "tc_volume_ml", "height_um", "water_height_um", "temperature_mdegc")


def upgrade() -> None:
    """Create three tables."""
    op.create_table(
        "tank_delivery",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("gauge", sa.String(), nullable=False),
        sa.Column("tank", sa.Integer(), nullable=False),
        sa.Column("grade", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("console_start", sa.String(), nullable=False),
        sa.Column("console_end", sa.String(), nullable=False),
        sa.Column("start_ms", sa.Integer(), nullable=False),
        sa.Column("end_ms", sa.Integer(), nullable=True),
        sa.Column("time_source", sa.String(), nullable=False),
        *(sa.Column(f"{side}_{name}", sa.Integer(), nullable=True) for side in ("start", "end") for name in VOLUMES),
        sa.Column("delivered_ml", sa.Integer(), nullable=True),
        sa.Column("quality", sa.String(), nullable=False),
        sa.Column("raw", sa.String(), nullable=False),
        sa.Column("seen_ms", sa.Integer(), nullable=False),
        sa.Column("settles_ms", sa.Integer(), nullable=True),
        sa.Column("journal_seq", sa.Integer(), nullable=True),
        sa.Column("revision", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("gauge", "tank", "key", name="tank_delivery_once"),
    )
    op.create_index("tank_delivery_by_start", "tank_delivery", ["start_ms"])
    op.create_index(
        "tank_delivery_open", "tank_delivery", ["settles_ms"], sqlite_where=sa.text("settles_ms is not null")
    )
    op.create_table(
        "gauge_event",
        sa.Column("gauge", sa.String(), nullable=False),
        sa.Column("category", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("device", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("time", sa.String(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("seen_ms", sa.Integer(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("gauge", "category", "number", "device", "state", "time"),
    )
    op.create_table(
        "tank_chart",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tank", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("diameter_um", sa.Integer(), nullable=True),
        sa.Column("full_volume_ml", sa.Integer(), nullable=True),
        sa.Column("points", sa.String(), nullable=False),
        sa.Column("doubts", sa.String(), nullable=False),
        sa.Column("read_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tank_chart_by_tank", "tank_chart", ["tank", "id"])


def downgrade() -> None:
    """Drop them."""
    for name in ("tank_chart", "gauge_event", "tank_delivery"):
        op.drop_table(name)
