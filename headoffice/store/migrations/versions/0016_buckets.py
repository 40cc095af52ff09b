"""Members lie in buckets with sums; a member's row is the only place of its newest change, the log beside it goes."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import sqlalchemy as sa
from alembic import op

from sync.buckets import BUCKETS, bucket_of, columns, pack, sum_of

revision = "0016"
down_revision = "0014"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT_ONCE = 5_000

_MEMBER = sa.table("member", sa.column("member"), sa.column("body"), sa.column("op"), sa.column("bucket"))
_LOG = sa.table("member_op", sa.column("kind"), sa.column("member"), sa.column("body"))


def upgrade() -> None:
    """Number the buckets of all members, keep whom merged ids belong to, drop the log."""
    op.add_column("member", sa.Column("bucket", BIG, server_default=sa.text("0"), nullable=False))
    made = op.create_table(
        "member_bucket",
        sa.Column("bucket", BIG, autoincrement=False, nullable=False),
        sa.Column("op", BIG, nullable=False),
        sa.Column("members", BIG, nullable=False),
        sa.Column("sum", sa.LargeBinary(), nullable=True),
        sa.Column("frame", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("bucket", name="pk_member_bucket"),
    )
    connection = op.get_bind()
    newest = dict.fromkeys(range(BUCKETS), 0)
    rows = iter(connection.execute(sa.select(_MEMBER.c.member, _MEMBER.c.op)).all())
    while some := list(islice(rows, AT_ONCE)):
        for name, number in some:
            newest[bucket_of(name)] = max(newest[bucket_of(name)], number)
        _each(connection, _MEMBER.c.bucket, [{"of": name, "to": bucket_of(name)} for name, _ in some])
    merged = connection.execute(sa.select(_LOG.c.member, _LOG.c.body).where(_LOG.c.kind == "ALIAS")).all()
    _each(connection, _MEMBER.c.body, [{"of": name, "to": _compact(json.loads(body))} for name, body in merged])
    op.bulk_insert(made, [_summed_up(number, last) for number, last in newest.items()])
    op.drop_table("member_op")
    op.create_index("ix_member_bucket", "member", ["bucket"])
    op.create_index("ix_member_op", "member", ["op"], unique=True)


def _summed_up(number: int, last: int) -> dict[str, Any]:
    """A bucket in which nobody ever was is summed up already; the others when somebody asks."""
    empty = columns(())
    known = {"sum": sum_of(0, empty), "frame": pack(0, empty)} if last == 0 else {"sum": None, "frame": None}
    return {"bucket": number, "op": last, "members": 0, **known}


def _each(connection: sa.Connection, column: Any, values: list[dict[str, Any]]) -> None:
    if values:
        changed: dict[str, Any] = {column.name: sa.bindparam("to")}
        connection.execute(sa.update(_MEMBER).where(_MEMBER.c.member == sa.bindparam("of")).values(changed), values)


_compact = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def downgrade() -> None:
    """The log cannot be brought back."""
    raise NotImplementedError("restore the copy from before the upgrade")
