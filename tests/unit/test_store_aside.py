"""The copy before an upgrade: complete and checked; going back to it is told what it would cost and keeps what it replaces."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest

from agent.store.aside import Change, change_since, put_aside, put_back
from agent.store.journal import Stamp
from agent.store.lock import InstanceLock
from agent.store.store import Store
from tests.support.station_file import changed

STAMP = Stamp(1_795_305_600_000, 1_000, "b7c1", "rtc")
AUDIT = {"who": "agent", "role": "agent", "action": "started", "object": "x", "reason": "", "result": "done"}


def written(database: Path, records: int, kind: str = "fc.stocktake.v1") -> None:
    """The database, opened by the agent's own store, with so many more records of the money stream."""
    is_new = not database.exists()
    store = Store(database, station="SH-0001", random=SystemRandom())
    first: list[tuple[str, dict[str, Any]]] = (
        [("fc.incarnation.v1", {"reason": "new", "parent": None})] if is_new else []
    )
    more: list[tuple[str, dict[str, Any]]] = [(kind, AUDIT if kind == "fc.audit.v1" else {})] * records
    for name, data in [*first, *more]:
        with store.begin(STAMP) as tx:
            tx.journal.append(name, data)
    store.close()


def heads(database: Path) -> int:
    """The last number of the money stream."""
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT seq FROM stream_head WHERE stream = 'L'").fetchone()[0])


def migrated(database: Path) -> None:
    """The database as newer software leaves it."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()


def test_a_copy_holds_everything_even_what_is_only_in_the_log(tmp_path: Path) -> None:
    """A database that was not closed politely is copied with its write-ahead log."""
    database = tmp_path / "station.db"
    store = Store(database, station="SH-0001", random=SystemRandom())
    with store.begin(STAMP) as tx:
        tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
    copy = put_aside(database, tmp_path / "before")
    store.close()
    assert copy == tmp_path / "before" / "station.db"
    assert heads(copy) == 1
    assert change_since(database, copy) == Change(schema=False, records=0)


def test_a_damaged_database_is_not_taken_for_a_copy(tmp_path: Path) -> None:
    """The upgrade must stop here, while the old software can still be started."""
    database = tmp_path / "station.db"
    written(database, 40)
    content = bytearray(database.read_bytes())
    content[4096 : 4096 + 2000] = Random(1).randbytes(2000)
    database.write_bytes(content)
    with pytest.raises(sqlite3.DatabaseError):
        put_aside(database, tmp_path / "before")


def test_what_newer_software_wrote_is_counted(tmp_path: Path) -> None:
    """Another schema is seen; records of money count, the note that the agent started does not."""
    database = tmp_path / "station.db"
    written(database, 1)
    copy = put_aside(database, tmp_path / "before")
    written(database, 1, "fc.audit.v1")
    assert change_since(database, copy) == Change(schema=False, records=0)
    written(database, 2)
    migrated(database)
    assert change_since(database, copy) == Change(schema=True, records=2)


def test_going_back_keeps_the_database_that_is_replaced(tmp_path: Path) -> None:
    """The old one opens with the old software, the newer one lies beside the copy; twice does not overwrite."""
    database = tmp_path / "station.db"
    written(database, 1)
    copy = put_aside(database, tmp_path / "before")
    for wanted in ("replaced-1", "replaced-2"):
        written(database, 2)
        migrated(database)
        replaced = put_back(database, copy)
        assert replaced == tmp_path / "before" / wanted
        assert (heads(replaced / "station.db"), heads(database)) == (4, 2)
    written(database, 1)
    assert heads(database) == 3


def test_the_installer_is_told_by_exit_code_and_json(tmp_path: Path) -> None:
    """As install.sh calls it: JSON on stdout, also before the first start; 1 and one line while an agent holds the database, or for a wrong file."""
    database, config, before = tmp_path / "station.db", tmp_path / "station.toml", tmp_path / "before"
    config.write_text(f'[store]\npath = "{database}"\n{changed()}', encoding="utf-8")

    def call(action: str) -> tuple[int, object, str]:
        command = [sys.executable, "-m", "agent.store.aside", action, str(config), str(before)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    assert call("put-aside") == (0, {"copy": None, "schema": False, "records": 0, "replaced": None}, "")
    written(database, 1)
    assert call("put-aside") == (0, {"copy": str(before / "station.db")}, "")
    assert call("change") == (0, {"schema": False, "records": 0}, "")
    lock = InstanceLock(database)
    lock.take()
    code, _, told = call("put-back")
    lock.release()
    assert (code, told.count("\n")) == (1, 1)
    assert "another agent" in told
    config.write_text("[station]\n", encoding="utf-8")
    assert call("put-aside")[0] == 1
