"""Members enrolled here, members that head office merged, look-ups by number; links are found by member."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and the index."""
    op.create_table(
        "member_alias",
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("ref", "to_ref", "op", "at_ms")),
        sa.ForeignKeyConstraint(["ref"], ["member.ref"]),
        sa.ForeignKeyConstraint(["to_ref"], ["member.ref"]),
        sa.PrimaryKeyConstraint("ref"),
    )
    op.create_index("member_alias_by_target", "member_alias", ["to_ref"])
    op.create_table(
        "enrolment",
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("request", sa.String(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("mask", sa.String(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("sale", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("member"),
    )
    once = sa.text("request is not null")
    op.create_index("enrolment_once", "enrolment", ["request"], unique=True, sqlite_where=once)
    op.create_table(
        "lookup",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("hit", sa.Integer(), nullable=False),
        sa.Column("terminal", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("lookup_by_person", "lookup", ["person", "at_ms"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("lookup")
    op.drop_table("enrolment")
    op.drop_table("member_alias")
