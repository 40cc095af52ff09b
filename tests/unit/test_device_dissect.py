"""Bytes taken apart for a person: every published frame decodes to its published values, and says who sent it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.dart.dissect import dissect as dart
from drivers.dissection import Piece
from drivers.scanner.dissect import dissect as scanner
from drivers.veeder_root.dissect import dissect as tls
from drivers.veeder_root.fields import float32

VECTORS = Path(__file__).parents[1] / "vectors"
DART = json.loads((VECTORS / "dart.json").read_text())
TLS = json.loads((VECTORS / "veeder_root.json").read_text())["vectors"]
SENDERS: dict[str, Any] = {"to_pump": "to_device", "from_pump": "from_device"}


def by_name(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def values(piece: Piece) -> list[tuple[str, Any]]:
    return [(field.name, field.value) for field in piece.fields if not field.framing]


def whole(pieces: list[Piece], data: bytes) -> None:
    """Nothing is lost, and every field stands where it says."""
    assert b"".join(piece.raw for piece in pieces) == data
    for piece in pieces:
        assert b"".join(field.raw for field in piece.fields) == piece.raw
        for field in piece.fields:
            assert data[field.offset : field.offset + len(field.raw)] == field.raw


def expected_dart(transaction: dict[str, Any]) -> list[tuple[str, Any]]:
    """The fields that a transaction of the vector file must come out as."""
    names = {
        "preset_volume": "preset volume",
        "preset_amount": "preset amount",
        "volume": "volume",
        "amount": "amount",
        "price": "price",
        "total": "total",
        "grade1": "total of grade 1",
        "grade2": "total of grade 2",
        "total_volume": "volume total",
        "total_amount": "amount total",
        "alarm": "alarm",
        "maker": "maker",
        "type": "type",
        "program": "program",
        "nozzle": "nozzle",
    }
    found: list[tuple[str, Any]] = []
    for key, value in transaction.items():
        if key == "counter":
            found.append(("counter", int(value, 16)))
        elif key == "prices":
            found += [(f"price of nozzle {n}", price) for n, price in enumerate(value, 1)]
        elif key == "nozzles":
            found += [("allowed nozzle", nozzle) for nozzle in value]
        elif key in names:
            found.append((names[key], value))
    return found


@pytest.mark.parametrize("vector", by_name(DART["frames"]))
@pytest.mark.parametrize("told", [True, False], ids=["direction-told", "direction-unknown"])
def test_every_published_dart_frame_has_its_published_values(vector: dict[str, Any], told: bool) -> None:
    """Address, kind, number, checksum and each transaction; without a direction it is found, or left open."""
    data, expected = bytes.fromhex(vector["bytes"]), vector["expected"]
    sender = SENDERS[vector["direction"]]
    (piece,) = pieces = dart(data, sender if told else None)
    whole(pieces, data)
    assert (piece.kind, piece.fields[0].value) == (expected["control"], int(expected["address"], 16))
    assert piece.fields[1].value == expected["tx"]
    assert piece.check_given == expected.get("crc", "")
    assert piece.direction in (sender, None)
    if piece.direction is None:
        assert not told or expected["control"] in ("ACK", "NAK")
        return
    wanted = [pair for transaction in expected.get("transactions", []) for pair in expected_dart(transaction)]
    assert [pair for pair in values(piece) if pair[0] not in ("address", "command", "state")] == wanted
    for transaction in expected.get("transactions", []):
        word = transaction.get("command") or transaction.get("status") or ""
        assert word.replace("_", " ") in piece.summary


@pytest.mark.parametrize("vector", by_name(DART["streams"]))
def test_a_published_dart_stream_keeps_its_frames_and_its_noise(vector: dict[str, Any]) -> None:
    """Frames that the sheet expects are sound, everything else is shown with a reason."""
    data = bytes.fromhex(vector["bytes"])
    pieces = dart(data, "from_device")
    whole(pieces, data)
    assert [p.raw.hex().upper() for p in pieces if not p.problem] == vector["expected_frames"]
    assert all(p.problem for p in pieces if p.raw.hex().upper() not in vector["expected_frames"])


@pytest.mark.parametrize("dialogue", by_name([*DART["dialogues"], *DART["sessions"]]))
def test_both_sides_on_one_wire_are_told_apart(dialogue: dict[str, Any]) -> None:
    """From the first poll on each frame of a published dialogue is given to who sent it."""
    steps = [step for step in dialogue["steps"] if step.get("bytes")]
    pieces = dart(b"".join(bytes.fromhex(step["bytes"]) for step in steps))
    first = next((n for n, piece in enumerate(pieces) if piece.kind == "POLL"), len(pieces))
    frames = [frame for step in steps for frame in dart(bytes.fromhex(step["bytes"]))]
    senders = [step["from"] for step in steps for _ in dart(bytes.fromhex(step["bytes"]))]
    assert len(frames) == len(pieces)
    for piece, sender in list(zip(pieces, senders, strict=True))[first:]:
        if not piece.problem:
            assert piece.direction == ("to_device" if sender == "agent" else "from_device"), piece


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("5131010104636303FA", "checksum"),
        ("5131010105", "cut off"),
        ("00FF7EFA", "00 is no address"),
        ("5190FA", "90 is no control byte"),
        ("FA", "shorter than a frame"),
    ],
)
def test_what_is_no_dart_frame_is_shown_with_the_reason(data: str, problem: str) -> None:
    """Damaged, cut and foreign bytes are never dropped."""
    (piece,) = pieces = dart(bytes.fromhex(data))
    whole(pieces, bytes.fromhex(data))
    assert problem in piece.problem


def test_an_unknown_dart_transaction_is_named_unknown_with_its_bytes() -> None:
    """The block around it still decodes."""
    from drivers.checks import crc16_arc

    head = bytes.fromhex("5131 7702ABCD 010105")
    crc = crc16_arc(head)
    (piece,) = dart(head + bytes((crc & 0xFF, crc >> 8, 3, 0xFA)), "from_device")
    assert ("transaction", 0x77) in values(piece)
    assert ("value", "ABCD") in values(piece)
    assert ("state", 5) in values(piece)


def plain_floats(piece: Piece) -> list[tuple[str, float | None]]:
    found = []
    for field in piece.fields:
        if len(field.raw) == 8 and field.name not in ("undecoded", "filled", "terminator"):
            exact = float32(bytes(b & 0x7F for b in field.raw).decode())
            found.append((field.name, None if exact is None else float(exact)))
    return found


def numbers(value: Any) -> list[float | None]:
    """Every float of an expectation, in the order of the file."""
    if isinstance(value, dict):
        return [one for key, entry in value.items() if key != "delay_min" for one in numbers(entry)]
    if isinstance(value, list):
        return [one for entry in value for one in numbers(entry)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize("vector", by_name([v for v in TLS if v["kind"] == "reply"]))
def test_every_published_tls_reply_has_its_published_values(vector: dict[str, Any]) -> None:
    """Function, device, clock and every float in order, each under a name; the checksum is recomputed."""
    data, expected = bytes.fromhex(vector["bytes"]), vector["expect"]
    (piece,) = pieces = tls(data, "from_device")
    whole(pieces, data)
    if "error" in expected:
        assert piece.kind == "not known"
        return
    found = dict(values(piece))
    assert (found["function"], found["device"]) == (expected["function"], expected["device"])
    assert found["console_clock"] == expected["console_clock"]
    assert (piece.check, piece.check_given) == ("ok", piece.check_computed)
    assert not any(field.name == "undecoded" for field in piece.fields)
    told = [number for _, number in plain_floats(piece)]
    wanted = numbers({key: value for key, value in expected.items() if key != "console_clock"})
    assert [number for number in told if number is not None] == wanted
    for tank in expected.get("tanks", []):
        assert ("tank", tank["tank"]) in values(piece)
        for name, number in tank.get("fields", {}).items():
            assert (name.replace("user_", ""), number) in plain_floats(piece)
        if "label" in tank:
            assert ("label", tank["label"]) in values(piece)


@pytest.mark.parametrize("vector", by_name([v for v in TLS if v["kind"] in ("reject", "stream", "display")]))
def test_tls_streams_pages_and_refused_frames_are_shown_whole(vector: dict[str, Any]) -> None:
    """What the driver refuses is still shown, with the reason; pages give their rows."""
    data, expected = bytes.fromhex(vector["bytes"]), vector["expect"]
    pieces = tls(data, "from_device")
    whole(pieces, data)
    if vector["kind"] == "stream":
        sound = [piece for piece in pieces if piece.check == "ok"]
        assert [dict(values(piece))["function"] for piece in sound] == [one["function"] for one in expected]
    elif vector["kind"] == "display":
        text = "\n".join(piece.summary for piece in pieces)
        for row in expected["rows"]:
            assert row["label"] in text
            assert "volume" not in row or f"volume {row['volume']}" in text
    elif expected["rejected"] == "checksum":
        assert pieces[0].check == "bad"
        assert pieces[0].check_given != pieces[0].check_computed


@pytest.mark.parametrize("vector", by_name([v for v in TLS if v["kind"] == "command"]))
def test_every_published_tls_question_is_recognised(vector: dict[str, Any]) -> None:
    """Without a hint who sent it; a security code is there but not shown."""
    data = bytes.fromhex(vector["bytes"])
    (piece,) = pieces = tls(data)
    whole(pieces, data)
    assert (piece.kind, piece.direction) == ("question", "to_device")
    assert dict(values(piece))["function"] == vector["expect"]["function"]
    assert "123456" not in piece.summary


def test_a_reply_without_checksum_is_shown_as_unchecked() -> None:
    """The values stand there, and that nothing vouches for them."""
    data = b"\x01i517002611211530215\x03"
    (piece,) = pieces = tls(data, "from_device")
    whole(pieces, data)
    assert piece.check == "missing"
    assert ("unit_system", 2) in values(piece)
    assert "no checksum" in piece.problem


def test_a_set_function_on_the_wire_is_pointed_out() -> None:
    """Somebody on this wire changes the console."""
    (piece,) = tls(b"\x01S50100\r\n")
    assert "it changes the console" in piece.problem


def test_a_scan_shows_its_aim_id_text_and_terminator() -> None:
    """An unfinished one is said to be unfinished."""
    data = b"]Q1FM1:ABC\r\n9156"
    pieces = scanner(data)
    whole(pieces, data)
    assert [field.name for field in pieces[0].fields] == ["AIM id", "text", "terminator"]
    assert "no terminator" in pieces[1].problem
