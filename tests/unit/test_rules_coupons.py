"""Coupons: which may be used on a sale, what they give, and what a use leaves on them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from agent.domain.rules.explain import explain
from agent.domain.rules.facts import BudgetView, CampaignBudget, FactsError, Presented, PresentedCoupon
from agent.domain.rules.verdict import Code, CouponUse, Evaluation, Gift, Verdict
from tests.support.loyalty import EARN, MEMBER, NOBODY, Table, coupon, instant, member, rules, run, sale

OTHER = "00000000000000aa"
FIFTY: Table = {"id": "c", "kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 5_000}


def used(offer: Table, *coupons: PresentedCoupon, gross: int = 30_000, **more: Any) -> Evaluation:
    """A sale of 300.00 on which coupons of one offer are presented."""
    return run(rules({**FIFTY, **offer}), sale(gross, coupons=coupons, **more))


def test_coupon_gives_what_it_wraps_and_is_spent():
    """50.00 off 300.00; the coupon is used and cannot be presented again."""
    result = used({}, coupon())
    assert (result.net_minor, result.coupons) == (25_000, (CouponUse("C1", "c", 5_000, None, used=True),))


@pytest.mark.parametrize(
    ("terms", "off"),
    [
        ({"gives": "PER_LITRE", "off_milli": 300}, 1_147),
        ({"gives": "FIXED_PRICE", "price_milli": 7_500}, 1_338),
        ({"gives": "PERCENT", "share_bp": 1_000}, 3_000),
        ({"gives": "SPEND_THRESHOLD", "off_minor": 2_000, "per_minor": 30_000}, 2_000),
    ],
)
def test_coupon_wraps_every_discount(terms, off):
    """A coupon takes its value at its own stage by the rules of the kind it wraps."""
    assert run(rules({"id": "c", "kind": "COUPON", **terms}), sale(coupons=[coupon()])).discount_minor == off


def test_coupon_comes_after_thresholds_and_before_points():
    """300.00 less 100.00, of which the coupon takes 10 %, and points pay of what is left."""
    off = {"id": "off", "kind": "AMOUNT_OFF", "off_minor": 10_000, "priority": 900}
    ten = {"id": "c", "kind": "COUPON", "gives": "PERCENT", "share_bp": 1_000, "priority": 1}
    pay = {"id": "pay", "kind": "POINTS_AS_MONEY", "share_bp": 5_000}
    sold = sale(coupons=[coupon()], points=10**6)
    result = run(rules(off, ten, pay), sold, budgets=BudgetView(points_usable=10**6))
    assert (result.verdict("c").value_minor, result.points_money_minor, result.net_minor) == (2_000, 9_000, 9_000)


def test_coupon_that_is_not_presented_was_not_asked_for():
    """Nobody gets a coupon's value without the coupon; one of another offer is none of this one."""
    assert used({}).verdict("c").code is Code.NOT_REQUESTED
    assert used({}, coupon(offer="other")).verdict("c").code is Code.NOT_REQUESTED
    assert run(rules(FIFTY), sale(coupons=[coupon()]), NOBODY).verdict("c").code is Code.NOT_MEMBER


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"used": True}, Code.COUPON_USED),
        ({"balance_minor": 0}, Code.COUPON_USED),
        ({"expires_on": date(2026, 11, 20)}, Code.COUPON_EXPIRED),
        ({"expires_on": date(2026, 11, 21)}, Code.OK),
        ({"member": OTHER}, Code.COUPON_NOT_HOLDER),
        ({"member": MEMBER}, Code.OK),
        ({"used": True, "expires_on": date(2020, 1, 1), "member": OTHER}, Code.COUPON_USED),
        ({"expires_on": date(2020, 1, 1), "member": OTHER}, Code.COUPON_EXPIRED),
    ],
)
def test_coupon_used_expired_or_somebody_elses(facts, code):
    """Each has its code, in the order of the list; the last day is inclusive."""
    result = used({}, coupon(**facts))
    assert (result.verdict("c").code, bool(result.coupons)) == (code, code is Code.OK)


def test_expiry_names_the_two_days():
    """The reason carries the last day and the local day of the sale, and the sentence says the day."""
    result = used({"name": "C"}, coupon(expires_on=date(2026, 11, 20)))
    reason = result.verdict("c").reason
    assert (reason.needed, reason.actual) == (20261120, 20261121)
    assert explain(result, "en")[0] == "C: expired on 2026-11-20."
    assert explain(result, "zh-CN")[0] == "C:优惠券已于2026-11-20过期。"


@pytest.mark.parametrize(
    ("checking", "facts", "code"),
    [
        ("ONLINE_ONLY", {}, Code.OFFLINE_NOT_ALLOWED),
        ("ONLINE_ONLY", {"confirmed": True}, Code.OK),
        ("SITE_BOUND", {}, Code.OFFLINE_NOT_ALLOWED),
        ("SITE_BOUND", {"station": "SH-0421"}, Code.OK),
        ("SITE_BOUND", {"station": "SH-0001"}, Code.WRONG_STATION),
        ("SITE_BOUND", {"station": "SH-0001", "confirmed": True}, Code.OK),
        ("OFFLINE_WITH_RISK", {}, Code.OK),
        ("OFFLINE_WITH_RISK", {"station": "SH-0001"}, Code.WRONG_STATION),
    ],
)
def test_coupon_is_checked_as_its_offer_says(checking, facts, code):
    """At head office, at the one station it is bound to, or not at all up to a risk."""
    risk = {"risk_up_to_minor": 5_000} if checking == "OFFLINE_WITH_RISK" else {}
    result = used({"checking": checking, **risk}, coupon(**{"confirmed": False, **facts}))
    assert result.verdict("c").code is code


@pytest.mark.parametrize(("risk", "confirmed", "off"), [(5_000, False, 5_000), (4_999, False, 0), (4_999, True, 5_000)])
def test_unchecked_coupon_above_the_risk_is_refused_whole(risk, confirmed, off):
    """Up to the risk it is taken, above it is rejected and not trimmed; head office's word lifts the bound."""
    result = used({"checking": "OFFLINE_WITH_RISK", "risk_up_to_minor": risk}, coupon(confirmed=confirmed))
    assert result.discount_minor == off
    if not off:
        reason = result.verdict("c").reason
        assert (reason.code, reason.needed, reason.actual) == (Code.OFFLINE_NOT_ALLOWED, risk, 5_000)


def test_risk_is_judged_by_the_coupon_and_not_by_what_the_sale_can_take():
    """50.00 at a risk of 40.00 is refused on a sale of 38.60 too; its own cap of 30.00 brings it within the risk."""
    risky = {"checking": "OFFLINE_WITH_RISK", "risk_up_to_minor": 4_000}
    assert used(risky, coupon(confirmed=False), gross=3_860).discount_minor == 0
    assert used({**risky, "cap": {"amount_minor": 3_000}}, coupon(confirmed=False)).discount_minor == 3_000
    assert used(risky, coupon(confirmed=False, balance_minor=4_000)).discount_minor == 4_000


@pytest.mark.parametrize(
    ("trimmed", "off", "uses"),
    [
        ("SPEND", 3_860, (CouponUse("C1", "c", 3_860, None, used=True),)),
        ("KEEP_BALANCE", 3_860, (CouponUse("C1", "c", 3_860, 1_140, used=False),)),
        ("KEEP_COUPON", 0, ()),
    ],
)
def test_coupon_above_the_payable(trimmed, off, uses):
    """50.00 on a sale of 38.60: the rest is lost, stays on the coupon, or the coupon is kept and not used."""
    result = used({"trimmed": trimmed}, coupon(), gross=3_860)
    verdict = result.verdict("c")
    assert (result.discount_minor, result.coupons) == (off, uses)
    assert (verdict.code, verdict.desired_minor) == (Code.CAPPED_AMOUNT, 5_000)
    assert verdict.verdict is (Verdict.CAPPED if off else Verdict.REJECTED)
    assert bool(result.uses) == bool(off)


@pytest.mark.parametrize("trimmed", ["SPEND", "KEEP_BALANCE", "KEEP_COUPON"])
def test_coupon_that_just_fits_is_spent_whole_by_every_policy(trimmed):
    """A payable of exactly 50.00 trims nothing."""
    result = used({"trimmed": trimmed}, coupon(), gross=5_000)
    assert (result.net_minor, result.coupons) == (0, (CouponUse("C1", "c", 5_000, None, used=True),))


@pytest.mark.parametrize(
    ("balance", "gross", "off", "left", "gone"), [(1_140, 30_000, 1_140, None, True), (1_140, 1_000, 1_000, 140, False)]
)
def test_balance_left_on_a_coupon_is_used_next_time(balance, gross, off, left, gone):
    """What stayed on a coupon is all it can give: 11.40 on a large sale, and 1.40 stay after a sale of 10.00."""
    result = used({"trimmed": "KEEP_BALANCE"}, coupon(balance_minor=balance), gross=gross)
    assert result.coupons == (CouponUse("C1", "c", off, left, used=gone),)
    assert result.verdict("c").desired_minor == balance


@pytest.mark.parametrize("trimmed", ["SPEND", "KEEP_BALANCE", "KEEP_COUPON"])
def test_coupons_own_caps_are_no_trimming(trimmed):
    """A cap of 30.00 on a coupon of 50.00 is what it is worth: it is spent, nothing stays on it, it is not kept."""
    result = used({"trimmed": trimmed, "cap": {"amount_minor": 3_000}}, coupon())
    assert result.coupons == (CouponUse("C1", "c", 3_000, None, used=True),)
    assert (result.verdict("c").verdict, result.verdict("c").desired_minor) == (Verdict.CAPPED, 5_000)


@pytest.mark.parametrize(("trimmed", "off", "left"), [("SPEND", 2_000, None), ("KEEP_BALANCE", 2_000, 3_000)])
def test_program_cap_and_budget_trim_a_coupon(trimmed, off, left):
    """A program cap of 20.00, or a budget with 20.00 left, trims a coupon of 50.00 by the same policy."""
    by_cap = run(rules({**FIFTY, "trimmed": trimmed}, program={"discount_cap_minor": 2_000}), sale(coupons=[coupon()]))
    budget = {"budget": {"campaign": "b", "mode": "PARTIAL"}}
    view = BudgetView((CampaignBudget("b", "lease", 2_000),))
    by_budget = run(rules({**FIFTY, "trimmed": trimmed, **budget}), sale(coupons=[coupon()]), budgets=view)
    for result in (by_cap, by_budget):
        assert result.discount_minor == off
        assert [use.left_minor for use in result.coupons] == [left]
    assert (by_cap.verdict("c").code, by_budget.verdict("c").code) == (Code.CAPPED_AMOUNT, Code.BUDGET_EXHAUSTED)


def test_kept_coupon_is_refused_with_the_code_of_what_trimmed_it():
    """KEEP_COUPON: a budget that covers a part refuses with its own code, and nothing is taken from it."""
    offer = {**FIFTY, "trimmed": "KEEP_COUPON", "budget": {"campaign": "b", "mode": "PARTIAL"}}
    view = BudgetView((CampaignBudget("b", "lease", 4_999),))
    result = run(rules(offer), sale(coupons=[coupon()]), budgets=view)
    verdict = result.verdict("c")
    assert (verdict.verdict, verdict.code, verdict.value_minor) == (Verdict.REJECTED, Code.BUDGET_EXHAUSTED, 0)
    assert (result.budgets, result.coupons, result.net_minor) == ((), (), 30_000)


def test_coupon_is_left_out_where_it_would_make_the_sale_dearer():
    """A coupon of 1.00 that pushes a later one below its threshold stays unused, and says what beat it."""
    one = {**FIFTY, "id": "one", "off_minor": 100, "priority": 1}
    later = {"id": "later", "kind": "COUPON", "gives": "SPEND_THRESHOLD", "off_minor": 2_000, "per_minor": 30_000}
    result = run(rules(one, {**later, "basis": "RUNNING"}), sale(coupons=[coupon("A", "one"), coupon("B", "later")]))
    assert (result.net_minor, [use.code for use in result.coupons]) == (28_000, ["B"])
    assert (result.verdict("one").code, result.verdict("one").reason.by) == (Code.BEATEN_BY, "later")


def test_fewer_coupons_win_a_tie():
    """An offer that saves as much as a coupon is taken, whatever the priorities: the coupon stays in the pocket."""
    same = {"id": "z", "kind": "AMOUNT_OFF", "off_minor": 5_000, "group": "g"}
    result = run(rules({**FIFTY, "group": "g", "priority": 1}, same, groups=[("g", "BEST")]), sale(coupons=[coupon()]))
    assert (result.verdict("z").verdict, result.coupons) == (Verdict.APPLIED, ())
    assert result.verdict("c").code is Code.GROUP_TAKEN


def test_one_of_several_coupons_of_an_offer_is_used_the_one_that_saves_most():
    """Of a spent, a part-used and a whole one the whole one is taken; equal ones by expiry, then by code."""
    keep = {"trimmed": "KEEP_BALANCE"}
    spent, part = coupon("A", used=True), coupon("B", balance_minor=1_000)
    assert [use.code for use in used(keep, spent, part, coupon("D")).coupons] == ["D"]
    soon = coupon("Z", expires_on=date(2026, 11, 30))
    assert [use.code for use in used({}, coupon("A"), soon).coupons] == ["Z"]
    assert [use.code for use in used({}, coupon("B"), coupon("A")).coupons] == ["A"]


def test_second_coupon_never_makes_a_sale_dearer():
    """A part-used coupon of 1.00 leaves a threshold standing that the whole one would break: the part is taken."""
    keep = {**FIFTY, "off_minor": 1_500, "trimmed": "KEEP_BALANCE", "priority": 1}
    later = {"id": "later", "kind": "COUPON", "gives": "SPEND_THRESHOLD", "off_minor": 2_000, "per_minor": 29_900}
    rule_set = rules(keep, {**later, "basis": "RUNNING"})
    part, threshold = coupon("part", balance_minor=100), coupon("T", "later")
    assert run(rule_set, sale(coupons=[part, threshold])).discount_minor == 2_100
    both = run(rule_set, sale(coupons=[coupon("whole"), part, threshold]))
    assert (both.discount_minor, {use.code for use in both.coupons}) == (2_100, {"part", "T"})


def test_several_coupons_none_of_which_may_be_used():
    """The offer is told the first code of the list that is true of one of them."""
    result = used({}, coupon("A", member=OTHER), coupon("B", used=True))
    assert result.verdict("c").code is Code.COUPON_USED


def test_holders_coupon_needs_a_link_that_cannot_be_copied():
    """A printed code or a told number earns and spends no coupon; a coupon for anyone needs no link at all."""
    assert used({}, coupon(), level="fm1_printed").verdict("c").code is Code.AUTH_TOO_WEAK
    assert used({}, coupon(), clock_suspect=True).verdict("c").code is Code.AUTH_TOO_WEAK
    anyone = rules({**FIFTY, "when": {"anyone": True}})
    assert run(anyone, sale(coupons=[coupon()], level=None), NOBODY).discount_minor == 5_000
    held = coupon(member=MEMBER)
    assert run(anyone, sale(coupons=[held], level=None), NOBODY).verdict("c").code is Code.COUPON_NOT_HOLDER


def test_coupon_for_an_article_is_handed_over_and_used_beside_an_exclusive_discount():
    """A car wash saves no money, so no tie and no exclusive discount keeps it out."""
    wash = {"id": "c", "kind": "COUPON", "gives": "GIFT_ITEM", "item": "wash"}
    only = {"id": "only", "kind": "AMOUNT_OFF", "off_minor": 500, "exclusive": True}
    result = run(rules(wash, only), sale(coupons=[coupon()]))
    assert result.gifts == (Gift("c", "wash", 1),)
    assert (result.discount_minor, result.coupons) == (500, (CouponUse("C1", "c", 0, None, used=True),))
    assert run(rules(wash), sale()).verdict("c").code is Code.NOT_REQUESTED


@pytest.mark.parametrize(("risk", "points"), [(50, 50), (49, 0)])
def test_coupon_for_points_counts_at_what_they_pay(risk, points):
    """50 points pay 0.50: unchecked they are taken at a risk of 0.50 and not of 0.49; they are never multiplied."""
    bonus = {"id": "c", "kind": "COUPON", "gives": "BONUS_POINTS", "points": 50}
    bonus |= {"checking": "OFFLINE_WITH_RISK", "risk_up_to_minor": risk}
    twice = {"id": "m", "kind": "MULTIPLIER", "factor_pct": 200}
    result = run(rules(bonus, twice, *EARN), sale(coupons=[coupon(confirmed=False)]))
    assert (result.bonus_points, result.points_earned, len(result.coupons)) == (points, 600, 1 if points else 0)
    spent = run(rules(bonus), sale(coupons=[coupon(confirmed=False, used=True)])).verdict("c")
    assert spent.code is (Code.COUPON_USED if points else Code.OFFLINE_NOT_ALLOWED)
    capped = run(rules({**bonus, "cap": {"points": 49}}), sale(coupons=[coupon(confirmed=False)]))
    assert capped.bonus_points == 49


def test_coupon_of_a_campaign_spends_its_budget_and_counts_as_a_use():
    """A granted coupon takes its value from the lease and from the member's limit."""
    offer = {**FIFTY, "budget": {"campaign": "b"}, "limit": [{"window": "MONTH", "uses": 1}]}
    view = BudgetView((CampaignBudget("b", "lease", 5_000),))
    result = run(rules(offer), sale(coupons=[coupon()]), budgets=view)
    assert [(use.campaign, use.amount_minor) for use in result.budgets] == [("b", 5_000)]
    again = run(rules(offer), sale(coupons=[coupon("C2")]), member(uses=result.uses), budgets=view)
    assert (again.verdict("c").code, again.coupons) == (Code.DAILY_LIMIT, ())


def test_coupon_of_no_offer_is_named():
    """A coupon whose campaign is gone has no verdict, so the answer names it."""
    result = used({}, coupon("LOST", "gone"), coupon("ODD", "earn-petrol"))
    assert result.coupons_unknown == ("LOST", "ODD")
    assert "Coupon LOST is for no offer of these rules." in explain(result, "en")


def test_coupon_is_explained_in_both_languages():
    """What was taken, what stays on it, what none presented means, and why an unchecked one is refused."""
    kept = used({"name": "C", "trimmed": "KEEP_BALANCE"}, coupon(), gross=3_860)
    assert (
        explain(kept, "en")[0]
        == "C: 38.60 off, capped from 50.00 (CAPPED_AMOUNT, payable), coupon C1, 11.40 stays on it."
    )
    assert explain(kept, "zh-CN")[0] == "C:优惠 38.60,原为 50.00,已封顶 (CAPPED_AMOUNT, 应付金额),券 C1,券余 11.40。"
    assert explain(used({"name": "C"}), "en")[0] == "C: needs a coupon, none was presented."
    assert explain(used({"name": "C"}), "zh-CN")[0] == "C:未出示优惠券。"
    risky = used({"name": "C", "checking": "OFFLINE_WITH_RISK", "risk_up_to_minor": 400}, coupon(confirmed=False))
    assert explain(risky, "en")[0] == "C: is taken unchecked up to 4.00, this coupon is worth 50.00."
    online = used({"name": "C"}, coupon(confirmed=False))
    assert explain(online, "en")[0] == "C: is for coupons that head office must check first."
    assert explain(online, "zh-CN")[0] == "C:优惠券须联网核验。"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PresentedCoupon("", "c"), "0 characters"),
        (lambda: PresentedCoupon("x" * 65, "c"), "65 characters"),
        (lambda: PresentedCoupon("x", "c", balance_minor=-1), "balance of -1"),
        (lambda: Presented(coupons=(coupon(), coupon(used=True))), "presented twice: C1, C1"),
        (lambda: Presented(coupons=tuple(coupon(str(number)) for number in range(9))), "at most 8"),
        (lambda: Presented(points=-1), "ask for 0 or more"),
    ],
)
def test_facts_that_no_sale_can_have_are_refused(make, message):
    """An empty or overlong code, a negative balance, one coupon twice, and more than eight are errors with a reason."""
    with pytest.raises(FactsError, match=message):
        make()
    assert len(Presented(coupons=tuple(coupon(str(number)) for number in range(8))).coupons) == 8
    assert PresentedCoupon("x" * 64, "c", balance_minor=0).code == "x" * 64


def test_coupon_offer_keeps_its_own_time():
    """The offer of a coupon has conditions like any other: before it starts the coupon waits."""
    offer = {"when": {"starts_on": "2026-11-22"}}
    assert used(offer, coupon()).verdict("c").code is Code.NOT_STARTED
    later = run(rules({**FIFTY, **offer}), sale(coupons=[coupon()]), at=instant("2026-11-22T00:00:00+08:00"))
    assert later.discount_minor == 5_000


@pytest.mark.parametrize(("balance", "code"), [(1_499, Code.OK), (1_500, Code.OK), (1_501, Code.CAPPED_VOLUME)])
def test_balance_below_a_volume_cap_is_not_capped_by_it(balance, code):
    """0.50 for the first 30 L are 15.00: a balance up to that is given whole, one above it is capped by the litres."""
    terms = {"id": "c", "kind": "COUPON", "gives": "PER_LITRE", "off_milli": 500, "cap": {"volume_ml": 30_000}}
    result = run(rules(terms), sale(coupons=[coupon(balance_minor=balance)]))
    assert (result.discount_minor, result.verdict("c").code) == (min(balance, 1_500), code)
