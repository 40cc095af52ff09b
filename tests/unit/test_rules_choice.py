"""The choice between offers: groups, exclusive offers, plans, caps of the program, lines and multipliers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.domain.rules.explain import explain
from agent.domain.rules.search import MAX_PLANS
from agent.domain.rules.stages import spread
from agent.domain.rules.verdict import Code, Verdict
from tests.support.loyalty import EARN, Table, coupon, member, rules, run, sale


def off(name: str, amount: int, /, **more: Any) -> Table:
    """A fixed amount off."""
    return {"id": name, "kind": "AMOUNT_OFF", "off_minor": amount, **more}


def test_first_takes_the_first_by_priority_and_id_even_if_it_saves_less():
    """FIRST looks at priority and id only; the others say which mate holds the group."""
    offers = [
        off("a", 300, group="g", priority=2),
        off("b", 100, group="g", priority=1),
        off("c", 50, group="g", priority=1),
    ]
    result = run(rules(*offers, groups=[("g", "FIRST")]), sale())
    assert result.discount_minor == 100
    assert {result.verdict(name).reason.by for name in ("a", "c")} == {"b"}


def test_exclusive_wins_alone_only_if_it_saves_more():
    """An exclusive offer forbids the others when it saves more than all of them, and loses to their sum otherwise."""
    small = [off("a", 300), off("b", 400)]
    won = run(rules(*small, off("only", 800, exclusive=True), *EARN), sale())
    assert won.discount_minor == 800
    assert {won.verdict(name).code for name in ("a", "b")} == {Code.EXCLUDED_BY}
    assert won.points_earned == 292
    lost = run(rules(*small, off("only", 600, exclusive=True)), sale())
    assert lost.discount_minor == 700
    assert (lost.verdict("only").code, lost.verdict("only").reason.by) == (Code.BEATEN_BY, "a+b")


@pytest.mark.parametrize("side", ["only", "a"])
def test_joint_on_either_side_is_enough(side):
    """An exclusive offer stands beside one that either of the two names in ``joint``."""
    first = off("a", 300, joint=["only"] if side == "a" else ["b"])
    only = off("only", 350, exclusive=True, **({"joint": ["a"]} if side == "only" else {}))
    result = run(rules(first, off("b", 200), only), sale())
    assert result.discount_minor == 650
    assert result.verdict("b").reason.by == "only"


def test_tier_offer_is_left_out_where_it_would_make_the_sale_dearer():
    """A tier's percent that would push the sale below a threshold gives way to the threshold."""
    percent = {"id": "gold", "kind": "PERCENT", "share_bp": 100, "when": {"tiers": ["gold"]}}
    threshold = {"id": "t", "kind": "SPEND_THRESHOLD", "off_minor": 2_000, "per_minor": 20_000, "basis": "RUNNING"}
    gold = run(rules(percent, threshold), sale(20_000), member(tier="gold"))
    plain = run(rules(percent, threshold), sale(20_000))
    assert gold.net_minor == plain.net_minor == 18_000
    assert gold.verdict("gold").code is Code.BEATEN_BY


def test_ties_go_to_the_first_list_of_priority_and_id():
    """Two mates that save the same: the one with the lower priority number, then id, is taken."""
    mates = [off("b", 100, group="g"), off("a", 100, group="g"), off("c", 100, group="g", priority=5)]
    assert run(rules(*mates, groups=[("g", "BEST")]), sale()).verdict("c").verdict is Verdict.APPLIED
    assert run(rules(*mates[:2], groups=[("g", "BEST")]), sale()).verdict("a").verdict is Verdict.APPLIED


def test_too_many_plans_are_searched_greedily_and_it_is_said():
    """Beyond 256 plans the search is greedy, finds at least what taking everything saves, and the explanation tells."""
    offers = [off(f"o{i:02d}", 10 + i, when={"tiers": ["gold"]}) for i in range(10)]
    result = run(rules(*offers, off("only", 100, exclusive=True)), sale(), member(tier="gold"))
    assert result.greedy
    assert result.plans_compared <= 2 * MAX_PLANS
    assert result.discount_minor == sum(10 + i for i in range(10))
    assert any("greedily" in sentence for sentence in explain(result, "en"))
    assert any("贪心" in sentence for sentence in explain(result, "zh-CN"))


def test_256_plans_are_compared_and_257_are_not():
    """Eight offers of a tier make 256 plans; one exclusive offer more makes one plan too many."""
    eight = [off(f"o{i}", 10 + i, when={"tiers": ["gold"]}) for i in range(8)]
    exact = run(rules(*eight), sale(), member(tier="gold"))
    assert (exact.greedy, exact.plans_compared) == (False, MAX_PLANS)
    assert not any("greedily" in sentence for sentence in explain(exact, "en"))
    assert run(rules(*eight, off("only", 1, exclusive=True)), sale(), member(tier="gold")).greedy


def test_greedy_search_never_makes_a_better_tier_or_a_coupon_dearer():
    """With far more than 256 plans, whose offers of a tier break a threshold, gold pays no more than silver or nobody's
    tier, and a coupon costs nothing.
    """
    gold = [{**off(f"g{i:02d}", 7 + i), "kind": "PER_LITRE", "off_milli": 1 + i} for i in range(12)]
    gold = [{k: v for k, v in offer.items() if k != "off_minor"} | {"when": {"tiers": ["gold"]}} for offer in gold]
    threshold = {"id": "t", "kind": "SPEND_THRESHOLD", "off_minor": 9_000, "per_minor": 30_000, "basis": "RUNNING"}
    off_coupon = {"id": "c", "kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 50}
    rule_set = rules(*gold, threshold, off_coupon)
    assert run(rule_set, sale()).net_minor == 21_000
    assert run(rule_set, sale(), member(tier="silver")).net_minor == 21_000
    best = run(rule_set, sale(), member(tier="gold"))
    assert (best.greedy, best.net_minor) == (True, 21_000)
    assert run(rule_set, sale(coupons=[coupon()]), member(tier="gold")).net_minor == 20_950


def test_losing_mate_of_an_exclusive_plan_and_a_useless_tier_offer_say_why():
    """An offer of a tier that would get nothing is told what leaves it nothing, whether the plan holds it or not."""
    early, late = (off(name, 30_000, when={"tiers": ["gold"]}) for name in ("a", "z"))
    result = run(rules(off("m", 30_000), early, late), sale(), member(tier="gold"))
    assert result.net_minor == 0
    assert {result.verdict(name).code for name in ("m", "z")} == {Code.CAPPED_AMOUNT}
    assert result.verdict("z").desired_minor == 30_000


def test_two_exclusive_offers_that_name_each_other_stand_together():
    """Exclusive offers may be joint: both are given, and a third that names only one of them is not."""
    one, two = off("one", 300, exclusive=True, joint=["two"]), off("two", 300, exclusive=True)
    result = run(rules(one, two, off("three", 100, joint=["one"])), sale())
    assert result.discount_minor == 600
    assert (result.verdict("three").code, result.verdict("three").reason.by) == (Code.EXCLUDED_BY, "two")


def test_first_group_passes_over_an_offer_of_a_tier_that_saves_less():
    """An offer of a tier at the head of a FIRST group may be left out for the next, never the next for a third."""
    mates = [
        off("a", 100, group="g", when={"tiers": ["gold"]}),
        off("b", 200, group="g"),
        off("c", 900, group="g"),
    ]
    result = run(rules(*mates, groups=[("g", "FIRST")]), sale(), member(tier="gold"))
    assert result.discount_minor == 200
    assert {result.verdict(name).reason.by for name in ("a", "c")} == {"b"}


def test_exclusive_offer_waits_behind_the_first_of_its_group():
    """In a FIRST group an exclusive mate is given only where the one before it may be left out."""
    first, second = off("a", 100, group="g"), off("b", 900, group="g", exclusive=True)
    assert run(rules(first, second, groups=[("g", "FIRST")]), sale()).discount_minor == 100
    gold = {**first, "when": {"tiers": ["gold"]}}
    assert run(rules(gold, second, groups=[("g", "FIRST")]), sale(), member(tier="gold")).discount_minor == 900


def test_shorter_list_wins_a_tie_where_it_is_a_prefix():
    """Two plans that save the same: the list of (priority, id) is compared element by element, a prefix first."""
    taken = off("a", 30_000)
    idle = off("b", 100, when={"tiers": ["gold"]})
    result = run(rules(taken, idle), sale(), member(tier="gold"))
    assert (result.verdict("b").code, result.verdict("b").value_minor) == (Code.CAPPED_AMOUNT, 0)
    assert [use.offer for use in result.uses] == ["a"]


def test_program_cap_is_spent_in_stage_order_and_not_by_points():
    """All discounts together stop at the program's share; the later stage is trimmed, points still pay."""
    from agent.domain.rules.facts import BudgetView

    offers = [
        off("late", 2_000),
        {"id": "early", "kind": "PERCENT", "share_bp": 500},
        {"id": "pay", "kind": "POINTS_AS_MONEY"},
    ]
    result = run(
        rules(*offers, program={"discount_cap_bp": 1_000}),
        sale(30_000, points=500),
        budgets=BudgetView(points_usable=500),
    )
    assert result.verdict("early").value_minor == 1_500
    assert (result.verdict("late").value_minor, result.verdict("late").desired_minor) == (1_500, 2_000)
    assert (result.points_money_minor, result.net_minor) == (500, 26_500)


def test_fixed_price_applies_only_below_the_pump_price():
    """The value is volume times the difference; a fixed price above the pump's gives nothing and costs nothing."""
    offer = {"id": "x", "kind": "FIXED_PRICE", "price_milli": 7_500}
    assert run(rules(offer), sale()).discount_minor == 1_338
    dear = run(rules({**offer, "price_milli": 8_000}), sale())
    assert (dear.discount_minor, dear.verdict("x").verdict) == (0, Verdict.REJECTED)


@pytest.mark.parametrize(("combine", "points"), [("ADDITIVE", 510), ("MAX", 450), ("PRODUCT", 540)])
def test_multipliers_combine_as_the_program_says(combine, points):
    """x1.2 and x1.5 on 300 points: 1.7, 1.5 or 1.8 times; a bonus is not multiplied."""
    offers = [
        {"id": "m12", "kind": "MULTIPLIER", "factor_pct": 120},
        {"id": "m15", "kind": "MULTIPLIER", "factor_pct": 150},
        {"id": "b", "kind": "BONUS_POINTS", "points": 50},
    ]
    result = run(rules(*EARN, *offers, program={"multipliers": combine}), sale(30_000))
    assert (result.points_earned, result.bonus_points) == (points, 50)
    capped = run(rules(*EARN, *offers, program={"multipliers": combine, "multiplier_cap_pct": 140}), sale(30_000))
    assert capped.points_earned == 420


def test_two_earn_rules_are_floored_each():
    """1.5 points and 1.5 points are 1 and 1, not 3."""
    two = [{"id": name, "kind": "EARN", "points": 1, "per_minor": 200} for name in ("a", "b")]
    assert run(rules(*two), sale(300)).points_earned == 2


@pytest.mark.parametrize(("scope", "parts"), [("LINE", (2, 2)), ("ORDER", (2, 1))])
def test_percent_rounds_per_line_or_once(scope, parts):
    """5 % on lines of 0.30 each: 0.02 + 0.02 per line, or 0.03 once with the remainder to the earlier line."""
    line = sale(30, volume_ml=1_000).lines[0]
    sold = replace(sale(), lines=(line, line))
    result = run(rules({"id": "x", "kind": "PERCENT", "share_bp": 500, "scope": scope}), sold)
    assert tuple(30 - net for net in result.line_nets_minor) == parts


def test_only_matching_lines_are_discounted_and_earn():
    """With petrol and diesel on one sale an offer on diesel touches the diesel line alone."""
    petrol, diesel = sale(10_000).lines[0], sale(10_000, group="diesel", grade="0").lines[0]
    sold = replace(sale(), lines=(petrol, diesel))
    offer = {"id": "x", "kind": "PERCENT", "share_bp": 1_000, "when": {"grades": ["0"]}}
    result = run(rules(offer, *EARN), sold)
    assert result.line_nets_minor == (10_000, 9_000)
    assert result.points_earned == 100 + 45


@pytest.mark.parametrize(
    ("weights", "parts"), [((1, 1, 1), [4, 3, 3]), ((0, 0, 0), [4, 3, 3]), ((1, 2, 3), [2, 3, 5]), ((0, 5), [0, 10])]
)
def test_spread_by_largest_remainder(weights, parts):
    """Ten units: equal remainders to the earlier place, all-zero weights share equally."""
    assert spread(10, weights) == parts


def test_near_miss_says_what_is_missing_in_both_languages():
    """A customer 12.40 short of a threshold reads exactly that."""
    offer = {"id": "x", "name": "T", "kind": "SPEND_THRESHOLD", "off_minor": 2_000, "per_minor": 20_000}
    result = run(rules(offer), sale(18_760))
    assert explain(result, "en")[0] == "T: 12.40 more gets 20.00 off."
    assert explain(result, "zh-CN")[0] == "T:再加 12.40 可享减 20.00。"
    with pytest.raises(ValueError, match="zh-CN, en"):
        explain(result, "fr")


def test_two_offers_of_one_campaign_share_its_lease():
    """With 7.00 left, 5.00 off takes its share first and the next offer of the campaign gets the 2.00 that remain."""
    from agent.domain.rules.facts import BudgetView, CampaignBudget

    budget = {"campaign": "c", "mode": "PARTIAL"}
    view = BudgetView((CampaignBudget("c", "lease", 700),))
    result = run(rules(off("a", 500, budget=budget), off("b", 500, budget=budget)), sale(), budgets=view)
    assert [result.verdict(name).value_minor for name in ("a", "b")] == [500, 200]
    assert [use.amount_minor for use in result.budgets] == [700]


def test_chinese_sentences_hold_no_english_words_for_conditions_and_limits():
    """Conditions and limits are named in the language of the sentence."""
    limited = off("x", 500, name="甲", limit=[{"window": "MONTH", "amount_minor": 300}])
    result = run(rules(limited, off("y", 1, name="乙", when={"tiers": ["gold"]})), sale())
    assert explain(result, "zh-CN")[:2] == [
        "甲:优惠 3.00,原为 5.00,已封顶 (CAPPED_MONTH, 会员每月)。",
        "乙:不在活动对象内(会员等级)。",
    ]
