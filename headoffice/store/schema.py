"""The tables of head office, as SQLAlchemy Core objects that mean the same on SQLite and PostgreSQL.

Knows columns, keys and uniqueness; the migrations build them, a test compares both. Knows no query and no message.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Select,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    select,
)

from headoffice.store.texts import Told

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
BIG = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits everywhere; only SQLite's own INTEGER may number rows by itself."""


@cache
def insert_into(table: Table) -> Insert:
    """The INSERT of a table, built once: building statements costs more than running them."""
    return table.insert()


@cache
def first_of(table: Table, column: str, *keys: str) -> Select[Any]:
    """``SELECT column WHERE key = :key AND ... LIMIT 1``, built once per shape; the values are its parameters."""
    return select(table.c[column]).where(*(table.c[key] == bindparam(key) for key in keys)).limit(1)


metadata = MetaData(naming_convention=NAMING)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Told, nullable=null)


def _big(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BIG, nullable=null)


def _blob(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _number() -> Column[int]:
    return Column("number", BIG, primary_key=True, autoincrement=True)


def _of_record() -> Column[int]:
    return Column("record", BIG, ForeignKey("record.number"), primary_key=True, autoincrement=False)


def _place() -> list[Column[object]]:
    """Where a record stood: station, incarnation, stream and seq."""
    return [_text("station"), _text("incarnation"), _text("stream"), _big("seq")]  # type: ignore[list-item]


PLACE = ("station", "incarnation", "stream", "seq")

station = Table(
    "station",
    metadata,
    Column("station", Told, primary_key=True),
    _big("first_heard_ms"),
    _big("last_heard_ms"),
    _text("state", null=True),
    _text("hello", null=True),
    _big("hello_ms", null=True),
    _text("holder", null=True),
    _text("profile", null=True),
    _big("profile_ms", null=True),
)
install = Table(
    "install",
    metadata,
    _text("station"),
    _text("incarnation"),
    _text("install_id"),
    _big("first_heard_ms"),
    _big("last_heard_ms"),
    _big("connect_n", null=True),
    PrimaryKeyConstraint("station", "incarnation", "install_id"),
)
fence = Table(
    "fence",
    metadata,
    _text("station"),
    _text("install_id"),
    _big("since_ms"),
    _big("lifted_ms", null=True),
    PrimaryKeyConstraint("station", "install_id"),
)
cursor = Table(
    "cursor",
    metadata,
    _text("station"),
    _text("incarnation"),
    _text("stream"),
    _big("cum"),
    _text("head_hash"),
    _big("acked"),
    _text("install_id"),
    _big("updated_ms"),
    PrimaryKeyConstraint("station", "incarnation", "stream"),
)
record_hash = Table(
    "record_hash",
    metadata,
    *_place(),
    _text("hash"),
    _text("kept_as"),
    PrimaryKeyConstraint(*PLACE),
)
record = Table(
    "record",
    metadata,
    _number(),
    *_place(),
    _text("id"),
    _text("type"),
    _text("time", null=True),
    _text("flags"),
    _big("received_ms"),
    UniqueConstraint("station", "id"),
    UniqueConstraint(*PLACE),
    Index(None, "type", "number"),
)
record_bytes = Table(
    "record_bytes",
    metadata,
    _big("number"),
    _big("received_ms"),
    _blob("raw"),
    PrimaryKeyConstraint("number", "received_ms"),
    postgresql_partition_by="RANGE (received_ms)",
)
"""The bytes of ``record``, most of what grows for ever: PostgreSQL parts them by month. A key that must be unique for
ever cannot be parted; so the keys stay whole, in ``record`` and the tables drawn from it."""
duplicate = Table(
    "duplicate",
    metadata,
    *_place(),
    Column("duplicate_of", BIG, ForeignKey("record.number"), nullable=False),
    _flag("same_content"),
    _blob("raw"),
    _big("received_ms"),
    PrimaryKeyConstraint(*PLACE),
)
dead_letter = Table(
    "dead_letter",
    metadata,
    _number(),
    *_place(),
    _text("reason"),
    _text("detail"),
    _blob("raw"),
    _big("received_ms"),
    _big("replayed_ms", null=True),
    _text("replayed_as", null=True),
    UniqueConstraint(*PLACE),
)
quarantine = Table(
    "quarantine",
    metadata,
    *_place(),
    _text("hash"),
    _blob("raw"),
    _text("install_id"),
    _big("received_ms"),
    PrimaryKeyConstraint(*PLACE, "hash"),
)
sale = Table(
    "sale",
    metadata,
    _of_record(),
    _text("station"),
    _text("sale"),
    _big("fuelling_point"),
    _big("nozzle"),
    _text("grade", null=True),
    _big("tank", null=True),
    _text("kind"),
    _big("volume_ml"),
    _big("unit_price_milli", null=True),
    _big("amount_minor"),
    _text("currency"),
    _big("exponent"),
    _text("totalizer_start", null=True),
    _text("totalizer_end", null=True),
    _big("sub", null=True),
    _big("counter", null=True),
    _text("lifted_at", null=True),
    _text("ended_at", null=True),
    _text("business_day", null=True),
    _text("attendant", null=True),
    _text("flags"),
    UniqueConstraint("station", "sale"),
)
sale_interval = Table(
    "sale_interval",
    metadata,
    _of_record(),
    _text("station"),
    _big("fuelling_point"),
    _big("nozzle"),
    _text("start_key"),
    _text("end_key"),
    _big("sub"),
    UniqueConstraint("station", "fuelling_point", "nozzle", "start_key", "end_key", "sub"),
)
sale_counter = Table(
    "sale_counter",
    metadata,
    _of_record(),
    _text("station"),
    _text("incarnation"),
    _big("fuelling_point"),
    _big("counter"),
    UniqueConstraint("station", "incarnation", "fuelling_point", "counter"),
)
sale_link = Table(
    "sale_link",
    metadata,
    _of_record(),
    _text("station"),
    _text("sale"),
    _text("member"),
    _text("level"),
    _text("by", null=True),
    _big("delay_s", null=True),
    _text("code", null=True),
    Index(None, "station", "sale"),
)
card_use = Table(
    "card_use",
    metadata,
    _of_record(),
    _text("station"),
    _text("card"),
    _big("counter"),
    _big("at_ms"),
    Index(None, "card", "counter"),
)
settlement = Table(
    "settlement",
    metadata,
    _of_record(),
    _text("station"),
    _text("sale"),
    _text("member", null=True),
    _big("rule_version", null=True),
    _text("rule_hash", null=True),
    _big("discount_minor"),
    _big("points_redeemed"),
    _big("points_earned"),
    _big("net_minor"),
    UniqueConstraint("station", "sale"),
)
correction = Table(
    "correction",
    metadata,
    _of_record(),
    _text("station"),
    _text("sale"),
    _text("what"),
    _text("by", null=True),
    _text("role", null=True),
    _text("reason", null=True),
    Index(None, "station", "sale"),
)
posting = Table(
    "posting",
    metadata,
    Column("record", BIG, ForeignKey("record.number"), nullable=False),
    _big("place"),
    _text("station"),
    _text("member", null=True),
    _text("account"),
    _big("points"),
    _text("lot", null=True),
    PrimaryKeyConstraint("record", "place"),
    Index(None, "member"),
)
enrolment = Table(
    "enrolment",
    metadata,
    _of_record(),
    _text("station"),
    _text("member"),
    _text("mask", null=True),
    _text("by", null=True),
    _text("phone_index", null=True),
    _text("plate_index", null=True),
    _text("contact", null=True),
    _text("became", null=True),
    UniqueConstraint("member"),
    Index(None, "became"),
)
delivery = Table(
    "delivery",
    metadata,
    _of_record(),
    _text("station"),
    _big("tank"),
    _text("start"),
    _big("start_volume_ml"),
    _big("delivered_ml", null=True),
    _text("end", null=True),
    _big("end_volume_ml", null=True),
    _text("console_start", null=True),
    UniqueConstraint("station", "tank", "start", "start_volume_ml"),
    Index(None, "station", "tank", "console_start"),
)
shift = Table(
    "shift",
    metadata,
    _of_record(),
    _text("station"),
    _text("shift"),
    _text("event"),
    _big("number", null=True),
    _text("opened_at", null=True),
    _text("closed_at", null=True),
    _text("by", null=True),
    _big("sales", null=True),
    _big("sold_ml", null=True),
    _big("moved_ml", null=True),
    _big("gross_minor", null=True),
    Index(None, "station", "shift"),
)
alert = Table(
    "alert",
    metadata,
    _of_record(),
    _text("station"),
    _text("type"),
    _text("subject"),
    _text("alert"),
    _text("state"),
    _big("value", null=True),
    _big("limit_value", null=True),
    _text("unit", null=True),
    Index(None, "station", "type"),
)
baseline = Table(
    "baseline",
    metadata,
    _of_record(),
    _text("station"),
    _big("fuelling_point"),
    _big("nozzle"),
    _text("totalizer"),
    _big("totalizer_unit_ml", null=True),
    _text("reason"),
)
own_alert = Table(
    "own_alert",
    metadata,
    _number(),
    _text("station"),
    _text("alert"),
    _text("subject"),
    _text("detail"),
    _big("count"),
    _big("first_ms"),
    _big("last_ms"),
    _big("ended_ms", null=True),
    UniqueConstraint("station", "alert", "subject"),
)
request = Table(
    "request",
    metadata,
    _number(),
    _text("station"),
    _text("req_id"),
    _text("answer"),
    _big("answered_ms"),
    UniqueConstraint("station", "req_id"),
)
member = Table(
    "member",
    metadata,
    Column("member", Told, primary_key=True),
    _text("body"),
    _big("op"),
    _flag("gone"),
    _big("bucket"),
    Index(None, "bucket"),
    Index(None, "op", unique=True),
)
"""One member with its newest change. ``gone``: deleted, or merged into another one, whom ``body`` names in ``to``."""

member_index = Table(
    "member_index",
    metadata,
    Column("value", Told, primary_key=True),
    Column("member", Text, ForeignKey("member.member"), nullable=False),
    Index(None, "member"),
)
document = Table(
    "document",
    metadata,
    _number(),
    _text("kind"),
    _big("version"),
    _text("hash"),
    _text("effective_from"),
    _blob("body"),
    _big("published_ms"),
    UniqueConstraint("kind", "version"),
    UniqueConstraint("hash"),
)
head = Table(
    "head",
    metadata,
    Column("number", BIG, primary_key=True, autoincrement=False),
    _text("claims"),
    _text("jws"),
    _text("kid"),
    _big("made_ms"),
)
worker = Table(
    "worker",
    metadata,
    Column("number", BIG, primary_key=True, autoincrement=False),
    _text("name"),
    _big("started_ms"),
    _big("beat_ms"),
    _big("taken"),
)
