"""A console's list of deliveries against what is known: new, lengthened, perhaps missing, never doubled."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.domain.wetstock.deliveries import KnownDelivery, rise_ml, settled_after_ms, sort_out
from drivers.readings import GaugeDeliveries, GaugeDelivery


def one(number: int, *, rise: int = 5_000_000) -> GaugeDelivery:
    """A delivery of day ``number``."""
    start = f"2026-11-{number:02d}T09:00"
    return GaugeDelivery(f"k{number}", start, start.replace("09:00", "09:30"), 8_000_000, 8_000_000 + rise)


def known(told: GaugeDelivery, *, booked: bool = True) -> KnownDelivery:
    """``told`` as it is kept."""
    return KnownDelivery(told.key, told.key, told.start, told.start_volume_ml, told.end, told.end_volume_ml, booked)


def level(
    *told: GaugeDelivery, full: bool = False, console_time: str = "", delay_min: int | None = 5
) -> GaugeDeliveries:
    return GaugeDeliveries("gauge:g", 1, told, full=full, console_time=console_time, delay_min=delay_min)


def test_what_is_known_is_not_new() -> None:
    """Only the delivery that nobody has seen is new, wherever it stands in the list."""
    found = sort_out(level(one(3), one(2), one(1)), [known(one(3)), known(one(1))])
    assert (found.new, found.longer, found.missing_since) == ((one(2),), (), "")


def test_a_delivery_that_ends_later_is_the_same_one() -> None:
    """The console lengthens a delivery that resumes inside its delay."""
    longer = replace(one(2), end="2026-11-02T09:50", end_volume_ml=15_000_000)
    found = sort_out(level(longer), [known(one(2))])
    assert (found.new, found.longer) == ((), ((known(one(2)), longer),))


def test_the_same_delivery_in_other_units_or_on_a_page_is_known() -> None:
    """Rounding to whole gallons moves a volume by less than a unit; the key is another one then."""
    rounded = replace(one(2), key="START: ...", start_volume_ml=7_998_500, end_volume_ml=12_996_000)
    assert sort_out(level(rounded), [known(one(2))]) == sort_out(level(), [])
    other = replace(one(2), key="another", start_volume_ml=6_000_000)
    assert sort_out(level(other), [known(one(2))]).new == (other,)


def test_a_full_list_of_which_nothing_is_known_has_lost_some() -> None:
    """Between the last known end and the oldest told there may be more; the first list ever has lost nothing."""
    told = level(*(one(number) for number in range(20, 10, -1)), full=True)
    assert sort_out(told, [known(one(2))]).missing_since == "2026-11-02T09:30"
    assert sort_out(told, []).missing_since == ""
    assert sort_out(told, [known(one(11))]).missing_since == ""
    assert sort_out(replace(told, full=False), [known(one(2))]).missing_since == ""


def test_a_delivery_is_final_when_its_delay_is_over() -> None:
    """By the console's clock at once, else after the whole delay by ours; an unknown delay counts as a quarter hour."""
    assert settled_after_ms(level(console_time="2026-11-02T09:36"), one(2)) == 0
    assert settled_after_ms(level(console_time="2026-11-02T09:35"), one(2)) == 6 * 60_000
    assert settled_after_ms(level(console_time=""), one(2)) == 6 * 60_000
    assert settled_after_ms(level(console_time="2026-11-02T09:45", delay_min=None), one(2)) == 16 * 60_000


def test_a_rise_needs_both_ends() -> None:
    """Unknown is not zero."""
    assert rise_ml(1, 3) == 2
    assert rise_ml(None, 3) is None
    assert rise_ml(1, None) is None


@given(told=st.lists(st.integers(1, 28), unique=True, max_size=12), seen=st.sets(st.integers(1, 28)))
def test_told_again_nothing_is_new(told: list[int], seen: set[int]) -> None:
    """New are exactly the unknown ones; once they are kept, the same list says nothing."""
    before = [known(one(number)) for number in seen]
    first = sort_out(level(*map(one, told)), before)
    assert [item.key for item in first.new] == [f"k{number}" for number in told if number not in seen]
    again = sort_out(level(*map(one, told)), [*before, *map(known, first.new)])
    assert (again.new, again.longer) == ((), ())
