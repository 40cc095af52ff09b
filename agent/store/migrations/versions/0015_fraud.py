"""Signs of misuse: alerts, the sales they name, codes that wait for their sale, reviews; what their rules search by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and the indexes by which a member's, an attendant's and a night's links are found."""
    _create_fraud_alert()
    op.create_table(
        "fraud_alert_sale",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("sale", "alert", "effect")),
        sa.ForeignKeyConstraint(["sale"], ["sale.id"]),
        sa.ForeignKeyConstraint(["alert"], ["fraud_alert.id"], ondelete="CASCADE"),
        sa.CheckConstraint("effect in ('none', 'doubtful', 'hold', 'no_points')", name="fraud_effect_known"),
        sa.PrimaryKeyConstraint("sale", "alert"),
    )
    op.create_index("fraud_alert_sale_by_alert", "fraud_alert_sale", ["alert"])
    op.create_table(
        "fraud_code",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("code", "alert")),
        sa.ForeignKeyConstraint(["alert"], ["fraud_alert.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("code", "alert"),
    )
    op.create_index("fraud_code_by_alert", "fraud_code", ["alert"])
    op.create_table(
        "fraud_review",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("id", "alert", "verdict", "note", "by", "role")),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["alert"], ["fraud_alert.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("fraud_review_by_alert", "fraud_review", ["alert"])
    op.add_column("member", sa.Column("tank_ml", sa.Integer(), nullable=True))
    op.create_index("link_by_member", "link", ["member_ref", "made_ms"])
    op.create_index("link_by_time", "link", ["made_ms"])
    op.create_index("correction_by_time", "correction", ["at_ms"])


def _create_fraud_alert() -> None:
    op.create_table(
        "fraud_alert",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("id", "rule")),
        sa.Column("member_ref", sa.Integer(), nullable=True),
        sa.Column("attendant", sa.String(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("day", "severity")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("from_ms", "to_ms", "observed", "threshold")),
        sa.Column("median", sa.Integer(), nullable=True),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("other_ref", sa.Integer(), nullable=True),
        sa.Column("other", sa.String(), nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("raised_ms", "updated_ms", "updates")),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("reviewed_ms", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["member_ref"], ["member.ref"]),
        sa.ForeignKeyConstraint(["other_ref"], ["member.ref"]),
        sa.CheckConstraint("severity in ('info', 'alert')", name="fraud_severity_known"),
        sa.CheckConstraint(
            "verdict is null or verdict in ('confirmed', 'harmless', 'unclear')", name="fraud_verdict_known"
        ),
        sa.CheckConstraint("(member_ref is null) <> (attendant is null)", name="fraud_one_subject"),
        sa.PrimaryKeyConstraint("id"),
    )
    subject = (sa.text("coalesce(member_ref, 0)"), sa.text("coalesce(attendant, '')"))
    op.create_index("fraud_alert_once", "fraud_alert", ["rule", "day", *subject], unique=True)
    op.create_index("fraud_alert_by_time", "fraud_alert", ["raised_ms"])
    op.create_index("fraud_alert_by_member", "fraud_alert", ["member_ref", "rule"])
    op.create_index("fraud_alert_by_attendant", "fraud_alert", ["attendant", "rule"])


def downgrade() -> None:
    """Take it away again."""
    op.drop_index("correction_by_time", "correction")
    op.drop_index("link_by_time", "link")
    op.drop_index("link_by_member", "link")
    op.drop_column("member", "tank_ml")
    for table in ("fraud_review", "fraud_code", "fraud_alert_sale", "fraud_alert"):
        op.drop_table(table)
