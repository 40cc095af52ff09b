"""Builds rule sets, sales, members and instants for tests of the loyalty engine, in the conventions of the worked cases.

CNY, Asia/Shanghai, petrol 1 point per 1.00 net, diesel 1 per 2.00, 100 points = 1.00.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from agent.domain.member import MemberFacts
from agent.domain.rules.engine import evaluate
from agent.domain.rules.facts import BudgetView, LocalInstant, Presented, PresentedCoupon, SaleFacts, SaleLine
from agent.domain.rules.load import parse
from agent.domain.rules.model import RuleSet
from agent.domain.rules.verdict import Evaluation
from agent.domain.units import amount_of

SHANGHAI = ZoneInfo("Asia/Shanghai")
MEMBER = "567014f1b3c2a9de"
SALE = "01M7YHZ9MS000000000000002D"
TIERS: list[dict[str, Any]] = [
    {"id": "silver", "name": "Silver", "threshold": 300_000},
    {"id": "gold", "name": "Gold", "threshold": 1_000_000},
]
EARN: list[dict[str, Any]] = [
    {"id": "earn-petrol", "kind": "EARN", "points": 1, "per_minor": 100, "when": {"product_groups": ["petrol"]}},
    {"id": "earn-diesel", "kind": "EARN", "points": 1, "per_minor": 200, "when": {"product_groups": ["diesel"]}},
]


Table = dict[str, Any]
Groups = Iterable[tuple[str, str]]


def document(*offers: Table, groups: Groups = (), program: Table | None = None) -> Table:
    """A rule document with the given offers."""
    return {
        "version": 12,
        "effective_from": "2026-01-01T00:00:00+08:00",
        "program": {"currency": "CNY", "exponent": 2, **(program or {})},
        "tier": TIERS,
        "group": [dict(zip(("id", "mode"), group, strict=True)) for group in groups],
        "offer": list(offers),
    }


def rules(*offers: Table, groups: Groups = (), program: Table | None = None) -> RuleSet:
    """The rule set of such a document."""
    return parse(document(*offers, groups=groups, program=program))


def instant(text: str = "2026-11-21T16:00:00+08:00") -> LocalInstant:
    """An offer instant in Shanghai."""
    moment = datetime.fromisoformat(text)
    return LocalInstant(int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1000, SHANGHAI)


def sale(
    amount_minor: int | None = None,
    *,
    volume_ml: int = 38_217,
    price_milli: int = 7_850,
    grade: str = "92",
    group: str = "petrol",
    **more: Any,
) -> SaleFacts:
    """A sale of one line; the amount follows volume and price unless given.

    ``points``: points the member asks to spend; ``coupons``: what they present; ``rollback``: the price the pump sold at.
    """
    charged = amount_of(volume_ml, price_milli, 2) if amount_minor is None else amount_minor
    presented = Presented(
        more.pop("level", "fm1_dynamic"),
        more.pop("clock_suspect", False),
        more.pop("points", None),
        tuple(more.pop("coupons", ())),
    )
    line = SaleLine(grade, group, volume_ml, price_milli, charged, more.pop("resolution_ml", None))
    return SaleFacts(SALE, more.pop("station", "SH-0421"), "CNY", 2, (line,), presented, **more)


def coupon(code: str = "C1", offer: str = "c", **facts: Any) -> PresentedCoupon:
    """A whole coupon that head office has reserved for this sale, unless told otherwise."""
    return PresentedCoupon(code, offer, **{"confirmed": True, **facts})


def member(**facts: Any) -> MemberFacts:
    """A member without a tier unless told otherwise."""
    return replace(MemberFacts(MEMBER), **facts)


NOBODY = None
"""The member of an unlinked sale."""
_PLAIN = MemberFacts(MEMBER)


def run(
    rule_set: RuleSet,
    sold: SaleFacts,
    who: MemberFacts | None = _PLAIN,
    *,
    budgets: BudgetView | None = None,
    at: LocalInstant | None = None,
) -> Evaluation:
    """Evaluate for a plain member unless told otherwise; pass NOBODY for an unlinked sale."""
    return evaluate(sold, who, rule_set, budgets or BudgetView(), at or instant())
