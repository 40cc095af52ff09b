"""What an offer did: verdicts counted, and fuellings of members who got it beside those of the hold-out group.

Pure: whole numbers in, whole numbers out; knows no table, no rule file and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from fractions import Fraction

from agent.domain.rules.verdict import Code
from agent.domain.units import half_up

NOT_ELIGIBLE = frozenset(
    {
        Code.NOT_MEMBER,
        Code.NOT_IN_AUDIENCE,
        Code.WRONG_GRADE,
        Code.WRONG_STATION,
        Code.OUTSIDE_WINDOW,
        Code.NOT_STARTED,
        Code.ENDED,
    }
)
"""Refusals by audience, place and time: the offer was not meant for that sale. Every other verdict is eligible."""

MIN_MEMBERS = 30
"""Of each group: below it one good customer decides the mean, and nothing is said."""

CHANCE = 4
"""Squared standard errors within which a difference counts as chance (two of them, about 95 in 100)."""


class Said(StrEnum):
    """What the numbers allow to say of a difference."""

    TOO_FEW = "TOO_FEW"
    WITHIN_CHANCE = "WITHIN_CHANCE"
    MORE = "MORE"
    LESS = "LESS"


@dataclass(slots=True)
class Group:
    """Sums over the members of one group and, for the spread, sums of the squares per member."""

    members: int = 0
    fuellings: int = 0
    net_minor: int = 0
    volume_ml: int = 0
    fuellings_squared: int = 0
    net_squared: int = 0
    volume_squared: int = 0

    def count(self, fuellings: int, net_minor: int, volume_ml: int) -> None:
        """Add one member with what they did in the whole period."""
        self.members += 1
        self.fuellings += fuellings
        self.net_minor += net_minor
        self.volume_ml += volume_ml
        self.fuellings_squared += fuellings * fuellings
        self.net_squared += net_minor * net_minor
        self.volume_squared += volume_ml * volume_ml

    def add(self, other: Group) -> None:
        """Add a group of other members."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclass(frozen=True, slots=True)
class Difference:
    """Means per member, half up (``None`` for an empty group), their difference in basis points, what may be said."""

    treated: int | None
    held_out: int | None
    difference_bp: int | None
    said: Said


def difference(treated: tuple[int, int, int], held_out: tuple[int, int, int]) -> Difference:
    """Compare two groups, each (members, sum, sum of squares): exact, so the same sales say the same everywhere."""
    means = tuple(None if n == 0 else Fraction(total, n) for n, total, _ in (treated, held_out))
    rounded = tuple(None if mean is None else half_up(mean.numerator, mean.denominator) for mean in means)
    of_treated, of_held = means
    share = None
    if of_treated is not None and of_held:
        ratio = (of_treated - of_held) / of_held * 10_000
        share = _signed_half_up(ratio)
    return Difference(rounded[0], rounded[1], share, _said(treated, held_out))


def _signed_half_up(value: Fraction) -> int:
    size = half_up(abs(value.numerator), value.denominator)
    return -size if value < 0 else size


def _said(treated: tuple[int, int, int], held_out: tuple[int, int, int]) -> Said:
    if min(treated[0], held_out[0]) < MIN_MEMBERS:
        return Said.TOO_FEW
    gap = Fraction(treated[1], treated[0]) - Fraction(held_out[1], held_out[0])
    spread = sum((_variance(*group) / group[0] for group in (treated, held_out)), Fraction(0))
    if gap * gap <= CHANCE * spread:
        return Said.WITHIN_CHANCE
    return Said.MORE if gap > 0 else Said.LESS


def _variance(members: int, total: int, squares: int) -> Fraction:
    """Return the variance of the sample; at least two members."""
    return (squares - Fraction(total * total, members)) / (members - 1)


@dataclass(frozen=True, slots=True)
class Effect:
    """Fuellings, net spend and litres per member: those who may get the offer beside the hold-out group."""

    fuellings: Difference
    net: Difference
    volume: Difference


def effect(treated: Group, held_out: Group) -> Effect:
    """Return what an offer changed. Means are per member: hundredths of a fuelling, minor units, millilitres."""
    hundredfold = (
        (group.members, 100 * group.fuellings, 10_000 * group.fuellings_squared) for group in (treated, held_out)
    )
    money = ((group.members, group.net_minor, group.net_squared) for group in (treated, held_out))
    litres = ((group.members, group.volume_ml, group.volume_squared) for group in (treated, held_out))
    return Effect(difference(*hundredfold), difference(*money), difference(*litres))


def side(bucket: int, shares_bp: tuple[int, ...]) -> bool | None:
    """Return whether a member was held out under every share in force, ``None`` where the shares disagree.

    ``bucket``: the member's 0..9999 for the offer; ``shares_bp``: the share of each rule version of the period.
    """
    held = {bucket < share for share in shares_bp}
    return held.pop() if len(held) == 1 else None
