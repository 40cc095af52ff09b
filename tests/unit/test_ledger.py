"""Lots and postings: spending order, expiry, and what refunds take back under each policy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import pytest

from agent.domain.ledger import (
    Account,
    Entry,
    LedgerError,
    Lot,
    Posting,
    Refund,
    RefundError,
    SettledPoints,
    apply_to_lots,
    balances,
    expire,
    expiry_day,
    issue,
    redemption,
    release,
    reverse,
    spend,
    usable_points,
)
from agent.domain.rules.model import ReversalPolicy

MEMBER = "567014f1b3c2a9de"
TODAY = date(2026, 11, 21)
NOW = 1_000_000


def lot(name: str, points: int, expires: str | None = "2027-01-31", *, earned: int = 0, usable: int | None = 0) -> Lot:
    """A lot that may be spent now unless told otherwise."""
    return Lot(name, points, earned, usable, None if expires is None else date.fromisoformat(expires), "sale")


def sold(net: int = 10_000, earned: int = 100, bonus: int = 0, postings: Iterable[Posting] = ()) -> SettledPoints:
    """A settled sale that earned 1 point per 1.00."""
    return SettledPoints("S", MEMBER, net, earned, bonus, tuple(postings), lambda left: left // 100)


def refund(
    amount: int, before: int = 0, policy: ReversalPolicy = ReversalPolicy.WITHIN_BALANCE, now: int = NOW
) -> Refund:
    """A refund on the test day, with 30 days of grace."""
    return Refund(before, amount, now, TODAY, policy, 30)


def sums(postings: Iterable[Posting]) -> dict[Account, int]:
    """Points per account."""
    return {account: points for (account, _), points in balances(postings).items()}


def test_accounts_have_their_names_on_the_wire():
    """The accounts of the ledger, and which of them belong to a member."""
    assert [account.value for account in Account if account.is_members] == [
        "member:available",
        "member:pending",
        "member:debt",
    ]
    assert [account.value for account in Account if not account.is_members] == [
        "program:issued",
        "program:redeemed",
        "program:expired",
        "program:adjusted",
        "program:overrun",
    ]


def test_entry_must_sum_to_zero():
    """Postings that create or lose a point are refused by the constructor."""
    with pytest.raises(LedgerError, match="sum to 1"):
        Entry((Posting(Account.AVAILABLE, 2, "S", MEMBER), Posting(Account.ISSUED, -1, "S")))


@pytest.mark.parametrize(
    ("account", "points", "member"),
    [(Account.AVAILABLE, 1, None), (Account.ISSUED, 1, MEMBER), (Account.ISSUED, 0, None)],
)
def test_posting_must_name_a_member_exactly_on_member_accounts(account, points, member):
    """A leg without its member, with one too many, or of 0 points is refused."""
    with pytest.raises(LedgerError):
        Posting(account, points, "S", member)


def test_worked_case_of_two_lots():
    """75 ending in June and 805 ending in September: 500 are 75 + 425, and 380 are left."""
    lots = [lot("b", 805, "2027-09-30"), lot("a", 75, "2027-06-30")]
    uses = spend(lots, 500, NOW, TODAY)
    assert [(used.id, points) for used, points in uses] == [("a", 75), ("b", 425)]
    assert sum(left.points for left in apply_to_lots(lots, redemption(MEMBER, "S", uses))) == 380


def test_spending_order_is_expiry_then_earned_then_id():
    """Equal last days go by when they were earned, equal instants by id; lots that never end come last."""
    lots = [lot("never", 1, None), lot("z", 1, earned=1), lot("y", 1, earned=2), lot("x", 1, earned=2)]
    assert [used.id for used, _ in spend(lots, 4, NOW, TODAY)] == ["z", "x", "y", "never"]


def test_pending_held_and_ended_lots_are_not_spent():
    """Points before their time, under review, or past their last day do not pay."""
    lots = [
        lot("soon", 5, usable=NOW + 1),
        lot("held", 5, usable=None),
        lot("old", 5, "2026-11-20"),
        lot("last", 5, "2026-11-21"),
    ]
    assert usable_points(lots, NOW, TODAY) == 5
    with pytest.raises(LedgerError, match="6 points asked, 5 usable"):
        spend(lots, 6, NOW, TODAY)


@pytest.mark.parametrize(
    ("day", "months", "last"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2027-11-21", 3, "2028-02-29"),
        ("2026-12-31", 12, "2027-12-31"),
        ("2026-05-01", 0, "2026-05-31"),
    ],
)
def test_months_to_month_end(day, months, last):
    """N months to month end is the last day of the month N months on."""
    assert expiry_day(date.fromisoformat(day), months) == date.fromisoformat(last)


def test_expiry_is_a_posting():
    """Points past their last day move from the member to the program's expired account; others stay."""
    postings = expire(MEMBER, [lot("old", 7, "2026-11-20"), lot("new", 5, "2026-11-21")], TODAY)
    assert sums(postings) == {Account.AVAILABLE: -7, Account.EXPIRED: 7}


def test_release_moves_held_points_to_available():
    """After its review a held lot stands in available and may be spent from the given instant."""
    freed, postings = release(MEMBER, lot("held", 9, usable=None), NOW)
    assert (freed.usable_from_ms, sums(postings)) == (NOW, {Account.PENDING: -9, Account.AVAILABLE: 9})
    with pytest.raises(LedgerError, match="not held"):
        release(MEMBER, freed, NOW)


def test_full_refund_takes_earned_and_bonus_points_back():
    """A void restores the state before the sale: the lot is empty and the accounts are level."""
    own = lot("S", 150)
    made = issue(MEMBER, own)
    result = reverse(sold(bonus=50, postings=made), refund(10_000), [own])
    assert balances([*made, *result.postings]) == {}
    assert [left.points for left in result.lots] == [0]


def test_partial_refund_keeps_what_the_smaller_net_earns():
    """Refunding 0.01 of 100.00 takes the point that 99.99 no longer earns; the bonus stays until the full refund."""
    own = lot("S", 150)
    first = reverse(sold(bonus=50), refund(1), [own])
    second = reverse(first.settled, refund(99, before=1), first.lots)
    assert (first.points_reversed, second.points_reversed) == (1, 0)
    assert second.lots[0].points == 149


@pytest.mark.parametrize(
    ("policy", "other", "unrecovered", "debt"),
    [
        (ReversalPolicy.ONLY_PENDING, 30, 100, 0),
        (ReversalPolicy.WITHIN_BALANCE, 0, 30, 0),
        (ReversalPolicy.UNLIMITED, 0, 0, 30),
    ],
)
def test_policy_bounds_the_reversal(policy, other, unrecovered, debt):
    """With 40 left of the sale's lot and 30 elsewhere, 100 to reverse: each policy says who bears the rest."""
    result = reverse(sold(), refund(10_000, policy=policy), [lot("S", 40), lot("other", 30)])
    assert {left.id: left.points for left in result.lots}["other"] == other
    assert (result.unrecovered, result.debt) == (unrecovered, debt)
    assert sums(result.postings).get(Account.ADJUSTED, 0) == -unrecovered
    assert sums(result.postings).get(Account.DEBT, 0) == -debt


def test_only_pending_takes_points_that_still_wait():
    """Points before their time are taken back under the narrowest policy."""
    result = reverse(sold(), refund(10_000, policy=ReversalPolicy.ONLY_PENDING), [lot("S", 100, usable=NOW + 1)])
    assert (result.unrecovered, result.lots[0].points) == (0, 0)


def test_points_that_repaid_a_debt_reopen_it():
    """Of 100 earned, 60 repaid a debt: the full reversal empties the lot of 40 and owes 60 again."""
    made = issue(MEMBER, lot("S", 100), debt=60)
    result = reverse(sold(postings=made), refund(10_000), [lot("S", 40)])
    assert (result.debt, result.unrecovered) == (60, 0)
    assert balances([*made, *result.postings]) == {}


def test_spent_points_return_last_used_first():
    """Half a refund returns half of the 500 spent points, to the lot used last; the rest follows with the rest."""
    used = [(lot("a", 75, "2027-06-30"), 75), (lot("b", 805, "2027-09-30"), 425)]
    lots = [lot("a", 0, "2027-06-30"), lot("b", 380, "2027-09-30")]
    settled = sold(earned=0, postings=redemption(MEMBER, "S", used))
    settled = SettledPoints("S", MEMBER, 10_000, 0, 0, settled.postings, lambda left: 0)
    half = reverse(settled, refund(5_000), lots)
    assert {left.id: left.points for left in half.lots} == {"a": 0, "b": 630}
    whole = reverse(half.settled, refund(5_000, before=5_000), half.lots)
    assert {left.id: left.points for left in whole.lots} == {"a": 75, "b": 805}
    assert half.points_returned + whole.points_returned == 500


def test_ended_lot_returns_as_a_new_one_with_grace():
    """Points of a lot that has ended come back beside it, to be used until the day of the refund plus the grace."""
    ended = lot("a", 0, "2026-11-20")
    settled = SettledPoints("S", MEMBER, 10_000, 0, 0, redemption(MEMBER, "S", [(ended, 100)]), lambda left: 0)
    result = reverse(settled, refund(10_000), [ended])
    fresh = next(left for left in result.lots if left.source == "returned")
    assert (fresh.points, fresh.expires_on, fresh.usable(NOW, TODAY)) == (100, date(2026, 12, 21), True)


def test_sale_with_nothing_to_pay_has_only_a_full_refund():
    """A sale paid with points alone gives them all back, bonus points included in what is taken."""
    used = lot("a", 0)
    settled = SettledPoints("S", MEMBER, 0, 0, 20, redemption(MEMBER, "S", [(used, 100)]), lambda left: 0)
    result = reverse(settled, refund(0), [used, lot("S", 20)])
    assert (result.points_returned, result.points_reversed) == (100, 20)
    assert {left.id: left.points for left in result.lots} == {"a": 100, "S": 0}


@pytest.mark.parametrize(("amount", "before"), [(10_001, 0), (1, 10_000), (0, 0), (-5, 100), (1, -1)])
def test_refund_of_more_than_is_left_is_refused(amount, before):
    """A refund is an amount above 0 of what is left of the net."""
    with pytest.raises(RefundError, match="sale S"):
        reverse(sold(), refund(amount, before=before), [lot("S", 100)])


def test_postings_to_an_unknown_lot_are_refused():
    """A lot that is not there, or would fall below 0, stops the projection."""
    with pytest.raises(LedgerError, match="no known lot"):
        apply_to_lots([], issue(MEMBER, lot("S", 5)))
    with pytest.raises(LedgerError, match="holds 5"):
        apply_to_lots([lot("S", 5)], [Posting(Account.AVAILABLE, -6, "S", MEMBER)])


@pytest.mark.parametrize(("usable", "now", "may"), [(NOW, NOW, True), (NOW + 1, NOW, False), (None, NOW, False)])
def test_points_may_be_spent_from_their_instant_on(usable, now, may):
    """Points wait to the millisecond, and as long as they are held for review."""
    mine = lot("S", 5, usable=usable)
    assert (mine.usable(now, TODAY), mine.pending(now)) == (may, not may)
    assert not lot("S", 0, usable=NOW).usable(NOW, TODAY)


def test_one_sale_is_paid_from_at_most_64_lots():
    """The 64 lots that end first count as usable, a 65th does not."""
    lots = [lot(f"{number:02d}", 1, earned=number) for number in range(65)]
    assert usable_points(lots, NOW, TODAY) == len(spend(lots, 64, NOW, TODAY)) == 64
    with pytest.raises(LedgerError, match="65 points asked, 64 usable"):
        spend(lots, 65, NOW, TODAY)


def test_spending_nothing_uses_no_lot():
    """Without points asked there is no use and no posting."""
    assert spend([lot("S", 5)], 0, NOW, TODAY) == ()
    assert redemption(MEMBER, "S", ()) == ()


def test_redemption_is_one_leg_per_lot_and_one_for_the_programme():
    """The legs stand in the order of use and name the lot; the programme's names the sale."""
    assert redemption(MEMBER, "T", [(lot("a", 75), 75), (lot("b", 805), 425)]) == (
        Posting(Account.AVAILABLE, -75, "a", MEMBER),
        Posting(Account.AVAILABLE, -425, "b", MEMBER),
        Posting(Account.REDEEMED, 500, "T"),
    )


@pytest.mark.parametrize(
    ("points", "debt", "legs"),
    [
        (100, 0, {Account.AVAILABLE: 100, Account.ISSUED: -100}),
        (100, 1, {Account.AVAILABLE: 99, Account.DEBT: 1, Account.ISSUED: -100}),
        (100, 100, {Account.DEBT: 100, Account.ISSUED: -100}),
        (100, 101, {Account.DEBT: 100, Account.ISSUED: -100}),
        (0, 50, {}),
    ],
)
def test_earned_points_repay_a_debt_first(points, debt, legs):
    """The debt takes what it can of the earned points, the lot gets the rest, and every leg names the lot."""
    made = issue(MEMBER, lot("S", points), debt)
    assert sums(made) == legs
    assert {leg.lot for leg in made} <= {"S"}


def test_held_points_are_issued_to_pending():
    """Points held for review stand in the pending account until they are released or end."""
    held = lot("S", 9, "2026-11-20", usable=None)
    assert sums(issue(MEMBER, held)) == {Account.PENDING: 9, Account.ISSUED: -9}
    assert sums(expire(MEMBER, [held], TODAY)) == {Account.PENDING: -9, Account.EXPIRED: 9}
    assert apply_to_lots([held], [Posting(Account.PENDING, -9, "S", MEMBER)])[0].points == 0


def test_empty_held_lot_is_released_without_postings():
    """A held lot whose points are gone moves nothing."""
    freed, postings = release(MEMBER, lot("S", 0, usable=None), NOW)
    assert (freed.usable_from_ms, postings) == (NOW, ())


def test_expiry_is_posted_once_and_in_spending_order():
    """Each ended lot has two legs of its own; posted and applied, a second run finds nothing."""
    lots = [lot("b", 7, "2026-11-20"), lot("a", 5, "2026-10-31"), lot("gone", 0, "2026-10-31"), lot("never", 3, None)]
    postings = expire(MEMBER, lots, TODAY)
    assert [(leg.account, leg.points, leg.lot) for leg in postings] == [
        (Account.AVAILABLE, -5, "a"),
        (Account.EXPIRED, 5, "a"),
        (Account.AVAILABLE, -7, "b"),
        (Account.EXPIRED, 7, "b"),
    ]
    assert expire(MEMBER, apply_to_lots(lots, postings), TODAY) == ()
    assert len(expire(MEMBER, [lot("last", 1, "2026-11-20")], TODAY)) == 2


def test_balances_leave_out_level_accounts_and_tell_members_apart():
    """Equal ledgers have equal projections: sums by account and member, without zeros."""
    other = "00000000000000aa"
    legs = [
        Posting(Account.AVAILABLE, 5, "S", MEMBER),
        Posting(Account.AVAILABLE, -5, "S", MEMBER),
        Posting(Account.AVAILABLE, 2, "S", other),
        Posting(Account.ISSUED, -2, "S"),
    ]
    assert balances(legs) == {(Account.AVAILABLE, other): 2, (Account.ISSUED, None): -2}


def test_lot_is_emptied_but_not_overdrawn():
    """A lot gives its last point; a leg without a lot, or of a member's debt, moves none."""
    assert apply_to_lots([lot("S", 5)], [Posting(Account.AVAILABLE, -5, "S", MEMBER)])[0].points == 0
    assert apply_to_lots([lot("S", 5)], [Posting(Account.DEBT, -5, "S", MEMBER)])[0].points == 5
    with pytest.raises(LedgerError, match="names no known lot: None"):
        apply_to_lots([lot("S", 5)], [Posting(Account.AVAILABLE, 1, None, MEMBER)])


@pytest.mark.parametrize(
    ("account", "points", "member", "message"),
    [
        (Account.AVAILABLE, 0, MEMBER, "of 0 points to member:available: leave it out"),
        (Account.DEBT, 1, None, "to member:debt must name a member"),
        (Account.ISSUED, 1, MEMBER, "to program:issued must not name a member"),
    ],
)
def test_impossible_posting_is_named(account, points, member, message):
    """The error says which account and what is wrong with it."""
    with pytest.raises(LedgerError, match=message):
        Posting(account, points, "S", member)


def test_smallest_refund_is_one_minor_unit():
    """One fen of what is left may be refunded, at the beginning and at the end."""
    own = lot("S", 100)
    first = reverse(sold(), refund(9_999), [own])
    last = reverse(first.settled, refund(1, before=9_999), first.lots)
    assert (first.points_reversed, last.points_reversed, last.lots[0].points) == (100, 0, 0)
    for amount, before in [(1, 10_000), (-1, 5), (5, -5)]:
        with pytest.raises(RefundError, match="sale S"):
            reverse(last.settled, refund(amount, before=before), [own])
