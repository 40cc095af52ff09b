"""The life of a fuelling, restarts, gaps and unreadable totals, step by step."""

from __future__ import annotations

from agent.domain.booking import Rules
from agent.domain.point_events import (
    AcceptPending,
    Audit,
    AuthoriseByPerson,
    Baseline,
    Book,
    ClearAlert,
    CloseFuelling,
    ConfirmMeter,
    HungZero,
    NeedsReconciliation,
    RaiseAlert,
    Send,
    Ticked,
)
from agent.domain.point_state import ControlMode
from drivers.commands import Acknowledge, Authorise, ReadSale
from drivers.readings import (
    DeviceStatus,
    PointState,
)
from tests.support.point_script import CALLING, FUELLING, IDLE, WALL, Script, names


def test_first_contact_is_a_baseline_and_no_sale() -> None:
    """The first total ever read is the base; the display of an unknown past is not booked."""
    script = Script()
    assert names(script.at(IDLE)) == ["ReadSale"]
    assert names(script.answer(426_633, 12_340)) == ["Baseline", "Acknowledge", "PriceInForce"]
    baseline = script.point.durable.meter(1)
    assert baseline is not None
    assert str(baseline.total) == "0:426633"


def test_the_life_of_one_fuelling() -> None:
    """Lift, authorise, flow, hang, read out: one sale in the right order of effects."""
    script = Script().ready()
    assert names(script.at(CALLING)) == ["Lifted", "OpenFuelling", "Authorise"]
    assert script.sent(Authorise).nozzles == (1,)
    script.end(Authorise)
    lifted_ms = WALL + script.ms - 1_000
    script.at(PointState.STARTED)
    script.at(FUELLING, 0)
    assert names(script.at(FUELLING, 500)) == ["FlowStarted"]
    assert names(script.at(FUELLING, 12_340)) == ["SaveLive"]
    assert names(script.at(IDLE, 12_340)) == ["ReadSale"]
    ended_ms = WALL + script.ms
    assert names(script.answer(2_234, 12_340)) == ["Book", "CloseFuelling", "Acknowledge"]
    [book] = script.of(Book)
    assert (book.booking.kind, book.booking.volume_ml, book.booking.amount_minor) == ("NORMAL", 12_340, 1_449)
    assert (str(book.booking.start), str(book.booking.end)) == ("0:1000", "0:2234")
    assert (book.lifted_ms, book.ended_ms) == (lifted_ms, ended_ms)
    assert script.sent(Acknowledge).token == "t"


def test_two_equal_sales_in_a_row_are_two_sales() -> None:
    """The meter moved twice, so two customers fuelled, whatever the display repeats."""
    script = Script().authorised()
    for raw in (2_000, 3_000):
        script.at(FUELLING, 10)
        script.at(FUELLING, 10_000)
        script.at(IDLE, 10_000)
        script.answer(raw, 10_000)
        assert [b.booking.volume_ml for b in script.of(Book)] == [10_000]
        script.end(Acknowledge)
        script.at(IDLE, 10_000)
        script.at(CALLING)
        script.end(Authorise)
        script.at(PointState.STARTED)


def test_a_zero_lift_is_no_sale_and_still_acknowledged() -> None:
    """Hung without flow: the fuelling closes, the pump may forget, nothing is booked."""
    script = Script().authorised()
    script.at(IDLE)
    assert names(script.answer(1_000)) == ["CloseFuelling", "Audit", "HungZero", "Acknowledge"]
    assert script.of(CloseFuelling) == [CloseFuelling("zero")]
    assert script.of(HungZero) == [HungZero(1)]


def test_totals_that_move_while_read_are_read_again() -> None:
    """Flow that resumed between the two readings is not booked in the middle."""
    script = Script().authorised()
    script.at(FUELLING, 10)
    script.at(FUELLING, 5_000)
    script.at(IDLE, 5_000)
    assert names(script.answer(1_400, 5_000, moved_to=1_500)) == []
    assert names(script(Ticked())) == ["ReadSale"]
    script.answer(1_500, 5_000)
    assert [b.booking.volume_ml for b in script.of(Book)] == [5_000]


def test_a_read_out_that_flow_has_overtaken_is_not_used() -> None:
    """A display of the next flow beside the total of the last one would split a sale: the end reads both again."""
    script = Script(ControlMode.MONITOR)
    script.at(IDLE)
    script.answer(1_000)
    script.at(FUELLING, 0)
    script.at(FUELLING, 10_000)
    script.at(IDLE, 10_000)
    script.at(FUELLING, 300)
    assert script.answer(2_000, 300) == ()
    script.at(IDLE, 5_000)
    script.answer(2_500, 5_000)
    booked = [(b.booking.kind, b.booking.volume_ml) for b in script.of(Book)]
    assert booked == [("RECOVERED", 10_000), ("NORMAL", 5_000)]


def test_a_nozzle_already_out_at_the_start_must_be_hung_up_first() -> None:
    """A lift nobody saw is not answered; the next one is."""
    script = Script()
    script.at(CALLING)
    script.answer(1_000)
    script.end(Acknowledge)
    for _ in range(20):
        script.at(CALLING)
        assert not script.of(Send)
    script.at(IDLE)
    assert names(script.at(CALLING)) == ["Lifted", "OpenFuelling", "Authorise"]


def test_a_lift_during_the_first_read_out_is_not_answered() -> None:
    """Only edges after the release count."""
    script = Script()
    script.at(IDLE)
    script.at(CALLING)
    script.answer(1_000)
    script.at(CALLING)
    assert not script.of(Send)


def test_the_next_customer_may_lift_while_the_sale_is_read_out() -> None:
    """The lift is answered once the sale before it is committed and the pump may forget it."""
    script = Script().authorised()
    script.at(FUELLING, 10)
    script.at(FUELLING, 10_000)
    script.at(IDLE, 10_000)
    script.at(PointState.SUSPENDED_FUELLING, 10_000)
    assert names(script.answer(2_000, 10_000)) == ["Book", "CloseFuelling", "Acknowledge"]
    assert names(script.at(CALLING)) == ["OpenFuelling", "Authorise"]


def test_a_crash_between_commit_and_acknowledge_repeats_only_the_acknowledge() -> None:
    """The sale on disk is recognised by its totals; the command of the last start is shown, not replayed."""
    script = Script().authorised()
    script.at(FUELLING, 10)
    script.at(FUELLING, 10_000)
    script.at(IDLE, 10_000)
    script.answer(2_000, 10_000)
    script.restarted()
    assert names(script.at(IDLE, 10_000)) == ["NeedsReconciliation", "ReadSale"]
    assert script.of(NeedsReconciliation)[0].command.kind == "Acknowledge"
    assert names(script.answer(2_000, 10_000)) == ["Acknowledge"]


def test_still_fuelling_after_a_restart_is_adopted_and_booked_at_the_end() -> None:
    """The open fuelling goes on from its stored total, with the lift that was seen."""
    script = Script().authorised()
    script.at(FUELLING, 10)
    script.at(FUELLING, 6_000)
    lifted = script.point.durable.open
    assert lifted is not None
    script.restarted()
    assert names(script.at(FUELLING, 7_000)) == []
    script.at(IDLE, 12_340)
    script.answer(2_234, 12_340)
    [book] = script.of(Book)
    assert (book.booking.kind, book.lifted_ms) == ("NORMAL", lifted.lifted_ms)


def test_fuelling_found_without_a_record_is_reported_and_booked() -> None:
    """An authorisation that is not ours raises UNKNOWN_AUTHORISATION; its litres are booked as found."""
    script = Script().ready().restarted()
    effects = script.at(FUELLING, 3_000)
    assert RaiseAlert("UNKNOWN_AUTHORISATION", "found Fuelling without a record of ours") in effects
    script.at(IDLE, 5_000)
    script.answer(1_500, 5_000)
    assert [(b.booking.volume_ml, b.lifted_ms) for b in script.of(Book)] == [(5_000, None)]
    assert ClearAlert("UNKNOWN_AUTHORISATION") in script.effects


def test_an_open_fuelling_that_never_flowed_closes_as_unused_after_a_restart() -> None:
    """Idle and total unchanged: nothing was delivered."""
    script = Script(ControlMode.RELEASED).ready()
    script(AuthoriseByPerson("ann"))
    script.restarted()
    script.at(IDLE)
    script.answer(1_000)
    assert script.of(CloseFuelling) == [CloseFuelling("unused")]


def test_litres_of_a_gap_without_record_may_cover_several() -> None:
    """What a pump sold while we were away is recovered and marked."""
    script = Script().ready().restarted()
    script.at(IDLE)
    script.answer(3_000, 0)
    [book] = script.of(Book)
    assert book.booking.kind == "RECOVERED"
    assert book.booking.flags == ("amount_estimated", "covers_several")
    assert (book.lifted_ms, book.ended_ms) == (None, WALL + script.ms)


def test_one_authorised_fuelling_over_a_gap_is_one_sale() -> None:
    """Where the pump cannot sell without us, a display lost in the gap still leaves exactly one fuelling."""
    script = Script().authorised()
    script.at(FUELLING, 10)
    script(DeviceStatus("point:1", online=False, reason="silent"))
    script(DeviceStatus("point:1", online=True, gap=True))
    script.at(IDLE, 0)
    script.answer(3_000, 0)
    [book] = script.of(Book)
    assert (book.booking.kind, book.booking.flags) == ("RECOVERED", ("amount_estimated",))
    assert book.lifted_ms is not None


def test_a_gap_allows_only_reads_until_it_is_accounted_for() -> None:
    """A restart of the device, told by its counter, closes the point until totals are compared."""
    script = Script().ready()
    assert names(script.at(CALLING, restarts=0, price=None)) == ["Lifted", "OpenFuelling", "Authorise"]
    script = Script().ready()
    script.at(IDLE, restarts=1)
    assert isinstance(script.sent(ReadSale), ReadSale)
    script.at(CALLING, restarts=1)
    assert not script.of(Send)


def test_offline_raises_and_clears_one_alert() -> None:
    """Edges only: repeated levels say nothing."""
    script = Script().ready()
    assert script(DeviceStatus("point:1", online=False, reason="silent")) == (RaiseAlert("POINT_OFFLINE", "silent"),)
    assert script(DeviceStatus("point:1", online=False, reason="silent")) == ()
    assert ClearAlert("POINT_OFFLINE") in script(DeviceStatus("point:1", online=True, gap=True))


def pending() -> Script:
    script = Script(accept_after_ms=60_000).authorised()
    script.at(FUELLING, 10)
    script.at(FUELLING, 12_340)
    script.at(IDLE, 12_340)
    script.answer(None, 12_340)
    return script


def test_unreadable_totals_hold_the_sale_and_block_the_point() -> None:
    """No permission to forget, no authorising, asked again every few seconds; read at last, it is booked once."""
    script = pending()
    assert script.of(RaiseAlert)[0].name == "SALE_PENDING"
    assert not script.of(Send)
    reads = 0
    for _ in range(60):
        script.at(CALLING, 12_340)
        assert not [e for e in script.of(Send) if not isinstance(e.command, ReadSale)]
        if script.of(Send):
            reads += 1
            script.answer(None, 12_340)
    assert 5 <= reads <= 15
    while script.point.volatile.read is None:
        script(Ticked())
    expected = ["Book", "CloseFuelling", "ClearAlert", "Acknowledge", "OpenFuelling", "Authorise"]
    assert names(script.answer(2_234, 12_340)) == expected


def test_pending_survives_a_restart() -> None:
    """The provisional sale is on disk and a lost display does not lose it."""
    script = pending().restarted()
    script.at(IDLE, 0)
    script.answer(None, None)
    held = script.point.durable.pending
    assert held is not None
    assert (held.nozzle, held.volume_ml, held.token) == (1, 12_340, "t")


def test_a_supervisor_accepts_and_the_next_total_is_reduced() -> None:
    """Accepted once, by hand and audited; the litres are not booked again when totals come back."""
    script = pending()
    script(AcceptPending("sue"))
    assert [a.action for a in script.of(Audit)] == ["accept_pending_refused"]
    script(AcceptPending("sue"), after_ms=60_000)
    [book] = script.of(Book)
    assert (book.booking.volume_ml, book.booking.end, book.booking.flags) == (12_340, None, ("accepted_by_hand",))
    assert names(script.effects).index("Book") < names(script.effects).index("Acknowledge")
    script(AcceptPending("sue"), after_ms=600_000)
    assert not script.of(Book)
    script.at(CALLING, 12_340)
    assert not [e for e in script.of(Send) if not isinstance(e.command, ReadSale)]
    script.restarted()
    script.at(IDLE, 12_340)
    script.answer(2_834, 12_340)
    assert [(b.booking.kind, b.booking.volume_ml) for b in script.of(Book)] == [("RECOVERED", 6_000)]


def test_a_lower_counter_waits_for_a_supervisor() -> None:
    """METER_RESET books nothing, authorises nothing and keeps the display until the new base is confirmed."""
    script = Script(rules=Rules(max_delta_ml=2_000_000)).ready(427_867).restarted()
    script.at(IDLE)
    assert [type(e) for e in script.answer(120, None)] == [Audit, RaiseAlert]
    script.at(IDLE)
    script.at(CALLING)
    assert not script.of(Send)
    script(ConfirmMeter(1, "sue"))
    script.answer(130, None)
    assert [(str(b.totalizer), b.reason) for b in script.of(Baseline)] == [("1:130", "confirmed by sue")]
    assert ClearAlert("METER_RESET") in script.effects
    script(ConfirmMeter(1, "sue"))
    assert [a.action for a in script.of(Audit)] == ["confirm_meter_refused"]


def test_the_sale_that_ran_over_a_replaced_meter_is_booked_once_the_meter_is_confirmed() -> None:
    """The pump still holds it and the new meter has counted it: the base lies before it and no litre is lost."""
    script = Script(rules=Rules(max_delta_ml=2_000_000)).ready(427_867).restarted()
    script.at(IDLE, 2_000)
    script.answer(320, 2_000)
    assert not script.of(Book)
    script(ConfirmMeter(1, "sue"))
    script.answer(320, 2_000)
    assert [(str(b.totalizer), b.reason) for b in script.of(Baseline)] == [("1:120", "confirmed by sue")]
    booked = [book.booking for book in script.of(Book)]
    assert [(b.kind, b.volume_ml, str(b.start), str(b.end)) for b in booked] == [("NORMAL", 2_000, "1:120", "1:320")]


def test_a_display_above_the_meter_is_read_again_before_the_meter_is_believed() -> None:
    """A late totalizer gets its time; then the meter is booked and the difference is told."""
    script = Script().authorised()
    script.at(FUELLING, 10)
    script.at(FUELLING, 9_000)
    script.at(IDLE, 9_000)
    for _ in range(2):
        assert not script.answer(1_100, 9_000)
        script(Ticked())
    script.answer(1_100, 9_000)
    assert [(b.booking.kind, b.booking.volume_ml) for b in script.of(Book)] == [("RECOVERED", 1_000)]
    assert [a.name for a in script.of(RaiseAlert)] == ["MISMATCH"]
