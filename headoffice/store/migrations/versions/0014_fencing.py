"""Which installation of a station redeems, and what each station last said of itself for the map."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the installation heard last that is not fenced goes on redeeming."""
    op.add_column("station", sa.Column("holder", sa.Text(), nullable=True))
    op.add_column("station", sa.Column("profile", sa.Text(), nullable=True))
    op.add_column(
        "station", sa.Column("profile_ms", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True)
    )
    op.execute(
        "UPDATE station SET holder = (SELECT i.install_id FROM install i WHERE i.station = station.station AND NOT"
        " EXISTS (SELECT 1 FROM fence f WHERE f.station = i.station AND f.install_id = i.install_id AND"
        " f.lifted_ms IS NULL) ORDER BY i.last_heard_ms DESC LIMIT 1)"
    )


def downgrade() -> None:
    """Drop them."""
    for column in ("profile_ms", "profile", "holder"):
        op.drop_column("station", column)
