"""One member's points in the model: lots, debt and the program's accounts, moved one point at a time where that is
plainer. Knows no rule: what a sale earns comes as a function of its net.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

MOST_LOTS = 64
"""Lots one sale may be paid from."""


@dataclass
class Lot:
    """Points of one origin; ``usable_ms``: ``None`` while held for review, ``ends``: last day, ``None`` for never."""

    name: str
    points: int
    earned_ms: int
    usable_ms: int | None
    ends: date | None

    def live(self, today: date) -> bool:
        """Whether the last day has not passed."""
        return self.ends is None or self.ends >= today

    def waits(self, now_ms: int) -> bool:
        """Whether the points may not be spent yet."""
        return self.usable_ms is None or self.usable_ms > now_ms

    @property
    def account(self) -> str:
        """The account it stands in."""
        return "member:pending" if self.usable_ms is None else "member:available"


@dataclass
class Bought:
    """What a refund must know of a settled sale. ``kept(net)``: the points its EARN rules give on a smaller net.

    ``spent``: the lot of every single point it was paid with, in the order of use. ``repaid``: earned points that
    repaid a debt. ``refunded``: of the net so far. ``owed`` and ``lost``: what earlier refunds could not take from
    lots, as debt and as points the program gave up.
    """

    name: str
    net: int
    earned: int
    bonus: int
    kept: Callable[[int], int]
    spent: list[str]
    repaid: int
    refunded: int = 0
    is_reversed: bool = False
    owed: int = 0
    lost: int = 0


@dataclass
class Purse:
    """The points of a member."""

    policy: str
    grace_days: int
    lots: dict[str, Lot] = field(default_factory=dict)
    accounts: Counter[str] = field(default_factory=Counter)

    @property
    def debt(self) -> int:
        """Points owed, 0 or more."""
        return -self.accounts["member:debt"]

    def in_order(self, lots: list[Lot]) -> list[Lot]:
        """Earliest end first, then earliest earned, then by name; lots that never end come last."""
        return sorted(lots, key=lambda lot: (lot.ends is None, lot.ends or date.min, lot.earned_ms, lot.name))

    def spendable(self, now_ms: int, today: date) -> list[Lot]:
        """Lots a sale may be paid from now."""
        usable = [lot for lot in self.lots.values() if lot.points and lot.live(today) and not lot.waits(now_ms)]
        return self.in_order(usable)[:MOST_LOTS]

    def buy(
        self, name: str, net: int, kept: Callable[[int], int], bonus: int, pay: int, lot: Lot, now_ms: int, today: date
    ) -> Bought:
        """Settle a sale: ``pay`` points are burnt, then the earned ones repay a debt and fill ``lot``."""
        spent = []
        for source in self.spendable(now_ms, today):
            while source.points and len(spent) < pay:
                source.points -= 1
                spent.append(source.name)
        assert len(spent) == pay, "more points asked than the lots hold"
        self.accounts["member:available"] -= pay
        self.accounts["program:redeemed"] += pay
        earned = kept(net)
        repaid = min(self.debt, earned + bonus)
        lot.points = earned + bonus - repaid
        if earned + bonus:
            self.lots[lot.name] = lot
        self.accounts["program:issued"] -= earned + bonus
        self.accounts["member:debt"] += repaid
        self.accounts[lot.account] += lot.points
        return Bought(name, net, earned, bonus, kept, spent, repaid)

    def refund(self, sale: Bought, amount: int, now_ms: int, today: date) -> None:
        """Take back a part of the net: spent points return first, then earned ones are reversed."""
        before, sale.refunded = sale.refunded, sale.refunded + amount
        fresh, sale.is_reversed = not sale.is_reversed, True
        self._return_spent(sale, 0 if fresh else before, now_ms, today)
        due = _due(sale, sale.refunded) - (0 if fresh else _due(sale, before))
        own = sale.earned + sale.bonus - sale.repaid
        reopened = max(0, _due(sale, sale.refunded) - own) - (0 if fresh else max(0, _due(sale, before) - own))
        self.accounts["program:issued"] += due
        self.accounts["member:debt"] -= reopened
        forgiven = min(sale.owed, self.debt - reopened)  # of the debt of earlier refunds, what is still owed
        want = due - reopened + forgiven + sale.lost
        rest = want - self._take(sale, want, now_ms, today)
        self.accounts["member:debt"] += forgiven
        self.accounts["program:adjusted"] += sale.lost
        sale.owed = sale.lost = 0
        if self.policy == "UNLIMITED":
            sale.owed = rest
            self.accounts["member:debt"] -= rest
        else:
            sale.lost = rest
            self.accounts["program:adjusted"] -= rest

    def _return_spent(self, sale: Bought, before: int, now_ms: int, today: date) -> None:
        whole = len(sale.spent)
        done, now = (whole * part // sale.net if sale.net else whole for part in (before, sale.refunded))
        done = 0 if not before else done
        for name in list(reversed(sale.spent))[done:now]:
            home = self.lots[name]
            if not home.live(today):
                last = today + timedelta(days=self.grace_days)
                returned = f"{name.split('/')[0]}/{last:%Y%m%d}"
                home = self.lots.setdefault(returned, Lot(returned, 0, home.earned_ms, now_ms, last))
            home.points += 1
            self.accounts[home.account] += 1
            self.accounts["program:redeemed"] -= 1

    def _take(self, sale: Bought, points: int, now_ms: int, today: date) -> int:
        """Take up to so many points out of lots as the policy allows; returns how many."""
        own = [lot for lot in self.lots.values() if lot.name == sale.name]
        others = [] if self.policy == "ONLY_PENDING" else [lot for lot in self.lots.values() if lot.name != sale.name]
        if self.policy == "ONLY_PENDING":
            own = [lot for lot in own if lot.waits(now_ms)]
        taken = 0
        for lot in [*own, *self.in_order(others)]:
            while lot.live(today) and lot.points and taken < points:
                lot.points -= 1
                taken += 1
                self.accounts[lot.account] -= 1
        return taken

    def expire(self, today: date) -> None:
        """End every lot whose last day has passed."""
        for lot in self.lots.values():
            if not lot.live(today):
                self.accounts[lot.account] -= lot.points
                self.accounts["program:expired"] += lot.points
                lot.points = 0

    def shown(self) -> dict[str, tuple[int, date | None]]:
        """Lots that hold something, with their last day."""
        return {name: (lot.points, lot.ends) for name, lot in self.lots.items() if lot.points}


def _due(sale: Bought, refunded: int) -> int:
    """Earned points to be taken back once so much of the net is refunded; bonuses come back on the full refund."""
    if refunded == sale.net:
        return sale.earned + sale.bonus
    return sale.earned - sale.kept(sale.net - refunded)
