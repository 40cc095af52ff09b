"""Modbus telegrams against worked examples and the simulator's own encoder, on both transports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivers.errors import FrameRejected
from drivers.modbus.codec import Function, ReadRequest, Reply, ReplyDecoder, Request, WriteRequest, encode
from drivers.simulator import modbus_frames as device

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "modbus.json").read_text(encoding="utf-8"))
FRAMES = {frame["name"]: bytes.fromhex(frame["bytes"]) for frame in VECTORS["rtu_frames"]}
SENT: dict[str, Request] = {
    "m1-read-total": ReadRequest(Function.READ_HOLDING, 258, 2),
    "m1-reset-total": WriteRequest(Function.WRITE_COIL, 55, (1,)),
    "m1-slot-1": WriteRequest(Function.WRITE_REGISTER, 751, (2,)),
    "m1-read-slots": ReadRequest(Function.READ_HOLDING, 782, 10),
    "m4-read-pulses": ReadRequest(Function.READ_HOLDING, 10, 2),
    "m5-read-log": ReadRequest(Function.READ_INPUT, 1, 12),
    "m5-ack-7": WriteRequest(Function.WRITE_REGISTERS, 104, (0, 7)),
}
RECEIVED: dict[str, tuple[Request, Reply]] = {
    "m1-total-123.45": (SENT["m1-read-total"], Reply((0xE666, 0x42F6))),
    "exception-illegal-address": (SENT["m1-read-total"], Reply(exception=2)),
}


@pytest.mark.proves("vectors", "modbus")
@pytest.mark.proves("vectors", "modbus-gauge")
def test_every_telegram_of_the_examples_is_one_of_ours() -> None:
    """No worked example is left out here."""
    assert set(FRAMES) == set(SENT) | set(RECEIVED)


@pytest.mark.proves("vectors", "modbus")
@pytest.mark.proves("vectors", "modbus-gauge")
@pytest.mark.parametrize("name", SENT)
def test_a_request_is_encoded_as_in_the_example(name: str) -> None:
    """Function, address, values and checksum, byte by byte; the simulator reads the same out of it."""
    assert encode("rtu", 1, SENT[name]) == FRAMES[name]
    (request,) = device.RtuReader().feed(FRAMES[name])
    assert (request.function, request.address) == (SENT[name].function, SENT[name].address)


@pytest.mark.proves("vectors", "modbus")
@pytest.mark.proves("vectors", "modbus-gauge")
@pytest.mark.parametrize("name", RECEIVED)
def test_a_reply_is_read_as_in_the_example(name: str) -> None:
    """Registers or the exception."""
    request, reply = RECEIVED[name]
    assert ReplyDecoder("rtu", 1, request).feed(FRAMES[name]) == reply


def test_a_pulse_count_travels_over_tcp() -> None:
    """The header carries transaction, length and unit instead of a checksum."""
    request = SENT["m4-read-pulses"]
    assert encode("tcp", 7, request, 0x1234) == bytes.fromhex("1234 0000 0006 07 03 000A 0002")
    (heard,) = device.TcpReader().feed(encode("tcp", 7, request, 0x1234))
    raw = device.envelope(heard, device.answer(heard, (1, 2)), tcp=True)
    assert ReplyDecoder("tcp", 7, request, 0x1234).feed(raw) == Reply((1, 2))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("02 03 04 0001 0002 49F2", "other_unit"),
        ("01 04 04 0001 0002 2A45", "other_function"),
        ("01 03 02 0001 7984", "length"),
        ("01 03 04 0001 0002 0000", "crc"),
        ("01 03 04 00", "short"),
    ],
)
def test_a_telegram_that_is_not_the_reply_is_counted_and_ignored(raw: str, reason: str) -> None:
    """Of another unit, another function, another length, damaged, or cut off: there is no reply."""
    decoder = ReplyDecoder("rtu", 1, ReadRequest(Function.READ_HOLDING, 10, 2))
    assert decoder.feed(bytes.fromhex(raw)) is None
    decoder.end()
    assert decoder.rejected == {reason: 1}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("0001 0000 0007 01 03 04 0001 0002", "other_transaction"),
        ("0002 0000 0007 09 03 04 0001 0002", "other_unit"),
        ("0002 0000 0007 01 04 04 0001 0002", "other_function"),
        ("0002 0000 0005 01 03 02 0001", "length"),
        ("0002 0000 0007 01 03 06 0001 0002", "length"),
    ],
)
def test_a_tcp_frame_that_is_not_the_reply_is_passed_over(raw: str, reason: str) -> None:
    """A late answer to another question does not hide the answer behind it."""
    decoder = ReplyDecoder("tcp", 1, ReadRequest(Function.READ_HOLDING, 10, 2), 2)
    late, ours = bytes.fromhex(raw), bytes.fromhex("0002 0000 0007 01 03 04 0005 0006")
    assert decoder.feed(late + ours) == Reply((5, 6))
    assert decoder.rejected == {reason: 1}


def test_a_peer_that_speaks_no_modbus_tcp_is_named() -> None:
    """RTU bytes through a plain serial server are no frames: the hint says which transport to write."""
    decoder = ReplyDecoder("tcp", 1, ReadRequest(Function.READ_HOLDING, 10, 2), 2)
    with pytest.raises(FrameRejected, match="Modbus TCP") as caught:
        decoder.feed(bytes.fromhex("01 03 04 0001 0002 2A32"))
    assert "transport" in caught.value.hint


def test_a_write_counts_only_with_its_own_echo() -> None:
    """The echo of another address or value is no confirmation."""
    request = WriteRequest(Function.WRITE_REGISTER, 100, (1,))
    for address, value, reply in ((100, 1, Reply()), (101, 1, None), (100, 2, None)):
        heard = device.Request(1, 6, address, 1, (value,))
        raw = device.envelope(heard, device.answer(heard), tcp=False)
        assert ReplyDecoder("rtu", 1, request).feed(raw) == reply


@pytest.mark.parametrize(
    "request_",
    [
        ReadRequest(Function.READ_HOLDING, 0, 126),
        ReadRequest(Function.READ_COILS, 0, 2001),
        ReadRequest(Function.READ_INPUT, 65535, 2),
        ReadRequest(Function.WRITE_COIL, 0, 1),
        WriteRequest(Function.READ_HOLDING, 0, (1,)),
        WriteRequest(Function.WRITE_REGISTERS, 0, (0,) * 124),
        WriteRequest(Function.WRITE_REGISTERS, 0, ()),
        WriteRequest(Function.WRITE_REGISTER, 0, (65536,)),
        WriteRequest(Function.WRITE_COIL, 0, (2,)),
    ],
)
def test_what_no_telegram_can_carry_is_refused(request_: ReadRequest | WriteRequest) -> None:
    """Before anything is sent, with a hint."""
    with pytest.raises(FrameRejected) as caught:
        encode("rtu", 1, request_)
    assert caught.value.reason == "range"
    assert caught.value.hint
