"""A lower price at the pump: reported where it was given, converted or refused where it came too late."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.rules.explain import explain
from agent.domain.rules.facts import Purpose, RollbackGiven, SaleFacts
from agent.domain.rules.verdict import Code, Verdict
from tests.support.loyalty import EARN, NOBODY, Table, member, rules, run, sale

BACK: Table = {"id": "back", "kind": "PUMP_ROLLBACK", "off_milli": 500}
LIST = 7_850


def lowered(volume_ml: int = 40_000, price_milli: int = 7_350, **more: Any) -> SaleFacts:
    """A sale at a lower price: 40 L at 7.35 instead of 7.85 are 294.00."""
    return sale(volume_ml=volume_ml, price_milli=price_milli, rollback=RollbackGiven("back", LIST), **more)


def test_price_set_at_the_pump_is_reported_and_is_no_discount():
    """40 L at 7.35 instead of 7.85: the pump's 294.00 is the gross, the 20.00 saved are said and not taken off again."""
    result = run(rules(BACK, *EARN), lowered())
    verdict = result.verdict("back")
    assert (result.gross_minor, result.discount_minor, result.net_minor) == (29_400, 0, 29_400)
    assert (result.rollback_minor, verdict.value_minor, verdict.desired_minor) == (2_000, 2_000, 2_000)
    assert (verdict.verdict, verdict.code, result.points_earned) == (Verdict.APPLIED, Code.OK, 294)


@pytest.mark.parametrize(("charged", "saved"), [(7_423, 506), (7_424, 505), (7_928, 1), (7_929, 0), (7_930, 0)])
def test_value_is_the_list_price_rounded_half_up_less_what_the_pump_says(charged, saved):
    """10.100 L at a list price of 7.85 are 79.285, rounded to 79.29; a pump that charges more has saved nothing."""
    assert run(rules(BACK), lowered(10_100, amount_minor=charged)).rollback_minor == saved


def test_price_set_at_the_pump_stands_whatever_became_of_its_conditions():
    """Without a member, for another grade, out of time: the customer has had the price, so it stays applied."""
    asked = {**BACK, "when": {"tiers": ["gold"], "grades": ["98"], "ends_on": "2020-01-01", "min_amount_minor": 10**6}}
    for who in (NOBODY, member()):
        result = run(rules(asked), lowered(), who)
        assert (result.verdict("back").verdict, result.net_minor) == (Verdict.APPLIED, 29_400)
    assert run(rules(BACK), lowered(purpose=Purpose.DRIVE_OFF)).verdict("back").verdict is Verdict.APPLIED


def test_price_set_at_the_pump_stands_in_every_plan():
    """An exclusive offer that would save more cannot displace it, and a mate of its group finds the group taken."""
    only = {"id": "only", "kind": "AMOUNT_OFF", "off_minor": 9_000, "exclusive": True}
    mate = {"id": "mate", "kind": "AMOUNT_OFF", "off_minor": 8_000, "group": "g"}
    small = {"id": "small", "kind": "AMOUNT_OFF", "off_minor": 100}
    result = run(rules({**BACK, "group": "g"}, only, mate, small, groups=[("g", "BEST")]), lowered())
    assert (result.net_minor, result.rollback_minor) == (29_300, 2_000)
    assert (result.verdict("only").code, result.verdict("only").reason.by) == (Code.BEATEN_BY, "back+small")
    assert (result.verdict("mate").code, result.verdict("mate").reason.by) == (Code.GROUP_TAKEN, "back")


def test_exclusive_price_at_the_pump_forbids_other_discounts_but_those_it_names():
    """A roll-back may be exclusive: what it does not name beside it is not given."""
    one, two = ({"id": name, "kind": "AMOUNT_OFF", "off_minor": 100} for name in ("one", "two"))
    result = run(rules({**BACK, "exclusive": True, "joint": ["two"]}, one, two, *EARN), lowered())
    assert (result.verdict("one").code, result.discount_minor, result.points_earned) == (Code.EXCLUDED_BY, 100, 293)


def test_price_set_at_the_pump_counts_as_a_use_and_is_outside_the_programs_cap():
    """The use is counted with what it saved, and the cap on discounts is left to the discounts."""
    off = {"id": "off", "kind": "AMOUNT_OFF", "off_minor": 2_000}
    result = run(rules(BACK, off, program={"discount_cap_minor": 2_000}), lowered())
    assert result.discount_minor == 2_000
    assert {(use.offer, use.uses, use.amount) for use in result.uses} == {("back", 1, 2_000), ("off", 1, 2_000)}


def test_price_of_an_offer_the_rules_no_longer_have_is_still_reported():
    """A new rule version between lift and settlement loses the offer, not the fact: 20.00 were saved, no verdict."""
    result = run(rules(*EARN), lowered())
    assert (result.rollback_minor, len(result.verdicts)) == (2_000, 2)


def test_zero_litres_at_a_lower_price_save_nothing():
    """Nothing flowed: MIN_VOLUME like every offer, and nothing is reported."""
    result = run(rules(BACK), lowered(0, amount_minor=0))
    assert (result.rollback_minor, result.verdict("back").code, result.uses) == (0, Code.MIN_VOLUME, ())


@pytest.mark.parametrize(("terms", "off"), [({"off_milli": 500}, 1_911), ({"price_milli": 7_350}, 1_911)])
def test_roll_back_that_came_too_late_becomes_a_discount_per_litre(terms, off):
    """CONVERT: 0.50 off each of 38.217 L (or 7.35 instead of 7.85) are 19.11 off the list amount, a discount."""
    result = run(rules({"id": "back", "kind": "PUMP_ROLLBACK", **terms}), sale())
    assert (result.discount_minor, result.rollback_minor, result.net_minor) == (off, 0, 28_089)


def test_conversion_and_the_pump_may_differ_by_one_minor_unit():
    """0.10 off each of 0.050 L: the lowered price asks 0.39, the list price 0.39 less a converted 0.01."""
    at_pump = run(rules({**BACK, "off_milli": 100}), sale(volume_ml=50, price_milli=7_750)).gross_minor
    converted = run(rules({**BACK, "off_milli": 100}), sale(volume_ml=50)).net_minor
    assert (at_pump, converted) == (39, 38)


def test_late_roll_back_is_refused_where_the_policy_says_so():
    """REJECT: too late, unless another code stands before that one in the list."""
    late = {**BACK, "late": "REJECT"}
    result = run(rules(late), sale())
    assert (result.verdict("back").code, result.net_minor) == (Code.TOO_LATE_FOR_ROLLBACK, 30_000)
    assert run(rules(late), sale(), NOBODY).verdict("back").code is Code.NOT_MEMBER
    weak = {**late, "when": {"min_level": "sun"}}
    assert run(rules(weak), sale(level="phone")).verdict("back").code is Code.TOO_LATE_FOR_ROLLBACK


def test_late_roll_back_is_bound_by_its_conditions_and_its_volume_cap():
    """As a discount it asks everything again: the grade is wrong, or only the first 30 L count."""
    assert run(rules({**BACK, "when": {"grades": ["98"]}}), sale()).verdict("back").code is Code.WRONG_GRADE
    verdict = run(rules({**BACK, "cap": {"volume_ml": 30_000}}), sale()).verdict("back")
    assert (verdict.code, verdict.value_minor, verdict.desired_minor) == (Code.CAPPED_VOLUME, 1_500, 1_911)


def test_converted_roll_back_stands_among_the_discounts_per_litre_by_priority():
    """Half of the running net before or after 0.50 a litre: the priority decides, the stage does not."""
    half = {"id": "half", "kind": "PERCENT", "share_bp": 5_000, "priority": 50}
    assert run(rules(BACK, half), sale()).net_minor == 15_000 - 1_911
    assert run(rules({**BACK, "priority": 1}, half), sale()).net_minor == 30_000 - 1_911 - 14_045


def test_roll_back_is_explained_in_both_languages():
    """What the pump gave is said with the list price, on the offer's line and in the sum."""
    result = run(rules({**BACK, "name": "R"}), lowered())
    assert explain(result, "en") == [
        "R: 20.00 saved at the pump, list price 7.850.",
        "Charged 294.00, off 0.00, to pay 294.00; 0 points earned.",
        "The lower price at the pump had saved 20.00 already.",
    ]
    assert explain(result, "zh-CN")[0] == "R:油枪降价已省 20.00,原价 7.850。"
    late = run(rules({**BACK, "name": "R", "late": "REJECT"}), sale())
    assert explain(late, "en")[0] == "R: came after the nozzle was lifted."
