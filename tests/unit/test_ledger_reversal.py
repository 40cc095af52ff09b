"""Refunds in parts are one reversal: what each part posts, whatever happened to the points between the parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

import pytest

from agent.domain.ledger import (
    Account,
    LedgerError,
    Lot,
    Posting,
    Refund,
    RefundError,
    Reversal,
    SettledPoints,
    balances,
    expire,
    issue,
    redemption,
    reverse,
    unbalanced,
)
from agent.domain.rules.model import ReversalPolicy

MEMBER = "567014f1b3c2a9de"
TODAY = date(2026, 11, 21)
NOW = 1_000_000
WITHIN, UNLIMITED, PENDING = ReversalPolicy.WITHIN_BALANCE, ReversalPolicy.UNLIMITED, ReversalPolicy.ONLY_PENDING


def lot(
    name: str, points: int, expires: str | None = "2027-01-31", *, usable: int | None = 0, source: str = "sale"
) -> Lot:
    """A lot that may be spent now unless told otherwise."""
    return Lot(name, points, 0, usable, None if expires is None else date.fromisoformat(expires), source)


def sold(net: int = 10_000, earned: int = 100, used: Iterable[tuple[Lot, int]] = (), *, debt: int = 0) -> SettledPoints:
    """A settled sale that earned points in proportion to its net, of which some repaid a debt, and was paid with points of lots."""
    made = issue(MEMBER, lot("S", earned), debt) if earned else ()
    postings = (*redemption(MEMBER, "S", used), *made)
    return SettledPoints("S", MEMBER, net, earned, 0, postings, lambda left: left * earned // net)


def refund(
    amount: int, before: int = 0, policy: ReversalPolicy = WITHIN, *, debt: int = 0, day: date = TODAY
) -> Refund:
    """A refund with 30 days of grace."""
    return Refund(before, amount, NOW, day, policy, 30, debt)


def sums(postings: Iterable[Posting]) -> dict[Account, int]:
    """Points per account."""
    return {account: points for (account, _), points in balances(postings).items()}


def points_of(result: Reversal) -> dict[str, int]:
    """Points per lot after a refund."""
    return {left.id: left.points for left in result.lots}


def test_later_part_recovers_what_an_early_one_could_not():
    """The only spent point comes back with the second part, and pays for the earned one that the first part missed."""
    empty = [lot("a", 0), lot("S", 0)]
    first = reverse(sold(199, 1, [(lot("a", 1), 1)]), refund(100), empty)
    assert (sums(first.postings), first.unrecovered) == ({Account.ADJUSTED: -1, Account.ISSUED: 1}, 1)
    second = reverse(first.settled, refund(99, 100), first.lots)
    assert (sums(second.postings), second.unrecovered) == ({Account.ADJUSTED: 1, Account.REDEEMED: -1}, -1)
    assert (points_of(second), second.points_returned, second.points_reversed) == ({"a": 0, "S": 0}, 1, 0)


def test_later_part_repays_the_debt_of_an_early_one():
    """With debts allowed the missing point is owed, and repaid as soon as a part brings points back."""
    empty = [lot("a", 0), lot("S", 0)]
    first = reverse(sold(199, 1, [(lot("a", 1), 1)]), refund(100, policy=UNLIMITED), empty)
    assert (sums(first.postings), first.debt) == ({Account.DEBT: -1, Account.ISSUED: 1}, 1)
    second = reverse(first.settled, refund(99, 100, UNLIMITED, debt=1), first.lots)
    assert (sums(second.postings), second.debt) == ({Account.DEBT: 1, Account.REDEEMED: -1}, -1)
    assert points_of(second) == {"a": 0, "S": 0}


def test_debt_that_another_sale_repaid_is_not_taken_again():
    """What was owed after the first part was earned since: the second part leaves the returned point where it is."""
    first = reverse(sold(199, 1, [(lot("a", 1), 1)]), refund(100, policy=UNLIMITED), [lot("a", 0), lot("S", 0)])
    second = reverse(first.settled, refund(99, 100, UNLIMITED, debt=0), first.lots)
    assert (sums(second.postings), points_of(second)) == (
        {Account.AVAILABLE: 1, Account.REDEEMED: -1},
        {"a": 1, "S": 0},
    )
    assert second.debt == 0


def test_debt_partly_repaid_since():
    """Of 30 owed 20 were earned since: the next part counts those as given and owes only what is new."""
    first = reverse(sold(), refund(3_000, policy=UNLIMITED), [lot("S", 0)])
    assert first.debt == 30
    second = reverse(first.settled, refund(7_000, 3_000, UNLIMITED, debt=10), first.lots)
    assert (second.debt, sums(second.postings)) == (70, {Account.DEBT: -70, Account.ISSUED: 70})


def test_reopened_and_new_debt_are_told_apart():
    """Of 100 earned points 60 repaid a debt, 40 are spent: after half 40 are newly owed and 10 re-opened, after all 40 and 60."""
    first = reverse(sold(debt=60), refund(5_000, policy=UNLIMITED), [lot("S", 0)])
    second = reverse(first.settled, refund(5_000, 5_000, UNLIMITED, debt=50), first.lots)
    assert [sums(part.postings) for part in (first, second)] == [{Account.DEBT: -50, Account.ISSUED: 50}] * 2
    settled_since = reverse(first.settled, refund(5_000, 5_000, UNLIMITED, debt=0), first.lots)
    assert settled_since.debt == 50
    assert Refund(0, 1, NOW, TODAY, UNLIMITED, 30).debt == 0


def test_parts_choose_the_lots_the_full_refund_would():
    """The lot that ends first comes back last and gives first: the part before it is put right, lot by lot."""
    used = [(lot("a", 75, "2027-06-30"), 75), (lot("b", 425, "2027-09-30"), 425)]
    settled, empty = sold(used=used), [lot("a", 0, "2027-06-30"), lot("b", 0, "2027-09-30"), lot("S", 0)]
    first = reverse(settled, refund(5_000), empty)
    assert points_of(first) == {"a": 0, "b": 200, "S": 0}
    second = reverse(first.settled, refund(5_000, 5_000), first.lots)
    assert points_of(second) == points_of(reverse(settled, refund(10_000), empty)) == {"a": 0, "b": 400, "S": 0}
    first = reverse(settled, refund(5_000), [*empty[:2], lot("S", 20)])
    assert points_of(first) == {"a": 0, "b": 220, "S": 0}
    assert points_of(reverse(first.settled, refund(5_000, 5_000), first.lots)) == {"a": 0, "b": 420, "S": 0}


def test_points_that_came_back_after_their_end_are_put_right_as_well():
    """Two lots that ended come back as new ones of one last day; parts still end where the full refund ends."""
    used = [(lot("a", 75, "2026-10-31"), 75), (lot("b", 425, "2026-10-31"), 425)]
    settled, empty = sold(used=used), [lot("a", 0, "2026-10-31"), lot("b", 0, "2026-10-31"), lot("S", 0)]
    whole = points_of(reverse(settled, refund(10_000), empty))
    assert whole == {"a": 0, "b": 0, "S": 0, "b/20261221": 400, "a/20261221": 0}
    first = reverse(settled, refund(5_000), empty)
    assert points_of(reverse(first.settled, refund(5_000, 5_000), first.lots)) == whole


def test_points_that_came_back_on_different_days():
    """Each day's points end with their own grace; parts on two days take no more than the whole from either."""
    used = [(lot("a", 100, "2026-10-31"), 100)]
    first = reverse(sold(used=used), refund(5_000), [lot("a", 0, "2026-10-31"), lot("S", 0), lot("z", 90, None)])
    assert points_of(first) == {"a": 0, "S": 0, "z": 90, "a/20261221": 0}
    second = reverse(first.settled, refund(5_000, 5_000, day=date(2026, 11, 22)), first.lots)
    assert points_of(second) == {"a": 0, "S": 0, "z": 90, "a/20261221": 0, "a/20261222": 0}
    third = reverse(sold(used=used), refund(10_000), [lot("a", 0, "2026-10-31"), lot("S", 100)])
    assert points_of(third)["a/20261221"] == 100


def test_lots_with_new_dates_keep_what_they_gave():
    """A part took 50 from a lot that came back; another day's part neither returns those nor takes them twice."""
    used = [(lot("a", 200, "2026-10-31"), 200)]
    first = reverse(sold(used=used), refund(5_000), [lot("a", 0, "2026-10-31"), lot("S", 0)])
    assert points_of(first)["a/20261221"] == 50
    second = reverse(first.settled, refund(5_000, 5_000, day=date(2026, 11, 22)), first.lots)
    assert points_of(second) == {"a": 0, "S": 0, "a/20261221": 0, "a/20261222": 100}
    assert sums(second.postings) == {Account.AVAILABLE: 50, Account.REDEEMED: -100, Account.ISSUED: 50}


def test_last_day_of_a_lot_is_a_day_of_its_own():
    """On its last day a lot is live: points go back to it and keep the date; the day after they come back apart."""
    used = [(lot("a", 100, "2026-11-21"), 100)]
    kept = reverse(sold(earned=0, used=used), refund(10_000), [lot("a", 0, "2026-11-21")])
    assert points_of(kept) == {"a": 100}
    apart = reverse(sold(earned=0, used=used), refund(10_000, day=date(2026, 11, 22)), [lot("a", 0, "2026-11-21")])
    fresh = apart.lots[1]
    assert fresh == Lot("a/20261222", 100, 0, NOW, date(2026, 12, 22), "returned")


def test_returned_points_that_end_again_come_back_by_their_origin():
    """A lot that came back, was spent and ended returns under the first lot's name; an unknown lot begins today."""
    again = lot("a/20261001", 0, "2026-10-01", source="returned")
    found = reverse(sold(earned=0, used=[(again, 100)]), refund(10_000), [again])
    assert points_of(found) == {"a/20261001": 0, "a/20261221": 100}
    unknown = reverse(sold(earned=0, used=[(lot("x", 9), 9)]), refund(10_000), [])
    assert unknown.lots == (Lot("x/20261221", 9, NOW, NOW, date(2026, 12, 21), "returned"),)


def test_two_sales_refunded_on_one_day_share_the_returned_lot():
    """Points of one ended lot that two refunds bring back on one day stand in one lot."""
    ended = lot("a", 0, "2026-10-31")
    first = reverse(sold(earned=0, used=[(ended, 60)]), refund(10_000), [ended])
    other = replace(sold(earned=0, used=[(ended, 40)]), sale="T")
    assert points_of(reverse(other, refund(10_000), first.lots)) == {"a": 0, "a/20261221": 100}


@pytest.mark.parametrize("posted", [True, False])
def test_points_that_have_ended_are_not_taken_a_second_time(posted):
    """40 of 100 earned points ended with their lot: the refund takes 60 elsewhere, whether the end was posted or not."""
    own = lot("S", 40, "2026-11-20")
    gone = expire(MEMBER, [own], TODAY) if posted else ()
    settled = replace(sold(), expired_points=40 if posted else 0)
    lots = [replace(own, points=0) if posted else own, lot("other", 500)]
    result = reverse(settled, refund(10_000), lots)
    assert sums(result.postings) == {Account.AVAILABLE: -60, Account.EXPIRED: -40, Account.ISSUED: 100}
    assert points_of(result)["other"] == 440
    assert sums((*gone, *result.postings)).get(Account.EXPIRED, 0) == (0 if posted else -40)


def test_ended_points_count_once_over_the_parts():
    """The first part of 30 is covered by the 40 ended points, the second by the 10 left of them and 60 of another lot."""
    lots = [lot("S", 40, "2026-11-20"), lot("other", 500)]
    first = reverse(sold(), refund(3_000), lots)
    assert sums(first.postings) == {Account.EXPIRED: -30, Account.ISSUED: 30}
    second = reverse(first.settled, refund(7_000, 3_000), first.lots)
    assert sums(second.postings) == {Account.AVAILABLE: -60, Account.EXPIRED: -10, Account.ISSUED: 70}


def test_points_taken_before_the_lot_ended_stay_taken():
    """The first part took 30 of the sale's lot, which has ended since with 10: those 10 count, 60 come from elsewhere."""
    first = reverse(sold(), refund(3_000), [lot("S", 40, "2026-11-21"), lot("other", 500)])
    assert points_of(first) == {"S": 10, "other": 500}
    second = reverse(first.settled, refund(7_000, 3_000, day=date(2026, 11, 22)), first.lots)
    assert sums(second.postings) == {Account.AVAILABLE: -60, Account.EXPIRED: -10, Account.ISSUED: 70}
    assert points_of(second) == {"S": 10, "other": 440}


def test_ended_lots_of_other_sales_give_nothing():
    """A lot past its last day is nobody's to take from, even before its end is posted."""
    result = reverse(
        sold(), refund(10_000), [lot("S", 0), lot("old", 500, "2026-11-20"), lot("last", 30, "2026-11-21")]
    )
    assert (points_of(result), result.unrecovered) == ({"S": 0, "old": 500, "last": 0}, 70)


@pytest.mark.parametrize("policy", [WITHIN, UNLIMITED, PENDING])
@pytest.mark.parametrize(("left", "reopened"), [(0, 60), (40, 60)])
def test_repaid_debt_is_reopened_last(policy, left, reopened):
    """Of 100 earned points 60 repaid a debt: 40 are due from lots first, the debt is re-opened with the rest only."""
    own = [lot("S", left, usable=NOW + 1)]
    first = reverse(sold(debt=60), refund(4_000, policy=policy), own)
    assert (sums(first.postings).get(Account.DEBT, 0), first.points_reversed) == (
        0 if left or policy is not UNLIMITED else -40,
        40,
    )
    second = reverse(first.settled, refund(6_000, 4_000, policy, debt=first.debt), first.lots)
    assert sums(second.postings) == {Account.DEBT: -reopened, Account.ISSUED: 60}
    assert second.debt == 60


def test_held_points_are_taken_from_pending():
    """Points under review are taken back from the account they stand in, under every policy."""
    for policy in ReversalPolicy:
        result = reverse(sold(), refund(10_000, policy=policy), [lot("S", 100, usable=None)])
        assert sums(result.postings) == {Account.PENDING: -100, Account.ISSUED: 100}


@pytest.mark.parametrize(("usable", "taken"), [(NOW + 1, 100), (NOW, 0), (None, 100)])
def test_only_pending_ends_with_the_waiting(usable, taken):
    """Points may be taken back while they wait, to the last millisecond; those of other sales never."""
    lots = [lot("S", 100, usable=usable), lot("T", 500, usable=NOW + 1)]
    result = reverse(sold(), refund(10_000, policy=PENDING), lots)
    assert (points_of(result), result.unrecovered) == ({"S": 100 - taken, "T": 500}, 100 - taken)


def test_points_taken_while_they_waited_stay_taken():
    """Under ONLY_PENDING the part refunded in time is recovered, the part after it is not, and nothing is undone."""
    first = reverse(sold(), refund(4_000, policy=PENDING), [lot("S", 100, usable=NOW + 1)])
    late = replace(refund(6_000, 4_000, PENDING), now_ms=NOW + 1)
    second = reverse(first.settled, late, first.lots)
    assert (points_of(second), first.unrecovered, second.unrecovered) == ({"S": 60}, 0, 60)


def test_others_give_in_spending_order_after_the_own_lot():
    """The sale's own lot gives first although it ends last, then the earliest ending one, then one without an end."""
    lots = [lot("never", 50, None), lot("late", 30, "2027-09-30"), lot("soon", 20, "2026-12-31"), lot("S", 10, None)]
    result = reverse(sold(), refund(8_000), lots)
    assert points_of(result) == {"never": 30, "late": 0, "soon": 0, "S": 0}
    assert [leg.lot for leg in result.postings if leg.account is Account.AVAILABLE] == ["S", "soon", "late", "never"]


def test_spent_points_come_back_before_earned_ones_are_taken():
    """A member with nothing left loses nothing: the 100 points the sale was paid with pay for the 100 it earned."""
    result = reverse(sold(used=[(lot("a", 100), 100)]), refund(10_000), [lot("a", 0), lot("S", 0)])
    assert (points_of(result), result.unrecovered) == ({"a": 0, "S": 0}, 0)
    assert (result.points_returned, result.points_reversed) == (100, 100)


def test_returned_points_are_floored_on_what_is_refunded_so_far():
    """Of 100 points on a net of 3: 33 after 1, 66 after 2, 100 after 3, whoever cuts how."""
    empty = lot("a", 0)
    result = reverse(sold(3, 0, [(lot("a", 100), 100)]), refund(1), [empty])
    back = [result.points_returned]
    for before in (1, 2):
        result = reverse(result.settled, refund(1, before), result.lots)
        back.append(result.points_returned)
    assert back == [33, 33, 34]


def test_earlier_refunds_must_be_told():
    """A part that is not told what earlier parts posted is refused instead of taking points twice."""
    used = [(lot("a", 100), 100)]
    first = reverse(sold(used=used), refund(5_000), [lot("a", 0), lot("S", 100)])
    with pytest.raises(LedgerError, match="sale S: not all postings"):
        reverse(sold(used=used), refund(5_000, 5_000), first.lots)
    with pytest.raises(LedgerError, match="sale S: not all postings"):
        reverse(first.settled, refund(10_000), first.lots)
    free = reverse(sold(earned=0), refund(5_000), [])
    assert reverse(sold(earned=0), refund(5_000, 5_000), free.lots).postings == ()


def test_part_that_brings_no_point_back_makes_no_lot():
    """A third of one point is none: the ended lot it was spent from does not come back yet."""
    ended = lot("a", 0, "2026-10-31")
    assert reverse(sold(3, 0, [(ended, 1)]), refund(1), [ended]).lots == (ended,)


def test_sale_without_a_net_is_given_back_once():
    """A sale paid with points alone has one refund of 0; told again, it is refused."""
    first = reverse(sold(0, 0, [(lot("a", 100), 100)]), refund(0), [lot("a", 0)])
    assert points_of(first) == {"a": 100}
    with pytest.raises(RefundError, match="given back already"):
        reverse(first.settled, refund(0), first.lots)
    with pytest.raises(RefundError, match="name an amount above 0"):
        reverse(sold(1, 0), refund(0), [])
    with pytest.raises(RefundError, match="1 asked, 0 of 0 left"):
        reverse(sold(0, 0), refund(1), [])


def test_settled_sale_knows_all_its_refunds():
    """Each part hands on the sale with its own postings behind the earlier ones, for the next part."""
    first = reverse(sold(), refund(4_000), [lot("S", 100)])
    second = reverse(first.settled, refund(6_000, 4_000), first.lots)
    assert second.settled.given_back == (*first.postings, *second.postings)
    assert replace(second.settled, given_back=()) == replace(first.settled, given_back=())


@pytest.mark.parametrize(
    ("lots", "legs", "said"),
    [
        ([lot("S", 5)], [(Account.AVAILABLE, 5), (Account.ISSUED, -5)], []),
        ([lot("S", 5, usable=None)], [(Account.PENDING, 5), (Account.ISSUED, -5)], []),
        ([lot("S", 0)], [(Account.DEBT, -5), (Account.ISSUED, 5)], []),
        ([lot("S", 5)], [(Account.AVAILABLE, 5)], ["the postings sum to 5, not to 0"]),
        ([lot("S", 4)], [(Account.AVAILABLE, 5), (Account.ISSUED, -5)], ["member:available is 5, its lots hold 4"]),
        ([lot("S", 5)], [(Account.PENDING, 5), (Account.ISSUED, -5)],
         ["member:available is 0, its lots hold 5", "member:pending is 5, its lots hold 0"]),
        ([], [(Account.DEBT, 1), (Account.ISSUED, -1)], ["member:debt is 1"]),
        ([lot("S", -5)], [(Account.AVAILABLE, -5), (Account.ISSUED, 5)], ["lot S holds -5 points"]),
    ],
)  # fmt: skip
def test_what_does_not_balance_is_said(lots, legs, said):
    """Postings sum to 0, each account equals its lots, no lot is below 0 and no debt above it; else a sentence says so."""
    postings = [Posting(account, points, "S", MEMBER if account.is_members else None) for account, points in legs]
    assert unbalanced(lots, postings) == said
