"""Every table of the station's database, as SQLAlchemy Core objects; the migrations build them, a test compares both.

Integers only: money in minor units, volumes in ml, unit prices in 1/1000 per litre, times in Unix milliseconds (UTC).
JSON text columns hold what the domain calls durable state; nothing searches inside them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

metadata = MetaData()


def _text(name: str, *, nullable: bool = False, **more: Any) -> Column[str]:
    return Column(name, String, nullable=nullable, **more)


def _integer(name: str, *, nullable: bool = False, **more: Any) -> Column[int]:
    return Column(name, Integer, nullable=nullable, **more)


def _blob(name: str, *, nullable: bool = False, **more: Any) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=nullable, **more)


META = Table(
    "meta",
    metadata,
    _text("key", primary_key=True),
    _text("value"),
)
"""Facts about this database: station, incarnation, connect_n, newest time seen, configuration hash."""

STREAM_HEAD = Table(
    "stream_head",
    metadata,
    _text("stream", primary_key=True),
    _integer("seq"),
    _blob("hash"),
    _integer("acked"),
    _blob("acked_hash"),
)
"""Last written seq and hash of one stream, and how far head office has acknowledged it."""

JOURNAL = Table(
    "journal",
    metadata,
    _integer("generation", primary_key=True),
    _text("stream", primary_key=True),
    _integer("seq", primary_key=True),
    _text("id"),
    _text("type"),
    _integer("time_ms"),
    _blob("body"),
    _blob("hash"),
    _integer("delivered", default=0),
    UniqueConstraint("generation", "id", name="journal_id_once"),
    Index("journal_by_time", "time_ms"),
)
"""The append-only list of facts: canonical bytes as fixed at writing time, chained by hash, gapless per stream.

``generation``: the incarnation it was written in. A delivered row leaves after its term (``store.pruning``).
"""

REJECTED = Table(
    "rejected",
    metadata,
    _text("stream", primary_key=True),
    _integer("seq", primary_key=True),
    _text("reason"),
    _integer("told_ms"),
)
"""A record that head office keeps as a dead letter, with its reason; each told once."""

INCARNATION = Table(
    "incarnation",
    metadata,
    _integer("generation", primary_key=True),
    _text("incarnation", unique=True),
    _text("reason"),
    _integer("begun_ms"),
    _text("install_id", nullable=True),
    _text("ended", nullable=True),
)
"""One life of this database on the wire, 1 and up; 0 is one that only the high-water file knew.

``ended``: JSON of last seq and hash per stream once a newer one has begun. ``install_id``: hardware it began on.
"""

REJECTED_ARCHIVE = Table(
    "rejected_archive",
    metadata,
    _integer("generation", primary_key=True),
    _text("stream", primary_key=True),
    _integer("seq", primary_key=True),
    _text("reason"),
    _integer("told_ms"),
)
"""Dead letters of ended incarnations; head office still has them."""

SUPERSEDED = Table(
    "superseded",
    metadata,
    _text("sale", primary_key=True),
    _text("rest", nullable=True),
    _integer("made_ms"),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
    ForeignKeyConstraint(["rest"], ["sale.id"]),
)
"""A sale whose litres head office knew under other sales; ``rest``: the sale that covers what it did not know."""

POINT_MEMORY = Table(
    "point_memory",
    metadata,
    _integer("fuelling_point", primary_key=True),
    _text("memory"),
)
"""Durable state of one fuelling point (``domain.forecourt.durable``)."""

DESK_MEMORY = Table(
    "desk_memory",
    metadata,
    _integer("id", primary_key=True),
    _text("memory"),
)
"""Durable state of linking (``domain.linking.durable``); one row."""

ALERT_MEMORY = Table(
    "alert_memory",
    metadata,
    _text("subject", primary_key=True),
    _text("memory"),
)
"""Durable state of the alert machines of one subject (``tank:1``, ``point:3``, ``gauge:tls``)."""

BASELINE = Table(
    "baseline",
    metadata,
    _integer("generation", primary_key=True),
    _integer("seq", primary_key=True),
    _integer("fuelling_point"),
    _integer("nozzle"),
    _integer("epoch"),
    _integer("raw"),
    _integer("unit_ml"),
    _text("reason"),
    _integer("made_ms"),
)
"""A meter reading from which counting starts: first contact, a supervisor's word or a new incarnation.

``seq``: that of its record in the incarnation ``generation``.
"""

SALE = Table(
    "sale",
    metadata,
    _text("id", primary_key=True),
    _integer("fuelling_point"),
    _integer("nozzle"),
    _text("grade"),
    _integer("tank"),
    _text("kind"),
    _integer("volume_ml"),
    _integer("unit_price_milli"),
    _integer("amount_minor"),
    _text("currency"),
    _integer("exponent"),
    _integer("start_epoch", nullable=True),
    _integer("start_raw", nullable=True),
    _integer("end_epoch", nullable=True),
    _integer("end_raw", nullable=True),
    _integer("sub", nullable=True),
    _integer("counter", nullable=True),
    _integer("lifted_ms", nullable=True),
    _integer("ended_ms"),
    _text("business_day"),
    _text("attendant", nullable=True),
    _text("flags"),
    _text("state"),
    _integer("voided", default=0),
    _integer("refunded_minor", default=0),
    _integer("settle_due_ms", nullable=True),
    _integer("journal_seq"),
    _text("rollback_offer", nullable=True),
    _integer("list_price_milli", nullable=True),
    Index(
        "sale_natural_key",
        "fuelling_point",
        "nozzle",
        "start_epoch",
        "start_raw",
        "end_epoch",
        "end_raw",
        text("coalesce(sub, 0)"),
        unique=True,
    ),
    Index("sale_counter_key", "fuelling_point", "counter", unique=True, sqlite_where=text("counter is not null")),
    Index("sale_by_state", "state", "ended_ms"),
    Index("sale_by_point", "fuelling_point", "ended_ms"),
    Index("sale_by_end", "ended_ms", "id"),
    CheckConstraint("volume_ml >= 0 and amount_minor >= 0", name="sale_not_negative"),
    CheckConstraint("state in ('Payable', 'Locked', 'Cleared')", name="sale_state_known"),
)
"""One sale: the fuel fact plus how far its payment got. ``journal_seq``: its record in stream L."""

MEMBER = Table(
    "member",
    metadata,
    _integer("ref", primary_key=True),
    _text("id"),
    _text("tier"),
    _integer("growth"),
    _text("tags"),
    _text("mask"),
    _text("birthday_md", nullable=True),
    _text("flags"),
    _integer("visits", default=0),
    _integer("first_fill_used", default=0),
    _integer("base_points", default=0),
    _text("base_lots", server_default="[]"),
    _text("as_of", nullable=True),
    _integer("known", default=1),
    _integer("op", default=0),
    _integer("tank_ml", nullable=True),
    _integer("bucket", server_default="-1"),
    UniqueConstraint("bucket", "id"),
)
"""One member in the cache. ``ref`` is the local surrogate that ledger rows name; ``id`` 16 opaque hex digits, found by
``bucket`` and id: ids are random, and in one tree each member of a bucket would touch a page of its own.

``base_lots``: head office's lots as JSON of [points, usable_from, expires_on]; ``as_of``: JSON of the incarnation and
the seq of ours up to which they hold what happened here, null where they hold nothing of it.
"""

MEMBER_INDEX = Table(
    "member_index",
    metadata,
    _blob("digest", primary_key=True),
    _integer("member_ref", index=True),
    ForeignKeyConstraint(["member_ref"], ["member.ref"], ondelete="CASCADE"),
)
"""Keyed blind index of a card number, phone, plate or UID, its first ten bytes; the value itself is never here.

The kind is part of what was hashed, so one number never matches in two roles.
"""

MEMBER_INDEX_WAITING = Table(
    "member_index_waiting",
    metadata,
    _integer("slice", primary_key=True),
    _integer("bucket", primary_key=True),
    _blob("pairs"),
    sqlite_with_rowid=False,
)
"""Of one bucket, while the cache is filled: pairs of ten bytes and a surrogate in four, by their first five bits."""

LINK = Table(
    "link",
    metadata,
    _text("id", primary_key=True),
    _text("sale"),
    _integer("member_ref"),
    _text("level"),
    _text("by"),
    _integer("made_ms"),
    _integer("delay_s"),
    _text("corrects", nullable=True),
    _integer("active"),
    _integer("clock_suspect", server_default="0"),
    _text("scan", nullable=True),
    _integer("late", server_default="0"),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
    ForeignKeyConstraint(["member_ref"], ["member.ref"]),
    Index("link_one_active", "sale", unique=True, sqlite_where=text("active = 1")),
    Index("link_by_sale", "sale"),
    Index("link_by_member", "member_ref", "made_ms"),
    Index("link_by_time", "made_ms"),
)
"""A member linked to a sale; at most one active per sale. A correction is a new row that names the old one.

``clock_suspect``: the time of a dynamic code could not be checked, so it earns and does not pay. ``late``: made by a
supervisor when the sale's own time was over.
"""

SCAN_EVENT = Table(
    "scan_event",
    metadata,
    _text("id", primary_key=True),
    _text("reader"),
    _integer("at_ms"),
    _text("outcome"),
    _text("level", nullable=True),
    _integer("member_ref", nullable=True),
    _integer("fuelling_point", nullable=True),
    _text("attendant", nullable=True),
    _text("sale", nullable=True),
    _integer("clock_suspect", server_default="0"),
)
"""What a reader's scan came to. Never the text."""

SETTLEMENT = Table(
    "settlement",
    metadata,
    _text("sale", primary_key=True),
    _integer("member_ref", nullable=True),
    _integer("rule_version"),
    _text("rule_hash"),
    _integer("gross_minor"),
    _integer("discount_minor"),
    _integer("net_minor"),
    _integer("points_redeemed"),
    _integer("points_earned"),
    _text("lines"),
    _text("explanation"),
    _text("purpose"),
    _text("by"),
    _integer("settled_ms"),
    _integer("journal_seq"),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
    CheckConstraint("net_minor + discount_minor = gross_minor", name="settlement_adds_up"),
)
"""The settlement of one sale: once, never changed."""

POINTS_HOLDER = Table(
    "points_holder",
    metadata,
    _text("sale", primary_key=True),
    _integer("member_ref"),
    _text("source"),
    _integer("points_earned"),
    _integer("bonus_points"),
    _integer("growth"),
    _text("earned"),
    _text("uses"),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
    ForeignKeyConstraint(["member_ref"], ["member.ref"]),
)
"""Who holds the points of a settled sale now, and what a refund must know; a changed link replaces it.

``source``: id of the record that granted them; ``earned``: exact earn terms; ``uses``: counts to take back.
"""

TENDER = Table(
    "tender",
    metadata,
    _text("sale", primary_key=True),
    _integer("n", primary_key=True),
    _text("kind"),
    _integer("amount_minor"),
    _text("ref", nullable=True),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
)
"""How a settled sale was paid; a split payment has several rows."""

POSTING = Table(
    "posting",
    metadata,
    _integer("id", primary_key=True),
    _text("source"),
    _integer("leg"),
    _text("sale", nullable=True),
    _integer("member_ref", nullable=True),
    _text("account"),
    _integer("points"),
    _text("lot", nullable=True),
    _integer("at_ms"),
    _text("rule", server_default=""),
    _integer("generation", server_default="0"),
    _integer("seq", server_default="0"),
    UniqueConstraint("source", "leg", name="posting_once"),
    ForeignKeyConstraint(["member_ref"], ["member.ref"]),
    Index("posting_by_member", "member_ref"),
    Index("posting_by_sale", "sale"),
    Index("posting_once_per_rule", "sale", "rule", "leg", unique=True, sqlite_where=text("sale is not null")),
)
"""One leg of the double-entry points ledger; the legs of one source sum to zero.

``rule``: what of its sale it is, such as ``settled`` or ``refunded:1000``: a sale has each once. ``generation`` and
``seq``: where head office gets its record, so that a balance that includes it is not counted twice.
"""

LOT = Table(
    "lot",
    metadata,
    _text("id", primary_key=True),
    _integer("member_ref", primary_key=True),
    _integer("earned_ms"),
    _integer("usable_from_ms", nullable=True),
    _text("expires_on", nullable=True),
    _text("source"),
    ForeignKeyConstraint(["member_ref"], ["member.ref"]),
    Index("lot_by_member", "member_ref"),
)
"""Points of one member with one origin and one expiry date."""

USE_COUNT = Table(
    "use_count",
    metadata,
    _integer("subject", primary_key=True),
    _text("offer", primary_key=True),
    _text("window", primary_key=True),
    _text("period", primary_key=True),
    _integer("uses"),
    _integer("amount"),
)
"""How often and how much an offer gave a member (or, with ``subject`` 0, at this station) in one period."""

CORRECTION = Table(
    "correction",
    metadata,
    _text("id", primary_key=True),
    _text("sale"),
    _text("what"),
    _text("old"),
    _text("new"),
    _text("by"),
    _text("role"),
    _text("reason"),
    _integer("at_ms"),
    _integer("amount_minor", nullable=True),
    _text("request", nullable=True),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
    Index("correction_by_sale", "sale"),
    Index("correction_by_time", "at_ms"),
    Index("correction_once", "sale", "request", unique=True, sqlite_where=text("request is not null")),
)
"""Void, refund, link or tender correction of a sale: a new fact beside the old one.

``request``: the asker's own name of the wish, so that saying it again is no second one.
"""

DOCUMENT = Table(
    "document",
    metadata,
    _text("kind", primary_key=True),
    _integer("version", primary_key=True),
    _text("hash"),
    _blob("body"),
    _integer("effective_from_ms"),
    _integer("activated_ms", nullable=True),
)
"""A signed document from head office (rule set): kept by version, one active per kind."""

PRICE = Table(
    "price",
    metadata,
    _text("grade", primary_key=True),
    _integer("effective_from_ms", primary_key=True),
    _integer("unit_price_milli"),
    _text("source"),
    _text("person"),
)
"""The price table: unit price of a grade from an instant on."""

PRICE_IN_FORCE = Table(
    "price_in_force",
    metadata,
    _integer("fuelling_point", primary_key=True),
    _integer("nozzle", primary_key=True),
    _integer("since_ms", primary_key=True),
    _integer("unit_price_milli"),
)
"""From when on a nozzle has sold at a unit price: what the pump took or showed, not what was wanted."""

ALERT = Table(
    "alert",
    metadata,
    _integer("id", primary_key=True),
    _text("subject"),
    _text("name"),
    _text("state"),
    _text("severity"),
    _integer("value", nullable=True),
    _integer("limit_value", nullable=True),
    _text("unit"),
    _text("detail"),
    _integer("raised_ms"),
    _integer("cleared_ms", nullable=True),
    _integer("acked_ms", nullable=True),
    _text("acked_by", nullable=True),
    Index("alert_by_subject", "subject", "name"),
    Index("alert_by_state", "state"),
)
"""One alert as people see it: raised, perhaps acknowledged, perhaps over."""
