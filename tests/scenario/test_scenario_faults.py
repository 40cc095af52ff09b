"""Every fault the simulator knows, one by one: nothing is lost, others go on, alerts are raised once and cleared once."""

from __future__ import annotations

import pytest

from drivers.simulator.faults import SIMULATOR_FAULTS
from tests.scenario.conftest import MakeStation
from tests.support.examples import some
from tests.support.station import VirtualStation
from tests.support.station_checks import alert_edges, booked_sales, check_invariants
from tests.support.station_plans import busy, by_hand

FAULTED_POINT = 1
RUNNING_S = 10
RECOVERY_S = 14


def _target(name: str) -> dict[str, int | str]:
    targets: dict[str, dict[str, int | str]] = {
        "pump": {"point": FAULTED_POINT},
        "line": {"line": "island-1"},
        "gauge": {"tank": 1},
        "scanner": {"reader": "reader-1"},
    }
    return targets[SIMULATOR_FAULTS[name].scope]


def _person_helps(station: VirtualStation, name: str) -> None:
    if name == "meter-replaced":
        for nozzle in (1, 2, 3):
            station.ask("pumps.confirm-meter", fuelling_point=FAULTED_POINT, nozzle=nozzle)
    if name == "units-changed":
        assert station.ask("tanks.confirm-units", line="gauge")["ok"]


def _open_alerts(station: VirtualStation) -> list[tuple[str, str]]:
    """Device alerts still standing; tanks are judged by their own tests."""
    rows = station.rows("SELECT subject, name FROM alert WHERE state IN ('ACTIVE', 'ACTIVE_ACKED')")
    return [(row["subject"], row["name"]) for row in rows if not row["subject"].startswith("tank:")]


@pytest.mark.parametrize("name", some(sorted(SIMULATOR_FAULTS)))
def test_a_fault_costs_no_sale_and_disturbs_nobody_else(make_station: MakeStation, name: str) -> None:
    """During any fault other points sell; when it has gone everything is booked and its alerts are over."""
    station = make_station(51, busy())
    station.publish_rules_and_members()
    at_start = SIMULATOR_FAULTS[name].at_start
    if at_start:
        station.forecourt.inject(name, **_target(name))  # type: ignore[arg-type]
    station.run_for(12)
    before = _sold_elsewhere(station)
    if not at_start:
        station.forecourt.inject(name, **_target(name))  # type: ignore[arg-type]
    station.run_for(RUNNING_S)
    assert _sold_elsewhere(station) > before, f"{name}: nobody else could sell"
    station.forecourt.clear()
    _person_helps(station, name)
    station.run_for(RECOVERY_S)
    _person_helps(station, name)
    station.run_out()
    if name != "meter-replaced":
        check_invariants(station)
    assert _open_alerts(station) == [], name
    for (subject, alert, state), count in alert_edges(station).items():
        if state == "raised" and not subject.startswith("tank:"):
            assert count == alert_edges(station)[subject, alert, "cleared"], f"{name}: {subject} {alert}"


def _sold_elsewhere(station: VirtualStation) -> int:
    """Sales of the other island; a fault of a line stops both points of its own."""
    return sum(len(sales) for (point, _), sales in booked_sales(station).items() if point in (3, 4))


@pytest.mark.parametrize("name", ["cable-pulled", "scanner-unplugged"])
def test_a_pulled_cable_is_noticed_and_used_again_within_five_seconds(make_station: MakeStation, name: str) -> None:
    """Offline within 5 s of vanishing, online within 5 s of coming back, told once each."""
    station = make_station(52, by_hand())
    station.run_for(8)
    device = "point:1" if name == "cable-pulled" else "reader:reader-1"
    seen = len(station.statuses)
    station.forecourt.inject(name, for_s=12.0, **_target(name))  # type: ignore[arg-type]

    def told(online: bool) -> bool:
        return (device, online) in [(d, o) for _, d, o in station.statuses[seen:]]

    assert station.wait(lambda: told(False), "offline", 20) <= 5
    station.wait(lambda: station.wires["island-1"].plugged and station.wires["reader-reader-1"].plugged, "back", 20)
    assert station.wait(lambda: told(True), "online", 20) <= 5
    assert [d for _, d, _ in station.statuses[seen:]].count(device) == 2
    subject = device
    edges = alert_edges(station)
    alert = "POINT_OFFLINE" if name == "cable-pulled" else "READER_OFFLINE"
    assert (edges[subject, alert, "raised"], edges[subject, alert, "cleared"]) == (1, 1)
    station.run_for(10)
    station.fuel(1, 2_000)
    check_invariants(station)


def test_a_silent_pump_raises_one_alert_and_clears_it(make_station: MakeStation) -> None:
    """However long a pump stays silent, it is one alert; its neighbour sells meanwhile."""
    station = make_station(53, by_hand())
    station.run_for(8)
    station.forecourt.inject("pump-silent", point=1, for_s=60.0)
    station.run_for(15)
    station.fuel(2, 2_000)
    station.run_for(60)
    edges = alert_edges(station)
    assert edges["point:1", "POINT_OFFLINE", "raised"] == 1
    assert edges["point:1", "POINT_OFFLINE", "cleared"] == 1
    station.fuel(1, 2_000)
    check_invariants(station)


def test_planted_shaving_is_booked_as_the_meter_counted(make_station: MakeStation) -> None:
    """A meter that counts too little is believed by sales; tanks would tell."""
    station = make_station(54, by_hand())
    station.run_for(8)
    station.forecourt.inject("shave-volume", point=1)
    station.fuel(1, 5_000)
    check_invariants(station)
    assert [sale["volume_ml"] for sale in station.sales()] == [4_800]
