"""Exact numbers of the model: the two ways of rounding, and spreading an amount over lines. Knows no offer."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

BP = 10_000
PCT = 100


def half_up(value: Fraction) -> int:
    """Nearest integer of a value from 0 on, halves up."""
    return (value + Fraction(1, 2)).__floor__()


def whole(value: Fraction) -> int:
    """The integer part of a value from 0 on."""
    return value.__floor__()


def largest_remainder(amount: int, weights: Sequence[Fraction]) -> list[int]:
    """``amount`` in whole units by weight: equal remainders to the earlier place, all-zero weights share equally."""
    total = sum(weights, Fraction(0))
    exact = [Fraction(amount) * (weight / total if total else Fraction(1, len(weights))) for weight in weights]
    parts = [whole(share) for share in exact]
    while sum(parts) < amount:
        place = max(range(len(parts)), key=lambda index: (exact[index] - parts[index], -index))
        parts[place] += 1
    return parts


def money_of(volume_ml: int, price_milli: int, exponent: int) -> Fraction:
    """Exact price of a volume in minor units."""
    return Fraction(volume_ml * price_milli * 10**exponent, 1_000_000)
