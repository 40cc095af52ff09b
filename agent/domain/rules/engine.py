"""``evaluate``: one sale, one member or none, one rule version, one instant -> one verdict per offer and the sums.

Pure: the same facts give the same answer at the pump, after a restart and a month later. Posts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.domain.member import MemberFacts, UseCount, period_of
from agent.domain.rules.conditions import Case, refusal
from agent.domain.rules.facts import BudgetView, FactsError, LocalInstant, SaleFacts, SaleLine
from agent.domain.rules.model import EarnBase, GroupMode, Kind, Offer, RuleSet, Subject
from agent.domain.rules.plan import Choice, Plan, choose, stand_together
from agent.domain.rules.points import Rewards, reward
from agent.domain.rules.stages import Run, pay_with_points, run_plan
from agent.domain.rules.verdict import (
    RANK,
    BudgetUse,
    Code,
    Evaluation,
    Grant,
    OfferVerdict,
    Reason,
    Verdict,
    windows_of,
)
from agent.domain.units import amount_matches


def evaluate(
    sale: SaleFacts, member: MemberFacts | None, rules: RuleSet, budgets: BudgetView, instant: LocalInstant
) -> Evaluation:
    """Return what a rule set gives a sale, with exactly one verdict per offer.

    Raises FactsError where the sale's currency is not the program's: its amounts would mean something else.
    """
    if (sale.currency, sale.exponent) != (rules.program.currency, rules.program.exponent):
        raise FactsError(
            f"sale {sale.sale} is in {sale.currency} with exponent {sale.exponent}, rule set {rules.version} in"
            f" {rules.program.currency} with exponent {rules.program.exponent}: publish rules in the station's currency"
        )
    case = Case(sale, member, rules, budgets, instant)
    refused = _refusals(case)
    open_offers = [offer for offer in rules.offers if offer.id not in refused]
    discounts = [offer for offer in open_offers if offer.is_discount]
    choice = choose(discounts, rules, lambda plan: run_plan(case, plan).saving)
    run = run_plan(case, choice.plan)
    before_points = tuple(run.nets)
    _redeem(case, run, open_offers)
    bases = before_points if rules.program.earn_base is EarnBase.BEFORE_POINTS else tuple(run.nets)
    rewards = reward(case, [offer for offer in open_offers if offer.kind in _REWARDS], bases)
    _refuse_outsiders(case, choice.plan, tuple(grant.offer for grant in rewards.grants), refused)
    return _evaluation(case, refused, choice, run, rewards)


_REWARDS = frozenset({Kind.EARN, Kind.MULTIPLIER, Kind.BONUS_POINTS, Kind.GIFT_ITEM})


def _refusals(case: Case) -> dict[str, Reason]:
    if case.sale.volume_ml == 0:
        return {offer.id: Reason(Code.MIN_VOLUME, 1, 0) for offer in case.rules.offers}
    asked = {offer.id: refusal(offer, case) for offer in case.rules.offers}
    return {offer_id: reason for offer_id, reason in asked.items() if reason is not None}


def _redeem(case: Case, run: Run, open_offers: list[Offer]) -> None:
    """Let the open points-as-money offers pay in order of priority and id, from one balance."""
    balance, asked = case.budgets.points_usable or 0, case.sale.presented.points or 0
    for offer in open_offers:
        if offer.kind is Kind.POINTS_AS_MONEY:
            pay_with_points(run, offer, min(balance, asked) - run.points)


def _refuse_outsiders(case: Case, plan: Plan, rewards: Plan, refused: dict[str, Reason]) -> None:
    """Give every offer outside the chosen plan and the kept rewards the first code that is true of it."""
    if case.sale.volume_ml == 0:
        return
    chosen = {offer.id for offer in (*plan, *rewards)}
    for offer in case.rules.offers:
        if offer.id in chosen or offer.kind is Kind.POINTS_AS_MONEY:
            continue
        reasons = [refused[offer.id]] if offer.id in refused else []
        mate = _stood_in_the_way(case.rules, offer, plan if offer.is_discount else rewards)
        if mate is not None:
            reasons.append(mate)
        if not reasons:
            reasons.append(Reason(Code.BEATEN_BY, by="+".join(mate.id for mate in plan) or None))
        refused[offer.id] = min(reasons, key=lambda reason: RANK[reason.code])


def _stood_in_the_way(rules: RuleSet, offer: Offer, plan: Plan) -> Reason | None:
    if offer.group is not None and rules.mode_of(offer) is not GroupMode.STACK:
        for mate in plan:
            if mate.group == offer.group:
                return Reason(Code.GROUP_TAKEN, by=mate.id)
    for mate in plan:
        if mate.exclusive and not stand_together(mate, offer):
            return Reason(Code.EXCLUDED_BY, by=mate.id)
    return None


def _evaluation(case: Case, refused: dict[str, Reason], choice: Choice, run: Run, rewards: Rewards) -> Evaluation:
    points = {grant.offer.id: grant for grant in rewards.grants}
    verdicts = tuple(_verdict(offer, refused, run.grants, points) for offer in case.rules.offers)
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
        line_nets_minor=tuple(run.nets),
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
        points_asked=case.sale.presented.points,
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
        if grant.granted > 0 or grant.offer.kind is Kind.GIFT_ITEM or (grant.offer.kind is Kind.MULTIPLIER and earned)
    ]


def _uses(case: Case, used: list[Grant], subject: Subject) -> tuple[UseCount, ...]:
    counts: list[UseCount] = []
    for grant in sorted(used, key=lambda grant: grant.offer.order):
        if subject is Subject.MEMBER:
            windows = windows_of(grant.offer)
        else:
            limits = grant.offer.caps.limits
            windows = tuple(sorted({limit.window for limit in limits if limit.subject is Subject.STATION}))
        day, offer_id = case.instant.day, grant.offer.id
        counts += [UseCount(offer_id, window, period_of(window, day), 1, grant.granted) for window in windows]
    return tuple(counts)


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
