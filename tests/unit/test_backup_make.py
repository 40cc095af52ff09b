"""Making a backup: what is in it, what is never left behind, what a full disk, a second place and a crash do."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent.backup import manifest
from agent.backup.errors import BackupError
from agent.backup.make import listed, make, tidy
from agent.backup.restore import check_file, drill
from agent.failpoints import NAMES, SimulatedCrash, armed
from tests.support.backed_up import KEYS, OWN, START_MS, STATION, Place, selling
from tests.support.processes import eventually

NOW_MS = START_MS + 3_600_000
CANARY = "13912345678"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A database with three sales."""
    found = Place(tmp_path)
    found.fill()
    return found


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A folder on another file system than the tests' own: memory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_a_backup_holds_everything_and_says_what(place: Place) -> None:
    """Made while the database is open: its sums, heads, counts and names are right, and nothing else is left."""
    with selling(place.folder / "data" / "other.db"):
        made = make(place.plan, NOW_MS)
    assert made.path.name == "SH-0421_20261122T010000Z.fcbackup"
    content = made.path.read_bytes()
    told = json.loads(manifest.manifest_path(made.path).read_bytes())
    assert told["format"] == "forecourt-backup/1"
    assert told["made_at"] == "2026-11-22T01:00:00Z"
    assert (told["station"], told["sales"], told["records"], told["findings"]) == (STATION, 3, 4, 0)
    assert told["streams"]["L"]["seq"] == 4
    assert (told["sealed_bytes"], told["sealed_sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert [entry.state for entry in listed(place.plan.folder, STATION)] == ["good"]
    assert check_file(made.path).records == 4
    opened = drill(made.path, place.folder, [KEYS])
    assert opened.report.ok
    assert (opened.report.sales, opened.as_json()["waiting"]) == (3, {"A": 0, "L": 4, "T": 0})
    names = {Path(name).name for name in place.names()}
    assert not {name for name in names if name.startswith((".", "station.db.", "drill")) and name != "station.db.lock"}


def test_only_the_owner_may_read_backups(place: Place) -> None:
    """File and manifest 0600, the folder 0700."""
    made = make(place.plan, NOW_MS)
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (made.path, manifest.manifest_path(made.path), made.path.parent)]
    assert modes == [0o600, 0o600, 0o700]


def test_no_personal_data_can_be_read_without_the_key(place: Place) -> None:
    """A phone number in the database stands neither in the encrypted file nor in its manifest."""
    with closing(sqlite3.connect(place.database)) as db:
        db.execute("INSERT INTO meta (key, value) VALUES ('canary', ?)", (CANARY,))
        db.commit()
    assert CANARY.encode() in place.database.read_bytes()
    make(place.plan, NOW_MS)
    found = list(place.plan.folder.iterdir())
    assert len(found) == 2
    assert [path for path in found if CANARY.encode() in path.read_bytes()] == []


def test_the_stations_own_identity_proves_each_backup(place: Place) -> None:
    """With it the file is decrypted again before it gets its name, and either key opens it."""
    made = make(replace(place.plan, pairs=(OWN,)), NOW_MS)
    assert made.manifest.proved
    assert made.manifest.recipients == (KEYS.recipient, OWN.recipient)
    assert drill(made.path, place.folder, [OWN]).report.ok
    assert drill(made.path, place.folder, [KEYS]).report.ok


def test_a_database_with_findings_is_backed_up_and_not_called_good(place: Place) -> None:
    """Better than nothing, but it never counts as the last good one and pushes no good one out."""
    good = make(place.plan, NOW_MS)
    with closing(sqlite3.connect(place.database)) as db:
        db.execute("UPDATE sale SET amount_minor = amount_minor + 1 WHERE journal_seq = 2")
        db.commit()
    odd = [make(place.plan, NOW_MS + hours * 3_600_000) for hours in (1, 2, 3)]
    assert odd[-1].manifest.findings > 0
    found = listed(place.plan.folder, STATION)
    assert [(entry.path, entry.state) for entry in found] == [(odd[-1].path, "findings"), (good.path, "good")]
    newest = manifest.newest_good(found)
    assert newest is not None
    assert newest.path == good.path


def test_a_broken_page_is_no_backup(place: Place) -> None:
    """A database that SQLite itself calls malformed is refused; the earlier backup stays."""
    first = make(place.plan, NOW_MS)
    size = place.database.stat().st_size
    with place.database.open("r+b") as file:
        for page in range(2, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)
    with pytest.raises(BackupError) as failure:
        make(place.plan, NOW_MS + 60_000)
    assert "verify" in failure.value.hint
    assert [entry.path for entry in listed(place.plan.folder, STATION)] == [first.path]
    assert not (place.folder / "data" / "station.db.backup-work").exists()


def test_another_stations_database_is_not_backed_up(place: Place) -> None:
    """A wrong id in the configuration is told instead of being written on a backup."""
    with pytest.raises(BackupError, match="belongs to station SH-0421"):
        make(replace(place.plan, station="SH-9999"), NOW_MS)


def test_a_full_disk_leaves_no_half_backup(place: Place, small_disk: Path) -> None:
    """Of the backups' disk: what was there stays, the temporary file goes, the reason is told."""
    first = make(place.plan, NOW_MS)
    full = place.into(small_disk / "backups")
    full.folder.mkdir()
    for path in (first.path, manifest.manifest_path(first.path)):
        shutil.copy(path, full.folder / path.name)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(b"x" * 1_000_000)
    with pytest.raises(BackupError, match="No space left"):
        make(full, NOW_MS + 60_000)
    assert sorted(path.name for path in full.folder.iterdir()) == sorted(p.name for p in place.plan.folder.iterdir())
    assert check_file(full.folder / first.path.name).sales == 3
    filler.unlink()
    assert make(full, NOW_MS + 120_000).manifest.sales == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB of its own, mounted as root."""
    folder = tmp_path / "small"
    folder.mkdir()
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*sudo, "mount", "-t", "tmpfs", "-o", "size=256k,mode=777", "none", str(folder)], check=True)
    yield folder
    subprocess.run([*sudo, "umount", str(folder)], check=True)


def test_no_backup_takes_the_room_of_the_next_sales(place: Place) -> None:
    """With less free than the copy and the spare need, nothing is tried."""
    with pytest.raises(BackupError, match="MiB free") as failure:
        make(replace(place.plan, spare_bytes=1 << 60), NOW_MS)
    assert "sales come first" in failure.value.hint
    assert list(place.plan.folder.iterdir()) == []


def test_the_end_of_the_station_ends_a_backup_at_once(place: Place) -> None:
    """Wherever it is: nothing is left behind, and the reason is the end."""
    calls = 0

    def ends_after(allowed: int) -> Callable[[], bool]:
        left = itertools.count(allowed, -1)
        return lambda: next(left) > 0

    while (problem := problem_of(place, ends_after(calls))) is not None:
        assert problem == "the end was asked for"
        assert list(place.plan.folder.iterdir()) == []
        assert not (place.folder / "data" / "station.db.backup-work").exists()
        calls += 1
    assert calls >= 3


def problem_of(place: Place, pulse: Callable[[], bool]) -> str | None:
    """Why no backup was made with this pulse; None if one was."""
    try:
        make(place.plan, NOW_MS, pulse)
    except BackupError as failure:
        return str(failure)
    return None


def test_backups_made_while_sales_go_on_at_full_speed_verify_clean(place: Place) -> None:
    """The writer is never stopped by one, and each holds exactly the sales committed when it began, or a few more."""
    stop = threading.Event()
    shutil.rmtree(place.database.parent)
    with selling(place.database) as station:

        def sell() -> None:
            while not stop.is_set():
                station.sell()

        def goes_on(before: int) -> bool:
            eventually(lambda: station.sold > before, 20, "a sale while a backup is under way")
            return True

        thread = threading.Thread(target=sell)
        thread.start()
        try:
            for day in range(3):
                before = station.sold
                made = make(place.plan, NOW_MS + day * 86_400_000, partial(goes_on, before))
                after = station.sold
                opened = drill(made.path, place.folder, [KEYS])
                assert opened.report.findings == ()
                assert before <= opened.report.sales <= after
                assert after > before
        finally:
            stop.set()
            thread.join()


def test_a_second_place_gets_every_backup(place: Place, other_disk: Path) -> None:
    """File and manifest, and old ones go there too."""
    plan = replace(place.plan, copy_to=other_disk, keep_days=1, keep_months=0)
    for day in range(4):
        assert make(plan, NOW_MS + day * 86_400_000).copy_problem == ""
    assert sorted(path.name for path in other_disk.iterdir()) == sorted(path.name for path in plan.folder.iterdir())
    assert [entry.state for entry in listed(other_disk, STATION)] == ["good", "good"]
    assert drill(listed(other_disk, STATION)[0].path, place.folder, [KEYS]).report.ok


@pytest.mark.parametrize(
    ("second", "problem"), [("gone", "is the medium connected"), ("here", "is the medium mounted")]
)
def test_a_missing_second_place_is_told_and_the_backup_is_made(place: Place, second: str, problem: str) -> None:
    """Not there, or an empty mount point on the same disk: the first copy counts, the second is an alert."""
    (place.folder / "here").mkdir()
    made = make(replace(place.plan, copy_to=place.folder / second), NOW_MS)
    assert problem in made.copy_problem
    assert made.path.exists()
    assert list((place.folder / "here").iterdir()) == []


STEPS = ["backup.copied", "backup.sealed", "backup.described", "backup.named"]
assert set(STEPS) == {name for name in NAMES if name.startswith("backup.")}


@pytest.mark.parametrize("point", STEPS)
def test_a_crash_at_any_step_leaves_whole_backups_only(place: Place, point: str) -> None:
    """What stands under a final name is good; the next backup sweeps the rest and succeeds."""
    make(place.plan, NOW_MS)
    with armed(point, 1), pytest.raises(SimulatedCrash):
        make(place.plan, NOW_MS + 86_400_000)
    found = listed(place.plan.folder, STATION)
    assert [entry.state for entry in found] == ["good"] * (2 if point == "backup.named" else 1)
    make(place.plan, NOW_MS + 2 * 86_400_000)
    assert [entry.state for entry in listed(place.plan.folder, STATION)] == ["good"] * (len(found) + 1)
    names = [path.name for path in place.plan.folder.iterdir()]
    assert len(names) == 2 * (len(found) + 1)
    assert not (place.folder / "data" / "station.db.backup-work").exists()


def test_files_of_others_are_left_alone(place: Place) -> None:
    """Retention knows only this station's complete backups: a neighbour's, a half one and a note stay."""
    made = [make(place.plan, NOW_MS + day * 86_400_000) for day in range(5)]
    folder = place.plan.folder
    others = ["SH-0422_20200101T000000Z.fcbackup", "SH-0421_20200101T000000Z.fcbackup", "read me.txt"]
    for name in others:
        (folder / name).write_text("x")
    removed = tidy(replace(place.plan, keep_days=1, keep_months=0), folder, made[-1].path.name)
    assert removed == [one.path.name for one in made[:3]]
    assert all((folder / name).exists() for name in others)
    assert [entry.state for entry in listed(folder, STATION)] == ["good", "good", "no_manifest"]
