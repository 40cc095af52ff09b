"""The balance a station may believe: head office's base and what was posted here since [W-44]."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import permutations

import pytest

from agent.domain.effective import AsOf, OwnPosting, effective_balance, effective_lots, later
from agent.domain.holdings import HEAD_OFFICE
from agent.domain.ledger import Account, Lot, Posting
from tests.support.loyalty import MEMBER

OLD, NEW = "a" * 32, "b" * 32
DAY = date(2027, 6, 30)


def lot(name: str, points: int, expires: date | None = DAY, earned: int = 0) -> Lot:
    """A lot that may be spent."""
    return Lot(name, points, earned, 0, expires, "sale")


def own(seq: int, points: int, name: str = "S1", *, at: str = OLD, account: Account = Account.AVAILABLE) -> OwnPosting:
    """A posting of this station to the member."""
    return OwnPosting(at, seq, Posting(account, points, name, MEMBER))


HISTORY = [own(5, 100), own(6, -30), own(9, 7, "S2"), own(1, 2, "S3", at=NEW)]


@pytest.mark.parametrize(
    ("as_of", "balance"),
    [
        (None, 1_079),
        (AsOf(OLD, 4), 1_079),
        (AsOf(OLD, 5), 979),
        (AsOf(OLD, 6), 1_009),
        (AsOf(OLD, 8), 1_009),
        (AsOf(OLD, 9), 1_002),
        (AsOf(OLD, 99), 1_002),
        (AsOf(NEW, 0), 1_002),
        (AsOf(NEW, 1), 1_000),
        (AsOf("c" * 32, 50), 1_002),
    ],
)
def test_own_later_postings_count_and_earlier_ones_do_not(as_of, balance):
    """Whatever record head office's base includes, nothing is counted twice and nothing is missed."""
    assert effective_balance(1_000, as_of, HISTORY, [OLD, NEW]) == balance


def test_order_of_arrival_changes_nothing():
    """The postings count as they were journalled, in whatever order they are handed in."""
    expected = [known.posting for known in HISTORY[1:]]
    assert all(later(AsOf(OLD, 5), way, [OLD, NEW]) == expected for way in permutations(HISTORY))


def test_each_account_has_its_own_balance():
    """Held points and debt are counted for themselves."""
    history = [*HISTORY, own(7, 40, account=Account.PENDING), own(7, -3, account=Account.DEBT)]
    assert effective_balance(0, None, history, [OLD, NEW]) == 79
    assert effective_balance(0, None, [own(1, 2)], [OLD]) == 2
    assert effective_balance(5, None, history, [OLD, NEW], Account.PENDING) == 45
    assert effective_balance(0, None, history, [OLD, NEW], Account.DEBT) == -3


def points_of(lots: tuple[Lot, ...]) -> dict[str, int]:
    """Points per lot."""
    return {found.id: found.points for found in lots}


def test_lots_of_head_office_and_own_ones():
    """A lot of a later sale stands beside head office's; spending takes from the lot it names."""
    lots = effective_lots(
        [lot("B1", 500)], AsOf(OLD, 4), [lot("S1", 0), lot("S2", 0)], [*HISTORY[:3], own(10, -200, "B1")], [OLD]
    )
    assert points_of(lots) == {"B1": 300, "S1": 70, "S2": 7}


def test_own_lot_inside_the_base_is_spent_there():
    """An own lot that head office counts under its own id gives what is spent of it: same last day first, then in order."""
    base = [lot("B1", 20, date(2027, 1, 31)), lot("B2", 25), lot("B3", 900, None)]
    assert points_of(effective_lots(base, AsOf(OLD, 5), [lot("S1", 0)], [own(6, -30)], [OLD])) == {
        "B1": 15,
        "B2": 0,
        "B3": 900,
        "S1": 0,
    }


def test_the_terms_of_an_own_lot_stand_before_those_head_office_tells():
    """When points were earned is told by nobody, and until when they wait may have changed here since."""
    mine = Lot("S1", 0, 55, 99, DAY, "sale")
    told = Lot("S1", 100, 0, 7, DAY, HEAD_OFFICE)
    assert effective_lots([told], AsOf(OLD, 9), [mine], [own(5, 100)], [OLD]) == (replace(mine, points=100),)
    copied = replace(mine, source=HEAD_OFFICE)
    assert effective_lots([told], AsOf(OLD, 9), [copied], [own(5, 100)], [OLD]) == (told,)


def test_points_that_are_there_go_before_those_of_others():
    """A lot gives what it holds, and only the rest is drawn from the others."""
    lots = effective_lots([lot("B1", 50)], AsOf(OLD, 4), [lot("S1", 0)], [own(5, 10), own(6, -30)], [OLD])
    assert points_of(lots) == {"B1": 30, "S1": 0}


def test_nothing_falls_below_zero():
    """What neither lot holds cannot be taken, also of a lot that head office has ended."""
    assert points_of(effective_lots([lot("B1", 5)], None, [], [own(6, -30, "GONE")], [OLD])) == {"B1": 0}


def test_points_of_an_unknown_lot_are_not_made_up():
    """Points given to a lot that nobody describes cannot be spent, and debts move no lot."""
    history = [
        own(6, 30, "GONE"),
        own(7, -2, "B1", account=Account.DEBT),
        OwnPosting(OLD, 8, Posting(Account.ISSUED, 9, "B1")),
    ]
    assert points_of(effective_lots([lot("B1", 5)], None, [], history, [OLD])) == {"B1": 5}


def test_held_points_stand_in_their_lot():
    """Points held for review are in the lot that is held."""
    held = Lot("S1", 0, 0, None, DAY, "sale")
    assert points_of(effective_lots([], None, [held], [own(5, 9, account=Account.PENDING)], [OLD])) == {"S1": 9}
