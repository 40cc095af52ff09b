"""Limits of auth levels and waiting points at a till: real sales, links, quotes and refunds on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.domain.identity import AuthLevel
from tests.support.station_settings import Plan
from tests.support.till import OTHER, Till, lend, loyal_till

HOUR_MS = 3_600_000
LEVELS_OF_48_HOURS = (AuthLevel.NUMBER, AuthLevel.PHONE, AuthLevel.UID)


@pytest.fixture
def till() -> Iterator[Till]:
    """A till where points pay up to 50.00 a day."""
    yield from loyal_till(plan=Plan(settle="tender", redeem_a_day="50.00", watched=True))


def waits(till: Till, sale: str) -> int | None:
    """Hours from the end of a settled sale to the first use of its points, ``None`` while they are held."""
    (row,) = till.rows(
        f"SELECT l.usable_from_ms AS usable, s.ended_ms AS ended FROM lot l JOIN sale s ON s.id = l.id WHERE l.id = '{sale}'"
    )
    if row["usable"] is None:
        return None
    hours, rest = divmod(row["usable"] - row["ended"], HOUR_MS)
    assert rest == 0
    return int(hours)


def later(till: Till, seconds: int, volume_ml: int = 20_000, **more: Any) -> str:
    """A sale of the member after some time."""
    till.wait(seconds)
    return till.fuelled(volume_ml, **more)


def earned(till: Till, sale: str) -> int:
    """The points of a sale that is settled now."""
    settled = till.settle(sale)
    assert "points_earned" in settled, settled
    return int(settled["points_earned"])


def test_a_bare_card_number_earns_on_two_sales_a_day_and_on_the_next_day_again(till: Till) -> None:
    """The third sale of a day stays linked, earns nothing and says why; after midnight the card earns again."""
    sales = [later(till, 10, level=AuthLevel.UID) for _ in range(3)]
    assert [earned(till, sale) > 0 for sale in sales] == [True, True, False]
    assert till.one(f"SELECT count(*) FROM link WHERE sale = '{sales[2]}' AND active = 1") == 1
    lines = till.one(f"SELECT lines FROM settlement WHERE sale = '{sales[2]}'")
    assert '"code": "DAILY_LIMIT"' in lines
    till.wait(11 * 3_600)
    assert earned(till, till.fuelled(level=AuthLevel.UID)) > 0


def test_other_levels_and_other_members_do_not_count_against_a_card(till: Till) -> None:
    """Only sales of the same member by a bare card number are counted."""
    till.member(OTHER, op=2)
    for sale in (till.fuelled(), till.fuelled(level=AuthLevel.NUMBER), till.fuelled(member=OTHER, level=AuthLevel.UID)):
        till.settle(sale)
    assert [earned(till, till.fuelled(level=AuthLevel.UID)) > 0 for _ in range(2)] == [True, True]


def test_a_bare_card_number_earns_on_200_litres_a_day(till: Till) -> None:
    """The sale that goes beyond 200 L gives nothing; one that ends at 200 L exactly does."""
    first, second = till.fuelled(150_000, level=AuthLevel.UID), till.fuelled(50_000, level=AuthLevel.UID)
    assert (earned(till, first) > 0, earned(till, second) > 0) == (True, True)
    till.wait(24 * 3_600)
    first, second = later(till, 10, 150_000, level=AuthLevel.UID), later(till, 10, 50_010, level=AuthLevel.UID)
    assert (earned(till, first) > 0, earned(till, second) > 0) == (True, False)
    assert "CAPPED_VOLUME" in till.one(f"SELECT lines FROM settlement WHERE sale = '{second}'")


def test_points_pay_up_to_50_a_day_over_all_sales_and_quotes(till: Till) -> None:
    """What a settled sale paid and what a held quote will pay count together; the next day begins anew."""
    lend(till, "L1", "points", 5_230)
    till.member(op=2, lots=[(20_000, None, None)])
    assert till.settle(till.fuelled(), points=3_000)["points_redeemed"] == 3_000
    held = till.fuelled()
    assert till.quote(held, points=1_500, lock=True)["points_redeemed"] == 1_500
    third = till.fuelled()
    quoted = till.quote(third, points=2_000)
    assert (quoted["points_redeemed"], quoted["asked"][0]["code"]) == (500, "CAPPED_AMOUNT")
    assert till.settle(third, points=500)["points_redeemed"] == 500
    refused = till.settle(till.fuelled(), points=100)
    assert "CAPPED_AMOUNT" in refused["error"]
    till.wait(24 * 3_600)
    assert till.settle(till.fuelled(), points=200)["points_redeemed"] == 200


def test_a_sale_given_back_in_full_gives_the_day_back(till: Till) -> None:
    """Points that came back with a void may be spent again on the same day."""
    lend(till, "L1", "points", 5_230)
    till.member(op=2, lots=[(20_000, None, None)])
    paid = till.fuelled()
    till.settle(paid, points=5_000)
    assert till.ask("sales.void", sale=paid, reason="wrong pump")["ok"]
    assert till.settle(till.fuelled(), points=200)["points_redeemed"] == 200


def test_points_wait_24_hours_and_48_after_a_weak_link(till: Till) -> None:
    """From the end of the sale; a doubtful clock makes every level weak."""
    for number, level in enumerate([level for level in AuthLevel if level is not AuthLevel.PLATE], 2):
        for suspect in (False, True):
            member = f"{number:015x}{int(suspect)}"
            till.member(member, op=2 * number + suspect)
            sale = till.fuelled(level=level, member=member, clock_suspect=suspect)
            till.settle(sale)
            assert waits(till, sale) == (48 if suspect or level in LEVELS_OF_48_HOURS else 24), level


def test_links_of_one_millisecond_have_an_order_too(till: Till) -> None:
    """Of three sales linked at once two earn, whichever is settled first."""
    assert sorted(earned(till, sale) > 0 for sale in [till.fuelled(level=AuthLevel.UID) for _ in range(3)]) == [
        False,
        True,
        True,
    ]


def test_two_fuellings_within_an_hour_wait_48_hours(till: Till) -> None:
    """A sign of misuse on a sale (here R1) lets its points wait longer; nobody is told at the pump."""
    first = till.fuelled()
    till.settle(first)
    till.wait(600)
    second = till.fuelled()
    till.settle(second)
    assert waits(till, second) == 48


def test_a_supervisors_late_link_is_held_until_it_was_reviewed(till: Till) -> None:
    """Its points stand in the ledger as pending, with no day on which they may be spent."""
    sale = till.sale()
    till.settle(sale)
    till.wait(60)
    till.link(sale)
    assert waits(till, sale) is None
    (lot,) = till.rows(f"SELECT account, points FROM posting WHERE lot = '{sale}' AND member_ref IS NOT NULL")
    assert (lot["account"], lot["points"]) == ("member:pending", 157)


def test_a_late_link_of_a_sale_that_is_not_paid_yet_is_held_too(till: Till) -> None:
    """The settlement that comes later knows that the link was late."""
    sale = till.sale()
    till.wait(700)
    till.link(sale)
    till.settle(sale)
    assert waits(till, sale) is None


def test_points_of_a_sale_never_pay_for_itself(till: Till) -> None:
    """A member without points has none to spend while the sale that will bring them is open."""
    till.member(OTHER, op=2)
    lend(till, "L2", "points", 9_000, subject=OTHER)
    assert "POINTS_STEP" in till.settle(till.fuelled(100_000, member=OTHER), points=100)["error"]


def test_a_station_may_let_points_wait_longer_than_the_rules_say() -> None:
    """[loyalty] pending and pending_doubtful lift the hours of the rules and never shorten them."""
    longer = Plan(settle="tender", loyalty='pending = "30h"\npending_doubtful = "40h"')
    for till in loyal_till(plan=longer):
        till.member(OTHER, op=2)
        strong, weak = till.fuelled(), till.fuelled(member=OTHER, level=AuthLevel.NUMBER)
        till.settle(strong)
        till.settle(weak)
        assert (waits(till, strong), waits(till, weak)) == (30, 48)
