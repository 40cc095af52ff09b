"""What a fuelling point sends and when: control modes, prices, limits, results of commands, queues."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from agent.domain.forecourt import durable, restore
from agent.domain.point_events import (
    Audit,
    AuthoriseByPerson,
    Book,
    ClearAlert,
    CloseFuelling,
    FlowStarted,
    Lifted,
    NeedsReconciliation,
    OpenFuelling,
    PricesWanted,
    RaiseAlert,
    SaveLive,
    Send,
    StopByPerson,
    Ticked,
    UnpaidCount,
)
from agent.domain.point_state import ControlMode, NozzleConfig
from drivers.commands import Acknowledge, Authorise, Command, Preset, ReadSale, SetPrices, Stop
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    CompletedSale,
    PointState,
    TotalizerReading,
)
from tests.support.point_script import CALLING, FUELLING, IDLE, PRICE, Script, names


def test_monitor_sends_nothing_but_reads_and_books_what_the_meter_moved() -> None:
    """A stand-alone head sells without us: each movement becomes sales, the newest as held."""
    script = Script(ControlMode.MONITOR)
    sent: list[Command] = []
    plan = [
        (IDLE, 0, 1_000),
        (CALLING, 0, 1_000),
        (FUELLING, 10, 1_000),
        (FUELLING, 9_000, 1_000),
        (IDLE, 10_000, 2_000),
    ]
    booked = []
    for state, volume, raw in plan:
        script.at(state, volume, price=999, needs_prices=False)
        sent += [e.command for e in script.of(Send)]
        if script.point.volatile.read is not None:
            script.answer(raw, volume)
            booked += script.of(Book)
            sent += [e.command for e in script.of(Send)]
    script(StopByPerson("ann"))
    assert [b.booking.volume_ml for b in booked] == [10_000]
    assert {type(c) for c in sent} == {ReadSale}
    assert [a.action for a in script.of(Audit)] == ["stop_refused"]
    assert "PRICE_MISMATCH" in script.point.durable.alerts


def test_prices_are_synchronised_before_the_release_and_never_with_a_nozzle_out() -> None:
    """A differing price is set at rest, once; the point opens after it."""
    script = Script()
    script.at(IDLE, price=999)
    assert names(script.answer(1_000)) == ["Baseline", "Acknowledge", "SetPrices"]
    assert script.sent(SetPrices).prices == ((1, PRICE),)
    script.at(CALLING, price=999)
    assert not script.of(Send)
    script.end(SetPrices)
    script.at(CALLING)
    assert not script.of(Send)
    script.at(IDLE)
    script.at(CALLING)
    assert script.sent(Authorise)
    script(PricesWanted(((1, 2_000),)))
    assert not script.of(Send)


def test_prices_that_cannot_be_set_are_told_and_do_not_close_the_point() -> None:
    """After a few attempts the difference is an alert and the pump's price wins."""
    script = Script()
    script.at(IDLE, price=999)
    script.answer(1_000)
    attempts = 0
    for _ in range(120):
        if script.point.volatile.inflight and script.point.volatile.inflight[-1].kind == "SetPrices":
            attempts += 1
            script.end(SetPrices, CommandOutcome.REFUSED)
        script.at(IDLE, price=999)
    assert attempts == 3
    assert "PRICE_MISMATCH" in script.point.durable.alerts
    script.at(CALLING, price=999)
    assert script.sent(Authorise)


def test_unpaid_sales_stop_the_next_authorisation_until_one_is_paid() -> None:
    """At the limit the lift waits; it is answered when the count falls. An unknown count is not zero."""
    script = Script(unpaid_max=2).ready()
    script.at(CALLING)
    assert not script.of(Send)
    script(UnpaidCount(2))
    assert not script.of(Send)
    script(UnpaidCount(1))
    assert script.sent(Authorise)


def test_an_unanswered_authorisation_is_decided_anew_from_what_is_read() -> None:
    """UNKNOWN leads to a read-out; only a nozzle that still calls then is authorised again, three times at most."""
    script = Script().ready()
    script.at(CALLING)
    for attempt in (1, 2, 3):
        assert script.sent(Authorise)
        script.end(Authorise, CommandOutcome.UNKNOWN)
        assert script.of(NeedsReconciliation)
        while script.point.volatile.read is None:
            script.at(CALLING)
            assert not [e for e in script.of(Send) if isinstance(e.command, Authorise)]
        script.answer(1_000)
        assert CloseFuelling("zero") in script.effects
        if attempt == 3:
            assert "AUTHORISE_FAILED" in script.point.durable.alerts
    for _ in range(60):
        script.at(CALLING)
        assert not [e for e in script.of(Send) if isinstance(e.command, Authorise)]


def test_a_refused_authorisation_is_told_and_not_repeated() -> None:
    """A valid no ends the attempt until the nozzle is hung and lifted again."""
    script = Script().ready()
    script.at(CALLING)
    script.end(Authorise, CommandOutcome.REFUSED)
    assert "AUTHORISE_FAILED" in script.point.durable.alerts
    script.answer(1_000)
    for _ in range(30):
        script.at(CALLING)
        assert not [e for e in script.of(Send) if isinstance(e.command, Authorise)]
    script.at(IDLE)
    script.at(CALLING)
    assert script.sent(Authorise)


def test_an_authorised_nozzle_that_is_never_lifted_is_stopped() -> None:
    """Its limit passes, STOP is sent, and the fuelling closes as unused."""
    script = Script(ControlMode.RELEASED).ready()
    script(AuthoriseByPerson("ann", 1))
    script.end(Authorise)
    script.at(PointState.AUTHORISED)
    script(Ticked(), after_ms=119_000)
    assert script.sent(Stop)
    script.end(Stop)
    script.at(IDLE)
    script.answer(1_000)
    assert script.of(CloseFuelling) == [CloseFuelling("zero")]


def test_a_preset_stands_before_the_pump_may_deliver() -> None:
    """Authorise follows the confirmed preset; without it nothing is authorised."""
    script = Script(ControlMode.PRESET).ready()
    script(AuthoriseByPerson("ann"))
    assert [a.action for a in script.of(Audit)] == ["authorise_refused"]
    script(AuthoriseByPerson("ann", preset_amount_minor=5_000))
    assert names(script.effects) == ["Audit", "OpenFuelling", "Preset"]
    script.end(Preset)
    assert script.sent(Authorise)
    failed = Script(ControlMode.PRESET).ready()
    failed(AuthoriseByPerson("ann", preset_amount_minor=5_000))
    failed.end(Preset, CommandOutcome.UNKNOWN)
    assert {type(e.command) for e in failed.of(Send)} == {ReadSale}


def test_released_waits_for_a_person() -> None:
    """A lift alone is not answered; the person's name travels to the sale."""
    script = Script(ControlMode.RELEASED).ready()
    assert names(script.at(CALLING)) == ["Lifted"]
    script(AuthoriseByPerson("ann"))
    script.end(Authorise)
    script.at(FUELLING, 0)
    script.at(FUELLING, 10_000)
    script.at(IDLE, 10_000)
    script.answer(2_000, 10_000)
    assert [b.attendant for b in script.of(Book)] == ["ann"]


def test_a_lost_read_out_is_asked_again() -> None:
    """UNKNOWN or silence leads to another read-out; an answer to the old one is ignored."""
    script = Script()
    script.at(IDLE)
    first = script.sent(ReadSale)
    script(CommandResult(first.command_id, 1, CommandOutcome.UNKNOWN))
    script(Ticked())
    second = script.sent(ReadSale)
    assert second.command_id != first.command_id
    total = (TotalizerReading(1, 1, 5, 10, 10**10),)
    assert script(CompletedSale(first.command_id, 1, total, None, total)) == ()
    script(Ticked(), after_ms=60_000)
    script(Ticked())
    assert script.sent(ReadSale).command_id != second.command_id


def test_live_values_are_saved_every_five_seconds_or_litres_only() -> None:
    """Between saves a crash loses live values, on purpose."""
    script = Script().authorised()
    script.at(FUELLING, 0)
    saves = []
    for volume in range(400, 8_400, 400):
        script.at(FUELLING, volume)
        saves += [(script.ms, e.volume_ml) for e in script.of(SaveLive)]
    assert len(saves) == 3
    assert all(later[0] - earlier[0] >= 5_000 for earlier, later in pairwise(saves))


def test_a_queue_is_emptied_record_by_record() -> None:
    """Each record is booked before its acknowledgement; a repeated token is acknowledged again and not booked."""
    script = Script(queue=True)
    script.at(IDLE)
    script.answer(1_000, None)
    script.restarted()
    script.at(IDLE)
    script.answer(3_500, 10_000, token="7")
    assert names(script.effects) == ["Book", "Acknowledge"]
    script.end(Acknowledge, CommandOutcome.UNKNOWN)
    while script.point.volatile.read is None:
        script(Ticked())
    assert names(script.answer(3_500, 10_000, token="7")) == ["Acknowledge"]
    script.end(Acknowledge)
    script.answer(3_500, 15_000, token="8")
    assert names(script.effects) == ["Book", "Acknowledge"]
    script.end(Acknowledge)
    script.answer(3_500, None)
    assert script.point.volatile.accounted
    meter = script.point.durable.meter(1)
    assert meter is not None
    assert str(meter.total) == "0:3500"


def test_device_alarms_are_edges() -> None:
    """The device's words are raised once, changed once, cleared once."""
    script = Script().ready()
    assert RaiseAlert("DEVICE_ALARM", "pulser") in script.at(IDLE, device_alarms=("pulser",))
    assert script.at(IDLE, device_alarms=("pulser",)) == ()
    assert script.at(IDLE, device_alarms=("RAM",)) == (ClearAlert("DEVICE_ALARM"), RaiseAlert("DEVICE_ALARM", "RAM"))
    assert script.at(IDLE) == (ClearAlert("DEVICE_ALARM"),)


def test_command_ids_name_the_start_and_never_repeat() -> None:
    """boot:point:number, counted from one in every start."""
    script = Script()
    script.at(IDLE)
    assert script.sent(ReadSale).command_id == "b:1:1"
    script.restarted()
    script.at(IDLE)
    assert script.sent(ReadSale).command_id == "c:1:1"


def test_the_other_nozzle_taken_before_flow_is_followed() -> None:
    """The open fuelling belongs to the nozzle that really delivers, from that nozzle's total."""
    nozzles = (NozzleConfig(1, "92", 1, PRICE), NozzleConfig(2, "95", 2, PRICE))
    script = Script(ControlMode.MONITOR, nozzles=nozzles)
    script.at(IDLE)
    read = script.sent(ReadSale)
    totals = tuple(TotalizerReading(1, n, 100 * n, 10, 10**10) for n in (1, 2))
    script(CompletedSale(read.command_id, 1, totals, None, totals))
    script.at(CALLING)
    assert script.of(OpenFuelling)[0].fuelling.nozzle == 1
    script.at(FUELLING, 0, nozzle=2)
    [opened] = script.of(OpenFuelling)
    assert (opened.fuelling.nozzle, str(opened.fuelling.start)) == (2, "0:200")
    script.at(FUELLING, 100, nozzle=2)
    assert script.of(FlowStarted) == [FlowStarted(2)]
    assert script.of(Lifted) == []


@pytest.mark.parametrize("damage", [{"version": 2}, {"meters": [{}]}], ids=["version", "meters"])
def test_a_damaged_durable_part_is_refused(damage: dict[str, Any]) -> None:
    """Nothing is guessed from a record of another shape."""
    script = Script().ready()
    with pytest.raises((ValueError, KeyError, TypeError)):
        restore(script.point.config, {**durable(script.point), **damage}, "c")


def test_a_stop_by_a_person_goes_out_at_any_time() -> None:
    """STOP may be repeated freely, also while nothing is known."""
    script = Script()
    for _ in range(2):
        script(StopByPerson("ann"))
        assert script.sent(Stop)
    assert replace(script.point.config, boot="x").boot == "x"
