"""The DART driver on a bad wire: loss, damage, repeats, restarts, silence, neighbours; nothing counted twice or wrong."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from drivers.commands import Acknowledge, Authorise, ReadHeldSale, ReadSale, ReadTotalizer
from drivers.config import LineConfig, PointConfig
from drivers.dart.codec import Control, Frame, encode
from drivers.dart.driver import make_devices
from drivers.line import Line
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    CompletedSale,
    DeviceStatus,
    FuellingPointReading,
    HeldSale,
    PointState,
    Reading,
    TotalizerReading,
)
from tests.support.wire import Bus, FakePump, VirtualPort, flipped, late, lost


class Wire:
    """Several pumps on one virtual wire; point n has address 50 + n."""

    def __init__(self, *pumps: FakePump, options: dict[str, object] | None = None) -> None:
        self.pumps = pumps
        self.port = VirtualPort(Bus(*(pump.receive for pump in pumps)).receive)
        points = tuple(PointConfig(pump.address - 0x50, pump.address, (1,)) for pump in pumps)
        config = LineConfig("a", "virtual", "dart", options=options or {}, points=points)
        self.line = Line(config, make_devices(config), lambda: self.port, self.port.monotonic)
        self.seen: list[Reading] = []

    def until(self, done: Callable[[], bool], limit_s: float = 30.0) -> None:
        end_s = self.port.now_s + limit_s
        while not done():
            assert self.port.now_s < end_s, f"never came; last readings {self.seen[-5:]}"
            self.seen += self.line.turn()

    def turns(self, seconds: float) -> None:
        end_s = self.port.now_s + seconds
        self.until(lambda: self.port.now_s >= end_s, seconds + 10)

    def online(self) -> Wire:
        self.until(lambda: len(self.levels()) >= 1 and all(self.status(n) is True for n in self.numbers()))
        return self

    def numbers(self) -> list[int]:
        return [pump.address - 0x50 for pump in self.pumps]

    def levels(self, point: int = 1) -> list[FuellingPointReading]:
        return [r for r in self.seen if isinstance(r, FuellingPointReading) and r.fuelling_point == point]

    def statuses(self, point: int = 1) -> list[bool]:
        return [r.online for r in self.seen if isinstance(r, DeviceStatus) and r.device == f"point:{point}"]

    def status(self, point: int) -> bool | None:
        found = self.statuses(point)
        return found[-1] if found else None

    def final(self, command_id: str) -> CommandOutcome | None:
        found = [r.outcome for r in self.seen if isinstance(r, CommandResult) and r.command_id == command_id]
        found = [outcome for outcome in found if outcome is not CommandOutcome.LINK_ACKED]
        assert len(found) <= 1
        return found[0] if found else None

    def polls_of(self, address: int, since_s: float = 0.0) -> list[float]:
        poll = encode(Frame(address, Control.POLL))
        return [at_s for at_s, data in self.port.sent if data == poll and at_s >= since_s]


def is_data(request: bytes) -> bool:
    """A block of ours."""
    return len(request) > 3


def is_poll(request: bytes) -> bool:
    """A poll of ours."""
    return len(request) == 3 and request[1] == 0x20


@pytest.mark.parametrize("change", [lost, flipped(3), late(0.3)], ids=["lost", "bad-crc", "late"])
def test_disturbed_answer_is_repeated_and_delivered_once(
    change: Callable[[bytes], list[tuple[float, bytes]]],
) -> None:
    """A total whose block is lost, damaged or late arrives exactly once, after the pump repeats it."""
    wire = Wire(FakePump()).online()
    pump = wire.pumps[0]
    wire.line.submit(ReadTotalizer("t", 1, 1))
    wire.port.fault(change, lambda request: is_poll(request) and bool(pump.waiting))
    wire.until(lambda: wire.final("t") is not None)
    assert wire.final("t") is CommandOutcome.APPLIED
    assert sum(isinstance(r, TotalizerReading) for r in wire.seen) == 1


def test_lost_answer_to_a_block_repeats_the_identical_bytes() -> None:
    """A command whose ACK is lost is sent again with the same number, and applied once by the pump."""
    wire = Wire(FakePump(volume=7, amount=8)).online()
    wire.port.fault(lost, is_data)
    before = len(wire.port.sent)
    wire.line.submit(ReadHeldSale("h", 1))
    wire.until(lambda: wire.final("h") is not None)
    sent = [data for _, data in wire.port.sent[before:] if is_data(data)]
    assert sent == [sent[0], sent[0]]
    assert wire.pumps[0].names().count("01:04") == 1
    assert wire.line.counters()["resent_blocks"] == 1


def test_block_that_is_never_taken_gives_up_with_a_new_number() -> None:
    """After three repetitions the command ends and the next one has the next number, never the doubtful one."""
    wire = Wire(FakePump()).online()
    for _ in range(4):
        wire.port.fault(lost, is_data)
    before = len(wire.port.sent)
    wire.line.submit(ReadHeldSale("h", 1))
    wire.until(lambda: wire.final("h") is not None)
    numbers = [data[1] & 0x0F for _, data in wire.port.sent[before:] if is_data(data)]
    assert numbers == [1, 1, 1, 1, 2]


def test_lost_ack_of_ours_is_acknowledged_again_and_not_delivered_twice() -> None:
    """The pump repeats a block whose ACK it missed; it is acknowledged with its number and counted, not delivered."""
    pump = FakePump()
    wire = Wire(pump).online()
    pump.tell(b"\x05\x01\x09")
    real = pump._answer
    missed: list[Frame] = []

    def deaf(frame: Frame) -> bytes:
        if frame.control is Control.ACK and not missed:
            missed.append(frame)
            return b""
        return real(frame)

    pump._answer = deaf  # type: ignore[method-assign]
    wire.turns(1)
    assert missed
    assert wire.line.counters()["repeated_blocks"] == 1
    assert pump.unacked is None


def test_restart_of_the_pump_is_counted_and_the_level_asked_again() -> None:
    """Numbering from 0 and state 0 count as one restart, drop the permission, and RETURN STATUS is sent again."""
    pump = FakePump(volume=10, amount=10)
    wire = Wire(pump).online()
    pump.tell(pump.dc1())
    wire.turns(0.5)
    asked = pump.names().count("01:00")
    pump.restart()
    wire.until(lambda: wire.levels()[-1].state is PointState.INOPERATIVE)
    wire.turns(0.5)
    assert wire.levels()[-1].restarts == 1
    assert pump.names().count("01:00") == asked + 1
    assert wire.statuses() == [True]


def test_power_failure_alarm_is_a_restart() -> None:
    """DC5 power failure raises the restart count also where numbering went on."""
    pump = FakePump()
    wire = Wire(pump).online()
    pump.tell(b"\x05\x01\x0a")
    wire.until(lambda: wire.levels()[-1].restarts == 1)
    assert wire.levels()[-1].device_alarms == ("power failure",)


def test_restart_takes_the_permission_to_reset_away() -> None:
    """What was acknowledged before a restart must be looked at again before RESET."""
    pump = FakePump()
    wire = Wire(pump).online()
    wire.line.submit(Acknowledge("a", 1, ""))
    wire.until(lambda: wire.final("a") is CommandOutcome.APPLIED)
    pump.tell(b"\x05\x01\x01")
    pump.lift()
    wire.turns(0.5)
    wire.line.submit(Authorise("b", 1))
    wire.until(lambda: wire.final("b") is not None)
    assert wire.final("b") is CommandOutcome.REFUSED
    assert "01:05" not in pump.names()


def test_first_question_taken_for_a_repeat_is_asked_again() -> None:
    """A pump that last received number 0 ignores our first block: RETURN STATUS comes again with number 1."""
    pump = FakePump(last_received=0)
    wire = Wire(pump).online()
    assert [data[1] for _, data in wire.port.sent if is_data(data)] == [0x30, 0x31]
    assert wire.levels()[-1].state is PointState.IDLE


def test_three_refusals_restart_our_numbers() -> None:
    """After three NAKs for one block it goes out once more with number 0."""
    pump = FakePump()
    wire = Wire(pump).online()
    refuse = lambda reply: [(0.0, encode(Frame(0x51, Control.NAK, reply[1] & 0x0F)))]  # noqa: E731
    for _ in range(3):
        wire.port.fault(refuse, is_data)
    before = len(wire.port.sent)
    wire.line.submit(ReadHeldSale("h", 1))
    wire.until(lambda: wire.line.counters().get("naks") == 3 and len(wire.port.sent) > before + 12)
    numbers = [data[1] & 0x0F for _, data in wire.port.sent[before:] if is_data(data)]
    assert numbers[:4] == [1, 1, 1, 0]


def test_malformed_block_is_acknowledged_and_the_state_asked_again() -> None:
    """A block with a length past its end is taken, not delivered, counted, and the level is refreshed."""
    pump = FakePump()
    wire = Wire(pump).online()
    before = wire.levels()[-1]
    pump.tell(b"\x01\x01\x07\x02\x08\x00")
    wire.turns(1)
    assert wire.line.counters()["left_out.overrun"] == 1
    assert pump.unacked is None
    assert pump.names().count("01:00") == 2
    assert wire.levels()[-1] == before


def test_silent_once_during_a_fuelling_is_no_gap() -> None:
    """One missed poll in a state that is about to change costs nothing."""
    pump = FakePump(state=4, out=True)
    wire = Wire(pump).online()
    wire.port.fault(lost, is_poll)
    wire.turns(2)
    assert wire.statuses() == [True]


def test_silent_pump_goes_offline_once_and_comes_back_within_five_seconds() -> None:
    """Offline once with reason and hint, back with a gap after three good cycles, status asked again."""
    pump = FakePump()
    wire = Wire(pump).online()
    pump.silent = True
    began_s = wire.port.now_s
    wire.until(lambda: wire.status(1) is False)
    assert wire.port.now_s - began_s < 8.5
    offline = [r for r in wire.seen if isinstance(r, DeviceStatus) and not r.online]
    wire.turns(60)
    assert offline == [r for r in wire.seen if isinstance(r, DeviceStatus) and not r.online]
    assert offline[0].reason
    assert offline[0].hint
    pump.silent = False
    back_s = wire.port.now_s
    wire.until(lambda: wire.status(1) is True)
    assert wire.port.now_s - back_s <= 5
    assert wire.statuses() == [True, False, True]
    assert pump.names().count("01:00") == 2


def test_commands_to_an_offline_pump_end_and_are_not_kept() -> None:
    """What is asked of an offline pump is refused at once; what was under way is unknown; nothing is sent later."""
    pump = FakePump()
    wire = Wire(pump).online()
    pump.silent = True
    wire.line.submit(ReadHeldSale("under way", 1))
    wire.until(lambda: wire.final("under way") is CommandOutcome.UNKNOWN)
    wire.until(lambda: wire.status(1) is False)
    wire.line.submit(Authorise("later", 1))
    wire.until(lambda: wire.final("later") is CommandOutcome.REFUSED)
    pump.silent = False
    wire.until(lambda: wire.status(1) is True)
    wire.turns(3)
    assert "01:06" not in pump.names()
    assert "02:01" not in pump.names()


def test_late_answer_of_a_neighbour_is_not_taken() -> None:
    """Point 2 answering into the turn of point 1 changes nothing of point 1."""
    one, two = FakePump(address=0x51), FakePump(address=0x52)
    wire = Wire(one, two).online()
    two.tell(b"\x01\x01\x07")
    wire.port.fault(late(0.15), lambda request: is_poll(request) and request[0] == 0x52 and bool(two.waiting))
    wire.until(lambda: wire.levels(2)[-1].state is PointState.CLOSED)
    assert wire.levels(1)[-1].state is PointState.IDLE
    assert {r.state for r in wire.levels(1)} == {PointState.IDLE}


def test_foreign_address_in_the_reply_window_is_dropped() -> None:
    """A frame of another configured address in our reply window is counted, and our own answer behind it is taken."""
    one, two = FakePump(address=0x51), FakePump(address=0x52)
    wire = Wire(one, two).online()
    stray = encode(Frame(0x52, Control.DATA, 5, b"\x01\x01\x07"))
    wire.port.fault(lambda reply: [(0.0, stray), (0.02, reply)], lambda r: is_poll(r) and r[0] == 0x51)
    wire.turns(2)
    assert wire.line.counters()["frames_rejected.other-address"] == 1
    assert {r.state for r in wire.levels(1) + wire.levels(2)} == {PointState.IDLE}


def test_echoing_adapter_changes_no_value() -> None:
    """An adapter that returns our own bytes first is counted and never read as the pump's answer."""
    pump = FakePump(volume=1234, amount=1450)
    wire = Wire(pump)
    answer = wire.port.peer
    wire.port.peer = lambda data: data + answer(data)
    wire.online()
    wire.line.submit(ReadSale("s", 1, (1,)))
    wire.until(lambda: wire.final("s") is not None)
    sale = next(r for r in wire.seen if isinstance(r, CompletedSale))
    assert sale.held is not None
    assert (sale.held.volume_ml, sale.after[0].raw) == (12340, 426633)
    assert {r.state for r in wire.levels()} == {PointState.IDLE}
    assert wire.line.counters()["frames_rejected.unexpected"] > 0


@pytest.mark.parametrize("babble_bytes", [0, 20, 48, 200])
def test_dead_neighbour_hardly_slows_the_others(babble_bytes: int) -> None:
    """With one of four points dead, the poll period of the others stays within 1.2 of before (99th percentile)."""
    pumps = [FakePump(address=0x51 + number) for number in range(4)]
    wire = Wire(*pumps).online()
    begin_s = wire.port.now_s
    wire.turns(60)
    before = _p99(wire.polls_of(0x51, begin_s))
    rng = random.Random(7)
    pumps[3]._answer = lambda frame: rng.randbytes(babble_bytes)  # type: ignore[method-assign]
    wire.until(lambda: wire.status(4) is False)
    begin_s = wire.port.now_s
    wire.turns(120)
    assert _p99(wire.polls_of(0x51, begin_s)) <= 1.2 * before
    assert wire.statuses(1) == [True]


def _p99(times_s: list[float]) -> float:
    periods = sorted(b - a for a, b in itertools.pairwise(times_s))
    return periods[int(len(periods) * 0.99)]


def test_filling_neighbour_does_not_hold_the_wire() -> None:
    """A pump with news at every poll costs the others two exchanges per round, not eight."""
    one, two = FakePump(address=0x51), FakePump(address=0x52, state=4, out=True)
    wire = Wire(one, two).online()
    real = two._answer

    def busy(frame: Frame) -> bytes:
        if frame.control is Control.POLL:
            two.volume += 1
            two.tell(two.dc2())
        return real(frame)

    two._answer = busy  # type: ignore[method-assign]
    begin_s = wire.port.now_s
    wire.turns(20)
    assert _p99(wire.polls_of(0x51, begin_s)) < 0.35


@pytest.mark.parametrize("seed", range(12))
def test_whole_sales_on_a_wire_that_loses_and_damages(seed: int) -> None:
    """Whatever is lost or damaged at random, held values and totals of each sale are exact, and RESETs are counted."""
    rng = random.Random(seed)
    pump = FakePump()
    wire = Wire(pump).online()
    answer = wire.port.peer

    def noisy(data: bytes) -> bytes:
        reply = answer(data) if rng.random() > 0.08 else b""
        if reply and rng.random() < 0.08:
            at = rng.randrange(len(reply))
            reply = (
                reply[:at] + bytes((reply[at] ^ 1 << rng.randrange(8),)) + reply[at + 1 :] if len(reply) > 3 else b""
            )
        return reply

    wire.port.peer = noisy
    expected = pump.totals[1]
    for number in range(4):
        name = f"{seed}-{number}"
        token = _held_token(wire, f"h{name}")
        wire.line.submit(Acknowledge(f"a{name}", 1, token))
        wire.until(lambda name=name: wire.final(f"a{name}") is not None)  # type: ignore[misc]
        pump.lift()
        wire.until(lambda: wire.levels()[-1].state is PointState.CALLING)
        wire.line.submit(Authorise(f"b{name}", 1))
        wire.until(lambda name=name: wire.final(f"b{name}") is not None)  # type: ignore[misc]
        if wire.final(f"b{name}") is CommandOutcome.APPLIED:
            pump.deliver(1000 + number, 2000 + number)
            expected += 1000 + number
        pump.hang_up()
        wire.until(lambda: wire.levels()[-1].state is PointState.IDLE)
        wire.line.submit(ReadSale(f"s{name}", 1, (1,)))
        wire.until(lambda name=name: wire.final(f"s{name}") is not None)  # type: ignore[misc]
        sales = [r for r in wire.seen if isinstance(r, CompletedSale) and r.command_id == f"s{name}"]
        if wire.final(f"s{name}") is CommandOutcome.APPLIED and sales[0].after and sales[0].held is not None:
            assert sales[0].after[0].raw == expected
            assert sales[0].held.volume_ml == pump.volume * 10
    assert pump.names().count("01:05") <= 4
    assert pump.names().count("01:06") <= 4


def _held_token(wire: Wire, name: str) -> str:
    wire.line.submit(ReadHeldSale(name, 1))
    wire.until(lambda: wire.final(name) is not None)
    return next((r.token for r in reversed(wire.seen) if isinstance(r, HeldSale)), "")


def test_fuelling_that_ended_out_of_sight_keeps_its_nozzle() -> None:
    """The next customer's nozzle, told before the state after a silence, is not taken for that of the last fuelling."""
    pump = FakePump(state=4, out=True, nozzle=2)
    wire = Wire(pump).online()
    pump.silent = True
    wire.until(lambda: wire.status(1) is False)
    pump.volume, pump.amount, pump.state = 500, 650, 5
    pump.lift(1)
    pump.silent = False
    wire.until(lambda: wire.status(1) is True)
    wire.line.submit(ReadHeldSale("h", 1))
    wire.until(lambda: wire.final("h") is CommandOutcome.APPLIED)
    held = next(r for r in wire.seen if isinstance(r, HeldSale))
    assert (held.nozzle, held.volume_ml, held.unit_price_milli) == (2, 5000, 1300)


def test_pulled_cable_fails_commands_and_everything_comes_back() -> None:
    """A lost port ends what was under way as UNKNOWN, and the points come back by themselves after its return."""
    pumps = [FakePump(address=0x51), FakePump(address=0x52)]
    wire = Wire(*pumps).online()
    wire.line.submit(ReadHeldSale("h", 1))
    wire.port.gone = True
    wire.seen += wire.line.turn()
    assert wire.final("h") is CommandOutcome.UNKNOWN
    assert wire.statuses(1) == wire.statuses(2) == [True, False]
    wire.port.gone = False
    wire.port.now_s += 2
    back_s = wire.port.now_s
    wire.until(lambda: wire.status(1) is True and wire.status(2) is True)
    assert wire.port.now_s - back_s <= 5
    assert wire.statuses(1) == wire.statuses(2) == [True, False, True]


@pytest.mark.parametrize("options", [{"ackpoll": True}, {"poll_interval": "100ms"}, {"return_prices": True}])
def test_options_that_change_the_conversation_keep_it_working(options: dict[str, object]) -> None:
    """With each of these options a whole read still succeeds."""
    wire = Wire(FakePump(volume=5, amount=6), options=options).online()
    wire.line.submit(ReadSale("s", 1, (1,)))
    wire.until(lambda: wire.final("s") is CommandOutcome.APPLIED)
    sale = next(r for r in wire.seen if isinstance(r, CompletedSale))
    assert sale.held is not None
    assert sale.held.volume_ml == 50
