"""Frames of a serial scanner: terminators, cap, preamble, AIM id."""

from __future__ import annotations

import pytest

from drivers.scanner.codec import MAX_FRAME_BYTES, Frame, FrameDecoder


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b"A\r\r\n\nB\n", ["A", "B"]),
        (b"\r\n\r\n", []),
        (b"A\n\rB\r", ["A", "B"]),
        (b"A\tB\r", ["A\tB"]),
        (b"A", []),
        (b"\x00\x80\xff\x1d\r", ["\x00\x80\xff\x1d"]),
    ],
)
def test_any_run_of_cr_and_lf_ends_a_frame(data: bytes, texts: list[str]) -> None:
    """Empty frames are ignored and other controls are text for the classifier."""
    assert [frame.text for frame in FrameDecoder().feed(data)] == texts


@pytest.mark.proves("every-split", "serial-scanner")
@pytest.mark.proves("vectors", "serial-scanner")
def test_the_published_example_gives_one_frame_at_any_cut() -> None:
    """The AIM id is removed once and kept, wherever the bytes are cut."""
    data = b"]Q1FM1:MWG..0\r\n"
    for cut in range(len(data) + 1):
        decoder = FrameDecoder()
        assert decoder.feed(data[:cut]) + decoder.feed(data[cut:]) == [Frame("FM1:MWG..0", "]Q1")]


@pytest.mark.parametrize(
    ("data", "frame"),
    [
        (b"]C0123\r", Frame("123", "]C0")),
        (b"]zC123\r", Frame("123", "]zC")),
        (b"]q1abc\r", Frame("abc", "]q1")),
        (b"]Q1]Q1X\r", Frame("]Q1X", "]Q1")),
        (b"]-1X\r", Frame("]-1X")),
        (b"]Q\r", Frame("]Q")),
        (b"plain\r", Frame("plain")),
    ],
)
def test_an_aim_id_is_recognised_with_or_without(data: bytes, frame: Frame) -> None:
    """Only a bracket, a letter and a modifier are an id, and only one is removed."""
    assert FrameDecoder().feed(data) == [frame]


def test_a_frame_of_an_aim_id_alone_is_empty() -> None:
    """A code without content is no scan."""
    assert FrameDecoder().feed(b"]Q1\r") == []


def test_a_fixed_preamble_is_removed_before_the_aim_id() -> None:
    """The preamble stands first on the wire; a frame without it is taken as it is."""
    decoder = FrameDecoder(preamble="##")
    assert decoder.feed(b"##]Q1CODE\rCODE\r") == [Frame("CODE", "]Q1"), Frame("CODE")]


def test_tab_ends_a_frame_only_if_told() -> None:
    """With the setting a TAB is a terminator like CR."""
    assert [frame.text for frame in FrameDecoder(tab_ends=True).feed(b"A\tB\t\r")] == ["A", "B"]


def test_a_frame_over_the_cap_is_dropped_whole() -> None:
    """512 bytes pass, 513 do not, not even their tail, and the next frame is good."""
    decoder = FrameDecoder()
    assert len(decoder.feed(b"x" * MAX_FRAME_BYTES + b"\r")) == 1
    assert decoder.feed(b"y" * (MAX_FRAME_BYTES + 1) + b"tail\rgood\r") == [Frame("good")]
    assert decoder.too_long == 1


def test_reset_drops_and_counts_what_is_pending() -> None:
    """Half a code never joins the next one."""
    decoder = FrameDecoder()
    decoder.feed(b"HALF")
    assert decoder.partial
    decoder.reset()
    assert (decoder.partial, decoder.cut_short) == (False, 1)
    decoder.reset()
    assert decoder.cut_short == 1
    assert decoder.feed(b"WHOLE\r") == [Frame("WHOLE")]


def test_flush_gives_what_is_pending_as_a_frame() -> None:
    """For scanners without a suffix silence is the end; nothing pending gives nothing."""
    decoder = FrameDecoder()
    decoder.feed(b"]Q1CODE")
    assert decoder.flush() == [Frame("CODE", "]Q1")]
    assert decoder.flush() == []
    decoder.feed(b"z" * 600)
    assert decoder.flush() == []


def test_a_scan_does_not_show_its_text() -> None:
    """The text is a secret until it is classified."""
    assert "SECRET" not in repr(Frame("SECRET", "]Q1"))
