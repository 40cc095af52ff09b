"""Reading rule documents: the shipped example is valid, and a bad document is refused with every problem at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agent.domain.rules.fields import RuleSetError
from agent.domain.rules.load import parse
from agent.domain.rules.model import Basis, Checking, Coupon, Kind, Late, Percent, PumpRollback, Scope, Trimmed
from tests.support.loyalty import Table, document

EXAMPLE = Path(__file__).parents[2] / "config" / "rules.example.toml"


def problems(doc: Table) -> dict[str, str]:
    """What a document is refused for, by path."""
    with pytest.raises(RuleSetError) as caught:
        parse(doc)
    assert all(problem.hint for problem in caught.value.problems)
    return {problem.path: problem.problem for problem in caught.value.problems}


def test_shipped_example_is_valid():
    """The annotated example can be published as it is."""
    rule_set = parse(tomllib.loads(EXAMPLE.read_text(encoding="utf-8")))
    assert rule_set.version == 12
    assert {offer.kind for offer in rule_set.offers} >= {Kind.EARN, Kind.PER_LITRE, Kind.SPEND_THRESHOLD, Kind.PERCENT}


def test_all_problems_are_reported_together():
    """One reading names every wrong key, type, name and missing value, each with its path and a hint."""
    doc = document(
        {"id": "a", "kind": "PER_LITRE", "off_milli": 1.5, "when": {"grade": ["92"], "tiers": ["bronze"]}},
        {"id": "a", "kind": "EARN", "points": 1, "group": "nowhere", "exclusive": True},
        {"id": "B!", "kind": "PERCENT", "share_bp": 20_000, "when": {"ends_on": "2026-02-30", "weekdays": ["noday"]}},
        {"id": "c", "kind": "AMOUNT_OFF", "off_minor": 1, "limit": [{"window": "YEAR"}], "joint": ["ghost"]},
    )
    doc |= {"effective_from": "2026-01-01T00:00:00", "extra": 1}
    found = problems(doc)
    assert set(found) == {
        "effective_from", "extra", "offer",
        "offer[0].off_milli", "offer[0].when.grade", "offer[0].when.tiers",
        "offer[1].per_minor", "offer[1].group", "offer[1].exclusive",
        "offer[2].id", "offer[2].share_bp", "offer[2].when.ends_on", "offer[2].when.weekdays",
        "offer[3].limit[0].uses", "offer[3].limit[0].window", "offer[3].joint",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("offer", "paths"),
    [
        ({"kind": "PUMP_ROLLBACK"}, {"off_milli"}),
        ({"kind": "PUMP_ROLLBACK", "off_milli": 500, "price_milli": 7_000}, {"off_milli"}),
        ({"kind": "PUMP_ROLLBACK", "off_milli": 500, "late": "LATER"}, {"late"}),
        ({"kind": "PUMP_ROLLBACK", "off_milli": 500, "cap": {"amount_minor": 900}}, {"cap"}),
        ({"kind": "PUMP_ROLLBACK", "off_milli": 500, "cap": {"share_bp": 900}}, {"cap"}),
        ({"kind": "PUMP_ROLLBACK", "off_milli": 500, "limit": [{"window": "DAY", "amount_minor": 1}]}, {"limit"}),
        ({"kind": "PUMP_ROLLBACK", "off_milli": 500, "budget": {"campaign": "a"}}, {"budget"}),
        ({"kind": "COUPON"}, {"gives"}),
        ({"kind": "COUPON", "gives": "EARN", "points": 1, "per_minor": 100}, {"gives", "points", "per_minor"}),
        ({"kind": "COUPON", "gives": "AMOUNT_OFF"}, {"off_minor"}),
        ({"kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 1, "off_milli": 1}, {"off_milli"}),
        ({"kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 1, "risk_up_to_minor": 5}, {"risk_up_to_minor"}),
        (
            {"kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 1, "checking": "OFFLINE_WITH_RISK"},
            {"risk_up_to_minor"},
        ),
        ({"kind": "COUPON", "gives": "GIFT_ITEM", "item": "wash", "trimmed": "SPEND"}, {"trimmed"}),
        ({"kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 1, "cap": {"volume_ml": 1}}, {"cap.volume_ml"}),
        ({"kind": "COUPON", "gives": "GIFT_ITEM", "item": "wash", "cap": {"amount_minor": 1}}, {"cap"}),
        ({"kind": "COUPON", "gives": "GIFT_ITEM", "item": "wash", "exclusive": True}, {"exclusive"}),
        (
            {"kind": "COUPON", "gives": "GIFT_ITEM", "item": "wash", "limit": [{"window": "DAY", "amount_minor": 1}]},
            {"limit"},
        ),
    ],
)
def test_roll_back_or_coupon_that_cannot_be_meant_is_refused(offer, paths):
    """What a roll-back cannot keep, and a coupon that says too little or too much, refuse the rule set by name."""
    assert set(problems(document({"id": "x", **offer}))) == {f"offer[0].{path}" for path in paths}


def test_roll_backs_and_coupons_are_read():
    """Defaults: a late roll-back converts, a coupon is checked online and loses what a sale cannot take."""
    made = parse(
        document(
            {"id": "r", "kind": "PUMP_ROLLBACK", "price_milli": 7_000},
            {"id": "c", "kind": "COUPON", "gives": "PERCENT", "share_bp": 500},
            {"id": "b", "kind": "COUPON", "gives": "BONUS_POINTS", "points": 50, "cap": {"points": 10}},
        )
    )
    terms = {offer.id: offer.terms for offer in made.offers}
    assert terms["r"] == PumpRollback(None, 7_000, Late.CONVERT)
    percent = Percent(500, Basis.RUNNING, Scope.ORDER)
    assert terms["c"] == Coupon(Kind.PERCENT, percent, Checking.ONLINE_ONLY, 0, Trimmed.SPEND)
    assert {offer.id: offer.is_discount for offer in made.offers} == {"r": True, "c": True, "b": False}
    assert made.offer("b").caps.points == 10


def test_500_offers_are_a_rule_set_and_501_are_not():
    """The bound is exact."""
    offers = [{"id": f"o{index}", "kind": "BONUS_POINTS", "points": 1} for index in range(501)]
    assert len(parse(document(*offers[:500])).offers) == 500
    assert problems(document(*offers)) == {"offer": "has 501 offers"}


@pytest.mark.parametrize("offer", [{"id": "x"}, {"id": "x", "kind": "FREE_FUEL"}, {"id": "x", "kind": 7}])
def test_unknown_or_missing_kind_is_refused(offer):
    """An offer must say a kind of the closed list."""
    assert "offer[0].kind" in problems(document(offer))


def test_tier_list_of_a_discount_must_be_closed_upward():
    """Silver without gold would make gold dearer, so the rule set is refused; a multiplier may name one tier."""
    tiers = {"when": {"tiers": ["silver"]}}
    found = problems(document({"id": "x", "kind": "PER_LITRE", "off_milli": 1, **tiers}))
    assert found == {"offer[0].when.tiers": "is not closed upward"}
    assert parse(document({"id": "x", "kind": "MULTIPLIER", "factor_pct": 120, **tiers})).offers[0].id == "x"


def test_group_must_not_mix_discounts_and_rewards():
    """A group that chooses one compares like with like."""
    offers = (
        {"id": "a", "kind": "AMOUNT_OFF", "off_minor": 1, "group": "g"},
        {"id": "b", "kind": "BONUS_POINTS", "points": 1, "group": "g"},
    )
    assert set(problems(document(*offers, groups=[("g", "BEST")]))) == {"group g"}
    assert len(parse(document(*offers, groups=[("g", "STACK")])).offers) == 2


@pytest.mark.parametrize(
    "broken",
    [
        {"offer": 1},
        {"offer": [1]},
        {"program": []},
        {"version": True},
        {"version": 0},
        {"tier": {}},
        {"group": [{"id": "g"}]},
    ],
)
def test_wrong_shapes_are_problems_and_never_crashes(broken):
    """Whatever stands where a table or a number belongs, the answer is a list of problems."""
    assert problems(document() | broken)


def test_order_in_the_file_means_nothing():
    """Offers stand sorted by priority and id after reading."""
    offers = [
        {"id": name, "kind": "BONUS_POINTS", "points": 1, "priority": p} for name, p in (("b", 2), ("a", 2), ("c", 1))
    ]
    assert parse(document(*offers)) == parse(document(*reversed(offers)))
