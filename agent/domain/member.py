"""What the engine may know of a member: opaque id, tier, growth, tags, birthday, visits and use counts.

Knows no name, no phone number, no card, no table and no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

AUTH_STRENGTH = {"sun": 3, "fm1_dynamic": 3, "fm1_printed": 2, "number": 1, "phone": 1, "uid": 1, "plate": 0}
"""Order of strength of the auth levels; equal numbers are equally strong."""

REDEEM_STRENGTH = 3
"""Points and coupons are spent only at this strength: a copied code or a told number earns, it never pays."""

_MEMBER = re.compile(r"[0-9a-f]{16}")
_BIRTHDAY = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")


class MemberFactsError(ValueError):
    """Facts about a member that cannot be: the caller read them from a damaged or foreign source."""


class UseWindow(StrEnum):
    """The span in which uses of an offer are counted, in local calendar days of the station's zone."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    LIFE = "LIFE"


def period_of(window: UseWindow, day: date) -> str:
    """Return the key of the period ``day`` lies in: ``2026-03-06``, ``2026-W10`` (from Monday), ``2026-03`` or
    ``life``.
    """
    if window is UseWindow.DAY:
        return day.isoformat()
    if window is UseWindow.WEEK:
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02d}"
    if window is UseWindow.MONTH:
        return f"{day.year:04d}-{day.month:02d}"
    return "life"


@dataclass(frozen=True, slots=True)
class UseCount:
    """How often and how much an offer gave in one period.

    ``amount`` is minor units for a discount and points for a points offer. As a member of an evaluation it is what to
    add.
    """

    offer: str
    window: UseWindow
    period: str
    uses: int
    amount: int


def used_in(counts: tuple[UseCount, ...], offer: str, window: UseWindow, day: date) -> tuple[int, int]:
    """Return ``(uses, amount)`` of an offer in the period ``day`` lies in; ``(0, 0)`` where nothing was counted."""
    period = period_of(window, day)
    found = [count for count in counts if (count.offer, count.window, count.period) == (offer, window, period)]
    return sum(count.uses for count in found), sum(count.amount for count in found)


@dataclass(frozen=True, slots=True)
class MemberFacts:
    """A member as the station's cache knows them at the quote.

    ``member``: 16 lower-case hex digits. ``tier``: id of a tier or ``None``. ``growth``: in the unit of the program's
    growth base.
    ``birthday_md``: ``MM-DD`` or ``None``. ``visits``: before this sale, ``None`` when unknown. ``first_fill_used``:
    head office
    marked the member as used; an offer's own use is in ``uses``. Raises MemberFactsError.
    """

    member: str
    tier: str | None = None
    growth: int | None = None
    tags: frozenset[str] = frozenset()
    birthday_md: str | None = None
    visits: int | None = None
    first_fill_used: bool = False
    flags: frozenset[str] = frozenset()
    mask: str | None = None
    uses: tuple[UseCount, ...] = ()

    def __post_init__(self) -> None:
        if not _MEMBER.fullmatch(self.member):
            raise MemberFactsError(f"not a member id of 16 lower-case hex digits: {self.member!r}")
        if self.birthday_md is not None and not _BIRTHDAY.fullmatch(self.birthday_md):
            raise MemberFactsError(f"not a birthday of the form MM-DD: {self.birthday_md!r}")

    def has_birthday(self, day: date) -> bool:
        """Return whether ``day`` is the birthday; 29 February counts on 28 February in years that have none."""
        if self.birthday_md is None:
            return False
        if self.birthday_md == "02-29" and (day + timedelta(days=1)).month == 3:
            return day.month == 2
        return f"{day.month:02d}-{day.day:02d}" == self.birthday_md

    def first_fill(self, offer: str) -> bool:
        """Return whether ``offer`` was never applied for this member and head office has not marked them as used."""
        return not self.first_fill_used and not any(count.offer == offer and count.uses > 0 for count in self.uses)
