"""What random cases found in the engine, each as the smallest sale that shows it."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from agent.domain.member import UseCount, UseWindow
from agent.domain.rules.facts import Presented, PresentedCoupon
from agent.domain.rules.verdict import Code
from tests.support.loyalty import member, rules, run, sale

MONTH = {"window": "MONTH", "amount_minor": 500}
DAY = {"window": "DAY", "amount_minor": 700}
LIFE = {"window": "LIFE", "amount_minor": 900}


@pytest.mark.parametrize("limits", list(permutations([MONTH, DAY, LIFE])))
def test_the_order_of_limits_in_the_file_changes_nothing(limits):
    """Three limits that all trim: whichever stands first in the file, the code is the first of the list of codes."""
    offer = {"id": "x", "kind": "AMOUNT_OFF", "off_minor": 1_000, "limit": list(limits)}
    verdict = run(rules(offer), sale()).verdict("x")
    assert (verdict.value_minor, verdict.code, verdict.reason.detail) == (500, Code.CAPPED_AMOUNT, "MEMBER DAY")


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_limits_that_are_used_up_the_same_one_is_named(turned):
    """A day and a life of uses are both over: the file's order does not decide which of them the customer hears."""
    limits = [{"window": "LIFE", "uses": 2}, {"window": "DAY", "uses": 1}]
    offer = {"id": "x", "kind": "AMOUNT_OFF", "off_minor": 1_000, "limit": limits[::-1] if turned else limits}
    uses = (UseCount("x", UseWindow.DAY, "2026-11-21", 1, 1_000), UseCount("x", UseWindow.LIFE, "life", 2, 2_000))
    verdict = run(rules(offer), sale(), member(uses=uses)).verdict("x")
    assert (verdict.code, verdict.reason.detail) == (Code.DAILY_LIMIT, "MEMBER DAY")


def test_a_points_coupon_that_may_not_be_risked_says_so_before_anything_else():
    """Of a coupon that is used and also worth more than may be risked unchecked, the first code of the list is given."""
    offer = {"id": "x", "kind": "COUPON", "gives": "BONUS_POINTS", "points": 200}
    offer |= {"checking": "OFFLINE_WITH_RISK", "risk_up_to_minor": 199}
    shown = PresentedCoupon("C1", "x", used=True)
    found = run(rules(offer), replace(sale(), presented=Presented("sun", coupons=(shown,))))
    assert found.verdict("x").code is Code.OFFLINE_NOT_ALLOWED
