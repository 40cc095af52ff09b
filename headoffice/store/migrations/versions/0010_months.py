"""The bytes of records lie in a table of their own, which PostgreSQL parts by months; the keys stay whole."""

from __future__ import annotations

from itertools import pairwise

import sqlalchemy as sa
from alembic import op

from headoffice.store import postgresql

revision = "0010"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table, with the months that are needed, and move the bytes."""
    op.create_table(
        "record_bytes",
        sa.Column("number", BIG, autoincrement=False, nullable=False),
        sa.Column("received_ms", BIG, autoincrement=False, nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", "received_ms", name="pk_record_bytes"),
        postgresql_partition_by="RANGE (received_ms)",
    )
    connection = op.get_bind()
    first, last = connection.execute(sa.text("SELECT min(received_ms), max(received_ms) FROM record")).one()
    if connection.dialect.name != "sqlite" and first is not None:
        for month, _ in pairwise(_months(first, last)):
            postgresql.make_month(connection, month)
    op.execute("INSERT INTO record_bytes (number, received_ms, raw) SELECT number, received_ms, raw FROM record")
    op.drop_column("record", "raw")


def downgrade() -> None:
    """Move the bytes back."""
    op.add_column("record", sa.Column("raw", sa.LargeBinary(), nullable=True))
    op.execute("UPDATE record SET raw = (SELECT raw FROM record_bytes b WHERE b.number = record.number)")
    op.drop_table("record_bytes")
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("record") as table:
            table.alter_column("raw", nullable=False)
    else:
        op.alter_column("record", "raw", nullable=False)


def _months(first_ms: int, last_ms: int) -> list[int]:
    """The first instant of every month of a span, and of the one after it."""
    found = [postgresql.month_of(first_ms)[0]]
    while found[-1] <= last_ms:
        found.append(postgresql.month_of(found[-1])[1])
    return found
