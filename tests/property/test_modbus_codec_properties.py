"""Modbus replies as they arrive on real wires: in any portions, among noise, behind other replies, or not at all."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from drivers.errors import DriverError
from drivers.modbus.codec import (
    BIT_READS,
    Function,
    ReadRequest,
    Reply,
    ReplyDecoder,
    Request,
    Transport,
    WriteRequest,
    encode,
)
from drivers.simulator import modbus_frames as device
from tests.support.examples import tries

UNITS = st.integers(1, 247)
TRANSPORTS: st.SearchStrategy[Transport] = st.sampled_from(["rtu", "tcp"])
WORDS = st.integers(0, 0xFFFF)


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[Request, Reply]:
    """A request and what a device answers to it."""
    function = draw(st.sampled_from(Function))
    address = draw(st.integers(0, 65_000))
    if function in (Function.WRITE_COIL, Function.WRITE_REGISTER, Function.WRITE_REGISTERS):
        most = 123 if function is Function.WRITE_REGISTERS else 1
        words = st.integers(0, 1) if function is Function.WRITE_COIL else WORDS
        values = tuple(draw(st.lists(words, min_size=1, max_size=most)))
        return WriteRequest(function, address, values), Reply()
    bits = function in BIT_READS
    values = tuple(draw(st.lists(st.integers(0, 1) if bits else WORDS, min_size=1, max_size=40)))
    return ReadRequest(function, address, len(values)), Reply(values)


def answered(transport: Transport, unit: int, request: Request, values: tuple[int, ...], transaction: int) -> bytes:
    """The bytes of the simulated device's answer."""
    tcp = transport == "tcp"
    reader = device.TcpReader() if tcp else device.RtuReader()
    (heard,) = reader.feed(encode(transport, unit, request, transaction))
    return device.envelope(heard, device.answer(heard, values), tcp=tcp)


def portions(data: bytes, cuts: list[int]) -> list[bytes]:
    """``data`` cut at the given places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


@pytest.mark.proves("every-split", "modbus")
@pytest.mark.proves("every-split", "modbus-gauge")
@given(TRANSPORTS, UNITS, exchanges(), st.integers(1, 0xFFFF), st.lists(st.integers(0, 300), max_size=12))
@settings(max_examples=tries(150), deadline=None)
def test_every_split_of_a_reply_gives_the_same_reply(
    transport: Transport, unit: int, exchange: tuple[Request, Reply], transaction: int, cuts: list[int]
) -> None:
    """In any portions, and byte by byte: the reply comes out once, with its last byte and not before."""
    request, reply = exchange
    raw = answered(transport, unit, request, reply.values, transaction)
    for parts in (portions(raw, cuts), [bytes((byte,)) for byte in raw]):
        decoder = ReplyDecoder(transport, unit, request, transaction)
        came = [decoder.feed(part) for part in parts]
        assert came[-1] == reply
        assert came[:-1] == [None] * (len(came) - 1)
        assert not decoder.rejected


@given(UNITS, exchanges(), st.binary(max_size=60), st.binary(max_size=60))
@settings(max_examples=tries(100), deadline=None)
def test_noise_around_an_rtu_reply_costs_nothing(
    unit: int, exchange: tuple[Request, Reply], before: bytes, after: bytes
) -> None:
    """Whatever comes before and after, the reply is found."""
    request, reply = exchange
    raw = answered("rtu", unit, request, reply.values, 0)
    assert ReplyDecoder("rtu", unit, request).feed(before + raw + after) == reply


@given(TRANSPORTS, UNITS, UNITS, exchanges(), exchanges())
@settings(max_examples=tries(100), deadline=None)
def test_the_late_reply_of_another_unit_is_never_taken_for_ours(
    transport: Transport, unit: int, other: int, late: tuple[Request, Reply], ours: tuple[Request, Reply]
) -> None:
    """It comes first, whole and intact; ours stands behind it."""
    if unit == other:
        return
    stray = answered(transport, other, late[0], late[1].values, 1)
    raw = answered(transport, unit, ours[0], ours[1].values, 2)
    assert ReplyDecoder(transport, unit, ours[0], 2).feed(stray + raw) == ours[1]


@given(TRANSPORTS, exchanges(), st.lists(st.binary(max_size=80), max_size=8))
@settings(max_examples=tries(200), deadline=None)
def test_no_bytes_raise_anything_but_a_driver_error(
    transport: Transport, exchange: tuple[Request, Reply], chunks: list[bytes]
) -> None:
    """Any bytes at all, in any portions."""
    decoder = ReplyDecoder(transport, 1, exchange[0], 1)
    with suppress(DriverError):
        for chunk in chunks:
            reply = decoder.feed(chunk)
            assert reply is None or len(reply.values) in (0, len(exchange[1].values))
        decoder.end()


@given(UNITS, exchanges(), st.data())
@settings(max_examples=tries(150), deadline=None)
def test_one_flipped_bit_is_never_taken_for_a_reply(
    unit: int, exchange: tuple[Request, Reply], data: st.DataObject
) -> None:
    """The checksum of RTU finds every single flipped bit."""
    request, reply = exchange
    raw = bytearray(answered("rtu", unit, request, reply.values, 0))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert ReplyDecoder("rtu", unit, request).feed(bytes(raw)) is None
