"""Putting another database in the place of the present one, all or nothing: once decided it is finished at any start.

The replaced files are moved aside, never removed. Must be called under the instance lock; opens no database.
"""

from __future__ import annotations

import json
from pathlib import Path

from agent.failpoints import failpoint
from agent.store import durable

RESTORED = "restored"
"""Key of ``meta``: who put this database in place and why, until the next start has journalled it."""

INTENT = "intent.json"
FRESH = "new.db"
COMPANIONS = ("-wal", "-shm", "")
"""The database's own name last: while it is there, its companions either are too or are aside already."""


def workshop(database: Path) -> Path:
    """Return the folder beside the database in which a new one is prepared; its file is ``FRESH``."""
    return database.with_name(f"{database.name}.restoring")


def decide(database: Path, aside: Path) -> None:
    """Make it the durable intent to put the prepared database in place, the present files into ``aside``.

    The prepared file is complete and synced. Raises OSError; then nothing is decided.
    """
    folder = workshop(database)
    assert folder.joinpath(FRESH).is_file()
    durable.make_folder(aside, folder)
    durable.put(folder.joinpath(INTENT), json.dumps({"aside": aside.name}).encode("utf-8"), folder)


def finish(database: Path) -> Path | None:
    """Carry a decided intent out, from wherever it was interrupted; returns the folder of the replaced files.

    Returns None where nothing is decided. Raises OSError; the intent then stands and the next call goes on.
    """
    folder = workshop(database)
    try:
        aside = database.with_name(str(json.loads(folder.joinpath(INTENT).read_bytes())["aside"]))
    except FileNotFoundError:
        return None
    if folder.joinpath(FRESH).exists():
        for companion in COMPANIONS:
            present = database.with_name(database.name + companion)
            if present.exists():
                present.rename(aside.joinpath(present.name))
                failpoint("restore.moved")
        durable.sync_folder(aside)
        durable.sync_folder(database.parent)
        folder.joinpath(FRESH).rename(database)
        durable.sync_folder(database.parent)
    failpoint("restore.placed")
    folder.joinpath(INTENT).unlink()
    folder.rmdir()
    durable.sync_folder(database.parent)
    return aside
