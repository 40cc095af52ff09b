"""Worked telegrams of Modbus gauges through the whole driver: the requests it sends, the readings it makes of replies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.config import LineConfig
from drivers.line import Line
from drivers.modbus.driver import make_gauge
from drivers.readings import Quality, TankReading
from tests.support.modbus_lines import SelectGauge
from tests.support.rigs.modbus_gauge import SUBJECT
from tests.support.wire import VirtualPort

GAUGES: dict[str, Any] = {
    vector["name"]: vector
    for vector in next(
        value
        for value in json.loads(
            (Path(__file__).parents[1] / "vectors" / "other_gauges.json").read_text(encoding="utf-8")
        ).values()
        if isinstance(value, list)
    )
}


def frame(name: str) -> bytes:
    """The bytes of an example."""
    return bytes.fromhex(GAUGES[name]["bytes"])


def readings(subject: Any, answers: dict[bytes, bytes], tank: int = 1) -> tuple[list[bytes], TankReading]:
    """What a gauge that knows only these answers was asked, and the reading of its tank."""
    port = VirtualPort(lambda data: answers.get(data, b""))
    config = LineConfig("tanks", "virtual", "modbus-gauge", options=subject.options, tanks=(tank,))
    line = Line(config, make_gauge(config), lambda: port, port.monotonic)
    seen: list[TankReading] = []
    while not seen:
        assert port.now_s < 1_060, "the gauge was never read"
        seen += [reading for reading in line.turn() if isinstance(reading, TankReading)]
    return [data for _, data in port.sent], seen[0]


@pytest.mark.proves("vectors", "modbus-gauge")
def test_status_and_tank_are_one_request_and_every_value_is_that_of_the_example() -> None:
    """1321 mm, 12345 L, 27.5 degrees, no water, 7654 L of ullage; the still product's bit is active low."""
    sent, reading = readings(SUBJECT, {frame("tms-read-status-and-tank-1"): frame("tms-tank-1-normal")})
    assert sent == [frame("tms-read-status-and-tank-1")]
    assert reading.quality is Quality.GOOD
    assert (reading.height_um, reading.volume_ml, reading.ullage_ml) == (1_321_000, 12_345_000, 7_654_000)
    assert (reading.temperature_mdegc, reading.water_height_um, reading.tc_volume_ml) == (27_500, 0, None)
    assert reading.delivery_in_progress is False


@pytest.mark.proves("vectors", "modbus-gauge")
def test_stale_registers_of_a_suspended_scan_are_no_reading() -> None:
    """The same values behind bit 1 of the status register."""
    _, reading = readings(SUBJECT, {frame("tms-read-status-and-tank-1"): frame("tms-scan-suspended")})
    assert (reading.quality, reading.volume_ml, reading.doubts) == (Quality.NO_READING, None, ("scan suspended",))


@pytest.mark.proves("vectors", "modbus-gauge")
def test_a_tank_is_selected_and_then_read_as_in_the_example() -> None:
    """Tank 1 of unit 80: level 1523.5 mm, 12345.5 L, 21.5 degrees."""
    select, read = frame("strela-select-tank-1"), frame("strela-read-all")
    sent, reading = readings(SelectGauge(), {select: select, read: frame("strela-reply")})
    assert sent == [select, read]
    assert (reading.height_um, reading.volume_ml, reading.temperature_mdegc) == (1_523_500, 12_345_500, 21_500)
    assert reading.quality is Quality.GOOD
