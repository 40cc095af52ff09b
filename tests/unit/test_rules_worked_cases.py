"""The worked cases of the loyalty specification, one test per row, for every kind the engine applies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.domain.member import UseCount, UseWindow
from agent.domain.rules.facts import BudgetView, CampaignBudget
from agent.domain.rules.verdict import Code, Verdict
from agent.domain.units import amount_of
from tests.support.loyalty import EARN, coupon, instant, member, rules, run, sale


def test_charge_is_what_the_pump_says_and_only_a_real_mismatch_is_flagged():
    """The pump's amount is charged as it is; 79.35 for 10.100 L at 7.85 is flagged, 79.28 is not."""
    assert amount_of(38_217, 7_850, 2) == 30_000
    for amount, flags in ((7_929, ()), (7_928, ()), (7_935, ("AMOUNT_MISMATCH",))):
        result = run(rules(), sale(amount, volume_ml=10_100, resolution_ml=10))
        assert (result.gross_minor, result.net_minor, result.flags) == (amount, amount, flags)


def test_per_litre():
    """0.30 per litre on 38.217 L at a gross of 300.00 takes 11.47 off and earns 288."""
    result = run(rules({"id": "litre", "kind": "PER_LITRE", "off_milli": 300}, *EARN), sale())
    assert (result.discount_minor, result.net_minor, result.points_earned) == (1_147, 28_853, 288)


@pytest.mark.parametrize(
    ("offer", "sold", "off"),
    [
        ({"kind": "PER_LITRE", "off_milli": 150}, sale(volume_ml=12_300), 185),
        ({"kind": "PERCENT", "share_bp": 500}, sale(7_929), 396),
        ({"kind": "PERCENT", "share_bp": 500}, sale(3_010), 151),
    ],
)
def test_half_cases_round_half_up(offer, sold, off):
    """A value exactly between two minor units is rounded up, not to even."""
    assert run(rules({"id": "x", **offer}), sold).discount_minor == off


@pytest.mark.parametrize(
    ("currency", "exponent", "volume_ml", "off"), [("JPY", 0, 38_217, 11), ("KWD", 3, 38_217, 11_465)]
)
def test_per_litre_in_currencies_of_other_exponents(currency, exponent, volume_ml, off):
    """0.300 per litre on 38.217 L is 11.4651: 11 yen, and 11.465 dinars."""
    sold = replace(sale(300_000), currency=currency, exponent=exponent)
    program = {"currency": currency, "exponent": exponent}
    assert sold.volume_ml == volume_ml
    assert run(rules({"id": "x", "kind": "PER_LITRE", "off_milli": 300}, program=program), sold).discount_minor == off


def test_volume_cap():
    """0.50 per litre for the first 30 L of 42.500 L gives 15.00 and names the 21.25 it would have been."""
    offer = {"id": "x", "kind": "PER_LITRE", "off_milli": 500, "cap": {"volume_ml": 30_000}}
    result = run(rules(offer), sale(volume_ml=42_500, price_milli=8_360))
    verdict = result.verdict("x")
    assert result.gross_minor == 35_530
    assert (verdict.verdict, verdict.code) == (Verdict.CAPPED, Code.CAPPED_VOLUME)
    assert (verdict.value_minor, verdict.desired_minor) == (1_500, 2_125)


@pytest.mark.parametrize(
    ("repeat", "gross", "off"),
    [
        (1, 19_999, 0),
        (1, 20_000, 2_000),
        (1, 40_000, 2_000),
        (2, 39_999, 2_000),
        (2, 40_000, 4_000),
        (2, 65_000, 4_000),
    ],
)
@pytest.mark.parametrize("basis", ["GROSS", "RUNNING"])
def test_threshold(repeat, gross, off, basis):
    """20 off per 200 starts at exactly 200.00 and repeats as often as allowed; just below it says 0.01 is short."""
    terms = {"off_minor": 2_000, "per_minor": 20_000, "repeat": repeat, "basis": basis}
    result = run(rules({"id": "x", "kind": "SPEND_THRESHOLD", **terms}), sale(gross))
    assert result.discount_minor == off
    if not off:
        assert result.verdict("x").code is Code.THRESHOLD_NOT_MET
        assert result.verdict("x").reason.short == 1


@pytest.mark.parametrize(
    ("basis", "mode", "off"), [("RUNNING", "STACK", 4_350), ("GROSS", "STACK", 4_500), ("GROSS", "BEST", 3_000)]
)
def test_stacking(basis, mode, off):
    """5 % and 10 % on 300.00: 43.50 on the running net, 45.00 on the gross, 30.00 when only the best counts."""
    five = {"id": "five", "kind": "PERCENT", "share_bp": 500, "basis": basis, "group": "g"}
    ten = {"id": "ten", "kind": "PERCENT", "share_bp": 1_000, "basis": basis, "group": "g"}
    assert run(rules(five, ten, groups=[("g", mode)]), sale(30_000)).discount_minor == off


@pytest.mark.parametrize("turned", [False, True])
def test_order_of_stages_not_of_the_file(turned):
    """10 % comes before 20.00 off whatever the file or the priorities say: 300.00 becomes 250.00."""
    off = {"id": "a", "kind": "AMOUNT_OFF", "off_minor": 2_000, "priority": 1}
    ten = {"id": "b", "kind": "PERCENT", "share_bp": 1_000, "priority": 2}
    offers = [ten, off] if turned else [off, ten]
    assert run(rules(*offers), sale(30_000)).net_minor == 25_000


def test_coupon_above_payable():
    """A coupon of 50.00 on a sale of 38.60 takes 38.60, leaves nothing to pay and earns nothing."""
    offer = {"id": "c", "kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 5_000}
    result = run(rules(offer, *EARN), sale(3_860, coupons=[coupon()]))
    assert (result.discount_minor, result.net_minor, result.points_earned) == (3_860, 0, 0)
    assert result.verdict("c").code is Code.CAPPED_AMOUNT


@pytest.mark.parametrize(
    ("balance", "points", "net", "earned"),
    [(5_230, 5_200, 23_653, 236), (99_999, 8_600, 20_253, 202), (99, 0, 28_853, 288)],
)
def test_points_as_money(balance, points, net, earned):
    """Whole steps of 100 points, at most 30 % of 288.53, and nothing below one step."""
    offers = (
        {"id": "litre", "kind": "PER_LITRE", "off_milli": 300},
        {"id": "pay", "kind": "POINTS_AS_MONEY", "share_bp": 3_000},
    )
    result = run(rules(*offers, *EARN), sale(points=10**6), budgets=BudgetView(points_usable=balance))
    assert (result.points_redeemed, result.net_minor, result.points_earned) == (points, net, earned)


@pytest.mark.parametrize(("rounding", "diesel", "petrol", "litres"), [("FLOOR", 74, 288, 38), ("HALF_UP", 75, 289, 38)])
def test_earn_rounding(rounding, diesel, petrol, litres):
    """Points are floored or rounded half up, once, as the program says."""
    by_litre = {"id": "litres", "kind": "EARN", "points": 1, "per_ml": 1_000}
    program = {"earn_rounding": rounding}
    assert run(rules(*EARN, program=program), sale(14_980, group="diesel")).points_earned == diesel
    assert run(rules(*EARN, program=program), sale(28_853)).points_earned == petrol
    assert run(rules(by_litre, program=program), sale()).points_earned == litres


@pytest.mark.parametrize("kind", ["AMOUNT_OFF", "BONUS_POINTS"])
def test_month_cap(kind):
    """With 6890 of 7000 used this month, a sale worth 473 gets the 110 left, and says it is the month."""
    points = kind == "BONUS_POINTS"
    limit = {"window": "MONTH", ("points" if points else "amount_minor"): 7_000}
    offer = {"id": "x", "kind": kind, ("points" if points else "off_minor"): 473, "limit": [limit]}
    used = UseCount("x", UseWindow.MONTH, "2026-11", 9, 6_890)
    result = run(rules(offer), sale(), member(uses=(used,)))
    assert result.verdict("x").code is Code.CAPPED_MONTH
    assert (result.bonus_points if points else result.discount_minor) == 110


def test_daily_limit_follows_the_local_day():
    """One use a day: the local day in Shanghai ends at 16:00Z."""
    offer = {"id": "x", "kind": "AMOUNT_OFF", "off_minor": 100, "limit": [{"window": "DAY", "uses": 1}]}
    who, given = member(), []
    for at in (
        "2026-03-05T15:50:00+00:00",
        "2026-03-05T16:10:00+00:00",
        "2026-03-06T15:59:59+00:00",
        "2026-03-06T16:00:00+00:00",
    ):
        result = run(rules(offer), sale(), who, at=instant(at))
        given.append(result.discount_minor > 0)
        who = member(uses=(*who.uses, *result.uses))
    assert given == [True, True, False, True]


def test_birthday_on_the_29th_of_february():
    """Born on 29 February: 28 February counts where the year has no 29th."""
    rule_set = rules({"id": "x", "kind": "GIFT_ITEM", "item": "cake", "when": {"birthday": "DAY"}})
    days = ("2027-02-28", "2028-02-28", "2028-02-29", "2027-03-01")
    born = member(birthday_md="02-29")
    given = [bool(run(rule_set, sale(), born, at=instant(f"{day}T12:00:00+08:00")).gifts) for day in days]
    assert given == [True, False, True, False]


@pytest.mark.parametrize(("mode", "second"), [("ALL_OR_NOTHING", 0), ("PARTIAL", 500)])
def test_budget(mode, second):
    """With 12.00 left and two sales wanting 7.00, the second gets nothing or the 5.00 left, as the campaign says."""
    offer = {"id": "x", "kind": "AMOUNT_OFF", "off_minor": 700, "budget": {"campaign": "spring", "mode": mode}}
    left, got = 1_200, []
    for _ in range(2):
        view = BudgetView((CampaignBudget("spring", "lease-1", left),))
        result = run(rules(offer), sale(), budgets=view)
        got.append(result.discount_minor)
        left -= sum(use.amount_minor for use in result.budgets)
    assert got == [700, second]
    assert result.verdict("x").code is Code.BUDGET_EXHAUSTED


def test_tier_takes_effect_from_the_next_sale():
    """Growth 2950.00 plus a fill of 120.00 reaches Silver; that fill earns at the old rate, the next one x1.2."""
    rule_set = rules(*EARN, {"id": "m", "kind": "MULTIPLIER", "factor_pct": 120, "when": {"tiers": ["silver"]}})
    growth = 295_000
    assert rule_set.tier_reached(growth) is None
    first = run(rule_set, sale(12_000), member(tier=None))
    tier = rule_set.tier_reached(growth + first.net_minor)
    second = run(rule_set, sale(10_000), member(tier=tier))
    assert (first.points_earned, tier, second.points_earned) == (120, "silver", 120)
