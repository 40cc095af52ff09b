"""Turns a copy of this project into a next version for the upgrade: ``schema`` adds a table, ``broken`` never starts.

``python tests/boot/variants.py FOLDER [schema] [broken]``. Knows where a migration lives and where the daemon says READY.
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent.store.migrate import wanted_revision

MIGRATION = '''"""A table that only the next version knows."""

from alembic import op

revision = "9999"
down_revision = "{before}"


def upgrade() -> None:
    """Make it."""
    op.execute("CREATE TABLE of_the_next_version (id INTEGER PRIMARY KEY)")
'''
READY = 'sd_notify("READY=1")'


def main(folder: Path, *changes: str) -> None:
    """Change the files below ``folder``."""
    if "schema" in changes:
        text = MIGRATION.format(before=wanted_revision())
        (folder / "agent/store/migrations/versions/9999_next.py").write_text(text, encoding="utf-8")
    if "broken" in changes:
        daemon = folder / "agent/daemon.py"
        text = daemon.read_text(encoding="utf-8")
        assert text.count(READY) == 1
        daemon.write_text(text.replace(READY, 'raise RuntimeError("a bug of this version")'), encoding="utf-8")


main(Path(sys.argv[1]), *sys.argv[2:])
