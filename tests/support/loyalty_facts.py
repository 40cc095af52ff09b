"""The same case in the words of the engine, and the engine's answer in the words of the model."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from agent.domain.member import MemberFacts, UseCount, UseWindow
from agent.domain.rules.engine import evaluate
from agent.domain.rules.facts import (
    BudgetView,
    CampaignBudget,
    LocalInstant,
    Presented,
    PresentedCoupon,
    Purpose,
    RollbackGiven,
    SaleFacts,
    SaleLine,
)
from agent.domain.rules.model import RuleSet
from agent.domain.rules.verdict import Evaluation
from tests.support.loyalty_model.words import Counts, Table


def sale_of(case: Table, currency: str) -> SaleFacts:
    """The sale and what was presented with it."""
    lines = tuple(SaleLine(**line) for line in case["lines"])
    coupons = tuple(PresentedCoupon(**coupon) for coupon in case["coupons"])
    presented = Presented(case["level"], case["clock_suspect"], case["points"], coupons)
    purpose = None if case["purpose"] is None else Purpose(case["purpose"])
    rollback = None if case["rollback"] is None else RollbackGiven(**case["rollback"])
    return SaleFacts("S1", case["station"], currency, case["exponent"], lines, presented, purpose, rollback)


def member_of(member: Table | None) -> MemberFacts | None:
    """The member, or nobody."""
    if member is None:
        return None
    return MemberFacts(
        member["id"],
        member["tier"],
        tags=frozenset(member["tags"]),
        birthday_md=member["birthday"],
        visits=member["visits"],
        first_fill_used=member["first_fill_used"],
        uses=counts_of(member["uses"]),
    )


def counts_of(uses: Counts) -> tuple[UseCount, ...]:
    """Use counts."""
    return tuple(
        UseCount(offer, UseWindow(window), period, *counted) for (offer, window, period), counted in uses.items()
    )


def budgets_of(case: Table) -> BudgetView:
    """Leases and the counts of the station."""
    campaigns = tuple(
        CampaignBudget(name, lease["lease"], lease["left"], lease["live"]) for name, lease in case["leases"].items()
    )
    return BudgetView(campaigns, case["usable"], counts_of(case["station_uses"]))


def evaluated(rules: RuleSet, case: Table) -> Evaluation:
    """The engine's evaluation of a case."""
    instant = LocalInstant(case["unix_ms"], ZoneInfo(case["zone"]))
    sale = sale_of(case, rules.program.currency)
    return evaluate(sale, member_of(case["member"]), rules, budgets_of(case), instant)


def told(result: Evaluation) -> Table:
    """An evaluation as the table that the model answers with."""
    verdicts = {
        found.offer: (
            found.verdict.value,
            found.code.value,
            found.value_minor,
            found.desired_minor,
            found.points,
            found.desired_points,
        )
        for found in result.verdicts
    }
    return {
        "verdicts": verdicts,
        "terms": {term.offer: term.exact for term in result.earned},
        "gross": result.gross_minor,
        "net": result.net_minor,
        "discount": result.discount_minor,
        "nets": list(result.line_nets_minor),
        "redeemed": result.points_redeemed,
        "earned": result.points_earned,
        "bonus": result.bonus_points,
        "budgets": {use.campaign: use.amount_minor for use in result.budgets},
        "uses": _counted(result.uses),
        "station_uses": _counted(result.station_uses),
        "coupons": {use.code: (use.offer, use.value_minor, use.left_minor, use.used) for use in result.coupons},
        "rollback": result.rollback_minor,
    }


def _counted(uses: tuple[UseCount, ...]) -> Counts:
    return {(use.offer, use.window.value, use.period): (use.uses, use.amount) for use in uses}


def model_told(answer: Table) -> Table:
    """The model's answer with its verdicts in the same short form."""
    verdicts = {
        offer: (
            found["verdict"],
            found["code"],
            found.get("value", 0),
            found.get("wanted", 0),
            found.get("points", 0),
            found.get("wanted_points", 0),
        )
        for offer, found in answer["verdicts"].items()
    }
    return answer | {"verdicts": verdicts}
