"""Puts an evaluation together: verdicts, sums, and what to count, to spend and to use up if the sale is settled by it.

Knows what was granted and refused, decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.domain.member import UseCount
from agent.domain.rules.conditions import Case
from agent.domain.rules.coupons import use_of
from agent.domain.rules.facts import SaleLine
from agent.domain.rules.model import Kind, Offer, Subject
from agent.domain.rules.points import Rewards
from agent.domain.rules.search import Choice
from agent.domain.rules.stages import Run
from agent.domain.rules.verdict import (
    BudgetUse,
    CouponUse,
    Evaluation,
    Grant,
    OfferVerdict,
    Reason,
    Verdict,
    windows_of,
)
from agent.domain.units import amount_matches


@dataclass(slots=True)
class Findings:
    """What was found out about a case: of each offer either a grant (in the run or the rewards) or a reason.

    ``given``: the roll-back the pump sold at, ``rollback_minor``: what it saved.
    """

    choice: Choice
    run: Run
    rewards: Rewards
    refused: dict[str, Reason]
    given: Offer | None
    rollback_minor: int


def answer(case: Case, found: Findings) -> Evaluation:
    """Return the evaluation of a case."""
    choice, run, rewards = found.choice, found.run, found.rewards
    points = {grant.offer.id: grant for grant in rewards.grants}
    verdicts = tuple(_verdict(offer, found.refused, run.grants, points) for offer in case.rules.offers)
    points_money = sum(grant.granted for grant in run.grants.values() if grant.offer.kind is Kind.POINTS_AS_MONEY)
    earns = [grant.granted for grant in rewards.grants if grant.offer.kind is Kind.EARN]
    used = [grant for grant in run.grants.values() if grant.granted > 0] + _used_rewards(rewards)
    net = sum(run.nets)
    return Evaluation(
        sale=case.sale,
        member=case.member,
        rules=case.rules,
        instant=case.instant,
        verdicts=verdicts,
        gross_minor=case.sale.amount_minor,
        discount_minor=case.sale.amount_minor - net,
        points_money_minor=points_money,
        net_minor=net,
        line_nets_minor=run.nets,
        points_redeemed=run.points,
        earned=rewards.earned,
        points_earned=sum(earns),
        bonus_points=rewards.bonus_points,
        gifts=rewards.gifts,
        uses=() if case.member is None else _uses(case, used, Subject.MEMBER),
        station_uses=_uses(case, used, Subject.STATION),
        budgets=_budgets(case, run.grants.values()),
        plans_compared=choice.compared,
        greedy=choice.greedy,
        flags=_flags(case),
        coupons=_coupons(case, used),
        rollback_minor=found.rollback_minor,
        points_asked=case.sale.presented.points,
        budgets_told=case.budgets,
    )


def _verdict(
    offer: Offer, refused: dict[str, Reason], money: dict[str, Grant], points: dict[str, Grant]
) -> OfferVerdict:
    if offer.id in refused:
        return OfferVerdict(offer.id, Verdict.REJECTED, refused[offer.id])
    if offer.id in money:
        grant = money[offer.id]
        return OfferVerdict(
            offer.id, grant.verdict, grant.reason, value_minor=grant.granted, desired_minor=grant.desired
        )
    grant = points[offer.id]
    return OfferVerdict(offer.id, grant.verdict, grant.reason, points=grant.granted, desired_points=grant.desired)


def _used_rewards(rewards: Rewards) -> list[Grant]:
    """Return the rewards that count as used: points above 0, gifts, and multipliers where something was earned."""
    earned = any(grant.granted > 0 for grant in rewards.grants if grant.offer.kind is Kind.EARN)
    return [
        grant
        for grant in rewards.grants
        if grant.granted > 0 or grant.offer.gives is Kind.GIFT_ITEM or (grant.offer.kind is Kind.MULTIPLIER and earned)
    ]


def _uses(case: Case, used: list[Grant], subject: Subject) -> tuple[UseCount, ...]:
    counts: list[UseCount] = []
    for grant in sorted(used, key=lambda grant: grant.offer.order):
        if subject is Subject.MEMBER:
            windows = windows_of(grant.offer)
        else:
            limits = grant.offer.caps.limits
            windows = tuple(sorted({limit.window for limit in limits if limit.subject is Subject.STATION}))
        offer_id = grant.offer.id
        counts += [UseCount(offer_id, window, case.period(window), 1, grant.granted) for window in windows]
    return tuple(counts)


def _coupons(case: Case, used: list[Grant]) -> tuple[CouponUse, ...]:
    taken = sorted((grant for grant in used if grant.offer.kind is Kind.COUPON), key=lambda grant: grant.offer.order)
    return tuple(use_of(case.coupons[grant.offer.id], grant) for grant in taken)


def _budgets(case: Case, grants: Iterable[Grant]) -> tuple[BudgetUse, ...]:
    spent: dict[str, int] = {}
    for grant in grants:
        if grant.offer.budget is not None and grant.granted > 0:
            campaign = grant.offer.budget.campaign
            spent[campaign] = spent.get(campaign, 0) + grant.granted
    leases = {budget.campaign: budget.lease for budget in case.budgets.campaigns}
    return tuple(BudgetUse(campaign, leases[campaign], amount) for campaign, amount in sorted(spent.items()))


def _flags(case: Case) -> tuple[str, ...]:
    flags = [] if case.instant.lift_seen else ["NO_LIFT_SEEN"]
    if not all(_amount_matches(line, case.sale.exponent) for line in case.sale.lines):
        flags.append("AMOUNT_MISMATCH")
    return tuple(sorted(flags))


def _amount_matches(line: SaleLine, exponent: int) -> bool:
    step = line.volume_resolution_ml
    if step is None:
        return True
    return amount_matches(line.amount_minor, line.volume_ml, line.unit_price_milli, step, exponent)
