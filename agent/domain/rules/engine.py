"""``evaluate``: one sale, one member or none, one rule version, one instant -> one verdict per offer and the sums.

Pure: the same facts give the same answer at the pump, after a restart and a month later. Posts nothing.
"""

from __future__ import annotations

from agent.domain.member import MemberFacts
from agent.domain.rules.answer import Findings, answer
from agent.domain.rules.conditions import Case, refusal
from agent.domain.rules.coupons import coupon_refusal, hands
from agent.domain.rules.facts import BudgetView, FactsError, LocalInstant, SaleFacts
from agent.domain.rules.model import EarnBase, Kind, Late, Offer, PumpRollback, RuleSet, Stage
from agent.domain.rules.plan import Plan, compete, stand_together
from agent.domain.rules.points import reward
from agent.domain.rules.search import Choice, choose
from agent.domain.rules.stages import Run, pay_with_points
from agent.domain.rules.verdict import RANK, Code, Evaluation, Grant, Reason
from agent.domain.units import amount_of


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
    told = Case(sale, member, rules, budgets, instant)
    given = _given_rollback(told)
    refused = _refusals(told, given)
    open_offers = [offer for offer in rules.offers if offer.id not in refused and offer is not given]
    run, choice = _choose(told, open_offers, given)
    case = run.case
    run.play(choice.plan)
    before_points = run.nets
    _redeem(case, run, open_offers)
    bases = before_points if rules.program.earn_base is EarnBase.BEFORE_POINTS else run.nets
    rewards = reward(case, [offer for offer in open_offers if offer.stage is Stage.REWARD], bases)
    found = Findings(choice, run, rewards, refused, given, _rollback_minor(told, given))
    if given is not None:
        run.grants[given.id] = Grant(given, found.rollback_minor, found.rollback_minor)
    if sale.volume_ml:
        _refuse_outsiders(case, found)
    return answer(case, found)


def _rollback_minor(case: Case, given: Offer | None) -> int:
    """What a lower price set at the pump saved: half_up(volume x list price) - pump amount; never below 0."""
    rollback, sale = case.sale.rollback, case.sale
    if rollback is None:
        return 0
    places = range(len(sale.lines)) if given is None else case.matching(given)
    volume_ml = sum(sale.lines[index].volume_ml for index in places)
    charged = sum(sale.lines[index].amount_minor for index in places)
    return max(0, amount_of(volume_ml, rollback.list_price_milli, sale.exponent) - charged)


def _given_rollback(case: Case) -> Offer | None:
    """Return the offer whose lower price the pump sold at; ``None`` without one, or where the rules do not have it."""
    rollback = case.sale.rollback
    if rollback is None or case.sale.volume_ml == 0 or not case.rules.has(rollback.offer):
        return None
    offer = case.rules.offer(rollback.offer)
    return offer if offer.kind is Kind.PUMP_ROLLBACK else None


def _refusals(case: Case, given: Offer | None) -> dict[str, Reason]:
    if case.sale.volume_ml == 0:
        return {offer.id: Reason(Code.MIN_VOLUME, 1, 0) for offer in case.rules.offers}
    refused: dict[str, Reason] = {}
    for offer in case.rules.offers:
        reason = None if offer is given else _refusal(offer, case)
        if reason is not None:
            refused[offer.id] = reason
    return refused


def _refusal(offer: Offer, case: Case) -> Reason | None:
    found = [refusal(offer, case)]
    if offer.kind is Kind.COUPON:
        found.append(coupon_refusal(offer, case))
    if isinstance(offer.terms, PumpRollback) and offer.terms.late is Late.REJECT:
        found.append(Reason(Code.TOO_LATE_FOR_ROLLBACK))
    return _first([reason for reason in found if reason is not None])


def _first(reasons: list[Reason]) -> Reason | None:
    return min(reasons, key=lambda reason: RANK[reason.code], default=None)


def _choose(told: Case, open_offers: list[Offer], given: Offer | None) -> tuple[Run, Choice]:
    """Return the best plan beside a roll-back that was given, and the run with the coupons it takes."""
    discounts = [
        offer
        for offer in open_offers
        if offer.is_discount
        and (given is None or (stand_together(offer, given) and not compete(offer, given, told.rules)))
    ]
    coupons = [offer for offer in open_offers if offer.kind is Kind.COUPON]
    runs = [Run(case) for case in hands(coupons, told)]
    found = [(run, choose(discounts, told.rules, run)) for run in runs]
    if len(found) == 1:
        return found[0]
    run, best = min(found, key=lambda pair: _key(*pair))
    compared = sum(choice.compared for _, choice in found)
    return run, Choice(best.plan, compared, any(choice.greedy for _, choice in found))


def _key(run: Run, choice: Choice) -> tuple[object, ...]:
    run.play(choice.plan)
    taken = [offer for offer in choice.plan if offer.kind is Kind.COUPON]
    orders = tuple(offer.order for offer in choice.plan)
    return (-run.saved, len(taken), orders, [run.case.coupons[offer.id].order for offer in taken])


def _redeem(case: Case, run: Run, open_offers: list[Offer]) -> None:
    """Let the open points-as-money offers pay in order of priority and id, from one balance."""
    balance, asked = case.budgets.points_usable or 0, case.sale.presented.points or 0
    for offer in open_offers:
        if offer.kind is Kind.POINTS_AS_MONEY:
            pay_with_points(run, offer, min(balance, asked) - run.points)


def _refuse_outsiders(case: Case, found: Findings) -> None:
    """Give every offer outside the chosen plan and the kept rewards the first code that is true of it."""
    plan, refused = found.choice.plan, found.refused
    standing = plan if found.given is None else tuple(sorted((*plan, found.given), key=lambda offer: offer.order))
    kept = tuple(grant.offer for grant in found.rewards.grants)
    chosen = {offer.id for offer in (*standing, *kept)}
    left_out: list[Offer] = []
    among_discounts, among_rewards = _InTheWay(case.rules, standing), _InTheWay(case.rules, kept)
    for offer in case.rules.offers:
        if offer.id in chosen or offer.kind is Kind.POINTS_AS_MONEY:
            continue
        mate = (among_discounts if offer.is_discount else among_rewards).of(offer)
        first = _first([reason for reason in (refused.get(offer.id), mate) if reason is not None])
        refused[offer.id] = first or Reason(Code.BEATEN_BY, by="+".join(mate.id for mate in standing) or None)
        if first is None and all(stand_together(offer, mate) for mate in standing):
            left_out.append(offer)
    for grant in found.run.beside(plan, left_out):
        if grant.granted == 0:  # left out or not, it gets nothing: it is told why
            del refused[grant.offer.id]
            found.run.grants[grant.offer.id] = grant


class _InTheWay:
    """Who of the chosen offers keeps another one out."""

    def __init__(self, rules: RuleSet, plan: Plan) -> None:
        self._rules = rules
        self._holders = {mate.group: mate for mate in reversed(plan) if mate.group is not None}
        self._exclusives = [mate for mate in plan if mate.exclusive]

    def of(self, offer: Offer) -> Reason | None:
        """Return the reason an offer is kept out for, ``None`` where nobody stands in its way."""
        holder = None if offer.group is None else self._holders.get(offer.group)
        if holder is not None and compete(offer, holder, self._rules):
            return Reason(Code.GROUP_TAKEN, by=holder.id)
        for mate in self._exclusives:
            if not stand_together(mate, offer):
                return Reason(Code.EXCLUDED_BY, by=mate.id)
        return None
