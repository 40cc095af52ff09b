"""Prices that change at an instant, in a whole station: offline, over a restart, and never under a delivery."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.answers import Answers
from agent.cli import show
from agent.inbox import Person
from tests.scenario.conftest import MakeStation
from tests.support.station import VirtualStation
from tests.support.station_checks import check_invariants
from tests.support.station_plans import by_hand

NEW = 8_123


def _planned(station: VirtualStation, in_s: float) -> str:
    """A new price for the grade of point 1, nozzle 1, so many seconds from now; returns the grade."""
    grade = str(station.live.points[1]["nozzles"][0]["grade"])
    effective = station.clock.wall_ms() + round(in_s * 1000)
    answer = station.ask("prices.set", grade=grade, unit_price_milli=NEW, effective_from_ms=effective)
    assert answer["ok"], answer
    return grade


def _nozzle(station: VirtualStation, point: int) -> dict[str, Any]:
    found: dict[str, Any] = station.live.points[point]["nozzles"][0]
    return found


def _shown(station: VirtualStation, point: int) -> int:
    return int(station.forecourt.world.heads[point].prices[1])


def _in_force(station: VirtualStation, point: int) -> list[int]:
    query = (
        f"SELECT unit_price_milli FROM price_in_force WHERE fuelling_point = {point} AND nozzle = 1 ORDER BY since_ms"
    )
    return [row["unit_price_milli"] for row in station.rows(query)]


def test_a_price_takes_effect_at_its_instant_and_a_busy_point_follows(
    make_station: MakeStation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Idle points change within seconds, without head office; the one that delivers finishes at its old price first."""
    station = make_station(61, by_hand())
    station.run_for(10)
    old = _shown(station, 1)
    _planned(station, 30.0)
    station.run_for(15)
    assert (_shown(station, 1), _shown(station, 2)) == (old, old), "not before its time"
    station.lift(1)
    station.wait_for_flow(1)
    station.flow(1, 10_000, seconds=12.0)
    station.wait(lambda: _nozzle(station, 2)["price_state"] == "in_force" and _shown(station, 2) == NEW, "point 2", 20)
    assert _shown(station, 1) == old
    assert _nozzle(station, 1)["price_state"] == "waiting"
    station.flow(1, 5_000)
    station.hang_up(1)
    station.wait(lambda: _shown(station, 1) == NEW, "point 1 follows", 20)
    (sale,) = station.sales()
    assert (sale["unit_price_milli"], sale["volume_ml"]) == (old, 15_000)
    station.run_for(3)
    station.fuel(1, 10_000)
    assert station.sales()[-1]["unit_price_milli"] == NEW
    assert _in_force(station, 1) == [old, NEW]
    bodies = [json.loads(row["body"])["data"] for row in station.rows("SELECT body FROM journal WHERE stream = 'L'")]
    told = [data for data in bodies if data.get("action") == "price_in_force" and data["reason"] == str(NEW)]
    assert [data["object"] for data in told].count("point:1 nozzle:1") == 1
    check_invariants(station)
    _shown_to_people(station, capsys, old)


def _shown_to_people(station: VirtualStation, capsys: pytest.CaptureFixture[str], old: int) -> None:
    """What `prices points` and `prices history` say of point 1, as JSON and as a table."""
    answers = Answers(
        settings=station.settings,
        live=station.live,
        inbox=station.inbox,
        clock=station.clock,
        version="",
        incarnation="",
    )
    nobody = Person("wang", "attendant")
    points = answers.answer("prices.points", {}, nobody)["data"]
    (one,) = [entry for entry in points if (entry["fuelling_point"], entry["nozzle"]) == (1, 1)]
    assert (one["in_force_milli"], one["wanted_milli"], one["state"]) == (NEW, NEW, "in_force")
    history = answers.answer("prices.history", {"point": 1}, nobody)["data"]
    assert [entry["unit_price_milli"] for entry in history if entry["nozzle"] == 1] == [NEW, old]
    show.price_points(points)
    show.price_history(history)
    printed = capsys.readouterr().out
    assert "in force" in printed
    assert printed.count("8.123") >= 2


def test_a_price_whose_instant_passed_while_the_agent_was_down_is_set_at_the_start(make_station: MakeStation) -> None:
    """Planned, killed, started after the instant: nothing is set before the totals are read, then it is."""
    station = make_station(62, by_hand())
    station.run_for(10)
    old = _shown(station, 1)
    _planned(station, 20.0)
    station.crash()
    station.world_only(40.0)
    assert _shown(station, 1) == old
    station.start()
    station.wait(lambda: _shown(station, 1) == NEW, "the new price", 30)
    station.wait(lambda: _nozzle(station, 1)["price_state"] == "in_force", "told", 10)
    station.fuel(1, 10_000)
    assert station.sales()[-1]["unit_price_milli"] == NEW
    check_invariants(station)


def test_a_fuelling_over_the_instant_and_a_crash_keeps_its_price(make_station: MakeStation) -> None:
    """Flowing at the instant, the agent dead: booked at the price it began with, the new one set after it."""
    station = make_station(63, by_hand())
    station.run_for(10)
    old = _shown(station, 1)
    _planned(station, 15.0)
    station.run_for(5)
    station.lift(1)
    station.wait_for_flow(1)
    station.flow(1, 4_000)
    station.crash()
    station.world_only(20.0)
    station.start()
    station.run_for(10)
    assert _shown(station, 1) == old, "never under a delivery"
    station.flow(1, 6_000)
    station.hang_up(1)
    station.wait(lambda: _shown(station, 1) == NEW, "the new price", 30)
    (sale,) = station.sales()
    assert (sale["volume_ml"], sale["unit_price_milli"]) == (10_000, old)
    check_invariants(station)
