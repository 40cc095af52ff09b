"""What holds for every history of sales, redemptions and refunds: refunds restore, parts add up, order changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from agent.domain.ledger import (
    Account,
    Entry,
    Lot,
    Refund,
    Reversal,
    apply_to_lots,
    balances,
    expire,
    issue,
    redemption,
    reverse,
    spend,
)
from tests.support.examples import tries
from tests.support.loyalty_cases import dice
from tests.support.loyalty_life import GRACE_DAYS, MEMBER, History

TODAY = date(2026, 11, 21)
NOW = 10**9
EXAMPLES = tries(500)


def held(lots: tuple[Lot, ...]) -> dict[str, tuple[int, date | None]]:
    """Lots that hold points."""
    return {lot.id: (lot.points, lot.expires_on) for lot in lots if lot.points}


def in_parts(life: History, index: int, cuts: list[int]) -> tuple[list[Reversal], tuple[Lot, ...]]:
    """Refund what is left of a sale in the given parts and then the rest, all at one instant."""
    ledger, sale = life.ledger, life.bought[index]
    known = replace(ledger.sales[index], expired_points=ledger.ended[sale.name])
    lots, done, debt = ledger.lots, sale.refunded, -ledger.held("member:debt")
    found: list[Reversal] = []
    for cut in [*cuts, sale.net]:
        amount = min(cut, sale.net - done)
        if amount <= 0 and (sale.net or found):
            continue
        asked = Refund(done, amount, life.now_ms, life.today, ledger.policy, GRACE_DAYS, debt)
        part = reverse(known, asked, lots)
        found.append(part)
        known, lots, done, debt = part.settled, part.lots, done + amount, debt + part.debt
    return found, lots


@given(dice())
@settings(max_examples=EXAMPLES)
def test_any_split_of_a_refund_ends_where_the_full_refund_ends(roll):
    """After any history, refunding a sale in parts leaves the accounts and the lots that one refund leaves."""
    life = History(roll)
    life.live(8)
    index = roll.byte() % max(1, len(life.bought))
    assume(life.bought and life.bought[index].refunded < life.bought[index].net)
    whole, lots_of_whole = in_parts(life, index, [])
    cuts = [roll.number(1, 900) for _ in range(roll.pick((1, 2, 5)))]
    parts, lots_of_parts = in_parts(life, index, cuts)
    event(f"{len(parts)} parts, policy {life.ledger.policy.value}")
    assert balances(leg for part in parts for leg in part.postings) == balances(whole[0].postings)
    assert held(lots_of_parts) == held(lots_of_whole)
    for name in ("points_returned", "points_reversed", "unrecovered", "debt"):
        assert sum(getattr(part, name) for part in parts) == getattr(whole[0], name)


@given(dice())
@settings(max_examples=EXAMPLES)
def test_a_full_refund_restores_balances_and_live_lots(roll):
    """A sale that is refunded at once leaves the lots and accounts of the member as they were, debts included."""
    life = History(roll)
    life.live(8)
    before, lots = life.ledger.accounts(), held(life.ledger.lots)
    life.buy()
    parts, after = in_parts(life, len(life.bought) - 1, [roll.number(1, 500)])
    postings = [*life.ledger.postings, *(leg for part in parts for leg in part.postings)]
    sums = {account.value: points for (account, _), points in balances(postings).items()}
    lost = sum(part.unrecovered for part in parts)
    event("something stays with the member" if lost else "everything is as before")
    if not lost:
        assert sums == dict(before)
        assert held(after) == lots
    assert sums.get("member:available", 0) + sums.get("member:pending", 0) == sum(
        points for points, _ in held(after).values()
    )


@given(dice())
@settings(max_examples=EXAMPLES)
def test_a_life_in_another_order_of_lots_is_the_same_life(roll):
    """Whichever way the lots come from the store, the same ones are spent, ended and given back."""
    life = History(roll)
    life.live(8)
    ledger = life.ledger
    index = roll.byte() % max(1, len(life.bought))
    assume(life.bought and life.bought[index].refunded < life.bought[index].net)
    ended = balances(expire(MEMBER, ledger.lots, life.today))
    whole, lots = in_parts(life, index, [])
    ledger.lots = ledger.lots[::-1]
    assert balances(expire(MEMBER, ledger.lots, life.today)) == ended
    again, turned = in_parts(life, index, [])
    assert (balances(again[0].postings), held(turned)) == (balances(whole[0].postings), held(lots))


def fresh(name: str, points: int, at: int = 0) -> Lot:
    """A lot that can be spent from an instant on."""
    return Lot(name, points, at, at, date(2027, 12, 31), "sale")


@given(st.permutations([fresh("a", 5), fresh("b", 7, at=1), fresh("c", 9, at=1)]), st.integers(0, 21))
@settings(max_examples=EXAMPLES)
def test_order_of_lots_changes_nothing(lots, points):
    """Whichever way the lots come from the store, the same ones are spent, and the postings take them."""
    uses = {lot.id: taken for lot, taken in spend(lots, points, NOW, TODAY)}
    assert uses == {lot.id: taken for lot, taken in spend(sorted(lots, key=lambda lot: lot.id), points, NOW, TODAY)}
    left = apply_to_lots(lots, redemption(MEMBER, "S", spend(lots, points, NOW, TODAY)))
    assert sum(lot.points for lot in left) == 21 - points


@given(st.integers(0, 900), st.integers(0, 900))
@settings(max_examples=EXAMPLES)
def test_an_earned_lot_repays_a_debt_first(points, debt):
    """What is earned goes to the debt as far as it reaches and to the lot with the rest; the legs sum to 0."""
    legs = Entry(issue(MEMBER, fresh("S", points), debt)).postings
    repaid = min(points, debt)
    found = {leg.account: leg.points for leg in legs}
    assert found.get(Account.DEBT, 0) == repaid
    assert found.get(Account.AVAILABLE, 0) == points - repaid
    assert found.get(Account.ISSUED, 0) == -points
