"""Modbus bytes taken apart for a person: worked examples, both sides of a wire, damage, and any bytes at all."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from drivers.dissection import Direction
from drivers.modbus.codec import Function, ReadRequest, WriteRequest, encode
from drivers.modbus.dissect import KIT, dissect
from drivers.simulator import modbus_frames as device

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "modbus.json").read_text(encoding="utf-8"))
FRAMES = {frame["name"]: bytes.fromhex(frame["bytes"]) for frame in VECTORS["rtu_frames"]}
REPLIES = {"m1-total-123.45", "exception-illegal-address"}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("told", [True, False], ids=["direction-told", "direction-unknown"])
def test_every_worked_example_is_one_whole_frame(name: str, told: bool) -> None:
    """With its checksum right, from the side that sent it, every byte in one field."""
    sender: Direction = "from_device" if name in REPLIES else "to_device"
    (piece,) = dissect(FRAMES[name], sender if told else None)
    assert (piece.check, piece.direction, piece.problem) == ("ok", sender, "")
    assert b"".join(field.raw for field in piece.fields) == FRAMES[name]


def test_an_exchange_over_tcp_is_read_on_both_sides() -> None:
    """Request and reply behind each other, told apart by their form."""
    request = ReadRequest(Function.READ_HOLDING, 12, 2)
    sent = encode("tcp", 3, request, 9)
    (heard,) = device.TcpReader().feed(sent)
    pieces = dissect(sent + device.envelope(heard, device.answer(heard, (5, 70)), tcp=True))
    assert [(piece.direction, piece.check) for piece in pieces] == [("to_device", "none"), ("from_device", "none")]
    assert [field.value for field in pieces[1].fields if field.name == "register"] == [5, 70]
    assert "unit 3" in pieces[0].summary


def test_a_damaged_frame_is_shown_as_what_it_was() -> None:
    """With both checksums, so that a person sees that it is damage and not another protocol."""
    raw = encode("rtu", 1, WriteRequest(Function.WRITE_REGISTER, 100, (1,)))
    (piece,) = dissect(raw[:-1] + bytes((raw[-1] ^ 1,)), "to_device")
    assert (piece.check, piece.problem) == ("bad", "wrong checksum")
    assert piece.check_given != piece.check_computed


def test_noise_before_a_frame_is_a_piece_of_its_own() -> None:
    """And the frame behind it is found."""
    noise, frame = b"\xff\x00\x07", FRAMES["m1-total-123.45"]
    pieces = dissect(noise + frame)
    assert [piece.raw for piece in pieces] == [noise, frame]


def test_the_questions_of_a_search_change_nothing() -> None:
    """Reads of one register, for every unit."""
    for unit in KIT.addresses:
        assert all(question[1] in (3, 4) for question in KIT.probes(unit))


@given(st.binary(max_size=120), st.sampled_from([None, "to_device", "from_device"]))
@settings(max_examples=200, deadline=None)
def test_no_byte_is_lost_whatever_comes(data: bytes, direction: Direction) -> None:
    """Pieces joined are the input, fields joined are the piece, and nothing is raised."""
    pieces = dissect(data, direction)
    assert b"".join(piece.raw for piece in pieces) == data
    for piece in pieces:
        assert b"".join(field.raw for field in piece.fields) == piece.raw
