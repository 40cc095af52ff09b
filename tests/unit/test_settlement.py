"""Settling a quote: the record of the wire, tenders, points that are spent and earned, debt, and correcting a link."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.domain.ledger import Account, Entry, LedgerError, Lot, Refund, RefundError, usable_points
from agent.domain.member import MemberFacts
from agent.domain.rules.facts import (
    BudgetView,
    CampaignBudget,
    LocalInstant,
    Presented,
    Purpose,
    RollbackGiven,
    SaleFacts,
)
from agent.domain.rules.model import ReversalPolicy
from agent.domain.rules.verdict import Evaluation
from agent.domain.sale import Sale, SaleKind, Totalizer
from agent.domain.settlement import (
    HOUR_MS,
    MAX_LINES_SENT,
    Settlement,
    Tender,
    TenderError,
    Wallet,
    check_tenders,
    relink,
    settle,
)
from tests.support.loyalty import EARN, MEMBER, NOBODY, SALE, SHANGHAI, coupon, member, rules, run, sale

WIRE = json.loads((Path(__file__).parents[1] / "vectors" / "wire.json").read_text(encoding="utf-8"))
VECTOR = {row["record"]["type"]: row["record"]["data"] for row in WIRE[0]["records"]}
HASH = "0" * 64
END_MS = 1_795_248_070_000
LITRE = {"id": "gold-litre", "kind": "PER_LITRE", "off_milli": 300}
PAY = {"id": "pay", "kind": "POINTS_AS_MONEY"}


def unix_ms(text: str) -> int:
    """Unix milliseconds of a time on the wire."""
    moment = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return round(moment.total_seconds() * 1000)


def settled(evaluation: Evaluation, wallet: Wallet | None = None, **more: Any) -> Settlement:
    """Settle at the end of the sale."""
    return settle(evaluation, rule_hash=HASH, wallet=wallet or Wallet(), ended_ms=END_MS, now_ms=END_MS, **more)


def lot_of(result: Settlement) -> Lot:
    """The lot a settlement made."""
    assert result.lot is not None
    return result.lot


def test_worked_settlement_of_the_wire_contract():
    """The worked sale gives exactly the worked record: its lines, sums, postings and names."""
    fuel = VECTOR["fc.sale.v1"]
    sold = Sale(
        fuel["sale"], 3, 1, "92", 1, SaleKind.NORMAL, fuel["volume_ml"], fuel["unit_price_milli"], fuel["amount_minor"],
        "CNY", 2, Totalizer.parse(fuel["totalizer_start"]), Totalizer.parse(fuel["totalizer_end"]), None, None,
        unix_ms(fuel["lifted_at"]), unix_ms(fuel["ended_at"]), fuel["business_day"], None,
    )  # fmt: skip
    facts = SaleFacts.of_sale(sold, station="SH-0421", product_group="petrol", presented=Presented("fm1_dynamic"))
    evaluation = run(rules(LITRE, EARN[0]), facts, at=LocalInstant.of_sale(sold, SHANGHAI))
    tenders = [Tender("wechat", 28_853)]
    record = settle(
        evaluation, rule_hash=HASH, wallet=Wallet(), ended_ms=sold.ended_ms, now_ms=sold.ended_ms, tenders=tenders
    ).record()
    worked_lines = record["lines"]
    assert isinstance(worked_lines, list)
    # The worked record lists the discount alone; the earn rule has its own verdict here, one per offer.
    assert [line for line in worked_lines if line["value_minor"]] == VECTOR["fc.sale.settled.v1"]["lines"]
    assert record | {"lines": None} == VECTOR["fc.sale.settled.v1"] | {"lines": None}


def test_one_line_per_offer_with_numbers_and_text():
    """Every offer has one line, refused ones included, with what was compared and a sentence."""
    threshold = {"id": "t", "name": "T", "kind": "SPEND_THRESHOLD", "off_minor": 2_000, "per_minor": 40_000}
    lines = {line.offer: line for line in settled(run(rules(LITRE, threshold, *EARN), sale())).lines}
    assert set(lines) == {"gold-litre", "t", "earn-petrol", "earn-diesel"}
    assert (lines["t"].needed, lines["t"].actual, lines["t"].text) == (40_000, 30_000, "T: 100.00 more gets 20.00 off.")


@pytest.mark.parametrize(
    ("level", "suspect", "hours"),
    [("sun", False, 24), ("fm1_printed", False, 24), ("phone", False, 48), ("sun", True, 48)],
)
def test_points_wait_longer_after_a_weak_link(level, suspect, hours):
    """Earned points may be spent 24 hours after the end of the sale, 48 where the link proves little."""
    lot = lot_of(settled(run(rules(*EARN), sale(level=level, clock_suspect=suspect))))
    assert lot.usable_from_ms == END_MS + hours * HOUR_MS


def test_lot_ends_with_a_month_and_carries_the_sale():
    """The lot is named by the sale, earned at the offer instant, and ends with the last day of the twelfth month."""
    evaluation = run(rules(*EARN, program={"validity_months": 12}), sale())
    lot = lot_of(settled(evaluation))
    assert (lot.id, lot.points, lot.earned_at_ms) == (SALE, 300, evaluation.instant.unix_ms)
    assert lot.expires_on == date(2027, 11, 30)


def test_points_held_for_review_stand_in_pending():
    """Held points have no date to be used from and stand in the member's pending account."""
    result = settled(run(rules(*EARN), sale()), held=True)
    assert lot_of(result).usable_from_ms is None
    assert {leg.account for leg in result.postings} == {Account.PENDING, Account.ISSUED}


def test_points_are_spent_from_the_lot_that_ends_first():
    """500 points come from the lot ending in June, then from the one ending in September."""
    lots = (
        Lot("late", 805, 1, 0, date(2027, 9, 30), "sale"),
        Lot("early", 75, 2, 0, date(2027, 6, 30), "sale"),
    )
    evaluation = run(rules(PAY), sale(points=500), budgets=BudgetView(points_usable=880))
    result = settled(evaluation, Wallet(lots))
    assert [(leg.lot, leg.points) for leg in result.postings if leg.account is Account.AVAILABLE] == [
        ("early", -75),
        ("late", -425),
    ]
    assert (result.points_redeemed, result.net_minor + result.discount_minor) == (500, 30_000)
    with pytest.raises(LedgerError, match="quote the sale again"):
        settled(evaluation, Wallet(lots[1:]))


def test_next_earn_repays_debt_first():
    """Of 300 earned points 120 repay the debt, and 180 can be spent."""
    result = settled(run(rules(*EARN), sale()), Wallet(debt=120))
    assert {leg.account: leg.points for leg in result.postings} == {
        Account.AVAILABLE: 180,
        Account.DEBT: 120,
        Account.ISSUED: -300,
    }
    assert lot_of(result).points == 180


def test_unlinked_sale_has_no_postings():
    """Nobody earns on a sale without a member; what is for anyone still counts."""
    offer = {"id": "x", "kind": "AMOUNT_OFF", "off_minor": 100, "when": {"anyone": True}}
    result = settled(run(rules(offer, *EARN), sale(), NOBODY))
    assert (result.member, result.postings, result.lot, result.growth) == (None, (), None, 0)
    assert (result.net_minor, result.record()["member"]) == (29_900, None)


def test_drive_off_is_booked_whole_and_gives_nothing():
    """A drive-off tender settles the gross, without a discount, a member or points."""
    result = settled(run(rules(LITRE, *EARN), sale(purpose=Purpose.DRIVE_OFF)), tenders=[Tender("drive-off", 30_000)])
    assert (result.net_minor, result.discount_minor, result.member, result.postings) == (30_000, 0, None, ())


def test_tenders_of_another_purpose_need_a_new_quote():
    """A customer's quote cannot be booked as a drive-off: its discount would stay in."""
    with pytest.raises(TenderError, match="quote the sale again"):
        settled(run(rules(LITRE), sale()), tenders=[Tender("drive-off", 28_853)])


@pytest.mark.parametrize(
    ("net", "tenders", "message"),
    [
        (100, [], "100 missing"),
        (100, [Tender("cash", 60), Tender("card", 50)], "10 too much"),
        (100, [Tender("gold", 100)], "use one of account, alipay"),
        (100, [Tender("cash", 110), Tender("card", -10)], "above 0"),
        (100, [Tender("cash", 100), Tender("card", 0)], "above 0"),
        (100, [Tender("cash", 60), Tender("own-use", 40)], "stand alone"),
        (100, [Tender("cash", 1)] * 100, "at most 8"),
    ],
)
def test_tenders_that_do_not_pay_are_refused(net, tenders, message):
    """A tender of an unknown kind, a wrong sum or a mixed purpose is refused with what to do."""
    with pytest.raises(TenderError, match=message):
        check_tenders(net, tenders)


@pytest.mark.parametrize(
    ("net", "tenders"),
    [
        (100, [Tender("cash", 60), Tender("wechat", 40)]),
        (0, []),
        (0, [Tender("cash", 0)]),
        (100, [Tender("meter-test", 100)]),
    ],
)
def test_tenders_that_pay_exactly(net, tenders):
    """Mixed tenders that sum to the net pass, and a net of 0 needs none."""
    check_tenders(net, tenders)
    with pytest.raises(TenderError):
        check_tenders(net + 1, tenders)


def test_relink_moves_the_points_to_the_right_member():
    """A corrected link takes the points from the old member and gives them to the new one, in one balanced entry."""
    rule_set = rules(*EARN)
    other = MemberFacts("00000000000000aa")
    old, new = settled(run(rule_set, sale())), settled(run(rule_set, sale(), other))
    refund = Refund(0, old.net_minor, END_MS, date(2026, 11, 22), ReversalPolicy.WITHIN_BALANCE, 30)
    moved = relink(old, new, refund, [lot_of(old)])
    assert Entry(moved.postings).postings == moved.postings
    by_member = {leg.member: leg.points for leg in moved.postings if leg.account is Account.AVAILABLE}
    assert by_member == {MEMBER: -300, other.member: 300}
    with pytest.raises(RefundError, match="as a whole"):
        relink(old, new, replace(refund, refund_minor=1), [lot_of(old)])


def test_growth_follows_the_base_of_the_program():
    """Growth counts net spend, millilitres or one visit, as the program says."""
    expected = {"NET": 30_000, "VOLUME": 38_217, "VISITS": 1}
    for base, growth in expected.items():
        assert settled(run(rules(program={"growth_base": base}), sale(), member())).growth == growth


def test_coupons_and_a_price_at_the_pump_travel_with_the_record():
    """Head office reads which coupons are gone, what stays on one, and what the lower price at the pump saved."""
    offer = {"id": "c", "kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 50_000, "trimmed": "KEEP_BALANCE"}
    sold = sale(coupons=[coupon()], rollback=RollbackGiven("back", 8_350))
    record = settled(run(rules(offer), sold)).record()
    assert record["coupons"] == [
        {"code": "C1", "offer": "c", "value_minor": 30_000, "left_minor": 20_000, "used": False}
    ]
    assert (record["rollback_minor"], record["discount_minor"], record["net_minor"]) == (1_911, 30_000, 0)
    assert {"coupons", "rollback_minor", "lines_left_out"} & set(settled(run(rules(*EARN), sale())).record()) == set()


def test_zero_volume_is_settled_for_nobody():
    """No fuel flowed: nothing is counted or stored for the member, not even the visit."""
    result = settled(run(rules(*EARN, program={"growth_base": "VISITS"}), sale(0, volume_ml=0)), tenders=[])
    assert (result.member, result.postings, result.growth, result.lot) == (None, (), 0, None)


@pytest.mark.parametrize(("count", "left_out"), [(MAX_LINES_SENT, 0), (MAX_LINES_SENT + 1, 1)])
def test_lines_that_travel_are_bounded_and_what_gave_something_goes_first(count, left_out):
    """Refusals behind the bound stay at the station; what gave something or was trimmed to nothing always travels."""
    refused = [
        {"id": f"r{index:03d}", "kind": "BONUS_POINTS", "points": 1, "when": {"tags": ["none"]}}
        for index in range(count - 3)
    ]
    gave = [
        {"id": "z-gave", "kind": "AMOUNT_OFF", "off_minor": 30_000, "priority": 900},
        {"id": "z-nothing-left", "kind": "AMOUNT_OFF", "off_minor": 1, "priority": 901},
        {"id": "z-points", "kind": "BONUS_POINTS", "points": 1, "priority": 902},
    ]
    result = settled(run(rules(*refused, *gave), sale(30_000)))
    record = result.record()
    sent = record["lines"]
    assert isinstance(sent, list)
    assert (len(result.lines), len(sent), record.get("lines_left_out", 0)) == (count, MAX_LINES_SENT, left_out)
    assert [line["offer"] for line in sent][-3:] == ["z-gave", "z-nothing-left", "z-points"]
    assert [line["offer"] for line in sent][: MAX_LINES_SENT - 3] == [f"r{i:03d}" for i in range(MAX_LINES_SENT - 3)]


def test_largest_record_fits_the_wire():
    """500 offers with the longest ids, 8 coupons, 64 lots spent and every tender allowed stay below 16 KiB."""
    coupons = [
        {
            "id": f"c{index}".ljust(40, "x"),
            "kind": "COUPON",
            "gives": "AMOUNT_OFF",
            "off_minor": 2_000,
            "trimmed": "KEEP_BALANCE",
        }
        for index in range(8)
    ]
    offers = [
        {"id": f"{index:03d}".ljust(40, "x"), "kind": "PUMP_ROLLBACK", "off_milli": 1, "late": "REJECT"}
        for index in range(490)
    ]
    lots = tuple(
        Lot(f"{SALE[:-2]}{index:02d}/20261221", 100, index, 0, date(2026, 12, 21), "returned") for index in range(80)
    )
    usable = usable_points(lots, END_MS, date(2026, 11, 21))
    shown = [coupon(str(index) * 64, str(offer["id"]), balance_minor=1_999) for index, offer in enumerate(coupons)]
    sold = sale(points=usable, coupons=shown)
    budget = {"budget": {"campaign": "b" * 40}}
    coupons[0] |= budget
    view = BudgetView((CampaignBudget("b" * 40, "l" * 40, 10**6),), usable)
    evaluation = run(rules(*offers, *coupons, PAY, EARN[0]), sold, budgets=view)
    share = evaluation.net_minor // 8
    amounts = [share] * 7 + [evaluation.net_minor - 7 * share]
    tenders = [Tender("unionpay", amount, "9" * 64) for amount in amounts]
    result = settled(evaluation, Wallet(lots, debt=1), tenders=tenders)
    assert (result.points_redeemed, len(evaluation.coupons)) == (usable, 8)
    assert usable == 6_400
    assert len(json.dumps(result.record(), separators=(",", ":"))) < 16_000
