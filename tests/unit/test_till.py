"""Quote, hold, settle, void, refund and relink at a till: coupons, points of a lease and budgets, each exactly once."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from agent.cli import show
from agent.domain.identity import AuthLevel
from agent.pipeline import leasing
from agent.store.queries import Queries
from tests.support import template
from tests.support.till import EARN, MEMBER, Till, asked, lend, loyal_till, token


def spent(till: Till, lease: str) -> int:
    """What is gone of a lease."""
    value = till.one(f"SELECT spent FROM lease WHERE id = '{lease}'")
    assert isinstance(value, int)
    return value


@pytest.fixture
def till() -> Iterator[Till]:
    """A till with rules of every kind, a member with 5,230 points, and no lease; everything adds up afterwards."""
    yield from loyal_till()


# --- points -----------------------------------------------------------------------------------------------------------


def test_points_without_a_lease_are_refused_before_anything_is_paid(till: Till) -> None:
    """Without a lease nobody knows what the member has left: the whole request is refused with the reason."""
    sale = till.fuelled()
    refused = till.settle(sale, points=5_000)
    assert "BALANCE_STALE" in refused["error"]
    assert "--accept" in refused["hint"]
    assert till.rows("SELECT * FROM settlement") == []
    assert till.settle(sale, points=5_000, accept=True)["points_redeemed"] == 0


def test_points_are_spent_from_the_lease_and_from_the_lot_that_ends_first(till: Till) -> None:
    """The lease bounds what is spent, the lots say which points go; both are in the record."""
    lend(till, "L1", "points", 3_000)
    till.member(op=2, lots=[(1_000, None, "2026-09-30"), (4_230, None, "2026-03-31")])
    settled = till.settle(till.fuelled(), points=5_000)
    assert (settled["points_redeemed"], settled["net_minor"]) == (3_000, 12_700)
    assert asked(settled) == [("APPLIED", "OK", 3_000)]
    (record,) = till.records("fc.sale.settled.v1")
    assert record["points_leases"] == [{"lease": "L1", "points": 3_000}]
    assert record["postings"][0] == {"account": "member:available", "points": -3_000, "lot": "base:2026-03-31"}
    assert spent(till, "L1") == 3_000


def test_a_told_number_earns_and_never_pays(till: Till) -> None:
    """Points asked for by a card number alone, or by a code whose time could not be checked, are refused as too weak."""
    lend(till, "L1", "points", 3_000)
    for weak in ({"level": AuthLevel.NUMBER}, {"clock_suspect": True}):
        assert "AUTH_TOO_WEAK" in till.settle(till.fuelled(**weak), points=1_000)["error"]


@pytest.mark.parametrize(
    ("lots", "usable"),
    [
        ([(900, None, "2026-01-04")], 0),
        ([(900, None, "2026-01-05")], 900),
        ([(900, "2026-01-05T14:01:00+08:00", None)], 0),
        ([(900, "2026-01-05T13:59:00+08:00", None)], 900),
        ([(900, "no time", None)], 0),
        ([(300, None, None), (600, None, None)], 900),
    ],
)
def test_lots_are_spent_between_their_dates_only(till: Till, lots: list[Any], usable: int) -> None:
    """A lot past its last local day is refused though nobody posted its end, one before its time waits [W-43]."""
    lend(till, "L1", "points", 3_000)
    till.member(op=2, lots=lots)
    assert till.quote(till.fuelled(), points=900)["points_redeemed"] == usable


def test_a_balance_that_includes_our_records_is_not_counted_twice(till: Till) -> None:
    """Head office's base counts up to the place it names, our own postings behind it."""
    lend(till, "L1", "points", 5_000)
    till.settle(till.fuelled(), points=2_000)
    incarnation = till.one("SELECT value FROM meta WHERE key = 'incarnation'")
    seq = till.one("SELECT journal_seq FROM settlement")
    sale = till.fuelled()
    for as_of, left in [
        (None, 1_200),
        ({"incarnation": incarnation, "seq": seq - 1}, 1_200),
        ({"incarnation": incarnation, "seq": seq}, 3_000),
    ]:
        op = till.one("SELECT max(op) FROM member") + 1
        till.member(op=op, lots=[(3_230, None, "2026-09-30")], as_of=as_of)
        assert till.quote(sale, points=3_300)["points_redeemed"] == left


def test_two_quotes_never_hold_the_same_points(till: Till) -> None:
    """What one held quote will spend is not there for the next sale of the member."""
    lend(till, "L1", "points", 3_000)
    first, second = till.fuelled(), till.fuelled()
    assert till.quote(first, points=2_000, lock=True)["points_redeemed"] == 2_000
    assert till.quote(second, points=2_000)["points_redeemed"] == 1_000
    assert till.settle(second, points=2_000)["points_redeemed"] == 1_000
    assert till.settle(first)["points_redeemed"] == 2_000
    assert spent(till, "L1") == 3_000


# --- quotes -----------------------------------------------------------------------------------------------------------


def test_the_settlement_commits_the_quoted_result(till: Till) -> None:
    """Rules that change after the price was told change nothing of it; the record names the version that priced it."""
    lend(till, "B1", "budget", 700)
    sale = till.fuelled()
    quoted = till.quote(sale, lock=True)
    assert (quoted["net_minor"], till.one("SELECT state FROM sale")) == (15_200, "Locked")
    till.rules(EARN, version=2)
    till.restart()
    assert till.settle(sale)["net_minor"] == 15_200
    assert till.records("fc.sale.settled.v1")[0]["rule_version"] == 1
    assert spent(till, "B1") == 500
    assert till.state(("quote", "held")) == {"quote": [], "held": []}


def test_a_repeated_quote_gets_the_first_answer_and_another_wish_is_refused(till: Till) -> None:
    """Saying it again doubles nothing; asking for something else needs the first to be let go."""
    lend(till, "L1", "points", 3_000)
    sale = till.fuelled()
    first = till.quote(sale, points=1_000, lock=True)
    till.wait(30)
    assert till.quote(sale, points=1_000, lock=True) == first
    assert till.quote(sale) == first
    for refused in (till.quote(sale, points=2_000), till.settle(sale, points=2_000)):
        assert f"forecourt sales unlock {sale}" in refused["hint"]
    assert till.settle(sale, points=1_000)["points_redeemed"] == 1_000
    assert "settled at" in till.quote(sale)["error"]


@pytest.mark.parametrize("how", ["time", "person", "clock", "restart"])
def test_a_held_quote_lets_everything_go(till: Till, how: str) -> None:
    """When its time is over, by either clock, across a restart, or when a person says so, all is as before the quote."""
    lend(till, "L1", "points", 3_000)
    lend(till, "B1", "budget", 700)
    sale = till.fuelled()
    before = till.state(("posting", "lot", "lease", "lease_move", "quote", "held"))
    till.quote(sale, points=1_000, lock=True)
    assert till.one("SELECT sum(uses) FROM use_count") > 0
    if how == "person":
        assert till.ask("sales.unlock", role="attendant", sale=sale)["ok"]
        assert not till.ask("sales.unlock", role="attendant", sale=sale)["ok"]
    elif how == "clock":
        till.clock.offset_ms += 3_600_000
        till.wait(1)
    elif how == "restart":
        till.restart(181)
        till.wait(1)
    else:
        till.wait(179)
        assert till.one("SELECT state FROM sale") == "Locked"
        till.wait(1)
    assert till.one("SELECT state FROM sale") == "Payable"
    assert till.state(("posting", "lot", "lease", "lease_move", "quote", "held")) == before
    assert till.one("SELECT sum(uses) FROM use_count") == 0


def test_a_quote_that_ended_is_told_anew(till: Till) -> None:
    """A settlement after the time of its quote is priced by what holds then."""
    lend(till, "B1", "budget", 500)
    sale = till.fuelled()
    till.quote(sale, lock=True)
    till.clock.now_s += 181
    other = till.fuelled()
    assert till.settle(other)["discount_minor"] == 500
    assert till.settle(sale)["discount_minor"] == 0


def test_a_locked_sale_is_not_settled_by_itself_and_goes_on_waiting_afterwards() -> None:
    """Where sales settle by themselves, a held one waits for its customer, and is settled when the quote has ended."""
    folder = template.new_folder()
    template.copy_to(folder)
    till = Till(folder, settle="auto")
    till.rules(EARN)
    sale = till.fuelled()
    till.quote(sale, lock=True)
    till.wait(100)
    assert till.one("SELECT state FROM sale") == "Locked"
    till.wait(81)
    assert till.one("SELECT state FROM sale") == "Payable"
    till.wait(31)
    assert till.one("SELECT state FROM sale") == "Cleared"
    till.close()
    shutil.rmtree(folder)


def test_a_member_who_comes_after_the_price_was_told_earns_and_pays_the_same(till: Till) -> None:
    """The quoted money stands; the points of the late member are granted in the same step."""
    sale = till.sale()
    till.quote(sale, lock=True)
    till.link(sale)
    settled = till.settle(sale)
    assert (settled["net_minor"], settled["points_earned"]) == (15_700, 0)
    (grant,) = till.records("fc.points.v1")
    assert (grant["member"], grant["why"]) == (MEMBER, "grant")
    assert till.one("SELECT sum(points) FROM posting WHERE account = 'member:available'") == 157


def test_a_held_quote_that_cannot_be_read_is_let_go_by_a_person(till: Till) -> None:
    """What another version wrote is not guessed at: nothing is paid, and unlocking brings everything back."""
    lend(till, "B1", "budget", 700)
    sale = till.fuelled()
    till.quote(sale, lock=True)
    with closing(sqlite3.connect(till.store.path)) as db:
        db.execute("UPDATE quote SET result = '{}'")
        db.commit()
    assert "cannot be read" in till.settle(sale)["error"]
    assert till.ask("sales.unlock", sale=sale)["ok"]
    assert till.settle(sale)["discount_minor"] == 500


def test_the_member_of_a_held_price_is_not_changed_under_it(till: Till) -> None:
    """A link is corrected after the price was let go, not before."""
    sale = till.fuelled()
    till.quote(sale, lock=True)
    refused = till.ask("sales.unlink", sale=sale, reason="wrong_member")
    assert "unlock" in refused["hint"]


def test_a_sale_tells_its_held_price_and_its_coupons(till: Till, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever looks at a locked sale sees who holds it, at what price and until when; afterwards which coupon it used."""
    sale = till.fuelled()
    till.quote(sale, coupons=[token("C-1", "ten")], lock=True)
    seen = Queries(till.store.path).sale(sale)
    assert (seen["held"]["net_minor"], seen["held"]["coupons"], seen["held"]["by"]) == (14_700, ["C-1"], "wang")
    show.sale(seen)
    till.settle(sale)
    till.ask("sales.void", sale=sale, reason="wrong pump")
    seen = Queries(till.store.path).sale(sale)
    assert seen["held"] is None
    show.sale(seen)
    told = capsys.readouterr().out
    assert "held by wang at a net of 147.00 until" in told
    assert "coupon C-1 of ten: 10.00, came back" in told


# --- budgets ----------------------------------------------------------------------------------------------------------


def test_a_budget_gives_what_the_lease_holds_and_no_more(till: Till) -> None:
    """12.00 left, sales that want 5.00 each: 5.00, 5.00, 2.00 and then nothing, whatever quotes lie open."""
    lend(till, "B1", "budget", 1_200)
    sales = [till.fuelled() for _ in range(4)]
    till.quote(sales[0], lock=True)
    given = [till.settle(sale)["discount_minor"] for sale in (*sales[1:], sales[0])]
    assert given == [500, 200, 0, 500]
    assert spent(till, "B1") == 1_200


def test_a_lease_past_its_time_gives_nothing_new(till: Till) -> None:
    """The clock never goes back behind the newest record: a lease that has ended stays ended."""
    lend(till, "B1", "budget", 1_200, hours=1)
    till.clock.now_s += 3_600
    assert till.settle(till.fuelled())["discount_minor"] == 0
    till.clock.offset_ms -= 7_200_000
    assert till.settle(till.fuelled())["discount_minor"] == 0


def test_a_lease_is_closed_out_once_quotes_have_let_it_go(till: Till) -> None:
    """The rest goes back in one record, after the last quote that holds a part of it; nothing new is spent of it."""
    lend(till, "B1", "budget", 1_200)
    sale = till.fuelled()
    till.quote(sale, lock=True)
    assert till.do(lambda step: leasing.close_out(step, "B1")) is False
    assert till.settle(till.fuelled())["discount_minor"] == 0
    assert till.settle(sale)["discount_minor"] == 500
    assert till.records("fc.lease.v1")[-1] == {"lease": "B1", "event": "closed_out", "spent": 500, "remaining": 700}
    assert till.do(lambda step: leasing.close_out(step, "B1")) is True
    assert len(till.records("fc.lease.v1")) == 2


def test_a_lease_told_twice_is_one_lease(till: Till) -> None:
    """A repeat changes nothing; another grant under the same name is refused and audited."""
    lend(till, "B1", "budget", 1_200)
    lend(till, "B1", "budget", 1_200)
    lend(till, "B1", "budget", 9_900)
    assert till.rows("SELECT granted FROM lease") == [{"granted": 1_200}]
    assert [r["event"] for r in till.records("fc.lease.v1")] == ["received"]
    assert till.records("fc.audit.v1")[-1]["action"] == "lease_refused"


def test_a_new_incarnation_spends_nothing_of_what_was_lent_before(till: Till) -> None:
    """After a rebirth leases are void, quotes end, and the member earns on."""
    lend(till, "L1", "points", 3_000)
    lend(till, "B1", "budget", 1_200)
    sale = till.fuelled()
    till.quote(sale, points=1_000, lock=True)
    till.reborn()
    till.wait(1)
    assert {row["state"] for row in till.rows("SELECT state FROM lease")} == {"void"}
    assert [r["event"] for r in till.records("fc.lease.v1")][-2:] == ["void", "void"]
    assert till.one("SELECT state FROM sale") == "Payable"
    assert "BALANCE_STALE" in till.settle(sale, points=1_000)["error"]
    settled = till.settle(sale)
    assert (settled["discount_minor"], settled["points_earned"]) == (0, 157)


# --- giving back ------------------------------------------------------------------------------------------------------


def test_a_void_restores_points_leases_budgets_coupons_and_counts(till: Till) -> None:
    """After the void the member, the campaign and the coupon have what they had before the sale."""
    lend(till, "L1", "points", 3_000)
    lend(till, "B1", "budget", 700)
    sale = till.fuelled()
    till.settle(sale, points=2_000, coupons=[token("C-1", "ten")])
    till.ask("sales.refund", sale=sale, amount_minor=1_234, reason="spilled")
    till.ask("sales.void", sale=sale, reason="wrong pump")
    assert (spent(till, "L1"), spent(till, "B1")) == (0, 0)
    assert till.one("SELECT sum(points) FROM posting WHERE member_ref IS NOT NULL") == 0
    assert till.one("SELECT sum(uses) FROM use_count") == 0
    again = till.quote(till.fuelled(), points=2_000, coupons=["C-1"])
    assert (again["points_redeemed"], asked(again)) == (2_000, [("APPLIED", "OK", 1_000), ("APPLIED", "OK", 2_000)])


def test_a_void_takes_back_what_the_station_counted(till: Till) -> None:
    """An offer that the station may give once a day can be given again after the full refund, not after a part."""
    once = {"per": "STATION", "window": "DAY", "uses": 1}
    till.rules(
        {"id": "first", "kind": "AMOUNT_OFF", "off_minor": 300, "when": {"anyone": True}, "limit": [once]}, version=2
    )
    sale = till.sale()
    assert till.settle(sale)["discount_minor"] == 300
    till.ask("sales.refund", sale=sale, amount_minor=100, reason="spilled")
    assert till.quote(till.sale())["discount_minor"] == 0
    till.ask("sales.void", sale=sale, reason="wrong pump")
    assert till.quote(till.sale())["discount_minor"] == 300


def test_what_goes_back_to_a_lease_that_is_over_is_head_offices(till: Till) -> None:
    """A closed lease takes nothing back: the record says that the amount is free."""
    lend(till, "B1", "budget", 700)
    sale = till.fuelled()
    till.settle(sale)
    till.do(lambda step: leasing.close_out(step, "B1"))
    till.ask("sales.void", sale=sale, reason="wrong pump")
    assert till.records("fc.sale.corrected.v1")[0]["budgets"] == [
        {"campaign": "autumn", "lease": None, "amount_minor": -500}
    ]
    assert spent(till, "B1") == 500


def test_a_refund_asked_twice_is_given_once(till: Till) -> None:
    """The same amount again is asked about; the same request again gets the first answer; --again means it."""
    sale = till.fuelled()
    till.settle(sale)
    first = till.ask("sales.refund", sale=sale, amount_minor=1_000, reason="spilled", request="r-1")["data"]
    again = till.ask("sales.refund", sale=sale, amount_minor=1_000, reason="spilled", request="r-1")["data"]
    assert again == {**{key: value for key, value in first.items() if key != "coupons"}, "repeat": True}
    refused = till.ask("sales.refund", sale=sale, amount_minor=1_000, reason="spilled")
    assert "--again" in refused["hint"]
    meant = till.ask("sales.refund", sale=sale, amount_minor=1_000, reason="spilled", again=True)["data"]
    assert (first["refunded_minor"], meant["refunded_minor"]) == (1_000, 2_000)


def test_a_sale_paid_with_points_stays_its_members(till: Till) -> None:
    """Points of one member never pay the sale of another: the link stands, the sale can be voided."""
    lend(till, "L1", "points", 3_000)
    sale = till.fuelled()
    till.settle(sale, points=1_000)
    refused = till.ask("sales.unlink", sale=sale, reason="wrong member")
    assert "paid with points" in refused["error"]
    assert till.ask("sales.void", sale=sale, reason="wrong member")["ok"]


def test_points_of_an_ended_lot_come_back_with_days_of_grace(till: Till) -> None:
    """A refund after the last day of the spent lot makes a new lot, whose terms its record tells."""
    lend(till, "L1", "points", 3_000, hours=10_000)
    till.member(op=2, lots=[(2_000, None, "2026-01-05")])
    sale = till.fuelled()
    till.settle(sale, points=2_000)
    till.clock.now_s += 2 * 86_400
    till.ask("sales.void", sale=sale, reason="wrong pump")
    (lot,) = till.rows("SELECT * FROM lot WHERE source = 'returned'")
    (told,) = till.records("fc.sale.corrected.v1")[0]["lots"]
    assert (told["lot"], told["expires_on"]) == (lot["id"], lot["expires_on"])
    assert till.quote(till.fuelled(), points=2_000)["points_redeemed"] == 2_000


def test_purposes_take_no_coupon_and_a_wish_must_be_one(till: Till) -> None:
    """Fuel without a customer takes no points; a wish that cannot be one is bad usage."""
    lend(till, "L1", "points", 3_000)
    sale = till.fuelled()
    tenders = [{"kind": "drive-off", "amount_minor": None, "ref": None}]
    refused = till.ask("sales.settle", sale=sale, tenders=tenders, points=1_000)
    assert refused["exit"] == 2
    for wish in ({"points": 0}, {"points": "5"}, {"coupons": "C-1"}, {"coupons": [""]}, {"coupons": ["x"] * 9}):
        assert till.settle(sale, **wish)["exit"] == 2
    twice = till.settle(sale, coupons=[token("C-1", "ten"), token("C-1", "ten")])
    assert "given twice" in twice["error"]
