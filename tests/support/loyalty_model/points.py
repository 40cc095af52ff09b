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
    """Points of one origin; ``usable_ms``: ``None`` while held for review, ``ends``: last day, ``None`` for never.

    ``ended``: points that head office has ended.
    """

    name: str
    points: int
    earned_ms: int
    usable_ms: int | None
    ends: date | None
    ended: int = 0

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
    repaid a debt. ``refunded``: of the net so far. Of earlier refunds: ``took`` from each lot, ``reopened`` and
    ``owed`` as debt, ``settled_debt``: of it repaid since, ``ended``: lawfully gone already, ``lost``: what the program gave up.
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
    took: Counter[str] = field(default_factory=Counter)
    reopened: int = 0
    owed: int = 0
    settled_debt: int = 0
    ended: int = 0
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
        spent: list[str] = []
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
        """Take back a part of the net: spent points return, then the whole reversal so far is done once more.

        What earlier parts took, opened and gave up is undone first, as far as it can be: what a lot that has ended
        since gave, and a debt that was repaid since, stay as they are.
        """
        before, sale.refunded = sale.refunded, sale.refunded + amount
        due = _due(sale, sale.refunded)
        fresh, sale.is_reversed = not sale.is_reversed, True
        self._return_spent(sale, 0 if fresh else before, now_ms, today)
        self.accounts["program:issued"] += due - (0 if fresh else _due(sale, before))
        sources = self._sources(sale, now_ms, today)
        left = due - self._undo(sale, sources)
        reopened, sale.reopened = sale.reopened, max(0, due - (sale.earned + sale.bonus - sale.repaid))
        left -= sale.reopened
        own = self.lots.get(sale.name)
        gone = 0 if own is None else own.ended + (0 if own.live(today) else own.points)
        sale.ended = min(left, gone)
        left -= sale.ended
        for lot in sources:
            while lot.points and left:
                lot.points -= 1
                left -= 1
                sale.took[lot.name] += 1
                self.accounts[lot.account] -= 1
        sale.owed, sale.lost = (left, 0) if self.policy == "UNLIMITED" else (0, left)
        self.accounts["member:debt"] -= sale.reopened - reopened + sale.owed
        self.accounts["program:adjusted"] -= sale.lost
        self.accounts["program:expired"] -= sale.ended

    def _undo(self, sale: Bought, sources: list[Lot]) -> int:
        """Undo what earlier refunds of a sale took; returns the points that stay taken back."""
        for lot in sources:
            back, sale.took[lot.name] = sale.took[lot.name], 0
            lot.points += back
            self.accounts[lot.account] += back
        owed = min(sale.owed, self.debt)
        self.accounts["member:debt"] += owed
        self.accounts["program:adjusted"] += sale.lost
        self.accounts["program:expired"] += sale.ended
        sale.settled_debt += sale.owed - owed
        return sum(sale.took.values()) + sale.settled_debt

    def _sources(self, sale: Bought, now_ms: int, today: date) -> list[Lot]:
        """The lots that may give earned points back: the sale's own, then the others as they would be spent."""
        live = [lot for lot in self.lots.values() if lot.live(today)]
        own = [lot for lot in live if lot.name == sale.name]
        if self.policy == "ONLY_PENDING":
            return [lot for lot in own if lot.waits(now_ms)]
        return own + self.in_order([lot for lot in live if lot.name != sale.name])

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

    def expire(self, today: date) -> None:
        """End every lot whose last day has passed."""
        for lot in self.lots.values():
            if not lot.live(today):
                self.accounts[lot.account] -= lot.points
                self.accounts["program:expired"] += lot.points
                lot.ended += lot.points
                lot.points = 0

    def shown(self) -> dict[str, tuple[int, date | None]]:
        """Lots that hold something, with their last day."""
        return {name: (lot.points, lot.ends) for name, lot in self.lots.items() if lot.points}


def _due(sale: Bought, refunded: int) -> int:
    """Earned points to be taken back once so much of the net is refunded; bonuses come back on the full refund."""
    if refunded == sale.net:
        return sale.earned + sale.bonus
    return sale.earned - sale.kept(sale.net - refunded)
