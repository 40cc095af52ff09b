"""What is answered: an evaluation, a settlement or a reversal as plain data with units in the key names.

Knows no file and no screen; evaluates nothing. Every list of things with an id has the id as first key.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo
from typing import Any

from agent.domain.ledger import Posting
from agent.domain.member import UseCount
from agent.domain.rules.explain import explain, line_text
from agent.domain.rules.facts import local_time
from agent.domain.rules.verdict import Evaluation, OfferVerdict

Answer = dict[str, Any]


def evaluated(evaluation: Evaluation, language: str) -> Answer:
    """Return everything an evaluation found; ``points_earned`` includes ``bonus_points``. ``text``: what is said of the
    sums, in one of ``LANGUAGES``; each offer has its own.
    """
    return {
        "rule_version": evaluation.rules.version,
        "instant": local_text(evaluation.instant.unix_ms, evaluation.instant.zone),
        "local_day": evaluation.instant.day.isoformat(),
        "station": evaluation.sale.station,
        "member": None if evaluation.member is None else evaluation.member.member,
        "currency": evaluation.sale.currency,
        "exponent": evaluation.sale.exponent,
        "gross_minor": evaluation.gross_minor,
        "discount_minor": evaluation.discount_minor,
        "points_money_minor": evaluation.points_money_minor,
        "net_minor": evaluation.net_minor,
        "rollback_minor": evaluation.rollback_minor,
        "points_asked": evaluation.points_asked,
        "points_redeemed": evaluation.points_redeemed,
        "points_earned": evaluation.points_earned + evaluation.bonus_points,
        "bonus_points": evaluation.bonus_points,
        "lines": _lines(evaluation),
        "offers": [_verdict(evaluation, verdict, language) for verdict in evaluation.verdicts],
        "coupons": [
            {
                "coupon": use.code,
                "offer": use.offer,
                "value_minor": use.value_minor,
                "left_minor": use.left_minor,
                "used": use.used,
            }
            for use in evaluation.coupons
        ],
        "gifts": [{"offer": gift.offer, "item": gift.item, "quantity": gift.quantity} for gift in evaluation.gifts],
        "budgets": [
            {"campaign": use.campaign, "lease": use.lease, "amount_minor": use.amount_minor}
            for use in evaluation.budgets
        ],
        "uses": [
            *(use_row(use, "MEMBER") for use in evaluation.uses),
            *(use_row(use, "STATION") for use in evaluation.station_uses),
        ],
        "flags": list(evaluation.flags),
        "plans_compared": evaluation.plans_compared,
        "greedy": evaluation.greedy,
        "text": explain(evaluation, language)[len(evaluation.verdicts) :],
    }


def _lines(evaluation: Evaluation) -> list[Answer]:
    return [
        {
            "grade": line.grade,
            "product_group": line.product_group,
            "volume_ml": line.volume_ml,
            "unit_price_milli": line.unit_price_milli,
            "amount_minor": line.amount_minor,
            "net_minor": net_minor,
        }
        for line, net_minor in zip(evaluation.sale.lines, evaluation.line_nets_minor, strict=True)
    ]


def _verdict(evaluation: Evaluation, verdict: OfferVerdict, language: str) -> Answer:
    reason = verdict.reason
    return {
        "offer": verdict.offer,
        "kind": evaluation.rules.offer(verdict.offer).kind.value,
        "verdict": verdict.verdict.value,
        "code": verdict.code.value,
        "value_minor": verdict.value_minor,
        "desired_minor": verdict.desired_minor,
        "points": verdict.points,
        "desired_points": verdict.desired_points,
        "needed": reason.needed,
        "actual": reason.actual,
        "short": reason.short,
        "detail": reason.detail,
        "by": reason.by,
        "text": line_text(evaluation, verdict, language),
    }


def use_row(use: UseCount, per: str) -> Answer:
    """Return a count of uses; ``amount`` is minor units, or points for a points offer."""
    return {
        "offer": use.offer,
        "per": per,
        "window": use.window.value,
        "period": use.period,
        "uses": use.uses,
        "amount": use.amount,
    }


def postings(legs: Iterable[Posting]) -> list[Answer]:
    """Return legs as the ledger has them, each with its member where it is on a member's account."""
    return [{"account": leg.account.value, "member": leg.member, "lot": leg.lot, "points": leg.points} for leg in legs]


def local_text(unix_ms: int, zone: tzinfo) -> str:
    """Return an instant in the zone with its offset, to the second where it has no milliseconds."""
    moment: datetime = local_time(unix_ms, zone)
    return moment.isoformat(timespec="milliseconds" if unix_ms % 1000 else "seconds")
