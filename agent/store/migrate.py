"""Bringing the database to this software's schema: backed up first, one transaction, never half applied."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from agent.store.lock import StoreNewer


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    return config


def wanted_revision() -> str:
    """Return the revision this software works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def known_revisions() -> frozenset[str]:
    """Return every revision that this software can work with or migrate from."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def current_revision(engine: Engine) -> str | None:
    """Return the revision of the open database, ``None`` for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


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
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, wanted)
    return True
