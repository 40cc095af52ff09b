"""Head office orders at a whole station: a price at an instant, an alert, leases; the station away for days, killed, deaf."""

from __future__ import annotations

from typing import Any

import pytest

from agent.clock import read
from agent.failpoints import SimulatedCrash, armed
from agent.pipeline import leasing
from sync.records import format_time
from tests.scenario.conftest import MakeStation
from tests.support.head_office_says import member_of
from tests.support.station import VirtualStation
from tests.support.station_checks import check_invariants
from tests.support.station_plans import by_hand

NEW = 8_123
DAY_S = 86_400


def _ordered(station: VirtualStation, kind: str, **args: Any) -> str:
    """Order something while the station is away."""
    assert station.head_office is not None
    return station.head_office.order(kind, args, station.clock.wall_ms())


def _came_of(station: VirtualStation, cmd_id: str) -> tuple[str, Any]:
    assert station.head_office is not None
    row = station.head_office.command(cmd_id)
    return row["status"], row["result"]


def _away(station: VirtualStation) -> None:
    station.run_for(10)
    station.broker.up = False
    station.run_for(2)


def _back(station: VirtualStation) -> None:
    """The broker is there again, and everything it brings has come."""
    station.broker.up = True
    station.run_for(15)


def _price(station: VirtualStation, in_s: float) -> str:
    at = format_time(station.clock.wall_ms() + round(in_s * 1_000))
    return _ordered(station, "set_price", grade="92", unit_price_milli=NEW, effective_at=at)


def _shown(station: VirtualStation, point: int) -> int:
    return int(station.forecourt.world.heads[point].prices[1])


def test_a_price_is_ordered_for_an_instant_and_reaches_every_pump_at_rest(make_station: MakeStation) -> None:
    """[W-45] Told while away, known after the hello, in force at its instant, at a busy pump when it is at rest."""
    station = make_station(81, by_hand(has_head_office=True))
    _away(station)
    old = _shown(station, 1)
    cmd_id = _price(station, 40.0)
    _back(station)
    status, result = _came_of(station, cmd_id)
    assert (status, result["in_force_milli"]) == ("done", old)
    station.lift(1)
    station.wait_for_flow(1)
    station.flow(1, 10_000, seconds=12.0)
    assert _shown(station, 2) == old, "not before its time"
    station.wait(lambda: _shown(station, 2) == NEW, "a pump at rest follows", 60)
    assert _shown(station, 1) == old
    station.hang_up(1)
    station.wait(lambda: _shown(station, 1) == NEW, "the busy pump follows", 30)
    station.run_for(3)
    station.fuel(1, 10_000)
    assert [sale["unit_price_milli"] for sale in station.sales()] == [old, NEW]
    station.run_for(10)
    check_invariants(station)


def test_an_alert_and_leases_end_by_order_over_a_kill_and_lost_results(make_station: MakeStation) -> None:
    """[W-45] Killed before and after the commit, the result lost: head office repeats until it has it, done once."""
    station = make_station(82, by_hand(has_head_office=True))
    station.run_for(10)
    _lent(station, "L1")
    station.wires["gauge"].pull()
    station.wait(lambda: bool(_alerts(station)), "the gauge is missed", 120)
    _away(station)
    seen = _ordered(station, "acknowledge_alert", subject="gauge:gauge", alert="GAUGE_OFFLINE")
    station.run_for(1)
    closed = _ordered(station, "close_out_leases", which="all", name=None)
    for failpoint in ("command.before_commit", "command.after_commit"):
        _dies_at(station, failpoint)
    assert _alerts(station) == [{"state": "ACTIVE_ACKED", "acked_by": "head-office:li"}]
    _back(station)
    assert [_came_of(station, cmd_id)[0] for cmd_id in (seen, closed)] == ["done", "done"]
    assert _came_of(station, closed)[1]["closed"] == ["L1"]
    told = station.rows(
        "SELECT count(*) AS n FROM journal WHERE type = 'fc.lease.v1' AND CAST(body AS TEXT) LIKE '%closed_out%'"
    )
    assert told == [{"n": 1}]
    station.run_for(10)
    check_invariants(station)


def _dies_at(station: VirtualStation, failpoint: str) -> None:
    """The broker is back, the agent dies over the first order it hears, and starts again without the broker."""
    station.broker.up = True
    with armed(failpoint, 1), pytest.raises(SimulatedCrash):
        station.run_for(15)
    station.crash(failpoint)
    station.broker.up = False
    station.restart(2.0)


def _lent(station: VirtualStation, lease: str) -> None:
    """Head office has lent points of a member."""
    step = station.pipeline._step(read(station.clock))
    until_ms = step.stamp.wall_ms + DAY_S * 1_000
    leasing.received(step, lease=lease, kind="points", subject=member_of(1), granted=300, expires_ms=until_ms)
    station.pipeline._finish(step)


def _alerts(station: VirtualStation) -> list[dict[str, Any]]:
    return station.rows("SELECT state, acked_by FROM alert WHERE name = 'GAUGE_OFFLINE'")


def test_an_order_that_ended_while_the_station_was_away_is_told_as_expired(make_station: MakeStation) -> None:
    """[W-45] Its hellos did not arrive for two days: the order was never said, so it has expired and nothing is done."""
    station = make_station(83, by_hand(has_head_office=True))
    _away(station)
    unsaid = _price(station, 0)
    station.broker.lose = 1_000
    station.broker.up = True
    station.run_for(5)
    station.broker.up = False
    station.run_for(2)
    assert _came_of(station, unsaid)[0] == "queued"
    station.broker.lose = 0
    station.clock.offset_ms += 2 * DAY_S * 1_000
    _back(station)
    assert _came_of(station, unsaid)[0] == "expired"
    assert station.rows("SELECT * FROM command") == []
    assert station.rows("SELECT * FROM price WHERE source = 'head-office'") == []
