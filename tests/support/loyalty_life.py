"""One member's random life, lived by the ledger and by the model at once and compared after every step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import event

from agent.domain.ledger import (
    Account,
    Entry,
    Lot,
    Posting,
    Refund,
    SettledPoints,
    apply_to_lots,
    balances,
    expire,
    expiry_day,
    issue,
    redemption,
    release,
    reverse,
    spend,
    usable_points,
)
from agent.domain.rules.model import ReversalPolicy
from tests.support.loyalty_cases import Dice
from tests.support.loyalty_model import points as model
from tests.support.loyalty_model.days import month_end_after

MEMBER = "567014f1b3c2a9de"
GRACE_DAYS = 30
HOUR_MS = 3_600_000
FIRST = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass
class Ledger:
    """The engine's side of a member: postings in order, lots, and what is refunded of each sale."""

    policy: ReversalPolicy
    lots: tuple[Lot, ...] = ()
    postings: list[Posting] = field(default_factory=list)
    sales: list[SettledPoints] = field(default_factory=list)
    ended: Counter[str | None] = field(default_factory=Counter)

    def post(self, postings: tuple[Posting, ...]) -> None:
        """Append an entry and let it move the lots."""
        self.postings += Entry(postings).postings
        self.lots = apply_to_lots(self.lots, postings)

    def held(self, account: str) -> int:
        """The sum of an account."""
        return sum(leg.points for leg in self.postings if leg.account.value == account)

    def accounts(self) -> Counter[str]:
        """Sums of all accounts, without those at 0."""
        sums = balances(self.postings)
        return Counter({account.value: points for (account, _), points in sums.items()})


class History:
    """One member's random life, lived by the ledger and by the model at once."""

    def __init__(self, roll: Dice, policy: ReversalPolicy | None = None) -> None:
        self.roll = roll
        self.now = FIRST
        chosen = roll.pick(list(ReversalPolicy)) if policy is None else policy
        self.ledger = Ledger(chosen)
        self.purse = model.Purse(chosen.value, GRACE_DAYS)
        self.bought: list[model.Bought] = []

    @property
    def now_ms(self) -> int:
        """The instant."""
        return int(self.now.timestamp()) * 1000

    @property
    def today(self) -> date:
        """Its day."""
        return self.now.date()

    def live(self, steps: int) -> None:
        """So many random steps, compared after each."""
        for _ in range(steps):
            self.roll.pick((self.buy, self.buy, self.refund, self.refund, self.wait, self.expire, self.review))()
            self.compare()

    def buy(self) -> None:
        """A sale: some points pay, some are earned; a few sales are held for review."""
        roll, name = self.roll, f"S{99 - len(self.bought):02d}"
        net, per, bonus = (
            roll.pick((999, 0, 100, 5_000, roll.number(0, 3_000))),
            roll.pick((100, 7)),
            roll.pick((0, 0, 40)),
        )
        most = usable_points(self.ledger.lots, self.now_ms, self.today)
        pay = min(most, roll.pick((0, 30, 10, 500)))
        months, held = roll.pick((12, 1, None)), roll.one_in(6)
        usable_ms = None if held else self.now_ms + roll.pick((0, 24, 48)) * HOUR_MS
        capped = roll.pick((10**6, 10**6, 60))

        def kept(smaller: int) -> int:
            return min(smaller // per, capped)

        ends = None if months is None else month_end_after(self.today, months)
        mine = model.Lot(name, 0, self.now_ms, usable_ms, ends)
        self.bought.append(self.purse.buy(name, net, kept, bonus, pay, mine, self.now_ms, self.today))
        spent = redemption(MEMBER, name, spend(self.ledger.lots, pay, self.now_ms, self.today))
        whole = Lot(
            name,
            kept(net) + bonus,
            self.now_ms,
            usable_ms,
            None if months is None else expiry_day(self.today, months),
            "sale",
        )
        made = issue(MEMBER, whole, -self.ledger.held("member:debt"))
        if whole.points:
            self.ledger.lots = (*self.ledger.lots, Lot(name, 0, self.now_ms, usable_ms, whole.expires_on, "sale"))
        self.ledger.post((*spent, *made))
        self.ledger.sales.append(SettledPoints(name, MEMBER, net, kept(net), bonus, (*spent, *made), kept))

    def refund(self) -> None:
        """A part of an earlier sale is given back, or all that is left of it."""
        open_ones = [n for n, sale in enumerate(self.bought) if sale.refunded < sale.net or not sale.is_reversed]
        if not open_ones:
            return
        index = self.roll.pick(open_ones)
        sale = self.bought[index]
        left = sale.net - sale.refunded
        amount = left if self.roll.one_in(3) or left < 2 else self.roll.number(1, left)
        policy, debt = self.ledger.policy, -self.ledger.held("member:debt")
        asked = Refund(sale.refunded, amount, self.now_ms, self.today, policy, GRACE_DAYS, debt)
        known = replace(self.ledger.sales[index], expired_points=self.ledger.ended[sale.name])
        done = reverse(known, asked, self.ledger.lots)
        self.ledger.postings += Entry(done.postings).postings
        self.ledger.lots, self.ledger.sales[index] = done.lots, done.settled
        self.purse.refund(sale, amount, self.now_ms, self.today)
        event("refund in full" if sale.refunded == sale.net else "refund in part")

    def wait(self) -> None:
        """Time passes: hours, days, months, or until the last day of a lot."""
        last_days = [lot.expires_on for lot in self.ledger.lots if lot.expires_on and lot.expires_on > self.today]
        if last_days and self.roll.one_in(2):
            self.now += timedelta(days=(min(last_days) - self.today).days)
        else:
            self.now += timedelta(hours=self.roll.pick((1, 25, 24 * 10, 24 * 45)))

    def expire(self) -> None:
        """Head office ends what has passed its day."""
        ended = expire(MEMBER, self.ledger.lots, self.today)
        self.ledger.post(ended)
        for leg in ended:
            if leg.account is Account.EXPIRED:
                self.ledger.ended[leg.lot] += leg.points
        self.purse.expire(self.today)

    def review(self) -> None:
        """The oldest held lot passes its review."""
        held = [lot for lot in self.ledger.lots if lot.usable_from_ms is None]
        if not held:
            return
        lot, moved = release(MEMBER, held[0], self.now_ms)
        self.ledger.post(moved)
        self.ledger.lots = tuple(
            Lot(o.id, o.points, o.earned_at_ms, lot.usable_from_ms, o.expires_on, o.source) if o.id == lot.id else o
            for o in self.ledger.lots
        )
        mine = self.purse.lots[lot.id]
        self.purse.accounts["member:pending"] -= mine.points
        self.purse.accounts["member:available"] += mine.points
        mine.usable_ms = self.now_ms

    def compare(self) -> None:
        """Lots and accounts agree, sum to 0, and what is available is what the lots hold."""
        lots = {lot.id: (lot.points, lot.expires_on) for lot in self.ledger.lots if lot.points}
        assert lots == self.purse.shown()
        accounts = self.ledger.accounts()
        assert accounts == Counter({name: points for name, points in self.purse.accounts.items() if points})
        assert sum(leg.points for leg in self.ledger.postings) == 0
        assert accounts["member:available"] + accounts["member:pending"] == sum(lot.points for lot in self.ledger.lots)
        assert accounts["member:debt"] <= 0
