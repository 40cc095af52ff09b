"""Members lie in 1,024 buckets, and are recognised by the first ten bytes of their indexes, as buckets tell them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sync.buckets import BUCKETS, DIGEST_BYTES, bucket_of

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Number every member's bucket, shorten the indexes; what was told so far was told up to the cache's op."""
    op.add_column("member", sa.Column("bucket", sa.Integer(), server_default="-1", nullable=False))
    op.create_table(
        "member_bucket",
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("op", sa.Integer(), nullable=False),
        sa.Column("need", sa.Integer(), nullable=True),
        sa.Column("sum", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("bucket"),
    )
    connection = op.get_bind()
    members = connection.exec_driver_sql("SELECT ref, id FROM member WHERE ref > 0").all()
    numbered = [(bucket_of(member), ref) for ref, member in members]
    if numbered:
        connection.exec_driver_sql("UPDATE member SET bucket = ? WHERE ref = ?", numbered)
    connection.exec_driver_sql(
        f"UPDATE OR REPLACE member_index SET digest = substr(digest, 1, {DIGEST_BYTES})"  # noqa: S608
        f" WHERE length(digest) > {DIGEST_BYTES}"
    )
    told = connection.exec_driver_sql("SELECT value FROM meta WHERE key = 'member_op'").scalar()
    if told is not None and int(told) > 0:
        rows = [{"bucket": number, "op": int(told)} for number in range(BUCKETS)]
        op.bulk_insert(sa.table("member_bucket", sa.column("bucket"), sa.column("op")), rows)
    op.create_index("member_by_bucket", "member", ["bucket"])


def downgrade() -> None:
    """Drop them; the indexes stay short."""
    op.drop_table("member_bucket")
    op.drop_index("member_by_bucket", "member")
    op.drop_column("member", "bucket")
