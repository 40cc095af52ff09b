"""A running station whose disk fills up, then refuses everything, then fails to sync: nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.supervisor import STORAGE_EXIT
from tests.support.disks import MB, FailingFsync, TinyDisk, tiny_disk
from tests.support.processes import Running, Site, eventually

SPEED = 20
WITHIN_S = 40


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    with tiny_disk(tmp_path / "disk", 16 * MB) as mounted:
        yield mounted


@pytest.fixture
def site(tmp_path: Path, disk: TinyDisk) -> Iterator[Site]:
    with Site(tmp_path, speed=SPEED, seed=11) as opened:
        opened.database = disk.path / "station.db"
        opened.mark = disk.path / "mark" / "mark.json"
        yield opened


def standing(site: Site) -> set[str]:
    """Names of the alerts about the storage that stand."""
    found = site.ask("alerts")
    return {a["name"] for a in found if a["subject"] == "storage" and a["state"].startswith("ACTIVE")}


def sells_on(site: Site) -> None:
    sales = "SELECT count(*) FROM sale"
    here = site.at_station(sales)[0][0]
    eventually(lambda: site.at_station(sales)[0][0] > here + 2, WITHIN_S, "the station sells on")


def died(agent: Running, word: str) -> None:
    """The process ended by itself, said why and what to do, and showed nobody a stack."""
    assert agent.wait(WITHIN_S, word) == STORAGE_EXIT, agent.text[-3_000:]
    assert word in agent.text
    assert "Traceback" not in agent.text


def test_a_disk_that_fills_up_and_a_sync_that_fails_lose_and_double_nothing(site: Site, disk: TinyDisk) -> None:
    """I1-I5 over a full disk (on the reserve, then without a byte), a start that has no room, and a failed fsync."""
    fsync = FailingFsync(site.folder)
    site.start_hq()
    forecourt = site.start_forecourt()
    site.configure()
    reserve = site.database.with_name("station.db.reserve")

    agent = site.start_agent()
    sells_on(site)
    assert (reserve.stat().st_size, standing(site)) == (MB, set())

    disk.fill(leave_bytes=100_000)
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
    agent = site.start_agent(**fsync.environment)
    eventually(lambda: standing(site) == set(), WITHIN_S, "there is room, and it is told")
    assert reserve.stat().st_size == MB
    sells_on(site)

    fsync.fail(on=True)
    died(agent, "the disk reports an error")
    fsync.fail(on=False)
    agent = site.start_agent()
    sells_on(site)

    site.close_forecourt(forecourt)
    eventually(lambda: site.sums_at_hq() == site.sums_at_pumps(), WITHIN_S, "head office has what the pumps counted")
    eventually(site.all_delivered, WITHIN_S, "the journal is delivered")
    assert agent.end() == 0
    site.verify_station()
    site.verify_hq()
