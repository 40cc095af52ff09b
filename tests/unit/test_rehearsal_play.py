"""Scripts of sales on the programme in memory: quoted, settled, given back, linked late or to somebody else."""

from __future__ import annotations

import pytest

from tests.support.loyalty import MEMBER, Table
from tests.support.rehearsal import (
    COUPON,
    EARN,
    ISSUE,
    LEND,
    OTHER,
    PAY,
    POINTS,
    SPRING,
    VOID_1,
    joins,
    lots_of,
    member_of,
    played,
    same_books,
    sells,
)


def test_a_sale_earns_a_lot_that_waits():
    """Points stand in a lot named after the sale and may be spent a day after its end."""
    before, after = played([joins(), sells("S1", at=START_AT, ended_at="2026-05-01T10:05:00")], EARN)
    assert before["answer"] == {"member": MEMBER, "joined": True}
    assert after["answer"]["postings"] == [
        {"account": "member:available", "member": MEMBER, "lot": "S1", "points": 100},
        {"account": "program:issued", "member": None, "lot": "S1", "points": -100},
    ]
    who = member_of(after)
    assert (who["available_points"], who["usable_points"], who["visits"], who["growth"]) == (100, 0, 1, 10_000)
    assert who["lots"][0]["usable_from"] == "2026-05-02T10:05:00+08:00"


START_AT = "2026-05-01T10:00:00"


def test_where_no_lift_was_seen_the_end_decides():
    """An offer that begins between lift and end runs only where the lift was not seen, and the answer is marked."""
    offer = {
        "id": "late",
        "kind": "AMOUNT_OFF",
        "off_minor": 100,
        "when": {"window": [{"from": "10:00", "to": "11:00"}]},
    }
    times: Table = {"at": "2026-05-01T09:58:00", "ended_at": "2026-05-01T10:02:00"}
    rows = played([joins(), sells("S1", **times), sells("S2", **times, lift_seen=False)], offer)
    assert [row["answer"]["discount_minor"] for row in rows[1:]] == [0, 100]
    assert [row["answer"]["flags"] for row in rows[1:]] == [[], ["NO_LIFT_SEEN"]]
    assert [row["at"] for row in rows[1:]] == ["2026-05-01T10:02:00+08:00"] * 2


def test_a_sale_of_a_weak_link_waits_longer_and_a_held_one_until_it_is_released():
    """A told number waits two days; held points stand in the pending account until a release."""
    rows = played(
        [
            joins(),
            sells("S1", level="phone"),
            sells("S2", held=True),
            {"kind": "release", "sale": "S2"},
            {"kind": "release", "sale": "S2"},
        ],
        EARN,
    )
    assert member_of(rows[1])["lots"][0]["usable_from"] == "2026-05-03T09:00:00+08:00"
    assert (member_of(rows[2])["available_points"], member_of(rows[2])["held_points"]) == (100, 100)
    assert (member_of(rows[3])["available_points"], member_of(rows[3])["held_points"]) == (200, 0)
    assert (member_of(rows[3])["usable_points"], rows[4]["refused"]) == (100, True)


def test_a_quote_is_committed_as_it_was_made():
    """A settlement a day later gives what was quoted, although the offer has ended since."""
    offer: Table = {"id": "may-day", "kind": "AMOUNT_OFF", "off_minor": 500, "when": {"ends_on": "2026-05-01"}}
    quoted, settled, again = played(
        [
            sells("S1", member=None, quote_only=True),
            {"kind": "settle", "sale": "S1", "at": "2026-05-02T09:00:00"},
            {"kind": "settle", "sale": "S1"},
        ],
        {**offer, "when": {**offer["when"], "anyone": True}},
    )
    assert (quoted["answer"]["state"], quoted["answer"]["net_minor"]) == ("quoted", 9_500)
    assert (settled["answer"]["state"], settled["answer"]["net_minor"]) == ("settled", 9_500)
    assert (again["refused"], again["refusal"]["problem"]) == (True, "sale S1 is settled")


def test_a_quote_reserves_and_a_void_lets_it_go():
    """What a quote holds of a campaign nobody else gets; a void or its time gives it back."""
    rows = played(
        [
            joins(),
            *LEND,
            sells("S1", quote_only=True, hold_s=600),
            sells("S2", quote_only=True),
            {"kind": "void", "sale": "S1"},
            sells("again", sale="S2", quote_only=True, hold_s=60),
            {"kind": "day", "at": "2026-05-01T09:02:00"},
            {"kind": "settle", "sale": "S2"},
        ],
        SPRING,
    )
    reserved = [row["state"]["leases"][0]["reserved_minor"] for row in rows[2:]]
    assert reserved == [0, 700, 700, 0, 700, 0, 0]
    assert rows[4]["answer"]["offers"][0]["code"] == "BUDGET_EXHAUSTED"
    assert (rows[5]["answer"]["state"], [sale["sale"] for sale in rows[5]["state"]["sales"]]) == ("released", ["S2"])
    assert rows[8]["refused"]
    assert "quote it again" in rows[8]["refusal"]["problem"]


def test_a_full_refund_restores_everything_in_any_split():
    """Lots, coupon, campaign money, counts, visit and growth are as before, after one refund or three."""
    pay = {**PAY, "when": {"visit_at": 2}, "limit": [{"window": "DAY", "uses": 1}]}
    begin = [joins(), LEND[0], {**LEND[1], "amount_minor": 1_400}, POINTS, ISSUE, sells("S0", 5_000)]
    sold = sells("S1", 20_000, points=500, coupons=["C-1"])
    for back in ([18_300 - 500], [1], [1, 9_999], [5_000, 3]):
        parts = [{"kind": "refund", "sale": "S1", "amount_minor": part} for part in back]
        rows = played([*begin, sold, *parts, {"kind": "void", "sale": "S1"}], EARN, pay, COUPON, SPRING)[
            len(begin) - 1 :
        ]
        assert rows[1]["answer"]["net_minor"] == 20_000 - 1_000 - 500 - 700
        if sum(back) < 17_800:
            assert rows[-1]["answer"]["state"] == "voided"
        else:
            rows = rows[:-1]
        assert same_books(rows[0], rows[-1])


def test_a_refund_returns_points_of_an_ended_lot_for_some_days():
    """Points spent from a lot that has ended since come back as a lot of their own."""
    rows = played(
        [
            joins(),
            {**POINTS, "points": 300, "expires_on": "2026-05-31"},
            sells("S1", points=200, at="2026-05-30T09:00:00"),
            {"kind": "expire", "at": "2026-06-01T00:05:00"},
            {"kind": "void", "sale": "S1", "at": "2026-06-02T09:00:00"},
            {"kind": "expire", "at": "2026-07-03T00:05:00"},
        ],
        EARN,
        PAY,
        program={"returned_lot_grace_days": 30},
    )
    assert rows[3]["answer"]["points_expired"] == 100
    assert lots_of(rows[4]) == {"welcome/20260702": 200}
    assert rows[5]["answer"]["points_expired"] == 200
    assert rows[5]["state"]["program"] == {"issued": -300, "redeemed": 0, "expired": 300, "adjusted": 0, "overrun": 0}


def test_a_refund_after_the_sales_own_lot_has_ended():
    """Points that have lawfully ended are not taken from other lots."""
    rows = played(
        [
            joins(),
            sells("S1"),
            {"kind": "expire", "at": "2026-06-01T09:00:00"},
            {"kind": "grant", "key": "sorry", "member": MEMBER, "points": 50},
            {"kind": "void", "sale": "S1"},
        ],
        EARN,
        program={"validity_months": 0 + 1, "reversal": "UNLIMITED"},
    )
    assert rows[2]["answer"]["points_expired"] == 0  # one month to month end: 30 June
    rows = played(
        [
            joins(),
            sells("S1"),
            {"kind": "expire", "at": "2026-07-01T09:00:00"},
            {"kind": "grant", "key": "sorry", "member": MEMBER, "points": 50},
            {"kind": "void", "sale": "S1"},
        ],
        EARN,
        program={"validity_months": 1, "reversal": "UNLIMITED"},
    )
    assert rows[2]["answer"]["points_expired"] == 100
    assert (lots_of(rows[4]), member_of(rows[4])["debt_points"]) == ({"sorry": 50}, 0)


@pytest.mark.parametrize(
    ("policy", "left", "debt", "unrecovered"),
    [("UNLIMITED", 0, 100, 0), ("WITHIN_BALANCE", 0, 0, 100), ("ONLY_PENDING", 0, 0, 100)],
)
def test_points_spent_before_the_refund(policy, left, debt, unrecovered):
    """Spent points are owed, forgone, or never asked for, as the programme says."""
    rows = played(
        [joins(), sells("S1"), sells("S2", at="2026-05-03T09:00:00", points=100, member=MEMBER), VOID_1],
        {**EARN, "when": {"ends_on": "2026-05-02"}},
        PAY,
        program={"reversal": policy},
    )
    who = member_of(rows[3])
    assert (who["available_points"], who["debt_points"]) == (left, debt)
    assert (rows[3]["answer"]["unrecovered"], rows[3]["answer"]["debt"]) == (unrecovered, debt)


def test_a_debt_is_repaid_by_the_next_sale_and_opened_again():
    """The next earn repays first; giving that sale back opens the debt again."""
    rows = played(
        [
            joins(),
            sells("S1"),
            sells("S2", 100, at="2026-05-03T09:00:00", points=100),
            VOID_1,
            sells("S3", 30_000),
            {"kind": "void", "sale": "S3"},
        ],
        EARN,
        PAY,
        program={"reversal": "UNLIMITED"},
    )
    assert [member_of(row)["debt_points"] for row in rows] == [0, 0, 0, 100, 0, 100]
    assert (lots_of(rows[4]), lots_of(rows[5])) == ({"S3": 200}, {})


def test_a_wrong_link_moves_points_and_counts():
    """The points of a sale go from one member to another, or to nobody; the money stays as it was paid."""
    rows = played(
        [
            joins(),
            joins(OTHER),
            sells("S1"),
            {"kind": "relink", "sale": "S1", "member": OTHER},
            {"kind": "relink", "sale": "S1"},
            {"kind": "relink", "sale": "S1", "member": OTHER},
            {"kind": "late_link", "sale": "S1", "member": MEMBER},
            {"kind": "refund", "sale": "S1", "amount_minor": 5_000},
            {"kind": "relink", "sale": "S1"},
        ],
        EARN,
    )
    held = [(member_of(row)["available_points"], member_of(row, OTHER)["available_points"]) for row in rows[2:]]
    assert held == [(100, 0), (0, 100), (0, 0), (0, 0), (100, 0), (50, 0), (50, 0)]
    visits = [(member_of(row)["visits"], member_of(row, OTHER)["visits"]) for row in rows[2:7]]
    assert visits == [(1, 0), (0, 1), (0, 0), (0, 0), (1, 0)]
    assert [row["refused"] for row in rows] == [False] * 5 + [True, False, False, True]


def test_a_late_link_earns_what_the_sale_would_have():
    """A sale that had no member gives its points later, and only once."""
    late = {"kind": "late_link", "sale": "S1", "member": MEMBER}
    rows = played([joins(), sells("S1", member=None), late, {**late, "id": "again"}], EARN)
    assert (rows[2]["answer"]["points_earned"], lots_of(rows[2])) == (100, {"S1": 100})
    assert (rows[3]["refused"], rows[3]["state"] == rows[2]["state"]) == (True, True)


def test_a_refund_with_another_id_is_another_refund():
    """Two refunds of the same amount are two, the same one twice is one."""
    part = {"kind": "refund", "sale": "S1", "amount_minor": 4_000}
    rows = played(
        [joins(), sells("S1"), {**part, "id": "a"}, {"kind": "repeat", "of": "a"}, {**part, "id": "b"}, part], EARN
    )
    assert [sale["refunded_minor"] for row in rows[1:] for sale in row["state"]["sales"]] == [
        0,
        4_000,
        4_000,
        8_000,
        8_000,
    ]
    assert rows[5]["refusal"]["problem"] == "4000 asked, 2000 of 10000 left to give back"


def test_a_price_lowered_at_the_pump_is_reported():
    """The gross is what the pump charged at the lower price; the difference to the list is no discount."""
    offer = {"id": "low", "kind": "PUMP_ROLLBACK", "off_milli": 300, "late": "REJECT"}
    sold = {"kind": "sale", "member": MEMBER, "grade": "92", "volume_ml": 20_000, "unit_price_milli": 7_550}
    given = {"rollback": {"offer": "low", "list_price_milli": 7_850}}
    rows = played([joins(), {**sold, **given}, {**sold, "unit_price_milli": 7_850}], offer)
    assert (rows[1]["answer"]["gross_minor"], rows[1]["answer"]["rollback_minor"]) == (15_100, 600)
    assert (rows[1]["answer"]["discount_minor"], rows[1]["answer"]["net_minor"]) == (0, 15_100)
    assert rows[2]["answer"]["offers"][0]["code"] == "TOO_LATE_FOR_ROLLBACK"


def test_days_pass_over_a_change_of_the_clocks():
    """A script in a zone with daylight saving keeps the local day; the day of the change has 23 hours."""
    offer = {"id": "once", "kind": "AMOUNT_OFF", "off_minor": 100, "limit": [{"window": "DAY", "uses": 1}]}
    rows = played(
        [
            joins(),
            sells("S1", at="2026-03-29T00:30:00"),
            sells("S2", at="2026-03-29T23:30:00"),
            sells("S3", at="2026-03-30T00:00:00"),
        ],
        offer,
        timezone="Europe/Berlin",
        now="2026-03-01",
    )
    assert [row["answer"]["discount_minor"] for row in rows[1:]] == [100, 0, 100]
    assert [row["at"] for row in rows[1:]] == [
        "2026-03-29T00:30:00+01:00", "2026-03-29T23:30:00+02:00", "2026-03-30T00:00:00+02:00"
    ]  # fmt: skip


def test_what_a_station_would_refuse_changes_nothing():
    """Each refusal says what is wrong and leaves the books as they were."""
    refused = [
        sells("S9", member=OTHER),
        {"kind": "settle", "sale": "S9"},
        {"kind": "refund", "sale": "S1", "amount_minor": 0},
        {"kind": "refund", "sale": "S1", "amount_minor": 10_001},
        {"kind": "relink", "sale": "Q", "member": MEMBER},
        {"kind": "refund", "sale": "Q", "amount_minor": 1},
        sells("S1"),
        {"kind": "grant", "coupon": "C-1", "offer": "ten", "member": MEMBER},
        {"kind": "lease", "lease": "L2", "action": "close_out"},
        {"kind": "lease", "lease": "L2", "campaign": "spring", "amount_minor": 1},
        {"kind": "budget", "campaign": "spring", "amount_minor": -1},
        {"kind": "release", "sale": "N"},
        {"kind": "late_link", "sale": "O", "member": MEMBER},
        {"kind": "relink", "sale": "O"},
        {"kind": "relink", "sale": "S1", "member": MEMBER},
        {"kind": "tier_evaluation", "member": OTHER},
    ]
    begin = [
        joins(),
        ISSUE,
        sells("S1"),
        sells("Q", quote_only=True),
        sells("N", member=None),
        sells("O", purpose="own-use"),
    ]
    numbered = [
        {**event, "id": f"r{number}"} if "id" not in event else {**event, "id": f"r{number}", "sale": event["id"]}
        for number, event in enumerate(refused)
    ]
    rows = played([*begin, *numbered], EARN, COUPON, SPRING)
    for row in rows[len(begin) :]:
        assert row["refused"], row["id"]
        assert row["refusal"]["problem"]
        assert row["state"] == rows[len(begin) - 1]["state"]
