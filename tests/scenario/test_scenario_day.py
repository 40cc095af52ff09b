"""Ordinary running: customers, members, settlement, delivery; and that one seed gives one story."""

from __future__ import annotations

import pytest

from tests.scenario.conftest import MakeStation
from tests.support.station import VirtualStation
from tests.support.station_checks import alert_edges, check_invariants, event_hash
from tests.support.station_plans import QUIET_HOUR, busy
from tests.support.station_settings import Plan


@pytest.mark.parametrize("seed", [1])
def test_a_quiet_quarter_is_booked_linked_settled_and_delivered(make_station: MakeStation, seed: int) -> None:
    """After a quarter of an hour of members and strangers every invariant holds and members got discounts and points."""
    station = make_station(seed, Plan(customers=QUIET_HOUR, poll_ms=800))
    station.publish_rules_and_members()
    station.run_for(900)
    station.run_out()
    station.run_for(660)
    check_invariants(station)
    sums = station.rows(
        "SELECT count(*) AS n, sum(discount_minor) AS off, sum(points_earned) AS points FROM settlement"
    )
    assert sums[0]["n"] == len(station.sales()) == station.forecourt.truth.sales, f"seed {seed}"
    assert sums[0]["off"] > 0, f"seed {seed}"
    assert sums[0]["points"] > 0, f"seed {seed}"
    waiting = station.rows("SELECT count(*) AS n FROM journal WHERE delivered = 0")
    assert waiting[0]["n"] == 0, f"seed {seed}"


def test_nothing_is_alarming_in_ordinary_running(make_station: MakeStation) -> None:
    """Healthy devices raise no alert of a device, of the link or of the station."""
    station = make_station(3, Plan(customers=QUIET_HOUR, poll_ms=800))
    station.run_for(300)
    raised = {key for key in alert_edges(station) if not key[0].startswith("tank:")}
    assert raised == set()


def _story(station: VirtualStation) -> str:
    station.publish_rules_and_members()
    station.run_for(40)
    station.crash()
    station.restart(2.0)
    station.run_out()
    return event_hash(station)


def test_the_same_seed_twice_gives_the_same_journal(make_station: MakeStation) -> None:
    """Two runs of one seed, a crash included, journal the same bytes; another seed journals others."""
    plan = busy(has_head_office=True)
    first, second, other = (_story(make_station(seed, plan)) for seed in (11, 11, 12))
    assert first == second
    assert first != other


@pytest.mark.parametrize("seed", [4])
def test_scans_never_change_what_pumps_are_told(make_station: MakeStation, seed: int) -> None:
    """The command log of a station whose readers are dead is that of the same day with every scan."""
    logs = []
    for scans_arrive in (True, False):
        plan = busy()
        plan.scans_arrive = scans_arrive
        station = make_station(seed, plan)
        station.publish_rules_and_members()
        station.run_for(40)
        linked = station.rows("SELECT count(*) AS n FROM link")[0]["n"]
        assert (linked > 0) == scans_arrive, f"seed {seed}"
        logs.append([(c.t_ms, c.point, c.name, c.detail) for c in station.commands])
    assert logs[0] == logs[1], f"seed {seed}"
