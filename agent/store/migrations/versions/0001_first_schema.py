"""The station's first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "meta",
    "member",
    "sale",
    "alert",
    "alert_memory",
    "baseline",
    "desk_memory",
    "document",
    "journal",
    "point_memory",
    "price",
    "rejected",
    "scan_event",
    "stream_head",
    "tank_level",
    "use_count",
    "correction",
    "link",
    "lot",
    "member_index",
    "points_holder",
    "posting",
    "settlement",
    "tender",
)


def upgrade() -> None:
    """Create every table; parents before children."""
    _create_meta()
    _create_member()
    _create_sale()
    _create_alert()
    _create_alert_memory()
    _create_baseline()
    _create_desk_memory()
    _create_document()
    _create_journal()
    _create_point_memory()
    _create_price()
    _create_rejected()
    _create_scan_event()
    _create_stream_head()
    _create_tank_level()
    _create_use_count()
    _create_correction()
    _create_link()
    _create_lot()
    _create_member_index()
    _create_points_holder()
    _create_posting()
    _create_settlement()
    _create_tender()


def downgrade() -> None:
    """Drop every table; children before parents."""
    for name in reversed(TABLES):
        op.drop_table(name)


def _create_meta() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )


def _create_member() -> None:
    op.create_table(
        "member",
        sa.Column("ref", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("growth", sa.Integer(), nullable=False),
        sa.Column("tags", sa.String(), nullable=False),
        sa.Column("mask", sa.String(), nullable=False),
        sa.Column("birthday_md", sa.String(), nullable=True),
        sa.Column("flags", sa.String(), nullable=False),
        sa.Column("visits", sa.Integer(), nullable=False),
        sa.Column("first_fill_used", sa.Integer(), nullable=False),
        sa.Column("base_points", sa.Integer(), nullable=False),
        sa.Column("known", sa.Integer(), nullable=False),
        sa.Column("op", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("ref"),
        sa.UniqueConstraint("id"),
    )


def _create_sale() -> None:
    op.create_table(
        "sale",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("fuelling_point", sa.Integer(), nullable=False),
        sa.Column("nozzle", sa.Integer(), nullable=False),
        sa.Column("grade", sa.String(), nullable=False),
        sa.Column("tank", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("volume_ml", sa.Integer(), nullable=False),
        sa.Column("unit_price_milli", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("exponent", sa.Integer(), nullable=False),
        sa.Column("start_epoch", sa.Integer(), nullable=True),
        sa.Column("start_raw", sa.Integer(), nullable=True),
        sa.Column("end_epoch", sa.Integer(), nullable=True),
        sa.Column("end_raw", sa.Integer(), nullable=True),
        sa.Column("sub", sa.Integer(), nullable=True),
        sa.Column("counter", sa.Integer(), nullable=True),
        sa.Column("lifted_ms", sa.Integer(), nullable=True),
        sa.Column("ended_ms", sa.Integer(), nullable=False),
        sa.Column("business_day", sa.String(), nullable=False),
        sa.Column("attendant", sa.String(), nullable=True),
        sa.Column("flags", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("voided", sa.Integer(), nullable=False),
        sa.Column("refunded_minor", sa.Integer(), nullable=False),
        sa.Column("settle_due_ms", sa.Integer(), nullable=True),
        sa.Column("journal_seq", sa.Integer(), nullable=False),
        sa.CheckConstraint("state in ('Payable', 'Locked', 'Cleared')", name="sale_state_known"),
        sa.CheckConstraint("volume_ml >= 0 and amount_minor >= 0", name="sale_not_negative"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("sale", schema=None) as batch_op:
        batch_op.create_index("sale_by_point", ["fuelling_point", "ended_ms"], unique=False)
        batch_op.create_index("sale_by_state", ["state", "ended_ms"], unique=False)
        batch_op.create_index(
            "sale_counter_key", ["fuelling_point", "counter"], unique=True, sqlite_where=sa.text("counter is not null")
        )
    op.create_index(
        "sale_natural_key",
        "sale",
        ["fuelling_point", "nozzle", "start_epoch", "start_raw", "end_epoch", "end_raw", sa.text("coalesce(sub, 0)")],
        unique=True,
    )


def _create_alert() -> None:
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=True),
        sa.Column("limit_value", sa.Integer(), nullable=True),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("raised_ms", sa.Integer(), nullable=False),
        sa.Column("cleared_ms", sa.Integer(), nullable=True),
        sa.Column("acked_ms", sa.Integer(), nullable=True),
        sa.Column("acked_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("alert", schema=None) as batch_op:
        batch_op.create_index("alert_by_subject", ["subject", "name"], unique=False)


def _create_alert_memory() -> None:
    op.create_table(
        "alert_memory",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("memory", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
    )


def _create_baseline() -> None:
    op.create_table(
        "baseline",
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("fuelling_point", sa.Integer(), nullable=False),
        sa.Column("nozzle", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("raw", sa.Integer(), nullable=False),
        sa.Column("unit_ml", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("made_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )


def _create_desk_memory() -> None:
    op.create_table(
        "desk_memory",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("memory", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _create_document() -> None:
    op.create_table(
        "document",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("effective_from_ms", sa.Integer(), nullable=False),
        sa.Column("activated_ms", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "version"),
    )


def _create_journal() -> None:
    op.create_table(
        "journal",
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("time_ms", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "seq"),
        sa.UniqueConstraint("id"),
    )


def _create_point_memory() -> None:
    op.create_table(
        "point_memory",
        sa.Column("fuelling_point", sa.Integer(), nullable=False),
        sa.Column("memory", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("fuelling_point"),
    )


def _create_price() -> None:
    op.create_table(
        "price",
        sa.Column("grade", sa.String(), nullable=False),
        sa.Column("effective_from_ms", sa.Integer(), nullable=False),
        sa.Column("unit_price_milli", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("grade", "effective_from_ms"),
    )


def _create_rejected() -> None:
    op.create_table(
        "rejected",
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("told_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "seq"),
    )


def _create_scan_event() -> None:
    op.create_table(
        "scan_event",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("level", sa.String(), nullable=True),
        sa.Column("member_ref", sa.Integer(), nullable=True),
        sa.Column("fuelling_point", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )


def _create_stream_head() -> None:
    op.create_table(
        "stream_head",
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("acked", sa.Integer(), nullable=False),
        sa.Column("acked_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("stream"),
    )


def _create_tank_level() -> None:
    op.create_table(
        "tank_level",
        sa.Column("tank", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("quality", sa.String(), nullable=False),
        sa.Column("volume_ml", sa.Integer(), nullable=True),
        sa.Column("tc_volume_ml", sa.Integer(), nullable=True),
        sa.Column("ullage_ml", sa.Integer(), nullable=True),
        sa.Column("height_um", sa.Integer(), nullable=True),
        sa.Column("water_height_um", sa.Integer(), nullable=True),
        sa.Column("water_volume_ml", sa.Integer(), nullable=True),
        sa.Column("temperature_mdegc", sa.Integer(), nullable=True),
        sa.Column("delivery", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("tank"),
    )


def _create_use_count() -> None:
    op.create_table(
        "use_count",
        sa.Column("subject", sa.Integer(), nullable=False),
        sa.Column("offer", sa.String(), nullable=False),
        sa.Column("window", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "offer", "window", "period"),
    )


def _create_correction() -> None:
    op.create_table(
        "correction",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("old", sa.String(), nullable=False),
        sa.Column("new", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sale"],
            ["sale.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )


def _create_link() -> None:
    op.create_table(
        "link",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("member_ref", sa.Integer(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("made_ms", sa.Integer(), nullable=False),
        sa.Column("delay_s", sa.Integer(), nullable=False),
        sa.Column("corrects", sa.String(), nullable=True),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_ref"],
            ["member.ref"],
        ),
        sa.ForeignKeyConstraint(
            ["sale"],
            ["sale.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.create_index("link_one_active", ["sale"], unique=True, sqlite_where=sa.text("active = 1"))


def _create_lot() -> None:
    op.create_table(
        "lot",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("member_ref", sa.Integer(), nullable=False),
        sa.Column("earned_ms", sa.Integer(), nullable=False),
        sa.Column("usable_from_ms", sa.Integer(), nullable=True),
        sa.Column("expires_on", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_ref"],
            ["member.ref"],
        ),
        sa.PrimaryKeyConstraint("id", "member_ref"),
    )
    with op.batch_alter_table("lot", schema=None) as batch_op:
        batch_op.create_index("lot_by_member", ["member_ref"], unique=False)


def _create_member_index() -> None:
    op.create_table(
        "member_index",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("member_ref", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["member_ref"], ["member.ref"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest"),
    )
    with op.batch_alter_table("member_index", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_member_index_member_ref"), ["member_ref"], unique=False)


def _create_posting() -> None:
    op.create_table(
        "posting",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("leg", sa.Integer(), nullable=False),
        sa.Column("sale", sa.String(), nullable=True),
        sa.Column("member_ref", sa.Integer(), nullable=True),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("lot", sa.String(), nullable=True),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["member_ref"],
            ["member.ref"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("source", "leg", name="posting_once"),
    )
    with op.batch_alter_table("posting", schema=None) as batch_op:
        batch_op.create_index("posting_by_member", ["member_ref"], unique=False)


def _create_settlement() -> None:
    op.create_table(
        "settlement",
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("member_ref", sa.Integer(), nullable=True),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("rule_hash", sa.String(), nullable=False),
        sa.Column("gross_minor", sa.Integer(), nullable=False),
        sa.Column("discount_minor", sa.Integer(), nullable=False),
        sa.Column("net_minor", sa.Integer(), nullable=False),
        sa.Column("points_redeemed", sa.Integer(), nullable=False),
        sa.Column("points_earned", sa.Integer(), nullable=False),
        sa.Column("lines", sa.String(), nullable=False),
        sa.Column("explanation", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("settled_ms", sa.Integer(), nullable=False),
        sa.Column("journal_seq", sa.Integer(), nullable=False),
        sa.CheckConstraint("net_minor + discount_minor = gross_minor", name="settlement_adds_up"),
        sa.ForeignKeyConstraint(
            ["sale"],
            ["sale.id"],
        ),
        sa.PrimaryKeyConstraint("sale"),
    )


def _create_tender() -> None:
    op.create_table(
        "tender",
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.Integer(), nullable=False),
        sa.Column("ref", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sale"],
            ["sale.id"],
        ),
        sa.PrimaryKeyConstraint("sale", "n"),
    )


def _create_points_holder() -> None:
    op.create_table(
        "points_holder",
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("member_ref", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("points_earned", sa.Integer(), nullable=False),
        sa.Column("bonus_points", sa.Integer(), nullable=False),
        sa.Column("growth", sa.Integer(), nullable=False),
        sa.Column("earned", sa.String(), nullable=False),
        sa.Column("uses", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["member_ref"], ["member.ref"]),
        sa.ForeignKeyConstraint(["sale"], ["sale.id"]),
        sa.PrimaryKeyConstraint("sale"),
    )
