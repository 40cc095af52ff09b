"""Fuelling points behind register maps: every kind of sale memory, commands that are proved by registers, bad answers."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.commands import (
    Acknowledge,
    Authorise,
    Preset,
    ReadHeldSale,
    ReadSale,
    ReadTotalizer,
    Resume,
    SetPrices,
    Stop,
    Suspend,
)
from drivers.config import LineConfig, PointConfig
from drivers.errors import WiringError
from drivers.modbus.codec import Function, WriteRequest, encode
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    CompletedSale,
    FuellingPointReading,
    HeldSale,
    PointState,
    TotalizerReading,
)
from drivers.simulator.pump_head import State
from tests.support.modbus_lines import PULSES_PER_LITRE, FleetLogs, HeldValues, PulseCounters
from tests.support.rigs.base import VirtualRig
from tests.support.rigs.modbus import SUBJECT, ModbusSubject
from tests.support.wire import lost

APPLIED, REFUSED, UNKNOWN = CommandOutcome.APPLIED, CommandOutcome.REFUSED, CommandOutcome.UNKNOWN


def online(subject: ModbusSubject = SUBJECT, *, control: bool = True, points: int = 1) -> VirtualRig:
    """A line of ``subject`` that is online."""
    rig = VirtualRig(subject, control=control, points=points)
    rig.online()
    return rig


def head(rig: VirtualRig) -> Any:
    """The pump of point 1."""
    return rig.forecourt.world.heads[1]


def level(rig: VirtualRig) -> FuellingPointReading:
    """The newest level."""
    return rig.of(FuellingPointReading)[-1]


def until_state(rig: VirtualRig, state: PointState) -> None:
    """Turn until the level says ``state``."""
    rig.until(lambda: level(rig).state is state)


def sell(rig: VirtualRig, units: int, name: str = "a") -> None:
    """One fuelling of ``units`` of 10 ml, authorised by a command."""
    head(rig).lift(1)
    until_state(rig, PointState.CALLING)
    assert rig.run(Authorise(name, 1)) is APPLIED
    head(rig).deliver(units)
    rig.until(lambda: level(rig).state in (PointState.FUELLING, PointState.SUSPENDED_FUELLING))
    head(rig).hang_up()
    until_state(rig, PointState.IDLE)


def bundle(rig: VirtualRig, name: str) -> CompletedSale:
    """A read-out of point 1."""
    assert rig.run(ReadSale(name, 1, (1,))) is APPLIED
    return rig.of(CompletedSale)[-1]


def written(rig: VirtualRig) -> list[str]:
    """What the device was told to do."""
    return SUBJECT.heard(rig)


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


# What is wrong with a device or a line.


def test_the_registers_of_another_map_are_refused_by_name() -> None:
    """Version 1 is expected: the point stays offline and a person is told what to change."""
    rig = VirtualRig(SUBJECT, points=1)
    unit: Any = rig.forecourt.bus("island-1")
    unit.units[1].version = 7
    rig.until(lambda: rig.status("point:1") is False, 60)
    status = rig.statuses("point:1")[-1]
    assert "map_version is 7" in status.reason
    assert "map" in status.hint


@pytest.mark.parametrize(("fault", "words"), [("wrong-map", "exception 2"), ("device-failure", "exception 4")])
def test_a_device_that_refuses_every_read_is_offline_with_the_reason(fault: str, words: str) -> None:
    """Retrying does not mend it; the return is a gap like any other."""
    rig = online()
    rig.forecourt.inject(fault, point=1, times=1_000)
    rig.until(lambda: rig.status("point:1") is False)
    assert words in rig.statuses("point:1")[-1].reason
    rig.forecourt.clear()
    rig.until(lambda: rig.status("point:1") is True)


def test_a_busy_device_is_asked_again_after_a_pause() -> None:
    """Twice busy, then the answer: nobody is told of anything."""
    rig = online()
    rig.forecourt.inject("device-busy", point=1, times=2)
    rig.turns(3)
    assert rig.line.counters()["busy_replies"] == 2
    assert [status.online for status in rig.statuses("point:1")] == [True]


def test_an_unlisted_state_keeps_the_last_one_and_is_counted() -> None:
    """A number that the map does not know is no state."""
    rig = online()
    unit: Any = rig.forecourt.bus("island-1")
    unit.units[1].strange_state = 42
    rig.turns(3)
    assert level(rig).state is PointState.IDLE
    assert rig.line.counters()["unlisted_states"] >= 1


def test_the_total_is_read_from_words_that_arrive_in_the_order_of_the_map() -> None:
    """Somebody swaps the words in the device: the identity register no longer fits, so nothing is read wrong."""
    rig = online()
    before = bundle(rig, "before").after
    rig.forecourt.inject("words-swapped", point=1, for_s=0)
    rig.until(lambda: rig.status("point:1") is False)
    rig.forecourt.clear()
    rig.until(lambda: rig.status("point:1") is True)
    assert bundle(rig, "after").after == before


WRONG_LINES: dict[str, tuple[dict[str, object], tuple[tuple[int, tuple[int, ...]], ...], str]] = {
    "no map": ({}, ((1, (1,)),), "map"),
    "unknown map": ({"map": "nothing-like-it"}, ((1, (1,)),), "no register map"),
    "missing value": ({"map": "seneca-z10-d-in"}, ((1, (1,)),), "k_factor"),
    "a gauge": ({"map": "pneumercator-tms", "values": {"units": "us"}}, ((1, (1,)),), "profile"),
    "two nozzles": ({"map": "reference-dispenser"}, ((1, (1, 2)),), "nozzle"),
    "unit twice": ({"map": "reference-dispenser"}, ((1, (1,)), (1, (1,))), "share unit"),
    "unit 0": ({"map": "reference-dispenser"}, ((0, (1,)),), "unit address"),
    "no point": ({"map": "reference-dispenser"}, (), "no fuelling point"),
    "transport": ({"map": "reference-dispenser", "transport": "udp"}, ((1, (1,)),), "transport"),
}


@pytest.mark.parametrize("name", WRONG_LINES)
def test_a_line_that_cannot_work_is_refused_with_what_to_write(name: str) -> None:
    """Before anything is opened."""
    options, points, words = WRONG_LINES[name]
    made = tuple(PointConfig(number, unit, nozzles) for number, (unit, nozzles) in enumerate(points, 1))
    with pytest.raises(WiringError) as caught:
        registry.make_line(LineConfig("line", "virtual", "modbus", options=options, points=made))
    assert words in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint


def test_capabilities_are_those_of_the_map(tmp_path: Path) -> None:
    """No point promises what its registers cannot do."""
    found = {}
    for name, subject in (
        ("queue", SUBJECT),
        ("last", HeldValues(tmp_path)),
        ("pulse", PulseCounters()),
        ("log", FleetLogs()),
    ):
        can = subject.capabilities
        found[name] = (can.sale_memory, can.memory_ends, can.release, can.totals, can.presets, can.stops, can.suspends)
    both = ("volume", "amount")
    assert found == {
        "queue": ("queue", "ack", "ack", "volume+amount", both, True, True),
        "last": ("last", "next_flow", "none", "volume+amount", both, True, True),
        "pulse": ("none", "next_flow", "none", "volume", (), False, False),
        "log": ("queue", "ack", "ack", "none", (), False, False),
    }


def test_a_line_is_checked_without_loading_the_library() -> None:
    """Settings are read by every command: the Modbus library comes only with a line that is made."""
    import subprocess
    import sys

    code = (
        "import sys; from drivers import registry; "
        "registry.spec('modbus').check_options({'map': 'reference-dispenser'}); "
        "assert not any(name.startswith('pymodbus') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_option_is_checked_and_all_at_once() -> None:
    """Times as text or milliseconds; what is out of range is named with its range."""
    spec = registry.spec("modbus")
    good = {"map": "reference-dispenser", "reply_timeout": "700ms", "settle": "4s", "tries": 2, "start_ml": 5}
    assert spec.check_options(good) == []
    wrong = {"reply_timeout": "fast", "tries": 0, "settle": 1, "values": 3, "map": "reference-dispenser"}
    assert {key for key, _, _ in spec.check_options(wrong)} == {"reply_timeout", "tries", "settle", "values"}
