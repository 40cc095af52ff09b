"""A running station whose disk fills up, then refuses everything, then fails to sync: nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from agent.store import mark as marks
from agent.store.store import Store
from agent.supervisor import STORAGE_EXIT
from tests.support.disks import MB, FailingFsync, TinyDisk, tiny_disk
from tests.support.processes import STATION, Running, Site, eventually

SPEED = 20
RESERVE_MB = 4
WITHIN_S = 60


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    with tiny_disk(tmp_path / "disk", 48 * MB) as mounted:
        yield mounted


@pytest.fixture
def mark_disk(tmp_path: Path) -> Iterator[TinyDisk]:
    with tiny_disk(tmp_path / "mark-disk", MB) as mounted:
        yield mounted


@pytest.fixture
def site(tmp_path: Path, disk: TinyDisk, mark_disk: TinyDisk) -> Iterator[Site]:
    with Site(tmp_path, speed=SPEED, seed=11) as opened:
        opened.database = disk.path / "station.db"
        opened.mark = mark_disk.path / "mark.json"
        opened.reserve_mb = RESERVE_MB
        yield opened


def standing(site: Site) -> set[str]:
    """Names of the alerts about the storage that stand."""
    found = site.ask("alerts")
    return {a["name"] for a in found if a["subject"] == "storage" and a["state"].startswith("ACTIVE")}


def sells_on(site: Site) -> None:
    sales = "SELECT count(*) FROM sale"
    here = site.at_station(sales)[0][0]
    eventually(lambda: site.at_station(sales)[0][0] > here, WITHIN_S, "the station sells on")


def died(agent: Running, word: str) -> None:
    """The process ended by itself, said why and what to do, and showed nobody a stack."""
    assert agent.wait(WITHIN_S, word) == STORAGE_EXIT, agent.text[-3_000:]
    assert word in agent.text
    assert "Traceback" not in agent.text


@pytest.mark.long
def test_a_disk_that_fills_up_and_a_sync_that_fails_lose_and_double_nothing(
    site: Site, disk: TinyDisk, mark_disk: TinyDisk
) -> None:
    """I1-I5 over a full disk (on the reserve, then without a byte), a start that has no room, and a failed fsync."""
    fsync = FailingFsync(site.folder)
    site.start_hq()
    forecourt = site.start_forecourt()
    site.configure()
    reserve = site.database.with_name("station.db.reserve")

    agent = site.start_agent()
    sells_on(site)
    assert (reserve.stat().st_size, standing(site)) == (RESERVE_MB * MB, set())

    disk.fill(leave_bytes=RESERVE_MB * MB // 5)
    eventually(lambda: standing(site) == {"DISK_LOW", "DISK_FULL"}, WITHIN_S, "the disk is full, and it is told")
    assert not reserve.exists()
    sells_on(site)

    disk.fill()
    died(agent, "the disk is full")
    refused = site.start_agent(ready=False)
    assert refused.wait(WITHIN_S, "no room to start") == 2
    assert "free space on the disk" in refused.text
    assert "Traceback" not in refused.text

    disk.empty()
    agent = site.start_agent(LD_PRELOAD=fsync.library, FSYNC_FAILS=fsync.flag)
    eventually(lambda: standing(site) == set(), WITHIN_S, "there is room, and it is told")
    assert reserve.stat().st_size == RESERVE_MB * MB
    sells_on(site)

    fsync.fail(on=True)
    died(agent, "the disk reports an error")
    fsync.fail(on=False)
    mark_disk.fill()
    agent = site.start_agent()
    eventually(lambda: standing(site) == {"MARK_NOT_WRITTEN"}, WITHIN_S, "the high-water file cannot be written")
    sells_on(site)
    mark_disk.empty()
    eventually(lambda: standing(site) == set(), WITHIN_S, "the high-water file is written again")
    assert agent.alive

    site.close_forecourt(forecourt)
    eventually(lambda: site.sums_at_hq() == site.sums_at_pumps(), WITHIN_S, "head office has what the pumps counted")
    eventually(site.all_delivered, WITHIN_S, "the journal is delivered")
    eventually(lambda: site.ask("status")["verify_findings"] == 0, WITHIN_S, "it was verified after the unclean end")
    assert agent.end() == 0
    assert not site.database.with_name("station.db-wal").exists(), "an end in order merges the log"
    site.verify_station()
    site.verify_hq()


def test_a_damaged_database_is_put_aside_and_no_other_is_begun(site: Site) -> None:
    """Exit 2 with what to do, no stack, at the first start and at every later one; the file is kept."""
    site.write_config(site.no_devices())
    Store(site.database, station=STATION, random=Random(1)).close()
    marks.write(site.mark, marks.Mark("0" * 32, 1, {}))
    with site.database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 200_000)
    image = site.database.read_bytes()
    for word in ("it was put aside", "there is no database"):
        refused = site.start_agent(ready=False)
        assert refused.wait(WITHIN_S, word) == 2
        assert word in refused.text
        assert "Traceback" not in refused.text
    (folder,) = site.database.parent.glob("station.db.damaged-*")
    assert (folder / "station.db").read_bytes() == image
    assert not site.database.exists()
