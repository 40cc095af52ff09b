"""Bringing the database to this software's schema: backed up first, one transaction, never half applied."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from agent.store.lock import StoreNewer

if TYPE_CHECKING:  # Alembic costs a quarter of a second of every start, and most starts have nothing to migrate
    from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")
REVISION_DIGITS = 4
"""A migration's file name begins with its revision, ``0001``: the newest is known without loading any of them."""


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def known_revisions() -> list[str]:
    """Return the revisions this software knows, oldest first."""
    return sorted(path.name[:REVISION_DIGITS] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def wanted_revision() -> str:
    """Return the revision this software works with."""
    return known_revisions()[-1]


def current_revision(engine: Engine) -> str | None:
    """Return the revision of the open database, ``None`` for an empty one."""
    with engine.connect() as connection:
        named = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
        if connection.exec_driver_sql(named).first() is None:
            return None
        row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
        return None if row is None else str(row[0])


def backup_before(path: Path, revision: str) -> Path:
    """Copy the database with SQLite's online backup to ``<name>.before-<revision>`` and return that path."""
    target = path.with_name(f"{path.name}.before-{revision}")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    return target


def upgrade(engine: Engine, path: Path) -> bool:
    """Migrate to ``wanted_revision``; returns whether anything was done.

    Raises StoreNewer when the database knows a revision that this software does not.
    """
    wanted = wanted_revision()
    have = current_revision(engine)
    if have == wanted:
        return False
    if have is not None and have not in known_revisions():
        raise StoreNewer(
            f"the database has schema {have}, newer than this software knows",
            hint="install the version that wrote it, or restore the backup made before its upgrade",
        )
    if have is not None:
        backup_before(path, wanted)
    from alembic import command

    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, wanted)
    return True
