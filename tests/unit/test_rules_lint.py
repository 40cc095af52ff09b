"""Lint of rule sets: each finding on one side of its line and silence on the other, and what is refused outright."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent.domain.rules.fields import RuleSetError
from agent.domain.rules.lint import Finding, Lint, lint
from agent.domain.rules.lint_dearer import MAX_COMPARED
from agent.domain.rules.load import parse
from tests.support.loyalty import Groups, Table, document, rules, run, sale

ROOT = Path(__file__).parents[2]


def offer(kind: str, name: str = "x", **more: Any) -> Table:
    """An offer of a kind with harmless terms where none are given."""
    terms: dict[str, Table] = {
        "PER_LITRE": {"off_milli": 100},
        "PERCENT": {"share_bp": 500},
        "AMOUNT_OFF": {"off_minor": 500},
        "SPEND_THRESHOLD": {"off_minor": 2_000, "per_minor": 20_000},
        "FIXED_PRICE": {"price_milli": 7_000},
        "EARN": {"points": 1, "per_minor": 100},
        "MULTIPLIER": {"factor_pct": 200},
        "BONUS_POINTS": {"points": 100},
        "POINTS_AS_MONEY": {},
        "GIFT_ITEM": {"item": "water"},
        "COUPON": {"gives": "AMOUNT_OFF", "off_minor": 1_500},
        "PUMP_ROLLBACK": {"off_milli": 200},
    }
    return {"id": name, "kind": kind, **terms[kind], **more}


def found(*offers: Table, groups: Groups = (), **program: Any) -> list[tuple[Lint, str]]:
    """The findings on a document of these offers: what and where."""
    return [(one.code, one.path) for one in lint(document(*offers, groups=groups, program=program))]


def refused(*offers: Table) -> dict[str, str]:
    """What a document of these offers is refused for."""
    with pytest.raises(RuleSetError) as caught:
        parse(document(*offers))
    return {problem.path: problem.problem for problem in caught.value.problems}


WHEN = "offer[0].when."


@pytest.mark.parametrize(
    ("bad", "good", "path", "problem"),
    [
        ({"visit_at": 5, "visit_every": 3}, {"visit_at": 6, "visit_every": 3}, "visit_at", "5 is no multiple of visit_every 3"),
        ({"visit_at": 4, "visit_from": 5}, {"visit_at": 5, "visit_from": 5}, "visit_at", "4 is before visit_from 5"),
        (
            {"starts_on": "2026-11-23", "ends_on": "2026-11-24", "weekdays": ["sun", "wed"]},
            {"starts_on": "2026-11-23", "ends_on": "2026-11-25", "weekdays": ["sun", "wed"]},
            "weekdays",
            "none lies between 2026-11-23 and 2026-11-24",
        ),
        (
            {"starts_on": "2026-11-23", "ends_on": "2026-11-22"},
            {"starts_on": "2026-11-23", "ends_on": "2026-11-23"},
            "ends_on",
            "is before starts_on",
        ),
    ],
)  # fmt: skip
def test_conditions_that_never_hold_together_refuse_the_rule_set(bad, good, path, problem):
    """A date or visit that cannot come is refused with its place; one day or visit further it can."""
    assert refused(offer("AMOUNT_OFF", when=bad)) == {WHEN + path: problem}
    assert found(offer("AMOUNT_OFF", when=good)) == []


def test_a_rule_set_kept_from_before_is_read_although_it_contradicts_itself():
    """A rule set that has priced sales can be read for ever, whatever is refused today."""
    kept = document(offer("AMOUNT_OFF", when={"visit_at": 5, "visit_every": 3}))
    assert parse(kept, kept=True).offers[0].when.visit_at == 5


@pytest.mark.parametrize(
    ("bad", "good", "code", "path"),
    [
        pytest.param(
            offer("AMOUNT_OFF", when={"anyone": True, "birthday": "DAY"}),
            offer("AMOUNT_OFF", when={"birthday": "DAY"}),
            Lint.CONTRADICTORY, "when.anyone", id="birthday of anyone",
        ),
        pytest.param(
            offer("AMOUNT_OFF", when={"anyone": True}, limit=[{"window": "DAY", "uses": 1}]),
            offer("AMOUNT_OFF", when={"anyone": True}, limit=[{"window": "DAY", "uses": 1, "per": "STATION"}]),
            Lint.CONTRADICTORY, "when.anyone", id="uses of anyone",
        ),
        pytest.param(
            offer("BONUS_POINTS", when={"anyone": True}), offer("GIFT_ITEM", when={"anyone": True}),
            Lint.CONTRADICTORY, "when.anyone", id="points of anyone",
        ),
        pytest.param(
            offer("AMOUNT_OFF", when={"holdout_bp": 10_000}), offer("AMOUNT_OFF", when={"holdout_bp": 9_999}),
            Lint.NEVER_APPLIES, "when.holdout_bp", id="everybody left out",
        ),
        pytest.param(
            offer("AMOUNT_OFF", when={"ends_on": "2025-12-31"}), offer("AMOUNT_OFF", when={"ends_on": "2026-01-01"}),
            Lint.NEVER_APPLIES, "when.ends_on", id="ended before it began",
        ),
        pytest.param(
            offer("AMOUNT_OFF", cap={"amount_minor": 499}), offer("AMOUNT_OFF", cap={"amount_minor": 500}),
            Lint.ALWAYS_CAPPED, "cap.amount_minor", id="cap below the value",
        ),
        pytest.param(
            offer("SPEND_THRESHOLD", limit=[{"window": "DAY", "amount_minor": 1_999}]),
            offer("SPEND_THRESHOLD", limit=[{"window": "DAY", "amount_minor": 2_000}]),
            Lint.ALWAYS_CAPPED, "limit[0]", id="limit below the value",
        ),
        pytest.param(
            offer("AMOUNT_OFF", when={"min_amount_minor": 500}), offer("AMOUNT_OFF", when={"min_amount_minor": 501}),
            Lint.FREE_FUEL, "off_minor", id="amount off as large as the sale",
        ),
        pytest.param(
            offer("SPEND_THRESHOLD", off_minor=20_000), offer("SPEND_THRESHOLD", off_minor=19_999),
            Lint.FREE_FUEL, "off_minor", id="threshold as large as the sale",
        ),
        pytest.param(
            offer("POINTS_AS_MONEY", limit=[{"window": "DAY", "amount_minor": 99}]),
            offer("POINTS_AS_MONEY", limit=[{"window": "DAY", "amount_minor": 100}]),
            Lint.NEVER_APPLIES, "limit[0]", id="points below one step",
        ),
        pytest.param(
            offer("EARN", points=100), offer("EARN", points=99),
            Lint.POINTS, "points", id="points worth the fuel",
        ),
        pytest.param(
            offer("BONUS_POINTS", cap={"points": 99}), offer("BONUS_POINTS", cap={"points": 100}),
            Lint.ALWAYS_CAPPED, "cap.points", id="bonus below its promise",
        ),
        pytest.param(
            offer("COUPON", checking="OFFLINE_WITH_RISK", risk_up_to_minor=1_499),
            offer("COUPON", checking="OFFLINE_WITH_RISK", risk_up_to_minor=1_500),
            Lint.NO_EFFECT, "risk_up_to_minor", id="coupon above its risk",
        ),
        pytest.param(
            offer("COUPON", cap={"amount_minor": 1_499}), offer("COUPON", cap={"amount_minor": 1_500}),
            Lint.ALWAYS_CAPPED, "cap.amount_minor", id="cap below the coupon",
        ),
        pytest.param(
            offer("AMOUNT_OFF", joint=["x"], exclusive=True), offer("AMOUNT_OFF", exclusive=True),
            Lint.NO_EFFECT, "joint", id="joint with itself",
        ),
    ],
)  # fmt: skip
def test_a_doubt_about_one_offer_stands_on_its_side_of_the_line(bad, good, code, path):
    """Each doubt about a single offer is told at the offending key, and not one unit further."""
    assert found(bad) == [(code, f"offer[0].{path}")]
    assert found(good) == []


@pytest.mark.parametrize(
    ("bad", "good", "code", "path"),
    [
        ({"discount_cap_bp": 0}, {"discount_cap_bp": 1}, Lint.NEVER_APPLIES, "program.discount_cap_bp"),
        ({"discount_cap_minor": 0}, {"discount_cap_minor": 1}, Lint.NEVER_APPLIES, "program.discount_cap_minor"),
        ({"min_points": 150}, {"min_points": 200}, Lint.POINTS, "program.min_points"),
        (
            {"validity_months": 1, "pending_weak_hours": 672},
            {"validity_months": 1, "pending_weak_hours": 671},
            Lint.POINTS, "program.pending_weak_hours",
        ),
    ],
)  # fmt: skip
def test_a_doubt_about_the_program_stands_on_its_side_of_the_line(bad, good, code, path):
    """Settings of the program that undo offers are told at the setting."""
    assert found(offer("AMOUNT_OFF"), **bad) == [(code, path)]
    assert found(offer("AMOUNT_OFF"), **good) == []


def test_a_cap_of_nothing_is_no_doubt_where_nothing_is_discounted():
    """A program without discounts may say that there are none."""
    assert found(offer("EARN"), discount_cap_bp=0) == []


@pytest.mark.parametrize(
    ("factor_pct", "cap_pct", "code"),
    [(99, None, Lint.POINTS), (100, None, Lint.NO_EFFECT), (101, None, None), (301, 300, Lint.ALWAYS_CAPPED), (300, 300, None)],
)  # fmt: skip
def test_a_factor_that_does_not_multiply_is_told(factor_pct, cap_pct, code):
    """Below 100 points vanish, at 100 nothing happens, above the program's cap the promise is not kept."""
    cap = {} if cap_pct is None else {"multiplier_cap_pct": cap_pct}
    told = found(offer("EARN"), offer("MULTIPLIER", "y", factor_pct=factor_pct), **cap)
    assert told == ([] if code is None else [(code, "offer[1].factor_pct")])


def test_a_multiplier_needs_points_to_multiply():
    """Double points on diesel mean nothing where only petrol earns."""
    double = offer("MULTIPLIER", "double", when={"product_groups": ["diesel"]})
    petrol = offer("EARN", "earn", when={"product_groups": ["petrol"]})
    both = offer("EARN", "earn", when={"product_groups": ["petrol", "diesel"]})
    assert found(double, petrol) == [(Lint.NEVER_APPLIES, "offer[0].kind")]
    assert found(double, both) == []


def test_a_campaign_that_nobody_has_is_told_where_campaigns_are_known():
    """Whoever knows the budgets learns which offer has none; whoever does not is told nothing."""
    doc = document(offer("AMOUNT_OFF", budget={"campaign": "summer"}))
    assert [one.path for one in lint(doc, campaigns=["winter"])] == ["offer[0].budget.campaign"]
    assert lint(doc, campaigns=["summer"]) == ()
    assert lint(doc) == ()


@pytest.mark.parametrize(("left", "right", "told"), [("gold-l", "gold_1", True), ("gold-l", "gold-2", False)])
def test_ids_that_look_alike_are_told(left, right, told):
    """Signs that look alike do not part two ids on a printed list."""
    expected = [(Lint.CONFUSABLE, "offer[1].id")] if told else []
    assert found(offer("PER_LITRE", left), offer("PERCENT", right)) == expected


@pytest.mark.parametrize(("name", "told"), [("会员价", True), ("会员价 2", False)])
def test_two_offers_of_one_name_are_told(name, told):
    """A receipt that says one name for two offers explains neither."""
    expected = [(Lint.CONFUSABLE, "offer[1].name")] if told else []
    assert found(offer("PER_LITRE", "a") | {"name": "会员价"}, offer("PERCENT", "b") | {"name": name}) == expected


@pytest.mark.parametrize(
    ("one", "other", "code"),
    [
        ({"joint": ["y"]}, {}, Lint.NO_EFFECT),
        ({"joint": ["y"]}, {"exclusive": True}, None),
        ({"joint": ["y"], "exclusive": True, "group": "g"}, {"group": "g"}, Lint.CONTRADICTORY),
        ({"joint": ["y"], "exclusive": True, "group": "g"}, {"group": "h"}, None),
        ({"joint": ["y"], "exclusive": True}, {}, None),
    ],
)
def test_joint_must_allow_something_that_is_otherwise_forbidden(one, other, code):
    """Beside an offer that excludes nothing, or in a group that gives one, a list of mates has no meaning."""
    told = found(offer("PERCENT", "x", **one), offer("PER_LITRE", "y", **other), groups=[("g", "BEST"), ("h", "BEST")])
    assert told == ([] if code is None else [(code, "offer[0].joint")])


def test_joint_with_points_says_nothing():
    """Points stand beside every discount without being named."""
    assert found(offer("PERCENT", exclusive=True, joint=["y"]), offer("EARN", "y")) == [
        (Lint.NO_EFFECT, "offer[0].joint")
    ]


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


# --- the report ---------------------------------------------------------------------------------------------------


def test_findings_stand_in_the_order_of_the_document():
    """The program first, then offer by offer as the file has them, whatever their priority."""
    doubts = found(
        offer("AMOUNT_OFF", "b", priority=200, cap={"amount_minor": 1}),
        offer("AMOUNT_OFF", "a", when={"holdout_bp": 10_000}, cap={"amount_minor": 1}),
        min_points=150,
    )
    assert [path for _, path in doubts] == [
        "program.min_points", "offer[0].cap.amount_minor", "offer[1].cap.amount_minor", "offer[1].when.holdout_bp",
    ]  # fmt: skip


def test_every_finding_says_what_to_do():
    """A finding reads as a sentence with its place, its offer and a hint."""
    (told,) = lint(document(offer("AMOUNT_OFF", "free", when={"holdout_bp": 10_000})))
    assert str(told) == "offer[0].when.holdout_bp (free): NEVER_APPLIES: leaves every member out; lower the share"


@pytest.mark.parametrize("name", ["config/rules.example.toml", "agent/demo/rules.toml"])
def test_the_shipped_rule_sets_are_clean(name):
    """What is shown as an example raises no doubt."""
    assert lint(tomllib.loads((ROOT / name).read_text(encoding="utf-8"))) == ()
