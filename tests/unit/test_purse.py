"""How a member's points stand at an instant: what may be spent, what not and why, what ends soon."""

from __future__ import annotations

from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from agent.domain.ledger import Lot
from agent.domain.purse import Kept, Leave, Standing, Why, standing
from tests.support.loyalty import EARN, rules

DAY = date(2026, 3, 31)
NOW_MS = int(datetime(2026, 3, 31, 4, tzinfo=UTC).timestamp()) * 1000
HOUR_MS = 3_600_000
PAYS = {"id": "pay", "kind": "POINTS_AS_MONEY"}


def lot(name: str, points: int, *, usable_ms: int | None = 0, ends: date | None = None) -> Lot:
    """Points that are usable and never end unless told otherwise."""
    return Lot(name, points, 0, usable_ms, ends, "sale")


def stands(*lots: Lot, debt: int = 0, leave: int | None = None, **program: int) -> Standing:
    """How a member with these lots stands where points may be paid with."""
    return standing(lots, debt, Leave(leave), rules(*EARN, PAYS, program=dict(program)), now_ms=NOW_MS, today=DAY)


def test_each_point_is_in_exactly_one_state() -> None:
    """Usable, waiting, held, ended, and what is owed taken off."""
    found = stands(
        lot("a", 100),
        lot("b", 20, usable_ms=NOW_MS + HOUR_MS),
        lot("c", 3, usable_ms=None),
        lot("d", 4_000, ends=date(2026, 3, 30)),
        debt=7,
    )
    assert (found.usable, found.waiting, found.held, found.ended, found.debt) == (100, 20, 3, 4_000, 7)
    assert found.balance == 4_116


def test_points_wait_until_their_own_hour_and_may_be_spent_at_it() -> None:
    """One millisecond before they wait, at the instant they do not; the day they end is still a day to spend them."""
    assert stands(lot("a", 5, usable_ms=NOW_MS + 1)).waiting == 5
    assert stands(lot("a", 5, usable_ms=NOW_MS, ends=DAY)).usable == 5


def test_without_a_lease_nothing_is_spent_and_the_reason_is_said() -> None:
    """No link and no lease: the points are there, but not for this station."""
    found = stands(lot("a", 530))
    assert (found.spendable, found.kept) == (0, (Kept(Why.NO_LEASE, 530),))


def test_a_lease_allows_whole_steps_up_to_what_it_has_left() -> None:
    """530 points with a lease of 450: 400 are spent, 80 are beyond the lease, 50 are less than a step."""
    found = stands(lot("a", 530), leave=450)
    assert (found.spendable, found.kept) == (400, (Kept(Why.LEASE_SPENT, 80), Kept(Why.STEP, 50)))


def test_fewer_than_the_least_are_not_spent() -> None:
    """Under the minimum of the programme nothing goes, and the minimum is the reason."""
    found = stands(lot("a", 530), leave=530, min_points=1_000)
    assert (found.spendable, found.kept) == (0, (Kept(Why.MINIMUM, 530),))


def test_rules_without_an_offer_that_takes_points_are_the_reason() -> None:
    """A lease helps nobody where points buy nothing; nor where the station never got rules."""
    for rule_set in (rules(*EARN), None):
        found = standing([lot("a", 530)], 0, Leave(530), rule_set, now_ms=NOW_MS, today=DAY)
        assert (found.spendable, found.kept) == (0, (Kept(Why.NOT_OFFERED, 530),))


def test_what_ends_within_thirty_sixty_and_ninety_days() -> None:
    """The last day counts; what has ended, and what never does, is in none."""
    found = stands(
        lot("past", 1, ends=date(2026, 3, 30)),
        lot("today", 10, ends=DAY),
        lot("30", 100, ends=date(2026, 4, 30)),
        lot("31", 1_000, ends=date(2026, 5, 1)),
        lot("90", 10_000, ends=date(2026, 6, 29)),
        lot("91", 100_000, ends=date(2026, 6, 30)),
        lot("never", 1_000_000),
    )
    assert found.soon == ((30, 110), (60, 1_110), (90, 11_110))


LOTS = st.lists(
    st.tuples(
        st.integers(1, 900),
        st.sampled_from([None, 0, NOW_MS, NOW_MS + HOUR_MS]),
        st.sampled_from([None, date(2026, 3, 1), DAY, date(2026, 12, 31)]),
    ),
    max_size=80,
)


@given(LOTS, st.none() | st.integers(0, 2_000))
def test_every_usable_point_is_spendable_or_has_a_reason(
    told: list[tuple[int, int | None, date | None]], leave: int | None
) -> None:
    """What may be spent and what is kept back add up to all points, whatever the lots are."""
    lots = [lot(f"{n:03d}", points, usable_ms=usable, ends=ends) for n, (points, usable, ends) in enumerate(told)]
    found = stands(*lots, leave=leave)
    assert found.balance == sum(points for points, _, _ in told)
    assert found.spendable + sum(kept.points for kept in found.kept) == found.balance
    assert found.spendable % 100 == 0
    assert found.spendable <= (leave or 0)
