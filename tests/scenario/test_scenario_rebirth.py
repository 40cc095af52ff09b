"""A restored, copied or moved database gets a new incarnation: every litre once, with and without the network."""

from __future__ import annotations

import dataclasses
import json

import pytest

from agent.failpoints import NAMES, armed
from agent.store import mark as marks
from tests.scenario.conftest import MakeStation
from tests.support.examples import some
from tests.support.rebirth_checks import at_head_office, check_every_litre_once, first_records
from tests.support.station import VirtualStation
from tests.support.station_copies import any_moment, database_image, is_settled, lose_database, put_back
from tests.support.station_plans import busy, by_hand

PLAN = dataclasses.replace(by_hand(has_head_office=True), has_mark=True, islands=1)
SETTLED = "delivered, and no meter waits"


def _reasons(station: VirtualStation) -> list[str]:
    return [row["reason"] for row in station.rows("SELECT reason FROM incarnation ORDER BY generation")]


def _settle(station: VirtualStation) -> None:
    station.wait(lambda: is_settled(station), SETTLED, 240)
    station.run_for(1.5)


def _open(station: VirtualStation) -> None:
    """Run until every point answers lifts."""
    station.wait(lambda: all(station.live.points.get(n, {}).get("ready") for n in (1, 2)), "points answer lifts", 120)


def _a_morning(station: VirtualStation) -> None:
    station.publish_rules_and_members()
    _open(station)
    station.fuel(1, 3_000)
    station.fuel(2, 5_000)


def test_a_restored_database_neither_loses_nor_doubles_a_litre(make_station: MakeStation) -> None:
    """[W-31] [W-32] Sold and delivered after the backup, sold while down: head office has each millilitre once."""
    station = make_station(801, PLAN)
    _a_morning(station)
    backup = database_image(station)
    station.fuel(1, 7_000)
    station.fuel(1, 2_000)
    _settle(station)
    old = station.store.incarnation
    put_back(station, backup)
    assert _reasons(station) == ["new", "behind_mark"]
    _open(station)
    station.fuel(1, 4_000)
    _settle(station)
    check_every_litre_once(station)
    first = first_records(station)[station.store.incarnation]
    assert (first["type"], first["data"]["parent"]["incarnation"]) == ("fc.incarnation.v1", old)
    gaps = [
        json.loads(r["raw"])["data"]
        for r in at_head_office(
            station, "SELECT raw FROM record JOIN record_bytes USING (number) WHERE type='fc.gap.v1'"
        )
    ]
    assert [(gap["fuelling_point"], gap["reason"]) for gap in gaps] == [(1, "known at head office")]


def test_a_backup_from_before_the_first_reading_loses_no_litre(make_station: MakeStation) -> None:
    """[W-32] A nozzle without a sale: head office tells the base of the lost life, what moved since is booked."""
    station = make_station(810, PLAN)
    backup = database_image(station)
    _a_morning(station)
    _settle(station)
    station.broker.up = False
    station.run_for(2)
    station.fuel(3, 2_000)
    station.broker.up = True
    put_back(station, backup)
    _settle(station)
    check_every_litre_once(station)


def test_without_the_network_a_restored_station_sells_and_asks_later(make_station: MakeStation) -> None:
    """[W-32] The gap stays open, is shown and survives a restart; sales go on from the new base; the welcome closes it."""
    station = make_station(802, PLAN)
    _a_morning(station)
    backup = database_image(station)
    station.fuel(1, 7_000)
    _settle(station)
    station.broker.up = False
    station.run_for(2)
    station.fuel(1, 2_500)
    station.fuel(2, 1_500)
    put_back(station, backup)
    _open(station)
    station.fuel(1, 4_000)
    assert [sale["volume_ml"] for sale in station.sales()][-1] == 4_000
    assert [gap["nozzle"] for gap in station.live.points[1]["meter_gaps"]] == [1]
    assert "METER_GAP" in station.live.points[1]["alerts"]
    station.crash()
    station.restart(1)
    _open(station)
    assert [gap["nozzle"] for gap in station.live.points[1]["meter_gaps"]] == [1]
    station.fuel(2, 1_000)
    station.broker.up = True
    _settle(station)
    check_every_litre_once(station)
    assert "METER_GAP" not in station.live.points[1]["alerts"]
    closing = [sale for sale in station.sales() if "reincarnated" in sale["flags"].split()]
    assert sorted(sale["volume_ml"] for sale in closing) == [1_500, 2_500]


def test_a_missing_mark_is_reason_enough(make_station: MakeStation) -> None:
    """[W-31] The high-water file is gone while the database is not new: nobody can say that it is the newest."""
    station = make_station(803, PLAN)
    _a_morning(station)
    station.crash()
    station.settings.store.mark.unlink()
    station.restart(1)
    assert _reasons(station) == ["new", "mark_missing"]
    _open(station)
    station.fuel(2, 4_000)
    _settle(station)
    check_every_litre_once(station)


def test_a_damaged_mark_is_reason_enough(make_station: MakeStation) -> None:
    """[W-31] A file that is no high-water file proves nothing either."""
    station = make_station(804, PLAN)
    _a_morning(station)
    station.crash()
    station.settings.store.mark.write_text("{}", encoding="utf-8")
    station.restart(1)
    assert _reasons(station) == ["new", "mark_damaged"]
    _settle(station)
    check_every_litre_once(station)


def test_another_hardware_gets_another_incarnation(make_station: MakeStation) -> None:
    """[W-30] [W-31] The disk is put into another PC: one more incarnation, and none at the starts after it."""
    station = make_station(805, PLAN)
    _a_morning(station)
    station.crash()
    station.install = "ffeeddccbbaa99887766554433221100"
    station.restart(1)
    _open(station)
    station.fuel(1, 1_000)
    station.crash()
    station.restart(1)
    assert _reasons(station) == ["new", "install"]
    _settle(station)
    check_every_litre_once(station)


@pytest.mark.parametrize(("is_offline", "overlaps"), [(False, 0), (True, 1)])
def test_an_old_copy_with_its_own_mark_is_found_by_head_office(
    make_station: MakeStation, *, is_offline: bool, overlaps: int
) -> None:
    """[W-25] [W-32] Nothing here tells that the database is old: what it books beyond head office's end is kept."""
    station = make_station(806, PLAN)
    _a_morning(station)
    backup, mark = database_image(station), station.settings.store.mark.read_bytes()
    station.fuel(1, 7_000)
    _settle(station)
    station.broker.up = not is_offline
    station.run_for(2)
    put_back(station, backup, mark=mark)
    _open(station)
    station.fuel(1, 2_000)
    station.fuel(2, 3_000)
    station.broker.up = True
    _settle(station)
    assert len(_reasons(station)) == 2
    check_every_litre_once(station, overlaps=overlaps)


def test_an_empty_database_beside_an_old_mark_names_its_parent(make_station: MakeStation) -> None:
    """[W-31] [W-32] The database is lost: the mark names the parent, head office's ends say from where to book."""
    station = make_station(807, PLAN)
    _a_morning(station)
    _settle(station)
    old = station.store.incarnation
    station.broker.up = False
    station.run_for(2)
    station.fuel(1, 2_500)
    lose_database(station)
    station.restart(1)
    _open(station)
    station.fuel(1, 1_000)
    station.broker.up = True
    _settle(station)
    first = first_records(station)[station.store.incarnation]
    assert first["data"]["parent"]["incarnation"] == old
    check_every_litre_once(station)
    station.crash()
    station.restart(1)
    assert _reasons(station) == ["empty_database", "new"]


REBIRTH_STEPS = ("rebirth.ended", "rebirth.before_commit", "rebirth.after_commit", "rebirth.ends_noted")


def test_every_step_of_a_rebirth_is_killed_below() -> None:
    """A failpoint of a rebirth that no scenario kills at would prove nothing: there is none."""
    assert sorted(REBIRTH_STEPS) == sorted(name for name in NAMES if name.startswith("rebirth."))


@pytest.mark.parametrize("name", some(REBIRTH_STEPS))
def test_death_at_any_step_of_a_rebirth_leaves_old_or_new(make_station: MakeStation, name: str) -> None:
    """[W-31] Killed inside the transaction or right behind it, the next start goes on; nothing is half."""
    station = make_station(808, PLAN)
    _a_morning(station)
    backup = database_image(station)
    station.fuel(1, 7_000)
    _settle(station)
    with armed(name, 1):
        put_back(station, backup)
        station.run_surviving(10)
    assert [crash.partition(":")[0] for crash in station.crashes].count(name) == 1
    _open(station)
    station.fuel(1, 4_000)
    _settle(station)
    assert _reasons(station) == ["new", "behind_mark"]
    check_every_litre_once(station)


def test_endless_rebirths_stop_after_some(make_station: MakeStation) -> None:
    """[W-31] Where each start finds a reason again, sending stays stopped in the end and the alert says so."""
    station = make_station(809, PLAN)
    station.run_for(3)
    for _ in range(7):
        station.crash()
        station.settings.store.mark.unlink(missing_ok=True)
        station.restart(1)
    assert _reasons(station) == ["new", *["mark_missing"] * 5]
    assert station.link is None
    assert marks.read(station.settings.store.mark) is None
    _open(station)
    station.fuel(1, 1_000)


@pytest.mark.parametrize("seed", some([823, 827, 832]))
def test_restored_at_any_moment_of_a_busy_hour_every_litre_is_sold_once(make_station: MakeStation, seed: int) -> None:
    """[W-25] [W-31] [W-32] Backups of random instants put back at random instants, mark and network there or not."""
    station = make_station(seed, dataclasses.replace(busy(has_head_office=True), has_mark=True, islands=1))
    station.publish_rules_and_members()
    any_moment(station)
    check_every_litre_once(station, overlaps=None)
    assert len(_reasons(station)) > 1
