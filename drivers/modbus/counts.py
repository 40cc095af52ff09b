"""A totalizer field as the count the agent keeps: whole units of whole millilitres, and where it turns over.

Pure and exact. A count whose unit is no whole number of millilitres (pulses, kilograms) is told in millilitres, cut off
once: the differences of such counts never drift, because each end is the next start.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from drivers.errors import WiringError
from drivers.modbus.model import Field, RegisterMap, Role
from drivers.modbus.units import ml_per
from drivers.modbus.values import Sample

NEVER_TURNS = 10**15
"""Modulus of a counter that is not known to turn over: a lower count is then a meter that was reset."""


@dataclass(frozen=True, slots=True)
class Count:
    """How the raw counts of one field become the agent's. ``unit_ml`` is of what ``raw`` returns."""

    field: str
    unit_ml: int
    modulus: int
    factor: Fraction | None = None

    def raw(self, sample: Sample) -> int | None:
        """The agent's count of ``sample``; ``None`` where it is no value or lies outside the counter."""
        if sample.reason or sample.raw is None or sample.raw < 0:
            return None
        count = sample.raw if self.factor is None else int(sample.raw * self.factor)
        return count if count < self.modulus else None


def totalizer(map_: RegisterMap) -> Count | None:
    """How to read the totalizer of ``map_``, if it has one. Raises ``WiringError`` when it is no volume."""
    fields = map_.by_role(Role.TOTALIZER)
    if not fields:
        return None
    field = fields[0]
    unit = ml_per(field.unit, map_.conversions)
    if unit is None:
        raise WiringError(
            f"map {map_.id}: the totalizer {field.name} is no volume",
            hint="give the station value that makes it one (density_kg_m3, k_factor), or another map",
        )
    one = step(field) * unit
    modulus = NEVER_TURNS if field.modulus is None else field.modulus
    if one.denominator == 1:
        return Count(field.name, one.numerator, modulus)
    return Count(field.name, 1, -int(-modulus * one // 1), one)


def amount_modulus(field: Field) -> int:
    """Where an amount total in minor units turns over."""
    return NEVER_TURNS if field.modulus is None else field.modulus


def step(field: Field) -> Fraction:
    """What one raw count is in the field's unit: of a float its resolution."""
    return field.resolution if field.type.is_float and field.resolution is not None else field.scale
