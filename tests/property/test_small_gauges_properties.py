"""Frames of H-protocol, PD-3 and SENS in any bytes, arriving in any pieces: the same answer, or the same refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import registry
from drivers.asked import Heard
from drivers.collecting import Collecting
from drivers.dissection import Direction
from drivers.errors import FrameRejected
from drivers.experimental import middle
from drivers.h_protocol import codec as h
from drivers.pd3 import codec as pd3
from drivers.sens import codec as sens
from drivers.simulator.h_gauge import HGauge
from drivers.turns import Pace
from tests.support.examples import tries
from tests.support.rigs import aoke_pd3, h_protocol, sens_pmp
from tests.support.rigs.base import Subject
from tests.support.small_gauges import Stand
from tests.support.wire import VirtualPort

Read = Callable[[bytes], Sequence[Any]]
CASES: list[tuple[Subject, Read, bytes]] = [
    (h_protocol.SUBJECT, h.replies, h.encode(h.Asks.VOLUME, 1)),
    (aoke_pd3.SUBJECT, pd3.replies, pd3.QUESTION),
    (sens_pmp.SUBJECT, sens.replies, sens.encode(1)),
]
SIDES: list[Direction] = ["to_device", "from_device", None]
PACE = Pace(9600, 10, 0.0, 1.0, 1.0, 0.1)
CHARACTER_S = 11 / 9600


def streams(subject: Subject) -> st.SearchStrategy[bytes]:
    """Valid frames, pieces of them and noise, in any order."""
    assert subject.wording is not None
    frames = st.sampled_from(subject.wording.samples)
    pieces = st.one_of(frames, frames.map(lambda frame: frame[: len(frame) // 2]), st.binary(max_size=8))
    return st.lists(pieces, max_size=4).map(b"".join)


def outcome(read: Read, data: bytes) -> tuple[Sequence[Any], FrameRejected | None]:
    """The frames in bytes, or why there are none."""
    try:
        return read(data), None
    except FrameRejected as error:
        return [], error


def asked(read: Read, question: bytes, parts: Sequence[bytes]) -> tuple[object, dict[str, int]]:
    """What a question comes to whose answer arrives in these parts without a pause, and what was refused."""
    port = VirtualPort(lambda _question: b"")

    def through(_request: bytes, _reply: bytes) -> list[tuple[float, bytes]]:
        sent = 0
        arriving = []
        for part in parts:
            arriving.append((sent * CHARACTER_S, part))
            sent += len(part)
        return arriving

    port.through = through
    wire = Collecting(read, PACE)
    return wire.ask(port, question), wire.take_rejected()


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.proves("every-split", case[0].protocol), id=str(case[0])) for case in CASES],
)
@settings(max_examples=tries(100))
@given(data=st.data())
def test_every_cut_of_an_answer_gives_the_same(case: tuple[Subject, Read, bytes], data: st.DataObject) -> None:
    """Whole, byte by byte and cut at random; behind our own echo too; what comes is a frame of the codec or nothing."""
    subject, read, question = case
    stream = data.draw(streams(subject))
    whole = asked(read, question, [stream])
    assert asked(read, question, [stream[at : at + 1] for at in range(len(stream))]) == whole
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert asked(read, question, parts) == whole
    if not stream.startswith(question):
        assert asked(read, question, [question, stream]) == whole
    if isinstance(whole[0], Heard):
        assert (whole[0] is Heard.NOTHING) is (not stream)
        assert sum(whole[1].values()) == bool(stream)
    else:
        assert whole[0] in read(stream)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
@settings(max_examples=tries(200))
@given(data=st.binary(max_size=80))
def test_any_bytes_are_frames_or_refused(case: tuple[Subject, Read, bytes], data: bytes) -> None:
    """Nothing but ``FrameRejected`` with a reason and a hint ever comes of them."""
    frames, refused = outcome(case[1], data)
    assert bool(frames) is (refused is None)
    assert refused is None or (refused.reason and refused.hint)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case[0]))
@settings(max_examples=tries(100))
@given(data=st.data())
def test_a_person_loses_no_byte_of_a_stream(case: tuple[Subject, Read, bytes], data: st.DataObject) -> None:
    """Frames, halves, questions and noise: the fields joined are what came, and every frame of the codec is shown."""
    subject, read, question = case
    stream = data.draw(st.sampled_from([b"", question])) + data.draw(streams(subject))
    kit = registry.field_kit(subject.spec)
    assert kit is not None
    pieces = kit.dissect(stream, data.draw(st.sampled_from(SIDES)))
    assert b"".join(field.raw for piece in pieces for field in piece.fields) == stream
    if len(outcome(read, stream)[0]) == 1:
        assert [piece for piece in pieces if piece.check == "ok" and piece.direction == "from_device"]


@settings(max_examples=tries(100))
@given(
    litres=st.integers(0, 999_999),
    tenths=st.integers(-400, 700),
    water_mm=st.integers(0, 9_999),
    between=st.sampled_from(["", "@"]),
)
def test_an_h_reply_comes_back_from_the_wire(litres: int, tenths: int, water_mm: int, between: str) -> None:
    """With noise before and behind; either checksum tells which it is."""
    fields = [f"{litres:06d}", f"{water_mm:04d}", f"{tenths:+04d}", "+000", "10", "0"]
    (reply,) = h.replies(b"\x00\xff\r" + h_protocol.sealed(fields, between) + b"\x7f")
    assert (int(reply.data), int(reply.water), reply.temperature_tenths) == (litres, water_mm, tenths)
    assert reply.check is (h.Check.WITH if between else h.Check.WITHOUT)


@settings(max_examples=tries(60))
@given(value=st.floats(-60_000, 60_000, width=16), address=st.integers(1, 255))
def test_a_probe_value_comes_back_from_the_wire(value: float, address: int) -> None:
    """Every float of sixteen bits fits into the three bytes that are sent."""
    stand = Stand("sens-pmp", tanks=(1,))
    stand.tanks[address] = stand.tanks[1]
    stand.tanks[address].temperature_mdegc = round(value * 1_000)
    (reply,) = sens.replies(stand.gauge.receive(sens.encode(address)))
    told = reply.value(sens.Parameter.TEMPERATURE)
    assert told is not None
    assert abs(told - value) <= 0.001 + abs(value) / 2**15


@given(values=st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=1, max_size=3))
def test_the_middle_of_three_is_neither_the_smallest_nor_the_largest(values: list[int | None]) -> None:
    """One wrong number among three is never the one that counts."""
    found = middle(values)
    assert found in values
    if len(values) == 3 and None not in values:
        assert sorted(value for value in values if value is not None)[1] == found


def test_a_simulated_gauge_needs_the_whole_question() -> None:
    """Cut anywhere, the two halves together are one question."""
    stand = Stand("h-protocol")
    assert isinstance(stand.gauge, HGauge)
    question = h.encode(h.Asks.VOLUME, 2)
    whole = stand.gauge.receive(question)
    for cut in range(1, len(question)):
        assert stand.gauge.receive(question[:cut]) + stand.gauge.receive(question[cut:]) == whole
