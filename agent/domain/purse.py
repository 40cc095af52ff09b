"""One member's points at an instant: what may be spent, what waits and until when, what ends soon, and why not more.

Pure: lots and rules in, whole points out. Knows no table and no screen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from agent.domain.ledger import Lot, usable_points
from agent.domain.rules.model import Kind, RuleSet

SOON_DAYS = (30, 60, 90)
"""Within how many days from today, today included, points are told to end."""


class Why(StrEnum):
    """Why points of a member cannot be spent on a sale now."""

    HELD = "HELD"
    WAITING = "WAITING"
    ENDED = "ENDED"
    DEBT = "DEBT"
    MANY_LOTS = "MANY_LOTS"
    QUOTED = "QUOTED"
    NO_LEASE = "NO_LEASE"
    LEASE_SPENT = "LEASE_SPENT"
    NOT_OFFERED = "NOT_OFFERED"
    MINIMUM = "MINIMUM"
    STEP = "STEP"


@dataclass(frozen=True, slots=True)
class Kept:
    """``points`` that cannot be spent now, and why. ``until_ms``: when that ends, ``None`` where no date ends it."""

    why: Why
    points: int
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Points by what may be done with them; ``usable + waiting + held + ended - debt`` is the balance.

    ``spendable``: on one sale now. ``soon``: points that end within so many days.
    """

    usable: int
    waiting: int
    held: int
    ended: int
    debt: int
    spendable: int
    kept: tuple[Kept, ...]
    soon: tuple[tuple[int, int], ...]

    @property
    def balance(self) -> int:
        """Everything the member has, debts taken off."""
        return self.usable + self.waiting + self.held + self.ended - self.debt


@dataclass(frozen=True, slots=True)
class Leave:
    """What this station may spend for the member: ``points`` of live leases, ``None`` where it holds none.

    ``quoted``: points that quotes of unpaid sales hold already; the leases' part of them is off ``points``.
    """

    points: int | None
    quoted: int = 0


def standing(
    lots: Iterable[Lot], debt: int, leave: Leave, rules: RuleSet | None, *, now_ms: int, today: date
) -> Standing:
    """Return how a member stands. ``debt``: points owed, 0 or more; ``rules``: in force, ``None`` before the first."""
    live = [lot for lot in lots if lot.points > 0]
    ended = [lot for lot in live if lot.expired(today)]
    held = [lot for lot in live if lot.usable_from_ms is None and lot not in ended]
    waiting = [lot for lot in live if lot.pending(now_ms) and lot not in ended and lot not in held]
    usable = sum(lot.points for lot in live if lot.usable(now_ms, today))
    kept = [Kept(Why.HELD, _sum(held))]
    kept += [Kept(Why.WAITING, lot.points, lot.usable_from_ms) for lot in sorted(waiting, key=_from)]
    kept += [Kept(Why.ENDED, _sum(ended)), Kept(Why.DEBT, debt)]
    reach = usable_points(live, now_ms, today)
    kept.append(Kept(Why.MANY_LOTS, usable - reach))
    spendable, more = _spendable(reach, leave, rules)
    return Standing(
        usable=usable,
        waiting=_sum(waiting),
        held=_sum(held),
        ended=_sum(ended),
        debt=debt,
        spendable=spendable,
        kept=tuple(item for item in (*kept, *more) if item.points > 0),
        soon=tuple((days, _ending(live, today, days)) for days in SOON_DAYS),
    )


def _sum(lots: Iterable[Lot]) -> int:
    return sum(lot.points for lot in lots)


def _from(lot: Lot) -> tuple[int, str]:
    return lot.usable_from_ms or 0, lot.id


def _ending(lots: Iterable[Lot], today: date, days: int) -> int:
    last = today + timedelta(days=days)
    return _sum(lot for lot in lots if lot.expires_on is not None and today <= lot.expires_on <= last)


def _spendable(usable: int, leave: Leave, rules: RuleSet | None) -> tuple[int, list[Kept]]:
    """Return what one sale may take of usable points, and what stops the rest, in the order it is asked."""
    if rules is None or not any(offer.kind is Kind.POINTS_AS_MONEY for offer in rules.offers):
        return 0, [Kept(Why.NOT_OFFERED, usable)]
    quoted = min(usable, leave.quoted)
    free = usable - quoted
    if leave.points is None:
        return 0, [Kept(Why.QUOTED, quoted), Kept(Why.NO_LEASE, free)]
    granted = min(free, max(0, leave.points))
    kept = [Kept(Why.QUOTED, quoted), Kept(Why.LEASE_SPENT, free - granted)]
    steps = granted - granted % rules.program.step_points
    if steps < rules.program.min_points:
        return 0, [*kept, Kept(Why.MINIMUM, granted)]
    return steps, [*kept, Kept(Why.STEP, granted - steps)]
