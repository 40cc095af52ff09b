"""The programme in memory: members with their lots, the ledger, sales, coupons, leases and budgets, between two events.

Holds what the domain's functions return and decides nothing. Every value is immutable, so that a copy is a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date

from agent.domain import pools, tiers
from agent.domain.coupons import Coupon, CouponUsed
from agent.domain.growth import Grown, Window
from agent.domain.leases import Lease, LeaseState
from agent.domain.ledger import Account, Entry, Lot, Posting, SettledPoints, apply_to_lots, balances
from agent.domain.member import MemberFacts, UseCount
from agent.domain.once import Benefit, Key, Overrun, keyed, unposted
from agent.domain.pools import Pool
from agent.domain.rules.facts import LocalInstant, local_time
from agent.domain.rules.model import RuleSet
from agent.domain.rules.verdict import Evaluation
from agent.domain.settlement import Settlement
from agent.domain.tiers import TierState
from agent.rehearsal.answer import Answer
from agent.rehearsal.reading import Setting


class EventRefused(Exception):
    """An event that a station or head office would refuse; nothing has changed."""

    def __init__(self, problem: str, hint: str) -> None:
        self.hint = hint
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the programme. ``facts``: what was told at enrolment; tier, growth, visits and uses live beside."""

    facts: MemberFacts
    tier: TierState
    grown: tuple[Grown, ...] = ()
    visits: int = 0
    uses: tuple[UseCount, ...] = ()
    lots: tuple[Lot, ...] = ()
    gifts: tuple[tuple[str, date], ...] = ()


@dataclass(frozen=True, slots=True)
class Sold:
    """A sale: its quote, what was settled, who holds its points now, and what was given back.

    ``holder`` is the settlement whose points stand with a member: the paid one, or that of a corrected or late link.
    ``points``: what its next refund must know of them, ``None`` without a holder.
    """

    evaluation: Evaluation
    instant: LocalInstant
    ended_ms: int
    points_lease: str | None
    offline: bool = False
    held: bool = False
    settled: Settlement | None = None
    holder: Settlement | None = None
    points: SettledPoints | None = None
    refunded_minor: int = 0
    voided: bool = False

    @property
    def state(self) -> str:
        """``quoted``, ``settled`` or ``voided``."""
        if self.settled is None:
            return "quoted"
        return "voided" if self.voided else "settled"


@dataclass(slots=True)
class World:
    """Everything between two events; ``seq`` counts the records that stations wrote, ``keys`` the legs of the
    ledger, ``sums`` its balances.

    ``coupon_uses``: each use of a coupon with what it gave; ``firsts``: first fills given, by offer and member;
    ``overruns``: what of these was beyond once.
    """

    setting: Setting
    digest: str
    language: str
    now_ms: int
    members: dict[str, Member] = field(default_factory=dict)
    sales: dict[str, Sold] = field(default_factory=dict)
    coupons: dict[str, Coupon] = field(default_factory=dict)
    leases: dict[str, tuple[str, Lease]] = field(default_factory=dict)
    budgets: dict[str, Pool] = field(default_factory=dict)
    points: dict[str, Pool] = field(default_factory=dict)
    incarnations: dict[str, str] = field(default_factory=dict)
    station_uses: dict[str, tuple[UseCount, ...]] = field(default_factory=dict)
    ledger: tuple[tuple[str | None, Posting], ...] = ()
    sums: dict[tuple[Account, str | None], int] = field(default_factory=dict)
    keys: frozenset[Key] = frozenset()
    coupon_uses: dict[str, tuple[tuple[CouponUsed, Benefit], ...]] = field(default_factory=dict)
    firsts: dict[str, tuple[Benefit, ...]] = field(default_factory=dict)
    overruns: tuple[Overrun, ...] = ()
    answered: dict[str, Answer] = field(default_factory=dict)
    seq: int = 0

    def copy(self) -> World:
        """Return a snapshot: what is done to it does not touch this one."""
        return replace(
            self,
            members=dict(self.members),
            sales=dict(self.sales),
            coupons=dict(self.coupons),
            leases=dict(self.leases),
            budgets=dict(self.budgets),
            points=dict(self.points),
            incarnations=dict(self.incarnations),
            station_uses=dict(self.station_uses),
            answered=dict(self.answered),
            sums=dict(self.sums),
            coupon_uses=dict(self.coupon_uses),
            firsts=dict(self.firsts),
        )

    @property
    def rules(self) -> RuleSet:
        """The rules played."""
        return self.setting.rules

    @property
    def today(self) -> date:
        """The local day of the clock."""
        return local_time(self.now_ms, self.setting.zone).date()

    def member(self, member: str) -> Member:
        """Return a member who joined; raises EventRefused for a stranger."""
        if member not in self.members:
            raise EventRefused(f"nobody has joined as {member}", "let the member join by a member event before")
        return self.members[member]

    def sold(self, sale: str) -> Sold:
        """Return a sale; raises EventRefused where there was none."""
        if sale not in self.sales:
            raise EventRefused(f"there is no sale {sale}", "sell by a sale event before")
        return self.sales[sale]

    def incarnation(self, station: str) -> str:
        """Return the name of a station's present incarnation."""
        return self.incarnations.get(station, "first")

    def growth(self, member: Member, today: date) -> int:
        """Return the growth that counts on a day."""
        program = self.rules.program
        return Window(program.growth_window, program.growth_length).growth(member.grown, today)

    def facts(self, member: str, today: date) -> MemberFacts:
        """Return what the engine is told of a member on a day."""
        known = self.member(member)
        tier = tiers.on_day(known.tier, today).tier
        return replace(known.facts, tier=tier, growth=self.growth(known, today), visits=known.visits, uses=known.uses)

    def balance(self, account: Account, member: str | None = None) -> int:
        """Return the sum of an account's postings."""
        return self.sums.get((account, member), 0)

    def debt(self, member: str) -> int:
        """Return the points a member owes, 0 or more."""
        return -self.balance(Account.DEBT, member)

    def post(
        self, member: str | None, sale: str, fact: str, postings: Iterable[Posting], fresh: Iterable[Lot] = ()
    ) -> tuple[Posting, ...]:
        """Write the postings of one fact of a member, once, and bring their lots up to date; returns what was new.

        ``sale``: the sale or the key of a grant. ``fresh``: lots as they are from now on where they are new or empty,
        whatever they hold: only postings fill a lot. Raises LedgerError.
        """
        legs = keyed(sale, fact, Entry(tuple(postings)).postings)
        new = unposted(self.keys, legs)
        if member is not None and new:
            account = self.members[member]
            named, kept = {leg.lot for leg in new}, {lot.id: lot for lot in account.lots}
            for lot in fresh:
                if lot.id in named and (lot.id not in kept or kept[lot.id].points == 0):
                    kept[lot.id] = replace(lot, points=0)
            self.members[member] = replace(account, lots=apply_to_lots(kept.values(), new))
        self.keys |= {key for key, _ in legs}
        self.ledger += tuple((member, leg) for leg in new)
        for key, points in balances(new).items():
            self.sums[key] = self.sums.get(key, 0) + points
        return new

    def postings(self, member: str | None = None) -> list[Posting]:
        """Return the ledger, of one member's facts where one is named."""
        return [leg for whose, leg in self.ledger if member is None or whose == member]

    def count(self, member: str, counts: Iterable[UseCount], sign: int, visits: int, grown: Grown) -> None:
        """Add (or, with ``sign`` -1, take back) use counts, visits and growth of a member; the tier follows growth."""
        known = self.members[member]
        account = replace(
            known,
            uses=added(known.uses, counts, sign),
            visits=known.visits + visits,
            grown=(*known.grown, grown) if grown.growth else known.grown,
        )
        state = tiers.grown(self.rules.tiers, account.tier, self.growth(account, self.today), self.today)
        self.members[member] = replace(account, tier=state)

    def pool_of(self, lease: Lease) -> tuple[dict[str, Pool], str]:
        """Return where head office keeps the pool of a lease, and its key."""
        home = self.points if lease.subject in self.points else self.budgets
        return home, lease.subject

    def unit_of(self, lease: Lease) -> str:
        """Return what a lease lends, as key names end: ``points`` of a member or ``minor`` units of a campaign."""
        return "points" if lease.subject in self.points else "minor"

    def close_finished(self) -> None:
        """Tell head office of every lease whose last reservation has ended since it was called in."""
        for lease_id, (_, lease) in self.leases.items():
            home, key = self.pool_of(lease)
            if lease.state is LeaseState.CLOSED and home[key].lease(lease_id).state is LeaseState.OPEN:
                self.seq += 1
                home[key] = pools.closed_out(
                    home[key],
                    lease_id,
                    f"close-out {lease_id}",
                    incarnation=lease.incarnation,
                    seq=self.seq,
                    spent_by_station=lease.spent,
                )


def added(known: Iterable[UseCount], more: Iterable[UseCount], sign: int) -> tuple[UseCount, ...]:
    """Return use counts with others added (``sign`` 1) or taken back (-1); counts at 0 are left out."""
    sums: dict[tuple[str, str, str], UseCount] = {(use.offer, use.window, use.period): use for use in known}
    for use in more:
        key = (use.offer, use.window, use.period)
        old = sums.get(key, replace(use, uses=0, amount=0))
        sums[key] = replace(old, uses=old.uses + sign * use.uses, amount=old.amount + sign * use.amount)
    return tuple(sums[key] for key in sorted(sums) if sums[key].uses or sums[key].amount)
