"""Check digits of numeric card numbers: Luhn (ISO/IEC 7812), Damm and Verhoeff.

Knows digits only: no layout, no member. A check digit guards against typing mistakes; it proves nothing about a card.
"""

from __future__ import annotations

_DAMM = (
    (0, 3, 1, 7, 5, 9, 8, 6, 4, 2),
    (7, 0, 9, 2, 1, 5, 4, 8, 6, 3),
    (4, 2, 0, 6, 8, 7, 1, 3, 5, 9),
    (1, 7, 5, 0, 9, 8, 3, 4, 2, 6),
    (6, 1, 2, 3, 0, 4, 5, 9, 7, 8),
    (3, 6, 7, 4, 2, 0, 9, 5, 8, 1),
    (5, 8, 6, 9, 7, 2, 0, 1, 3, 4),
    (8, 9, 4, 5, 3, 6, 2, 0, 1, 7),
    (9, 4, 3, 8, 6, 1, 7, 2, 0, 5),
    (2, 5, 8, 1, 4, 3, 6, 7, 9, 0),
)
_DIHEDRAL = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PERMUTED = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def luhn_holds(digits: str) -> bool:
    """Return whether ASCII ``digits``, check digit last, pass Luhn. It misses 09 <-> 90."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2 == 1:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def luhn_digit(digits: str) -> str:
    """Return the Luhn check digit that belongs after ASCII ``digits``."""
    return next(check for check in "0123456789" if luhn_holds(digits + check))


def damm_holds(digits: str) -> bool:
    """Return whether ASCII ``digits``, check digit last, pass Damm (Damm 2004); it sees every adjacent swap."""
    interim = 0
    for digit in digits:
        interim = _DAMM[interim][int(digit)]
    return interim == 0


def verhoeff_holds(digits: str) -> bool:
    """Return whether ASCII ``digits``, check digit last, pass Verhoeff (1969); it sees every adjacent swap."""
    interim = 0
    for place, digit in enumerate(reversed(digits)):
        interim = _DIHEDRAL[interim][_PERMUTED[place % 8][int(digit)]]
    return interim == 0
