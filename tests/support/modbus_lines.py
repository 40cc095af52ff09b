"""Modbus lines of other profiles than the contract suite's: the same rig, another map and other simulated devices; and
what people do at point 1.

Knows maps by name and the simulator's names of its devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.commands import Authorise, ReadSale
from drivers.readings import CommandOutcome, CompletedSale, FuellingPointReading, PointState
from tests.support.rigs.base import VirtualRig
from tests.support.rigs.modbus import SUBJECT, ModbusSubject
from tests.support.rigs.modbus_gauge import ModbusGaugeSubject

MAPS = Path(__file__).parent / "maps"
PULSES_PER_LITRE = "3666739.2"


class PulseCounters(ModbusSubject):
    """Bowsers with a counter of pulses."""

    simulated = "modbus-pulse"
    options: Mapping[str, object] = {"map": "seneca-z10-d-in", "values": {"k_factor": PULSES_PER_LITRE}}


class FleetLogs(ModbusSubject):
    """Fleet modules that keep a log."""

    simulated = "modbus-log"
    options: Mapping[str, object] = {
        "map": "gas-station-module",
        "values": {"word_order": "ABCD", "unit_used_amount": "ml"},
    }


class HeldValues(ModbusSubject):
    """The reference dispenser through a map without its queue: the display is all it holds."""

    def __init__(self, folder: Path) -> None:
        shipped = Path(__file__).parents[2] / "drivers" / "modbus" / "maps" / "reference-dispenser.toml"
        text = shipped.read_text(encoding="utf-8")
        begin, end = text.index("[record]"), text.index("[command.authorise]")
        own = folder / "held-values.toml"
        own.write_text(text.replace('id = "reference-dispenser"', 'id = "held-values"').replace(text[begin:end], ""))
        self.options = {"map": str(own)}


class SelectGauge(ModbusGaugeSubject):
    """The gauge that is told which tank it is asked about."""

    simulated = "modbus-gauge-select"
    options: Mapping[str, object] = {
        "map": str(MAPS / "strela.toml"),
        "unit": 80,
        "values": {
            "unit_level": "mm",
            "unit_mass": "kg",
            "unit_volume": "l",
            "unit_density": "kg_m3",
            "unit_temperature": "degc",
            "unit_total_volume": "l",
        },
    }


class UsGauge(ModbusGaugeSubject):
    """The gauge of twelve blocks, its console set to US units."""

    options: Mapping[str, object] = {"map": "pneumercator-tms", "values": {"units": "us"}}


def online(subject: ModbusSubject = SUBJECT, *, control: bool = True, points: int = 1) -> VirtualRig:
    """A line of ``subject`` that is online."""
    rig = VirtualRig(subject, control=control, points=points)
    rig.online()
    return rig


def head(rig: VirtualRig) -> Any:
    """The pump of point 1."""
    return rig.forecourt.world.heads[1]


def level(rig: VirtualRig) -> FuellingPointReading:
    """The newest level."""
    return rig.of(FuellingPointReading)[-1]


def until_state(rig: VirtualRig, state: PointState) -> None:
    """Turn until the level says ``state``."""
    rig.until(lambda: level(rig).state is state)


def sell(rig: VirtualRig, units: int, name: str = "a") -> None:
    """One fuelling of ``units`` of 10 ml, authorised by a command."""
    head(rig).lift(1)
    until_state(rig, PointState.CALLING)
    assert rig.run(Authorise(name, 1)) is CommandOutcome.APPLIED
    head(rig).deliver(units)
    rig.until(lambda: level(rig).state in (PointState.FUELLING, PointState.SUSPENDED_FUELLING))
    head(rig).hang_up()
    until_state(rig, PointState.IDLE)


def bundle(rig: VirtualRig, name: str) -> CompletedSale:
    """A read-out of point 1."""
    assert rig.run(ReadSale(name, 1, (1,))) is CommandOutcome.APPLIED
    return rig.of(CompletedSale)[-1]


def written(rig: VirtualRig) -> list[str]:
    """What the device was told to do."""
    return SUBJECT.heard(rig)
