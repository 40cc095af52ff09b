"""Whether a tank reading can be true: pure comparisons in integer units; what fails stays visible but is not trusted.

Knows limits of physics and of the tank. Knows no wire and no clock: elapsed time comes in as milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.readings import TankReading

FASTEST_IN_ML_PER_MIN = 3_000_000
FASTEST_OUT_ML_PER_MIN = 1_000_000
LOWEST_HEIGHT_UM = -1_000
WATER_OVER_HEIGHT_UM = 5_000
COLDEST_MDEGC, HOTTEST_MDEGC = -40_000, 70_000


@dataclass(frozen=True, slots=True)
class Tank:
    """What is known of a tank, ``None`` = unknown: then the comparison is left out."""

    full_ml: int | None = None
    diameter_um: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """The last trusted volume, how long ago it was (our time), and what scales the allowed rate of change.

    ``step_ml`` is the console's rounding: a change of one step is never too fast.
    """

    volume_ml: int
    elapsed_ms: int
    step_ml: int
    time_scale: int = 1


def doubts(reading: TankReading, tank: Tank, pace: Pace | None) -> tuple[str, ...]:
    """Return why ``reading`` should not be trusted, in words for people; empty when nothing speaks against it."""
    return _volume(reading, tank) + _height(reading, tank) + _temperature(reading) + _rate(reading.volume_ml, pace)


def _volume(reading: TankReading, tank: Tank) -> tuple[str, ...]:
    volume, full, ullage, tc = reading.volume_ml, tank.full_ml, reading.ullage_ml, reading.tc_volume_ml
    found = []
    if volume is not None and volume < 0:
        found.append("volume below zero")
    if volume is not None and full is not None:
        if volume * 100 > full * 102:
            found.append("volume above the full volume")
        if ullage is not None and abs(volume + ullage - full) * 100 > full:
            found.append("volume and ullage do not add up to the full volume")
    if volume is not None and tc is not None and abs(tc - volume) * 100 > abs(volume) * 5:
        found.append("compensated volume too far from volume")
    return tuple(found)


def _height(reading: TankReading, tank: Tank) -> tuple[str, ...]:
    height, water = reading.height_um, reading.water_height_um
    found = []
    if height is not None and height < LOWEST_HEIGHT_UM:
        found.append("height below zero")
    if height is not None and tank.diameter_um is not None and height * 100 > tank.diameter_um * 102:
        found.append("height above the diameter")
    if height is not None and water is not None and water > height + WATER_OVER_HEIGHT_UM:
        found.append("water above the product level")
    return tuple(found)


def _temperature(reading: TankReading) -> tuple[str, ...]:
    value = reading.temperature_mdegc
    if value is None or COLDEST_MDEGC <= value <= HOTTEST_MDEGC:
        return ()
    return ("temperature out of range",)


def _rate(volume_ml: int | None, pace: Pace | None) -> tuple[str, ...]:
    if volume_ml is None or pace is None:
        return ()
    change = volume_ml - pace.volume_ml
    limit = FASTEST_IN_ML_PER_MIN if change > 0 else FASTEST_OUT_ML_PER_MIN
    beyond = max(0, abs(change) - pace.step_ml)
    if beyond * 60_000 > limit * pace.elapsed_ms * pace.time_scale:
        return ("volume rises too fast",) if change > 0 else ("volume falls too fast",)
    return ()
