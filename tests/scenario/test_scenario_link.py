"""The broker is a pipe that loses, doubles and reorders: head office has every record once all the same."""

from __future__ import annotations

import dataclasses

import pytest

from tests.scenario.conftest import MakeStation
from tests.support.station import VirtualStation
from tests.support.station_checks import check_invariants
from tests.support.station_plans import busy


def _waiting(station: VirtualStation) -> int:
    return int(station.rows("SELECT count(*) AS n FROM journal WHERE delivered = 0")[0]["n"])


@pytest.mark.parametrize("seed", [71, 72])
def test_a_long_absence_and_a_bad_broker_double_nothing(make_station: MakeStation, seed: int) -> None:
    """After minutes away and messages lost, doubled and late in both directions, every id arrives exactly once."""
    station = make_station(seed, dataclasses.replace(busy(has_head_office=True), poll_ms=800))
    station.publish_rules_and_members()
    station.run_for(25)
    station.broker.up = False
    station.run_for(30)
    station.forecourt.close()
    station.run_for(240)
    assert _waiting(station) > 0, f"seed {seed}"
    station.broker.up = True
    station.broker.lose, station.broker.duplicate, station.broker.delay = 200, 250, 400
    station.wait(lambda: _waiting(station) == 0, "everything delivered", 3_600)
    station.broker.lose = 0
    station.run_for(60)
    check_invariants(station)
    assert station.broker.lost > 0, f"seed {seed}"


@pytest.mark.parametrize("seed", [74])
def test_crashes_and_a_bad_broker_at_once_double_nothing(make_station: MakeStation, seed: int) -> None:
    """An agent that dies while batches and acks are under way sends again from its journal; nothing is doubled."""
    station = make_station(seed, busy(has_head_office=True))
    station.broker.lose, station.broker.duplicate, station.broker.delay = 150, 200, 300
    station.publish_rules_and_members()
    for _ in range(4):
        station.run_for(5 + station.random.random())
        station.crash()
        station.restart(0.5)
    station.run_out()
    station.broker.lose = 0
    station.wait(lambda: _waiting(station) == 0, "everything delivered", 1_200)
    check_invariants(station)


def test_an_unreachable_head_office_never_delays_a_sale(make_station: MakeStation) -> None:
    """With the broker away from the first second customers are served and settled as usual."""
    station = make_station(76, busy(has_head_office=True))
    station.broker.up = False
    station.publish_rules_and_members()
    station.run_for(40)
    station.run_out()
    check_invariants(station)
    assert station.sales()
    assert station.rows("SELECT count(*) AS n FROM settlement")[0]["n"] > 0
