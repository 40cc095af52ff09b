"""Device alerts: edges only, latched until over and acknowledged, kept over a restart."""

import json

import pytest

from agent.domain.alerts import (
    AlertMemoryDamaged,
    DeviceAlerts,
    Edge,
    acknowledge_alert,
    clear_alert,
    durable,
    raise_alert,
    restore,
)
from agent.domain.instant import Now

NOW = Now(1_795_305_600_000, 5)


def test_each_edge_is_told_once():
    """Raising what stands and clearing what is over tell nothing."""
    alerts, first = raise_alert(DeviceAlerts(), "island-1", "line_silent", "no answer for 5 polls", NOW)
    assert [(event.number, event.state, event.evidence) for event in first] == [
        (1, Edge.RAISED, "no answer for 5 polls")
    ]
    assert raise_alert(alerts, "island-1", "line_silent", "still", NOW) == (alerts, ())
    alerts, over = clear_alert(alerts, "island-1", "line_silent", NOW)
    assert [event.state for event in over] == [Edge.CLEARED]
    assert clear_alert(alerts, "island-1", "line_silent", NOW) == (alerts, ())
    alerts, seen = acknowledge_alert(alerts, "island-1", "line_silent", "S1", NOW)
    assert [(event.state, event.person) for event in seen] == [(Edge.ACKNOWLEDGED, "S1")]
    assert alerts == DeviceAlerts(number=3)


def test_acknowledged_first_is_gone_when_cleared():
    """An acknowledged alert leaves as soon as its cause is gone."""
    alerts, _ = raise_alert(DeviceAlerts(), "R1", "reader_lost", None, NOW)
    alerts, _ = acknowledge_alert(alerts, "R1", "reader_lost", "S1", NOW)
    alerts, over = clear_alert(alerts, "R1", "reader_lost", NOW)
    assert [event.state for event in over] == [Edge.CLEARED]
    assert alerts.standing == {}


def test_subjects_and_names_are_apart():
    """One subject's alert says nothing about another's."""
    alerts, _ = raise_alert(DeviceAlerts(), "R1", "reader_lost", None, NOW)
    alerts, events = raise_alert(alerts, "R2", "reader_lost", None, NOW)
    assert len(events) == 1
    assert clear_alert(alerts, "R3", "reader_lost", NOW) == (alerts, ())
    assert acknowledge_alert(alerts, "R1", "other", "S1", NOW) == (alerts, ())


def test_restart_keeps_alerts_and_numbers():
    """What was standing stands, and numbering goes on."""
    alerts, _ = raise_alert(DeviceAlerts(), "R1", "reader_lost", "gone", NOW)
    again = restore(json.loads(json.dumps(durable(alerts))))
    assert again == alerts
    assert raise_alert(again, "R1", "reader_lost", "gone", NOW)[1] == ()
    assert clear_alert(again, "R1", "reader_lost", NOW)[1][0].number == 2


def test_damaged_memory_is_a_typed_error():
    """Stored state that cannot be read says what to do."""
    with pytest.raises(AlertMemoryDamaged, match="start with none"):
        restore({"number": "x", "standing": []})
