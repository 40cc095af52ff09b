"""What is looked at before the database is opened: damage and absence are refused and put aside, never taken for new."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from agent.store import mark as marks
from agent.store.examine import DatabaseDamaged, DatabaseMissing, examine, settle
from agent.store.journal import Stamp
from agent.store.lock import InstanceLock, StoreError
from agent.store.store import Store
from agent.store.verify import verify
from tests.support.disks import MB, FailingFsync, TinyDisk, tiny_disk

STATION = "SH-0421"
NOW_MS = 1_795_305_600_000
STAMP = Stamp(NOW_MS, 1_000, "b7c1", "rtc")
ASIDE = "station.db.damaged-20261122T000000Z"
PAGE = 4096


def written(path: Path, records: int = 40) -> None:
    """A station's database with some records, closed in order."""
    store = Store(path, station=STATION, random=Random(1))
    with store.begin(STAMP) as tx:
        tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
    for _ in range(records):
        with store.begin(STAMP) as tx:
            tx.journal.append("fc.health.v1", {"devices": 1, "devices_online": 1, "clock": "rtc"})
    store.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "station.db"
    written(path)
    return path


@pytest.fixture
def database(tmp_path: Path, template: Path) -> Path:
    return Path(shutil.copy(template, tmp_path / "station.db"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    with tiny_disk(tmp_path / "disk", 2 * MB) as mounted:
        yield mounted


def killed(template: Path, folder: Path, *, settled: int = 0) -> Path:
    """The files of a station killed with three records in its log only, after ``settled`` others in the database."""
    store = Store(Path(shutil.copy(template, folder / "running.db")), station=STATION, random=Random(2))
    for number in range(settled + 3):
        if number == settled:
            with closing(sqlite3.connect(store.path)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with store.begin(STAMP) as tx:
            tx.journal.append("fc.health.v1", {"devices": 1, "devices_online": 1, "clock": "rtc"})
    for suffix in ("", "-wal"):
        shutil.copy(folder / f"running.db{suffix}", folder / f"station.db{suffix}")
    store.close()
    return folder / "station.db"


def look(database: Path, *, unclean: bool = False) -> bool:
    return examine(database, database.parent / "mark.json", unclean=unclean, wall_ms=NOW_MS)


def last_seq(database: Path) -> int:
    with closing(sqlite3.connect(database)) as db:
        return int(db.execute("SELECT max(seq) FROM journal WHERE stream = 'T'").fetchone()[0])


def test_a_healthy_database_passes_and_is_not_touched(database: Path) -> None:
    """Closed in order, it may be trusted; after an unclean end it passes too, but wants a closer look."""
    before = database.read_bytes()
    assert look(database) is True
    assert look(database, unclean=True) is False
    assert database.read_bytes() == before


def test_a_new_station_may_begin(tmp_path: Path) -> None:
    """No database and nothing that remembers one: there never was any."""
    assert look(tmp_path / "station.db") is True
    (tmp_path / "station.db").touch()
    assert look(tmp_path / "station.db") is True


@pytest.mark.parametrize("remembered_by", ["mark.json", "station.db-wal", ASIDE])
@pytest.mark.parametrize("left", ["nothing", "empty"])
def test_a_missing_database_is_never_made_anew_by_itself(tmp_path: Path, remembered_by: str, left: str) -> None:
    """The high-water file, a log or a database put aside remembers it: refused, with what to do, and left as it is."""
    if left == "empty":
        (tmp_path / "station.db").touch()
    (tmp_path / remembered_by).write_text("something", encoding="utf-8")
    files = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    for _ in range(2):
        with pytest.raises(DatabaseMissing, match="there is no database") as refused:
            look(tmp_path / "station.db")
    assert "forecourt restore" in refused.value.hint
    assert {file.name: file.stat().st_size for file in tmp_path.iterdir()} == files


def test_a_young_database_that_lost_its_log_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    """Killed before its log was merged for the first time, it is an empty file without it."""
    running = Store(tmp_path / "running.db", station=STATION, random=Random(2))
    shutil.copy(tmp_path / "running.db", tmp_path / "station.db")
    running.close()
    assert look(tmp_path / "station.db") is True, "nothing remembers it: a first start that did not get far"
    (tmp_path / "mark.json").write_text("something", encoding="utf-8")
    with pytest.raises(DatabaseMissing, match="remembers"):
        look(tmp_path / "station.db")


def overwritten(database: Path, place: int, content: bytes) -> None:
    with database.open("r+b") as file:
        file.seek(place)
        file.write(content)


def break_it(database: Path, damage: str) -> None:
    if damage == "no database":
        database.write_bytes(b"<html>not found</html>" * 500)
    elif damage == "header":
        overwritten(database, 0, bytes(16))
    elif damage == "schema page":
        overwritten(database, 100, b"\xff" * 64)
    elif damage == "cut":
        database.write_bytes(database.read_bytes()[: 3 * PAGE])
    else:
        for page in range(20, 40):
            overwritten(database, page * PAGE, b"\xa5" * 200)


@pytest.mark.parametrize("damage", ["no database", "header", "schema page", "cut"])
def test_what_is_no_database_any_more_is_put_aside(database: Path, damage: str) -> None:
    """Even where the last agent ended in order; the next start refuses to begin anew in its place."""
    break_it(database, damage)
    image = database.read_bytes()
    with pytest.raises(DatabaseDamaged, match=ASIDE) as refused:
        look(database)
    assert "forecourt restore" in refused.value.hint
    assert (database.parent / ASIDE / "station.db").read_bytes() == image
    with pytest.raises(DatabaseMissing, match=ASIDE):
        look(database)


@pytest.mark.parametrize("damage", ["no database", "cut", "page"])
def test_a_damaged_database_is_put_aside_with_its_log(template: Path, tmp_path: Path, damage: str) -> None:
    """Moved as a whole, byte for byte, never deleted: what is only in the log may be wanted."""
    database = killed(template, tmp_path)
    break_it(database, damage)
    images = {suffix: Path(f"{database}{suffix}").read_bytes() for suffix in ("", "-wal")}
    with pytest.raises(DatabaseDamaged):
        look(database, unclean=True)
    assert not [file for file in tmp_path.iterdir() if file.name.startswith("station.db") and file.is_file()]
    assert {s: (tmp_path / ASIDE / f"station.db{s}").read_bytes() for s in ("", "-wal")} == images


def test_an_old_backup_under_the_log_of_a_newer_database_is_not_trusted(template: Path, tmp_path: Path) -> None:
    """Copied over a database whose log stayed behind: the lock tells nothing, the log alone has every page looked at."""
    database = killed(template, tmp_path, settled=60)
    shutil.copy(template, database)
    with pytest.raises(DatabaseDamaged):
        look(database, unclean=False)


@pytest.mark.parametrize("what", ["deleted", "cut", "of nobody"])
def test_a_lost_log_is_noticed_by_the_high_water_file(template: Path, tmp_path: Path, what: str) -> None:
    """Its records are gone, the rest is whole: the database passes and is known to be older than what was written."""
    database = killed(template, tmp_path)
    log = tmp_path / "station.db-wal"
    seq = last_seq(Path(shutil.copy(template, tmp_path / "older.db"))) + 3
    if what == "deleted":
        log.unlink()
    elif what == "cut":
        log.write_bytes(log.read_bytes()[:PAGE])
    else:
        log.write_bytes(Random(1).randbytes(50_000))
    assert look(database, unclean=True) is False
    store = Store(database, station=STATION, random=Random(3))
    mark = marks.Mark(store.incarnation, 1, {"T": (seq, "")})
    assert marks.database_is_behind(mark, store.incarnation, store.heads())
    store.close()
    assert verify(database).ok


def test_an_intact_log_is_read_and_nothing_is_behind(template: Path, tmp_path: Path) -> None:
    """After a kill everything committed is there; making the log durable anew changes no byte of it."""
    database = killed(template, tmp_path)
    log = tmp_path / "station.db-wal"
    before = log.read_bytes()
    settle(log)
    assert log.read_bytes() == before
    assert look(database, unclean=True) is False
    store = Store(database, station=STATION, random=Random(3))
    assert store.heads()["T"][0] == 43
    store.close()


EXAMINE = """
import sys
from pathlib import Path
from agent.store.examine import examine
from agent.store.failures import StorageFailed
try:
    examine(Path(sys.argv[1]), Path("none"), unclean=sys.argv[2] == "unclean", wall_ms=0)
except StorageFailed as failure:
    sys.exit(f"refused: {failure}")
"""


def test_after_an_unclean_end_the_log_is_on_disk_before_anything_is_built_on_it(template: Path, tmp_path: Path) -> None:
    """On a disk whose fsync fails the examination refuses what may be in the system's memory only."""
    database, fsync = killed(template, tmp_path), FailingFsync(tmp_path)
    fsync.fail(on=True)

    def examined(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", EXAMINE, str(database), "unclean"]
        return subprocess.run(command, env=os.environ | more, capture_output=True, text=True, check=False)

    refused = examined(LD_PRELOAD=fsync.library, FSYNC_FAILS=fsync.flag)
    assert (refused.returncode, "refused: the disk reports an error" in refused.stderr) == (1, True), refused.stderr
    assert examined().returncode == 0


def test_the_examination_of_fifty_megabytes_after_an_end_in_order_does_not_read_them(tmp_path: Path) -> None:
    """The time does not grow with the size: far fewer bytes are read than there are."""
    path = tmp_path / "station.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE t (x BLOB)")
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 50) "
            "INSERT INTO t SELECT zeroblob(1048576) FROM n"
        )
        db.commit()
    before = _bytes_read()
    assert look(path) is True
    assert _bytes_read() - before < 1 * MB


def _bytes_read() -> int:
    words = Path("/proc/self/io").read_text(encoding="ascii").split()
    return int(words[words.index("rchar:") + 1])


def test_the_lock_tells_whether_the_last_agent_ended_in_order(tmp_path: Path) -> None:
    """Released: in order. Lost with its process: not, until an agent ends in order again."""
    path = tmp_path / "station.db"
    first, second, third = InstanceLock(path), InstanceLock(path), InstanceLock(path)
    first.take()
    assert first.unclean is False
    first.release()
    second.take()
    assert second.unclean is False
    (tmp_path / "station.db.lock").rename(tmp_path / "kept")  # as a kill leaves it: nobody holds it, a pid in it
    shutil.copy(tmp_path / "kept", tmp_path / "station.db.lock")
    third.take()
    assert third.unclean is True


def test_a_read_only_disk_refuses_the_start_and_says_what_to_do(disk: TinyDisk) -> None:
    """The lock cannot be taken: refused in words, nothing is touched; writable again, it opens."""
    path = disk.path / "station.db"
    written(path, 3)
    disk.read_only(on=True)
    with pytest.raises(StoreError, match="Read-only file system") as refused:
        InstanceLock(path).take()
    assert "mount it writable" in refused.value.hint
    disk.read_only(on=False)
    assert look(path) is True
