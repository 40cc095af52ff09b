"""P8: quote and settlement of one sale by 50 offers, and how the time grows to 500: the engine alone, in its own time.

A sale that asks for everything: points, a coupon, tiers, groups, exclusive offers, limits, leases; the record as JSON
and the sentences for people are part of it.
"""

from __future__ import annotations

import json
import time
from statistics import median, quantiles

from agent.domain.ledger import Lot
from agent.domain.member import MemberFacts, UseCount, UseWindow
from agent.domain.rules.engine import evaluate
from agent.domain.rules.explain import explain
from agent.domain.rules.facts import BudgetView, CampaignBudget
from agent.domain.rules.load import parse
from agent.domain.rules.model import RuleSet
from agent.domain.settlement import Wallet, settle
from tests.bench.table import Row, within
from tests.support.loyalty import EARN, MEMBER, Table, coupon, document, instant, sale

ROUNDS = 400
AT = instant()
SOLD = sale(points=500, coupons=[coupon(offer="coupon")])
HELD = Wallet((Lot("lot", 500, 1, 0, None, "sale"),))
VIEW = BudgetView(tuple(CampaignBudget(f"c{number}", "lease", 10_000) for number in range(5)), 500)

_SHAPES: tuple[Table, ...] = (
    {"kind": "PER_LITRE", "off_milli": 50, "group": "litre"},
    {"kind": "PERCENT", "share_bp": 300, "when": {"grades": ["95"]}},
    {"kind": "AMOUNT_OFF", "off_minor": 10, "when": {"tiers": ["gold"]}},
    {"kind": "SPEND_THRESHOLD", "off_minor": 50, "per_minor": 10_000, "basis": "RUNNING", "group": "spend"},
    {"kind": "BONUS_POINTS", "points": 5, "limit": [{"window": "DAY", "uses": 1}]},
    {"kind": "MULTIPLIER", "factor_pct": 110, "when": {"tags": ["taxi"]}},
    {"kind": "AMOUNT_OFF", "off_minor": 200, "exclusive": True},
    {"kind": "PERCENT", "share_bp": 50, "when": {"window": [{"from": "22:00", "to": "06:00"}]}},
    {"kind": "GIFT_ITEM", "item": "water", "when": {"min_amount_minor": 50_000}},
    {"kind": "PER_LITRE", "off_milli": 5, "when": {"holdout_bp": 5_000}, "budget": {"campaign": "c1"}},
)
"""What a chain's offers look like, in equal parts: most do not apply, the others compete, stack and exclude."""


def rule_set(offers: int) -> RuleSet:
    """Return a rule set of so many offers."""
    fixed: list[Table] = [*EARN, {"id": "pay", "kind": "POINTS_AS_MONEY"}]
    fixed.append({"id": "coupon", "kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 1_000})
    shaped = [{"id": f"offer-{index:03d}", **_SHAPES[index % len(_SHAPES)]} for index in range(offers - len(fixed))]
    groups = [("litre", "BEST"), ("spend", "BEST")]
    return parse(document(*fixed, *shaped, groups=groups, program={"discount_cap_bp": 9_000}))


def member(offers: int) -> MemberFacts:
    """Return a gold member with use counts of every third offer."""
    windows = ((UseWindow.DAY, "2026-11-21"), (UseWindow.LIFE, "life"))
    names = [f"offer-{index:03d}" for index in range(0, offers, 3)]
    uses = tuple(UseCount(name, window, period, 1, 100) for name in names for window, period in windows)
    return MemberFacts(MEMBER, tier="gold", tags=frozenset({"taxi"}), uses=uses)


def settled_ms(rules: RuleSet, who: MemberFacts) -> float:
    """Return the time of one quote and settlement in this process's own milliseconds."""
    begun = time.process_time()
    quote = evaluate(SOLD, who, rules, VIEW, AT)
    settlement = settle(quote, rule_hash="0" * 64, wallet=HELD, ended_ms=AT.unix_ms, now_ms=AT.unix_ms)
    json.dumps(settlement.record())
    explain(quote, "zh-CN")
    return (time.process_time() - begun) * 1_000


def measure() -> list[Row]:
    """The 99th percentile of 50 offers, and the time per offer of 500 against that of 50, in turns."""
    small, large = (rule_set(50), member(50)), (rule_set(500), member(500))
    few: list[float] = []
    many: list[float] = []
    for turn in range(ROUNDS):
        few.append(settled_ms(*small))
        if turn % 10 == 0:
            many.append(settled_ms(*large))
    grows = (median(many) / 500) / (median(few) / 50)
    p99_ms = quantiles(few, n=100)[98]
    what = "quote and settlement by 50 offers, p99"
    return [
        within("P8", what, p99_ms, unit="ms", at_most=5.0),
        within("P8", "time per offer, 500 offers against 50", grows, unit="x", at_most=1.5),
    ]
