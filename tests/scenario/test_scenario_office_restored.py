"""Head office restored from an old backup: the station sends again what it keeps, and names what nobody has any more."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from agent.inbox import Ticked
from agent.store.verify import verify
from headoffice.store.verify import verify as verify_head_office
from tests.scenario.conftest import MakeStation
from tests.support.rebirth_checks import at_head_office, check_every_litre_once, first_records, litres_at_head_office
from tests.support.station import VirtualStation
from tests.support.station_copies import is_settled
from tests.support.station_plans import by_hand
from tests.support.station_settings import STATION
from tests.support.virtual_link import HeadOffice

PLAN = dataclasses.replace(by_hand(has_head_office=True), has_mark=True, islands=1)
DAY_MS = 86_400_000


def _open(station: VirtualStation) -> None:
    station.wait(lambda: all(station.live.points.get(n, {}).get("ready") for n in (1, 2)), "points answer lifts", 120)


def _settle(station: VirtualStation) -> None:
    station.wait(lambda: is_settled(station), "delivered, and no meter waits", 240)
    station.run_for(1.5)


def _backup(station: VirtualStation) -> Path:
    """A copy of head office's database as it is now."""
    path = station.directory / "hq.backup"
    with closing(sqlite3.connect(station.directory / "hq.db")) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    return path


def _restored(station: VirtualStation, backup: Path) -> None:
    """Head office goes on from a copy; the station's connection breaks as it does."""
    assert station.head_office is not None
    station.head_office.close()
    here = station.directory / "hq.db"
    for name in ("-wal", "-shm"):
        here.with_name(here.name + name).unlink(missing_ok=True)
    here.write_bytes(backup.read_bytes())
    station.head_office = HeadOffice(here, STATION)
    station.broker.up = False
    station.run_for(2)
    station.broker.up = True


def _cums(station: VirtualStation) -> dict[str, int]:
    found = at_head_office(station, f"SELECT stream, cum FROM cursor WHERE incarnation = '{station.store.incarnation}'")
    return {row["stream"]: row["cum"] for row in found}


def _days_later(station: VirtualStation, days: int) -> None:
    """Time passes and a night's deletion with it."""
    station.clock.offset_ms += days * DAY_MS
    station.handle(Ticked("minute"))
    station.run_for(6)


def _a_morning(station: VirtualStation) -> None:
    station.publish_rules_and_members()
    _open(station)
    station.fuel(1, 3_000)
    _settle(station)


def test_a_restored_head_office_gets_everything_again(make_station: MakeStation) -> None:
    """[W-34] A lower cum with a matching hash: the same incarnation sends again from there, each fact once."""
    station = make_station(831, PLAN)
    _a_morning(station)
    backup = _backup(station)
    for volume_ml in (2_000, 4_000):
        station.fuel(2, volume_ml)
    _settle(station)
    before = _cums(station)
    _restored(station, backup)
    assert _cums(station)["L"] < before["L"]
    station.wait(lambda: _cums(station).get("L", 0) >= before["L"], "sent again", 120)
    station.fuel(1, 1_000)
    _settle(station)
    check_every_litre_once(station)
    assert len(first_records(station)) == 1, "no new incarnation was needed"


def _missing(station: VirtualStation) -> set[str]:
    """Sales of this station that head office does not have."""
    there = {row["sale"] for row in at_head_office(station, "SELECT sale FROM sale")}
    return {row["id"] for row in station.rows("SELECT id FROM sale")} - there


def test_what_an_earlier_incarnation_had_delivered_is_sent_again_too(make_station: MakeStation) -> None:
    """[W-26] [W-34] Backup, sales, a new incarnation, more sales, restore: facts of the ended chain come as new records."""
    station = make_station(833, PLAN)
    _a_morning(station)
    backup = _backup(station)
    for volume_ml in (2_000, 4_000):
        station.fuel(2, volume_ml)
    _settle(station)
    station.crash()
    station.settings.store.mark.unlink()
    station.restart(1)
    _open(station)
    station.fuel(1, 1_000)
    _settle(station)
    for _ in range(2):
        _restored(station, backup)
        assert len(_missing(station)) == 3
        station.run_for(5)
        station.crash()
        station.restart(1)
        station.wait(lambda: not _missing(station), "sent again", 120)
        _open(station)
        _settle(station)
        check_every_litre_once(station)
    resent = [row["reason"] for row in station.rows("SELECT reason FROM incarnation ORDER BY generation")]
    assert resent == ["new", "mark_missing"], "no further incarnation was needed"


def test_what_is_kept_nowhere_any_more_is_named_and_the_rest_is_sent(make_station: MakeStation) -> None:
    """[W-34] Rows pruned that head office lost: a gap record and an alert name them, all kept rows arrive as new ones."""
    station = make_station(832, PLAN)
    _a_morning(station)
    backup = _backup(station)
    lost_from = _cums(station)
    station.fuel(2, 2_000)
    station.fuel(2, 1_000)
    _settle(station)
    station.handle(Ticked("minute"))
    _days_later(station, 36)
    station.fuel(1, 4_000)
    _settle(station)
    old, kept = station.store.incarnation, station.rows("SELECT min(seq) AS seq FROM journal WHERE stream = 'L'")[0]
    assert kept["seq"] > lost_from["L"] + 1
    _restored(station, backup)
    station.wait(lambda: station.store.incarnation != old, "a new incarnation", 120)
    _open(station)
    _settle(station)
    station.fuel(1, 1_500)
    _settle(station)

    first = first_records(station)[station.store.incarnation]["data"]
    assert (first["reason"], first["parent"]["incarnation"]) == ("pruned", old)
    raws = at_head_office(station, "SELECT raw FROM record JOIN record_bytes USING (number) WHERE type = 'fc.gap.v1'")
    gaps = {gap["stream"]: gap for gap in (json.loads(row["raw"])["data"] for row in raws) if "stream" in gap}
    want = {"incarnation": old, "stream": "L", "from": lost_from["L"] + 1, "to": kept["seq"] - 1, "reason": "pruned"}
    assert gaps["L"] == want
    assert "records_lost" in {row["alert"] for row in at_head_office(station, "SELECT alert FROM own_alert")}
    assert "RECORDS_LOST" in {row["name"] for row in station.rows("SELECT name FROM alert WHERE cleared_ms IS NULL")}
    assert litres_at_head_office(station) == {(1, 1): 8_500, (2, 1): 1_000}, "2,000 ml are lost and said to be"
    assert verify(station.settings.store.path).findings == ()
    assert station.head_office is not None
    assert verify_head_office(station.head_office.database).findings == ()
