"""The Two-Wire driver on bad loops: echo, noise that the check does not see, lost and late words, and many pumps."""

from __future__ import annotations

import itertools
import random

import pytest

from drivers.commands import ReadHeldSale, ReadSale, ReadTotalizer, SetPrices
from drivers.gilbarco.level import UNEQUAL_ALARM, UNEQUAL_READS
from drivers.readings import CommandOutcome, CompletedSale, FuellingPointReading, PointState
from drivers.simulator import gilbarco_words as words
from drivers.simulator.pump_head import State
from tests.support.gilbarco_bench import Bench
from tests.support.rigs.simulated import LINE
from tests.support.wire import lost

APPLIED, REFUSED, UNKNOWN = CommandOutcome.APPLIED, CommandOutcome.REFUSED, CommandOutcome.UNKNOWN


def echoing(bench: Bench) -> Bench:
    """The converter returns every byte, for ever."""
    bench.forecourt.inject("echo", line=LINE, for_s=0)
    return bench


def test_a_whole_sale_behind_an_echo() -> None:
    """With ``strip_echo`` each echo is read and compared, and everything works as without one."""
    bench = echoing(Bench({"strip_echo": True}))
    bench.online()
    bench.release(2)
    bench.fuel(2_000)
    bench.hang_up()
    held = bench.read().held
    assert held is not None
    assert (held.volume_ml, held.nozzle) == (20_000, 2)
    assert not [name for name in bench.line.counters() if name.startswith("frames_rejected")]


@pytest.mark.parametrize("strip_echo", [True, False])
def test_a_wrong_echo_setting_is_found_out(strip_echo: bool) -> None:
    """An echo nobody expects, or one that does not come: offline with a hint that names the option."""
    bench = Bench({"strip_echo": strip_echo})
    if not strip_echo:
        echoing(bench)
    bench.until(lambda: bench.status("point:1") is False)
    (offline,) = bench.statuses("point:1")
    assert "strip_echo" in offline.hint
    assert not bench.of(FuellingPointReading)


def test_the_status_of_a_pump_in_error_is_not_taken_for_an_echo_nor_the_other_way_round() -> None:
    """01 answers 01: alone it is the pump's error, before another word it was the echo."""
    bench = Bench()
    bench.online()
    bench.head.state = State.SWITCHED_OFF
    bench.until(lambda: bench.level().state is PointState.INOPERATIVE)
    assert bench.level().device_alarms == ("pump error",)
    bench.head.state = State.COMPLETED
    bench.until(lambda: bench.level().state is PointState.IDLE)
    assert bench.level().device_alarms == ()


def test_one_wrong_status_word_is_not_believed() -> None:
    """A status has no check: an end that one single word tells, while the pump delivers, never becomes a level."""
    bench = Bench()
    bench.online()
    bench.release()
    bench.fuel(400, parts=2)
    began = len(bench.seen)
    for wrong in (b"\xb1", b"\x61", b"\xc1", b"\x01"):
        bench.port.fault(lambda _reply, wrong=wrong: [(0.0, wrong)], lambda data: data == b"\x01")  # type: ignore[misc]
        bench.turns(1.5)
    states = {reading.state for _, reading in bench.seen[began:] if isinstance(reading, FuellingPointReading)}
    assert states == {PointState.FUELLING}


def test_running_money_that_jumps_is_not_shown() -> None:
    """It has neither frame nor check: a value counts once a later one is not below it."""
    bench = Bench({"money_after": 0})
    bench.online()
    bench.release()
    bench.fuel(400, parts=2)
    bench.port.fault(lambda _reply: [(0.0, words.digits(999_999, 6))], lambda data: data == b"\x61")
    bench.turns(3)
    shown = [reading.amount_minor or 0 for reading in bench.of(FuellingPointReading)]
    assert max(shown) <= bench.head.amount


@pytest.mark.parametrize("times", [1, 2, 3])
def test_exchanged_digits_never_become_a_sale(times: int) -> None:
    """The check does not see them: only equal reads count, so totals and sale stay true."""
    bench = Bench()
    bench.online()
    bench.release(2)
    bench.fuel(1_234, parts=2)
    bench.hang_up()
    bench.forecourt.inject("swapped-digits", point=1, times=times)
    bundle = bench.read()
    held, sale = bundle.held, bench.sale()
    assert held is not None
    assert (held.volume_ml, held.amount_minor) == (sale["volume_ml"], sale["amount_minor"])
    assert {reading.nozzle: reading.raw for reading in bundle.after} == {
        nozzle: total % 10**8 for nozzle, total in bench.head.totals.items()
    }


def test_reads_that_never_agree_are_an_alarm_and_no_value() -> None:
    """Five different answers, each with a right check: nothing is told, the pump has an alarm, and it ends by itself."""
    bench = Bench()
    bench.online()
    bench.turns(3)
    volumes = itertools.count(1_000)
    peer = bench.port.peer

    def restless(data: bytes) -> bytes:
        answer = peer(data)
        if data != b"\x41":
            return answer
        return words.transaction(1, grade=1, level=1, unit_price=7_850, volume=next(volumes), money=785)

    bench.port.peer = restless
    assert bench.do(ReadHeldSale).outcome is UNKNOWN
    bench.until(lambda: UNEQUAL_ALARM in bench.level().device_alarms)
    assert next(volumes) == 1_000 + UNEQUAL_READS
    assert bench.line.counters()["unequal_reads"] == 1
    assert bench.do(ReadSale, nozzles=(1,)).outcome is APPLIED
    assert bench.of(CompletedSale)[-1].held is None
    bench.port.peer = peer
    assert bench.do(ReadHeldSale).outcome is APPLIED
    bench.until(lambda: bench.level().device_alarms == ())


def test_totals_that_are_not_told_leave_the_pump_online() -> None:
    """The bundle is empty, a single total is unknown, and the status still answers."""
    bench = Bench()
    bench.online()
    bench.forecourt.inject("totals-unreadable", point=1, for_s=0)
    bundle = bench.read()
    assert (bundle.before, bundle.after) == ((), ())
    assert bundle.held is not None
    assert bench.do(ReadTotalizer, nozzle=1).outcome is UNKNOWN
    bench.turns(30)
    assert [status.online for status in bench.statuses("point:1")] == [True]


def test_an_ended_sale_whose_totals_are_not_told_still_ends() -> None:
    """The domain must find out that they are unreadable: the point does not stay suspended for ever."""
    bench = Bench()
    bench.online()
    bench.release()
    bench.fuel(400)
    bench.forecourt.inject("totals-unreadable", point=1, for_s=0)
    bench.port.peer = lambda data, peer=bench.port.peer: b"\xa1" if data == b"\x01" else peer(data)  # type: ignore[misc]
    bench.until(lambda: bench.level().state is PointState.IDLE)


def test_a_refused_announcement_locks_the_gate_of_the_whole_loop() -> None:
    """Two pumps, one announcement whose answer is lost: no other for two seconds, and no pump takes the other's block."""
    bench = Bench(points=2)
    bench.online()
    bench.port.fault(lost, lambda data: data == b"\x21")
    bench.line.submit(SetPrices("one", 1, ((1, 8_001), (2, 8_002), (3, 8_003))))
    bench.line.submit(SetPrices("two", 2, ((1, 9_001), (2, 9_002), (3, 9_003))))
    bench.until(lambda: bool(bench.finals("one") and bench.finals("two")), 60)
    assert bench.finals("one") == bench.finals("two") == [APPLIED]
    assert bench.forecourt.world.heads[1].prices == {1: 8_001, 2: 8_002, 3: 8_003}
    assert bench.forecourt.world.heads[2].prices == {1: 9_001, 2: 9_002, 3: 9_003}
    refused_s, *later = [at_s for at_s, data in bench.port.sent if data in (b"\x21", b"\x22")]
    assert len(later) == 6
    assert min(later) >= refused_s + 2.0


def test_answers_later_than_the_window_are_nobodys() -> None:
    """What comes too late is thrown away and counted, and the truth is read all the same."""
    bench = Bench(points=2)
    bench.online()
    for _ in range(3):
        bench.port.fault(lambda reply: [(0.6, reply)], lambda data: data == b"\x51")
    bundle = bench.read()
    assert {reading.nozzle: reading.raw for reading in bundle.after} == {
        nozzle: total % 10**8 for nozzle, total in bench.head.totals.items()
    }
    assert bench.line.counters()["frames_rejected.late"] > 0


def test_sixteen_pumps_share_one_loop() -> None:
    """The slowest pumps the protocol allows, all delivering: every level within two seconds, and number 16 is one of them."""
    bench = Bench(points=16)
    bench.port._answer_after_s = 0.068
    bench.online()
    for head in bench.forecourt.world.heads.values():
        head.lift(1)
        head.command(0x05)
        head.command(0x06)
        head.deliver(100)
    bench.until(lambda: all(bench.level(number).state is PointState.FUELLING for number in range(1, 17)))
    began = len(bench.seen)
    bench.turns(20)
    for number in range(1, 17):
        times = [
            at_s
            for at_s, reading in bench.seen[began:]
            if isinstance(reading, FuellingPointReading) and reading.fuelling_point == number
        ]
        assert max(b - a for a, b in itertools.pairwise(times)) <= 2.0
    assert {data for _, data in bench.port.sent} >= {b"\x00", b"\x60"}


def test_a_wrong_sale_never_comes_out_of_damaged_answers() -> None:
    """Every answer of a whole read-out may be damaged: what is told is the truth, or nothing."""
    told = 0
    for seed in range(12):
        bench = Bench()
        bench.online()
        bench.release(2)
        bench.fuel(1_500 + 7 * seed, parts=1)
        bench.hang_up()
        rng, peer = random.Random(seed), bench.port.peer
        bench.port.peer = lambda data, rng=rng, peer=peer: _damaged(rng, peer(data))  # type: ignore[misc]
        bundle = bench.read()
        totals = {nozzle: total % 10**8 for nozzle, total in bench.head.totals.items()}
        assert all(reading.raw == totals[reading.nozzle] for reading in (*bundle.before, *bundle.after))
        if bundle.held is not None:
            told += 1
            assert bundle.held.volume_ml == bench.sale()["volume_ml"]
            assert bundle.held.amount_minor == bench.sale()["amount_minor"]
    assert told >= 6


def _damaged(rng: random.Random, answer: bytes) -> bytes:
    """A long answer with two digits or bits wrong, one time in three."""
    if len(answer) < 6 or rng.randrange(3):
        return answer
    data = bytearray(answer)
    one, two = rng.sample(range(5, len(data) - 3), 2)
    if rng.randrange(2):
        data[one], data[two] = data[two], data[one]
    else:
        data[one] ^= 1 << rng.randrange(4)
        data[two] ^= 1 << rng.randrange(4)
    return bytes(data)
