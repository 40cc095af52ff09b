"""Members are kept in the order of their buckets, and indexes may wait while the cache is filled."""

from __future__ import annotations

import struct

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

BY_ID, BY_BUCKET = "UNIQUE (id)", "UNIQUE (bucket, id)"
PAIR = struct.Struct(">10sI")


def upgrade() -> None:
    """Change what a member's row is unique by; add the table of what waits: nothing does."""
    op.drop_index("member_by_bucket", "member")
    _unique(BY_ID, BY_BUCKET)
    op.create_table(
        "member_index_waiting",
        sa.Column("slice", sa.Integer(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("pairs", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("slice", "bucket"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Put in what waits; ids are unique by themselves again."""
    connection = op.get_bind()
    rows = connection.exec_driver_sql("SELECT pairs FROM member_index_waiting").scalars()
    waiting = [pair for pairs in rows for pair in PAIR.iter_unpack(pairs)]
    if waiting:
        connection.exec_driver_sql("INSERT OR IGNORE INTO member_index (digest, member_ref) VALUES (?, ?)", waiting)
    op.drop_table("member_index_waiting")
    _unique(BY_BUCKET, BY_ID)
    op.create_index("member_by_bucket", "member", ["bucket"])


def _unique(old: str, new: str) -> None:
    """Change the constraint in the table's own words and build its index anew: 2 s for a million members.

    The table cannot be copied and dropped: foreign keys hold inside a transaction, and would take its children along.
    """
    connection = op.get_bind()
    send = connection.exec_driver_sql
    send("PRAGMA writable_schema=ON")
    change = "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = 'member'"
    send(change, (old, new))
    send("PRAGMA writable_schema=RESET")
    send("REINDEX member")
    told = send("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'member'").scalar_one()
    if new not in told:
        raise RuntimeError(f"the table of members does not say {new}: {told}")
