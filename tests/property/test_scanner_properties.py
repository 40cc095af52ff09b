"""Any bytes and any cut: a scanner's codec gives the same frames, never raises, and stays within its cap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.scanner.codec import MAX_FRAME_BYTES, Frame, FrameDecoder

printable = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=40)
parts = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"\r", b"\n", b"\t", b"]Q1FM1:ABC\r\n", b"x" * (MAX_FRAME_BYTES + 1)]),
    ),
    max_size=8,
).map(b"".join)


@pytest.mark.proves("every-split", "serial-scanner")
@given(data=parts, cuts=st.lists(st.integers(0, 2000), max_size=6), tab=st.booleans())
def test_any_cut_gives_the_same_frames(data: bytes, cuts: list[int], tab: bool) -> None:
    """Where the bytes are cut does not change frames or counts, and no frame is longer than the cap."""
    whole = FrameDecoder(tab_ends=tab)
    expected = whole.feed(data) + whole.flush()
    pieces = FrameDecoder(tab_ends=tab)
    frames: list[Frame] = []
    at = 0
    for cut in [*sorted(cuts), len(data)]:
        frames += pieces.feed(data[at:cut])
        at = max(at, cut)
    assert frames + pieces.flush() == expected
    assert pieces.too_long == whole.too_long
    assert all(0 < len(frame.text) <= MAX_FRAME_BYTES for frame in expected)


@given(texts=st.lists(printable.filter(lambda text: not text.startswith("]")), max_size=6))
def test_every_printable_text_comes_back_once(texts: list[str]) -> None:
    """Each text sent with a terminator gives exactly one frame with that text."""
    data = "".join(f"]Q1{text}\r\n" for text in texts).encode("latin-1")
    assert FrameDecoder().feed(data) == [Frame(text, "]Q1") for text in texts]


@given(data=st.binary(max_size=3000))
def test_memory_stays_bounded(data: bytes) -> None:
    """Whatever comes, no more than the cap is kept."""
    decoder = FrameDecoder()
    decoder.feed(data)
    assert len(decoder._frame) <= MAX_FRAME_BYTES
