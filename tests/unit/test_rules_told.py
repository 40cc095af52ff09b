"""Facts of an evaluation kept as plain data: the same answer comes again, and nothing is kept that no offer asks about."""

from __future__ import annotations

import json
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from agent.domain.member import MemberFacts, UseCount, UseWindow
from agent.domain.rules.engine import evaluate
from agent.domain.rules.facts import (
    BudgetView,
    CampaignBudget,
    Presented,
    PresentedCoupon,
    Purpose,
    RollbackGiven,
    SaleFacts,
    SaleLine,
)
from agent.domain.rules.told import ToldError, keep, recall
from tests.support.loyalty import EARN, MEMBER, SALE, instant, member, rules, run, sale

OFFERS = (
    *EARN,
    {"id": "day", "kind": "AMOUNT_OFF", "off_minor": 500, "limit": [{"window": "DAY", "uses": 1}], "when": {"tags": ["vip"]}},
    {"id": "birthday", "kind": "PERCENT", "share_bp": 500, "when": {"birthday": "DAY"}},
    {"id": "fund", "kind": "PER_LITRE", "off_milli": 100, "budget": {"campaign": "spring", "mode": "PARTIAL"}},
    {"id": "pay", "kind": "POINTS_AS_MONEY"},
)  # fmt: skip
FULL = MemberFacts(
    MEMBER,
    tier="gold",
    growth=5_000,
    tags=frozenset({"vip", "fleet"}),
    birthday_md="11-21",
    visits=7,
    first_fill_used=True,
    flags=frozenset({"watched"}),
    mask="*4567",
    uses=(
        UseCount("day", UseWindow.DAY, "2026-11-20", 1, 500),
        UseCount("day", UseWindow.DAY, "2026-11-21", 1, 500),
        UseCount("pay", UseWindow.LIFE, "life", 3, 300),
    ),
)
VIEW = BudgetView(
    (CampaignBudget("spring", "L1", 120), CampaignBudget("other", "L2", 9)),
    700,
    (UseCount("day", UseWindow.DAY, "2026-11-21", 4, 2_000), UseCount("pay", UseWindow.DAY, "2026-11-21", 1, 1)),
)


def test_the_same_answer_comes_from_kept_facts():
    """Kept as JSON text and read again, the facts give the same evaluation, verdict by verdict."""
    rule_set = rules(*OFFERS)
    for purpose in (None, Purpose.OWN_USE):
        given = run(rule_set, sale(points=600, purpose=purpose), FULL, budgets=VIEW)
        again = recall(json.loads(json.dumps(keep(given))), ZoneInfo).evaluate(rule_set)
        assert again.verdicts == given.verdicts
        assert (again.net_minor, again.points_earned, again.budgets) == (
            given.net_minor,
            given.points_earned,
            given.budgets,
        )
        assert (again.uses, again.sale, again.instant) == (given.uses, given.sale, given.instant)


def test_facts_about_nobody_are_kept_too():
    """A sale without a member and without a lift seen is answered again as it was."""
    rule_set = rules(*OFFERS)
    at = instant("2026-11-21T16:00:00+08:00")
    given = evaluate(sale(), None, rule_set, BudgetView(), type(at)(at.unix_ms, at.zone, lift_seen=False))
    again = recall(keep(given), ZoneInfo).evaluate(rule_set)
    assert (again.member, again.flags, again.verdicts) == (None, ("NO_LIFT_SEEN",), given.verdicts)


def test_every_fact_of_a_sale_comes_back():
    """Coupons, a lower price at the pump, several lines and a suspect clock stand in the record as they were."""
    coupon = PresentedCoupon("C1", "day", MEMBER, date(2026, 12, 31), False, 250, "SH-0421", True)
    lines = (SaleLine("92", "petrol", 10_000, 7_850, 7_850, 10), SaleLine("ad", None, 1_000, 5_000, 500))
    facts = SaleFacts(
        SALE, "SH-0421", "CNY", 2, lines, Presented("sun", True, 100, (coupon,)), None, RollbackGiven("day", 8_000)
    )
    given = evaluate(facts, FULL, rules(*EARN), VIEW, instant())
    assert recall(keep(given), ZoneInfo).sale == facts


def test_nothing_is_kept_that_no_offer_asks_about():
    """No mask, no flag, no tag of another campaign; no birthday where none is asked; only counts of this day."""
    kept = keep(run(rules(*OFFERS), sale(), FULL, budgets=VIEW))
    assert kept["member"] == {
        "member": MEMBER, "tier": "gold", "tags": ["vip"], "birthday_md": "11-21", "visits": 7, "first_fill_used": True,
        "uses": [{"offer": "day", "window": "DAY", "period": "2026-11-21", "uses": 1, "amount": 500}],
    }  # fmt: skip
    assert [budget["campaign"] for budget in kept["budgets"]["campaigns"]] == ["spring"]
    assert [count["offer"] for count in kept["budgets"]["station_uses"]] == ["day"]
    assert keep(run(rules(*EARN), sale(), FULL))["member"] == {
        "member": MEMBER, "tier": "gold", "visits": 7, "first_fill_used": True,
    }  # fmt: skip


def test_facts_without_news_are_short():
    """What stands at its default is left out: a plain sale of a plain member costs few bytes."""
    assert len(json.dumps(keep(run(rules(*EARN), sale(), member())))) < 500


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sale", {"sale": SALE}),
        ("sale", {"sale": SALE, "later": 1}),
        ("member", {"member": "Z"}),
        ("instant", {"unix_ms": 1}),
        ("budgets", None),
        ("budgets", {"points_usable": "7"}),
        ("budgets", {"points_usable": True}),
    ],
)
def test_damaged_facts_are_an_error_of_their_own(key, value):
    """A missing, unknown or wrong value is told, never guessed."""
    kept = keep(run(rules(*EARN), sale(), member()))
    with pytest.raises(ToldError, match="cannot be read"):
        recall({**kept, key: value}, ZoneInfo)
