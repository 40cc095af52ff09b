"""The model of the loyalty rules answers the worked cases of the programme: who checks the engine is checked first."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from tests.support.loyalty_model.answering import answer
from tests.support.loyalty_model.days import is_birthday, month_end_after, period
from tests.support.loyalty_model.numbers import half_up, largest_remainder, money_of
from tests.support.loyalty_model.points import Lot, Purse
from tests.support.loyalty_model.words import Table

EARN: tuple[Table, ...] = (
    {"id": "petrol", "kind": "EARN", "points": 1, "per_minor": 100, "when": {"product_groups": ["petrol"]}},
    {"id": "diesel", "kind": "EARN", "points": 1, "per_minor": 200, "when": {"product_groups": ["diesel"]}},
)
LITRE: Table = {"id": "litre", "kind": "PER_LITRE", "off_milli": 300}


def told(*offers: Table, amount: int | None = None, volume_ml: int = 38_217, price: int = 7_850, **more: Any) -> Table:
    """The model's answer on one sale of petrol; ``more``: of the case, or of the program and its groups."""
    charged = half_up(money_of(volume_ml, price, 2)) if amount is None else amount
    group = more.pop("group", "petrol")
    line = {"grade": "92", "product_group": group, "volume_ml": volume_ml, "unit_price_milli": price}
    program = {"currency": "CNY", "exponent": 2, **more.pop("program", {})}
    document = {"program": program, "group": more.pop("groups", []), "tier": [], "offer": list(offers)}
    member: dict[str, object] = {
        "id": "567014f1b3c2a9de",
        "tier": None,
        "tags": (),
        "birthday": None,
        "visits": 0,
        "uses": {},
    }
    case = {
        "day": date(2026, 11, 21),
        "minute": 960,
        "station": "SH-0421",
        "exponent": 2,
        "lines": [line | {"amount_minor": charged}],
        "level": "sun",
        "clock_suspect": False,
        "points": None,
        "usable": None,
        "purpose": None,
        "leases": {},
        "coupons": [],
        "rollback": None,
        "member": member | {"first_fill_used": False} | more.pop("member", {}),
        "station_uses": {},
    }
    return answer(document, case | more)


def test_charge_and_per_litre():
    """38.217 L at 7.85 cost 300.00; 0.30 a litre takes 11.47 off and 288 points are earned on 288.53."""
    found = told(LITRE, *EARN)
    assert (found["gross"], found["discount"], found["net"], found["earned"]) == (30_000, 1_147, 28_853, 288)


@pytest.mark.parametrize(
    ("offer", "sale", "off"),
    [
        ({"kind": "PER_LITRE", "off_milli": 150}, {"volume_ml": 12_300}, 185),
        ({"kind": "PERCENT", "share_bp": 500}, {"amount": 7_929}, 396),
        ({"kind": "PERCENT", "share_bp": 500}, {"amount": 3_010}, 151),
    ],
)
def test_half_cases(offer, sale, off):
    """A value exactly between two minor units is rounded up."""
    assert told({"id": "x", **offer}, **sale)["discount"] == off


def test_volume_cap():
    """0.50 a litre for the first 30 L of 42.500 L: 15.00 of the 21.25 wanted."""
    offer = {"id": "x", "kind": "PER_LITRE", "off_milli": 500, "cap": {"volume_ml": 30_000}}
    found = told(offer, volume_ml=42_500, price=8_360)
    verdict = found["verdicts"]["x"]
    assert (found["gross"], verdict["code"], verdict["value"], verdict["wanted"]) == (
        35_530,
        "CAPPED_VOLUME",
        1_500,
        2_125,
    )


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
def test_threshold(repeat, gross, off):
    """20 off per 200, once or twice; below it 0.01 is short."""
    offer = {"id": "x", "kind": "SPEND_THRESHOLD", "off_minor": 2_000, "per_minor": 20_000, "repeat": repeat}
    assert told(offer, amount=gross)["discount"] == off


@pytest.mark.parametrize(
    ("basis", "mode", "off"), [("RUNNING", "STACK", 4_350), ("GROSS", "STACK", 4_500), ("GROSS", "BEST", 3_000)]
)
def test_stacking(basis, mode, off):
    """5 % and 10 % on 300.00."""
    offers = [
        {"id": name, "kind": "PERCENT", "share_bp": share, "basis": basis, "group": "g"}
        for name, share in (("a", 500), ("b", 1_000))
    ]
    assert told(*offers, amount=30_000, groups=[{"id": "g", "mode": mode}])["discount"] == off


def test_order_of_the_stages_and_a_coupon_above_the_payable():
    """20.00 off and 10 % on 300.00 leave 250.00; a coupon of 50.00 on 38.60 leaves nothing and earns nothing."""
    off = {"id": "a", "kind": "AMOUNT_OFF", "off_minor": 2_000}
    assert told(off, {"id": "b", "kind": "PERCENT", "share_bp": 1_000}, amount=30_000)["net"] == 25_000
    offer = {"id": "c", "kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 5_000, "checking": "ONLINE_ONLY"}
    shown = {"code": "C", "offer": "c", "member": None, "expires_on": None, "used": False, "balance_minor": None}
    found = told(offer, *EARN, amount=3_860, coupons=[shown | {"station": None, "confirmed": True}])
    assert (found["discount"], found["net"], found["earned"]) == (3_860, 0, 0)
    assert found["coupons"] == {"C": ("c", 3_860, None, True)}


@pytest.mark.parametrize(
    ("balance", "points", "net"), [(5_230, 5_200, 23_653), (99_999, 8_600, 20_253), (99, 0, 28_853)]
)
def test_points_as_money(balance, points, net):
    """Whole steps of 100 points, at most 30 % of 288.53."""
    pay = {"id": "pay", "kind": "POINTS_AS_MONEY", "share_bp": 3_000}
    found = told(LITRE, pay, *EARN, points=10**6, usable=balance)
    assert (found["redeemed"], found["net"], found["earned"]) == (points, net, net // 100)


@pytest.mark.parametrize(("rounding", "diesel", "petrol"), [("FLOOR", 74, 288), ("HALF_UP", 75, 289)])
def test_earn_rounding(rounding, diesel, petrol):
    """Points are rounded once, as the program says."""
    program = {"earn_rounding": rounding}
    assert told(*EARN, amount=14_980, group="diesel", program=program)["earned"] == diesel
    assert told(*EARN, amount=28_853, program=program)["earned"] == petrol


def test_month_cap_and_budget():
    """110 is left of a month's 7,000; 5.00 of a lease are given in part or not at all."""
    key = ("x", "MONTH", "2026-11")
    offer = {"id": "x", "kind": "AMOUNT_OFF", "off_minor": 473, "limit": [{"window": "MONTH", "amount_minor": 7_000}]}
    found = told(offer, member={"uses": {key: (9, 6_890)}})["verdicts"]["x"]
    assert (found["value"], found["code"]) == (110, "CAPPED_MONTH")
    for mode, off in (("ALL_OR_NOTHING", 0), ("PARTIAL", 500)):
        campaign = {"id": "x", "kind": "AMOUNT_OFF", "off_minor": 700, "budget": {"campaign": "c", "mode": mode}}
        assert told(campaign, leases={"c": {"lease": "l", "left": 500, "live": True}})["discount"] == off


@pytest.mark.parametrize(
    ("day", "holds"), [("2027-02-28", True), ("2028-02-28", False), ("2028-02-29", True), ("2027-03-01", False)]
)
def test_birthday_of_the_29th_of_february(day, holds):
    """It counts on the 28th in years that have no 29th."""
    assert is_birthday("02-29", date.fromisoformat(day), "DAY") is holds


def test_days_weeks_and_ends_of_months():
    """A week is that of its Thursday and starts on Monday; months end where the calendar says."""
    assert [period("WEEK", date(2027, 1, day)) for day in (1, 3, 4)] == ["2026-W53", "2026-W53", "2027-W01"]
    assert month_end_after(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert month_end_after(date(2026, 11, 21), 12) == date(2027, 11, 30)
    assert largest_remainder(10, [money_of(1, 1, 0)] * 3) == [4, 3, 3]


def test_lots_that_end_first_are_spent_first():
    """75 points of June and 425 of the 805 of September pay 500; 380 are left."""
    purse = Purse("WITHIN_BALANCE", 30)
    for name, points, ends in (("june", 75, date(2026, 6, 30)), ("september", 805, date(2026, 9, 30))):
        purse.lots[name] = Lot(name, points, 0, 0, ends)
    now_ms = int(datetime(2026, 5, 1).timestamp()) * 1000
    purse.buy("S", 0, lambda _: 0, 0, 500, Lot("S", 0, 0, 0, None), now_ms, date(2026, 5, 1))
    assert purse.shown() == {"september": (380, date(2026, 9, 30))}
