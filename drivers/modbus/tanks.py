"""What the registers of a gauge mean: one reading per tank with its quality, the alarms that stand, the unit system.

Pure: values in, readings out; the last trusted volume comes in with its age. Knows no wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

from drivers.modbus.model import Conversions, RegisterMap, Role, Unit
from drivers.modbus.units import to_mdegc, to_ml, to_um
from drivers.modbus.values import Key, Sample
from drivers.readings import GaugeAlarm, Quality, TankReading
from drivers.veeder_root.plausibility import Pace, Tank, doubts

TANK_ALARM = 2
ALARMS: Mapping[str, int] = {
    "leak": 2,
    "high_water": 3,
    "overfill": 4,
    "low": 5,
    "theft": 6,
    "high": 7,
    "below_gaugeable_level": 8,
    "probe_sync_error": 9,
    "probe_timeout": 9,
    "probe_out": 9,
}
"""Flags of a map that are alarms, as the agent numbers them; set-points that a station may have moved are none."""

DELIVERY = "delivery"
SYSTEMS: Mapping[Unit, int] = {Unit.GAL: 1, Unit.L: 2, Unit.ML: 2, Unit.M3: 2, Unit.IGAL: 3}
STEPS_ML: Mapping[Unit, int] = {Unit.GAL: 3_785, Unit.IGAL: 4_546, Unit.L: 1_000, Unit.ML: 1, Unit.M3: 1_000_000}
WORDS = {
    "condition": "invalid fuel level",
    "no_value": "the gauge has no value",
    "short": "not read",
    "unit": "units unknown",
    "not_a_number": "the gauge has no value",
}

Samples = Mapping[Key, Sample]


def no_reading(gauge: str, tank: int, doubt: str) -> TankReading:
    """The reading that says that there is none, and why."""
    return TankReading(gauge, tank, Quality.NO_READING, doubts=(doubt,))


def tank_reading(gauge: str, tank: int, map_: RegisterMap, samples: Samples, pace: Pace | None) -> TankReading:
    """One tank (numbered from 1) out of the values of a turn."""

    def of(role: Role) -> Sample:
        return value(map_, samples, role, tank) or Sample(reason="short")

    volume = of(Role.GROSS_VOLUME)
    status = value(map_, samples, Role.STATUS, tank)
    flags = frozenset() if status is None or status.reason else status.flags
    reading = TankReading(
        gauge,
        tank,
        Quality.NO_READING,
        volume_ml=_ml(volume),
        tc_volume_ml=_ml(of(Role.TC_VOLUME)),
        ullage_ml=_ml(of(Role.ULLAGE)),
        height_um=_of_unit(of(Role.HEIGHT), to_um),
        water_height_um=_of_unit(of(Role.WATER_HEIGHT), to_um),
        temperature_mdegc=_of_unit(of(Role.TEMPERATURE), to_mdegc),
        water_volume_ml=_ml(of(Role.WATER_VOLUME)),
        delivery_in_progress=_delivering(map_, status),
    )
    if reading.volume_ml is None:
        word = WORDS.get(volume.reason, "no volume")
        return replace(reading, invalid_level=volume.reason == "condition", doubts=_probe(flags) or (word,))
    found = doubts(reading, Tank(), pace)
    return replace(reading, quality=Quality.SUSPECT if found else Quality.GOOD, doubts=found)


def alarms(tank: int, map_: RegisterMap, samples: Samples) -> list[GaugeAlarm]:
    """The alarms that stand at one tank."""
    found: dict[int, str] = {}
    for role in (Role.STATUS, Role.ALARMS):
        sample = value(map_, samples, role, tank)
        if sample is not None and not sample.reason:
            found |= {ALARMS[flag]: flag.replace("_", " ") for flag in sorted(sample.flags) if flag in ALARMS}
    return [GaugeAlarm(TANK_ALARM, number, tank, text) for number, text in sorted(found.items())]


def tells_alarms(map_: RegisterMap) -> bool:
    """Whether the map names any alarm of a tank."""
    fields = map_.by_role(Role.STATUS) + map_.by_role(Role.ALARMS)
    return any(flag.name in ALARMS for field in fields for flag in field.flags)


def unit_system(map_: RegisterMap, samples: Samples, tank: int) -> int | None:
    """1 US, 2 metric, 3 Imperial, by the unit of the volume; ``None`` while it is not known."""
    sample = value(map_, samples, Role.GROSS_VOLUME, tank)
    return None if sample is None or sample.unit is None else SYSTEMS.get(sample.unit)


def step_ml(map_: RegisterMap, samples: Samples, tank: int) -> int:
    """How much one step of the gauge's own volume is: its rounding."""
    sample = value(map_, samples, Role.GROSS_VOLUME, tank)
    return 1 if sample is None or sample.unit is None else STEPS_ML.get(sample.unit, 1)


def value(map_: RegisterMap, samples: Samples, role: Role, tank: int) -> Sample | None:
    """The value with this role of one tank, or of the whole device; ``None`` where the map has no such field."""
    for field in map_.by_role(role):
        found = samples.get((field.name, tank - 1)) or samples.get((field.name, None))
        return found or Sample(reason="short")
    return None


def _ml(sample: Sample) -> int | None:
    if sample.reason or sample.value is None or sample.unit not in SYSTEMS:
        return None
    return to_ml(sample.value, sample.unit, Conversions())


def _of_unit(sample: Sample, convert: Callable[[Fraction, Unit | None], int | None]) -> int | None:
    return None if sample.reason or sample.value is None else convert(sample.value, sample.unit)


def _delivering(map_: RegisterMap, status: Sample | None) -> bool | None:
    known = any(flag.name == DELIVERY for field in map_.by_role(Role.STATUS) for flag in field.flags)
    return None if status is None or status.reason or not known else DELIVERY in status.flags


def _probe(flags: frozenset[str]) -> tuple[str, ...]:
    return ("probe out",) if any(ALARMS.get(flag) == ALARMS["probe_out"] for flag in flags) else ()
