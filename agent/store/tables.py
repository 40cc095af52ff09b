"""Every table of the station's database, defined once with SQLModel; the hot path uses their Core tables.

Integers only: money in minor units, volumes in ml, unit prices in 1/1000 per litre, times in Unix milliseconds (UTC).
JSON text columns hold what the domain calls durable state; nothing searches inside them.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, LargeBinary, UniqueConstraint, text
from sqlmodel import Field, SQLModel


class Meta(SQLModel, table=True):
    """Facts about this database: station, incarnation, connect_n, newest time seen, configuration hash."""

    __tablename__ = "meta"
    key: str = Field(primary_key=True)
    value: str


class StreamHead(SQLModel, table=True):
    """Last written seq and hash of one stream, and how far head office has acknowledged it."""

    __tablename__ = "stream_head"
    stream: str = Field(primary_key=True)
    seq: int
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    acked: int
    acked_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class Journal(SQLModel, table=True):
    """The append-only list of facts: canonical bytes as fixed at writing time, chained by hash, gapless per stream.

    ``generation``: the incarnation it was written in; rows of ended ones stay for ever, head office has its own copy.
    """

    __tablename__ = "journal"
    __table_args__ = (
        UniqueConstraint("generation", "id", name="journal_id_once"),
        Index("journal_by_time", "time_ms"),
    )
    generation: int = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    id: str
    type: str
    time_ms: int
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    delivered: int = 0


class Rejected(SQLModel, table=True):
    """A record that head office keeps as a dead letter, with its reason; each told once."""

    __tablename__ = "rejected"
    stream: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    reason: str
    told_ms: int


class Incarnation(SQLModel, table=True):
    """One life of this database on the wire, 1 and up; 0 is one that only the high-water file knew.

    ``ended``: JSON of last seq and hash per stream once a newer one has begun. ``install_id``: hardware it began on.
    """

    __tablename__ = "incarnation"
    generation: int = Field(primary_key=True)
    incarnation: str = Field(unique=True)
    reason: str
    begun_ms: int
    install_id: str | None
    ended: str | None


class RejectedArchive(SQLModel, table=True):
    """Dead letters of ended incarnations; head office still has them."""

    __tablename__ = "rejected_archive"
    generation: int = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    reason: str
    told_ms: int


class Superseded(SQLModel, table=True):
    """A sale whose litres head office knew under other sales; ``rest``: the sale that covers what it did not know."""

    __tablename__ = "superseded"
    __table_args__ = (ForeignKeyConstraint(["sale"], ["sale.id"]), ForeignKeyConstraint(["rest"], ["sale.id"]))
    sale: str = Field(primary_key=True)
    rest: str | None
    made_ms: int


class PointMemory(SQLModel, table=True):
    """Durable state of one fuelling point (``domain.forecourt.durable``)."""

    __tablename__ = "point_memory"
    fuelling_point: int = Field(primary_key=True)
    memory: str


class DeskMemory(SQLModel, table=True):
    """Durable state of linking (``domain.linking.durable``); one row."""

    __tablename__ = "desk_memory"
    id: int = Field(primary_key=True)
    memory: str


class AlertMemory(SQLModel, table=True):
    """Durable state of the alert machines of one subject (``tank:1``, ``point:3``, ``gauge:tls``)."""

    __tablename__ = "alert_memory"
    subject: str = Field(primary_key=True)
    memory: str


class Baseline(SQLModel, table=True):
    """A meter reading from which counting starts: first contact, a supervisor's word or a new incarnation.

    ``seq``: that of its record in the incarnation ``generation``.
    """

    __tablename__ = "baseline"
    generation: int = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    fuelling_point: int
    nozzle: int
    epoch: int
    raw: int
    unit_ml: int
    reason: str
    made_ms: int


class SaleRow(SQLModel, table=True):
    """One sale: the fuel fact plus how far its payment got. ``journal_seq``: its record in stream L."""

    __tablename__ = "sale"
    __table_args__ = (
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
    id: str = Field(primary_key=True)
    fuelling_point: int
    nozzle: int
    grade: str
    tank: int
    kind: str
    volume_ml: int
    unit_price_milli: int
    amount_minor: int
    currency: str
    exponent: int
    start_epoch: int | None
    start_raw: int | None
    end_epoch: int | None
    end_raw: int | None
    sub: int | None
    counter: int | None
    lifted_ms: int | None
    ended_ms: int
    business_day: str
    attendant: str | None
    flags: str
    state: str
    voided: int = 0
    refunded_minor: int = 0
    settle_due_ms: int | None
    journal_seq: int


class Member(SQLModel, table=True):
    """One member in the cache. ``ref`` is the local surrogate that ledger rows name; ``id`` 16 opaque hex digits."""

    __tablename__ = "member"
    ref: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    tier: str
    growth: int
    tags: str
    mask: str
    birthday_md: str | None
    flags: str
    visits: int = 0
    first_fill_used: int = 0
    base_points: int = 0
    known: int = 1
    op: int = 0


class MemberIndex(SQLModel, table=True):
    """Keyed blind index of a card number, phone, plate or UID; the value itself is never here.

    The kind is part of what was hashed, so one number never matches in two roles.
    """

    __tablename__ = "member_index"
    __table_args__ = (ForeignKeyConstraint(["member_ref"], ["member.ref"], ondelete="CASCADE"),)
    digest: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    member_ref: int = Field(index=True)


class LinkRow(SQLModel, table=True):
    """A member linked to a sale; at most one active per sale. A correction is a new row that names the old one."""

    __tablename__ = "link"
    __table_args__ = (
        ForeignKeyConstraint(["sale"], ["sale.id"]),
        ForeignKeyConstraint(["member_ref"], ["member.ref"]),
        Index("link_one_active", "sale", unique=True, sqlite_where=text("active = 1")),
        Index("link_by_sale", "sale"),
    )
    id: str = Field(primary_key=True)
    sale: str
    member_ref: int
    level: str
    by: str
    made_ms: int
    delay_s: int
    corrects: str | None
    active: int


class ScanEvent(SQLModel, table=True):
    """What a reader's scan came to. Never the text."""

    __tablename__ = "scan_event"
    id: str = Field(primary_key=True)
    reader: str
    at_ms: int
    outcome: str
    level: str | None
    member_ref: int | None
    fuelling_point: int | None


class SettlementRow(SQLModel, table=True):
    """The settlement of one sale: once, never changed."""

    __tablename__ = "settlement"
    __table_args__ = (
        ForeignKeyConstraint(["sale"], ["sale.id"]),
        CheckConstraint("net_minor + discount_minor = gross_minor", name="settlement_adds_up"),
    )
    sale: str = Field(primary_key=True)
    member_ref: int | None
    rule_version: int
    rule_hash: str
    gross_minor: int
    discount_minor: int
    net_minor: int
    points_redeemed: int
    points_earned: int
    lines: str
    explanation: str
    purpose: str
    by: str
    settled_ms: int
    journal_seq: int


class PointsHolder(SQLModel, table=True):
    """Who holds the points of a settled sale now, and what a refund must know; a changed link replaces it.

    ``source``: id of the record that granted them; ``earned``: exact earn terms; ``uses``: counts to take back.
    """

    __tablename__ = "points_holder"
    __table_args__ = (
        ForeignKeyConstraint(["sale"], ["sale.id"]),
        ForeignKeyConstraint(["member_ref"], ["member.ref"]),
    )
    sale: str = Field(primary_key=True)
    member_ref: int
    source: str
    points_earned: int
    bonus_points: int
    growth: int
    earned: str
    uses: str


class TenderRow(SQLModel, table=True):
    """How a settled sale was paid; a split payment has several rows."""

    __tablename__ = "tender"
    __table_args__ = (ForeignKeyConstraint(["sale"], ["sale.id"]),)
    sale: str = Field(primary_key=True)
    n: int = Field(primary_key=True)
    kind: str
    amount_minor: int
    ref: str | None


class Posting(SQLModel, table=True):
    """One leg of the double-entry points ledger; the legs of one source sum to zero."""

    __tablename__ = "posting"
    __table_args__ = (
        UniqueConstraint("source", "leg", name="posting_once"),
        ForeignKeyConstraint(["member_ref"], ["member.ref"]),
        Index("posting_by_member", "member_ref"),
        Index("posting_by_sale", "sale"),
    )
    id: int | None = Field(default=None, primary_key=True)
    source: str
    leg: int
    sale: str | None
    member_ref: int | None
    account: str
    points: int
    lot: str | None
    at_ms: int


class Lot(SQLModel, table=True):
    """Points of one member with one origin and one expiry date."""

    __tablename__ = "lot"
    __table_args__ = (
        ForeignKeyConstraint(["member_ref"], ["member.ref"]),
        Index("lot_by_member", "member_ref"),
    )
    id: str = Field(primary_key=True)
    member_ref: int = Field(primary_key=True)
    earned_ms: int
    usable_from_ms: int | None
    expires_on: str | None
    source: str


class UseRow(SQLModel, table=True):
    """How often and how much an offer gave a member (or, with ``subject`` 0, at this station) in one period."""

    __tablename__ = "use_count"
    subject: int = Field(primary_key=True)
    offer: str = Field(primary_key=True)
    window: str = Field(primary_key=True)
    period: str = Field(primary_key=True)
    uses: int
    amount: int


class Correction(SQLModel, table=True):
    """Void, refund, link or tender correction of a sale: a new fact beside the old one."""

    __tablename__ = "correction"
    __table_args__ = (ForeignKeyConstraint(["sale"], ["sale.id"]), Index("correction_by_sale", "sale"))
    id: str = Field(primary_key=True)
    sale: str
    what: str
    old: str
    new: str
    by: str
    role: str
    reason: str
    at_ms: int
    amount_minor: int | None


class Document(SQLModel, table=True):
    """A signed document from head office (rule set): kept by version, one active per kind."""

    __tablename__ = "document"
    kind: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    hash: str
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    effective_from_ms: int
    activated_ms: int | None


class Price(SQLModel, table=True):
    """The price table: unit price of a grade from an instant on."""

    __tablename__ = "price"
    grade: str = Field(primary_key=True)
    effective_from_ms: int = Field(primary_key=True)
    unit_price_milli: int
    source: str
    person: str


class PriceInForce(SQLModel, table=True):
    """From when on a nozzle has sold at a unit price: what the pump took or showed, not what was wanted."""

    __tablename__ = "price_in_force"
    fuelling_point: int = Field(primary_key=True)
    nozzle: int = Field(primary_key=True)
    since_ms: int = Field(primary_key=True)
    unit_price_milli: int


class AlertRow(SQLModel, table=True):
    """One alert as people see it: raised, perhaps acknowledged, perhaps over."""

    __tablename__ = "alert"
    __table_args__ = (Index("alert_by_subject", "subject", "name"), Index("alert_by_state", "state"))
    id: int | None = Field(default=None, primary_key=True)
    subject: str
    name: str
    state: str
    severity: str
    value: int | None
    limit_value: int | None
    unit: str
    detail: str
    raised_ms: int
    cleared_ms: int | None
    acked_ms: int | None
    acked_by: str | None


class TankLevel(SQLModel, table=True):
    """The newest reading of each tank, for restarts and for looking at."""

    __tablename__ = "tank_level"
    tank: int = Field(primary_key=True)
    at_ms: int
    quality: str
    volume_ml: int | None
    tc_volume_ml: int | None
    ullage_ml: int | None
    height_um: int | None
    water_height_um: int | None
    water_volume_ml: int | None
    temperature_mdegc: int | None
    delivery: int | None
