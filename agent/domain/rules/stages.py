"""Runs one plan through the fixed stages: what each discount is granted of its worth, and what each line still costs.

Knows no eligibility and no choice between plans: it is given the offers of a plan and says what they save together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from agent.domain.rules.conditions import Case, amount_limit_code, covers, window_name
from agent.domain.rules.facts import REDEEM_DAY
from agent.domain.rules.model import Coupon, Offer, PointsAsMoney, Trimmed
from agent.domain.rules.verdict import Code, Grant, Reason
from agent.domain.rules.worth import BASIS_POINTS, Nets, Worth, follows_running_net, worth
from agent.domain.units import half_up

Mark = tuple[Nets, int, dict[str, int]]


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Spread ``amount`` by largest remainder; equal remainders go to the earlier place, all-zero weights share
    equally.
    """
    total = sum(weights)
    shares, whole = (weights, total) if total else ([1] * len(weights), len(weights))
    parts = [amount * share // whole for share in shares]
    by_remainder = sorted(range(len(parts)), key=lambda index: (-(amount * shares[index] % whole), index))
    for index in by_remainder[: amount - sum(parts)]:
        parts[index] += 1
    return parts


@dataclass(slots=True)
class Run:
    """A sale on its way through the stages: what each line still costs, what is saved, what leases and points are left.

    ``saved``: money saved by discounts; payment with points is no saving. ``points``: points spent.
    """

    case: Case
    nets: Nets = ()
    saved: int = 0
    leases: dict[str, int] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    points: int = 0
    _start: Mark = field(init=False)
    _cap: int | None = field(init=False)
    _worths: dict[str, Worth] = field(default_factory=dict)

    def __post_init__(self) -> None:
        leases = {budget.campaign: budget.remaining_minor for budget in self.case.budgets.campaigns}
        self._start = (tuple(line.amount_minor for line in self.case.sale.lines), 0, leases)
        self._cap = _program_cap(self.case)
        self.back(self._start)

    @property
    def saving(self) -> int:
        """Money saved so far."""
        return self.saved

    def play(self, plan: Iterable[Offer]) -> None:
        """Begin anew and let the discounts of a plan take their value, in order of stage, priority and id."""
        self.back(self._start)
        self.grants = {}
        for offer in sorted(plan, key=attrgetter("turn")):
            self.grants[offer.id] = self.take(offer)

    def beside(self, plan: Iterable[Offer], others: list[Offer]) -> list[Grant]:
        """Return what each of some other discounts would be granted beside a plan; the run stays where it was."""
        found: list[Grant] = []
        if not others:
            return found
        asked, now = {offer.id for offer in others}, self.mark()
        self.back(self._start)
        for offer in sorted([*plan, *others], key=attrgetter("turn")):
            mark = self.mark()
            grant = self.take(offer)
            if offer.id in asked:
                found.append(grant)
                self.back(mark)
        self.back(now)
        return found

    def mark(self) -> Mark:
        """Return the place to which ``back`` returns."""
        return (self.nets, self.saved, self.leases)

    def back(self, mark: Mark) -> None:
        """Return to a place as if the offers taken since then had not been."""
        self.nets, self.saved, self.leases = mark

    def room(self) -> int:
        """Return how much more may be saved at most: what is left to pay and what the program's cap leaves."""
        payable = sum(self.nets)
        return payable if self._cap is None else min(payable, self._cap - self.saved)

    def most(self, offer: Offer) -> int:
        """Return what an offer can save at most, in whatever plan: its worth on the gross, after its own caps."""
        nets, self.nets = self.nets, self._start[0]
        most = self._worth(offer).own
        self.nets = nets
        return most

    def take(self, offer: Offer) -> Grant:
        """Let a discount take its value: of its worth what the payable, the program's cap and the budget allow."""
        value = self._worth(offer)
        if value.refused is not None:
            return Grant(offer, value.desired, 0, (value.refused,), value.own)
        places = self.case.matching(offer)
        granted, outer = self._allowed(offer, value.own, places)
        if granted == 0:
            return Grant(offer, value.desired, 0, outer[-1:], value.own)
        if outer and isinstance(offer.terms, Coupon) and offer.terms.trimmed is Trimmed.KEEP_COUPON:
            return Grant(offer, value.desired, 0, outer, value.own)
        if offer.budget is not None:
            campaign = offer.budget.campaign
            self.leases = {**self.leases, campaign: self.leases[campaign] - granted}
        self.saved += granted
        by_worth = granted == value.desired or offer.caps.volume_ml is not None
        self.nets = _charged(self.nets, places, granted, value.weights if by_worth else None)
        return Grant(offer, value.desired, granted, (*value.trims, *outer), value.own)

    def _worth(self, offer: Offer) -> Worth:
        if follows_running_net(offer):
            return worth(self.case, offer, self.nets)
        value = self._worths.get(offer.id)
        if value is None:
            value = self._worths[offer.id] = worth(self.case, offer, self.nets)
        return value

    def _allowed(self, offer: Offer, wanted: int, places: tuple[int, ...]) -> tuple[int, tuple[Reason, ...]]:
        """Return what is granted of a worth, and what trimmed it, in the order: payable, program's cap, budget."""
        granted, trims = wanted, []
        payable = sum(self.nets[index] for index in places)
        if payable < granted:
            trims.append(Reason(Code.CAPPED_AMOUNT, payable, granted, "payable"))
            granted = payable
        if self._cap is not None and self._cap - self.saved < granted:
            left = max(0, self._cap - self.saved)
            trims.append(Reason(Code.CAPPED_AMOUNT, left, granted, "program"))
            granted = left
        if offer.budget is not None:
            lease = self.leases[offer.budget.campaign]
            given = covers(lease, granted, offer.budget.mode)
            if given < granted:
                trims.append(Reason(Code.BUDGET_EXHAUSTED, granted, lease, by=offer.budget.campaign))
                granted = given
        return granted, tuple(trims)


def _program_cap(case: Case) -> int | None:
    """What all discounts of the sale together may come to, ``None`` without a cap."""
    program = case.rules.program
    caps = [] if program.discount_cap_minor is None else [program.discount_cap_minor]
    if program.discount_cap_bp is not None:
        caps.append(half_up(case.sale.amount_minor * program.discount_cap_bp, BASIS_POINTS))
    return min(caps, default=None)


def run_plan(case: Case, plan: Iterable[Offer]) -> Run:
    """Return what the discounts of a plan are worth together, taken in order of stage, priority and id."""
    run = Run(case)
    run.play(plan)
    return run


def pay_with_points(run: Run, offer: Offer, available: int) -> None:
    """Let points pay: the largest number of whole steps that the payable, the share and all limits allow.

    ``available``: points the member asked for and may spend here. Never burns more than the payable; below the
    program's minimum nothing is taken.
    """
    assert isinstance(offer.terms, PointsAsMoney)
    program, places = run.case.rules.program, run.case.matching(offer)
    least = max(program.step_points, program.min_points)
    steps = available // program.step_points
    if steps * program.step_points < least:
        run.grants[offer.id] = Grant(offer, 0, 0, (Reason(Code.POINTS_STEP, least, max(0, available)),))
        return
    money = desired = steps * program.step_minor
    trims: list[Reason] = []
    share = sum(run.nets[index] for index in places) * offer.terms.share_bp // BASIS_POINTS
    if share < money:
        trims.append(Reason(Code.CAPPED_AMOUNT, share, money, "payable"))
        money = share
    day = run.case.budgets.redeem
    left = None if day is None else max(0, day.left_minor - run.points // program.step_points * program.step_minor)
    if day is not None and left is not None and left < money:
        trims.append(Reason(Code.CAPPED_AMOUNT, day.limit_minor, day.used_minor, REDEEM_DAY))
        money = left
    for limit in offer.caps.limits:
        if limit.amount is not None:
            used = run.case.used(offer, limit)[1]
            if limit.amount - used < money:
                trims.append(Reason(amount_limit_code(limit), limit.amount, used, window_name(limit)))
                money = max(0, limit.amount - used)
    points = money // program.step_minor * program.step_points
    if points < least:
        trims.append(Reason(Code.POINTS_STEP, least, points))
        points = 0
    value = points // program.step_points * program.step_minor
    run.grants[offer.id] = Grant(offer, desired, value, tuple(trims))
    run.points += points
    run.nets = _charged(run.nets, places, value, None)


def _charged(nets: Nets, places: tuple[int, ...], amount: int, weights: Sequence[int] | None) -> Nets:
    """Return nets with an amount taken off by weight; what a line cannot bear goes to the earlier ones that can."""
    if len(nets) == 1:
        assert amount <= nets[0], "an offer was granted more than its line still costs"
        return (nets[0] - amount,)
    lines = list(nets)
    parts = spread(amount, [nets[index] for index in places] if weights is None else weights)
    left = 0
    for place, part in zip(places, parts, strict=True):
        taken = min(part, lines[place])
        lines[place] -= taken
        left += part - taken
    for place in places:
        taken = min(left, lines[place])
        lines[place] -= taken
        left -= taken
    assert left == 0, "an offer was granted more than its lines still cost"
    return tuple(lines)
