"""The first schema of head office: streams and records, the facts drawn from them, members and documents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _create_stations()
    _create_records()
    _create_sales()
    _create_other_facts()
    _create_members_and_documents()


def _create_stations() -> None:
    op.create_table(
        "station",
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("first_heard_ms", BIG, nullable=False),
        sa.Column("last_heard_ms", BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("hello", sa.Text(), nullable=True),
        sa.Column("hello_ms", BIG, nullable=True),
        sa.PrimaryKeyConstraint("station", name=op.f("pk_station")),
    )
    op.create_table(
        "install",
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("install_id", sa.Text(), nullable=False),
        sa.Column("first_heard_ms", BIG, nullable=False),
        sa.Column("last_heard_ms", BIG, nullable=False),
        sa.Column("connect_n", BIG, nullable=True),
        sa.PrimaryKeyConstraint("station", "incarnation", "install_id", name=op.f("pk_install")),
    )
    op.create_table(
        "fence",
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("install_id", sa.Text(), nullable=False),
        sa.Column("since_ms", BIG, nullable=False),
        sa.Column("lifted_ms", BIG, nullable=True),
        sa.PrimaryKeyConstraint("station", "install_id", name=op.f("pk_fence")),
    )
    op.create_table(
        "cursor",
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("cum", BIG, nullable=False),
        sa.Column("head_hash", sa.Text(), nullable=False),
        sa.Column("acked", BIG, nullable=False),
        sa.Column("install_id", sa.Text(), nullable=False),
        sa.Column("updated_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("station", "incarnation", "stream", name=op.f("pk_cursor")),
    )
    op.create_table(
        "request",
        sa.Column("number", BIG, autoincrement=True, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("req_id", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("answered_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_request")),
        sa.UniqueConstraint("station", "req_id", name=op.f("uq_request_station_req_id")),
    )


def _create_records() -> None:
    _create_chain()
    _create_put_aside()


def _create_chain() -> None:
    op.create_table(
        "record_hash",
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("kept_as", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("station", "incarnation", "stream", "seq", name=op.f("pk_record_hash")),
    )
    op.create_table(
        "record",
        sa.Column("number", BIG, autoincrement=True, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("time", sa.Text(), nullable=True),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("received_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_record")),
        sa.UniqueConstraint("station", "id", name=op.f("uq_record_station_id")),
        sa.UniqueConstraint(
            "station", "incarnation", "stream", "seq", name=op.f("uq_record_station_incarnation_stream_seq")
        ),
    )
    op.create_index(op.f("ix_record_type_number"), "record", ["type", "number"], unique=False)


def _create_put_aside() -> None:
    op.create_table(
        "duplicate",
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("duplicate_of", BIG, nullable=False),
        sa.Column("same_content", sa.Boolean(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("received_ms", BIG, nullable=False),
        sa.ForeignKeyConstraint(["duplicate_of"], ["record.number"], name=op.f("fk_duplicate_duplicate_of")),
        sa.PrimaryKeyConstraint("station", "incarnation", "stream", "seq", name=op.f("pk_duplicate")),
    )
    op.create_table(
        "dead_letter",
        sa.Column("number", BIG, autoincrement=True, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("received_ms", BIG, nullable=False),
        sa.Column("replayed_ms", BIG, nullable=True),
        sa.Column("replayed_as", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_dead_letter")),
        sa.UniqueConstraint(
            "station", "incarnation", "stream", "seq", name=op.f("uq_dead_letter_station_incarnation_stream_seq")
        ),
    )
    op.create_table(
        "quarantine",
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("install_id", sa.Text(), nullable=False),
        sa.Column("received_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("station", "incarnation", "stream", "seq", "hash", name=op.f("pk_quarantine")),
    )


def _create_sales() -> None:
    _create_fuel_facts()
    _create_loyalty_facts()


def _create_fuel_facts() -> None:
    op.create_table(
        "sale",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("sale", sa.Text(), nullable=False),
        sa.Column("fuelling_point", BIG, nullable=False),
        sa.Column("nozzle", BIG, nullable=False),
        sa.Column("grade", sa.Text(), nullable=True),
        sa.Column("tank", BIG, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("volume_ml", BIG, nullable=False),
        sa.Column("unit_price_milli", BIG, nullable=True),
        sa.Column("amount_minor", BIG, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("exponent", BIG, nullable=False),
        sa.Column("totalizer_start", sa.Text(), nullable=True),
        sa.Column("totalizer_end", sa.Text(), nullable=True),
        sa.Column("sub", BIG, nullable=True),
        sa.Column("counter", BIG, nullable=True),
        sa.Column("lifted_at", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.Column("business_day", sa.Text(), nullable=True),
        sa.Column("attendant", sa.Text(), nullable=True),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_sale_record")),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_sale")),
        sa.UniqueConstraint("station", "sale", name=op.f("uq_sale_station_sale")),
    )
    op.create_table(
        "sale_interval",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("fuelling_point", BIG, nullable=False),
        sa.Column("nozzle", BIG, nullable=False),
        sa.Column("start_key", sa.Text(), nullable=False),
        sa.Column("end_key", sa.Text(), nullable=False),
        sa.Column("sub", BIG, nullable=False),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_sale_interval_record")),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_sale_interval")),
        sa.UniqueConstraint(
            "station",
            "fuelling_point",
            "nozzle",
            "start_key",
            "end_key",
            "sub",
            name=op.f("uq_sale_interval_station_fuelling_point_nozzle_start_key_end_key_sub"),
        ),
    )
    op.create_table(
        "sale_counter",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("fuelling_point", BIG, nullable=False),
        sa.Column("counter", BIG, nullable=False),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_sale_counter_record")),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_sale_counter")),
        sa.UniqueConstraint(
            "station",
            "incarnation",
            "fuelling_point",
            "counter",
            name=op.f("uq_sale_counter_station_incarnation_fuelling_point_counter"),
        ),
    )


def _create_loyalty_facts() -> None:
    op.create_table(
        "sale_link",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("sale", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("delay_s", BIG, nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_sale_link_record")),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_sale_link")),
    )
    op.create_index(op.f("ix_sale_link_station_sale"), "sale_link", ["station", "sale"], unique=False)
    op.create_table(
        "settlement",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("sale", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=True),
        sa.Column("rule_version", BIG, nullable=True),
        sa.Column("rule_hash", sa.Text(), nullable=True),
        sa.Column("discount_minor", BIG, nullable=False),
        sa.Column("points_redeemed", BIG, nullable=False),
        sa.Column("points_earned", BIG, nullable=False),
        sa.Column("net_minor", BIG, nullable=False),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_settlement_record")),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_settlement")),
        sa.UniqueConstraint("station", "sale", name=op.f("uq_settlement_station_sale")),
    )
    op.create_table(
        "correction",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("sale", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_correction_record")),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_correction")),
    )
    op.create_index(op.f("ix_correction_station_sale"), "correction", ["station", "sale"], unique=False)
    op.create_table(
        "posting",
        sa.Column("record", BIG, nullable=False),
        sa.Column("place", BIG, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=True),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("points", BIG, nullable=False),
        sa.Column("lot", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_posting_record")),
        sa.PrimaryKeyConstraint("record", "place", name=op.f("pk_posting")),
    )
    op.create_index(op.f("ix_posting_member"), "posting", ["member"], unique=False)


def _create_other_facts() -> None:
    op.create_table(
        "enrolment",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("mask", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_enrolment_record")),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_enrolment")),
        sa.UniqueConstraint("member", name=op.f("uq_enrolment_member")),
    )
    op.create_table(
        "delivery",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("tank", BIG, nullable=False),
        sa.Column("start", sa.Text(), nullable=False),
        sa.Column("start_volume_ml", BIG, nullable=False),
        sa.Column("delivered_ml", BIG, nullable=True),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_delivery_record")),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_delivery")),
        sa.UniqueConstraint(
            "station", "tank", "start", "start_volume_ml", name=op.f("uq_delivery_station_tank_start_start_volume_ml")
        ),
    )
    op.create_table(
        "alert",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("alert", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("value", BIG, nullable=True),
        sa.Column("limit_value", BIG, nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_alert_record")),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_alert")),
    )
    op.create_index(op.f("ix_alert_station_type"), "alert", ["station", "type"], unique=False)
    op.create_table(
        "baseline",
        sa.Column("record", BIG, autoincrement=False, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("fuelling_point", BIG, nullable=False),
        sa.Column("nozzle", BIG, nullable=False),
        sa.Column("totalizer", sa.Text(), nullable=False),
        sa.Column("totalizer_unit_ml", BIG, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["record"], ["record.number"], name=op.f("fk_baseline_record")),
        sa.PrimaryKeyConstraint("record", name=op.f("pk_baseline")),
    )
    op.create_table(
        "own_alert",
        sa.Column("number", BIG, autoincrement=True, nullable=False),
        sa.Column("station", sa.Text(), nullable=False),
        sa.Column("alert", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("first_ms", BIG, nullable=False),
        sa.Column("last_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_own_alert")),
        sa.UniqueConstraint("station", "alert", "subject", name=op.f("uq_own_alert_station_alert_subject")),
    )


def _create_members_and_documents() -> None:
    op.create_table(
        "member",
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("op", BIG, nullable=False),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("member", name=op.f("pk_member")),
    )
    op.create_table(
        "member_index",
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["member"], ["member.member"], name=op.f("fk_member_index_member")),
        sa.PrimaryKeyConstraint("value", name=op.f("pk_member_index")),
    )
    op.create_index(op.f("ix_member_index_member"), "member_index", ["member"], unique=False)
    op.create_table(
        "member_op",
        sa.Column("op", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("member", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("op", name=op.f("pk_member_op")),
    )
    op.create_table(
        "document",
        sa.Column("number", BIG, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("effective_from", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("published_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_document")),
        sa.UniqueConstraint("hash", name=op.f("uq_document_hash")),
        sa.UniqueConstraint("kind", "version", name=op.f("uq_document_kind_version")),
    )
    op.create_table(
        "head",
        sa.Column("number", BIG, autoincrement=False, nullable=False),
        sa.Column("claims", sa.Text(), nullable=False),
        sa.Column("jws", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("made_ms", BIG, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_head")),
    )
