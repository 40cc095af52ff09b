"""Enrolments keep what they were recognised by, what station staff sealed for head office, and who they became."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = ("by", "phone_index", "plate_index", "contact", "became")


def upgrade() -> None:
    """Add the columns; enrolments before them have no contact and became nobody."""
    for name in COLUMNS:
        op.add_column("enrolment", sa.Column(name, sa.Text(), nullable=True))
    op.create_index("ix_enrolment_became", "enrolment", ["became"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_enrolment_became", "enrolment")
    for name in reversed(COLUMNS):
        op.drop_column("enrolment", name)
