"""DART heads say who they are and which decimals they work with, where the line asks; nobody else is asked anything."""

from __future__ import annotations

import pytest

from drivers import registry
from drivers.config import LineConfig
from drivers.readings import FuellingPointReading
from tests.support.rigs.base import VirtualRig
from tests.support.rigs.dart import SUBJECT


def rig_with(*, identity: bool, volume_decimals: int = 2) -> VirtualRig:
    """Heads with two, two and three decimals, on a line that asks them or not."""
    rig = VirtualRig(SUBJECT)
    config = SUBJECT.line_config()
    points = tuple(
        type(point)(point.fuelling_point, point.address, point.nozzles, volume_decimals=volume_decimals)
        for point in config.points
    )
    made = LineConfig(config.id, config.port, config.protocol, options={"identity": identity}, points=points)
    rig.line = registry.make_line(made, rig._open, rig.port.monotonic)
    rig.online()
    rig.turns(5)
    return rig


def test_a_head_is_asked_once_and_tells_maker_type_and_program() -> None:
    """After it came online, and not again while it stays there."""
    rig = rig_with(identity=True)
    rig.turns(30)
    assert {level.identity for level in rig.of(FuellingPointReading)[-4:]} == {"1234 05 0107"}
    heard = SUBJECT.heard(rig, 1)
    assert (heard.count("RETURN_IDENTITY"), heard.count("RETURN_PARAMETERS")) == (1, 1)
    assert all(level.device_alarms == () for level in rig.of(FuellingPointReading))


@pytest.mark.parametrize("asks", [True, False])
def test_other_decimals_are_an_alarm_and_change_nothing(asks: bool) -> None:
    """A head that works with two decimals where the station says one: only asking finds it."""
    rig = rig_with(identity=asks, volume_decimals=1)
    alarms = rig.of(FuellingPointReading)[-1].device_alarms
    assert alarms == (("decimals differ from configuration",) if asks else ())
    assert ("RETURN_PARAMETERS" in SUBJECT.heard(rig, 1)) is asks
