"""A meter after a new incarnation: what is booked at once, what waits for head office, and what never is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.booking import Meter
from agent.domain.point_events import Audit, Baseline, Book, ConfirmMeter, EndsKnown, Gap, Lifted, RaiseAlert
from agent.domain.point_rebirth import DAY_MS, reborn
from agent.domain.point_state import restore
from agent.domain.sale import Totalizer
from drivers.commands import Acknowledge, Authorise
from drivers.readings import PointState
from tests.support.point_script import CALLING, FUELLING, IDLE, WALL, Script, names

DAY = WALL // DAY_MS


def born_again(script: Script) -> Script:
    """The same database as a new incarnation, in a new process."""
    script.point = restore(script.point.config, _written(script), "d")
    return script


def _written(script: Script) -> dict[str, object]:
    from agent.domain.point_state import durable

    return durable(replace(script.point, durable=reborn(script.point.durable, (1,))))


def ends(text: str | None) -> EndsKnown:
    return EndsKnown(() if text is None else ((1, Totalizer.parse(text)),))


def booked(script: Script) -> list[tuple[str, str, str, int]]:
    """(kind, start, end, ml) of what the last event booked."""
    return [
        (b.booking.kind.value, str(b.booking.start), str(b.booking.end), b.booking.volume_ml) for b in script.of(Book)
    ]


def based(script: Script) -> list[tuple[str, str]]:
    return [(str(b.totalizer), b.reason) for b in script.of(Baseline)]


def test_head_office_told_first_and_its_end_is_later() -> None:
    """The litres up to its end are a gap of this database; what the meter counted behind it is a sale."""
    script = born_again(Script().ready(1_000))
    script(ends("0:1500"))
    script.at(IDLE)
    script.answer(1_700, 2_000)
    assert booked(script) == [("NORMAL", "0:1500", "0:1700", 2_000)]
    assert based(script) == [("0:1500", "reincarnated")]
    assert [(str(gap.start), str(gap.end)) for gap in script.of(Gap)] == [("0:1000", "0:1500")]


@pytest.mark.parametrize("told", [None, "0:400", "0:1000"])
def test_head_office_told_first_and_knows_no_more(told: str | None) -> None:
    """Its end is not beyond ours: comparing goes on from the stored total as always."""
    script = born_again(Script().ready(1_000))
    script(ends(told))
    script.at(IDLE)
    script.answer(1_234, 2_340)
    assert booked(script) == [("NORMAL", "0:1000", "0:1234", 2_340)]
    assert based(script) == []


def test_without_head_office_counting_goes_on_from_a_new_base() -> None:
    """Nothing is booked of the time in between, the pump may forget, an alert stands, and the next sale is normal."""
    script = born_again(Script().ready(1_000))
    script.at(IDLE)
    assert names(script.answer(1_700, 2_000)) == ["Baseline", "RaiseAlert", "Acknowledge"]
    assert script.of(RaiseAlert)[0].name == "METER_GAP"
    script.end(Acknowledge)
    script.at(IDLE)
    script.at(CALLING)
    script.end(Authorise)
    script.at(PointState.STARTED)
    script.at(FUELLING, 100)
    script.at(FUELLING, 1_000)
    script.at(IDLE, 1_000)
    script.answer(1_800, 1_000)
    assert booked(script) == [("NORMAL", "0:1700", "0:1800", 1_000)]


@pytest.mark.parametrize(
    ("told", "sales", "gaps"),
    [
        (None, [("RECOVERED", "0:1000", "0:1500", 5_000), ("NORMAL", "0:1500", "0:1700", 2_000)], []),
        ("0:900", [("RECOVERED", "0:1000", "0:1500", 5_000), ("NORMAL", "0:1500", "0:1700", 2_000)], []),
        ("0:1500", [("NORMAL", "0:1500", "0:1700", 2_000)], [("0:1000", "0:1500")]),
        ("0:1600", [("RECOVERED", "0:1600", "0:1700", 1_000)], [("0:1000", "0:1600")]),
        ("0:1700", [], [("0:1000", "0:1700")]),
    ],
)
def test_the_welcome_closes_the_gap(
    told: str | None, sales: list[tuple[str, str, str, int]], gaps: list[tuple[str, str]]
) -> None:
    """[W-32] The later of both ends counts; the held sale of the time before is used where it fits what is left."""
    script = born_again(Script().ready(1_000))
    script.at(IDLE)
    script.answer(1_700, 2_000)
    script = script.restarted()
    script(ends(told))
    assert booked(script) == sales
    assert [(str(gap.start), str(gap.end)) for gap in script.of(Gap)] == gaps
    assert all("reincarnated" in book.booking.flags for book in script.of(Book))
    assert (script.point.durable.gaps, script.point.durable.alerts) == ((), ())
    script(ends("0:1900"))
    assert script.effects == ()


def test_a_fuelling_seen_flowing_after_the_rebirth_is_booked_at_once() -> None:
    """Nobody else can have booked it: only what lies before it waits for head office."""
    script = born_again(Script().authorised())
    script.at(FUELLING, 500)
    script.at(FUELLING, 1_500)
    script.at(IDLE, 2_000)
    script.answer(1_700, 2_000)
    assert booked(script) == [("NORMAL", "0:1500", "0:1700", 2_000)]
    assert [str(gap.base) for gap in script.point.durable.gaps] == ["0:1500"]
    script(ends(None))
    assert booked(script) == [("RECOVERED", "0:1000", "0:1500", 5_000)]


def test_a_fuelling_that_explains_all_of_the_movement_leaves_no_gap() -> None:
    """The ordinary case of an incarnation that ends while people fuel: one normal sale, nothing to ask."""
    script = born_again(Script().authorised())
    script.at(FUELLING, 500)
    script.at(FUELLING, 1_500)
    script.at(IDLE, 2_000)
    script.answer(1_200, 2_000)
    assert booked(script) == [("NORMAL", "0:1000", "0:1200", 2_000)]
    assert (script.point.durable.gaps, script.point.durable.rebase) == ((), ())


def test_an_empty_database_books_from_head_offices_end() -> None:
    """No stored total: what head office does not know since its last end is recovered; the epoch meets no old one."""
    script = Script()
    script.point = replace(script.point, durable=reborn(script.point.durable, (1,)))
    script.at(IDLE)
    script.answer(5_000, 0)
    assert based(script) == [(f"{DAY}:5000", "reincarnated")]
    script(ends("3:4200"))
    assert booked(script) == [("RECOVERED", "3:4200", "3:5000", 8_000)]
    assert [(gap.start, str(gap.end), gap.reason) for gap in script.of(Gap)] == [
        (None, "3:4200", "known at head office")
    ]


def test_an_empty_database_tells_what_head_office_knew_before_it_read_a_meter() -> None:
    """The welcome comes first: the record that head office had everything up to there is written all the same."""
    script = Script()
    script.point = replace(script.point, durable=reborn(script.point.durable, (1,)))
    script(ends("3:4200"))
    script.at(IDLE)
    script.answer(4_200, 0)
    assert [(gap.start, str(gap.end), gap.reason) for gap in script.of(Gap)] == [
        (None, "3:4200", "known at head office")
    ]


@pytest.mark.parametrize(
    ("marked", "read", "base", "told", "sold_ml"),
    [
        ("3:4200", 5_000, "3:5000", "3:4100", 9_000),
        ("3:5000", 5_000, "3:5000", "3:4100", 9_000),
        ("3:9999999900", 100, "4:100", "3:9999999800", 3_000),
        ("3:5000", 4_200, f"{DAY}:4200", "3:4100", 1_000),
    ],
)
def test_an_empty_database_counts_on_in_the_epoch_of_the_high_water_file(
    marked: str, read: int, base: str, told: str, sold_ml: int
) -> None:
    """[W-24] What another life of the station booked is compared within one epoch: it is left only where the count went
    back by more than a rollover explains. What was booked before is not in the file: head office's end counts.
    """
    script = Script()
    counted = (Meter(1, Totalizer.parse(marked), 10, 10**10),)
    script.point = replace(script.point, durable=reborn(script.point.durable, (1,), counted))
    script = script.restarted()
    script.at(IDLE)
    script.answer(read, 0)
    assert based(script) == [(base, "reincarnated")]
    assert script.point.durable.counted == ()
    script(ends(told))
    assert [volume for *_, volume in booked(script)] == [sold_ml]


def test_an_old_database_takes_the_epoch_of_a_newer_high_water_file() -> None:
    """The meter was replaced and confirmed after the backup: the count goes on in that epoch, not in one of its own."""
    script = Script().ready(9_000)
    counted = (Meter(1, Totalizer.parse("1:200"), 10, 10**10),)
    script.point = replace(script.point, durable=reborn(script.point.durable, (1,), counted))
    script = script.restarted()
    script.at(IDLE)
    script.answer(300, 0)
    assert based(script) == [("1:300", "reincarnated")]


def test_an_empty_database_without_any_end_begins_like_a_new_one() -> None:
    """Nobody knows of anything before: no sale, no gap."""
    script = Script()
    script.point = replace(script.point, durable=reborn(script.point.durable, (1,)))
    script(ends(None))
    script.at(IDLE)
    script.answer(5_000, 1_000)
    assert based(script) == [("0:5000", "first-contact")]
    assert booked(script) == []


def test_a_count_that_went_back_sells_on_in_an_epoch_of_its_own() -> None:
    """Wrapped or replaced meanwhile, nobody knows yet: head office's end tells what is comparable."""
    script = born_again(Script().ready(9_000))
    script.at(IDLE)
    script.answer(300, 0)
    assert based(script) == [(f"{DAY}:300", "reincarnated")]
    script(ends("1:100"))
    assert booked(script) == [("RECOVERED", "1:100", "1:300", 2_000)]


def test_what_cannot_be_compared_is_said_and_not_booked() -> None:
    """The meter was replaced and head office knows nothing of it either: a gap record and an audit entry, no litres."""
    script = born_again(Script().ready(9_000))
    script.at(IDLE)
    script.answer(300, 0)
    script(ends("0:9000"))
    assert booked(script) == []
    assert [gap.reason for gap in script.of(Gap)] == ["not comparable, nothing booked"]
    assert [audit.action for audit in script.of(Audit)] == ["gap_not_booked"]


def waiting_for_confirmation() -> Script:
    """A meter was replaced under a sale that the pump still shows; then the database became a new incarnation."""
    script = Script().ready(9_000).restarted()
    script.at(IDLE, 2_000)
    script.answer(300, 2_000)
    return born_again(script)


@pytest.mark.parametrize("told", [None, "0:9000"])
def test_a_sale_kept_for_the_confirmation_of_a_meter_is_booked_when_head_office_has_nothing_newer(
    told: str | None,
) -> None:
    """Head office was away and the count has begun anew: what was kept lies between the old base and the new one."""
    script = waiting_for_confirmation()
    script.at(IDLE, 0)
    script.answer(300, 0)
    script.restarted()
    script(ends(told))
    assert booked(script) == [("NORMAL", "1:100", "1:300", 2_000)]
    assert script.of(Book)[0].booking.flags == ("reincarnated",)
    assert based(script) == [("1:100", "reincarnated")]
    assert [str(gap.end) for gap in script.of(Gap)] == ["1:100", f"{DAY}:300"]


@pytest.mark.parametrize("is_told_first", [True, False])
def test_a_sale_kept_for_the_confirmation_of_a_meter_is_not_booked_when_head_office_may_have_it(
    is_told_first: bool,
) -> None:
    """An end beyond ours: the meter may have been confirmed after the backup. Said, and not booked a second time."""
    script = waiting_for_confirmation()
    for event in ("told", "read") if is_told_first else ("read", "told"):
        if event == "told":
            script(ends("1:300"))
        else:
            script.at(IDLE, 0)
            script.answer(300, 0)
        assert booked(script) == []
        if script.of(Audit):
            break
    assert [audit.action for audit in script.of(Audit)] == ["kept_not_booked"]
    assert script.point.durable.replaced == ()


def test_a_meter_waits_on_for_confirmation_where_head_office_knows_no_more() -> None:
    """Told first that nothing is newer, the new incarnation goes on where the old one stood."""
    script = waiting_for_confirmation()
    script(ends("0:9000"))
    script.at(IDLE, 0)
    script.answer(300, 0)
    assert booked(script) == []
    script(ConfirmMeter(1, "sue"))
    script.answer(300, 0)
    assert booked(script) == [("NORMAL", "1:100", "1:300", 2_000)]


def test_a_later_epoch_at_head_office_is_gone_on_in() -> None:
    """A meter confirmed after the backup counts in a later epoch there: the next sale ends beyond head office's end."""
    script = born_again(Script().ready(1_000))
    script.at(IDLE)
    script.answer(1_700, 0)
    script(ends("1:1650"))
    assert booked(script) == [("RECOVERED", "1:1650", "1:1700", 500)]
    meter = script.point.durable.meter(1)
    assert meter is not None
    assert str(meter.total) == "1:1700"


def test_the_lift_is_answered_while_the_gap_is_open() -> None:
    """[W-32] Selling does not wait for head office."""
    script = born_again(Script().ready(1_000))
    script.at(IDLE)
    script.answer(1_700, 2_000)
    script.end(Acknowledge)
    script.at(IDLE)
    script.at(CALLING)
    assert script.of(Lifted)
    assert script.sent(Authorise).nozzles == (1,)


@settings(max_examples=150)
@given(
    known=st.integers(0, 400),
    sold=st.integers(0, 300),
    told_first=st.booleans(),
    held_fits=st.booleans(),
    restarts=st.booleans(),
)
def test_head_office_and_new_sales_cover_the_movement_exactly(
    *, known: int, sold: int, told_first: bool, held_fits: bool, restarts: bool
) -> None:
    """[W-32] Whatever head office has beyond the backup, its litres and ours are the meter's movement, once."""
    script = born_again(Script().ready(1_000))
    end, now = 1_000 + known, 1_000 + known + sold
    told = ends(f"0:{end}")
    found: list[tuple[str, str, str, int]] = []
    if told_first:
        script(told)
        found += booked(script)
    script.at(IDLE)
    script.answer(now, sold * 10 if held_fits else 777_770)
    found += booked(script)
    if restarts:
        script = script.restarted()
    if not told_first:
        script(told)
        found += booked(script)
    assert sum(volume for *_, volume in found) == sold * 10
    assert all(Totalizer.parse(start).raw >= end and Totalizer.parse(stop).raw <= now for _, start, stop, _ in found)
