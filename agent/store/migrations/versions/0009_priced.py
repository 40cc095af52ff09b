"""What the rules were told when a sale was priced, so that every answer can be given again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; sales priced before keep their verdicts and sentences, but not what the rules were told."""
    op.create_table(
        "priced",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("member_ref", sa.Integer(), nullable=True),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("rule_hash", sa.String(), nullable=False),
        sa.Column("facts", sa.String(), nullable=True),
        sa.Column("lines", sa.String(), nullable=False),
        sa.Column("points_earned", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["sale"], ["sale.id"]),
        sa.ForeignKeyConstraint(["member_ref"], ["member.ref"]),
        sa.CheckConstraint("what in ('settlement', 'link', 'late-link')", name="priced_what_known"),
        sa.PrimaryKeyConstraint("source"),
    )
    op.create_index("priced_by_sale", "priced", ["sale"])
    op.create_index("priced_by_member", "priced", ["member_ref"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("priced")
