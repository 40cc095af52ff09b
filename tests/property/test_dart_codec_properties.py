"""What holds for every DART frame and every run of garbage."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.checks import bcd_to_int, int_to_bcd
from drivers.dart import blocks
from drivers.dart.codec import MAX_RAW, Control, Decoder, Frame, encode
from tests.support.examples import tries

tricky = st.lists(st.sampled_from([0x10, 0xFA, 0x03, 0x51, 0x00, 0x30]), max_size=60).map(bytes)
data_frames = st.builds(
    Frame,
    address=st.integers(0x50, 0xCF),
    control=st.just(Control.DATA),
    tx=st.integers(0, 15),
    data=st.one_of(st.binary(max_size=100), tricky),
)
short_frames = st.builds(
    Frame,
    address=st.integers(0x50, 0xCF),
    control=st.sampled_from([control for control in Control if control is not Control.DATA]),
    tx=st.integers(0, 15),
)


@pytest.mark.proves("every-split", "dart")
@settings(max_examples=tries(200), deadline=None)
@given(st.lists(st.one_of(data_frames, short_frames), max_size=6), st.data())
def test_frames_survive_the_wire_however_it_is_cut(frames: list[Frame], data: st.DataObject) -> None:
    """Encoded frames come back equal and in order from any portions of bytes."""
    raw = b"".join(encode(frame) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    decoder = Decoder()
    found: list[Frame] = []
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += decoder.feed(raw[begin:end])
    assert found == frames
    assert decoder.rejected == {}


@settings(max_examples=tries(200), deadline=None)
@given(st.one_of(st.binary(max_size=600), st.lists(tricky, max_size=12).map(b"".join)))
def test_garbage_is_dropped_and_never_raises(garbage: bytes) -> None:
    """Whatever arrives, the decoder raises nothing, keeps little, and works again after a silence."""
    decoder = Decoder()
    for frame in decoder.feed(garbage):
        blocks.decode(frame.data)
    assert len(decoder._buffer) <= MAX_RAW
    decoder.silence()
    assert decoder.feed(bytes.fromhex("5170FA")) == [Frame(0x51, Control.EOT)]


@settings(max_examples=tries(200), deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_block_decodes_without_raising(data: bytes, s4_dialect: bool) -> None:
    """Any content of a valid block is read as far as it makes sense."""
    decoded = blocks.decode(data, s4_dialect=s4_dialect)
    assert all(reason in {"overrun", "bcd", "length", "value"} for reason in decoded.left_out)


@settings(max_examples=tries(100), deadline=None)
@given(data_frames, st.data())
def test_one_flipped_bit_never_passes(frame: Frame, data: st.DataObject) -> None:
    """A block with one wrong bit anywhere before its end is never delivered as another block of the same sender."""
    raw = bytearray(encode(frame))
    at = data.draw(st.integers(0, len(raw) - 2))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    for found in Decoder().feed(bytes(raw)):
        assert found.control is not Control.DATA


@given(st.integers(0, 10**10 - 1))
def test_packed_decimals_round_trip(value: int) -> None:
    """Ten digits go to five bytes and back."""
    assert bcd_to_int(int_to_bcd(value, 5)) == value
