"""Deliveries, alarm history, charts and clocks of a console through the real pipeline and database: each once."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.answers import Answers
from agent.cli import show
from agent.domain.instant import Now
from agent.failpoints import SimulatedCrash, armed
from agent.inbox import FromLine, Person, Ticked
from agent.store.queries import Queries
from agent.store.verify import verify
from drivers.commands import ReadDeliveries
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    DeviceStatus,
    GaugeAlarm,
    GaugeAlarms,
    GaugeDeliveries,
    GaugeDelivery,
    GaugeEvent,
    GaugeHistory,
    Quality,
    Reading,
    TankChart,
    TankReading,
)
from tests.support import template
from tests.support.quiet import quiet_log
from tests.support.station import EPOCH, VirtualStation
from tests.support.station_plans import by_hand

GAUGE = "gauge:gauge"
LOCAL = timedelta(hours=8)


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    with quiet_log():
        yield


@pytest.fixture
def station() -> Iterator[VirtualStation]:
    directory = template.new_folder()
    template.copy_to(directory)
    made = VirtualStation(3, directory, by_hand())
    yield made
    made.close()
    shutil.rmtree(directory)


def local(minutes: int) -> str:
    """The console's time ``minutes`` after the start of the simulation."""
    return (EPOCH + LOCAL + timedelta(minutes=minutes)).replace(tzinfo=None).isoformat(timespec="minutes")


def tell(station: VirtualStation, *readings: Reading) -> None:
    """Hand readings of the gauge's line to the pipeline now."""
    for reading in readings:
        station.handle(FromLine("gauge", reading, Now(station.clock.wall_ms(), station.clock.mono_ms())))


def pass_minutes(station: VirtualStation, minutes: int) -> None:
    """Time passes for the agent alone."""
    station.clock.now_s += 60 * minutes
    station.handle(Ticked("minute"))


def level(volume: int = 9_000_000, minutes: int = 0, *, at: str | None = None) -> TankReading:
    """A good reading of tank 1."""
    shown = local(minutes) if at is None else at
    return TankReading(GAUGE, 1, Quality.GOOD, volume_ml=volume, water_volume_ml=0, console_time=shown)


def delivery(minutes: int, *, rise: int = 5_000_000, lasts: int = 20, start: int = 8_000_000) -> GaugeDelivery:
    """A delivery that began ``minutes`` after the start of the simulation."""
    at, end = local(minutes), local(minutes + lasts)
    return GaugeDelivery(
        f"{at}:{start}", at, end, start, start + rise, end_temperature_mdegc=18_000, raw=f"{at}{end}{rise}"
    )


def listed(*deliveries: GaugeDelivery, minutes: int = 0, full: bool = False) -> GaugeDeliveries:
    """The console's list of tank 1 at ``minutes``."""
    return GaugeDeliveries(GAUGE, 1, deliveries, Quality.GOOD, full, 5, local(minutes))


def booked(station: VirtualStation) -> list[dict[str, Any]]:
    """Data of the journalled deliveries."""
    rows = station.rows("SELECT body FROM journal WHERE type = 'fc.tank.delivery.v1' ORDER BY seq")
    return [json.loads(row["body"])["data"] for row in rows]


def alerts(station: VirtualStation, name: str) -> list[tuple[str, str]]:
    """(state, evidence) of every journalled edge of a device alert."""
    found = [json.loads(row["body"])["data"] for row in station.rows("SELECT body FROM journal WHERE stream = 'A'")]
    return [(data["state"], data.get("evidence")) for data in found if data["alert"] == name]


def begun(station: VirtualStation, minutes: int = 60) -> None:
    """The agent has run for a while and the gauge has been heard."""
    tell(station, level(minutes=0))
    station.clock.now_s += 60 * minutes
    tell(station, level(minutes=minutes))


def test_a_delivery_is_journalled_once_however_often_it_is_told(station: VirtualStation) -> None:
    """The same list again, after a crash and after a reconnect, adds nothing; the file verifies."""
    begun(station)
    tell(station, listed(delivery(20), minutes=60))
    first = booked(station)
    assert [(d["tank"], d["start_volume_ml"], d["end_volume_ml"], d["delivered_ml"]) for d in first] == [
        (1, 8_000_000, 13_000_000, 5_000_000)
    ]
    assert first[0]["start"] == "2026-01-05T06:20:00.000Z"
    assert first[0]["console_start"] == "2026-01-05T14:20"
    tell(station, listed(delivery(20), minutes=61))
    station.crash()
    station.start()
    tell(station, level(minutes=61), listed(delivery(20), minutes=62))
    pass_minutes(station, 30)
    assert booked(station) == first
    assert verify(station.settings.store.path).ok


@pytest.mark.parametrize("name", ["delivery.before_commit", "delivery.after_commit", "store.inside_commit"])
def test_a_crash_around_the_commit_neither_loses_nor_doubles_a_delivery(station: VirtualStation, name: str) -> None:
    """Whatever the instant, the list read after the restart makes exactly one record."""
    begun(station)
    with pytest.raises(SimulatedCrash), armed(name, 1):
        tell(station, listed(delivery(20), minutes=60))
    station.crash()
    station.start()
    tell(station, level(minutes=60), listed(delivery(20), minutes=60))
    assert len(booked(station)) == 1
    assert verify(station.settings.store.path).ok


def test_sales_during_a_delivery_belong_to_what_was_delivered(station: VirtualStation) -> None:
    """Rise plus what the pumps took out meanwhile; a sale after its end is not part of it."""
    tell(station, level(minutes=0))
    station.run_for(8)
    station.fuel(1, 2_000)
    inside = sum(sale["volume_ml"] for sale in station.sales())
    minutes = 10
    station.clock.now_s = 60.0 * minutes
    tell(station, level(minutes=minutes), listed(delivery(0, lasts=2), minutes=minutes))
    (found,) = booked(station)
    assert inside > 0
    assert found["delivered_ml"] == 5_000_000 + inside


def test_a_delivery_while_the_agent_was_away_has_no_delivered_figure(station: VirtualStation) -> None:
    """What was sold then is timed by its recovery, so the sum would be a guess; the rise stands."""
    begun(station, 5)
    station.crash()
    station.clock.now_s += 3_600
    station.start()
    tell(station, level(minutes=65), listed(delivery(20), minutes=65))
    (found,) = booked(station)
    assert (found["end_volume_ml"] - found["start_volume_ml"], found["delivered_ml"]) == (5_000_000, None)


def test_a_delivery_that_may_still_grow_is_kept_back_until_its_delay_is_over(station: VirtualStation) -> None:
    """It is shown at once, lengthened in place, and journalled with its last end; no console is needed for that."""
    begun(station)
    tell(station, listed(delivery(40), minutes=61))
    assert booked(station) == []
    assert [row["final"] for row in Queries(station.settings.store.path).deliveries()] == [False]
    tell(station, listed(delivery(40, rise=6_000_000, lasts=22), minutes=63))
    pass_minutes(station, 5)
    assert booked(station) == []
    pass_minutes(station, 2)
    assert [d["end_volume_ml"] for d in booked(station)] == [14_000_000]


def test_a_booked_delivery_that_the_console_lengthens_is_told_and_not_edited(station: VirtualStation) -> None:
    """The record stands; one alert says both figures, and only once."""
    begun(station)
    tell(station, listed(delivery(20), minutes=60))
    for minutes in (61, 62):
        tell(station, listed(delivery(20, rise=6_000_000, lasts=30), minutes=minutes))
    assert [d["end_volume_ml"] for d in booked(station)] == [13_000_000]
    told = alerts(station, "DELIVERY_REVISED")
    assert [state for state, _ in told] == ["raised", "cleared"]
    assert "5000000 ml" in told[0][1]
    assert "6000000 ml" in told[0][1]


def test_a_clock_that_is_set_does_not_make_a_known_delivery_new(station: VirtualStation) -> None:
    """Daylight saving, a fall to 1988 and back: the console's own digits and volume name it."""
    begun(station)
    tell(station, listed(delivery(20), minutes=60))
    for minutes, shown in ((61, local(121)), (62, "1988-01-05T15:02"), (63, local(63))):
        tell(station, level(minutes=minutes, at=shown), replace(listed(delivery(20)), console_time=shown))
    assert len(booked(station)) == 1


def test_a_clock_that_is_off_is_an_alert_until_it_is_right_again(station: VirtualStation) -> None:
    """More than five minutes; an hour is said to be perhaps daylight saving."""
    begun(station)
    for shown in (local(64), local(77), local(78)):
        tell(station, level(at=shown))
    tell(station, level(minutes=60), level(at=local(120)), level(minutes=60))
    told = alerts(station, "GAUGE_CLOCK")
    assert [state for state, _ in told] == ["raised", "cleared", "raised", "cleared"]
    assert "17 min ahead" in told[0][1]
    assert "daylight" in told[2][1]


def test_deliveries_that_fell_out_of_the_list_are_asked_for_until_that_has_ended(station: VirtualStation) -> None:
    """One question from the last known end on; it is asked again after a lost port and after a restart."""
    begun(station)
    tell(station, listed(delivery(1, lasts=5), minutes=60))
    ten = [delivery(60 * hour, lasts=5) for hour in range(40, 30, -1)]
    station.clock.now_s = 60.0 * 60 * 41
    asked: list[Any] = []
    station.pipeline._outlets = replace(station.pipeline._outlets, send=asked.append)
    tell(station, level(minutes=60 * 41), listed(*ten, minutes=60 * 41, full=True))
    tell(station, listed(*ten, minutes=60 * 41 + 1, full=True))
    assert [(command.gauge_index, command.since) for command in asked] == [(1, local(6))]
    tell(station, CommandResult(asked[0].command_id, 0, CommandOutcome.UNKNOWN, "the port was lost"))
    tell(station, listed(*ten, minutes=60 * 41 + 2, full=True))
    assert [type(command) for command in asked] == [ReadDeliveries, ReadDeliveries]
    older = [delivery(60 * hour, lasts=5) for hour in range(30, 2, -1)]
    tell(station, listed(*ten, *older, minutes=60 * 41 + 2))
    tell(station, CommandResult(asked[1].command_id, 0, CommandOutcome.APPLIED))
    tell(station, listed(*ten, minutes=60 * 41 + 3, full=True))
    assert len(asked) == 2
    assert len(booked(station)) == 1 + 10 + 28
    assert alerts(station, "DELIVERIES_MISSING") == []


def test_a_console_without_ranges_may_have_lost_deliveries_and_that_is_said(station: VirtualStation) -> None:
    """Once, with the time from which on something may be missing."""
    begun(station)
    tell(station, listed(delivery(1, lasts=5), minutes=60))
    station.clock.now_s = 60.0 * 60 * 41
    asked: list[Any] = []
    station.pipeline._outlets = replace(station.pipeline._outlets, send=asked.append)
    ten = [delivery(60 * hour, lasts=5) for hour in range(40, 30, -1)]
    tell(station, level(minutes=60 * 41), listed(*ten, minutes=60 * 41, full=True))
    tell(station, CommandResult(asked[0].command_id, 0, CommandOutcome.REFUSED, "the console cannot be asked"))
    tell(station, listed(*ten, minutes=60 * 41 + 1, full=True))
    told = alerts(station, "DELIVERIES_MISSING")
    assert [state for state, _ in told] == ["raised", "cleared"]
    assert local(6) in told[0][1]
    assert len(asked) == 1


def test_a_delivery_without_start_volume_is_shown_and_told_not_booked(station: VirtualStation) -> None:
    """What it is known by is unknown, and unknown is not zero."""
    begun(station)
    tell(station, listed(replace(delivery(20), start_volume_ml=None), minutes=60))
    pass_minutes(station, 30)
    assert booked(station) == []
    assert [state for state, _ in alerts(station, "DELIVERY_UNREADABLE")] == ["raised", "cleared"]


def event(minutes: int, state: str = "occurred", number: int = 5, category: int = 2, device: int = 1) -> GaugeEvent:
    shown = local(minutes)
    return GaugeEvent(
        category, number, device, state, shown.replace("-", "").replace("T", "").replace(":", "")[2:], shown
    )


def histories(station: VirtualStation) -> list[tuple[str, str, str]]:
    """(subject, alert, state) of what was journalled out of histories."""
    found = [
        json.loads(row["body"])["data"]
        for row in station.rows("SELECT body FROM journal WHERE stream = 'A' ORDER BY seq")
    ]
    return [
        (data["subject"], data["alert"], data["state"])
        for data in found
        if isinstance(data.get("evidence"), dict) and data["evidence"]["source"] == "gauge_history"
    ]


def test_alarms_that_came_and_went_while_the_gauge_was_away_are_told_once(station: VirtualStation) -> None:
    """Those of the gap, none of before it, none of those that were seen live; the same history again adds nothing."""
    begun(station, 5)
    tell(station, GaugeHistory(GAUGE, (event(-500), event(-400, "cleared"))))
    assert histories(station) == []
    tell(station, DeviceStatus(GAUGE, online=False, gap=True, reason="no answer"))
    station.clock.now_s += 3_600
    old = (event(-500), event(-400, "cleared"), event(1))
    missed = (event(20), event(40, "cleared"), event(30, number=3, category=3, device=7))
    tell(station, DeviceStatus(GAUGE, online=True, gap=True), level(minutes=65))
    tell(station, GaugeAlarms(GAUGE, (GaugeAlarm(2, 7, 1),)), level(minutes=65))
    tell(station, GaugeHistory(GAUGE, (*old, *missed, event(65, number=7))))
    expected = [
        ("tank:1", "gauge_alarm_02_05", "raised"),
        ("tank:1", "gauge_alarm_02_05", "cleared"),
        (GAUGE, "gauge_alarm_03_03_07", "raised"),
    ]
    assert histories(station) == expected
    station.crash()
    station.start()
    tell(station, level(minutes=65), GaugeHistory(GAUGE, (*old, *missed)))
    assert histories(station) == expected
    shown = Queries(station.settings.store.path).gauge_events(limit=50)
    assert sum(entry["told"] for entry in shown) == 3
    assert len(shown) == 7


def test_alarms_during_a_time_without_the_agent_are_told(station: VirtualStation) -> None:
    """The gap begins where the tank was last seen before the end of the process."""
    begun(station, 5)
    station.handle(Ticked("minute"))
    tell(station, GaugeHistory(GAUGE, (event(-500),)))
    station.crash()
    station.clock.now_s += 3_600
    station.start()
    tell(station, level(minutes=65), GaugeHistory(GAUGE, (event(-500), event(30))))
    assert histories(station) == [("tank:1", "gauge_alarm_02_05", "raised")]


def test_alarms_of_sensors_and_of_the_console_itself_are_passed_on(station: VirtualStation) -> None:
    """They rise and clear under the gauge's name with the console's own numbers; tank alarms stay with their tank."""
    alarms = (GaugeAlarm(3, 3, 7, "liquid_sensor_fuel_alarm"), GaugeAlarm(2, 5, 1), GaugeAlarm(2, 5, 44))
    tell(station, GaugeAlarms(GAUGE, alarms), GaugeAlarms(GAUGE, alarms), GaugeAlarms(GAUGE, ()))
    for name in ("gauge_alarm_03_03_07", "gauge_alarm_02_05_44"):
        assert [state for state, _ in alerts(station, name)] == ["raised", "cleared"]
    assert alerts(station, "gauge_alarm_02_05_01") == []


def test_a_chart_is_kept_once_and_its_hash_is_audited(station: VirtualStation) -> None:
    """The same table again is no news, another one is a new row; it can be looked up as points."""
    points = ((0, 0), (10_000, 12_000), (20_000, 36_000))
    chart = TankChart(GAUGE, 1, points, "211", 2_500_000, 30_000_000)
    tell(station, chart, chart, replace(chart, points=(*points, (30_000, 66_000))), chart)
    assert station.rows("SELECT count(*) AS n FROM tank_chart")[0]["n"] == 3
    audits = station.rows("SELECT body FROM journal WHERE instr(CAST(body AS TEXT), 'chart_read') > 0")
    assert len(audits) == 3
    shown = Queries(station.settings.store.path).chart(1)
    assert shown["points"] == [{"height_um": h, "volume_ml": v} for h, v in points]
    assert shown["hash"] in audits[0]["body"].decode()


def test_a_gauge_that_stands_still_while_fuel_is_sold_is_not_believed(station: VirtualStation) -> None:
    """Thirty minutes without any change and more than 200 L sold: one alert, a doubt, over with the next movement."""
    tell(station, level(minutes=0))
    station.pipeline._memory.sold_ml[1] = 200_001
    for minutes in (10, 29, 30, 31):
        station.clock.now_s = 60.0 * minutes
        tell(station, level(minutes=minutes))
        shown = station.live.tanks[1]
        assert ("the gauge stands still" in shown["doubts"]) == (minutes >= 30)
    tell(station, level(8_800_000, 31))
    found = [json.loads(row["body"])["data"] for row in station.rows("SELECT body FROM journal WHERE stream = 'A'")]
    assert [data["state"] for data in found if data["alert"] == "gauge_frozen"] == ["raised", "cleared"]


def test_a_tank_that_nobody_draws_from_may_stand_still(station: VirtualStation) -> None:
    """Nothing sold, nothing moved: that is a quiet night."""
    for minutes in range(0, 120, 10):
        station.clock.now_s = 60.0 * minutes
        tell(station, level(minutes=minutes))
    found = [
        json.loads(row["body"])["data"]["alert"] for row in station.rows("SELECT body FROM journal WHERE stream = 'A'")
    ]
    assert "gauge_frozen" not in found


def test_a_delivery_of_a_tank_that_is_not_configured_is_left_out(station: VirtualStation) -> None:
    """The console may know more tanks than the station sells from."""
    begun(station)
    tell(station, replace(listed(delivery(20), minutes=60), gauge_index=44))
    assert station.rows("SELECT count(*) AS n FROM tank_delivery")[0]["n"] == 0


def test_what_people_see_of_the_past(station: VirtualStation, capsys: pytest.CaptureFixture[str]) -> None:
    """Deliveries, alarm history and a strapping file as the commands print them, unknown figures as a dash."""
    answers = Answers(
        settings=station.settings,
        live=station.live,
        inbox=station.inbox,
        clock=station.clock,
        version="0",
        incarnation=station.store.incarnation,
    )

    def ask(op: str, **args: Any) -> Any:
        return answers.answer(op, args, Person("wang", "supervisor"))

    assert ask("tanks.gauge-chart", tank=1)["exit"] == 1
    begun(station)
    tell(station, listed(delivery(20), delivery(55), minutes=60), GaugeHistory(GAUGE, (event(3),)))
    tell(station, TankChart(GAUGE, 1, ((0, 0), (10_500, 12_001)), "211", doubts=("too short",)))
    show.deliveries(ask("tanks.deliveries")["data"])
    show.gauge_alarms(ask("tanks.gauge-alarms")["data"])
    show.gauge_chart(ask("tanks.gauge-chart", tank=1)["data"])
    told = capsys.readouterr()
    rows = [line for line in told.out.splitlines() if line.startswith("1 ")]
    assert ["may still grow" in row for row in rows] == [True, False]
    assert "2026-01-05T14:20" in rows[1]
    assert rows[1].split()[6:10] == ["8000", "13000", "5000", "5000"]
    assert "occurred" in told.out
    assert told.out.endswith("height_mm;volume_l\n0.000;0.000\n10.500;12.001\n")
    assert "too short" in told.err
    newest = ask("tanks.deliveries", limit=1)["data"][0]
    assert (newest["final"], newest["delivered_ml"], newest["rise_ml"]) == (False, None, 5_000_000)
    assert ask("tanks.deliveries", tank=2)["data"] == []


def test_a_delivery_that_differs_from_its_record_is_found(station: VirtualStation) -> None:
    """A row that was changed by other hands, one that is gone, and one that nobody journalled."""
    begun(station)
    tell(station, listed(delivery(1), delivery(30, lasts=5), minutes=60))
    path = station.settings.store.path
    station.crash()
    with closing(sqlite3.connect(path)) as db, db:
        first, second = [row[0] for row in db.execute("SELECT id FROM tank_delivery ORDER BY start_ms")]
        db.execute("UPDATE tank_delivery SET end_volume_ml = 1 WHERE id = ?", (first,))
        db.execute("UPDATE tank_delivery SET id = 'other' WHERE id = ?", (second,))
    found = {finding.where for finding in verify(path).findings}
    assert {f"delivery {first}", "delivery other"} <= found
    assert len(found) == 3
    station.start()
