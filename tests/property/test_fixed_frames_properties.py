"""Frames of Lanfeng and Zhengxing in any stream: cut anywhere, with noise around, whatever the bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.lanfeng import codec as lanfeng
from drivers.zhengxing import codec as zhengxing
from tests.support.examples import tries
from tests.support.rigs.base import Subject
from tests.support.rigs.lanfeng import SUBJECT as LANFENG
from tests.support.rigs.zhengxing import SUBJECT as ZHENGXING

CASES: list[tuple[Subject, Callable[[], Any]]] = [(LANFENG, lanfeng.Decoder), (ZHENGXING, zhengxing.Decoder)]
NUMBERS = st.integers(0, 999_999)


def streams(subject: Subject) -> st.SearchStrategy[bytes]:
    """Valid frames, pieces of them and noise, in any order."""
    assert subject.wording is not None
    frames = st.sampled_from(subject.wording.samples)
    pieces = st.one_of(frames, frames.map(lambda frame: frame[: len(frame) // 2]), st.binary(max_size=8))
    return st.lists(pieces, max_size=6).map(b"".join)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.proves("every-split", case[0].protocol), id=str(case[0])) for case in CASES],
)
@settings(max_examples=tries(150))
@given(data=st.data())
def test_every_cut_of_a_stream_gives_the_same_frames(
    case: tuple[Subject, Callable[[], Any]], data: st.DataObject
) -> None:
    """Whole, byte by byte and cut at random: the same frames, the same count of what was dropped, never an exception."""
    subject, decoder = case
    stream = data.draw(streams(subject))
    whole = decoder()
    frames = whole.feed(stream)
    whole.silence()
    bytewise = decoder()
    assert [f for byte in stream for f in bytewise.feed(bytes((byte,)))] == frames
    bytewise.silence()
    assert bytewise.rejected == whole.rejected
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    random = decoder()
    assert [f for part in parts for f in random.feed(part)] == frames


@settings(max_examples=tries(150))
@given(code=st.sampled_from([lanfeng.Code.PRESET_AMOUNT, lanfeng.Code.PRESET_VOLUME]), digits=NUMBERS)
def test_lanfeng_numbers_come_back_from_the_wire(code: lanfeng.Code, digits: int) -> None:
    """What is sent is a frame with a right sum, its digits in place; a number too large is refused, never cut."""
    raw = lanfeng.encode(3, lanfeng.Request(code, digits))
    assert sum(raw[1:]) % 256 == 0
    assert int(raw[3:6].hex()) == digits
    with pytest.raises(Exception, match="does not fit"):
        lanfeng.encode(3, lanfeng.Request(code, digits + 10**6))


@settings(max_examples=tries(150))
@given(amount=st.integers(0, 2**20 - 1), volume=st.integers(0, 2**20 - 1), sequence=st.binary(min_size=2, max_size=2))
def test_a_zhengxing_record_keeps_twenty_bits_of_each_number(amount: int, volume: int, sequence: bytes) -> None:
    """Amount and volume share a byte and do not touch each other."""
    body = bytearray(32)
    body[3:8] = (amount << 20 | volume).to_bytes(5, "big")
    body[20:22] = sequence
    raw = zhengxing.encode(1, zhengxing.Request(zhengxing.Code.OLDEST_SALE, bytes(body)))
    (reply,) = zhengxing.Decoder().feed(raw)
    told = zhengxing.record(reply)
    assert (told.amount, told.volume, told.sequence) == (amount, volume, sequence.hex())
