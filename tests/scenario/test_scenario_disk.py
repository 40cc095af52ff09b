"""A disk that is full in the middle of a fuelling: nothing is ordered from a pump that is not on disk first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.inbox import FromStorage, Ticked
from agent.store.failures import Failure, StorageFailed
from tests.support import template
from tests.support.disks import MB, TinyDisk, tiny_disk
from tests.support.station import VirtualStation
from tests.support.station_checks import SENSITIVE, alert_edges, check_invariants
from tests.support.station_plans import by_hand


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    with tiny_disk(tmp_path / "disk", 24 * MB) as mounted:
        yield mounted


@pytest.fixture
def station(disk: TinyDisk) -> Iterator[VirtualStation]:
    (disk.path / "station").mkdir()
    template.copy_to(disk.path / "station")
    made = VirtualStation(81, disk.path / "station", replace(by_hand(), telemetry_every="1s"))
    made.run_for(8)
    made.fuel(1, 10_000)
    made.fuel(2, 10_000)
    yield made
    made.close()


def recovered(station: VirtualStation, disk: TinyDisk) -> None:
    """Somebody frees space, the process starts again from the database."""
    disk.empty()
    station.crash("the disk is full")
    station.restart()


def ordered_since(station: VirtualStation, count: int) -> list[str]:
    return [entry.name for entry in station.commands[count:] if entry.name in SENSITIVE]


def test_no_fuel_is_released_that_cannot_be_written_down(station: VirtualStation, disk: TinyDisk) -> None:
    """A lift on a full disk: the step fails and AUTHORIZE does not leave; with room again the pump serves as ever."""
    disk.fill()
    before = len(station.commands)
    station.lift(1)
    with pytest.raises(StorageFailed) as failed:
        station.run_for(30)
    assert failed.value.what is Failure.FULL
    assert ordered_since(station, before) == []
    station.hang_up(1)
    recovered(station, disk)
    station.run_for(8)
    station.fuel(1, 12_000)
    assert [sale["volume_ml"] for sale in station.sales()] == [10_000, 10_000, 12_000]
    check_invariants(station)


def test_a_fuelling_under_way_goes_on_and_is_booked_when_there_is_room(station: VirtualStation, disk: TinyDisk) -> None:
    """The pump is neither stopped nor told to forget; what it counted is one sale, with the customer's own litres."""
    station.lift(1)
    station.wait_for_flow(1)
    disk.fill()
    before = len(station.commands)
    with pytest.raises(StorageFailed):
        station.flow(1, 30_000, seconds=20)
    head = station.forecourt.world.heads[1]
    assert head.can_flow()
    assert head.deliver(500)
    station.hang_up(1)
    assert ordered_since(station, before) == []
    recovered(station, disk)
    station.wait(lambda: len(station.sales()) == 3, "what was pumped meanwhile is booked")
    check_invariants(station)


def test_on_a_full_disk_only_telemetry_is_left_out(station: VirtualStation) -> None:
    """Told that the disk is full, the station goes on selling and raises an alert; told otherwise, all is as before."""

    def minute() -> int:
        station.handle(Ticked("minute"))
        return int(station.rows("SELECT seq FROM stream_head WHERE stream = 'T'")[0]["seq"])

    before = minute()
    station.handle(FromStorage("DISK_FULL", standing=True, detail="1 MB free"))
    station.fuel(1, 12_000)
    assert (minute(), len(station.sales())) == (before, 3)
    station.handle(FromStorage("DISK_FULL", standing=False))
    station.run_for(2)
    assert minute() > before > 0
    edges = alert_edges(station)
    assert edges["storage", "DISK_FULL", "raised"] == edges["storage", "DISK_FULL", "cleared"] == 1
    check_invariants(station)


def test_what_the_nightly_verification_found_stands_as_an_alert_and_is_kept(station: VirtualStation) -> None:
    """Raised with the first findings as critical, told to head office, over when the database is clean again."""

    def told(count: int) -> tuple[str, str]:
        facts = {"verified_at_ms": "1795305600000", "verify_findings": str(count)}
        detail = "1 findings: journal L seq 3: the hash does not follow from the bytes" if count else ""
        station.handle(FromStorage("VERIFY_FAILED", bool(count), detail, facts))
        (alert,) = station.rows("SELECT * FROM alert WHERE name = 'VERIFY_FAILED'")
        assert (alert["subject"], alert["severity"]) == ("storage", "critical")
        assert "journal L seq 3" in alert["detail"]
        kept = {row["key"]: row["value"] for row in station.rows("SELECT key, value FROM meta")}
        return alert["state"], kept["verify_findings"]

    assert told(1) == ("ACTIVE", "1")
    assert told(0) == ("CLEARED", "0")
    edges = alert_edges(station)
    assert edges["storage", "VERIFY_FAILED", "raised"] == edges["storage", "VERIFY_FAILED", "cleared"] == 1
