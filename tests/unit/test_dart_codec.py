"""The DART codec against the published vectors: frames, streams, dialogues, sessions, and every way to cut them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.checks import crc16_arc
from drivers.dart import blocks
from drivers.dart.blocks import Alarm, Dcc, Filled, Identity, NozzlePrice, Parameters, Prices, State, Status, Totals
from drivers.dart.codec import MAX_RAW, Control, Decoder, Frame, encode
from drivers.dart.link import Receiver, Sender
from drivers.errors import FrameRejected

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "dart.json").read_text())


def named(items: list[dict[str, Any]]) -> list[Any]:
    """Vectors as parameters with their names."""
    return [pytest.param(item, id=item["name"]) for item in items]


def only(raw: bytes) -> Frame:
    """The one frame in ``raw``."""
    decoder = Decoder()
    frames = decoder.feed(raw)
    assert len(frames) == 1
    assert decoder.rejected == {}
    return frames[0]


@pytest.mark.proves("vectors", "dart")
@pytest.mark.parametrize("vector", named(VECTORS["frames"]))
def test_frame_vectors_decode_and_encode_to_the_same_bytes(vector: dict[str, Any]) -> None:
    """Every published frame parses to what it says and is built again byte for byte."""
    raw, expected = bytes.fromhex(vector["bytes"]), vector["expected"]
    frame = only(raw)
    assert (f"{frame.address:02X}", frame.control.name, frame.tx) == (
        expected["address"],
        expected["control"],
        expected["tx"],
    )
    assert encode(frame) == raw
    if "crc" in expected:
        head = bytes((frame.address, frame.control << 4 | frame.tx))
        assert f"{crc16_arc(head + frame.data):04X}" == expected["crc"]


@pytest.mark.proves("vectors", "dart")
@pytest.mark.parametrize(
    "vector", named([v for v in VECTORS["frames"] if v["direction"] == "to_pump" and "transactions" in v["expected"]])
)
def test_commands_are_built_as_published(vector: dict[str, Any]) -> None:
    """Each CD transaction built from its meaning is the published block."""
    made = b""
    for item in vector["expected"]["transactions"]:
        match item["cd"]:
            case 1:
                made += blocks.command(Dcc[item["command"]])
            case 2:
                made += blocks.allowed_nozzles(item["nozzles"])
            case 3:
                made += blocks.preset_volume(item["preset_volume"])
            case 4:
                made += blocks.preset_amount(item["preset_amount"])
            case 5:
                made += blocks.prices(item["prices"])
            case 101:
                made += blocks.ask_total(int(item["counter"], 16))
    assert made == only(bytes.fromhex(vector["bytes"])).data


@pytest.mark.proves("vectors", "dart")
@pytest.mark.parametrize(
    "vector", named([v for v in VECTORS["frames"] if v["direction"] == "from_pump" and "transactions" in v["expected"]])
)
def test_answers_are_read_as_published(vector: dict[str, Any]) -> None:
    """Each DC transaction is read to its published meaning."""
    decoded = blocks.decode(only(bytes.fromhex(vector["bytes"])).data)
    assert decoded.left_out == ()
    assert list(decoded.transactions) == [_expected(item) for item in vector["expected"]["transactions"]]


def _expected(item: dict[str, Any]) -> blocks.Transaction:
    match item["dc"]:
        case 1:
            return Status(State[item["status"]])
        case 2:
            return Filled(item["volume"], item["amount"])
        case 3:
            return NozzlePrice(item["price"], item["nozzle"], item["nozzle_out"])
        case 5:
            return Alarm(item["alarm"])
        case 9:
            return Identity(item["maker"], item["type"], item["program"])
    if item["layout"] == "13":
        return Totals(int(item["counter"], 16), item["total_volume"], amount=item["total_amount"])
    return Totals(int(item["counter"], 16), item["total"], grades=(item["grade1"], item["grade2"]))


@pytest.mark.proves("every-split", "dart")
@pytest.mark.proves("vectors", "dart")
@pytest.mark.parametrize("vector", named(VECTORS["streams"]))
def test_streams_give_the_same_frames_however_they_are_cut(vector: dict[str, Any]) -> None:
    """Cut at every point, a stream gives the same frames and the same count of rejects."""
    raw = bytes.fromhex(vector["bytes"])
    for cut in range(len(raw) + 1):
        decoder = Decoder(range(0x50, 0x70))
        frames = decoder.feed(raw[:cut]) + decoder.feed(raw[cut:])
        assert [encode(frame).hex().upper() for frame in frames] == vector["expected_frames"]
        assert sum(decoder.rejected.values()) == vector.get("expected_rejected", 0)
        decoder.silence()
        assert not decoder.in_frame


def test_silence_drops_and_counts_a_broken_frame() -> None:
    """What was begun before a silence is gone; the frame after it is intact."""
    decoder = Decoder()
    decoder.feed(bytes.fromhex("51310101056363"))
    decoder.silence()
    assert decoder.rejected == {"broken-off": 1}
    assert len(decoder.feed(bytes.fromhex("5170FA"))) == 1


@pytest.mark.proves("vectors", "dart")
@pytest.mark.parametrize("vector", named(VECTORS["dialogues"]))
def test_dialogues_acknowledge_and_deliver_as_published(vector: dict[str, Any]) -> None:
    """The receiving rules deliver each block once and acknowledge it with its own number; ours count up per command."""
    decoder, receiver, sender = Decoder(), Receiver(), Sender(tx=1)
    sent: list[bytes] = []
    for step in vector["steps"]:
        raw = bytes.fromhex(step["bytes"])
        frames = decoder.feed(raw)
        if step["from"] == "agent":
            if frames[0].control is Control.DATA:
                if sent and sent[-1] != raw:
                    sender.advance()
                assert frames[0].tx == sender.tx
                sent.append(raw)
            continue
        data = [frame for frame in frames if frame.control is Control.DATA]
        delivered = [receiver.judge(frame).deliver for frame in data]
        assert any(delivered) is step["deliver"]
        replies = [encode(Frame(frame.address, Control.ACK, frame.tx)).hex().upper() for frame in data]
        assert (replies[0] if replies else None) == step["reply"]


@pytest.mark.proves("vectors", "dart")
def test_golden_session_delivers_every_block_once_and_in_order() -> None:
    """Every block of the golden session is news with the next number, and every agent frame is built by this codec."""
    decoder, receiver = Decoder(), Receiver()
    ours = 0
    for step in VECTORS["sessions"][0]["steps"]:
        raw = bytes.fromhex(step["bytes"])
        (frame,) = decoder.feed(raw)
        assert encode(frame) == raw
        if frame.control is Control.DATA and step["from"] == "pump":
            verdict = receiver.judge(frame)
            assert (verdict.deliver, verdict.restarted, verdict.out_of_order) == (True, False, False)
            assert blocks.decode(frame.data).left_out == ()
        if frame.control is Control.DATA and step["from"] == "agent":
            assert frame.tx == ours
            ours += 1


def test_receiving_rules_in_their_order() -> None:
    """Repeat, restart by 0, restart by the same number, wrap to 1 and to 0, and a jump, each as the table says."""
    receiver = Receiver()

    def judge(tx: int, data: bytes) -> tuple[bool, bool, bool]:
        verdict = receiver.judge(Frame(0x51, Control.DATA, tx, data))
        return verdict.deliver, verdict.restarted, verdict.out_of_order

    assert judge(14, b"a") == (True, False, False)
    assert judge(15, b"a") == (True, False, False)
    assert judge(15, b"a") == (False, False, False)
    assert judge(1, b"b") == (True, False, False)
    assert judge(3, b"c") == (True, False, True)
    assert judge(0, b"d") == (True, True, False)
    assert judge(0, b"e") == (True, True, False)
    assert judge(15, b"f") == (True, False, True)
    assert judge(0, b"g") == (True, False, False)


def test_our_numbers_wrap_past_zero_and_restart_after_three_refusals() -> None:
    """F is followed by 1; three NAKs for one block start the numbers again at 0."""
    sender = Sender()
    numbers = []
    for _ in range(17):
        numbers.append(sender.tx)
        sender.advance()
    assert numbers == [*range(16), 1]
    for _ in range(2):
        sender.refused()
    assert sender.tx == 2
    sender.refused()
    assert sender.tx == 0


def test_escape_is_inserted_also_after_a_plain_ten() -> None:
    """A data byte 10 before FA travels as 10 10 FA, and comes back as 10 FA."""
    frame = Frame(0x51, Control.DATA, 1, b"\x10\xfa\x10\x10\xfa\xfa")
    raw = encode(frame)
    assert raw[2:].startswith(b"\x10\x10\xfa\x10\x10\x10\xfa\x10\xfa")
    assert only(raw) == frame


def test_longest_frame_passes_and_one_byte_more_does_not() -> None:
    """256 raw bytes are a frame; a longer one is refused when sent and counted when received."""
    frame = Frame(0x51, Control.DATA, 1, bytes(MAX_RAW - 6))
    raw = encode(frame)
    assert len(raw) == MAX_RAW
    assert only(raw) == frame
    with pytest.raises(FrameRejected, match="too long"):
        encode(Frame(0x51, Control.DATA, 1, bytes(MAX_RAW - 5)))
    decoder = Decoder()
    assert decoder.feed(bytes((0x51,)) * 1000 + b"\xfa" + bytes.fromhex("5170FA")) == [Frame(0x51, Control.EOT)]
    assert decoder.rejected == {"too-long": 1}


def test_foreign_addresses_are_dropped_and_counted() -> None:
    """A frame of an address that is not configured never reaches the driver."""
    decoder = Decoder({0x51})
    assert decoder.feed(bytes.fromhex("5270FA5170FA")) == [Frame(0x51, Control.EOT)]
    assert decoder.rejected == {"address": 1}


@pytest.mark.parametrize(
    ("data", "transactions", "left_out"),
    [
        ("010105 020800000001000000", (), ("overrun",)),
        ("010105 02", (), ("overrun",)),
        ("7703AABBCC 010105", (Status(State.FILLING_COMPLETED),), ()),
        ("0208000000A100000000 010105", (Status(State.FILLING_COMPLETED),), ("bcd",)),
        ("010103", (), ("value",)),
        ("01020505", (), ("length",)),
        ("651101" + "00" * 16, (), ("length",)),
        ("670411223344", (), ("length",)),
        ("6706001175001300", (Prices((1175, 1300)),), ()),
        ("030400117510", (NozzlePrice(1175, None, nozzle_out=True),), ()),
        ("0733" + "00" * 22 + "020203" + "00" * 26, (Parameters(2, 2, 3),), ()),
        ("", (), ()),
    ],
)
def test_damaged_blocks_lose_only_what_is_damaged(
    data: str, transactions: tuple[blocks.Transaction, ...], left_out: tuple[str, ...]
) -> None:
    """A length past the end spoils the block, anything else only its own transaction; unknown ones are skipped."""
    decoded = blocks.decode(bytes.fromhex(data))
    assert (decoded.transactions, decoded.left_out) == (transactions, left_out)


def test_s4_dialect_reads_and_asks_amount_totals_by_66() -> None:
    """Under the S4 option, 66 carries amount totals both ways; without it, it is skipped."""
    assert blocks.ask_total(0x11, s4_dialect=True) == b"\x66\x01\x11"
    assert blocks.ask_total(0x01, s4_dialect=True) == b"\x65\x01\x01"
    data = bytes.fromhex("66100100034671900003467190" + "00" * 5)
    assert blocks.decode(data, s4_dialect=True).transactions == (Totals(0x11, 3467190, grades=(3467190, 0)),)
    assert blocks.decode(data).transactions == ()
