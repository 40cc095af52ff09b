"""Which code an offer gets when it is not given, with the numbers compared, and which of several comes first."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from agent.domain.member import MemberFacts, UseCount, UseWindow
from agent.domain.rules.conditions import holdout_bucket
from agent.domain.rules.facts import BudgetView, CampaignBudget, FactsError, Purpose, SaleFacts
from agent.domain.rules.verdict import Code, Reason, Verdict
from tests.support.loyalty import EARN, MEMBER, NOBODY, Table, instant, member, rules, run, sale

PLAIN = member()
OFF: Table = {"id": "x", "kind": "AMOUNT_OFF", "off_minor": 100}


def code_of(offer: Table, sold: SaleFacts | None = None, who: MemberFacts | None = PLAIN, **more: Any) -> Reason:
    """The reason on the only offer of a rule set."""
    return run(rules({**OFF, **offer}), sold or sale(), who, **more).verdict("x").reason


@pytest.mark.parametrize(
    ("when", "who", "needed", "actual"),
    [
        ({"tiers": ["silver", "gold"]}, member(), 1, 0),
        ({"tiers": ["gold"]}, member(tier="silver"), 2, 1),
        ({"tags": ["taxi", "fleet"]}, member(tags=frozenset({"night"})), None, None),
        ({"birthday": "MONTH"}, member(birthday_md="12-01"), None, None),
        ({"first_fill": True}, member(first_fill_used=True), 0, 1),
        ({"first_fill": True}, member(uses=(UseCount("x", UseWindow.LIFE, "life", 1, 100),)), 0, 1),
        ({"visit_at": 3}, member(visits=3), 3, 4),
        ({"visit_every": 5}, member(visits=5), 10, 6),
        ({"visit_from": 4}, member(visits=2), 4, 3),
        ({"visit_from": 4}, member(), 4, None),
    ],
)
def test_not_in_audience(when, who, needed, actual):
    """A member outside the audience is told so, with the ranks or counts compared where there are any."""
    reason = code_of({"when": when}, who=who)
    assert (reason.code, reason.needed, reason.actual) == (Code.NOT_IN_AUDIENCE, needed, actual)


@pytest.mark.parametrize(
    ("when", "who"),
    [
        ({"tiers": ["silver", "gold"]}, member(tier="gold")),
        ({"tags": ["taxi", "fleet"]}, member(tags=frozenset({"taxi"}))),
        ({"birthday": "MONTH"}, member(birthday_md="11-01")),
        ({"first_fill": True}, member()),
        ({"visit_at": 3}, member(visits=2)),
        ({"visit_every": 5}, member(visits=4)),
        ({"visit_from": 4}, member(visits=3)),
        ({"min_level": "fm1_dynamic"}, member()),
        ({"weekdays": ["sat"]}, member()),
        ({"window": [{"from": "16:00", "to": "17:00"}]}, member()),
        ({"window": [{"from": "22:00", "to": "16:01"}]}, member()),
        ({"starts_on": "2026-11-21", "ends_on": "2026-11-21"}, member()),
        ({"stations": ["SH-0421"], "grades": ["92"], "product_groups": ["petrol"]}, member()),
        ({"min_amount_minor": 30_000, "min_volume_ml": 38_217}, member()),
    ],
)
def test_condition_that_holds(when, who):
    """An offer whose condition is just met is applied, this visit counted."""
    assert code_of({"when": when}, who=who).code is Code.OK


@pytest.mark.parametrize(
    ("when", "code", "needed", "actual"),
    [
        ({"grades": ["95"]}, Code.WRONG_GRADE, None, None),
        ({"product_groups": ["diesel"]}, Code.WRONG_GRADE, None, None),
        ({"stations": ["SH-0001"]}, Code.WRONG_STATION, None, None),
        ({"weekdays": ["mon", "sun"]}, Code.OUTSIDE_WINDOW, 6, 5),
        ({"window": [{"from": "15:00", "to": "16:00"}]}, Code.OUTSIDE_WINDOW, 900, 960),
        ({"window": [{"from": "16:01", "to": "15:00"}]}, Code.OUTSIDE_WINDOW, 961, 960),
        ({"starts_on": "2026-11-22"}, Code.NOT_STARTED, 20261122, 20261121),
        ({"ends_on": "2026-11-20"}, Code.ENDED, 20261120, 20261121),
        ({"min_amount_minor": 30_001}, Code.THRESHOLD_NOT_MET, 30_001, 30_000),
        ({"min_volume_ml": 40_000}, Code.MIN_VOLUME, 40_000, 38_217),
        ({"holdout_bp": 10_000}, Code.HOLDOUT, 10_000, holdout_bucket("x", MEMBER)),
    ],
)
def test_place_time_and_minimum(when, code, needed, actual):
    """Each condition that fails has its own code and names the two numbers compared."""
    reason = code_of({"when": when})
    assert (reason.code, reason.needed, reason.actual) == (code, needed, actual)


def test_first_of_several_codes_is_given():
    """Where several codes are true the offer gets the first of the list, whatever is added behind it."""
    when = {"min_level": "sun", "holdout_bp": 10_000, "ends_on": "2026-11-01"}
    weak = sale(level="phone")
    assert code_of({"when": {"min_level": "sun"}}, weak).code is Code.AUTH_TOO_WEAK
    assert code_of({"when": {"min_level": "sun", "holdout_bp": 10_000}}, weak).code is Code.HOLDOUT
    assert code_of({"when": when}, weak).code is Code.ENDED
    assert code_of({"when": {**when, "grades": ["95"]}}, weak).code is Code.WRONG_GRADE
    assert code_of({"when": {**when, "grades": ["95"]}}, weak, NOBODY).code is Code.NOT_MEMBER


def test_group_taken_comes_before_a_hold_out():
    """An offer that is held out while a mate holds its group is told of the mate: that code stands first."""
    held = {"id": "held", "kind": "AMOUNT_OFF", "off_minor": 900, "group": "g", "when": {"holdout_bp": 10_000}}
    result = run(rules(held, {**OFF, "group": "g"}, groups=[("g", "BEST")]), sale())
    assert (result.verdict("held").code, result.verdict("held").reason.by) == (Code.GROUP_TAKEN, "x")


def test_holdout_bucket_is_the_published_formula():
    """First 8 bytes, big-endian, of SHA-256 of "offer:member", mod 10,000."""
    digest = hashlib.sha256(b"gold-litre:567014f1b3c2a9de").digest()
    assert holdout_bucket("gold-litre", MEMBER) == int.from_bytes(digest[:8], "big") % 10_000


def test_unlinked_sale_gets_what_is_for_anyone():
    """Without a member, offers for anyone apply and every other one says NOT_MEMBER."""
    anyone = {"id": "all", "kind": "AMOUNT_OFF", "off_minor": 250, "when": {"anyone": True}}
    result = run(rules(OFF, anyone, *EARN), sale(), NOBODY)
    assert result.discount_minor == 250
    assert result.verdict("x").code is Code.NOT_MEMBER
    assert (result.verdict("earn-petrol").code, result.points_earned) == (Code.NOT_MEMBER, 0)


def test_zero_volume_refuses_every_offer_with_one_code():
    """A sale of zero volume: MIN_VOLUME(1 ml, 0) on all offers, and nothing counted."""
    result = run(rules(OFF, *EARN), sale(0, volume_ml=0), NOBODY)
    assert {(v.code, v.reason.needed, v.reason.actual) for v in result.verdicts} == {(Code.MIN_VOLUME, 1, 0)}
    assert (result.uses, result.budgets, result.points_earned) == ((), (), 0)


def test_purpose_gives_no_points_and_no_discount():
    """A drive-off is no customer: every offer is refused, the net is the gross."""
    result = run(rules(OFF, *EARN), sale(purpose=Purpose.DRIVE_OFF))
    assert (result.discount_minor, result.points_earned) == (0, 0)
    assert {v.verdict for v in result.verdicts} == {Verdict.REJECTED}


@pytest.mark.parametrize(
    ("lease", "code"),
    [
        (None, Code.OFFLINE_NOT_ALLOWED),
        (CampaignBudget("c", "l", 0), Code.BUDGET_EXHAUSTED),
        (CampaignBudget("c", "l", 900, live=False), Code.LEASE_EXPIRED),
    ],
)
def test_budget_lease(lease, code):
    """A campaign without a live lease with money in it gives nothing, and says which of the three is missing."""
    view = BudgetView(() if lease is None else (lease,))
    assert code_of({"budget": {"campaign": "c"}}, budgets=view).code is code


@pytest.mark.parametrize(
    ("sold", "usable", "code"),
    [
        (sale(), 500, Code.NOT_REQUESTED),
        (sale(points=500), None, Code.BALANCE_STALE),
        (sale(points=99), 500, Code.POINTS_STEP),
        (sale(points=500), 99, Code.POINTS_STEP),
        (sale(points=0), 500, Code.POINTS_STEP),
        (sale(points=99), None, Code.POINTS_STEP),
        (sale(points=99, level="phone"), 500, Code.POINTS_STEP),
        (sale(points=500, level="phone"), None, Code.BALANCE_STALE),
        (sale(points=500, level="fm1_printed"), 500, Code.AUTH_TOO_WEAK),
        (sale(points=500, clock_suspect=True), 500, Code.AUTH_TOO_WEAK),
        (sale(points=500), 500, Code.OK),
    ],
)
def test_points_as_money_asks_for_a_request_a_lease_a_step_and_a_strong_link(sold, usable, code):
    """Points pay only when asked for, covered by a lease, in whole steps, and by a link that cannot be copied."""
    result = run(rules({"id": "pay", "kind": "POINTS_AS_MONEY"}), sold, budgets=BudgetView(points_usable=usable))
    assert result.verdict("pay").code is code


def test_station_limit_counts_the_station_and_not_the_member():
    """A limit per station is filled by everybody's uses and is open to an unlinked sale."""
    limit = {"per": "STATION", "window": "DAY", "amount_minor": 150}
    offer = {**OFF, "when": {"anyone": True}, "limit": [limit]}
    first = run(rules(offer), sale(), NOBODY)
    second = run(rules(offer), sale(), NOBODY, budgets=BudgetView(station_uses=first.station_uses))
    assert (first.discount_minor, second.discount_minor) == (100, 50)
    assert second.verdict("x").reason.detail == "STATION DAY"


def test_wall_clock_windows_in_a_zone_with_summer_time():
    """In the hour that comes twice both repeats match; the instant alone decides."""
    from dataclasses import replace
    from zoneinfo import ZoneInfo

    berlin = ZoneInfo("Europe/Berlin")
    offer = {**OFF, "when": {"window": [{"from": "02:00", "to": "03:00"}]}}
    for at in ("2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"):
        assert run(rules(offer), sale(), at=replace(instant(at), zone=berlin)).discount_minor == 100
    assert run(rules(offer), sale(), at=replace(instant("2026-03-29T01:30:00+00:00"), zone=berlin)).discount_minor == 0


def test_sale_in_another_currency_is_refused():
    """A rule set in another currency is a mistake of the configuration, not a discount in the wrong unit."""
    wrong = SaleFacts("S", "SH-0421", "JPY", 0, sale().lines)
    with pytest.raises(FactsError, match="publish rules"):
        run(rules(OFF), wrong)
