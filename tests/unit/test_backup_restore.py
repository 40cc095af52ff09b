"""Putting a backup in place: what is refused, what is shown, and that no crash leaves anything but old or new."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import age
from agent.backup import manifest
from agent.backup.errors import BackupDamaged, BackupError, BackupRefused
from agent.backup.make import contents, make
from agent.backup.restore import Comparison, Opened, check_file, drill, restore, restore_empty, unpack
from agent.failpoints import NAMES, SimulatedCrash, armed
from agent.store import swap
from agent.store.store import Store
from agent.store.verify import verify
from tests.support.backed_up import KEYS, OWN, START_MS, STATION, WISH, Place, agree

NOW_MS = START_MS + 3_600_000


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A database with three sales."""
    found = Place(tmp_path)
    found.fill()
    return found


def backed_up(place: Place) -> Path:
    """A backup of it."""
    return make(place.plan, NOW_MS).path


def grown(place: Place) -> None:
    """The database with six sales, as a power cut left it: with a write-ahead log that holds some of them."""
    shutil.rmtree(place.database.parent)
    place.fill(6, cut_off=True)
    assert place.database.with_name("station.db-wal").stat().st_size > 0


def sales_in(database: Path) -> int:
    """How many sales a database has, after a whole verification."""
    report = verify(database)
    assert report.ok, report.findings
    return report.sales


def started(place: Place) -> Store:
    """The store as a starting daemon opens it."""
    return Store(place.database, station=STATION, random=Random(9))


def test_what_is_restored_is_what_was_backed_up(place: Place) -> None:
    """Everything newer is moved aside with its companions, nothing of it is lost, and the rest verifies."""
    file = backed_up(place)
    grown(place)
    aside = restore(file, place.database, STATION, [KEYS], wish=WISH, confirm=agree)
    assert aside is not None
    assert sales_in(place.database) == 3
    assert sorted(path.name for path in aside.iterdir()) == ["station.db", "station.db-shm", "station.db-wal"]
    assert sales_in(aside / "station.db") == 6
    assert not swap.workshop(place.database).exists()
    started(place).close()


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(values=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=400), max_size=30))
def test_any_content_comes_back_byte_for_byte(tmp_path: Path, values: list[str]) -> None:
    """Whatever stands in the database: the unpacked file has the same rows."""
    shutil.rmtree(tmp_path, ignore_errors=True)
    place = Place(tmp_path)
    place.fill(1)
    with closing(sqlite3.connect(place.database)) as db:
        db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", [(f"k{n}", v) for n, v in enumerate(values)])
        db.commit()
        wanted = list(db.iterdump())
    unpack(backed_up(place), tmp_path / "back.db", [KEYS])
    with closing(sqlite3.connect(tmp_path / "back.db")) as db:
        assert list(db.iterdump()) == wanted


def test_the_question_shows_what_only_the_present_database_has(place: Place) -> None:
    """Records beyond the backup are counted per stream; answering no changes nothing."""
    file = backed_up(place)
    with closing(sqlite3.connect(place.database)) as db:
        db.execute("UPDATE stream_head SET seq = seq + 7 WHERE stream = 'L'")
        db.commit()
    before = place.database.read_bytes()
    shown: list[tuple[Opened | None, Comparison]] = []

    def refuse(opened: Opened | None, present: Comparison) -> bool:
        shown.append((opened, present))
        return False

    assert restore(file, place.database, STATION, [KEYS], wish=WISH, confirm=refuse) is None
    ((opened, present),) = shown
    assert opened is not None
    assert (opened.report.sales, present.same_incarnation, present.newer) == (3, True, {"A": 0, "L": 7, "T": 0})
    assert place.database.read_bytes() == before
    assert not swap.workshop(place.database).exists()


def test_a_wrong_key_opens_nothing(place: Place) -> None:
    """The message says so; nothing is left behind."""
    with pytest.raises(BackupError, match="does not open"):
        restore(backed_up(place), place.database, STATION, [OWN], wish=WISH, confirm=agree)
    assert not swap.workshop(place.database).exists()


def test_another_stations_backup_is_refused(place: Place) -> None:
    """Even with the right key, and whatever the file is called."""
    file = backed_up(place)
    renamed = file.with_name("SH-9999_20261122T010000Z.fcbackup")
    shutil.copy(file, renamed)
    with pytest.raises(BackupRefused, match=r"station SH-0421, this is SH-9999"):
        restore(renamed, place.folder / "other" / "station.db", "SH-9999", [KEYS], wish=WISH, confirm=agree)
    assert not (place.folder / "other" / "station.db").exists()


def test_a_newer_schema_is_refused(place: Place) -> None:
    """Before anything is touched, with the version to install in the hint."""
    with closing(sqlite3.connect(place.database)) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    file = backed_up(place)
    with pytest.raises(BackupRefused, match="schema 9999") as failure:
        restore(file, place.database, STATION, [KEYS], wish=WISH, confirm=agree)
    assert "install the version" in failure.value.hint


def test_every_cut_and_flip_is_noticed(place: Place) -> None:
    """With its manifest by the sums alone, without it by the encryption: no damaged file is ever unpacked as whole."""
    file = backed_up(place)
    content = file.read_bytes()
    chance = Random(3)
    alone = place.folder / "alone" / file.name
    alone.parent.mkdir()
    for _ in range(25):
        where = chance.randrange(len(content))
        flipped = content[:where] + bytes([content[where] ^ (1 << chance.randrange(8))]) + content[where + 1 :]
        for damaged in (content[:where], flipped):
            file.write_bytes(damaged)
            with pytest.raises(BackupDamaged):
                check_file(file)
            alone.write_bytes(damaged)
            with pytest.raises(BackupError):
                drill(alone, place.folder, [KEYS])
    alone.write_bytes(content)
    assert drill(alone, place.folder, [KEYS]).manifest is None
    assert not list(place.folder.glob("drill-*"))


def test_a_file_sealed_by_somebody_else_is_not_restored(place: Place) -> None:
    """Anybody may encrypt to a public key: what is inside must be a station's database all the same."""
    forged = place.folder / "SH-0421_20261122T010000Z.fcbackup"
    for inside in (b"", b"hello", (b"SQLite format 3\0" + b"x" * 5_000)):
        with forged.open("wb") as target:
            plain = place.folder / "plain"
            plain.write_bytes(inside)
            with plain.open("rb") as source:
                age.encrypt(source, target, [KEYS.recipient])
        with pytest.raises(BackupDamaged):
            restore(forged, place.database, STATION, [KEYS], wish=WISH, confirm=agree)
    assert sales_in(place.database) == 3


def test_an_unreadable_present_database_is_moved_aside(place: Place) -> None:
    """Damage is the reason to restore: it does not stand in the way."""
    file = backed_up(place)
    place.database.write_bytes(b"\xff" * 8_192)
    aside = restore(file, place.database, STATION, [KEYS], wish=WISH, confirm=agree)
    assert aside is not None
    assert (aside / "station.db").read_bytes() == b"\xff" * 8_192
    assert sales_in(place.database) == 3


def test_without_a_present_database_there_is_nothing_to_move(place: Place) -> None:
    """A new disk: the folder is made where it is missing."""
    file = backed_up(place)
    shutil.rmtree(place.database.parent)
    assert restore(file, place.database, STATION, [KEYS], wish=WISH, confirm=agree) is not None
    assert sales_in(place.database) == 3


def test_an_empty_database_begins_a_new_incarnation(place: Place) -> None:
    """When everything is lost: no sale, another incarnation, the reason kept, the old files aside."""
    before = contents(place.database).incarnation
    aside = restore_empty(place.database, STATION, wish=WISH, confirm=agree)
    assert aside is not None
    assert sales_in(aside / "station.db") == 3
    fresh = contents(place.database)
    assert (fresh.station, fresh.incarnation != before) == (STATION, True)
    assert {name: head["seq"] for name, head in fresh.streams.items()} == {"A": 0, "L": 0, "T": 0}
    store = started(place)
    assert json.loads(store.meta(swap.RESTORED) or "")["reason"] == WISH.reason
    store.close()


STEPS = ["restore.unpacked", "restore.checked", "restore.decided", "restore.moved", "restore.placed"]
assert set(STEPS) == {name for name in NAMES if name.startswith("restore.")}


@pytest.mark.parametrize("point", STEPS)
@pytest.mark.parametrize("empty", [False, True])
def test_a_crash_at_any_step_leaves_the_old_or_the_new_database(place: Place, point: str, empty: bool) -> None:
    """Never none, never half: the next start opens one of them whole, and nothing that was there is gone."""
    file = backed_up(place)
    wanted = 0 if empty else 3
    outcomes = Counter[int]()
    for n in range(1, 9):
        grown(place)
        try:
            with armed(point, n):
                put_in_place(file, place, empty)
        except SimulatedCrash:
            started(place).close()
            outcomes[sales_in(place.database)] += 1
            aside = list(place.database.parent.glob("station.db.replaced-*/station.db"))
            assert [sales_in(path) for path in aside] == ([6] if sales_in(place.database) == wanted else [])
            assert not (swap.workshop(place.database) / swap.INTENT).exists()
            put_in_place(file, place, empty)
        assert sales_in(place.database) == wanted
        if sum(outcomes.values()) < n:
            break
    after = point in ("restore.decided", "restore.moved", "restore.placed")
    reached = 0 if empty and point == "restore.unpacked" else 3 if point == "restore.moved" else 1
    assert outcomes == Counter({wanted if after else 6: reached} if reached else {})


def put_in_place(file: Path, place: Place, empty: bool) -> None:
    """The restore that a crash interrupts; later than the one before it, as people are."""
    wish = replace(WISH, at_ms=WISH.at_ms + len(list(place.database.parent.iterdir())) * 1_000)
    if empty:
        restore_empty(place.database, STATION, wish=wish, confirm=agree)
    else:
        restore(file, place.database, STATION, [KEYS], wish=wish, confirm=agree)


def test_a_manifest_of_another_file_is_noticed(place: Place) -> None:
    """Two backups with their manifests mixed up."""
    first = backed_up(place)
    second = make(place.plan, NOW_MS + 86_400_000).path
    shutil.copy(manifest.manifest_path(first), manifest.manifest_path(second))
    with pytest.raises(BackupDamaged):
        check_file(second)
    with pytest.raises(BackupDamaged):
        drill(second, place.folder, [KEYS])
