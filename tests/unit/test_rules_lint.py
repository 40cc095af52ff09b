"""Lint of rule sets: each finding on one side of its line and silence on the other, and what is refused outright."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agent.domain.rules.fields import RuleSetError
from agent.domain.rules.findings import Lint
from agent.domain.rules.lint import lint
from agent.domain.rules.load import parse
from tests.support.loyalty import Table, document
from tests.support.rule_doubts import found, offer

ROOT = Path(__file__).parents[2]


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
