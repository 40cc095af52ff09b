"""The wall clock lies: order comes from seq, windows from the monotonic clock, no sale is lost."""

from __future__ import annotations

import json

import pytest

from tests.scenario.conftest import MakeStation
from tests.support.station import EPOCH_MS, VirtualStation
from tests.support.station_checks import check_invariants
from tests.support.station_plans import by_hand

DAY_MS = 86_400_000
JUMPS = {"1970": -EPOCH_MS - 10_000, "+400 d": 400 * DAY_MS, "back 1 h": -3_600_000}


def _journal(station: VirtualStation) -> list[dict[str, object]]:
    return [json.loads(row["body"]) for row in station.rows("SELECT body FROM journal WHERE stream = 'L' ORDER BY seq")]


@pytest.mark.parametrize("jump", sorted(JUMPS))
def test_a_jump_in_the_middle_of_a_fuelling_loses_nothing(make_station: MakeStation, jump: str) -> None:
    """The sale is booked once, times never run backwards by seq, and a clock that is behind is called ``floor``."""
    station = make_station(61, by_hand())
    station.run_for(8)
    station.fuel(2, 1_000)
    station.lift(1)
    station.wait_for_flow(1)
    station.flow(1, 3_000)
    station.clock.offset_ms = JUMPS[jump]
    station.flow(1, 3_000)
    station.hang_up(1)
    station.run_for(20)
    check_invariants(station)
    assert [sale["volume_ml"] for sale in station.sales()] == [1_000, 6_000]
    times = [record["time"] for record in _journal(station)]
    assert times == sorted(times, key=str)
    sale = next(r for r in reversed(_journal(station)) if r["type"] == "fc.sale.v1")
    assert sale["clock"] == ("ntp" if jump == "+400 d" else "floor")


@pytest.mark.parametrize("jump", sorted(JUMPS))
def test_settlement_is_due_by_monotonic_time(make_station: MakeStation, jump: str) -> None:
    """An unlinked sale is settled when its window is over on the monotonic clock, whatever the wall clock says."""
    station = make_station(62, by_hand())
    station.run_for(8)
    station.fuel(1, 1_000)
    station.run_for(100)
    station.clock.offset_ms = JUMPS[jump]
    station.run_for(480)
    assert station.rows("SELECT count(*) AS n FROM settlement")[0]["n"] == 0
    station.run_for(60)
    assert station.rows("SELECT count(*) AS n FROM settlement")[0]["n"] == 1
    check_invariants(station)


def test_a_restart_with_a_dead_clock_battery_goes_on_from_the_newest_time(make_station: MakeStation) -> None:
    """After a restart in 1970 records carry the newest time ever seen, and an alert says that the clock is behind."""
    station = make_station(63, by_hand())
    station.run_for(8)
    station.fuel(1, 1_000)
    station.crash()
    station.clock.offset_ms = JUMPS["1970"]
    station.restart(3.0)
    station.run_for(8)
    station.fuel(1, 2_000)
    check_invariants(station)
    times = [record["time"] for record in _journal(station)]
    assert times == sorted(times, key=str)
    standing = station.rows("SELECT name FROM alert WHERE subject = 'clock' AND state = 'ACTIVE'")
    assert [row["name"] for row in standing] == ["CLOCK_BACKWARD"]
    station.clock.offset_ms = 0
    station.run_for(3)
    assert station.rows("SELECT name FROM alert WHERE subject = 'clock' AND state = 'ACTIVE'") == []
