"""Room kept free for the database: taken when there is plenty, given up when there is none, told without flutter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.checkup import DiskWatch, giving_up
from agent.inbox import FromStorage, Inbox, Item
from agent.store.failures import Failure, StorageFailed
from agent.store.reserve import Disk, Level, Reserve, judged
from tests.support.disks import MB, TinyDisk, tiny_disk

KEPT = 1 * MB


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    with tiny_disk(tmp_path / "disk", 8 * MB) as mounted:
        yield mounted


@pytest.mark.parametrize(
    ("before", "free_mb", "expected"),
    [
        (Level.NORMAL, 256, Level.NORMAL),
        (Level.NORMAL, 255, Level.LOW),
        (Level.LOW, 319, Level.LOW),
        (Level.LOW, 320, Level.NORMAL),
        (Level.LOW, 16, Level.LOW),
        (Level.LOW, 15, Level.FULL),
        (Level.NORMAL, 15, Level.FULL),
        (Level.FULL, 127, Level.FULL),
        (Level.FULL, 128, Level.LOW),
        (Level.FULL, 320, Level.NORMAL),
    ],
)
def test_each_level_is_left_later_than_it_is_entered(before: Level, free_mb: int, expected: Level) -> None:
    """The thresholds of a reserve of 64 MB."""
    assert judged(before, free_mb * MB, 64 * MB) is expected


def test_the_reserve_takes_its_room_from_the_disk_and_gives_it_back(disk: TinyDisk) -> None:
    """Its blocks are really allocated; on a disk that somebody fills they become free again, and are taken later."""
    reserve, file = Reserve(disk.path / "station.db", KEPT), disk.path / "station.db.reserve"
    before = disk.free_bytes
    assert reserve.look() == Disk(Level.NORMAL, before - KEPT, reserved=True)
    assert file.stat().st_blocks * 512 == KEPT

    disk.fill()
    assert reserve.look() == Disk(Level.FULL, KEPT, reserved=False)
    assert not file.exists()
    assert reserve.look().level is Level.FULL, "the room of the reserve is no room for the reserve"
    assert Reserve(disk.path / "station.db", KEPT).look().level is Level.FULL, "a restart knows it as well"

    disk.empty()
    assert reserve.look() == Disk(Level.NORMAL, before - KEPT, reserved=True)


def test_a_reserve_of_another_size_is_made_anew(disk: TinyDisk) -> None:
    """After a change of the configuration, and where only the name of a reserve is there."""
    file = disk.path / "station.db.reserve"
    Reserve(disk.path / "station.db", KEPT).look()
    Reserve(disk.path / "station.db", 2 * KEPT).look()
    assert file.stat().st_blocks * 512 == 2 * KEPT
    with file.open("wb") as holes:
        holes.truncate(2 * KEPT)
    Reserve(disk.path / "station.db", 2 * KEPT).look()
    assert file.stat().st_blocks * 512 == 2 * KEPT


def test_without_a_reserve_the_levels_are_those_of_the_usual_one(disk: TinyDisk) -> None:
    """Nothing is allocated; 8 MB are little."""
    assert Reserve(disk.path / "station.db", 0).look() == Disk(Level.FULL, disk.free_bytes, reserved=True)
    assert list(disk.path.iterdir()) == []


def test_the_watch_tells_each_change_once(disk: TinyDisk) -> None:
    """The first look is told in any case: an alert of the last life may be over."""
    inbox: Inbox[Item] = Inbox()
    watch = DiskWatch(Reserve(disk.path / "station.db", KEPT), disk.path / "station.db", inbox)

    def heard() -> list[tuple[str, bool]]:
        watch.look()
        watch.look()
        found = []
        while isinstance(item := inbox.get(0.0), FromStorage):
            found.append((item.alert, item.standing))
            assert "MB free on the disk of" in item.detail
        return found

    assert heard() == [("DISK_LOW", False), ("DISK_FULL", False)]
    disk.fill(leave_bytes=3 * MB)
    assert heard() == [("DISK_LOW", True), ("DISK_FULL", False)]
    disk.fill()
    assert heard() == [("DISK_LOW", True), ("DISK_FULL", True)]
    disk.empty()
    assert heard() == [("DISK_LOW", False), ("DISK_FULL", False)]


@pytest.mark.parametrize(("what", "kept"), [(Failure.FULL, False), (Failure.IO, True)])
def test_a_write_without_room_gives_the_reserve_up_and_fails_all_the_same(
    disk: TinyDisk, what: Failure, *, kept: bool
) -> None:
    """What failed is not tried again: the next start finds the room. Another failure needs no room."""
    reserve = Reserve(disk.path / "station.db", KEPT)
    reserve.look()
    with pytest.raises(StorageFailed), giving_up(reserve):
        raise StorageFailed(what, "a write")
    assert (disk.path / "station.db.reserve").exists() is kept
