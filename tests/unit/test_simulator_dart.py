"""The simulated pump against the published frames and sessions of the DART sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.simulator import dart_frames as dart
from drivers.simulator.config import NozzleConfig, PumpConfig
from drivers.simulator.dart_pump import DartPump
from drivers.simulator.faults import FaultBoard
from drivers.simulator.pump_head import TOTAL_MODULUS, PumpHead, Sale, State
from tests.support.simulated import AUTHORIZE, RESET, STATUS, ToyMaster

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "dart.json").read_text(encoding="utf-8"))


def one_pump(*, nozzles: int = 1, total: int = 426_633, layout: int = 16, programmed: bool = True) -> DartPump:
    """A pump at address 51 with unit price 1.175."""
    config = PumpConfig(
        2, 0x51, tuple(NozzleConfig(n, "92", 1, 1_175) for n in range(1, nozzles + 1)), programmed=programmed
    )
    board = FaultBoard(1)
    return DartPump(
        PumpHead(config, dict.fromkeys(range(1, nozzles + 1), total), board), 0x51, board, totals_layout=layout
    )


def started(pump: DartPump) -> ToyMaster:
    """A master that has asked for the status and drained the pump."""
    master = ToyMaster(pump)
    master.command(STATUS)
    master.drain()
    return master


def test_golden_session_is_replayed_byte_for_byte() -> None:
    """Given the same nozzle and flow events the pump says every frame of the published sale."""
    pump = one_pump()
    sales: list[Sale] = []
    pump.head.on_sale = sales.append
    events = {
        "nozzle 1 out: calling": lambda: pump.head.lift(1),
        "FILLING 0.15 L, 0.18": lambda: pump.head.deliver(15),
        "8.00 L, 9.40": lambda: pump.head.deliver(785),
        "12.34 L, 14.50": lambda: pump.head.deliver(434),
        "nozzle in, completed": pump.head.hang_up,
    }
    steps = VECTORS["sessions"][0]["steps"]
    for number, step in enumerate(steps):
        if step["from"] != "agent":
            continue
        expected = steps[number + 1] if number + 1 < len(steps) else {"from": "agent"}
        events.get(expected.get("note", ""), lambda: None)()
        answer = pump.receive(bytes.fromhex(step["bytes"]))
        assert answer.hex().upper() == (expected["bytes"] if expected["from"] == "pump" else "")
    want = VECTORS["sessions"][0]["expected_sale"]
    assert [(s.volume_ml, s.amount_minor, s.unit_price_milli, s.totalizer_end) for s in sales] == [
        (want["volume_ml"], want["amount_minor"], want["unit_price_milli"], 427_867)
    ]


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda v: v["name"])
def test_published_frames_survive_decoding_and_encoding(vector: dict[str, Any]) -> None:
    """Every published frame is intact and is encoded to the same bytes again."""
    raw = bytes.fromhex(vector["bytes"])
    frames = dart.FrameReader().feed(raw)
    assert len(frames) == 1
    frame = frames[0]
    assert frame.intact
    again = (
        dart.encode_data(frame.address, frame.tx, frame.data)
        if frame.control == dart.DATA
        else dart.encode_short(frame.address, frame.control, frame.tx)
    )
    assert again == raw


@pytest.mark.parametrize("vector", VECTORS["crc"], ids=lambda v: v["name"])
def test_crc_check_values(vector: dict[str, Any]) -> None:
    """CRC-16/ARC gives the published values."""
    assert dart.crc16(bytes.fromhex(vector["bytes"])) == int(vector["crc"], 16)


@pytest.mark.parametrize("vector", VECTORS["streams"], ids=lambda v: v["name"])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_streams_give_the_published_frames_in_any_chunking(vector: dict[str, Any], size: int) -> None:
    """Noise, damaged and cut frames yield nothing, wherever the stream is cut."""
    raw = bytes.fromhex(vector["bytes"])
    reader = dart.FrameReader()
    frames = [f for at in range(0, len(raw), size) for f in reader.feed(raw[at : at + size]) if f.intact]
    assert [f for f in frames if 0x50 <= f.address <= 0x6F] == [
        dart.FrameReader().feed(bytes.fromhex(text))[0] for text in vector["expected_frames"]
    ]


def test_another_address_is_not_answered() -> None:
    """A pump keeps silent when another address is polled."""
    assert one_pump().receive(bytes.fromhex("5020FA")) == b""


def test_unacknowledged_block_is_repeated_identically_until_its_ack() -> None:
    """After a lost ACK the same bytes with the same number come again, and EOT after the ACK."""
    pump = one_pump()
    ToyMaster(pump).command(STATUS)
    poll = bytes.fromhex("5120FA")
    first = pump.receive(poll)
    assert first == pump.receive(poll) != bytes.fromhex("5170FA")
    assert pump.receive(bytes.fromhex("51C5FA")) == b""
    assert pump.receive(poll) == first
    assert pump.receive(bytes.fromhex("51E0FA")) == bytes.fromhex("5170FA")


def test_retransmitted_command_is_acknowledged_and_not_applied_twice() -> None:
    """The same block number again is only acknowledged."""
    pump = one_pump()
    frame = dart.encode_data(0x51, 1, RESET)
    assert pump.receive(frame) == bytes.fromhex("51C1FA")
    pump.head.command(0x06)
    assert pump.receive(frame) == bytes.fromhex("51C1FA")
    assert pump.head.state is State.AUTHORIZED
    assert [entry.duplicate for entry in pump.log.entries] == [False, True]


def test_block_zero_after_another_number_is_a_restarted_master() -> None:
    """A master that starts its numbering again is understood."""
    pump = one_pump()
    pump.receive(dart.encode_data(0x51, 5, STATUS))
    pump.receive(dart.encode_data(0x51, 0, RESET))
    assert pump.head.state is State.RESET


def test_three_naks_make_the_pump_number_from_zero() -> None:
    """After three refusals the same block comes with number 0."""
    pump = one_pump()
    master = started(pump)
    master.command(STATUS)
    block = pump.receive(bytes.fromhex("5120FA"))
    assert block[1] == 0x31
    for _ in range(3):
        pump.receive(bytes.fromhex("5151FA"))
    assert pump.receive(bytes.fromhex("5120FA"))[1] == 0x30


def test_block_numbers_wrap_from_fifteen_to_one() -> None:
    """The number after F is 1."""
    pump = one_pump()
    master = ToyMaster(pump)
    numbers = []
    for _ in range(17):
        master.command(STATUS)
        numbers.append(pump.receive(bytes.fromhex("5120FA"))[1] & 0x0F)
        pump.receive(dart.encode_short(0x51, dart.ACK, numbers[-1]))
    assert numbers == [*range(16), 1]


def test_damaged_command_is_ignored_or_refused() -> None:
    """A block with a wrong CRC is never applied; with NAK configured it is refused."""
    pump = one_pump()
    bad = bytes.fromhex("513301010563DB03FA")
    assert pump.receive(bad) == b""
    board = FaultBoard(1)
    other = DartPump(pump.head, 0x51, board, nak_bad_crc=True)
    assert other.receive(bad) == bytes.fromhex("5153FA")
    assert pump.head.state is State.COMPLETED


@pytest.mark.parametrize(
    ("block", "expected"),
    [("05030011 75", 0), ("0506001175001180", 0), ("0509001175001180001190", 5), ("0509001175000000001190", 0)],
)
def test_prices_are_needed_complete_before_state_zero_ends(block: str, expected: int) -> None:
    """A pump without prices stays in 0 until every nozzle has one."""
    pump = one_pump(nozzles=3, programmed=False)
    assert pump.head.state == 0
    ToyMaster(pump).command(bytes.fromhex(block))
    assert pump.head.state == expected


def test_authorize_is_legal_after_reset_only() -> None:
    """AUTHORIZE in state 5 is acknowledged and changes nothing."""
    pump = one_pump()
    master = started(pump)
    assert master.command(AUTHORIZE) == bytes.fromhex("51C1FA")
    states = [pump.head.state]
    for command in (RESET, AUTHORIZE):
        master.command(command)
        states.append(pump.head.state)
    assert states == [State.COMPLETED, State.RESET, State.AUTHORIZED]


def test_unauthorised_pump_delivers_nothing() -> None:
    """Without AUTHORIZE, or with another nozzle allowed, no fuel flows."""
    pump = one_pump(nozzles=2)
    master = started(pump)
    pump.head.lift(1)
    assert pump.head.deliver(10) == 0
    master.command(b"\x02\x01\x02" + RESET + AUTHORIZE)
    assert pump.head.deliver(10) == 0
    assert pump.head.totals[1] == 426_633


def test_volume_preset_stops_exactly_and_is_cleared_by_reset() -> None:
    """The pump stops at the preset in state 6; the next filling after RESET has none."""
    pump = one_pump()
    master = started(pump)
    master.command(RESET + bytes.fromhex("030400000500") + AUTHORIZE)
    pump.head.lift(1)
    assert pump.head.deliver(800) == 500
    assert (pump.head.state, pump.head.deliver(1)) == (State.MAXIMUM, 0)
    pump.head.hang_up()
    master.command(RESET)
    master.command(AUTHORIZE)
    pump.head.lift(1)
    assert pump.head.deliver(800) == 800


def test_amount_preset_shows_exactly_the_amount() -> None:
    """20.00 at 1.175 stops at 17.02 L and shows 20.00."""
    pump = one_pump()
    master = started(pump)
    master.command(RESET + bytes.fromhex("040400002000") + AUTHORIZE)
    pump.head.lift(1)
    pump.head.deliver(5_000)
    assert (pump.head.volume, pump.head.amount, pump.head.state) == (1_702, 2_000, State.MAXIMUM)


def test_held_sale_stays_until_reset() -> None:
    """Volume and amount can be read again and again; RESET is the release."""
    pump = one_pump()
    master = started(pump)
    master.command(RESET + AUTHORIZE)
    pump.head.lift(1)
    pump.head.deliver(1_234)
    pump.head.hang_up()
    master.drain()
    for _ in range(2):
        master.command(b"\x01\x01\x04")
        assert master.drain() == [(2, bytes.fromhex("0000123400001450")), (3, bytes.fromhex("00117501"))]
    master.command(RESET)
    assert master.drain() == [(1, b"\x01"), (2, bytes(8))]


def test_totals_come_in_both_layouts() -> None:
    """LNG 16 tells one total; LNG 13 tells volume and amount in six-byte fields."""
    wide = started(one_pump())
    wide.command(bytes.fromhex("650101"))
    assert wide.drain() == [(0x65, bytes.fromhex("01" + "0000426633" * 2 + "00" * 5))]
    both = started(one_pump(layout=13))
    both.command(bytes.fromhex("650101"))
    assert both.drain() == [(0x65, bytes.fromhex("01" + "000000426633" + "000000501294"))]


def test_amount_total_moves_by_the_displayed_amount() -> None:
    """Counter 11 hex counts the amounts that were shown."""
    pump = one_pump()
    master = started(pump)
    master.command(RESET + AUTHORIZE)
    pump.head.lift(1)
    pump.head.deliver(1_234)
    pump.head.hang_up()
    master.drain()
    master.command(bytes.fromhex("650111"))
    assert master.drain()[0][1][1:6] == bytes.fromhex(f"{501_294 + 1_450:010d}")


def test_totalizer_rolls_over_at_ten_digits() -> None:
    """The counter wraps from 10^10 to 0 inside a filling."""
    pump = one_pump(total=TOTAL_MODULUS - 100)
    master = started(pump)
    master.command(RESET + AUTHORIZE)
    pump.head.lift(1)
    pump.head.deliver(150)
    pump.head.hang_up()
    master.drain()
    assert master.total(1) == 50


def test_suspend_resume_and_stop() -> None:
    """SUSPEND holds the flow, RESUME lets it go on, STOP ends in 5 with the values kept."""
    pump = one_pump()
    master = started(pump)
    master.command(RESET + AUTHORIZE)
    pump.head.lift(1)
    pump.head.deliver(100)
    master.command(b"\x01\x01\x0d")
    assert (pump.head.state, pump.head.deliver(1)) == (State.SUSPENDED, 0)
    master.command(b"\x01\x01\x0e")
    assert pump.head.deliver(50) == 50
    master.command(b"\x01\x01\x08")
    assert (pump.head.state, pump.head.volume, pump.head.can_flow()) == (State.COMPLETED, 150, False)


def test_lift_without_fuel_is_a_zero_lift_and_no_sale() -> None:
    """An authorised lift without flow ends in 5 and is no sale."""
    pump = one_pump()
    sales: list[Sale] = []
    zero: list[tuple[int, int]] = []
    pump.head.on_sale = sales.append
    pump.head.on_zero_lift = lambda point, nozzle: zero.append((point, nozzle))
    master = started(pump)
    master.command(RESET + AUTHORIZE)
    pump.head.lift(1)
    pump.head.hang_up()
    assert (pump.head.state, sales, zero) == (State.COMPLETED, [], [(2, 1)])


def test_block_whose_length_runs_past_its_end_is_acknowledged_and_not_applied() -> None:
    """Nothing of such a block counts, not even its good first transaction."""
    pump = one_pump()
    assert pump.receive(dart.encode_data(0x51, 1, RESET + b"\x03\x04\x00")) == bytes.fromhex("51C1FA")
    assert pump.head.state is State.COMPLETED


def test_command_log_names_what_the_master_said() -> None:
    """Polls are kept in memory and left out of the names."""
    pump = one_pump()
    master = started(pump)
    master.command(RESET + bytes.fromhex("030400000500") + AUTHORIZE)
    assert pump.log.names() == ["RETURN_STATUS", "RESET", "PRESET_VOLUME", "AUTHORIZE"]
    assert "POLL" in [entry.name for entry in pump.log.entries]
