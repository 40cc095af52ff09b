"""Any bytes and any cut: the TLS codec and its parsers give results or our own errors, nothing else."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import FrameRejected
from drivers.veeder_root import display
from drivers.veeder_root.codec import Kind, Rejected, Reply, ReplyDecoder, checksum
from drivers.veeder_root.fields import console_time, float32
from drivers.veeder_root.records import delivery
from drivers.veeder_root.tables import INQUIRIES, parse
from drivers.veeder_root.units import units_of
from tests.support.examples import tries
from tests.support.tls_console import ConsolePort, gauge

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "veeder_root.json").read_text())["vectors"]
FRAMES = [
    bytes.fromhex(vector["bytes"]) for vector in VECTORS if vector["kind"] in ("reply", "reject", "stream", "display")
]
REASONS = {"truncated", "checksum", "echo", "layout", "too_long"}

noise = st.binary(max_size=40)
traffic = st.lists(st.one_of(noise, st.sampled_from(FRAMES)), max_size=5).map(b"".join)


def new_decoder(**settings: Any) -> Any:
    return ReplyDecoder(**settings)


def parsed(code: str, data: str) -> Any:
    return parse(code, data)


@pytest.mark.proves("every-split", "veeder-root")
@given(data=traffic, cuts=st.lists(st.integers(0, 4000), max_size=6), seven_bit=st.booleans())
@settings(deadline=None, max_examples=tries(150))
def test_any_cut_gives_the_same_events(data: Any, cuts: Any, seven_bit: Any) -> None:
    """Where the bytes are cut does not change what comes out, silence at the end included."""
    whole = new_decoder(seven_bit=seven_bit)
    expected = [*whole.feed(data), *whole.idle()]
    pieces = new_decoder(seven_bit=seven_bit)
    events, at = [], 0
    for cut in [*sorted(cuts), len(data)]:
        events += pieces.feed(data[at:cut])
        at = max(at, cut)
    assert [*events, *pieces.idle()] == expected


@given(data=st.binary(max_size=300))
def test_garbage_gives_events_with_known_reasons(data: Any) -> None:
    """No input raises, and every refusal has one of the five reasons."""
    decoder = new_decoder()
    decoder.reset("i20100")
    for event in [*decoder.feed(data), *decoder.idle()]:
        assert isinstance(event, Reply) or (isinstance(event, Rejected) and event.reason in REASONS)


@given(
    code=st.sampled_from(sorted(INQUIRIES)),
    data=st.text(alphabet="0123456789ABCDEF?& Zz", max_size=120),
)
def test_a_parser_returns_records_or_refuses_the_layout(code: Any, data: Any) -> None:
    """Data that passed the checksum but makes no sense gives a typed error and nothing else."""
    try:
        answer = parsed(code, "2611211530" + data)
    except FrameRejected as error:
        clock, reason = "", error.reason
    else:
        clock, reason = answer.clock, ""
    assert (clock, reason) in (("2611211530", ""), ("", "layout"))


@given(text=st.text(alphabet="0123456789.+-?:, \r\n\x00ABTANKPRODUCSEMJ", max_size=200))
def test_a_page_gives_rows_or_refuses_the_layout(text: Any) -> None:
    """No page raises anything but a layout error, and its clock is ten digits or unknown."""
    assert len(display.console_clock(text)) in (0, 10)
    for read in (display.inventory, display.tank_alarms, display.deliveries):
        try:
            rows, reason = len(read(text)), ""
        except FrameRejected as error:
            rows, reason = 0, error.reason
        assert (rows > 0) == (reason != "layout")


@given(at=st.integers(1, 90), bit=st.integers(0, 6))
def test_a_flipped_bit_never_passes_as_another_value(at: Any, bit: Any) -> None:
    """A single flipped bit anywhere in an inventory frame gives no reply with other data."""
    good = next(bytes.fromhex(vector["bytes"]) for vector in VECTORS if vector["name"] == "201-manual-values")
    original = new_decoder().feed(good)[0].data
    bad = bytearray(good)
    at %= len(bad)
    bad[at] ^= 1 << bit
    decoder = new_decoder()
    decoder.reset("i20101")
    events = [*decoder.feed(bytes(bad)), *decoder.idle()]
    assert all(event.data == original for event in events if isinstance(event, Reply) and event.kind is Kind.COMPUTER)


@given(label=st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=20, max_size=20))
def test_any_label_comes_back_as_it_was_set(label: Any) -> None:
    """Every printable label of 20 characters survives the frame, ampersands and hex letters included."""
    raw = b"\x01i602002611211530" + b"01" + label.encode() + b"&&"
    (event,) = new_decoder().feed(raw + checksum(raw).encode() + b"\x03")
    assert parsed("602", event.data).records[0].text == label


@given(bits=st.integers(0, 2**32 - 1), system=st.sampled_from([1, 2, 3]))
def test_every_float_becomes_a_bounded_integer_or_nothing(bits: Any, system: Any) -> None:
    """No bit pattern gives a number that a store cannot hold."""
    units = units_of(system, "in", "C")
    value = float32(f"{bits:08X}")
    for convert in (units.volume_ml, units.height_um, units.temperature_mdegc):
        result = convert(value)
        assert result is None or abs(result) <= 10**12


VALUES = st.lists(st.integers(0, 2**32 - 1).map("{:08X}".format), max_size=18)
DIGITS = st.text(alphabet="0123456789", min_size=10, max_size=10)


@given(listed=st.lists(st.tuples(DIGITS, DIGITS, VALUES), max_size=4), system=st.sampled_from([1, 2, 3]))
def test_every_delivery_list_is_read_with_a_key_for_each(listed: Any, system: Any) -> None:
    """Any times and floats give one delivery each, whose key and text are the console's own digits."""
    texts = [f"{start}{end}{len(values):02X}{''.join(values)}" for start, end, values in listed]
    (record,) = parsed("202", "2611211530" + f"011{len(texts):02d}" + "".join(texts)).records
    found = [delivery(one, units_of(system, "mm", "C")) for one in record.records]
    assert [one.raw for one in found] == texts
    assert all(one.key.startswith(start) for one, (start, _, _) in zip(found, listed, strict=True))
    assert all(one.start == console_time(start) for one, (start, _, _) in zip(found, listed, strict=True))


@given(digits=st.text(alphabet="0123456789?", min_size=10, max_size=10))
def test_a_console_clock_is_a_date_or_empty(digits: Any) -> None:
    """Ten characters never raise."""
    assert len(console_time(digits)) in (0, 16)


@given(replies=st.lists(st.one_of(noise, st.sampled_from(FRAMES)), min_size=1, max_size=8), code=st.booleans())
@settings(deadline=None, max_examples=tries(60))
def test_a_console_that_talks_nonsense_never_breaks_the_driver(replies: list[bytes], code: bool) -> None:
    """Whatever comes back, turns end in time, nothing is raised, and only inquiries and ESC are written."""
    port = ConsolePort()
    answers = itertools.cycle(replies)
    port.script = lambda _question: next(answers)
    device = gauge(**({"security_code": "123456"} if code else {}))
    for _ in range(60):
        before = port.now
        device.turn(port)
        assert port.now - before < 60
        port.now += min(60.0, device.due_in_s())
    assert all(data == b"\x1b" or data.removeprefix(b"\x01").removeprefix(b"123456")[:1] in b"iI" for data in port.raw)
