"""Lint between offers: shadows, shares that add up to everything, bigger sales that are dearer; each on both sides."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.rules.findings import Finding, Lint
from agent.domain.rules.lint import lint
from agent.domain.rules.lint_dearer import MAX_COMPARED
from tests.support.loyalty import Groups, Table, document, rules, run, sale
from tests.support.rule_doubts import found, offer

# --- shadows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({}, {"tags": ["a"]}),
        ({"tags": ["a", "b"]}, {"tags": ["a"]}),
        ({"grades": ["92", "95"]}, {"grades": ["95"]}),
        ({"weekdays": ["mon", "tue"]}, {"weekdays": ["tue"]}),
        ({"window": [{"from": "22:00", "to": "06:00"}]}, {"window": [{"from": "00:00", "to": "05:00"}]}),
        ({"starts_on": "2026-03-01"}, {"starts_on": "2026-03-01", "ends_on": "2026-03-31"}),
        ({"min_amount_minor": 9_999}, {"min_amount_minor": 10_000}),
        ({"min_volume_ml": 9_000}, {"min_volume_ml": 10_000}),
        ({"visit_every": 3}, {"visit_at": 6}),
        ({"visit_from": 6}, {"visit_at": 6}),
        ({"birthday": "MONTH"}, {"birthday": "DAY"}),
        ({"min_level": "number"}, {"min_level": "sun"}),
        ({"anyone": True}, {"tags": ["a"]}),
        ({"stations": ["A", "B"]}, {"stations": ["B"]}),
    ],
)
def test_a_first_mate_with_wider_conditions_leaves_nothing(wide, narrow):
    """In a FIRST group an offer never applies behind a mate that holds wherever it holds; before that mate it does."""
    first, second = offer("PERCENT", "a", group="g", when=wide), offer("PERCENT", "b", group="g", when=narrow)
    groups = [("g", "FIRST")]
    assert found(first, second, groups=groups) == [(Lint.SHADOWED, "offer[1].group")]
    assert found(first | {"priority": 101}, second, groups=groups) == []


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({"tags": ["a"]}, {"tags": ["a", "b"]}),
        ({"tags": ["a"]}, {}),
        ({"grades": ["95"]}, {"grades": ["92", "95"]}),
        ({"weekdays": ["tue"]}, {"weekdays": ["mon", "tue"]}),
        ({"window": [{"from": "22:00", "to": "05:59"}]}, {"window": [{"from": "00:00", "to": "06:00"}]}),
        ({"starts_on": "2026-03-02"}, {"starts_on": "2026-03-01", "ends_on": "2026-03-31"}),
        ({"ends_on": "2026-03-30"}, {"starts_on": "2026-03-01", "ends_on": "2026-03-31"}),
        ({"min_amount_minor": 10_001}, {"min_amount_minor": 10_000}),
        ({"min_volume_ml": 10_001}, {"min_volume_ml": 10_000}),
        ({"visit_every": 4}, {"visit_at": 6}),
        ({"visit_at": 6}, {"visit_every": 6}),
        ({"visit_from": 7}, {"visit_at": 6}),
        ({"birthday": "DAY"}, {"birthday": "MONTH"}),
        ({"min_level": "sun"}, {"min_level": "number"}),
        ({}, {"anyone": True}),
        ({"holdout_bp": 1}, {}),
        ({"first_fill": True}, {"first_fill": True}),
        ({"stations": ["A"]}, {"stations": ["A", "B"]}),
    ],
)
def test_a_first_mate_that_sometimes_fails_leaves_room(wide, narrow):
    """Where the mate in front may be refused on one sale, the offer behind it can apply."""
    first, second = offer("PERCENT", "a", group="g", when=wide), offer("PERCENT", "b", group="g", when=narrow)
    assert found(first, second, groups=[("g", "FIRST")]) == []


@pytest.mark.parametrize(
    "more", [{"limit": [{"window": "DAY", "uses": 1}]}, {"budget": {"campaign": "c"}}, {"exclusive": True}]
)
def test_a_first_mate_that_runs_out_or_may_be_left_out_leaves_room(more):
    """A limit is used up, a budget spent, an exclusive offer left out: then the next of the group comes."""
    first, second = offer("PERCENT", "a", group="g"), offer("PERCENT", "b", group="g", share_bp=400)
    assert found(first, second, groups=[("g", "FIRST")]) == [(Lint.SHADOWED, "offer[1].group")]
    assert found(first | more, second, groups=[("g", "FIRST")]) == []


def test_a_tier_leaves_room_in_a_group_of_discounts_but_not_of_points():
    """A plan may do without a tier's discount; of rewards a FIRST group keeps the first whatever it asks."""
    gold = {"when": {"tiers": ["gold"]}}
    money = [offer("PERCENT", "a", group="g", **gold), offer("PERCENT", "b", group="g", **gold)]
    bonus = [offer("BONUS_POINTS", "a", group="g", **gold), offer("BONUS_POINTS", "b", group="g", **gold)]
    assert found(*money, groups=[("g", "FIRST")]) == []
    assert found(*bonus, groups=[("g", "FIRST")]) == [(Lint.SHADOWED, "offer[1].group")]


@pytest.mark.parametrize(
    ("kind", "key", "better", "worse"),
    [
        ("PER_LITRE", "off_milli", 100, 99),
        ("PERCENT", "share_bp", 500, 499),
        ("AMOUNT_OFF", "off_minor", 500, 499),
        ("SPEND_THRESHOLD", "off_minor", 2_000, 1_999),
        ("FIXED_PRICE", "price_milli", 7_000, 7_001),
        ("BONUS_POINTS", "points", 100, 99),
        ("EARN", "points", 2, 1),
    ],
)
def test_a_best_mate_that_gives_as_much_leaves_nothing(kind, key, better, worse):
    """In a BEST group the better of two offers for the same customers always wins; of equal ones the first does."""
    groups = [("g", "BEST")]
    weak, strong = offer(kind, "a", group="g", **{key: worse}), offer(kind, "b", group="g", **{key: better})
    assert found(weak, strong, groups=groups) == [(Lint.SHADOWED, "offer[0].group")]
    assert found(strong | {"id": "a"}, strong, groups=groups) == [(Lint.SHADOWED, "offer[1].group")]
    assert found(weak, strong | {"when": {"tags": ["vip"]}}, groups=groups) == []


@pytest.mark.parametrize(
    "more",
    [{"cap": {"amount_minor": 100}}, {"cap": {"volume_ml": 9_000}}, {"exclusive": True}, {"limit": [{"window": "DAY", "uses": 1}]}],
)  # fmt: skip
def test_a_better_mate_with_a_cap_or_alone_leaves_room(more):
    """A cap, a limit or the loss of every other discount can make the lesser offer the better one."""
    weak, strong = offer("PER_LITRE", "a", group="g"), offer("PER_LITRE", "b", group="g", off_milli=300)
    assert found(weak, strong | more, groups=[("g", "BEST")]) == []


def test_offers_of_different_kinds_or_bases_are_not_compared():
    """Which of a percentage and an amount is better depends on the sale."""
    pair = (offer("PERCENT", "a", group="g"), offer("AMOUNT_OFF", "b", group="g"))
    assert found(*pair, groups=[("g", "BEST")]) == []
    bases = (offer("PERCENT", "a", group="g"), offer("PERCENT", "b", group="g", share_bp=600, basis="GROSS"))
    assert found(*bases, groups=[("g", "BEST")]) == []


# --- more than everything -----------------------------------------------------------------------------------------


def test_shares_of_the_gross_that_meet_may_come_to_all_of_it_but_not_more():
    """60 % and 40 % are everything, 60 % and 40.01 % more than that: told once, with the sum."""
    half = offer("PERCENT", "a", share_bp=6_000, basis="GROSS")
    rest = offer("PERCENT", "b", share_bp=4_001, basis="GROSS")
    (told,) = lint(document(half, rest))
    assert (told.code, told.path, told.numbers) == (Lint.FREE_FUEL, "offer[0].share_bp", {"sum_bp": 10_001})
    assert found(half, rest | {"share_bp": 4_000}) == []


@pytest.mark.parametrize(
    ("one", "other", "program"),
    [
        ({"weekdays": ["mon"]}, {"weekdays": ["tue"]}, {}),
        ({"grades": ["92"]}, {"grades": ["95"]}, {}),
        ({"product_groups": ["petrol"]}, {"product_groups": ["diesel"]}, {}),
        ({"window": [{"from": "06:00", "to": "12:00"}]}, {"window": [{"from": "12:00", "to": "18:00"}]}, {}),
        ({"ends_on": "2026-03-01"}, {"starts_on": "2026-03-02"}, {}),
        ({"visit_at": 1}, {"visit_from": 2}, {}),
        ({"visit_at": 1}, {"visit_at": 2}, {}),
        ({"visit_every": 2}, {"visit_at": 3}, {}),
        ({}, {}, {"discount_cap_bp": 9_999}),
        ({}, {}, {"discount_cap_minor": 100}),
    ],
)
def test_shares_that_never_meet_or_are_capped_are_no_doubt(one, other, program):
    """What never falls on one sale, or is capped by the program, cannot give everything away."""
    shares = {"share_bp": 6_000, "basis": "GROSS"}
    assert (
        found(offer("PERCENT", "a", when=one, **shares), offer("PERCENT", "b", when=other, **shares), **program) == []
    )


def test_shares_of_one_group_do_not_add_up():
    """A BEST group gives one of them, and shares of the running net never come to everything."""
    shares = {"share_bp": 6_000, "basis": "GROSS", "when": {"tags": ["a"]}}
    alone = {**shares, "group": "g", "when": {"tags": ["b"]}}
    assert (
        found(offer("PERCENT", "a", **alone), offer("PERCENT", "b", **shares | {"group": "g"}), groups=[("g", "BEST")])
        == []
    )
    assert found(offer("PERCENT", "a", **shares | {"basis": "RUNNING"}), offer("PERCENT", "b", **shares)) == []


# --- dearer -------------------------------------------------------------------------------------------------------


def dearer(*offers: Table, groups: Groups = (), **program: Any) -> Finding | None:
    """The finding about a bigger sale that is dearer, if there is one."""
    told = [one for one in lint(document(*offers, groups=groups, program=program)) if one.code is Lint.DEARER]
    assert len(told) < 2
    return told[0] if told else None


def test_a_threshold_by_itself_makes_a_bigger_sale_cheaper_which_is_no_fault():
    """20 off from 200 on: 199.99 costs 199.99, 200.00 costs 180.00."""
    assert dearer(offer("SPEND_THRESHOLD")) is None
    assert dearer(offer("SPEND_THRESHOLD", repeat=5), offer("PERCENT", "y", when={"min_amount_minor": 30_000})) is None


def test_a_threshold_that_takes_the_place_of_more_makes_a_bigger_sale_dearer():
    """Of 20 off per 200 or else 10.01 %, 199.99 saves 20.02 and 200.00 only 20.00; at 10 % both save 20.00."""
    first, second = offer("SPEND_THRESHOLD", "a", group="g"), offer("PERCENT", "b", group="g", share_bp=1_001)
    told = dearer(first, second, groups=[("g", "FIRST")])
    assert told is not None
    assert told.path == "offer[0]"
    assert told.numbers == {
        "smaller_gross_minor": 19_999, "smaller_net_minor": 17_997,
        "bigger_gross_minor": 20_000, "bigger_net_minor": 18_000,
    }  # fmt: skip
    assert dearer(first, second | {"share_bp": 1_000}, groups=[("g", "FIRST")]) is None
    assert dearer(first, second, groups=[("g", "BEST")]) is None


def test_the_amounts_of_the_finding_are_those_that_the_engine_charges():
    """Somebody who tries the two sales sees what the finding says."""
    offers = (offer("SPEND_THRESHOLD", "a", group="g"), offer("PERCENT", "b", group="g", share_bp=2_000))
    told = dearer(*offers, groups=[("g", "FIRST")])
    assert told is not None
    rule_set = rules(*offers, groups=[("g", "FIRST")])
    for side in ("smaller", "bigger"):
        gross = told.numbers[f"{side}_gross_minor"]
        assert run(rule_set, sale(gross)).net_minor == told.numbers[f"{side}_net_minor"]


@pytest.mark.parametrize(("least_minor", "told"), [(20_500, True), (19_000, False), (22_300, False)])
def test_a_discount_that_undoes_a_threshold_of_the_running_net(least_minor, told):
    """5 % from 205 on leaves 194.75, so 20 off per 200 of the running net is lost; from 190 on nothing was there to
    lose, and from 223 on 10.5 % less than 200 is never left.
    """
    threshold = offer("SPEND_THRESHOLD", "a", basis="RUNNING")
    percent = offer("PERCENT", "b", when={"min_amount_minor": least_minor})
    found_it = dearer(threshold, percent)
    assert (found_it is not None) is told
    if found_it is not None:
        assert found_it.numbers["smaller_net_minor"] == 18_499
        assert found_it.numbers["bigger_net_minor"] == 19_475
    assert dearer(threshold | {"basis": "GROSS"}, percent) is None


def test_litres_as_a_threshold_are_priced_too():
    """0.01 off each of at least 30 litres in place of 5 off everything: the thirtieth litre is dear."""
    first = offer("PER_LITRE", "a", group="g", off_milli=10, when={"min_volume_ml": 30_000})
    second = offer("AMOUNT_OFF", "b", group="g")
    told = dearer(first, second, groups=[("g", "FIRST")])
    assert told is not None
    assert told.numbers["bigger_net_minor"] - told.numbers["smaller_net_minor"] > 400
    assert dearer(first | {"off_milli": 170}, second, groups=[("g", "FIRST")]) is None


@pytest.mark.parametrize(("late", "told"), [("CONVERT", True), ("REJECT", False)])
def test_a_roll_back_that_comes_too_late_is_a_discount_like_others(late, told):
    """0.20 off each of at least 26 litres, given at the till, leaves less than 200.00: 20 off per 200 is lost."""
    pump = offer("PUMP_ROLLBACK", "a", late=late, when={"min_volume_ml": 26_000})
    assert (dearer(pump, offer("SPEND_THRESHOLD", "b", basis="RUNNING")) is not None) is told


def test_two_small_discounts_together_undo_a_threshold():
    """Neither 3 % alone takes 209.00 below 200.00 running, both do: only the second begins there."""
    threshold = offer("SPEND_THRESHOLD", "a", basis="RUNNING", off_minor=2_000)
    always, later = (
        offer("PERCENT", "b", share_bp=300),
        offer("PERCENT", "c", share_bp=300, when={"min_amount_minor": 20_900}),
    )
    assert dearer(threshold, later) is None
    told = dearer(threshold, always, later)
    assert told is not None
    assert told.offer == "c"


def test_offers_that_never_meet_make_nothing_dearer():
    """What runs on other days takes nothing away."""
    first = offer("SPEND_THRESHOLD", "a", group="g", when={"weekdays": ["mon"]})
    second = offer("PERCENT", "b", group="g", share_bp=2_000)
    groups = [("g", "FIRST")]
    assert dearer(first, second | {"when": {"weekdays": ["tue"]}}, groups=groups) is None
    assert dearer(first, second | {"when": {"weekdays": ["mon"]}}, groups=groups) is not None


def test_what_never_applies_makes_nothing_dearer():
    """20 % that is over, or stands behind a mate that always comes first, was nothing to lose."""
    first, second = offer("SPEND_THRESHOLD", "b", group="g"), offer("PERCENT", "c", group="g", share_bp=2_000)
    over = second | {"when": {"ends_on": "2025-12-31"}}
    assert dearer(first, over, groups=[("g", "FIRST")]) is None
    assert dearer(first, over | {"when": {"ends_on": "2026-01-01"}}, groups=[("g", "FIRST")]) is not None
    always = offer("AMOUNT_OFF", "a", group="g", priority=101)
    assert dearer(first, always, second | {"priority": 102}, groups=[("g", "FIRST")]) is None


def test_a_tier_is_never_made_dearer_by_its_own_threshold():
    """A tier's offer may be left out, so the engine keeps the better mate."""
    first = offer("SPEND_THRESHOLD", "a", group="g", when={"tiers": ["gold"]})
    assert dearer(first, offer("PERCENT", "b", group="g", share_bp=2_000), groups=[("g", "FIRST")]) is None


def test_too_many_combinations_are_said():
    """A rule set with more combinations than are priced says that not all were looked at."""
    many = [offer("SPEND_THRESHOLD", f"o{n}", group="g", priority=n, when={"tags": [f"t{n}"]}) for n in range(46)]
    assert 46 * 45 // 2 == 1_035 > MAX_COMPARED >= 45 * 44 // 2
    assert found(*many, groups=[("g", "FIRST")]) == [(Lint.NOT_ALL_COMPARED, "offer")]
    assert found(*many[:45], groups=[("g", "FIRST")]) == []


def test_a_coupon_of_points_is_worth_its_steps():
    """200 points pay 2.00, so a coupon of 200 points needs a risk of 2.00 to be taken unchecked."""
    points = {"id": "c", "kind": "COUPON", "gives": "BONUS_POINTS", "points": 200, "checking": "OFFLINE_WITH_RISK"}
    assert found(points | {"risk_up_to_minor": 199}) == [(Lint.NO_EFFECT, "offer[0].risk_up_to_minor")]
    assert found(points | {"risk_up_to_minor": 200}) == []


def test_a_price_at_the_pump_and_a_coupon_stand_in_nobodys_shadow():
    """What must be presented, or set before the lift, does not stand in the way of the next of its group."""
    for first in (offer("COUPON", "a", group="g"), offer("PUMP_ROLLBACK", "a", group="g")):
        assert found(first, offer("AMOUNT_OFF", "b", group="g"), groups=[("g", "FIRST")]) == []
