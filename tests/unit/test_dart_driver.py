"""The DART driver against a virtual pump: a whole sale, every command, and what it must never send."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from drivers.commands import (
    Acknowledge,
    Authorise,
    Command,
    ConfirmUnits,
    Preset,
    ReadHeldSale,
    ReadSale,
    ReadTotalizer,
    SetPrices,
    Stop,
)
from drivers.config import LineConfig, PointConfig
from drivers.dart.driver import MAX_QUEUED, SPEC, make_devices
from drivers.errors import DeviceRefused, WiringError
from drivers.readings import (
    CommandOutcome,
    CompletedSale,
    DeviceStatus,
    HeldSale,
    PointState,
    TotalizerReading,
)
from tests.support.wire import FakePump, Station, lost

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "dart.json").read_text())


def last(station: Station, kind: type) -> object:
    """The newest reading of ``kind``."""
    return [reading for reading in station.seen if isinstance(reading, kind)][-1]


def held(station: Station) -> HeldSale:
    """Read the held sale now."""
    station.names += 1
    assert station.run(ReadHeldSale(f"held-{station.names}", 1)).outcome is CommandOutcome.APPLIED
    found = last(station, HeldSale)
    assert isinstance(found, HeldSale)
    return found


def acknowledge(station: Station) -> None:
    """Account for what the pump holds."""
    token = held(station).token
    assert station.run(Acknowledge(f"ack-{station.names}", 1, token)).outcome is CommandOutcome.APPLIED


def calling(station: Station) -> Station:
    """A customer has lifted the nozzle and the last sale is accounted for."""
    acknowledge(station)
    station.pump.lift()
    station.until(lambda: station.levels()[-1].state is PointState.CALLING)
    return station


def test_first_block_after_the_start_is_a_harmless_question() -> None:
    """The first frame is RETURN STATUS with number 0, as in the golden session."""
    station = Station().online()
    assert station.port.sent[0][1].hex().upper() == "5130010100A29C03FA"
    assert set(station.pump.names()) == {"01:00"}


def test_golden_sale_through_the_driver() -> None:
    """The published session yields the expected sale: totals, display, price and the normative order of blocks."""
    expected = VECTORS["sessions"][0]["expected_sale"]
    station = Station(FakePump()).online()
    calling(station)
    start = station.run(ReadTotalizer("start", 1, 1))
    assert start.outcome is CommandOutcome.APPLIED
    assert station.run(Preset("preset", 1, amount_minor=2000)).outcome is CommandOutcome.APPLIED
    authorised = station.run(Authorise("auth", 1))
    assert [r.outcome for r in station.results("auth")] == [CommandOutcome.LINK_ACKED, CommandOutcome.APPLIED]
    assert authorised.outcome is CommandOutcome.APPLIED
    station.pump.deliver(15, 18)
    station.until(lambda: station.levels()[-1].volume_ml == 150)
    assert station.levels()[-1].state is PointState.FUELLING
    station.pump.deliver(1234, 1450)
    station.turns(0.5)
    station.pump.hang_up()
    station.until(lambda: station.levels()[-1].state is PointState.IDLE)
    assert station.run(ReadSale("sale", 1, (1,))).outcome is CommandOutcome.APPLIED
    sale = last(station, CompletedSale)
    assert isinstance(sale, CompletedSale)
    assert sale.held is not None
    started = last(station, TotalizerReading)
    assert isinstance(started, TotalizerReading)
    assert f"0:{started.raw}" == expected["totalizer_start"]
    assert [f"0:{r.raw}" for r in sale.after] == [expected["totalizer_end"]]
    assert sale.before == sale.after
    assert (sale.held.nozzle, sale.held.volume_ml, sale.held.amount_minor, sale.held.unit_price_milli) == (
        expected["nozzle"],
        expected["volume_ml"],
        expected["amount_minor"],
        expected["unit_price_milli"],
    )
    names = station.pump.names()
    order = [names.index(name) for name in ("02:01", "01:05", "04:00002000", "01:06")]
    assert order == sorted(order)
    assert names[-3:] == ["65:01", "01:04", "65:01"]


def test_totals_are_raw_with_unit_and_modulus() -> None:
    """A total travels raw, with the unit of the volume decimals and the ten digits of the counter."""
    station = Station().online()
    station.run(ReadTotalizer("t", 1, 1))
    assert last(station, TotalizerReading) == TotalizerReading(1, 1, 426633, 10, 10**10)


def test_amount_totals_are_asked_where_configured() -> None:
    """With the option the counter 11 is asked as well and arrives in minor units."""
    pump = FakePump(totals={1: 426633, 0x11: 3467190})
    station = Station(pump, {"amount_totals": True}).online()
    station.run(ReadTotalizer("t", 1, 1))
    assert last(station, TotalizerReading) == TotalizerReading(1, 1, 426633, 10, 10**10, 3467190, 10**10)


def test_unreadable_total_is_missing_from_both_sides() -> None:
    """A nozzle whose total is never told is missing from before and after; the other and the held sale are there."""
    pump = FakePump(totals={1: 5, 2: 6})
    del pump.totals[2]
    station = Station(pump, nozzles=(1, 2)).online()
    assert station.run(ReadSale("s", 1, (1, 2))).outcome is CommandOutcome.APPLIED
    sale = last(station, CompletedSale)
    assert isinstance(sale, CompletedSale)
    assert [r.nozzle for r in sale.before] == [r.nozzle for r in sale.after] == [1]
    assert pump.names().count("65:02") == 5
    assert station.run(ReadTotalizer("t", 1, 2)).outcome is CommandOutcome.UNKNOWN


@pytest.mark.parametrize(
    ("state", "out", "expected"),
    [
        (0, False, PointState.INOPERATIVE),
        (0, True, PointState.INOPERATIVE),
        (1, False, PointState.IDLE),
        (1, True, PointState.CALLING),
        (2, False, PointState.AUTHORISED),
        (2, True, PointState.STARTED),
        (4, True, PointState.FUELLING),
        (5, False, PointState.IDLE),
        (5, True, PointState.SUSPENDED_FUELLING),
        (6, False, PointState.SUSPENDED_FUELLING),
        (6, True, PointState.SUSPENDED_FUELLING),
        (7, True, PointState.CLOSED),
        (8, True, PointState.SUSPENDED_STARTED),
    ],
)
def test_states_in_words_of_the_standard(state: int, out: bool, expected: PointState) -> None:
    """Every pump state maps to its IFSF word, with the nozzle in and out."""
    station = Station(FakePump(state=state, out=out)).online()
    assert station.levels()[-1].state is expected
    assert station.levels()[-1].needs_prices is (state == 0)


def test_suspended_with_volume_is_suspended_fuelling() -> None:
    """State 8 after flow is SuspendedFuelling."""
    pump = FakePump(state=8, out=True, volume=100, amount=100)
    station = Station(pump).online()
    pump.tell(pump.dc2())
    station.until(lambda: station.levels()[-1].state is PointState.SUSPENDED_FUELLING)
    assert station.levels()[-1].volume_ml == 1000


def test_lifted_nozzle_is_calling_only_after_the_acknowledge() -> None:
    """State 5 with the nozzle out stays SuspendedFuelling with final values until the last sale is accounted for."""
    pump = FakePump(state=5, out=True, volume=1234, amount=1450)
    station = Station(pump).online()
    token = held(station).token
    assert station.levels()[-1].state is PointState.SUSPENDED_FUELLING
    assert station.run(Acknowledge("a", 1, token)).outcome is CommandOutcome.APPLIED
    station.until(lambda: station.levels()[-1].state is PointState.CALLING)
    assert "01:05" not in pump.names(), "an acknowledge alone puts no RESET on the wire"


def test_stale_token_is_refused() -> None:
    """An acknowledge for an earlier display is refused, and so is an authorise after it."""
    pump = FakePump(volume=1234, amount=1450)
    station = Station(pump).online()
    token = held(station).token
    pump.volume, pump.amount = 2000, 2350
    pump.tell(pump.dc2())
    station.turns(0.5)
    assert station.run(Acknowledge("a", 1, token)).outcome is CommandOutcome.REFUSED
    assert station.run(Acknowledge("b", 1, "")).outcome is CommandOutcome.REFUSED
    pump.lift()
    assert station.run(Authorise("c", 1)).outcome is CommandOutcome.REFUSED
    assert "01:05" not in pump.names()


def test_same_sale_twice_in_a_row_has_two_tokens() -> None:
    """Two fuellings of equal volume and amount hold different tokens."""
    station = calling(Station().online())
    tokens = []
    for number in range(2):
        assert station.run(Authorise(f"auth-{number}", 1)).outcome is CommandOutcome.APPLIED
        station.pump.deliver(1000, 2000)
        station.turns(0.3)
        station.pump.hang_up()
        station.until(lambda: station.levels()[-1].state is PointState.IDLE)
        tokens.append(held(station).token)
        calling(station)
    assert len(set(tokens)) == 2


def test_acknowledge_does_not_outlive_the_next_fuelling() -> None:
    """After a new fuelling the old permission is gone: no RESET without a new acknowledge."""
    station = calling(Station().online())
    station.run(Authorise("one", 1))
    station.pump.deliver(500, 600)
    station.turns(0.3)
    station.pump.hang_up()
    station.until(lambda: station.levels()[-1].state is PointState.IDLE)
    station.pump.lift()
    station.turns(0.3)
    resets = station.pump.names().count("01:05")
    assert station.run(Authorise("two", 1)).outcome is CommandOutcome.REFUSED
    assert station.pump.names().count("01:05") == resets == 1


def test_authorise_with_the_nozzle_hung_is_refused() -> None:
    """Heads ignore RESET while the nozzle hangs, so none is sent."""
    station = Station().online()
    acknowledge(station)
    answer = station.run(Authorise("a", 1))
    assert answer.outcome is CommandOutcome.REFUSED
    assert "hangs" in answer.detail
    assert "01:05" not in station.pump.names()


def test_ignored_reset_is_a_refusal_without_authorize() -> None:
    """A head that acknowledges RESET and stays in 5 gets no AUTHORIZE."""
    station = calling(Station().online())
    station.pump.ignores.add("010105")
    began_s = station.port.now_s
    assert station.run(Authorise("a", 1)).outcome is CommandOutcome.REFUSED
    assert 2.0 <= station.port.now_s - began_s < 3.0
    assert "01:06" not in station.pump.names()


def test_ignored_authorize_is_unknown_and_never_repeated() -> None:
    """AUTHORIZE that shows no effect ends UNKNOWN; it was sent exactly once."""
    station = calling(Station().online())
    station.pump.ignores.add("010106")
    assert station.run(Authorise("a", 1)).outcome is CommandOutcome.UNKNOWN
    station.turns(5)
    assert station.pump.names().count("01:06") == 1


def test_slow_state_change_is_waited_for() -> None:
    """AUTHORIZED that comes 1.5 s after the ACK still counts as applied."""
    station = calling(Station().online())
    station.pump.ignores.add("010106")
    station.line.submit(Authorise("a", 1))
    station.until(lambda: "01:06" in station.pump.names())
    station.turns(1.5)
    assert station.result("a") is None
    station.pump.to_state(2)
    station.until(lambda: station.result("a") is not None)
    assert station.results("a")[-1].outcome is CommandOutcome.APPLIED


def test_preset_serves_one_authorise_only() -> None:
    """The preset goes between RESET and AUTHORIZE, once; the next customer has none."""
    station = calling(Station().online())
    station.run(Preset("p", 1, volume_ml=20_005))
    station.run(Authorise("a", 1))
    assert station.pump.preset_at_authorise == bytes.fromhex("030400002000")
    station.pump.hang_up()
    station.until(lambda: station.levels()[-1].state is PointState.IDLE)
    calling(station)
    station.run(Authorise("b", 1))
    assert station.pump.preset_at_authorise is None


@pytest.mark.parametrize(
    "command",
    [
        Preset("x", 1),
        Preset("x", 1, volume_ml=1, amount_minor=1),
        Preset("x", 1, volume_ml=5),
        Preset("x", 1, amount_minor=10**8),
        SetPrices("x", 1, ()),
        SetPrices("x", 1, ((1, 1_000_000),)),
        SetPrices("x", 1, ((1, 0),)),
        Authorise("x", 1, (7,)),
        ReadTotalizer("x", 1, 12),
    ],
)
def test_impossible_commands_send_nothing(command: Command) -> None:
    """A command that the pump could not follow ends without a block on the wire."""
    station = Station().online()
    before = list(station.pump.log)
    assert station.run(command).outcome in (CommandOutcome.REFUSED, CommandOutcome.UNKNOWN)
    assert station.pump.log == before


def test_prices_are_sent_complete_and_confirmed() -> None:
    """CD5 carries every nozzle and is APPLIED when DC3 shows the new price after the rest."""
    station = Station(nozzles=(1, 2)).online()
    began_s = station.port.now_s
    assert station.run(SetPrices("p", 1, ((1, 1200), (2, 1310)))).outcome is CommandOutcome.APPLIED
    assert station.pump.names()[-1] == "05:001200001310"
    assert station.port.now_s - began_s >= 1.0
    assert station.levels()[-1].unit_price_milli == 1200


def test_prices_that_the_pump_ignores_are_refused() -> None:
    """A pump that acknowledges CD5 and keeps the old price is found out."""
    pump = FakePump()
    pump.ignores.add(5)
    station = Station(pump).online()
    assert station.run(SetPrices("p", 1, ((1, 1200),))).outcome is CommandOutcome.REFUSED


def test_prices_are_read_back_where_the_head_can() -> None:
    """With RETURN PRICES every nozzle is compared, also those that the display does not show."""
    pump = FakePump()
    station = Station(pump, {"return_prices": True}, nozzles=(1, 2)).online()
    assert station.run(SetPrices("p", 1, ((1, 1200), (2, 1310)))).outcome is CommandOutcome.APPLIED
    pump.ignores.add(5)
    assert station.run(SetPrices("q", 1, ((1, 1200), (2, 1400)))).outcome is CommandOutcome.REFUSED


def test_stop_that_is_not_taken_is_unknown() -> None:
    """A pump that answers polls but takes no STOP leaves the outcome open, authorised or about to be."""
    for state in (1, 2):
        station = Station(FakePump(state=state, out=True)).online()
        answer = station.port.peer
        station.port.peer = lambda data, answer=answer: answer(data) if len(data) == 3 else b""  # type: ignore[misc]
        assert station.run(Stop("s", 1)).outcome is CommandOutcome.UNKNOWN


def test_stop_whose_ack_is_lost_counts_by_the_state() -> None:
    """The pump took STOP and only its ACKs were lost: the state shows that it was applied."""
    for state in (1, 2):
        station = Station(FakePump(state=state, out=True)).online()
        for _ in range(4):
            station.port.fault(lost, lambda request: len(request) > 3)
        assert station.run(Stop("s", 1)).outcome is CommandOutcome.APPLIED


def test_prices_bring_an_unprogrammed_pump_to_life() -> None:
    """State 0 goes to 5 with the first prices."""
    station = Station(FakePump(state=0, prices={1: 0})).online()
    assert station.levels()[-1].needs_prices
    assert station.run(SetPrices("p", 1, ((1, 1200),))).outcome is CommandOutcome.APPLIED
    assert station.levels()[-1].state is PointState.IDLE
    assert not station.levels()[-1].needs_prices


def test_no_prices_while_authorised() -> None:
    """CD5 is not sent once a fuelling may have begun."""
    station = Station(FakePump(state=2)).online()
    assert station.run(SetPrices("p", 1, ((1, 1200),))).outcome is CommandOutcome.REFUSED
    assert not any(name.startswith("05") for name in station.pump.names())


def test_stop_ends_the_fuelling_and_goes_before_what_waits() -> None:
    """Stop interrupts an authorise that is still waiting and ends in state 5."""
    station = calling(Station().online())
    station.pump.ignores.add("010106")
    station.line.submit(Authorise("a", 1))
    station.until(lambda: "01:06" in station.pump.names())
    station.line.submit(ReadHeldSale("later", 1))
    assert station.run(Stop("s", 1)).outcome is CommandOutcome.APPLIED
    assert station.results("a")[-1].outcome is CommandOutcome.UNKNOWN
    assert station.pump.state == 5


def test_stop_during_filling() -> None:
    """Stop is APPLIED when the pump has left FILLING."""
    station = Station(FakePump(state=4, out=True)).online()
    assert station.run(Stop("s", 1)).outcome is CommandOutcome.APPLIED
    assert station.pump.names()[-1] == "01:08"


def test_monitor_mode_only_reads() -> None:
    """A point that is only watched never sends RESET, AUTHORIZE or prices."""
    station = Station(sends_commands=False).online()
    acknowledge(station)
    station.pump.lift()
    station.turns(0.3)
    assert station.run(Authorise("a", 1)).outcome is CommandOutcome.REFUSED
    assert station.run(SetPrices("p", 1, ((1, 1200),))).outcome is CommandOutcome.REFUSED
    assert set(station.pump.names()) == {"01:00", "01:04"}


def test_nothing_but_reads_without_an_authorise() -> None:
    """However long the nozzle is out, the driver authorises nothing by itself."""
    station = Station(FakePump(out=True)).online()
    station.turns(60)
    acknowledge(station)
    station.turns(60)
    assert set(station.pump.names()) == {"01:00", "01:04"}


def test_levels_come_on_change_and_at_least_every_two_seconds() -> None:
    """A quiet pump is still reported every two seconds, and not at every poll."""
    station = Station().online()
    before = len(station.levels())
    station.turns(20)
    assert 10 <= len(station.levels()) - before <= 25


def test_idle_poll_rate_is_that_of_the_wire() -> None:
    """One turn on a quiet wire is poll, answer and the configured pause: at least 98 % of what that allows."""
    station = Station().online()
    began_s, before = station.port.now_s, len(station.port.sent)
    station.turns(20)
    per_turn_s = 6 * 11 / 9600 + 0.010 + 0.035
    assert len(station.port.sent) - before >= 0.98 * (station.port.now_s - began_s) / per_turn_s


def test_alarms_stand_until_the_pump_works_again() -> None:
    """DC5 words are reported as standing and end when the pump reaches a working state."""
    station = Station().online()
    station.pump.tell(b"\x05\x01\x09")
    station.until(lambda: station.levels()[-1].device_alarms == ("emergency stop",))
    station.pump.to_state(1)
    station.until(lambda: station.levels()[-1].device_alarms == ())
    told = [level.device_alarms for level in station.levels()]
    assert [alarms for before, alarms in pairwise(told) if alarms != before] == [("emergency stop",), ()]


def test_decimals_that_disagree_raise_an_alarm_and_change_nothing() -> None:
    """DC7 with other decimals is an alarm; the conversion stays as configured."""
    station = Station(FakePump(volume=1234, amount=1450)).online()
    station.pump.tell(b"\x07\x33" + bytes(22) + bytes((1, 2, 3)) + bytes(26))
    station.until(lambda: station.levels()[-1].device_alarms == ("decimals differ from configuration",))
    assert held(station).volume_ml == 12340


def test_full_queue_is_refused_to_the_caller() -> None:
    """More commands than the bound raise DeviceRefused at once; a Stop still gets in."""
    station = Station().online()
    for number in range(MAX_QUEUED):
        station.line.submit(ReadHeldSale(f"h{number}", 1))
    with pytest.raises(DeviceRefused):
        station.line.submit(ReadHeldSale("one too many", 1))
    station.line.submit(Stop("s", 1))


def test_unknown_command_for_a_pump_is_refused() -> None:
    """A command of another kind of device ends REFUSED."""
    station = Station().online()
    station.line.devices[0].submit(ConfirmUnits("c", "x"))
    station.until(lambda: station.result("c") is not None)
    assert station.results("c")[-1].outcome is CommandOutcome.REFUSED


@pytest.mark.parametrize(
    "points",
    [
        (),
        (PointConfig(1, 0x20, (1,)),),
        (PointConfig(1, 0x51, (1,)), PointConfig(2, 0x51, (1,))),
        (PointConfig(1, 0x51, ()),),
        (PointConfig(1, 0x51, (16,)),),
        (PointConfig(1, 0x51, (1,), volume_decimals=4),),
        (PointConfig(1, 0x51, (1,), amount_decimals=2, currency_exponent=0),),
    ],
)
def test_impossible_lines_are_refused_with_a_hint(points: tuple[PointConfig, ...]) -> None:
    """Wrong addresses, nozzles and decimals stop the line at start, and say what to write."""
    with pytest.raises(WiringError) as caught:
        make_devices(LineConfig("a", "x", "dart", points=points))
    assert caught.value.hint


def test_options_report_every_problem() -> None:
    """Unknown names, wrong types and values out of range are all listed, each with a hint."""
    problems = SPEC.check_options({"reply_window": "9 parsecs", "retires": 3, "ackpoll": "yes", "retries": True})
    assert [key for key, _, _ in problems] == ["reply_window", "retires", "ackpoll", "retries"]
    assert all(hint for _, _, hint in problems)
    assert SPEC.check_options({"reply_window": "150ms", "silent_time": "10s", "retries": 2, "pause_frame": 150}) == []


def test_status_comes_online_once() -> None:
    """A pump that answers is reported online exactly once, with a gap."""
    station = Station().online()
    station.turns(10)
    mine = [r for r in station.seen if isinstance(r, DeviceStatus) and r.device == "point:1"]
    assert mine == [DeviceStatus("point:1", online=True, gap=True)]
