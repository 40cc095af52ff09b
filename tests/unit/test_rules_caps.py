"""Caps and limits at their boundaries: below, at and above; what is trimmed, and what a trimmed offer counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.domain.member import UseCount, UseWindow
from agent.domain.rules.facts import BudgetView, CampaignBudget
from agent.domain.rules.verdict import BudgetUse, Code, Reason, Verdict
from tests.support.loyalty import EARN, Table, instant, member, rules, run, sale

OFF: Table = {"id": "x", "kind": "AMOUNT_OFF", "off_minor": 500}


def uses(window: UseWindow, period: str, count: int, amount: int) -> UseCount:
    """A count of the offer ``x``."""
    return UseCount("x", window, period, count, amount)


@pytest.mark.parametrize(("cap", "off"), [(499, 499), (500, 500), (501, 500)])
def test_amount_cap(cap, off):
    """A cap of the sale trims what lies above it and nothing at it."""
    verdict = run(rules({**OFF, "cap": {"amount_minor": cap}}), sale()).verdict("x")
    assert (verdict.value_minor, verdict.desired_minor) == (off, 500)
    trimmed = Reason(Code.CAPPED_AMOUNT, 499, 500, "offer")
    assert verdict.reason == (trimmed if cap == 499 else Reason(Code.OK))


@pytest.mark.parametrize(("share", "off"), [(166, 498), (167, 500), (1, 3)])
def test_share_cap_is_of_the_gross_and_rounded_half_up(share, off):
    """1.66 % of 300.00 trims 5.00 to 4.98, 1.67 % does not."""
    assert run(rules({**OFF, "cap": {"share_bp": share}}), sale(30_000)).discount_minor == off


def test_share_cap_rounds_a_half_up_and_may_leave_nothing():
    """0.5 % of 1.00 is half a minor unit: 1; of 0.99 it is nothing, and the offer is refused by its cap."""
    capped = {**OFF, "cap": {"share_bp": 50}}
    assert run(rules(capped), sale(100)).discount_minor == 1
    verdict = run(rules(capped), sale(99)).verdict("x")
    assert (verdict.verdict, verdict.reason) == (Verdict.REJECTED, Reason(Code.CAPPED_AMOUNT, 0, 500, "share"))


@pytest.mark.parametrize(("cap_ml", "off", "code"), [(38_216, 1_146, Code.CAPPED_VOLUME), (38_217, 1_147, Code.OK)])
def test_volume_cap_at_the_volume(cap_ml, off, code):
    """The first litres count: one millilitre less than the sale trims, the sale's own volume does not."""
    offer = {"id": "x", "kind": "PER_LITRE", "off_milli": 300, "cap": {"volume_ml": cap_ml}}
    verdict = run(rules(offer), sale()).verdict("x")
    assert (verdict.value_minor, verdict.code) == (off, code)


def test_volume_cap_of_a_percentage_takes_the_part_of_its_line():
    """10 % of the first 30 L of two lines: all of 20 L at 100.00 and half of 20 L at 90.01, rounded once."""
    first, second = sale(10_000, volume_ml=20_000).lines[0], sale(9_001, volume_ml=20_000).lines[0]
    sold = replace(sale(), lines=(first, second))
    offer = {"id": "x", "kind": "PERCENT", "share_bp": 1_000, "cap": {"volume_ml": 30_000}}
    result = run(rules(offer), sold)
    assert (result.discount_minor, result.line_nets_minor) == (1_450, (9_000, 8_551))
    assert result.verdict("x").reason == Reason(Code.CAPPED_VOLUME, 30_000, 40_000)


def test_volume_cap_takes_no_litre_of_later_lines():
    """The first 20 L are the first line's; the second line is not touched."""
    line = sale(10_000, volume_ml=20_000).lines[0]
    offer = {"id": "x", "kind": "PERCENT", "share_bp": 1_000, "cap": {"volume_ml": 20_000}}
    assert run(rules(offer), replace(sale(), lines=(line, line))).line_nets_minor == (9_000, 10_000)


@pytest.mark.parametrize(
    ("program", "off"),
    [
        ({"discount_cap_minor": 999}, 999),
        ({"discount_cap_minor": 1_000}, 1_000),
        ({"discount_cap_bp": 333}, 999),
        ({"discount_cap_bp": 334}, 1_000),
        ({"discount_cap_minor": 700, "discount_cap_bp": 9_000}, 700),
        ({"discount_cap_minor": 9_000, "discount_cap_bp": 200}, 600),
        ({"discount_cap_minor": 0}, 0),
    ],
)
def test_program_cap(program, off):
    """All discounts of a sale together stop at the smaller of the program's caps, the later one trimmed first."""
    two = {**OFF, "id": "y"}
    result = run(rules(OFF, two, program=program), sale(30_000))
    assert (result.discount_minor, result.verdict("x").value_minor) == (off, min(500, off))
    left = max(0, off - 500)
    if left < 500:
        assert result.verdict("y").reason == Reason(Code.CAPPED_AMOUNT, left, 500, "program")


def test_program_share_is_rounded_half_up():
    """0.5 % of 1.00 is one minor unit for all discounts together."""
    assert run(rules(OFF, program={"discount_cap_bp": 50}), sale(100)).discount_minor == 1
    assert run(rules(OFF, program={"discount_cap_bp": 50}), sale(99)).discount_minor == 0


@pytest.mark.parametrize(
    ("window", "period"),
    [
        (UseWindow.DAY, "2026-11-21"),
        (UseWindow.WEEK, "2026-W47"),
        (UseWindow.MONTH, "2026-11"),
        (UseWindow.LIFE, "life"),
    ],
)
@pytest.mark.parametrize("subject", ["MEMBER", "STATION"])
def test_limit_on_uses_in_each_window(subject, window, period):
    """Two uses are allowed: with one counted the offer is given, with two it is DAILY_LIMIT and names the window."""
    offer = {**OFF, "limit": [{"per": subject, "window": window.value, "uses": 2}]}
    for count, code in ((1, Code.OK), (2, Code.DAILY_LIMIT), (3, Code.DAILY_LIMIT)):
        counted = (uses(window, period, count, 500), uses(window, "1999-01", 9, 9))
        who, view = member(uses=counted), BudgetView()
        if subject == "STATION":
            who, view = member(), BudgetView(station_uses=counted)
        reason = run(rules(offer), sale(), who, budgets=view).verdict("x").reason
        assert reason == (Reason(code) if code is Code.OK else Reason(code, 2, count, f"{subject} {window.value}"))


@pytest.mark.parametrize(
    ("window", "period", "code"),
    [
        (UseWindow.DAY, "2026-11-21", Code.CAPPED_AMOUNT),
        (UseWindow.WEEK, "2026-W47", Code.CAPPED_AMOUNT),
        (UseWindow.MONTH, "2026-11", Code.CAPPED_MONTH),
        (UseWindow.LIFE, "life", Code.CAPPED_AMOUNT),
    ],
)
@pytest.mark.parametrize(("used", "off"), [(500, 500), (501, 499), (999, 1), (1_000, 0), (1_200, 0)])
def test_limit_on_money_in_each_window(window, period, code, used, off):
    """Of 10.00 in a window 5.00 more are given whole, one minor unit more used trims, and all used refuses."""
    offer = {**OFF, "limit": [{"window": window.value, "amount_minor": 1_000}]}
    verdict = run(rules(offer), sale(), member(uses=(uses(window, period, 1, used),))).verdict("x")
    expected = Reason(Code.OK) if off == 500 else Reason(code, 1_000, used, f"MEMBER {window.value}")
    assert (verdict.value_minor, verdict.reason) == (off, expected)


def test_week_starts_on_monday_and_counts_follow_the_local_day():
    """A Sunday's use is last week's on Monday, by the wall clock of the station."""
    offer = {**OFF, "limit": [{"window": "WEEK", "uses": 1}]}
    sunday = run(rules(offer), sale(), at=instant("2026-11-22T23:59:59+08:00"))
    who = member(uses=sunday.uses)
    late, monday = instant("2026-11-22T23:59:59+08:00"), instant("2026-11-23T00:00:00+08:00")
    assert run(rules(offer), sale(), who, at=late).verdict("x").code is Code.DAILY_LIMIT
    assert run(rules(offer), sale(), who, at=monday).discount_minor == 500


def test_use_limit_stands_before_an_amount_limit_and_the_months_last():
    """Where several limits are exhausted the first code of the list is given."""
    counted = (uses(UseWindow.DAY, "2026-11-21", 1, 500), uses(UseWindow.MONTH, "2026-11", 1, 500))
    month, day = {"window": "MONTH", "amount_minor": 500}, {"window": "DAY", "amount_minor": 500}
    once = {"window": "DAY", "uses": 1}

    def code(*limits: Table) -> Code:
        return run(rules({**OFF, "limit": list(limits)}), sale(), member(uses=counted)).verdict("x").code

    assert code(month, day, once) is Code.DAILY_LIMIT
    assert code(month, day) is Code.CAPPED_AMOUNT
    assert code(month) is Code.CAPPED_MONTH


@pytest.mark.parametrize(("mode", "lease", "off"), [("PARTIAL", 499, 499), ("ALL_OR_NOTHING", 499, 0)])
def test_budget_below_the_value(mode, lease, off):
    """One minor unit too little: the campaign gives its part or nothing, and only what is given is spent and used."""
    offer = {**OFF, "budget": {"campaign": "b", "mode": mode}}
    result = run(rules(offer), sale(), budgets=BudgetView((CampaignBudget("b", "lease-1", lease),)))
    assert result.verdict("x").reason == Reason(Code.BUDGET_EXHAUSTED, 500, lease, by="b")
    assert result.budgets == ((BudgetUse("b", "lease-1", off),) if off else ())
    assert [use.amount for use in result.uses] == ([off] if off else [])


def test_budget_at_the_value():
    """A lease of exactly the value covers it."""
    offer = {**OFF, "budget": {"campaign": "b"}}
    result = run(rules(offer), sale(), budgets=BudgetView((CampaignBudget("b", "lease-1", 500),)))
    assert (result.verdict("x").code, result.budgets) == (Code.OK, (BudgetUse("b", "lease-1", 500),))


def test_refusal_names_what_took_the_last_and_a_trimmed_offer_what_came_first():
    """10.00 cut to 5.00 by the offer's own cap: a budget of 3.00 that gives parts caps it, one that does not refuses."""
    offer = {**OFF, "off_minor": 1_000, "cap": {"amount_minor": 500}}
    view = BudgetView((CampaignBudget("b", "lease-1", 300),))
    part = run(rules({**offer, "budget": {"campaign": "b", "mode": "PARTIAL"}}), sale(), budgets=view).verdict("x")
    whole = run(rules({**offer, "budget": {"campaign": "b"}}), sale(), budgets=view).verdict("x")
    assert (part.verdict, part.code, part.value_minor) == (Verdict.CAPPED, Code.CAPPED_AMOUNT, 300)
    assert (whole.verdict, whole.code, whole.value_minor) == (Verdict.REJECTED, Code.BUDGET_EXHAUSTED, 0)


def test_offer_that_is_trimmed_to_nothing_is_refused_and_not_used():
    """Behind one that takes everything there is nothing left to pay: refused, no use counted."""
    all_of_it = {**OFF, "id": "a", "off_minor": 30_000}
    result = run(rules(all_of_it, OFF), sale(30_000))
    assert result.verdict("x").reason == Reason(Code.CAPPED_AMOUNT, 0, 500, "payable")
    assert [use.offer for use in result.uses] == ["a"]


@pytest.mark.parametrize(("cap", "points"), [(299, 299), (300, 300), (301, 300)])
def test_points_cap(cap, points):
    """Points of a sale stop at the cap of their rule."""
    earn = {**EARN[0], "id": "x", "cap": {"points": cap}}
    result = run(rules(earn), sale(30_000))
    assert result.points_earned == points
    assert result.verdict("x").desired_points == 300
    assert (result.verdict("x").code is Code.OK) == (cap >= 300)


@pytest.mark.parametrize(("used", "points"), [(700, 300), (701, 299), (999, 1)])
def test_points_limit(used, points):
    """Of 1000 points a month the rest is given, and says how much was used."""
    earn = {**EARN[0], "id": "x", "limit": [{"window": "MONTH", "points": 1_000}]}
    result = run(rules(earn), sale(30_000), member(uses=(uses(UseWindow.MONTH, "2026-11", 3, used),)))
    assert result.points_earned == points
    if points < 300:
        assert result.verdict("x").reason == Reason(Code.CAPPED_MONTH, 1_000, used, "MEMBER MONTH")


def pay(balance: int | None, *, gross: int = 30_000, asked: int = 10**6, **more: Any) -> tuple[int, int, Reason]:
    """Points spent, money they pay, and the reason, of one offer that lets points pay."""
    program = more.pop("program", {})
    offer = {"id": "x", "kind": "POINTS_AS_MONEY", **more}
    result = run(rules(offer, program=program), sale(gross, points=asked), budgets=BudgetView(points_usable=balance))
    return result.points_redeemed, result.points_money_minor, result.verdict("x").reason


@pytest.mark.parametrize(
    ("balance", "points"), [(99, 0), (100, 100), (199, 100), (200, 200), (29_999, 29_900), (30_000, 30_000)]
)
def test_points_pay_in_whole_steps(balance, points):
    """The largest whole number of steps of 100 points, each worth 1.00."""
    assert pay(balance)[:2] == (points, points)


@pytest.mark.parametrize(("gross", "points"), [(99, 0), (100, 100), (199, 100), (200, 200)])
def test_points_never_burn_more_than_the_payable(gross, points):
    """A payable of 1.99 takes one step; below one step nothing, for the payable."""
    assert pay(10_000, gross=gross)[0] == points


@pytest.mark.parametrize(("share", "points"), [(3_333, 9_900), (3_334, 10_000), (3_300, 9_900), (10_000, 30_000)])
def test_points_pay_up_to_a_share_of_the_payable(share, points):
    """33.33 % of 300.00 are 99.99: 99 steps; 33.34 % are 100.02: 100 steps."""
    assert pay(10**6, share_bp=share)[0] == points


@pytest.mark.parametrize(("balance", "points"), [(499, 0), (500, 500), (600, 600)])
def test_points_have_a_minimum(balance, points):
    """With a minimum of 500 points 499 pay nothing, and the reason names both."""
    found = pay(balance, program={"min_points": 500})
    assert found[0] == points
    if not points:
        assert found[2] == Reason(Code.POINTS_STEP, 500, balance)


def test_points_below_the_minimum_after_the_share_are_not_spent():
    """A share that leaves 4 steps where 5 are the least spends none, and says the share bound it first."""
    spent, _, reason = pay(10**6, gross=400, program={"min_points": 500})
    assert (spent, reason) == (0, Reason(Code.CAPPED_AMOUNT, 400, 10**6, "payable"))


def test_points_steps_of_other_sizes():
    """250 points pay 3.00: of 1000 points and a payable of 10.00 three steps, 750 points for 9.00."""
    assert pay(1_000, gross=1_000, program={"step_points": 250, "step_minor": 300})[:2] == (750, 900)


def test_points_are_limited_over_time():
    """Of 50.00 a day by points 45.50 are used: 4.00 more are paid, in whole steps."""
    offer = {"id": "x", "kind": "POINTS_AS_MONEY", "limit": [{"window": "DAY", "amount_minor": 5_000}]}
    who = member(uses=(uses(UseWindow.DAY, "2026-11-21", 1, 4_550),))
    result = run(rules(offer), sale(points=30_000), who, budgets=BudgetView(points_usable=30_000))
    assert result.points_redeemed == 400
    assert result.verdict("x").reason == Reason(Code.CAPPED_AMOUNT, 5_000, 4_550, "MEMBER DAY")


def test_no_more_points_are_spent_than_asked_for_or_held():
    """The smaller of what the member asks and what this station may let them spend."""
    assert pay(500, asked=300)[0] == 300
    assert pay(300, asked=500)[0] == 300


def test_two_offers_let_points_pay_from_one_balance():
    """The first takes its share, the second what is left of the points asked for."""
    first = {"id": "a", "kind": "POINTS_AS_MONEY", "share_bp": 1_000}
    second = {"id": "b", "kind": "POINTS_AS_MONEY"}
    sold, view = sale(30_000, points=5_000), BudgetView(points_usable=5_000)
    result = run(rules(first, second), sold, budgets=view)
    assert [result.verdict(name).value_minor for name in ("a", "b")] == [3_000, 2_000]


def test_points_paid_earn_where_the_program_says_so():
    """BEFORE_POINTS counts what points paid; NET does not."""
    offer, view = {"id": "x", "kind": "POINTS_AS_MONEY"}, BudgetView(points_usable=10_000)
    for base, earned in (("NET", 200), ("BEFORE_POINTS", 300)):
        result = run(rules(offer, *EARN, program={"earn_base": base}), sale(30_000, points=10_000), budgets=view)
        assert (result.net_minor, result.points_earned) == (20_000, earned)


@pytest.mark.parametrize("turned", [False, True])
def test_order_of_limits_in_the_file_means_nothing(turned):
    """A month and a day that leave the same: the first code of the list is given, however the file orders them."""
    limits: list[Table] = [{"window": "MONTH", "amount_minor": 400}, {"window": "DAY", "amount_minor": 400}]
    verdict = run(rules({**OFF, "limit": limits[::-1] if turned else limits}), sale()).verdict("x")
    assert verdict.reason == Reason(Code.CAPPED_AMOUNT, 400, 0, "MEMBER DAY")


def test_share_cap_of_exactly_the_value_trims_nothing():
    """2 % of 250.00 are 5.00: an offer of 5.00 is applied in full."""
    assert run(rules({**OFF, "cap": {"share_bp": 200}}), sale(25_000)).verdict("x").reason == Reason(Code.OK)


@pytest.mark.parametrize(("first", "reason"), [(10_000, Reason(Code.OK)), (10_001, None)])
def test_running_threshold_counts_what_earlier_offers_left(first, reason):
    """200.00 of 300.00 are left after 100.00: met; one minor unit less is not, and nothing was wanted."""
    earlier = {"id": "a", "kind": "AMOUNT_OFF", "off_minor": first}
    threshold = {"id": "x", "kind": "SPEND_THRESHOLD", "off_minor": 500, "per_minor": 20_000, "basis": "RUNNING"}
    verdict = run(rules(earlier, threshold), sale(30_000)).verdict("x")
    assert verdict.reason == (reason or Reason(Code.THRESHOLD_NOT_MET, 20_000, 19_999))
    assert verdict.desired_minor == (500 if reason else 0)


def test_offer_without_value_on_a_sale_says_so():
    """A fixed price above the pump's: wanted 1, worth 0."""
    verdict = run(rules({"id": "x", "kind": "FIXED_PRICE", "price_milli": 8_000}), sale()).verdict("x")
    assert verdict.reason == Reason(Code.CAPPED_AMOUNT, 1, 0, "no value")
