"""Volume at a reference temperature: ASTM D1250-80 tables 54B, 6B and 53B, base 20 C, and the consoles' linear form.

Pure. Densities in g/m3, temperatures in thousandths of a degree Celsius, factors as integers in 1/100,000 (five
decimals, rounded once). Outside 600..1075 kg/m3 and -20..+60 C there is no factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from agent.domain.wetstock.strapping import half_even

FACTOR_UNITS = 100_000
DENSITY_G_M3 = range(600_000, 1_075_001)
TEMPERATURE_MDEGC = range(-20_000, 60_001)
SETTLED_G_M3 = 1e-4  # a ten-millionth of a kg/m3
MOST_ROUNDS = 60


class Reference(StrEnum):
    """The temperature that volumes are told at."""

    C15 = "15C"
    C20 = "20C"
    F60 = "60F"


class Method(StrEnum):
    """How a volume at the reference temperature came about. Volumes of different methods are never added."""

    CONSOLE = "console-linear"
    LINEAR = "linear"
    B54 = "54B"
    B6 = "6B"
    BASE20 = "20C"


@dataclass(frozen=True, slots=True)
class _Band:
    """``top``: densities below it belong here (``includes``: the top itself as well); the constants are the tables'."""

    top: float
    k0: float
    k1: float
    k2: float
    includes: bool = False


_BANDS_54B = (
    _Band(770.5, 346.4228, 0.4388, 0.0, includes=True),
    _Band(787.5, 2680.3206, 0.0, -0.00336312),
    _Band(838.5, 594.5418, 0.0, 0.0),
    _Band(math.inf, 186.9696, 0.4862, 0.0),
)
_BANDS_6B = (
    _Band(770.352, 192.4571, 0.2438, 0.0, includes=True),
    _Band(787.5195, 1489.0670, 0.0, -0.0018684),
    _Band(838.3127, 330.3010, 0.0, 0.0),
    _Band(math.inf, 103.8720, 0.2701, 0.0),
)


def factor(reference: Reference, density_g_m3: int, temperature_mdegc: int) -> int | None:
    """The factor in 1/100,000 from ``temperature_mdegc`` to the reference, ``None`` outside the tables.

    ``density_g_m3`` is the density at the reference temperature.
    """
    if density_g_m3 not in DENSITY_G_M3 or temperature_mdegc not in TEMPERATURE_MDEGC:
        return None
    rho, t = density_g_m3 / 1000, temperature_mdegc / 1000
    if reference is Reference.F60:
        return round(_vcf(_BANDS_6B, rho, t * 9 / 5 + 32 - 60) * FACTOR_UNITS)
    if reference is Reference.C15:
        return round(_vcf54b(rho, t) * FACTOR_UNITS)
    rho15 = _density_15(rho, 20.0)
    return round(_vcf54b(rho15, t) / _vcf54b(rho15, 20.0) * FACTOR_UNITS)


def density_15_g_m3(observed_g_m3: int, temperature_mdegc: int) -> int | None:
    """The density at 15 C of what has ``observed_g_m3`` at a temperature (table 53B); ``None`` outside the tables."""
    if observed_g_m3 not in DENSITY_G_M3 or temperature_mdegc not in TEMPERATURE_MDEGC:
        return None
    return round(_density_15(observed_g_m3 / 1000, temperature_mdegc / 1000) * 1000)


def mixed_density_g_m3(parts: list[tuple[int, int]]) -> int | None:
    """The density of a mixture by mass: ``parts`` are (volume_ml, density_g_m3) at one temperature."""
    volume = sum(volume_ml for volume_ml, _ in parts)
    return half_even(sum(volume_ml * density for volume_ml, density in parts), volume) if volume > 0 else None


def apply(volume_ml: int, factor_units: int) -> int:
    """The volume at the reference temperature, rounded half to even."""
    return half_even(volume_ml * factor_units, FACTOR_UNITS)


def linear(volume_ml: int, temperature_mdegc: int, coefficient_ppm: int, reference_mdegc: int) -> int:
    """As consoles do it: ``V (1 - c (T - Tref))``. ``coefficient_ppm``: millionths per degree Celsius."""
    change = Fraction(coefficient_ppm, 10**6) * Fraction(temperature_mdegc - reference_mdegc, 1000)
    exact = volume_ml * (1 - change)
    return half_even(exact.numerator, exact.denominator)


def _vcf54b(rho15: float, t: float) -> float:
    return _vcf(_BANDS_54B, rho15, t - 15.0)


def _vcf(bands: tuple[_Band, ...], rho: float, degrees: float) -> float:
    band = next(band for band in bands if rho < band.top or (band.includes and rho == band.top))
    alpha = band.k0 / (rho * rho) + band.k1 / rho + band.k2
    return math.exp(-alpha * degrees * (1 + 0.8 * alpha * degrees))


def _density_15(observed: float, t: float) -> float:
    rho = observed
    for _ in range(MOST_ROUNDS):
        before, rho = rho, observed / _vcf54b(rho, t)
        if abs(rho - before) < SETTLED_G_M3 / 1000:
            break
    return rho
