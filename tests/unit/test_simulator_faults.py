"""Every fault of the simulator shows on the wire as its table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.simulator import dart_frames as dart
from drivers.simulator.config import default_config
from drivers.simulator.faults import (
    LATE_REPLY_MS,
    SIMULATOR_FAULTS,
    SLOW_REPLY_MS,
    FaultBoard,
    UnknownFault,
    check_fault,
)
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.pump_head import TOTAL_MODULUS, State
from tests.support.simulated import AUTHORIZE, RESET, STATUS, ToyMaster, nobody, run_attended, run_out

POLL_1 = bytes.fromhex("5020FA")
EOT_1 = bytes.fromhex("5070FA")


@pytest.fixture
def forecourt(tmp_path: Path) -> Forecourt:
    """The default station without customers, stepped by hand."""
    made = Forecourt(nobody(default_config(tmp_path)), seed=7)
    made.step(100)
    return made


def talk(forecourt: Forecourt, point: int = 1) -> ToyMaster:
    """A master on the shared wire, status already known."""
    master = ToyMaster(forecourt.pump(point), forecourt.bus("island-1").receive)
    master.command(STATUS)
    master.drain()
    return master


def intact(data: bytes) -> list[tuple[int, int]]:
    """Intact frames in an answer as (address, control)."""
    return [(f.address, f.control) for f in dart.FrameReader().feed(data) if f.intact]


def fuel(forecourt: Forecourt, master: ToyMaster, units: int, point: int = 1) -> int:
    """RESET, AUTHORIZE, lift nozzle 1 and let fuel flow; the nozzle stays out."""
    head = forecourt.pump(point).head
    master.command(RESET)
    master.command(AUTHORIZE)
    head.lift(1)
    return head.deliver(units)


def test_unknown_fault_is_refused_with_the_list_of_names() -> None:
    """The error names what was asked and what exists."""
    with pytest.raises(UnknownFault, match=r"'pump-sielnt'.*pump-silent"):
        check_fault("pump-sielnt")


def test_fault_of_another_scope_or_target_is_refused(forecourt: Forecourt) -> None:
    """A pump fault on a tank, or on a point that does not exist, is an error and not silence."""
    with pytest.raises(ValueError, match="give point"):
        forecourt.inject("pump-silent", tank=1)
    with pytest.raises(ValueError, match="no point 9"):
        forecourt.inject("pump-silent", point=9)


def test_pump_silent_affects_its_point_alone_and_ends(forecourt: Forecourt) -> None:
    """One address is silent for its time, the others answer."""
    bus = forecourt.bus("island-1")
    forecourt.inject("pump-silent", point=1, for_s=5)
    assert bus.receive(POLL_1) == b""
    assert bus.receive(bytes.fromhex("5120FA")) == bytes.fromhex("5170FA")
    forecourt.step(5_200)
    assert bus.receive(POLL_1) == EOT_1


def test_pump_babbles_with_bytes_that_are_no_frame_of_it(forecourt: Forecourt) -> None:
    """Every frame is answered with 48 bytes of rubbish, another each time."""
    forecourt.inject("pump-babbles", point=1)
    first, second = (forecourt.bus("island-1").receive(POLL_1) for _ in range(2))
    assert (len(first), len(second), first != second) == (48, 48, True)
    assert (0x50, dart.DATA) not in intact(first + second)


def test_pump_restart_mid_fuelling_loses_display_and_prices_and_keeps_totals(forecourt: Forecourt) -> None:
    """After the reset the first block has number 0, state 0, alarm 1 and price 0; the litres are in the counter."""
    master = talk(forecourt)
    head = forecourt.pump(1).head
    start = head.totals[1]
    assert fuel(forecourt, master, 700) == 700
    master.drain()
    forecourt.inject("pump-restart", point=1)
    forecourt.step(200)
    answer = master.poll()
    assert answer[1] == 0x30
    assert dart.transactions(master.blocks[-1]) == [(5, b"\x01"), (1, b"\x00"), (3, bytes.fromhex("00000011"))]
    assert (head.volume, head.totals[1] - start) == (0, 700)
    assert [r["volume_ml"] for r in forecourt.truth.records if r["kind"] == "sale"] == [7_000]


def test_totals_unreadable_acknowledges_and_never_answers(forecourt: Forecourt) -> None:
    """CD101 gets its ACK, polls give EOT."""
    master = talk(forecourt)
    forecourt.inject("totals-unreadable", point=1)
    assert intact(master.command(bytes.fromhex("650101"))) == [(0x50, dart.ACK)]
    assert master.poll() == EOT_1
    forecourt.clear("totals-unreadable")
    assert master.total(1) == forecourt.pump(1).head.totals[1]


def test_totalizer_rollover_stands_just_before_the_modulus(tmp_path: Path) -> None:
    """Scheduled by name it acts before the first reading, and a sale of 6 L rolls the counter over."""
    forecourt = Forecourt(nobody(default_config(tmp_path)), seed=7, faults=("totalizer-rollover",))
    forecourt.step(100)
    point = next(p for p, head in forecourt.world.heads.items() if head.totals[1] == TOTAL_MODULUS - 500)
    master = talk(forecourt, point)
    fuel(forecourt, master, 600, point)
    forecourt.pump(point).head.hang_up()
    assert master.total(1) == 100


def test_meter_replaced_lowers_the_counter_between_sales(forecourt: Forecourt) -> None:
    """The total is lower than before, and the truth knows why."""
    master = talk(forecourt)
    before = master.total(1)
    forecourt.inject("meter-replaced", point=1)
    forecourt.step(200)
    after = master.total(1)
    assert before is not None
    assert after == before // 3 + 17
    meters = [r for r in forecourt.truth.records if r["kind"] == "meter" and r["old"] is not None]
    assert [(m["old"], m["new"]) for m in meters] == [(before, after)]


def test_lost_reply_is_silence_after_a_command_that_was_applied(forecourt: Forecourt) -> None:
    """The command works although its ACK is lost; the retransmission is not applied again."""
    master = talk(forecourt)
    forecourt.inject("lost-reply", point=1, times=1)
    assert master.command(RESET) == b""
    assert forecourt.pump(1).head.state is State.RESET
    assert intact(forecourt.bus("island-1").receive(dart.encode_data(0x50, 1, RESET))) == [(0x50, dart.ACK)]


def test_lost_ack_makes_the_pump_repeat_its_block(forecourt: Forecourt) -> None:
    """The same bytes come again, once."""
    master = talk(forecourt)
    master.command(STATUS)
    forecourt.inject("lost-ack", point=1, times=1)
    first = master.poll()
    assert master.poll() == first
    assert master.poll() == EOT_1


def test_bad_crc_damages_a_data_block_and_the_next_one_is_good(forecourt: Forecourt) -> None:
    """The block differs in one bit and fails its check; polled again it is intact."""
    master = talk(forecourt)
    master.command(STATUS)
    forecourt.inject("bad-crc", point=1, times=1)
    bad = master.poll()
    assert intact(bad) == []
    good = master.poll()
    assert intact(good) == [(0x50, dart.DATA)]
    assert sum((a ^ b).bit_count() for a, b in zip(bad, good, strict=True)) == 1


def test_slow_state_acknowledges_now_and_applies_later(forecourt: Forecourt) -> None:
    """RESET takes effect a second after its ACK."""
    master = talk(forecourt)
    forecourt.inject("slow-state", point=1)
    assert intact(master.command(RESET)) == [(0x50, dart.ACK)]
    assert master.poll() == EOT_1
    forecourt.step(1_200)
    assert master.drain()[0] == (1, b"\x01")


def test_reset_is_ignored_while_the_nozzle_hangs(forecourt: Forecourt) -> None:
    """RESET is acknowledged, the state stays 5 until it is sent with the nozzle out."""
    master = talk(forecourt)
    forecourt.inject("reset-ignored-while-hung", point=1)
    master.command(RESET)
    assert forecourt.pump(1).head.state is State.COMPLETED
    forecourt.pump(1).head.lift(1)
    master.command(RESET)
    assert forecourt.pump(1).head.state is State.RESET


def test_one_silent_poll_at_each_change_of_state(forecourt: Forecourt) -> None:
    """The poll after the change gets nothing, the next one the block."""
    master = talk(forecourt)
    forecourt.inject("one-silent-poll", point=1)
    master.command(RESET)
    assert master.poll() == b""
    assert intact(master.poll()) == [(0x50, dart.DATA)]


@pytest.mark.parametrize(("name", "delay_ms"), [("slow-device", SLOW_REPLY_MS), ("late-answer", LATE_REPLY_MS)])
def test_slow_and_late_replies_carry_their_delay(forecourt: Forecourt, name: str, delay_ms: int) -> None:
    """The reply is complete and marked with its real delay; other points answer at once."""
    forecourt.inject(name, point=1)
    bus = forecourt.bus("island-1")
    assert [(r.data, r.delay_ms) for r in bus.exchange(POLL_1)] == [(EOT_1, delay_ms)]
    assert [r.delay_ms for r in bus.exchange(bytes.fromhex("5120FA"))] == [0]


def test_late_answer_arrives_when_another_address_is_asked(forecourt: Forecourt) -> None:
    """On the virtual clock it stands in front of the next reply."""
    forecourt.inject("late-answer", point=1, times=1)
    bus = forecourt.bus("island-1")
    assert bus.receive(POLL_1) == b""
    assert bus.receive(bytes.fromhex("5120FA")) == EOT_1 + bytes.fromhex("5170FA")


def test_wrong_address_is_an_intact_reply_of_the_next_address(forecourt: Forecourt) -> None:
    """The CRC is right, the address is not the polled one."""
    master = talk(forecourt)
    master.command(STATUS)
    forecourt.inject("wrong-address", point=1, times=1)
    assert intact(master.poll()) == [(0x51, dart.DATA)]
    assert intact(master.poll()) == [(0x50, dart.DATA)]


def test_duplicate_address_collides_and_no_block_gets_through(forecourt: Forecourt) -> None:
    """Two devices at once: a data block never survives."""
    master = talk(forecourt)
    master.command(STATUS)
    forecourt.inject("duplicate-address", point=1)
    assert all(control != dart.DATA for _ in range(3) for _, control in intact(master.poll()))
    forecourt.clear("duplicate-address")
    assert intact(master.poll()) == [(0x50, dart.DATA)]


def test_echo_returns_the_masters_bytes_before_the_reply(forecourt: Forecourt) -> None:
    """A poll comes back, then the answer."""
    forecourt.inject("echo", line="island-1")
    assert forecourt.bus("island-1").receive(POLL_1) == POLL_1 + EOT_1


def test_noise_never_yields_an_intact_data_block(forecourt: Forecourt) -> None:
    """Stray bytes in front, a flipped bit inside: nothing may pass the check."""
    master = talk(forecourt)
    master.command(STATUS)
    forecourt.inject("noise", line="island-1", times=5)
    noisy = [forecourt.bus("island-1").receive(POLL_1) for _ in range(5)]
    assert [frame for answer in noisy for frame in intact(answer)] == []
    assert all(answer[0] in {0x00, 0x7E, 0xFF} for answer in noisy)
    assert intact(master.poll()) == [(0x50, dart.DATA)]


def test_half_frames_are_cut_in_the_middle(forecourt: Forecourt) -> None:
    """The first half of the block comes, and after it a whole one."""
    master = talk(forecourt)
    master.command(STATUS)
    forecourt.inject("half-frames", point=1, times=1)
    half = master.poll()
    whole = master.poll()
    assert half == whole[: len(whole) // 2]
    assert intact(whole) == [(0x50, dart.DATA)]


def test_gauge_silent(forecourt: Forecourt) -> None:
    """No answer to any question."""
    forecourt.inject("gauge-silent")
    assert forecourt.console.receive(b"\x01i20100\r\n") == b""
    forecourt.clear()
    assert forecourt.console.receive(b"\x01i20100\r\n").startswith(b"\x01i20100")


def test_probe_out_gives_question_marks_bit_three_and_alarm_nine(forecourt: Forecourt) -> None:
    """Only the named tank loses its reading."""
    forecourt.inject("probe-out", tank=2)
    forecourt.console.step(200)
    two = forecourt.console.receive(b"\x01i20102\r\n")
    assert two[17:26] == b"022000407"
    assert two[26:82] == b"?" * 56
    assert forecourt.console.receive(b"\x01i20500\r\n")[17:-7] == b"0100" + b"020109" + b"0300"
    assert b"?" not in forecourt.console.receive(b"\x01i20101\r\n")


def test_gauge_frozen_repeats_the_same_digits_while_fuel_is_drawn(forecourt: Forecourt) -> None:
    """The values stand still, and move again when cleared."""
    before = forecourt.console.receive(b"\x01i20101\r\n")[17:]
    forecourt.inject("gauge-frozen", tank=1)
    frozen = forecourt.console.receive(b"\x01i20101\r\n")[17:]
    forecourt.world.tanks[1].drain(500_000)
    assert forecourt.console.receive(b"\x01i20101\r\n")[17:] == frozen == before
    forecourt.clear("gauge-frozen")
    assert forecourt.console.receive(b"\x01i20101\r\n")[17:] != frozen


def test_water_spike_raises_height_and_alarm(forecourt: Forecourt) -> None:
    """4 mm become 84 mm (42A80000) and the high-water alarm stands."""
    forecourt.inject("water-spike", tank=1)
    assert forecourt.console.receive(b"\x01i20101\r\n")[58:66] == b"42A80000"
    assert forecourt.console.receive(b"\x01i20501\r\n")[17:-7] == b"010103"


def test_units_changed_answers_us_units_and_gallons(forecourt: Forecourt) -> None:
    """517 says 1 and the same tank shows gallons."""
    metric = forecourt.console.receive(b"\x01i60401\r\n")
    forecourt.inject("units-changed")
    assert forecourt.console.receive(b"\x01i51700\r\n")[17:20] == b"115"
    gallons = forecourt.console.receive(b"\x01i60401\r\n")
    assert (metric[19:27], gallons[19:27]) == (b"46EA6000", b"45F7A800")


def test_gauge_clock_drift_is_seventeen_minutes(forecourt: Forecourt) -> None:
    """The first field of every reply is ahead."""
    assert forecourt.console.receive(b"\x01i50100\r\n")[7:17] == b"2601051400"
    forecourt.inject("gauge-clock-drift")
    assert forecourt.console.receive(b"\x01i50100\r\n")[7:17] == b"2601051417"


def test_scanner_noise_comes_before_the_good_code(forecourt: Forecourt) -> None:
    """A frame of controls and half the code, then the code."""
    forecourt.inject("scanner-noise", reader="reader-1", times=1)
    scanner = forecourt.scanners["reader-1"]
    assert scanner.type_text("9156000000000011") == [b"\x00\x1d\xff91560000\r\n9156000000000011\r\n"]
    assert scanner.type_text("9156000000000011") == [b"9156000000000011\r\n"]


def test_shave_volume_shows_less_than_flowed_in_display_and_total_alike(forecourt: Forecourt) -> None:
    """Display and counter agree with each other and are 200 ml short of the truth."""
    master = talk(forecourt)
    head = forecourt.pump(1).head
    start = head.totals[1]
    forecourt.inject("shave-volume", point=1)
    assert fuel(forecourt, master, 1_000) == 1_000
    head.hang_up()
    assert (head.volume, head.totals[1] - start) == (980, 980)
    assert [r["volume_ml"] for r in forecourt.truth.records if r["kind"] == "sale"] == [10_000]


def test_scheduled_faults_come_early_and_repeat(tmp_path: Path) -> None:
    """By the seed first after 8-12 wire seconds, scaled by the speed, and again where the table says so."""
    forecourt = Forecourt(default_config(tmp_path), seed=3, speed=10, faults=("lost-reply", "probe-out"))
    run_attended(forecourt, 200)
    struck = [(r["name"], r["t_ms"]) for r in forecourt.truth.records if r["kind"] == "fault"]
    first = {name: min(t for n, t in struck if n == name) for name in ("lost-reply", "probe-out")}
    assert all(80_000 <= t <= 120_000 for t in first.values())
    assert sum(name == "lost-reply" for name, _ in struck) > 1
    assert sum(name == "probe-out" for name, _ in struck) == 1


@pytest.mark.parametrize("name", sorted(SIMULATOR_FAULTS))
def test_a_day_with_the_fault_ends_and_keeps_the_books(tmp_path: Path, name: str) -> None:
    """With any fault customers still come and go, and what left the tanks is what was sold."""
    forecourt = Forecourt(default_config(tmp_path), seed=5, speed=10, faults=(name,))
    run_attended(forecourt, 240)
    run_out(forecourt)
    delivered = sum(tanker.given_ml for tanker in forecourt.world.tankers)
    left = sum(tank.config.start_ml - tank.volume_ml for tank in forecourt.world.tanks.values()) + delivered
    assert forecourt.truth.sales > 5
    assert forecourt.truth.volume_ml == left


def test_board_forgets_what_has_ended() -> None:
    """A timed fault ends by the clock, a counted one by its use, a standing one by clear."""
    board = FaultBoard(1, speed=2)
    board.inject("pump-silent", 1, for_s=3)
    board.inject("lost-reply", 1, times=2)
    board.inject("echo", for_s=0)
    board.due(5_999)
    assert board.active("pump-silent", 1)
    board.due(6_000)
    assert not board.active("pump-silent", 1)
    assert [board.hit("lost-reply", 1) for _ in range(3)] == [True, True, False]
    assert board.active("echo", "island-1")
    board.clear()
    assert not board.active("echo", "island-1")
