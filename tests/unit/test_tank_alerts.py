"""Tank alerts: the published rules of debounce, deadband and latching, limits, and what a restart keeps."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.alerts import AlertMemoryDamaged, AlertState, Edge, moved
from agent.domain.instant import Now
from agent.domain.wetstock.alerts import (
    Rule,
    Severity,
    Side,
    TankAlerts,
    TankSample,
    Watch,
    acknowledge,
    durable,
    gauge_alert_name,
    judge,
    restore,
    step,
)
from agent.domain.wetstock.limits import TankLimits, tank_limits

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "wetstock.json").read_text(encoding="utf-8"))["vectors"]
ALARMS = [vector for vector in VECTORS if vector["kind"] == "alarm"]
NOW = Now(1_795_305_600_000, 0)


def limits() -> TankLimits:
    made, problems = tank_limits(10_000_000, heel_ml=300_000)
    assert made is not None
    assert problems == []
    return made


def run(alerts: TankAlerts, *samples: TankSample) -> tuple[TankAlerts, list[tuple[str, str]]]:
    told = []
    for sample in samples:
        alerts, events = step(alerts, sample, NOW)
        told += [(event.alert, event.state.value) for event in events]
    return alerts, told


@pytest.mark.parametrize("vector", ALARMS, ids=[vector["name"] for vector in ALARMS])
def test_alarm_vectors(vector):
    """Every alarm vector gives its states and its events."""
    given = vector["inputs"]
    rule = Rule(Side(given["side"]), given["debounce"], given["limit"], given["deadband"])
    watch, states, events = Watch(), [], []
    for index, sample in enumerate(given["samples"]):
        if index in given["acknowledge_before_sample"]:
            state = moved(watch.state, Edge.ACKNOWLEDGED)
            if state is not None:
                watch = replace(watch, state=state)
                events.append([index, "acknowledged"])
        watch, edge = judge(watch, rule, sample)
        states.append(watch.state.value)
        if edge is not None:
            events.append([index, edge.value])
    assert {"states": states, "events": events} == vector["expect"]


def test_alarm_vectors_are_there():
    """The vector file really holds alarm vectors."""
    assert len(ALARMS) >= 4


def test_default_limits_are_shares_of_capacity():
    """Defaults are the sheet's percentages, in integers."""
    made = limits()
    assert (made.maximum_product_ml, made.high_product_ml, made.overfill_ml) == (9_700_000, 9_500_000, 9_000_000)
    assert (made.delivery_needed_ml, made.low_product_ml, made.unpumpable_ml) == (2_000_000, 1_000_000, 300_000)
    assert (made.water_warning_um, made.water_alarm_um, made.deadband_ml) == (25_000, 50_000, 100_000)


def test_station_file_overrules_the_gauge_and_the_gauge_the_default():
    """A person's word counts more than the console's limits, those more than ours."""
    made, problems = tank_limits(
        10_000_000,
        gauge={"low_product_ml": 1_200_000, "delivery_needed_ml": 2_500_000},
        overrides={"low_product_ml": 1_500_000},
    )
    assert problems == []
    assert made is not None
    assert (made.low_product_ml, made.delivery_needed_ml) == (1_500_000, 2_500_000)


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        ({"low_product_ml": 2_000_000}, "delivery_needed_ml"),
        ({"water_warning_um": 50_000}, "water_alarm_um"),
        ({"maximum_product_ml": 9_400_000}, "high_product_ml"),
        ({"overfill_ml": 11_000_000}, "capacity"),
        ({"low_produkt_ml": 5}, "unknown"),
        ({"low_product_ml": True}, "whole number"),
        ({"deadband_ml": 0}, "deadband"),
    ],
)
def test_limits_out_of_order_are_configuration_errors(overrides, word):
    """A limit out of order, out of range or misspelt gives no limits and a sentence that names it."""
    made, problems = tank_limits(10_000_000, overrides=overrides)
    assert made is None
    assert any(word in problem for problem in problems)


def test_capacity_must_be_positive():
    """A tank without capacity is refused."""
    assert tank_limits(0)[0] is None


def test_low_product_after_three_good_samples_nulls_apart():
    """Samples without a reading neither count towards an alert nor reset it."""
    low = TankSample(stock_ml=900_000)
    none = TankSample()
    alerts, told = run(TankAlerts(1, limits()), low, none, low, none)
    assert told == []
    _, told = run(alerts, low)
    assert told == [("delivery_needed", "raised"), ("low_product", "raised")]


def test_overfill_rises_at_once_but_only_while_a_delivery_runs():
    """The overfill alert needs one sample in a delivery and clears after it."""
    full = TankSample(volume_ml=9_100_000)
    alerts, told = run(TankAlerts(1, limits()), full, full, full, replace(full, delivery_running=True))
    assert told == [("overfill", "raised")]
    _, told = run(alerts, full)
    assert told == [("overfill", "cleared")]


def test_events_carry_numbers_value_limit_unit_and_severity():
    """An event says everything a head office needs, and events are numbered without a gap."""
    alerts, dry = TankAlerts(7, limits()), TankSample(stock_ml=200_000)
    for _ in range(2):
        alerts, _ = step(alerts, dry, NOW)
    alerts, events = step(alerts, dry, NOW)
    assert [event.number for event in events] == [1, 2, 3]
    worst = events[-1]
    assert (worst.tank, worst.alert, worst.value, worst.limit, worst.unit) == (7, "unpumpable", 200_000, 300_000, "ml")
    assert worst.severity is Severity.CRITICAL
    assert worst.at_ms == NOW.wall_ms


def test_water_warning_comes_before_the_alarm_and_clears_below_the_deadband():
    """Water is judged by its height with a band of 3 mm."""
    alerts, told = run(TankAlerts(1, limits()), *[TankSample(water_um=26_000)] * 3)
    assert told == [("water_warning", "raised")]
    alerts, told = run(alerts, *[TankSample(water_um=22_001)] * 3)
    assert told == []
    alerts, told = run(alerts, *[TankSample(water_um=22_000)] * 3)
    assert told == [("water_warning", "cleared")]
    _, told = run(alerts, *[TankSample(water_um=55_000)] * 3)
    assert told == [("water_warning", "raised"), ("water_alarm", "raised")]


def test_probe_out_needs_two_and_silence_one():
    """State alerts have their own counts of samples."""
    out = TankSample(probe_out=True)
    _, told = run(TankAlerts(1, limits()), out, out, TankSample(gauge_silent=True, units_changed=True))
    assert told == [("probe_out", "raised"), ("gauge_silent", "raised"), ("units_changed", "raised")]


def test_temperature_is_judged_on_both_sides():
    """Cold and heat are warnings of their own; zero degrees is a reading like any other."""
    cold = TankSample(temperature_mdegc=-20_000)
    alerts, told = run(TankAlerts(1, limits()), cold, cold, cold)
    assert told == [("low_temperature", "raised")]
    _, told = run(alerts, *[TankSample(temperature_mdegc=0)] * 3)
    assert told == [("low_temperature", "cleared")]


def test_a_tank_out_of_use_raises_no_low_alert_but_lets_one_clear():
    """Out of use rests the low alerts; the volume still ends an active one."""
    empty = TankSample(stock_ml=0, out_of_use=True)
    _, told = run(TankAlerts(1, limits()), *[empty] * 5)
    assert told == []
    active, _ = run(TankAlerts(1, limits()), *[TankSample(stock_ml=1_500_000)] * 3)
    active, told = run(active, *[empty] * 5)
    assert told == []
    _, told = run(active, *[TankSample(stock_ml=5_000_000, out_of_use=True)] * 3)
    assert told == [("delivery_needed", "cleared")]


def test_gauge_alarms_are_passed_on_and_forgotten_when_over_and_acknowledged():
    """A gauge's own alarm keeps its numbers in its name; the memory of it does not grow."""
    standing = TankSample(gauge_alarms=frozenset({(2, 5), (2, 99)}))
    alerts, told = run(TankAlerts(1, limits()), standing, TankSample())
    assert told == [("gauge_alarm_02_05", "raised"), ("gauge_alarm_02_99", "raised")]
    alerts, told = run(alerts, TankSample(gauge_alarms=frozenset()))
    assert told == [("gauge_alarm_02_05", "cleared"), ("gauge_alarm_02_99", "cleared")]
    for name in (gauge_alert_name(2, 5), gauge_alert_name(2, 99)):
        alerts, events = acknowledge(alerts, name, "S1", NOW)
        assert [event.state for event in events] == [Edge.ACKNOWLEDGED]
    assert alerts.watches == {}


def test_acknowledgement_names_the_person_and_is_told_once():
    """Acknowledging twice, or something that is not there, tells nothing."""
    alerts, _ = run(TankAlerts(1, limits()), TankSample(gauge_silent=True))
    alerts, events = acknowledge(alerts, "gauge_silent", "S1", NOW)
    assert [(event.state, event.person, event.number) for event in events] == [(Edge.ACKNOWLEDGED, "S1", 2)]
    assert alerts.watches["gauge_silent"].state is AlertState.ACTIVE_ACKED
    assert acknowledge(alerts, "gauge_silent", "S1", NOW) == (alerts, ())
    assert acknowledge(alerts, "nothing", "S1", NOW) == (alerts, ())


def test_a_cleared_alert_rises_again_and_counts():
    """CLEARED is not over: the same alert rises again and says how often."""
    alerts, told = run(TankAlerts(1, limits()), *[TankSample(gauge_silent=flag) for flag in (True, False, True, False)])
    assert [state for _, state in told] == ["raised", "cleared", "raised", "cleared"]
    assert alerts.watches["gauge_silent"].raised == 2


def test_restart_keeps_states_and_counters():
    """Two low samples before a restart and one after raise the alert."""
    low = TankSample(stock_ml=900_000)
    before, _ = run(TankAlerts(1, limits()), low, low)
    after = restore(json.loads(json.dumps(durable(before))), limits())
    assert after == before
    _, told = run(after, low)
    assert told == [("delivery_needed", "raised"), ("low_product", "raised")]


def test_new_limits_under_an_active_alert_are_told():
    """After a reload an active alert reports the limit it is judged by now, once."""
    alerts, _ = run(TankAlerts(1, limits()), *[TankSample(stock_ml=900_000)] * 3)
    changed = replace(limits(), low_product_ml=1_100_000)
    alerts, told = run(restore(durable(alerts), changed), TankSample(stock_ml=900_000))
    assert told == [("low_product", "updated")]
    assert run(alerts, TankSample(stock_ml=900_000))[1] == []


@pytest.mark.parametrize("data", [{}, {"tank": 1}, {"tank": 1, "number": 0, "watches": {"x": {"state": "?"}}}])
def test_damaged_memory_is_a_typed_error(data):
    """Stored state that cannot be read says what to do."""
    with pytest.raises(AlertMemoryDamaged, match="start with none"):
        restore(data, limits())
