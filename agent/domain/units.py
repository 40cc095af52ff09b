"""The one place that rounds: money, volume and price in integers.

``amount_minor`` minor currency units (exponent per currency), ``volume_ml`` millilitres, ``unit_price_milli`` 1/1000 of
the major unit per litre. No float enters or leaves.
"""

from __future__ import annotations

MILLI_LITRES_TIMES_MILLI_PRICE = 1_000_000
"""A volume in ml times a price in 1/1000 per litre counts millionths of the major unit."""


def half_up(numerator: int, denominator: int) -> int:
    """Return ``numerator / denominator`` rounded half away from zero; ``denominator`` must be positive."""
    assert denominator > 0
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def ceiling(numerator: int, denominator: int) -> int:
    """Return the smallest integer not below ``numerator / denominator``; ``denominator`` must be positive."""
    assert denominator > 0
    return -((-numerator) // denominator)


def amount_of(volume_ml: int, unit_price_milli: int, exponent: int) -> int:
    """Return volume times price in minor units, rounded half up. ``exponent``: CNY 2, JPY 0, KWD 3."""
    return half_up(volume_ml * unit_price_milli * 10**exponent, MILLI_LITRES_TIMES_MILLI_PRICE)


def amount_tolerance(unit_price_milli: int, volume_resolution_ml: int, exponent: int) -> int:
    """Return how far a device's amount may lie from volume times price: 1 minor unit and half a step, rounded up."""
    half_step = unit_price_milli * volume_resolution_ml * 10**exponent
    return 1 + ceiling(half_step, 2 * MILLI_LITRES_TIMES_MILLI_PRICE)


def amount_matches(
    amount_minor: int, volume_ml: int, unit_price_milli: int, volume_resolution_ml: int, exponent: int
) -> bool:
    """Return whether a device's amount agrees with volume times price within ``amount_tolerance``."""
    expected = amount_of(volume_ml, unit_price_milli, exponent)
    return abs(amount_minor - expected) <= amount_tolerance(unit_price_milli, volume_resolution_ml, exponent)
