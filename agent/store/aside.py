"""A copy of the database put aside before an upgrade, and the way back to it. Run by install.sh while no agent runs.

Knows SQLite and the journal's heads. Loses nothing by itself: what it replaces is kept beside the copy.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.settings import SettingsError, load
from agent.store import durable
from agent.store.lock import InstanceLock, StoreBusy, StoreError

REPLACED = "replaced"


class CopyDamaged(StoreError):
    """The copy does not hold what the database holds."""


@dataclass(frozen=True, slots=True)
class Change:
    """What came into the database after its copy was made: another schema, and so many records of the money stream."""

    schema: bool
    records: int


def put_aside(database: Path, folder: Path) -> Path:
    """Copy the database into ``folder``, check and sync the copy, return its path.

    Raises StoreError, or sqlite3.Error where the disk or the file is bad.
    """
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    copy = folder.joinpath(database.name)
    with closing(sqlite3.connect(_read_only(database), uri=True)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        found = target.execute("PRAGMA integrity_check").fetchone()[0]
        same = _heads(source) == _heads(target) and _schema(source) == _schema(target)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, complete in itself
    if found != "ok" or not same:
        hint = "the database itself may be damaged: forecourt verify --database FILE, then restore a backup"
        raise CopyDamaged(f"the copy {copy} does not hold what {database} holds: {found}", hint=hint)
    durable.sync_file(copy)
    durable.sync_folder(folder)
    return copy


def change_since(database: Path, copy: Path) -> Change:
    """Return what the database has and its copy has not. Records that only say that the agent started do not count."""
    with closing(sqlite3.connect(_read_only(database), uri=True)) as now, closing(sqlite3.connect(copy)) as then:
        head = _heads(then).get("L", 0)
        (records,) = now.execute(
            "SELECT count(*) FROM journal WHERE stream = 'L' AND seq > ? AND type != 'fc.audit.v1'", (head,)
        ).fetchone()
        return Change(_schema(now) != _schema(then), records)


def put_back(database: Path, copy: Path) -> Path:
    """Put the copy in the database's place at one stroke; what stood there stays, in a folder that is returned."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # one file, complete in itself
    replaced = _fresh(copy.parent)
    os.link(database, replaced.joinpath(database.name))
    staged = database.with_name(database.name + ".returning")
    shutil.copyfile(copy, staged)
    staged.chmod(0o600)
    durable.sync_file(staged)
    durable.sync_folder(replaced)
    staged.replace(database)
    durable.sync_folder(database.parent)
    return replaced


def _fresh(folder: Path) -> Path:
    number = 1
    while (folder.joinpath(f"{REPLACED}-{number}")).exists():
        number += 1
    made = folder.joinpath(f"{REPLACED}-{number}")
    made.mkdir(mode=0o750)
    return made


def _read_only(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro"


def _heads(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT stream, seq FROM stream_head"))


def _schema(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def _act(action: str, database: Path, folder: Path) -> object:
    """Do one thing under the database's lock; the answer goes to stdout as JSON. No database, nothing to do."""
    copy = folder.joinpath(database.name)
    if not database.exists() or not (copy.exists() or action == "put-aside"):
        return {"copy": None, "schema": False, "records": 0, "replaced": None}
    lock = InstanceLock(database)
    lock.take()
    try:
        if action == "put-aside":
            return {"copy": str(put_aside(database, folder))}
        if action == "change":
            return asdict(change_since(database, copy))
        return {"replaced": str(put_back(database, copy))}
    finally:
        lock.release()


def main() -> int:
    """``python -m agent.store.aside put-aside|change|put-back CONFIG FOLDER``; 1 with a reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m agent.store.aside")
    parser.add_argument("action", choices=("put-aside", "change", "put-back"))
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        answer = _act(options.action, load(options.config).store.path, options.folder)
    except SettingsError:
        reason = f"{options.config} has faults: forecourt check-config {options.config}"
    except StoreBusy as failure:
        reason = f"{failure}; {failure.hint}"
    except (StoreError, sqlite3.Error, OSError) as failure:
        reason = f"{type(failure).__name__}: {failure}"
    else:
        print(json.dumps(answer))  # noqa: T201 - install.sh reads it
        return 0
    print(reason, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
