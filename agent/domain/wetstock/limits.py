"""The limits of a tank's alerts: defaults from its capacity, filled by the gauge, overruled by the station file.

Integers only: ml, um of water, mdegC. Knows no reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from agent.domain.units import half_up


@dataclass(frozen=True, slots=True)
class TankLimits:
    """Where each alert stands. ``unpumpable_ml`` None: the heel is unknown, that alert is not judged."""

    maximum_product_ml: int
    high_product_ml: int
    overfill_ml: int
    delivery_needed_ml: int
    low_product_ml: int
    unpumpable_ml: int | None
    water_warning_um: int
    water_alarm_um: int
    high_temperature_mdegc: int
    low_temperature_mdegc: int
    deadband_ml: int
    deadband_water_um: int
    deadband_temperature_mdegc: int


_SHARES = {
    "maximum_product_ml": 97,
    "high_product_ml": 95,
    "overfill_ml": 90,
    "delivery_needed_ml": 20,
    "low_product_ml": 10,
    "deadband_ml": 1,
}
"""Percent of capacity. The deadband is ours: consoles do not publish theirs."""

_FIXED = {
    "water_warning_um": 25_000,
    "water_alarm_um": 50_000,
    "high_temperature_mdegc": 45_000,
    "low_temperature_mdegc": -20_000,
    "deadband_water_um": 3_000,
    "deadband_temperature_mdegc": 2_000,
}

_DESCENDING = (
    ("maximum_product_ml", "high_product_ml"),
    ("high_product_ml", "overfill_ml"),
    ("overfill_ml", "delivery_needed_ml"),
    ("delivery_needed_ml", "low_product_ml"),
    ("low_product_ml", "unpumpable_ml"),
    ("water_alarm_um", "water_warning_um"),
    ("high_temperature_mdegc", "low_temperature_mdegc"),
)


def tank_limits(
    capacity_ml: int,
    *,
    heel_ml: int | None = None,
    gauge: Mapping[str, int] | None = None,
    overrides: Mapping[str, int] | None = None,
) -> tuple[TankLimits | None, list[str]]:
    """Return the limits of a tank and every problem; with problems the limits are ``None``.

    ``overrides`` (a person's word) come before ``gauge`` (limits read from the console), those before the defaults.
    ``heel_ml``: what the pump cannot reach. Keys are the field names of TankLimits.
    """
    if capacity_ml <= 0:
        return None, [f"tank capacity must be above 0 ml, it is {capacity_ml}"]
    named = {entry.name for entry in fields(TankLimits)}
    values: dict[str, int | None] = {name: half_up(capacity_ml * share, 100) for name, share in _SHARES.items()}
    values.update(_FIXED)
    values["unpumpable_ml"] = heel_ml
    problems: list[str] = []
    for source, given in (("gauge", gauge or {}), ("station file", overrides or {})):
        for name, value in given.items():
            if name not in named:
                problems.append(f"tank limit {name!r} ({source}) is unknown; use one of {', '.join(sorted(named))}")
            elif type(value) is not int:
                problems.append(f"tank limit {name} ({source}) must be a whole number, it is {value!r}")
            else:
                values[name] = value
    problems += _problems(values, capacity_ml)
    if problems:
        return None, problems
    return _built(values), []


def _built(values: Mapping[str, int | None]) -> TankLimits:
    known = {name: value for name, value in values.items() if value is not None and name != "unpumpable_ml"}
    return TankLimits(unpumpable_ml=values["unpumpable_ml"], **known)


def _problems(values: Mapping[str, int | None], capacity_ml: int) -> list[str]:
    problems = [
        f"tank limit {name} is {value}; it must lie between 0 and the capacity of {capacity_ml} ml"
        for name, value in values.items()
        if name.endswith("_ml") and value is not None and not 0 <= value <= capacity_ml
    ]
    problems += [
        f"tank limit {name} is {value}; a deadband must be above 0"
        for name, value in values.items()
        if name.startswith("deadband") and value is not None and value <= 0
    ]
    for above, below in _DESCENDING:
        upper, lower = values[above], values[below]
        if upper is not None and lower is not None and not upper > lower:
            problems.append(f"tank limit {above} ({upper}) must be above {below} ({lower})")
    return problems
