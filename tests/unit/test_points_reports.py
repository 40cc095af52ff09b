"""What head office told and what happened here, in one purse: leases, bases that include our records, budgets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.pipeline import leasing
from agent.reports.campaigns import report
from agent.reports.questions import Reports
from tests.support import template
from tests.support.head_office_says import INDEX_KEY
from tests.support.quiet import quiet_log
from tests.support.till import MEMBER, OTHER, Till

DAY_S = 86_400
EARN = {"id": "earn", "kind": "EARN", "points": 1, "per_minor": 100}
PAY = {"id": "pay", "kind": "POINTS_AS_MONEY", "share_bp": 10_000}
OFF = {"id": "off", "kind": "PER_LITRE", "off_milli": 100, "budget": {"campaign": "spring", "mode": "PARTIAL"}}


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    """A till with a member of 1,000 points that end on 31 March and 300 that never do."""
    template.copy_to(tmp_path)
    with quiet_log():
        made = Till(tmp_path)
        made.rules(EARN, PAY, OFF, step_points=100)
        made.member(lots=[(1_000, None, "2026-03-31"), (300, None, None)])
        yield made
        made.close()


def ask(till: Till, op: str, **args: Any) -> Any:
    """Ask as the control socket is asked."""
    return Reports(till.settings, till.clock, INDEX_KEY).questions()[op](args)


def lend(till: Till, lease: str, kind: str, subject: str, granted: int) -> None:
    """Head office lends something for ten days."""
    expires_ms = till.clock.wall_ms() + 10 * DAY_S * 1000
    till.do(
        lambda step: leasing.received(
            step, lease=lease, kind=kind, subject=subject, granted=granted, expires_ms=expires_ms
        )
    )


def show(till: Till) -> Any:
    """The member's points."""
    return ask(till, "points.show", member=MEMBER)


def test_points_of_head_office_are_spent_only_by_a_lease(till: Till) -> None:
    """Without one the reason is said; with one of 450 points, 400 in whole steps; what a quote holds is not free."""
    before = show(till)
    assert (before["balance_points"], before["spendable_points"]) == (1_300, 0)
    assert before["not_spendable"] == [{"why": "NO_LEASE", "points": 1_300, "until": None}]
    lend(till, "L1", "points", MEMBER, 450)
    lent = show(till)
    assert (lent["spendable_points"], lent["spendable_minor"]) == (400, 400)
    assert [kept["why"] for kept in lent["not_spendable"]] == ["LEASE_SPENT", "STEP"]
    sale = till.fuelled()
    assert till.quote(sale, points=200, lock=True)["points_redeemed"] == 200
    held = show(till)
    assert {kept["why"]: kept["points"] for kept in held["not_spendable"]} == {
        "QUOTED": 200,
        "LEASE_SPENT": 850,
        "STEP": 50,
    }
    assert held["spendable_points"] == 200
    assert till.settle(sale)["points_redeemed"] == 200
    spent = show(till)
    assert (spent["usable_points"], spent["leases"][0]["left_points"]) == (1_100, 250)


def test_the_member_may_spend_what_show_says_and_not_a_step_more(till: Till) -> None:
    """The screen and the till agree."""
    lend(till, "L1", "points", MEMBER, 450)
    sale = till.fuelled()
    assert till.quote(sale, points=99_999)["points_redeemed"] == show(till)["spendable_points"] == 400


def test_a_base_that_includes_our_records_counts_nothing_twice(till: Till) -> None:
    """After head office took our sale in, the balance is its base and what came later; history says which is which."""
    first = till.settle(till.fuelled())["points_earned"]
    assert show(till)["balance_points"] == 1_300 + first
    includes = till.one("SELECT max(seq) FROM posting")
    as_of = {"incarnation": till.one("SELECT incarnation FROM incarnation"), "seq": includes}
    till.member(op=2, lots=[(1_000, None, "2026-03-31"), (300 + first, None, None)], as_of=as_of)
    told = show(till)
    assert told["balance_points"] == told["head_office"]["points"] == 1_300 + first
    assert told["head_office"]["includes"] == as_of
    assert told["head_office"]["includes_until"] is not None
    till.wait(5)
    second = till.settle(till.fuelled())["points_earned"]
    history = ask(till, "points.history", member=MEMBER)
    assert [(fact["points"], fact["balance_points"]) for fact in history["facts"]] == [
        (second, 1_300 + first + second),
        (first, None),
    ]
    assert history["balance_points"] == show(till)["balance_points"] == 1_300 + first + second


def test_liability_holds_head_offices_part_and_ours_once(till: Till) -> None:
    """Members told and never seen, told and seen, and seen only: the sum of their balances, by the month they end."""
    till.member(OTHER, op=3, lots=[(70, None, "2026-05-31")])
    first = till.settle(till.fuelled())["points_earned"]
    stranger = till.sale()
    till.link(stranger, "00000000000000bb")
    second = till.settle(stranger)["points_earned"]
    found = ask(till, "points.liability", unit_cost_milli=10)
    assert (found["own_points"], found["head_office_points"]) == (first + second, 1_370)
    assert {month["month"]: month["points"] for month in found["ending"]} == {
        "2026-03": 1_000,
        "2026-05": 70,
        "2027-01": first + second,
        None: 300,
    }
    as_of = {
        "incarnation": till.one("SELECT incarnation FROM incarnation"),
        "seq": till.one("SELECT max(seq) FROM posting"),
    }
    till.member(op=4, lots=[(1_300 + first, None, None)], as_of=as_of)
    taken_in = ask(till, "points.liability")
    assert (taken_in["points"], taken_in["own_points"]) == (found["points"], second)


def test_points_paid_with_are_no_second_cost(till: Till) -> None:
    """They were counted when they were issued; the discounts of the period are without them."""
    lend(till, "L1", "points", MEMBER, 1_000)
    settled = till.settle(till.fuelled(), points=500)
    period = ask(till, "points.liability")["period"]
    assert (period["paid_by_points_minor"], period["points_redeemed"]) == (500, 500)
    assert period["discount_minor"] == settled["discount_minor"] - 500
    plan = ask(till, "campaigns.plan")
    (pay,) = [
        offer
        for offer in report(plan, [ask(till, "campaigns.part", **{**plan, "part": 0})])["offers"]
        if offer["offer"] == "pay"
    ]
    assert (pay["paid_by_points_minor"], pay["discount_minor"], pay["applied"] + pay["capped"]) == (500, 0, 1)


def test_a_campaign_shows_its_budget_and_when_it_is_gone(till: Till) -> None:
    """Lent 10.00, each sale takes 2.00: after two sales on the second day 6.00 last three days more."""
    plan = ask(till, "campaigns.plan", which="spring")
    assert plan["budgets"] == {"spring": None}
    lend(till, "B1", "budget", "spring", 1_000)
    till.settle(till.fuelled())
    till.wait(DAY_S)
    till.settle(till.fuelled())
    plan = ask(till, "campaigns.plan", which="spring")
    (offer,) = report(plan, [ask(till, "campaigns.part", **{**plan, "part": 0}, which="spring")])["offers"]
    assert offer["discount_minor"] == 400
    budget = offer["budget"]
    assert (budget["granted_minor"], budget["spent_minor"], budget["left_minor"]) == (1_000, 400, 600)
    assert (budget["since"], budget["runs_out_on"]) == ("2026-01-05", "2026-01-09")
    till.wait(20 * DAY_S)
    ended = ask(till, "campaigns.plan", which="spring")["budgets"]["spring"]
    assert (ended["left_minor"], ended["expires_at"]) == (0, None)
