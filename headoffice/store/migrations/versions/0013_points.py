"""Leases and what they took, lives of stations, whose balance is to be told, coupons that are held."""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TABLES = (
    "life",
    "pool",
    "lease",
    "lease_move",
    "point_lot",
    "member_alias",
    "member_base",
    "member_place",
    "tell_due",
    "coupon_mark",
)


def upgrade() -> None:
    """Create the tables; lives, merges and lots are taken from what was stored before."""
    _leases()
    _members()
    op.create_table(
        "coupon_mark",
        *_texts("code", "station", "sale", "state"),
        *_bigs("marked_ms"),
        sa.PrimaryKeyConstraint("code", name="pk_coupon_mark"),
    )
    _fill()


def _texts(*names: str, null: bool = False) -> Sequence[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=null) for name in names]


def _bigs(*names: str, null: bool = False) -> Sequence[sa.Column[int]]:
    return [sa.Column(name, BIG, nullable=null) for name in names]


def _leases() -> None:
    op.create_table(
        "life",
        sa.Column("number", BIG, autoincrement=True, nullable=False),
        *_texts("station", "incarnation"),
        sa.PrimaryKeyConstraint("number", name="pk_life"),
        sa.UniqueConstraint("station", "incarnation", name="uq_life_station_incarnation"),
    )
    op.create_table(
        "pool",
        *_texts("kind", "subject"),
        *_bigs("amount", "made_ms"),
        sa.PrimaryKeyConstraint("kind", "subject", name="pk_pool"),
    )
    op.create_table(
        "lease",
        *_texts("id", "kind", "subject", "station", "incarnation"),
        *_bigs("amount", "after_seq"),
        *_texts("state"),
        *_bigs("spent", "reclaimed", "overrun"),
        *_texts("req_id"),
        *_texts("sale", "said", null=True),
        *_bigs("granted_ms", "expires_ms"),
        *_bigs("ended_ms", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_lease"),
        sa.UniqueConstraint("station", "req_id", name="uq_lease_station_req_id"),
    )
    op.create_index("ix_lease_kind_subject", "lease", ["kind", "subject"])
    op.create_table(
        "lease_move",
        *_bigs("record", "place"),
        *_texts("lease", null=True),
        *_texts("kind", "subject"),
        *_texts("sale", null=True),
        *_bigs("amount"),
        sa.PrimaryKeyConstraint("record", "place", name="pk_lease_move"),
    )
    op.create_index("ix_lease_move_lease", "lease_move", ["lease"])
    op.create_index("ix_lease_move_kind_subject", "lease_move", ["kind", "subject"])


def _members() -> None:
    op.create_table(
        "point_lot",
        *_bigs("record", "place"),
        *_texts("lot"),
        *_bigs("earned_ms"),
        *_bigs("usable_from_ms", null=True),
        *_texts("expires_on", null=True),
        sa.PrimaryKeyConstraint("record", "place", name="pk_point_lot"),
    )
    op.create_index("ix_point_lot_lot", "point_lot", ["lot"])
    op.create_table(
        "member_alias", *_texts("member", "became"), sa.PrimaryKeyConstraint("member", name="pk_member_alias")
    )
    op.create_index("ix_member_alias_became", "member_alias", ["became"])
    op.create_table("member_base", *_texts("member", "lots"), sa.PrimaryKeyConstraint("member", name="pk_member_base"))
    op.create_table(
        "member_place",
        *_texts("member", "station", "incarnation"),
        *_bigs("seq"),
        sa.PrimaryKeyConstraint("member", "station", name="pk_member_place"),
    )
    op.create_table(
        "tell_due",
        sa.Column("number", BIG, autoincrement=True, nullable=False),
        *_texts("member"),
        *_texts("station", "incarnation", null=True),
        *_bigs("seq", null=True),
        sa.PrimaryKeyConstraint("number", name="pk_tell_due"),
    )


def _fill() -> None:
    """Whoever has postings is told anew; terms of lots and lives stand in the records."""
    db = op.get_bind()
    db.execute(
        sa.text(
            "INSERT INTO life (station, incarnation) SELECT station, incarnation FROM record"
            " WHERE type = 'fc.incarnation.v1' GROUP BY station, incarnation ORDER BY min(number)"
        )
    )
    merged = db.execute(sa.text("SELECT member, body FROM member_op WHERE kind = 'ALIAS' ORDER BY op")).all()
    became = {row.member: json.loads(row.body).get("to") for row in merged}
    for name, merged_into in became.items():
        last = merged_into
        while became.get(last):
            last = became[last]
        if last is not None:
            values = {"name": name, "to": last}
            db.execute(sa.text("INSERT INTO member_alias (member, became) VALUES (:name, :to)"), values)
    wanted = "'fc.sale.settled.v1', 'fc.sale.corrected.v1', 'fc.points.v1'"
    rows = db.execute(
        sa.text(
            "SELECT r.number, b.raw FROM record r JOIN record_bytes b ON b.number = r.number"  # noqa: S608
            f" WHERE r.type IN ({wanted})"
        )
    )
    for number, raw in rows.tuples().all():
        for place, lot in enumerate(json.loads(bytes(raw))["data"].get("lots", [])):
            db.execute(
                sa.text(
                    "INSERT INTO point_lot (record, place, lot, earned_ms, usable_from_ms, expires_on)"
                    " VALUES (:record, :place, :lot, :earned_ms, :usable_from_ms, :expires_on)"
                ),
                {**lot, "record": number, "place": place},
            )
    db.execute(
        sa.text(
            "INSERT INTO tell_due (member, station, incarnation, seq)"
            " SELECT DISTINCT p.member, r.station, r.incarnation, r.seq FROM posting p"
            " JOIN record r ON r.number = p.record WHERE p.member IS NOT NULL AND r.stream = 'L'"
        )
    )


def downgrade() -> None:
    """Drop them."""
    for table in TABLES:
        op.drop_table(table)
