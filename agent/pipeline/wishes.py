"""What a customer asks for at the till, beside paying. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass

MAX_COUPONS = 8
"""Coupons of one sale: each has a verdict on the receipt, and the settled record must stay below its size limit."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the customer asks for: coupons as tokens or known codes, points to pay with (``None``: none).

    ``accept``: the person has told the customer what is refused, and goes on without it.
    """

    coupons: tuple[str, ...] = ()
    points: int | None = None
    accept: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for."""
        return not self.coupons and self.points is None


NOTHING = Wish()
