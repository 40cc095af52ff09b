"""Units of registers to the integers of the house, exactly and rounded once, half to even; counters and their turns.

Volume millilitres, height micrometres, temperature thousandths of a degree Celsius, density and percent thousandths,
money minor units. Knows no register. A kilogram or a pulse is a volume only with what the station knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from drivers.modbus.model import Conversions, Unit

ML_PER_UNIT: Mapping[Unit, Fraction] = {
    Unit.ML: Fraction(1),
    Unit.L: Fraction(1000),
    Unit.M3: Fraction(1_000_000),
    Unit.GAL: Fraction("3785.411784"),
    Unit.IGAL: Fraction("4546.09"),
}
UM_PER_UNIT: Mapping[Unit, Fraction] = {Unit.MM: Fraction(1000), Unit.IN: Fraction(25400)}
TEMPERATURES = frozenset({Unit.MDEGC, Unit.DEGC, Unit.DEGF})
FLOWS = frozenset({Unit.L_MIN, Unit.KG_MIN, Unit.M3_H})
NEEDS: Mapping[Unit, str] = {Unit.KG: "density_kg_m3", Unit.KG_MIN: "density_kg_m3", Unit.PULSE: "k_factor"}
"""What the station must know before such a unit is a volume."""


def ml_per(unit: Unit | None, conversions: Conversions) -> Fraction | None:
    """Millilitres of one ``unit``; ``None`` for what is no volume or lacks its conversion."""
    if unit is Unit.PULSE:
        return None if conversions.k_factor is None else 1000 / conversions.k_factor
    if unit is Unit.KG:
        return None if conversions.density_kg_m3 is None else 1_000_000 / conversions.density_kg_m3
    return ML_PER_UNIT.get(unit) if unit is not None else None


def to_ml(value: Fraction, unit: Unit | None, conversions: Conversions) -> int | None:
    """A volume in millilitres."""
    factor = ml_per(unit, conversions)
    return None if factor is None else round(value * factor)


def to_um(value: Fraction, unit: Unit | None) -> int | None:
    """A height in micrometres."""
    factor = UM_PER_UNIT.get(unit) if unit is not None else None
    return None if factor is None else round(value * factor)


def to_mdegc(value: Fraction, unit: Unit | None) -> int | None:
    """A temperature in thousandths of a degree Celsius."""
    match unit:
        case Unit.MDEGC:
            return round(value)
        case Unit.DEGC:
            return round(value * 1000)
        case Unit.DEGF:
            return round((value - 32) * 5000 / 9)
        case _:
            return None


def to_thousandths(value: Fraction, unit: Unit | None) -> int | None:
    """A density in thousandths of kg per cubic metre, a percentage in thousandths of a percent."""
    return round(value * 1000) if unit in {Unit.KG_M3, Unit.PERCENT} else None


def to_minor(value: Fraction, unit: Unit | None) -> int | None:
    """An amount in minor units; ``None`` where it is not a whole number of them: money is not rounded here."""
    return value.numerator if unit is Unit.MINOR and value.denominator == 1 else None


def to_price_milli(value: Fraction) -> int | None:
    """A unit price (major units per litre) in thousandths; ``None`` where it is finer than that."""
    scaled = value * 1000
    return scaled.numerator if scaled.denominator == 1 else None


def to_ml_min(value: Fraction, unit: Unit | None, conversions: Conversions) -> int | None:
    """A flow in millilitres per minute."""
    if unit is Unit.KG_MIN:
        return to_ml(value, Unit.KG, conversions)
    factor = {Unit.L_MIN: Fraction(1000), Unit.M3_H: Fraction(1_000_000, 60)}.get(unit) if unit is not None else None
    return None if factor is None else round(value * factor)


def delta(start: int, end: int, modulus: int | None, max_delta: int | None) -> int | None:
    """Counts from ``start`` to ``end`` across a turn of the counter; ``None`` is METER_RESET: no turn explains it.

    Equal counts are nothing, never a full turn. Without ``max_delta`` half a turn is the most that is believed: a count
    that went back would otherwise look like almost a full turn. A counter without ``modulus`` never turns.
    """
    moved = end - start if modulus is None else (end - start) % modulus
    most = modulus // 2 if max_delta is None and modulus is not None else max_delta
    return None if moved < 0 or (most is not None and moved > most) else moved


def volume_of_counts(counts: int, scale: Fraction, unit: Unit | None, conversions: Conversions) -> int | None:
    """Millilitres of a difference of raw counts, rounded once: never the difference of two rounded volumes."""
    return to_ml(counts * scale, unit, conversions)
