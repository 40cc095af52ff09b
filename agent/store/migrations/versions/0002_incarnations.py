"""Several incarnations in one database: their list, the journals of ended ones, and what head office knew already."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ("incarnation", "rejected_archive", "superseded")


def upgrade() -> None:
    """Create three tables, note the incarnation that runs, and let the seqs of journal and baselines repeat."""
    _create_incarnation()
    _create_rejected_archive()
    _create_superseded()
    op.execute(
        "INSERT INTO incarnation (generation, incarnation, reason, begun_ms)"
        " SELECT 1, value, 'new', 0 FROM meta WHERE key = 'incarnation'"
    )
    _rebuild_baseline(sa.Column("generation", sa.Integer(), nullable=False))
    op.execute(
        "INSERT INTO baseline SELECT 1, seq, fuelling_point, nozzle, epoch, raw, unit_ml, reason, made_ms"
        " FROM baseline_old"
    )
    op.drop_table("baseline_old")
    generation = sa.Column("generation", sa.Integer(), nullable=False)
    _rebuild_journal(generation, sa.UniqueConstraint("generation", "id", name="journal_id_once"))
    op.execute("INSERT INTO journal SELECT 1, stream, seq, id, type, time_ms, body, hash, delivered FROM journal_old")
    op.drop_table("journal_old")


def downgrade() -> None:
    """Drop what ``upgrade`` made; a baseline that repeats a seq is lost, and so are the ended journals."""
    _rebuild_journal(None, sa.UniqueConstraint("id"))
    op.execute(
        "INSERT INTO journal SELECT stream, seq, id, type, time_ms, body, hash, delivered FROM journal_old"
        " WHERE generation = (SELECT max(generation) FROM incarnation)"
    )
    op.drop_table("journal_old")
    _rebuild_baseline()
    op.execute(
        "INSERT OR IGNORE INTO baseline SELECT seq, fuelling_point, nozzle, epoch, raw, unit_ml, reason, made_ms"
        " FROM baseline_old ORDER BY generation DESC"
    )
    op.drop_table("baseline_old")
    for name in reversed(TABLES):
        op.drop_table(name)


def _rebuild_baseline(*generation: sa.Column[int]) -> None:
    op.rename_table("baseline", "baseline_old")
    op.create_table(
        "baseline",
        *generation,
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("fuelling_point", sa.Integer(), nullable=False),
        sa.Column("nozzle", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("raw", sa.Integer(), nullable=False),
        sa.Column("unit_ml", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("made_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(*(column.name for column in generation), "seq"),
    )


def _create_incarnation() -> None:
    op.create_table(
        "incarnation",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("incarnation", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("begun_ms", sa.Integer(), nullable=False),
        sa.Column("install_id", sa.String(), nullable=True),
        sa.Column("ended", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("generation"),
        sa.UniqueConstraint("incarnation"),
    )


def _rebuild_journal(generation: sa.Column[int] | None, unique: sa.UniqueConstraint) -> None:
    op.rename_table("journal", "journal_old")
    key = [] if generation is None else [generation]
    op.create_table(
        "journal",
        *key,
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("time_ms", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(*(column.name for column in key), "stream", "seq"),
        unique,
    )


def _create_rejected_archive() -> None:
    op.create_table(
        "rejected_archive",
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("told_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("generation", "stream", "seq"),
    )


def _create_superseded() -> None:
    op.create_table(
        "superseded",
        sa.Column("sale", sa.String(), nullable=False),
        sa.Column("rest", sa.String(), nullable=True),
        sa.Column("made_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["sale"], ["sale.id"]),
        sa.ForeignKeyConstraint(["rest"], ["sale.id"]),
        sa.PrimaryKeyConstraint("sale"),
    )
