"""What a pump sold over a meter that a supervisor has yet to confirm: kept through everything, booked once."""

from __future__ import annotations

from agent.domain.booking import Rules
from agent.domain.point_events import Audit, Baseline, Book, ConfirmMeter, Gap
from agent.domain.point_reset import WITH_FUELLING
from agent.domain.point_state import ControlMode, NozzleConfig
from drivers.commands import Acknowledge, Authorise, SetPrices
from drivers.readings import CompletedSale, HeldSale, PointState, TotalizerReading
from tests.support.point_script import CALLING, FUELLING, IDLE, PRICE, WALL, Script

SUSPENDED = PointState.SUSPENDED_FUELLING
BASE = {1: 427_867, 2: 5_000}
LOWER = 142_639
PRICES = {1: PRICE, 2: 1_300}


def _bundle(script: Script, totals: dict[int, int], held: tuple[int, int] | None) -> None:
    """The read-out under way: raw totals, and (nozzle, millilitres) as the display tells them."""
    read = script.point.volatile.read
    assert read is not None
    readings = tuple(TotalizerReading(1, n, totals[n], 10, 10**10) for n in script.point.volatile.read_nozzles)
    # the price shown is the one of the nozzle that is out, the amount is of the nozzle that delivered
    price = None if held is None else PRICES[held[0]]
    sale = None if held is None else HeldSale(1, held[0], held[1], held[1] * PRICE // 10_000, price, "t")
    script(CompletedSale(read.command_id, 1, readings, sale, readings))


def _station(mode: ControlMode = ControlMode.AUTO) -> Script:
    """Two nozzles at rest, an earlier sale of nozzle 1 in the book."""
    nozzles = (NozzleConfig(1, "92", 1, PRICE), NozzleConfig(2, "95", 2, PRICES[2]))
    script = Script(mode, nozzles=nozzles, rules=Rules(max_delta_ml=2_000_000))
    script.at(IDLE)
    _bundle(script, BASE, (1, 0))
    script.at(IDLE)
    if mode is ControlMode.AUTO:
        script.end(SetPrices)
    script.at(IDLE)
    return script


def _hung_up_and_died(volume: int = 12_340) -> Script:
    """Nozzle 1 has delivered and hangs; the agent died before it had read the totals."""
    script = _station()
    script.at(CALLING)
    script.end(Authorise)
    script.at(PointState.STARTED)
    script.at(FUELLING, 0)
    script.at(FUELLING, volume // 2)
    script.at(FUELLING, volume)
    return script.restarted()


def _confirmed(script: Script, totals: dict[int, int], held: tuple[int, int] | None) -> None:
    script(ConfirmMeter(1, "sue"))
    _bundle(script, totals, held)


def _booked(script: Script) -> list[tuple[int, str, int, str, str]]:
    sales = [book.booking for book in script.of(Book)]
    return [(b.nozzle, b.kind, b.volume_ml, str(b.start), str(b.end)) for b in sales]


def test_a_held_sale_survives_the_lift_of_another_nozzle_before_the_meter_is_confirmed() -> None:
    """The device names the nozzle that is out by then; the sale it held at the break is booked with its own values."""
    script = _hung_up_and_died()
    lifted_ms = script.point.durable.open.lifted_ms  # type: ignore[union-attr]
    script.at(IDLE, 12_340)
    totals = {1: LOWER, 2: BASE[2]}
    _bundle(script, totals, (1, 12_340))
    ended_ms = WALL + script.ms
    assert not script.of(Book)
    script.at(SUSPENDED, 12_340, nozzle=2)
    script.at(IDLE, 12_340, nozzle=2)
    _confirmed(script, totals, (2, 12_340))
    assert _booked(script) == [(1, "NORMAL", 12_340, f"1:{LOWER - 1_234}", f"1:{LOWER}")]
    [book] = script.of(Book)
    assert (book.booking.amount_minor, book.lifted_ms, book.ended_ms) == (1_449, lifted_ms, ended_ms)
    assert isinstance(script.sent(Acknowledge), Acknowledge)


def test_a_held_sale_survives_though_the_other_nozzle_was_out_when_the_break_was_found() -> None:
    """Named for nozzle 2 from the first reading on, it belongs to the only meter that moved."""
    script = _hung_up_and_died()
    script.at(SUSPENDED, 12_340, nozzle=2)
    script.at(IDLE, 12_340, nozzle=2)
    totals = {1: LOWER, 2: BASE[2]}
    _bundle(script, totals, (2, 12_340))
    _confirmed(script, totals, (2, 12_340))
    assert [sale[:3] for sale in _booked(script)] == [(1, "NORMAL", 12_340)]
    booking = script.of(Book)[0].booking
    assert (booking.unit_price_milli, booking.amount_minor, booking.flags) == (PRICE, 1_449, ())


def test_a_display_that_is_booked_is_not_taken_for_another_nozzle_with_a_replaced_meter() -> None:
    """The pump keeps showing the sale of nozzle 2 and names nozzle 1 once that is lifted: one sale, not two."""
    script = _station()
    script.at(CALLING, nozzle=2)
    script.end(Authorise)
    script.at(FUELLING, 0, nozzle=2)
    script.restarted()
    script.at(IDLE, 4_960, nozzle=2)
    totals = {1: LOWER, 2: BASE[2] + 496}
    _bundle(script, totals, (2, 4_960))
    assert [sale[:3] for sale in _booked(script)] == [(2, "NORMAL", 4_960)]
    script.at(SUSPENDED, 4_960, nozzle=1)
    script.at(IDLE, 4_960, nozzle=1)
    _confirmed(script, totals, (1, 4_960))
    assert not script.of(Book)


def test_a_held_sale_survives_a_display_that_is_reset_and_further_crashes() -> None:
    """Once kept it is on disk: neither the pump's nor the agent's memory is needed, and it is not booked twice."""
    script = _hung_up_and_died()
    script.at(IDLE, 12_340)
    totals = {1: LOWER, 2: BASE[2]}
    _bundle(script, totals, (1, 12_340))
    for held in ((1, 12_340), (1, 0), None):
        script.restarted()
        script.at(IDLE, 0)
        _bundle(script, totals, held)
        assert not script.of(Book)
    _confirmed(script, totals, (1, 0))
    assert [sale[:3] for sale in _booked(script)] == [(1, "NORMAL", 12_340)]
    script.restarted()
    script.at(IDLE, 12_340)
    _bundle(script, totals, (1, 12_340))
    assert not script.of(Book)


def test_confirming_twice_books_once() -> None:
    """Before the read-out the second wish replaces the first; afterwards it is refused."""
    script = _hung_up_and_died()
    script.at(IDLE, 12_340)
    totals = {1: LOWER, 2: BASE[2]}
    _bundle(script, totals, (1, 12_340))
    script(ConfirmMeter(1, "ann"))
    _confirmed(script, totals, (1, 12_340))
    assert len(script.of(Book)) == 1
    script(ConfirmMeter(1, "sue"))
    assert [audit.action for audit in script.of(Audit)] == ["confirm_meter_refused"]
    script.at(IDLE, 12_340)
    assert not script.of(Book)


def test_a_held_sale_that_the_new_meter_cannot_have_counted_ends_the_old_count() -> None:
    """A new meter that stands below it: it runs over the old one, and the new base begins another epoch."""
    script = _hung_up_and_died()
    script.at(IDLE, 12_340)
    totals = {1: 3, 2: BASE[2]}
    _bundle(script, totals, (1, 12_340))
    _confirmed(script, totals, (1, 12_340))
    assert _booked(script) == [(1, "NORMAL", 12_340, "0:427867", "0:429101")]
    assert [str(base.totalizer) for base in script.of(Baseline)] == ["1:3"]
    assert [(str(gap.start), str(gap.end)) for gap in script.of(Gap)] == [("0:429101", "1:3")]


def test_live_values_serve_where_the_display_is_lost_too() -> None:
    """The last values saved during the flow are booked, marked as such, and the gap says that there may be more."""
    script = _hung_up_and_died()
    script.at(IDLE, 0)
    totals = {1: LOWER, 2: BASE[2]}
    _bundle(script, totals, (1, 0))
    _confirmed(script, totals, (1, 0))
    assert [sale[:3] for sale in _booked(script)] == [(1, "NORMAL", 12_340)]
    assert script.of(Book)[0].booking.flags == ("amount_estimated", "live_values")
    assert [gap.reason for gap in script.of(Gap)] == [f"{WITH_FUELLING}, confirmed by sue"]


def test_a_display_that_comes_back_replaces_the_live_values() -> None:
    """The pump did not tell at first; what it tells later is more than was saved, and is booked instead."""
    script = _hung_up_and_died()
    script.at(IDLE, 0)
    totals = {1: LOWER, 2: BASE[2]}
    _bundle(script, totals, None)
    _confirmed(script, totals, (1, 13_000))
    [book] = script.of(Book)
    assert (book.booking.volume_ml, book.booking.flags, book.lifted_ms is not None) == (13_000, (), True)
    assert [gap.reason for gap in script.of(Gap)] == ["confirmed by sue"]


def test_the_values_of_totals_that_could_not_be_read_are_kept_too() -> None:
    """Unreadable first, then replaced, and the display gone meanwhile: what was held as pending is booked."""
    script = _hung_up_and_died()
    script.at(IDLE, 12_340)
    read = script.point.volatile.read
    assert read is not None
    held = HeldSale(1, 1, 12_400, 1_457, PRICE, "t")
    script(CompletedSale(read.command_id, 1, (), held, ()))
    script.restarted()
    script.at(IDLE, 0)
    totals = {1: LOWER, 2: BASE[2]}
    _bundle(script, totals, (1, 0))
    _confirmed(script, totals, (1, 0))
    assert [sale[:3] for sale in _booked(script)] == [(1, "NORMAL", 12_400)]


def test_an_old_display_over_a_replaced_meter_is_no_sale() -> None:
    """A meter replaced at rest: the pump still shows the sale before, which is in the book already."""
    script = _station()
    script.at(CALLING)
    script.end(Authorise)
    script.at(FUELLING, 0)
    script.at(FUELLING, 5_000)
    script.at(IDLE, 5_000)
    _bundle(script, {1: BASE[1] + 500}, (1, 5_000))
    assert len(script.of(Book)) == 1
    script.restarted()
    script.at(IDLE, 5_000)
    totals = {1: LOWER, 2: BASE[2]}
    _bundle(script, totals, (1, 5_000))
    _confirmed(script, totals, (1, 5_000))
    assert not script.of(Book)
    assert [str(base.totalizer) for base in script.of(Baseline)] == [f"1:{LOWER}"]


def test_a_display_that_repeats_the_last_one_without_a_flow_seen_is_named_in_the_gap() -> None:
    """Old display or an equal sale, nobody can tell: nothing is booked twice, and the gap says that one may be missing."""
    script = _station()
    script.at(CALLING)
    script.end(Authorise)
    script.at(FUELLING, 0)
    script.at(FUELLING, 5_000)
    script.at(IDLE, 5_000)
    totals = {1: BASE[1] + 500, 2: BASE[2]}
    _bundle(script, totals, (1, 5_000))
    script.end(Acknowledge)
    script.at(IDLE, 5_000)
    script.at(CALLING)
    script.restarted()
    script.at(IDLE, 5_000)
    totals = {1: LOWER, 2: BASE[2]}
    _bundle(script, totals, (1, 5_000))
    _confirmed(script, totals, (1, 5_000))
    assert not script.of(Book)
    assert [gap.reason for gap in script.of(Gap)] == [f"{WITH_FUELLING}, confirmed by sue"]


def test_a_pump_that_sells_on_over_an_unconfirmed_meter_loses_nothing() -> None:
    """Monitor mode: every fuelling that a display tells is kept, equal ones too, and all are booked in order."""
    script = _station(ControlMode.MONITOR)
    raw = LOWER
    for volume in (2_000, 2_000, 3_000):
        script.at(CALLING)
        script.at(FUELLING, 0)
        script.at(FUELLING, volume)
        script.at(IDLE, volume)
        raw += volume // 10
        _bundle(script, {1: raw, 2: BASE[2]}, (1, volume))
        assert not script.of(Book)
        script.restarted()
        script.at(IDLE, volume)
        _bundle(script, {1: raw, 2: BASE[2]}, (1, volume))
    _confirmed(script, {1: raw, 2: BASE[2]}, (1, 3_000))
    assert _booked(script) == [
        (1, "NORMAL", 2_000, f"1:{LOWER}", f"1:{LOWER + 200}"),
        (1, "NORMAL", 2_000, f"1:{LOWER + 200}", f"1:{LOWER + 400}"),
        (1, "NORMAL", 3_000, f"1:{LOWER + 400}", f"1:{LOWER + 700}"),
    ]


def test_a_count_that_moves_without_display_or_flow_is_named_and_not_booked() -> None:
    """A technician turns the new meter forward: the gap says between which counts, no sale is made of it."""
    script = _hung_up_and_died()
    script.at(IDLE, 12_340)
    _bundle(script, {1: LOWER, 2: BASE[2]}, (1, 12_340))
    _confirmed(script, {1: LOWER + 40_000, 2: BASE[2]}, (1, 12_340))
    assert [sale[2] for sale in _booked(script)] == [12_340]
    gaps = [(str(gap.start), str(gap.end)) for gap in script.of(Gap)]
    assert gaps == [(f"0:{BASE[1]}", f"1:{LOWER - 1_234}"), (f"1:{LOWER}", f"1:{LOWER + 40_000}")]


def test_a_total_that_was_only_misread_drops_what_was_kept() -> None:
    """The old count is back: the held sale is compared as always and booked once, by it."""
    script = _hung_up_and_died()
    script.at(IDLE, 12_340)
    _bundle(script, {1: LOWER, 2: BASE[2]}, (1, 12_340))
    script.restarted()
    script.at(IDLE, 12_340)
    _bundle(script, {1: BASE[1] + 1_234, 2: BASE[2]}, (1, 12_340))
    assert _booked(script) == [(1, "NORMAL", 12_340, "0:427867", "0:429101")]
    assert script.point.durable.replaced == ()


def test_a_meter_replaced_twice_before_it_is_confirmed_keeps_both_sales() -> None:
    """The second break begins another epoch, so that no interval meets another."""
    script = _station(ControlMode.MONITOR)
    for raw, volume in ((LOWER, 2_000), (700, 3_000)):
        script.at(CALLING)
        script.at(FUELLING, 0)
        script.at(FUELLING, volume)
        script.at(IDLE, volume)
        _bundle(script, {1: raw, 2: BASE[2]}, (1, volume))
    _confirmed(script, {1: 700, 2: BASE[2]}, (1, 3_000))
    assert _booked(script) == [
        (1, "NORMAL", 2_000, f"1:{LOWER - 200}", f"1:{LOWER}"),
        (1, "NORMAL", 3_000, "2:400", "2:700"),
    ]
