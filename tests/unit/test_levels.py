"""Limits of auth levels on a day: just below, at and above each of them, and what they do to every kind of offer."""

from dataclasses import replace

import pytest

from agent.domain.identity import AuthLevel
from agent.domain.levels import Day, LevelLimits, redeem_limit, withheld
from agent.domain.rules.engine import evaluate
from agent.domain.rules.facts import (
    LEVEL_SALES,
    LEVEL_VOLUME,
    REDEEM_DAY,
    STAFF_CARDS,
    BudgetView,
    Presented,
    RedeemLimit,
    Withheld,
)
from agent.domain.rules.verdict import Code, Evaluation, Verdict
from tests.support.loyalty import EARN, Table, instant, member, rules, sale

LIMITS = LevelLimits(redeem_minor=5_000)
POINTS: Table = {"id": "pay", "kind": "POINTS_AS_MONEY"}
AUTOMATIC: Table = {"id": "off", "kind": "AMOUNT_OFF", "off_minor": 100}
FOR_ALL: Table = {"id": "all", "kind": "AMOUNT_OFF", "off_minor": 50, "when": {"anyone": True}}


@pytest.mark.parametrize(
    ("earlier", "volume_ml", "expected"),
    [
        (Day(0, 0), 200_000, None),
        (Day(0, 0), 200_001, Withheld(LEVEL_VOLUME, 200_000, 200_001)),
        (Day(1, 199_999), 1, None),
        (Day(1, 199_999), 2, Withheld(LEVEL_VOLUME, 200_000, 200_001)),
        (Day(2, 2), 1, Withheld(LEVEL_SALES, 2, 2)),
        (Day(5, 0), 1, Withheld(LEVEL_SALES, 2, 5)),
    ],
)
def test_a_bare_card_number_earns_on_two_sales_and_200_litres_a_day(earlier, volume_ml, expected):
    """Level uid keeps its limits to the millilitre; no other level has them."""
    assert withheld(AuthLevel.UID, LIMITS, earlier, volume_ml) == expected
    for level in set(AuthLevel) - {AuthLevel.UID}:
        assert withheld(level, LIMITS, Day(99, 9_999_999), volume_ml) is None


@pytest.mark.parametrize(("used", "left"), [(0, 5_000), (4_999, 1), (5_000, 0), (5_001, 0)])
def test_what_points_may_still_pay_is_never_below_nothing(used, left):
    """The rest of the day, to the minor unit."""
    assert redeem_limit(LIMITS, used).left_minor == left


def priced(*offers: Table, over: Withheld | None = None, points: int | None = None, day: RedeemLimit | None = None):
    """A sale of 300.00 with 9,999 usable points."""
    facts = replace(sale(), presented=Presented("sun", points=points, withheld=over))
    return evaluate(facts, member(), rules(*offers), BudgetView(points_usable=9_999, redeem=day), instant())


@pytest.mark.parametrize(
    ("over", "code"),
    [(Withheld(LEVEL_SALES, 2, 2), Code.DAILY_LIMIT), (Withheld(LEVEL_VOLUME, 200_000, 200_001), Code.CAPPED_VOLUME)],
)
def test_a_sale_beyond_its_levels_limit_earns_nothing_and_says_which_limit(over, code):
    """Whatever is for members is refused with the limit and both numbers; an offer for anyone is given as ever."""
    found: Evaluation = priced(*EARN, AUTOMATIC, FOR_ALL, over=over)
    for offer in ("earn-petrol", "off"):
        reason = found.verdict(offer).reason
        assert (reason.code, reason.needed, reason.actual, reason.detail) == (
            code,
            over.needed,
            over.actual,
            over.limit,
        )
    assert found.verdict("all").verdict is Verdict.APPLIED
    assert (found.points_earned, found.discount_minor) == (0, 50)


def test_more_fuel_on_a_staff_card_than_is_allowed_gives_discounts_and_no_points():
    """Only points are withheld there."""
    found = priced(*EARN, AUTOMATIC, over=Withheld(STAFF_CARDS, 1, 1))
    assert found.verdict("earn-petrol").reason.code is Code.DAILY_LIMIT
    assert (found.points_earned, found.discount_minor) == (0, 100)


@pytest.mark.parametrize(
    ("used", "asked", "spent", "code"),
    [
        (0, 4_900, 4_900, Code.OK),
        (0, 5_000, 5_000, Code.OK),
        (0, 5_100, 5_000, Code.CAPPED_AMOUNT),
        (4_900, 500, 100, Code.CAPPED_AMOUNT),
        (4_950, 500, 0, Code.CAPPED_AMOUNT),
        (5_000, 100, 0, Code.CAPPED_AMOUNT),
    ],
)
def test_points_pay_up_to_the_limit_of_the_day(used, asked, spent, code):
    """50.00 a day and not a step more, whatever the balance; the reason names limit and what was used."""
    found = priced(POINTS, points=asked, day=RedeemLimit(5_000, used))
    reason = found.verdict("pay").reason
    assert (found.points_redeemed, reason.code) == (spent, code)
    if code is not Code.OK:
        assert (reason.needed, reason.actual, reason.detail) == (5_000, used, REDEEM_DAY)
    assert (found.verdict("pay").verdict is Verdict.REJECTED) is (spent == 0)


def test_two_offers_that_take_points_share_the_day():
    """What one of them took, the other may not take again."""
    second = {**POINTS, "id": "pay-2", "priority": 200}
    share = {**POINTS, "share_bp": 1_000}
    found = priced(share, second, points=9_900, day=RedeemLimit(5_000, 0))
    assert found.points_redeemed == 5_000
