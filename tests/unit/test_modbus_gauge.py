"""Tank gauges behind register maps: what is told, what is held back, and that nothing is ever written but a selection."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.commands import ConfirmUnits
from drivers.modbus.link import ReadingWire, SelectingWire, WritingWire
from drivers.readings import CommandOutcome, DeviceStatus, GaugeAlarms, GaugeUnits, Quality, TankReading
from tests.support.modbus_lines import SelectGauge, UsGauge
from tests.support.rigs.base import VirtualRig, every_command
from tests.support.rigs.modbus_gauge import GAUGE, SUBJECT

READS = {1, 2, 3, 4}


def online(subject: Any = SUBJECT) -> VirtualRig:
    """A gauge that has told its tanks."""
    rig = VirtualRig(subject)
    rig.online()
    rig.until(lambda: bool(rig.of(TankReading)))
    return rig


def next_cycle(rig: VirtualRig) -> dict[int, TankReading]:
    """The readings of the next time that all tanks are read, by tank."""
    before = len(rig.of(TankReading))
    rig.until(lambda: len(rig.of(TankReading)) >= before + len(SUBJECT.tanks), 120)
    return {reading.gauge_index: reading for reading in rig.of(TankReading)[before:]}


@pytest.mark.parametrize("subject", [SUBJECT, UsGauge(), SelectGauge()], ids=["blocks", "us", "select"])
def test_every_command_there_is_leaves_a_gauge_as_it_is(subject: Any) -> None:
    """On the wire there are reads, and the selection of a tank where the map has one; the device's handle has no more."""
    rig = online(subject)
    for command in every_command():
        rig.line.devices[0].submit(command)
    rig.turns(70)
    selects = isinstance(subject, SelectGauge)
    told = {entry.name for entry in rig.forecourt.log.entries}
    assert told == ({"INQUIRY", "SELECT"} if selects else {"INQUIRY"})
    functions = {data[1] for _, data in rig.port.sent}
    assert functions - READS == ({6} if selects else set())
    device: Any = rig.line.devices[0]
    assert type(device._wire) is (SelectingWire if selects else ReadingWire)
    assert not isinstance(device._wire, WritingWire)
    assert not hasattr(device._wire, "write")


def test_levels_of_every_tank_are_those_of_the_world() -> None:
    """Volume to a litre, height to a millimetre, temperature to a tenth; net volume is nobody's business."""
    rig = online()
    for number, reading in next_cycle(rig).items():
        tank = rig.forecourt.world.tanks[number]
        assert reading.quality is Quality.GOOD
        assert abs((reading.volume_ml or 0) - tank.volume_ml) <= 500
        assert abs((reading.height_um or 0) - tank.height_um(tank.volume_ml)) <= 500
        assert abs((reading.temperature_mdegc or 0) - tank.temperature_mdegc) <= 50
        assert reading.tc_volume_ml is None
        assert reading.delivery_in_progress is False
    assert [units.unit_system for units in rig.of(GaugeUnits)] == [2]


def test_the_same_tanks_in_us_units() -> None:
    """The station says that the console is set to gallons and inches; the litres are the same."""
    rig = VirtualRig(UsGauge())
    rig.forecourt.inject("units-changed", for_s=0)
    rig.until(lambda: bool(rig.of(TankReading)))
    for reading in next_cycle(rig).values():
        truth_ml = rig.forecourt.world.tanks[reading.gauge_index].volume_ml
        assert abs((reading.volume_ml or 0) - truth_ml) <= 1_900
    assert [units.unit_system for units in rig.of(GaugeUnits)] == [1]


@pytest.mark.parametrize(
    ("fault", "doubt"), [("gauge-link-lost", "gauge link lost"), ("gauge-scan-suspended", "scan suspended")]
)
def test_while_the_guard_stands_nothing_is_a_reading(fault: str, doubt: str) -> None:
    """The card fills its registers with full scale, or with old values: neither comes out."""
    rig = online()
    rig.forecourt.inject(fault, for_s=0)
    for reading in next_cycle(rig).values():
        assert (reading.quality, reading.volume_ml, reading.doubts) == (Quality.NO_READING, None, (doubt,))
    rig.forecourt.clear()
    assert {reading.quality for reading in next_cycle(rig).values()} == {Quality.GOOD}


def test_a_lost_probe_is_no_reading_of_its_tank_only() -> None:
    """Its status bit makes volume and height unusable and stands as an alarm."""
    rig = online()
    rig.forecourt.inject("probe-out", tank=2, for_s=0)
    readings = next_cycle(rig)
    assert readings[2].quality is Quality.NO_READING
    assert (readings[2].volume_ml, readings[2].height_um, readings[2].doubts) == (None, None, ("probe out",))
    assert readings[1].quality is readings[3].quality is Quality.GOOD
    assert [(alarm.number, alarm.device) for alarm in rig.of(GaugeAlarms)[-1].alarms] == [(9, 2)]
    rig.forecourt.clear()
    next_cycle(rig)
    assert rig.of(GaugeAlarms)[-1].alarms == ()


def test_a_tank_that_the_gauge_does_not_have_is_no_reading() -> None:
    """Full positive scale means none; it is never a volume."""
    rig = online()
    del rig.forecourt.world.tanks[3]
    unit: Any = rig.forecourt.bus(GAUGE)
    assert 3 not in unit.units[1]._tanks
    assert next_cycle(rig)[3].quality is Quality.NO_READING


def test_units_that_change_while_running_are_not_believed() -> None:
    """A volume that falls to a quarter within one poll cannot be true, whatever the station says its units are."""
    rig = online()
    rig.forecourt.inject("units-changed", for_s=0)
    readings = next_cycle(rig)
    assert {reading.quality for reading in readings.values()} == {Quality.SUSPECT}
    assert rig.run(ConfirmUnits("u", "gauge:tanks")) is CommandOutcome.APPLIED
    assert rig.run(ConfirmUnits("other", "gauge:tanks")) is CommandOutcome.APPLIED


def test_a_delivery_is_watched_more_often() -> None:
    """Ten seconds between readings instead of thirty while a tank is being filled."""
    rig = online()
    rig.forecourt.world.tanks[1].delivering = True
    next_cycle(rig)
    times = [at_s for at_s, reading in rig.seen if isinstance(reading, TankReading)]
    next_cycle(rig)
    later = [at_s for at_s, reading in rig.seen if isinstance(reading, TankReading)]
    assert later[len(times)] - times[-1] <= 12
    assert rig.of(TankReading)[-3].delivery_in_progress is True


def test_a_tank_is_selected_before_it_is_read_and_a_failed_selection_reads_nothing() -> None:
    """The reply does not say which tank it is of: no selection, no reading."""
    rig = online(SelectGauge())
    tanks = rig.forecourt.world.tanks
    for number, reading in next_cycle(rig).items():
        assert abs((reading.volume_ml or 0) - tanks[number].volume_ml) <= 1_000
    rig.port.sent.clear()
    gone = tanks.pop(2)
    readings = next_cycle(rig)
    assert readings[2].quality is Quality.NO_READING
    assert readings[2].volume_ml is None
    functions = [data[1] for _, data in rig.port.sent]
    assert functions == [6, 4, 6, 6, 4]
    tanks[2] = gone


@pytest.mark.parametrize("fault", ["bad-crc", "half-frames", "lost-reply", "device-busy", "wrong-address"])
def test_one_bad_reply_costs_a_repeat_and_nothing_else(fault: str) -> None:
    """Asked again at once: nobody is told offline, and no value is wrong."""
    rig = online()
    rig.forecourt.board.inject(fault, GAUGE, times=2)
    assert {reading.quality for reading in next_cycle(rig).values()} == {Quality.GOOD}
    assert [status.online for status in rig.of(DeviceStatus) if status.device == "gauge:tanks"] == [True]


def test_a_gauge_that_refuses_every_read_is_offline_with_the_reason() -> None:
    """The wrong map is named, not silence."""
    rig = online()
    rig.forecourt.board.inject("wrong-map", GAUGE, for_s=0)
    rig.until(lambda: rig.status("gauge:tanks") is False, 60)
    assert "exception 2" in rig.statuses("gauge:tanks")[-1].reason
    assert "map" in rig.statuses("gauge:tanks")[-1].hint
    rig.forecourt.clear()
    rig.until(lambda: rig.status("gauge:tanks") is True, 60)
