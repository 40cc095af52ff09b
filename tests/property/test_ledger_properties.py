"""What holds for every history of sales, redemptions and refunds: balances are live lots minus debt, refunds add up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.ledger import (
    Account,
    Entry,
    Lot,
    Posting,
    Refund,
    SettledPoints,
    apply_to_lots,
    balances,
    issue,
    redemption,
    reverse,
    spend,
    usable_points,
)
from agent.domain.rules.model import ReversalPolicy

MEMBER = "567014f1b3c2a9de"
TODAY = date(2026, 11, 21)
NOW = 10**9

policies = st.sampled_from(list(ReversalPolicy))


def fresh(name: str, points: int, at: int = 0) -> Lot:
    """A lot that can be spent from an instant on."""
    return Lot(name, points, at, at, date(2027, 12, 31), "sale")


def held(postings: Iterable[Posting], account: Account) -> int:
    """Points of the member in one account."""
    return balances(postings).get((account, MEMBER), 0)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Steps of one member: buy (net, points asked), or refund part of an earlier sale."""
    buy = st.tuples(st.just("buy"), st.integers(0, 5_000), st.integers(0, 60))
    refund = st.tuples(st.just("refund"), st.integers(0, 5), st.integers(1, 3_000))
    return draw(st.lists(st.one_of(buy, refund), min_size=1, max_size=12))


@given(histories(), policies)
@settings(deadline=None, max_examples=150)
def test_balances_are_live_lots_minus_debt(history, policy):
    """After any history the member's accounts equal what the lots hold and what is owed, and all postings sum to 0."""
    lots: tuple[Lot, ...] = ()
    ledger: list[Posting] = []
    sales: list[SettledPoints] = []
    refunded: dict[int, int] = {}
    for step, first, second in history:
        if step == "buy":
            points = min(second, usable_points(lots, NOW, TODAY))
            name, earned = f"S{len(sales):02d}", first // 100
            postings = redemption(MEMBER, name, spend(lots, points, NOW, TODAY))
            lots = apply_to_lots(lots, postings)
            if earned:
                debt = -held(ledger, Account.DEBT)
                made = issue(MEMBER, fresh(name, earned), debt)
                lots = apply_to_lots((*lots, fresh(name, 0)), made)
                postings = (*postings, *made)
            ledger += postings
            sales.append(SettledPoints(name, MEMBER, first, earned, 0, tuple(postings), lambda net: net // 100))
        elif first < len(sales) and sales[first].net_minor > refunded.get(first, 0):
            amount = min(second, sales[first].net_minor - refunded.get(first, 0))
            debt = -held(ledger, Account.DEBT)
            asked = Refund(refunded.get(first, 0), amount, NOW, TODAY, policy, 30, debt)
            result = reverse(sales[first], asked, lots)
            refunded[first] = refunded.get(first, 0) + amount
            lots, ledger, sales[first] = result.lots, [*ledger, *result.postings], result.settled
        Entry(tuple(ledger))
        assert held(ledger, Account.AVAILABLE) == sum(lot.points for lot in lots)
        assert held(ledger, Account.DEBT) <= 0
        assert min((lot.points for lot in lots), default=0) >= 0


@given(
    st.integers(1, 5_000),
    st.integers(0, 40),
    st.integers(0, 200),
    st.integers(0, 900),
    st.lists(st.integers(1, 900), max_size=8),
    policies,
)
@settings(deadline=None, max_examples=150)
def test_any_split_of_a_refund_sums_to_the_full_refund(net, bonus, spent, gone, cuts, policy):
    """Refunding in parts ends where one full refund ends, also where the points are spent since: same lots, same accounts."""
    paid_from = [fresh("a", 120), fresh("b", 120, at=1)]
    redeemed = redemption(MEMBER, "S", spend(paid_from, spent, NOW, TODAY))
    earned = net // 7
    made = issue(MEMBER, fresh("S", earned + bonus)) if earned + bonus else ()
    settled = SettledPoints("S", MEMBER, net, earned, bonus, (*redeemed, *made), lambda left: left // 7)
    lots = apply_to_lots([*paid_from, fresh("S", 0)], [*redeemed, *made])
    elsewhere = spend(lots, min(gone, usable_points(lots, NOW, TODAY)), NOW, TODAY)
    lots = apply_to_lots(lots, redemption(MEMBER, "T", elsewhere))
    whole = reverse(settled, Refund(0, net, NOW, TODAY, policy, 30), lots)
    parts: list[Posting] = []
    done, now_lots = 0, lots
    for cut in [*cuts, net]:
        amount = min(cut, net - done)
        if amount > 0:
            debt = -held(parts, Account.DEBT)
            result = reverse(settled, Refund(done, amount, NOW, TODAY, policy, 30, debt), now_lots)
            parts, now_lots, done = [*parts, *result.postings], result.lots, done + amount
            settled = result.settled
    assert balances(parts) == balances(whole.postings)
    assert {lot.id: lot.points for lot in now_lots} == {lot.id: lot.points for lot in whole.lots}
    if policy is not ReversalPolicy.ONLY_PENDING and not gone:
        assert {lot.id: lot.points for lot in whole.lots} == {"a": 120, "b": 120, "S": 0}


@given(st.permutations([fresh("a", 5), fresh("b", 7, at=1), fresh("c", 9, at=1)]), st.integers(0, 21))
def test_order_of_lots_changes_nothing(lots, points):
    """Whichever way the lots come from the store, the same ones are spent."""
    uses = {lot.id: taken for lot, taken in spend(lots, points, NOW, TODAY)}
    assert uses == {lot.id: taken for lot, taken in spend(sorted(lots, key=lambda lot: lot.id), points, NOW, TODAY)}
