"""Fuelling points behind register maps: every kind of sale memory, commands that are proved by registers, bad answers."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from drivers.commands import (
    Acknowledge,
    Authorise,
    Preset,
    ReadHeldSale,
    ReadTotalizer,
    Resume,
    SetPrices,
    Stop,
    Suspend,
)
from drivers.modbus.codec import Function, WriteRequest, encode
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    FuellingPointReading,
    HeldSale,
    PointState,
    TotalizerReading,
)
from drivers.simulator.pump_head import State
from tests.support.modbus_lines import (
    PULSES_PER_LITRE,
    FleetLogs,
    HeldValues,
    PulseCounters,
    bundle,
    head,
    level,
    online,
    sell,
    until_state,
    written,
)
from tests.support.rigs.base import VirtualRig
from tests.support.rigs.modbus import SUBJECT
from tests.support.wire import lost

APPLIED, REFUSED, UNKNOWN = CommandOutcome.APPLIED, CommandOutcome.REFUSED, CommandOutcome.UNKNOWN


# Queue.


def test_a_queue_is_read_out_oldest_first_and_only_what_is_acknowledged_is_forgotten() -> None:
    """Three sales while nobody acknowledged: three records in order, each shown until its own number is written."""
    rig = online()
    for units in (500, 1_200, 700):
        head(rig).lift(1)
        head(rig).command(5)
        head(rig).command(6)
        head(rig).deliver(units)
        head(rig).hang_up()
    found = []
    for number in range(3):
        held = bundle(rig, f"s{number}").held
        assert held is not None
        assert bundle(rig, f"again{number}").held == held
        assert rig.run(Acknowledge(f"k{number}", 1, held.token)) is APPLIED
        found.append((held.token, held.volume_ml))
    assert found == [("1", 5_000), ("2", 12_000), ("3", 7_000)]
    assert bundle(rig, "empty").held is None
    assert written(rig) == ["ACKNOWLEDGE"] * 3


def test_an_acknowledgement_whose_reply_is_lost_is_confirmed_by_the_record_that_is_gone() -> None:
    """The device took it: the next record shows, so it is done, and doing it again is done as well."""
    rig = online()
    sell(rig, 800)
    held = bundle(rig, "s").held
    assert held is not None
    ack = encode("rtu", 1, WriteRequest(Function.WRITE_REGISTERS, 105, (0, 1)))
    rig.port.fault(lost, lambda request: request == ack)
    assert rig.run(Acknowledge("k", 1, held.token)) is APPLIED
    assert rig.run(Acknowledge("again", 1, held.token)) is APPLIED
    assert rig.run(Acknowledge("stranger", 1, "77")) is REFUSED


def test_a_dispenser_that_holds_a_sale_is_not_authorised() -> None:
    """What nobody has accounted for comes first; a nozzle that is not configured is refused as well."""
    rig = online()
    sell(rig, 800)
    head(rig).lift(1)
    until_state(rig, PointState.CALLING)
    assert rig.run(Authorise("early", 1)) is REFUSED
    assert rig.run(Acknowledge("k", 1, "1")) is APPLIED
    assert rig.run(Authorise("nozzle", 1, (4,))) is REFUSED
    assert rig.run(Authorise("now", 1)) is APPLIED


def test_a_sale_that_appears_unseen_is_told_once_without_being_asked() -> None:
    """A fuelling between two looks leaves a numbered record: the agent hears of it."""
    rig = online()
    head(rig).lift(1)
    head(rig).command(5)
    head(rig).command(6)
    head(rig).deliver(300)
    head(rig).hang_up()
    rig.until(lambda: bool(rig.of(HeldSale)))
    rig.turns(10)
    (told,) = rig.of(HeldSale)
    assert (told.token, told.volume_ml) == ("1", 3_000)


# Held values.


def test_held_values_are_a_memory_of_one_sale(tmp_path: Path) -> None:
    """The display is the sale; it may be overwritten only when it was accounted for."""
    rig = online(HeldValues(tmp_path))
    capabilities: Any = rig.line.devices[0]
    assert capabilities.capabilities.sale_memory == "last"
    empty = bundle(rig, "empty").held
    assert empty is not None
    assert rig.run(Acknowledge("first", 1, empty.token)) is APPLIED
    sell(rig, 900)
    held = bundle(rig, "s").held
    assert held is not None
    assert (held.volume_ml, held.nozzle, held.unit_price_milli) == (9_000, 1, 7_850)
    head(rig).lift(1)
    until_state(rig, PointState.CALLING)
    assert rig.run(Authorise("early", 1)) is REFUSED
    assert rig.run(Acknowledge("stranger", 1, "x")) is REFUSED
    assert rig.run(Acknowledge("k", 1, held.token)) is APPLIED
    assert rig.run(Authorise("now", 1)) is APPLIED
    assert written(rig) == ["AUTHORISE", "AUTHORISE"]


# None: the total is all there is.


def pulses_ml(rig: VirtualRig) -> Fraction:
    """What the counter has counted, in millilitres, exactly."""
    unit: Any = rig.forecourt.bus("island-1")
    return Fraction(unit.units[1].pulses * 1000) / Fraction(PULSES_PER_LITRE)


def test_a_pulse_meter_tells_flow_and_its_end_and_the_total_is_the_sale() -> None:
    """Fuelling while the count moves, at rest once it has stood for the settling time; nothing is held or forgotten."""
    rig = online(PulseCounters())
    before = bundle(rig, "before")
    head(rig).lift(1)
    for _ in range(3):
        rig.turns(1)
        head(rig).deliver(400)
    until_state(rig, PointState.FUELLING)
    rig.turns(1)
    assert level(rig).volume_ml is not None
    stopped_s = rig.now_s()
    head(rig).hang_up()
    until_state(rig, PointState.IDLE)
    assert 4.0 <= rig.now_s() - stopped_s <= 7.0
    after = bundle(rig, "after")
    assert before.held is after.held is None
    (start,), (end,) = before.after, after.after
    assert start.unit_ml == 1
    assert end.raw == int(pulses_ml(rig))
    sold_ml = (end.raw - start.raw) % end.modulus
    truth = SUBJECT.sales(rig)[-1]["volume_ml"]
    assert abs(sold_ml - truth) <= 1
    assert rig.run(Acknowledge("nothing", 1, "")) is APPLIED
    assert rig.run(Authorise("no valve", 1)) is REFUSED
    assert written(rig) == []


def test_a_pulse_counter_that_turns_over_loses_no_millilitre() -> None:
    """It turns after 1171.33 L: over four turns the sum of the sales is the fuel, to one millilitre a turn."""
    rig = online(PulseCounters())
    first, sold_ml, truth_ml, turns = bundle(rig, "0").after[0], 0, 0, 0
    last = first
    for number in range(1, 10):
        head(rig).lift(1)
        rig.turns(1)
        head(rig).deliver(54_321)
        rig.turns(1)
        head(rig).hang_up()
        rig.turns(7)
        end = bundle(rig, str(number)).after[0]
        turns += end.raw < last.raw
        sold_ml += (end.raw - last.raw) % end.modulus
        truth_ml += 543_210
        last = end
    assert turns >= 4
    assert abs(sold_ml - truth_ml) <= turns + 1


def test_fuel_that_flowed_while_the_meter_was_out_of_sight_is_told_by_its_total() -> None:
    """After silence the total has moved: the agent is told, so that it reads out and books."""
    rig = online(PulseCounters())
    rig.turns(2)
    rig.silent = True
    rig.until(lambda: rig.status("point:1") is False)
    head(rig).lift(1)
    head(rig).command(5)
    head(rig).command(6)
    head(rig).deliver(2_000)
    head(rig).hang_up()
    rig.silent = False
    rig.until(lambda: rig.status("point:1") is True)
    rig.until(lambda: bool(rig.of(TotalizerReading)))
    assert level(rig).state is PointState.IDLE


def test_a_drop_of_vibration_is_no_fuelling() -> None:
    """Less than the starting volume moves the total and no state; with the next fuelling it is in the sale."""
    rig = online(PulseCounters())
    head(rig).totals[1] += 1
    rig.turns(20)
    assert {reading.state for reading in rig.of(FuellingPointReading)} == {PointState.IDLE}


# A log without totals.


def _told(rig: VirtualRig, token: str) -> bool:
    """Whether the newest record told is that one."""
    return bool(rig.of(HeldSale)) and rig.of(HeldSale)[-1].token == token


def test_a_log_tells_each_record_once_and_in_order() -> None:
    """Equal sales too: each has its number, and the next shows when the one before is acknowledged."""
    rig = online(FleetLogs())
    for _ in range(2):
        head(rig).lift(1)
        rig.turns(2)
        head(rig).deliver(1_500)
        head(rig).hang_up()
        rig.turns(2)
    for number in (1, 2):
        rig.until(partial(_told, rig, str(number)))
        told = rig.of(HeldSale)[-1]
        assert (told.volume_ml, told.amount_minor, told.unit_price_milli) == (15_000, None, None)
        out = bundle(rig, f"s{number}")
        assert (out.before, out.held, out.after) == ((), told, ())
        assert rig.run(Acknowledge(f"k{number}", 1, told.token)) is APPLIED
    rig.turns(5)
    assert [held.token for held in rig.of(HeldSale)] == ["1", "2"]
    assert rig.run(ReadTotalizer("t", 1, 1)) is UNKNOWN
    assert written(rig) == ["ACKNOWLEDGE", "ACKNOWLEDGE"]


# Commands.


def outcomes(rig: VirtualRig, name: str) -> list[CommandOutcome]:
    """All results of one command."""
    return [result.outcome for result in rig.of(CommandResult) if result.command_id == name]


def test_a_command_is_acked_by_its_echo_and_applied_by_the_register_that_proves_it() -> None:
    """Authorise, suspend, resume, stop: each told twice."""
    rig = online()
    head(rig).lift(1)
    until_state(rig, PointState.CALLING)
    for name, command in (
        ("a", Authorise("a", 1)),
        ("s", Suspend("s", 1)),
        ("r", Resume("r", 1)),
        ("x", Stop("x", 1)),
    ):
        assert rig.run(command) is APPLIED
        assert outcomes(rig, name) == [CommandOutcome.LINK_ACKED, APPLIED]
    assert written(rig) == ["AUTHORISE", "SUSPEND", "RESUME", "STOP"]
    assert rig.run(Suspend("idle", 1)) is REFUSED
    assert rig.run(Resume("idle2", 1)) is REFUSED
    assert rig.run(Stop("again", 1)) is APPLIED


def test_an_authorise_without_reply_is_not_sent_again_and_its_effect_is_looked_for() -> None:
    """The write may have arrived: the state tells; where it has not, nobody claims anything."""
    authorise = encode("rtu", 1, WriteRequest(Function.WRITE_REGISTER, 100, (1,)))
    rig = online()
    head(rig).lift(1)
    until_state(rig, PointState.CALLING)
    rig.port.fault(lost, lambda request: request == authorise)
    assert rig.run(Authorise("a", 1)) is APPLIED
    assert outcomes(rig, "a") == [APPLIED]
    assert [data for _, data in rig.port.sent].count(authorise) == 1
    rig.run(Stop("x", 1))
    head(rig).state = State.SWITCHED_OFF
    until_state(rig, PointState.CLOSED)
    assert rig.run(Authorise("closed", 1)) is REFUSED
    assert [data for _, data in rig.port.sent].count(authorise) == 1


def test_a_refused_write_is_refused_with_the_reason() -> None:
    """Exception 4 is a clear no; nothing is tried again."""
    rig = online()
    head(rig).lift(1)
    until_state(rig, PointState.CALLING)
    rig.line.submit(Authorise("a", 1))
    rig.forecourt.inject("device-failure", point=1, times=1)
    rig.until(lambda: bool(rig.finals("a")))
    assert rig.finals("a") == [REFUSED]
    assert "exception 4" in rig.of(CommandResult)[-1].detail


def test_a_limit_holds_for_one_fuelling_only() -> None:
    """Set just before authorising; one that still stands in the device is cleared before a fuelling without limit."""
    rig = online()
    assert rig.run(Preset("p", 1, volume_ml=5_000)) is APPLIED
    assert written(rig) == []
    sell(rig, 5_000, "first")
    assert SUBJECT.sales(rig)[-1]["volume_ml"] == 5_000
    assert rig.run(Acknowledge("k", 1, "1")) is APPLIED
    unit: Any = rig.forecourt.bus("island-1")
    unit.units[1].preset = 3_000  # somebody else's
    rig.turns(2)
    sell(rig, 700, "second")
    assert SUBJECT.sales(rig)[-1]["volume_ml"] == 7_000
    assert rig.run(Acknowledge("k2", 1, "2")) is APPLIED
    assert rig.run(Preset("money", 1, amount_minor=2_000)) is APPLIED
    sell(rig, 5_000, "third")
    assert SUBJECT.sales(rig)[-1]["amount_minor"] == 2_000
    for wrong in (Preset("w1", 1), Preset("w2", 1, 1, 1), Preset("w3", 1, volume_ml=0), Preset("w4", 1, 2**33)):
        assert rig.run(wrong) is REFUSED


def test_a_price_is_confirmed_by_reading_it_back() -> None:
    """Not while somebody fuels."""
    rig = online()
    assert rig.run(SetPrices("p", 1, ((1, 8_123),))) is APPLIED
    assert head(rig).prices[1] == 8_123
    assert rig.run(SetPrices("missing", 1, ((2, 8_123),))) is REFUSED
    head(rig).lift(1)
    until_state(rig, PointState.CALLING)
    assert rig.run(Authorise("a", 1)) is APPLIED
    assert rig.run(SetPrices("busy", 1, ((1, 9_000),))) is REFUSED
    assert level(rig).unit_price_milli == 8_123


def test_a_watched_point_is_never_written_to() -> None:
    """Mode monitor: not even a stop or an acknowledgement, and reading goes on."""
    rig = online(control=False)
    head(rig).lift(1)
    head(rig).command(5)
    head(rig).command(6)
    head(rig).deliver(500)
    head(rig).hang_up()
    rig.turns(3)
    for command in (
        Authorise("a", 1),
        Stop("x", 1),
        Suspend("s", 1),
        Resume("r", 1),
        Acknowledge("k", 1, "1"),
        Preset("p", 1, volume_ml=1_000),
        SetPrices("pr", 1, ((1, 8_000),)),
    ):
        assert rig.run(command) is REFUSED
    assert rig.run(ReadHeldSale("h", 1)) is APPLIED
    assert written(rig) == []
    assert all(data[1] == Function.READ_HOLDING for _, data in rig.port.sent)
