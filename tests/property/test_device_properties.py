"""Decoding never raises and never loses a byte; hex in any form and recordings come back as they went in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.field.hexdump import NotHex, parse
from agent.field.recording import Chunk, NotARecording, Recorder, header, load
from drivers import registry
from drivers.dissection import Direction
from drivers.marks import Marks
from tests.support.examples import tries

VECTORS = Path(__file__).parents[1] / "vectors"
DART = [bytes.fromhex(v["bytes"]) for v in json.loads((VECTORS / "dart.json").read_text())["frames"]]
TLS = [
    bytes.fromhex(v["bytes"])
    for v in json.loads((VECTORS / "veeder_root.json").read_text())["vectors"]
    if v["kind"] in ("reply", "stream", "display", "command")
]
PARTS = st.one_of(
    st.binary(max_size=24),
    st.sampled_from([*DART, *TLS, b"]Q1FM1:ABC\r\n", b"\x1b", b"\x01", b"&&", b"\xfa", b"\x10\xfa"]),
)
DIRECTIONS: list[Direction] = ["to_device", "from_device", None]


@st.composite
def wires(draw: Any) -> bytes:
    """Frames, noise and frames with one byte changed, in any order."""
    data = bytearray(b"".join(draw(st.lists(PARTS, max_size=6))))
    for at in draw(st.lists(st.integers(0, max(0, len(data) - 1)), max_size=3)):
        if data:
            data[at] = draw(st.integers(0, 255))
    return bytes(data)


@pytest.mark.parametrize("protocol", [name for name in registry.BUILT_IN if registry.spec(name).field_kit])
@settings(max_examples=tries(80))
@given(data=wires(), direction=st.sampled_from(DIRECTIONS))
def test_no_byte_is_lost_and_nothing_raises(protocol: str, data: bytes, direction: Direction) -> None:
    """For any bytes of any protocol, the spans of the fields joined are the input, and each stands at its offset."""
    kit = registry.field_kit(registry.spec(protocol))
    assert kit is not None
    pieces = kit.dissect(data, direction)
    assert b"".join(piece.raw for piece in pieces) == data
    at = 0
    for piece in pieces:
        assert piece.offset == at
        assert b"".join(field.raw for field in piece.fields) == piece.raw
        assert 0 <= piece.confidence <= 100
        for field in piece.fields:
            assert field.offset == at
            at += len(field.raw)
    assert "".join(piece.summary for piece in pieces) is not None


def ascii_column(row: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)


def rows(data: bytes) -> list[tuple[int, bytes]]:
    return [(at, data[at : at + 16]) for at in range(0, len(data), 16)]


def xxd(data: bytes) -> str:
    lines = []
    for at, row in rows(data):
        pairs = " ".join(row[n : n + 2].hex() for n in range(0, len(row), 2))
        lines.append(f"{at:08x}: {pairs:<39}  {ascii_column(row)}")
    return "\n".join(lines)


def hexdump_c(data: bytes) -> str:
    lines: list[str] = []
    before = None
    for at, row in rows(data):
        if row == before and at + 16 < len(data):
            if lines[-1] != "*":
                lines.append("*")
            continue
        before = row
        left, right = row[:8].hex(" "), row[8:].hex(" ")
        lines.append(f"{at:08x}  {left:<23}  {right:<23}  |{ascii_column(row)}|")
    return "\n".join([*lines, f"{len(data):08x}"])


FORMS = {
    "plain": lambda data: data.hex(),
    "spaced": lambda data: data.hex(" ").upper(),
    "colons": lambda data: data.hex(":"),
    "rows": lambda data: "\n".join(row.hex(" ") for _, row in rows(data)),
    "c-array": lambda data: "{" + ", ".join(f"0x{byte:02X}" for byte in data) + "}",
    "python": lambda data: 'b"' + "".join(f"\\x{byte:02x}" for byte in data) + '"',
    "xxd": xxd,
    "hexdump-C": hexdump_c,
}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=tries(60))
@given(data=st.one_of(st.binary(min_size=1, max_size=80), st.binary(min_size=1, max_size=3).map(lambda b: b * 40)))
def test_a_dump_in_any_common_form_gives_the_bytes_back(form: str, data: bytes) -> None:
    """Also with an ASCII column that looks like hex, and with the star of repeated rows."""
    assert parse(FORMS[form](data)) == data


@settings(max_examples=tries(60))
@given(text=st.text(alphabet='0123456789abcdefxX:|,;*\\ \n\t"é', max_size=60))
def test_any_text_is_hex_or_refused(text: str) -> None:
    """Nothing but ``NotHex`` comes out of a wrong paste."""
    try:
        size = len(parse(text))
    except NotHex:
        return
    assert 0 < size <= len(text) or "*" in text


CHUNKS = st.lists(
    st.builds(
        lambda t_us, side, data, at: Chunk(t_us, side, data, (at % len(data),) if data and at % 3 == 0 else ()),
        st.integers(0, 10**9),
        st.sampled_from(["a", "b", "?"]),
        st.binary(min_size=1, max_size=20),
        st.integers(0, 100),
    ),
    max_size=8,
)


@settings(max_examples=tries(40))
@given(chunks=CHUNKS)
def test_a_recording_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[Chunk]
) -> None:
    """Times, sides, bytes and damaged positions; cut inside its last line it still gives all before."""
    path = tmp_path_factory.mktemp("tape") / "line.jsonl"
    recorder = Recorder(path, header({"b": "/dev/x"}, "dart", {"baudrate": 9600}, "2026-01-05T06:00:00+00:00"))
    for chunk in chunks:
        recorder.chunk(chunk)
    recorder.close()
    text = path.read_text(encoding="ascii")
    found = load(text)
    assert (list(found.chunks), found.protocol, found.cut) == (chunks, "dart", False)
    if chunks:
        cut = load(text[:-4])
        assert (list(cut.chunks), cut.cut) == (chunks[:-1], True)


@settings(max_examples=tries(40))
@given(text=st.text(alphabet='{}":,format-recding01 \n', max_size=80))
def test_any_text_is_a_recording_or_refused(text: str) -> None:
    """Nothing but ``NotARecording`` comes out of a wrong file."""
    with pytest.raises(NotARecording):
        load(text)


@given(
    parts=st.lists(st.tuples(st.integers(0, 255), st.booleans()), max_size=30),
    cuts=st.lists(st.integers(1, 5), max_size=60),
)
def test_marked_characters_come_out_plain_wherever_the_stream_is_cut(
    parts: list[tuple[int, bool]], cuts: list[int]
) -> None:
    """FF 00 x is one damaged x, FF FF one real FF; positions are those of the plain bytes."""
    marked = b"".join(
        bytes((0xFF, 0, byte)) if bad else bytes((byte,)) * (2 if byte == 0xFF else 1) for byte, bad in parts
    )
    marks = Marks()
    out, at = b"", 0
    for size in [*cuts, len(marked)]:
        out += marks.feed(marked[at : at + size])
        at += size
    assert out == bytes(byte for byte, _ in parts)
    assert marks.take() == tuple(n for n, (_, bad) in enumerate(parts) if bad)
