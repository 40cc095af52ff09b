"""From a console's inventory record to a tank reading with its quality: units, lost probes, doubts. Pure.

Knows what makes a reading usable. Knows no wire; limits and the last trusted volume are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from drivers.readings import Quality, TankReading
from drivers.veeder_root.fields import console_time
from drivers.veeder_root.layouts import Inventory
from drivers.veeder_root.plausibility import Pace, Tank, doubts
from drivers.veeder_root.units import Units

DELIVERY = 0x0001
INVALID_HEIGHT = 0x0004


@dataclass(frozen=True, slots=True)
class Setting:
    """What a record is read against. ``units``: ``None`` while unknown; ``held``: they changed unconfirmed."""

    gauge: str
    units: Units | None
    held: bool = False
    display: bool = False
    clock: str = ""


def no_reading(gauge: str, tank: int, doubt: str) -> TankReading:
    """Return the reading that says that there is none, and why."""
    return TankReading(gauge, tank, Quality.NO_READING, doubts=(doubt,))


def tank_reading(
    record: Inventory, setting: Setting, tank: Tank, pace: Pace | None, lost: frozenset[int]
) -> TankReading:
    """Return the reading of ``record``; ``lost``: standing alarm numbers of this tank that make its level invalid."""
    blank = replace(
        no_reading(setting.gauge, record.tank, ""),
        product_code=record.product_code,
        console_time=console_time(setting.clock),
        doubts=(),
    )
    if record.status is None:
        return replace(blank, doubts=("no reading from the console",))
    blank = replace(blank, delivery_in_progress=None if setting.display else bool(record.status & DELIVERY))
    if setting.held:
        return replace(blank, doubts=("units changed",))
    if setting.units is None:
        return replace(blank, doubts=("units unknown",))
    reading = _converted(blank, record, setting.units)
    if record.status & INVALID_HEIGHT or lost:
        return replace(
            reading,
            volume_ml=None,
            tc_volume_ml=None,
            ullage_ml=None,
            height_um=None,
            invalid_level=True,
            doubts=("probe out",) if 9 in lost else ("invalid fuel level",),
        )
    if reading.volume_ml is None:
        return replace(reading, doubts=("no volume",))
    found = doubts(reading, tank, pace)
    if found:
        return replace(reading, quality=Quality.SUSPECT, doubts=found)
    return replace(reading, quality=Quality.DISPLAY if setting.display else Quality.GOOD)


def _converted(blank: TankReading, record: Inventory, units: Units) -> TankReading:
    return replace(
        blank,
        volume_ml=units.volume_ml(record.value(0)),
        tc_volume_ml=units.volume_ml(record.value(1)),
        ullage_ml=units.volume_ml(record.value(2)),
        height_um=units.height_um(record.value(3)),
        water_height_um=units.height_um(record.value(4)),
        temperature_mdegc=units.temperature_mdegc(record.value(5)),
        water_volume_ml=units.volume_ml(record.value(6)),
    )
