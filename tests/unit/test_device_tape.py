"""Recording a live line and serving it again: what went over the wire is in the file, and the drivers read it back."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from agent.field.decoding import decode, guess, kit_of
from agent.field.reading import Request, Result, read
from agent.field.recording import Chunk, NotARecording, Recorder, Recording, header, load
from agent.field.replay import Player, script
from agent.field.tap import Tape, between, listen
from agent.field.traffic import Traffic
from drivers.config import LineConfig, SerialSettings
from drivers.dart.driver import SPEC as DART
from drivers.errors import WiringError
from drivers.port import open_port
from drivers.readings import TankReading
from drivers.served import serve
from tests.support.field import Peer, quiet_forecourt
from tests.support.processes import eventually
from tests.support.tls_console import NOT_KNOWN, reply

SOON_S = 10.0
PATIENT_S = 120.0
"""Of a reading: shared among its attempts, and over as soon as one of them has got what it wants."""

UNHURRIED: dict[str, dict[str, object]] = {
    "dart": {"reply_window": "2s", "probe_window": "2s", "gap_in_frame": "500ms"},
    "veeder-root": {},
}
"""A question asked again because a thread was held up is another recording than the one of a reading without."""

HEAD = header({"b": "/dev/x"}, "", {}, "2026-01-05T06:00:00+00:00")


def recorder(path: Path, protocol: str = "") -> Recorder:
    return Recorder(path, {**HEAD, "protocol": protocol})


@contextmanager
def tapped(where: str, device: str, path: Path, protocol: str) -> Iterator[str]:
    """Stand between: yields the port for the master."""
    served, stop, tape = serve(where), Flag(), Tape.start(recorder(path, protocol))
    thread = threading.Thread(
        target=between, args=(served, LineConfig("tap", device, protocol), DART.serial_defaults, tape, stop)
    )
    thread.start()
    try:
        yield served.name
    finally:
        stop.set()
        thread.join()
        tape.recorder.close()
        served.close()


@contextmanager
def replayed(where: str, recording: Recording, *, loose: bool, speed: float = 20) -> Iterator[tuple[str, Player]]:
    """Serve a recording: yields the port and the player."""
    served, stop = serve(where), Flag()
    kit = kit_of(recording.protocol)
    player = Player(served, script(recording, kit, split=loose), speed, stop, kit)
    thread = threading.Thread(target=player.by_request if loose else player.in_order)
    thread.start()
    try:
        yield served.name, player
    finally:
        stop.set()
        thread.join()
        served.close()


def told(result: Result) -> list[Any]:
    """Readings without what this process invents by itself, and each once: a level is told again as time goes by."""
    found: list[Any] = []
    for reading in result.readings:
        if type(reading).__name__ not in ("HeldSale", "CommandResult") and reading not in found:
            found.append(reading)
    return found


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with quiet_forecourt(tmp_path_factory.mktemp("station")) as endpoints:
        yield endpoints


@pytest.mark.parametrize(
    ("protocol", "where", "address"), [("dart", "pty", 0x51), ("veeder-root", "tcp", None)], ids=["dart", "tls"]
)
def test_a_tapped_reading_replays_as_the_same_reading(
    station: dict[str, Any], tmp_path: Path, protocol: str, where: str, address: int | None
) -> None:
    """The driver gets the same answer from the recording, in recorded order and by request."""
    device = station["lines"]["island-1"] if protocol == "dart" else station["gauge"]["tcp"]
    path = tmp_path / "line.jsonl"
    with tapped(where, device, path, protocol) as port:
        live = read(asked(protocol, port, address), traffic := Traffic())
    recording = load(path.read_text(encoding="ascii"))
    by_side = {side: b"".join(c.data for c in recording.chunks if c.side == side) for side in "ab"}
    assert by_side == {"a": traffic.sent, "b": traffic.received}
    assert told(live)
    for loose in (False, True):
        with replayed(where, recording, loose=loose) as (port, player):
            again = read(asked(protocol, port, address), Traffic())
        assert told(again) == told(live)
        assert player.report.mismatch == ""
        assert player.report.unmatched == []


def asked(protocol: str, port: str, address: int | None) -> Request:
    """A reading that waits as long as a busy machine needs."""
    return Request(protocol, port, address=address, options=UNHURRIED[protocol], timeout_s=PATIENT_S)


def test_a_question_that_was_not_recorded_is_reported_with_its_place(tmp_path: Path) -> None:
    """In order the replay ends there; by request it goes on and says what it could not answer."""
    chunks = (Chunk(0, "a", bytes.fromhex("5120FA")), Chunk(9, "b", bytes.fromhex("5170FA")))
    recording = Recording({**HEAD, "protocol": "dart"}, chunks)
    question = bytes.fromhex("51300101 00A29C03FA 5120FA")
    for loose in (False, True):
        with replayed("pty", recording, loose=loose) as (name, player):
            port = open_port(LineConfig("master", name, "dart"), DART.serial_defaults)
            port.write(question)
            if loose:
                assert port.read(16, PATIENT_S) == bytes.fromhex("5170FA")
            else:
                eventually(lambda: player.report.mismatch, SOON_S, "the mismatch")
            port.close()
        if loose:
            assert player.report.unmatched == ["offset 0: no recorded answer to 51 30 01 01 00 A2 9C 03 FA"]
        else:
            assert player.report.mismatch == "exchange 1, offset 1: expected 20 FA, got 30 01"


def test_both_sides_on_one_wire_replay_after_the_frames_told_them_apart() -> None:
    """A recording of a Y cable; without a protocol it is refused with what to do."""
    wire = tuple(
        Chunk(n * 10, "?", bytes.fromhex(frame)) for n, frame in enumerate(("5120FA", "5131010105636303FA", "51C1FA"))
    )
    recording = Recording({**HEAD, "protocol": "dart"}, wire)
    exchanges = script(recording, kit_of("dart"), split=False)
    assert [(e.request.hex().upper(), [r.data.hex().upper() for r in e.replies]) for e in exchanges] == [
        ("5120FA", ["5131010105636303FA"]),
        ("51C1FA", []),
    ]
    with pytest.raises(NotARecording) as refused:
        script(recording, None, split=False)
    assert "--protocol" in refused.value.hint


def test_listening_never_writes_and_survives_a_port_that_vanishes(tmp_path: Path) -> None:
    """The port is noted as lost, opened again under its name, and nothing was ever sent to it."""
    link = tmp_path / "island-1"
    path = tmp_path / "line.jsonl"
    tape, stop = Tape.start(recorder(path)), Flag()
    first, second = Peer(lambda _data: b""), Peer(lambda _data: b"")
    link.symlink_to(first.port)
    line = {"?": LineConfig("tap", str(link), "")}
    thread = threading.Thread(target=listen, args=(line, SerialSettings(), tape, stop))
    with second:
        with first:
            thread.start()
            eventually(lambda: _spoken(first, path), SOON_S, "the tape")
            link.unlink()  # while the first one is there: its number may be somebody else's terminal at once
            link.symlink_to(second.port)
        eventually(lambda: b"port-back" in path.read_bytes(), SOON_S, "the tape")
        second.say(b"\xff\x02")
        eventually(lambda: b"ff02" in path.read_bytes(), SOON_S, "the tape")
        stop.set()
        thread.join()
    tape.recorder.close()
    recording = load(path.read_text(encoding="ascii"))
    assert b"".join(chunk.data for chunk in recording.chunks).endswith(b"\xff\x02")
    assert [event.name for event in recording.events] == ["port-lost", "port-back"]
    assert (bytes(first.heard), bytes(second.heard)) == (b"", b"")
    assert path.stat().st_mode & 0o777 == 0o600


def _spoken(peer: Peer, path: Path) -> bool:
    """Say something until it was heard: the listener may not have the port open yet, and drops what was before."""
    peer.say(b"\x01")
    return b'"hex"' in path.read_bytes()


def test_two_ports_are_two_directions(tmp_path: Path) -> None:
    """One cable for each side: what each heard is labelled."""
    path = tmp_path / "line.jsonl"
    tape, stop = Tape.start(recorder(path)), Flag()
    with Peer(lambda _data: b"") as a, Peer(lambda _data: b"") as b:
        lines = {"a": LineConfig("a", a.port, ""), "b": LineConfig("b", b.port, "")}
        thread = threading.Thread(target=listen, args=(lines, SerialSettings(), tape, stop))
        thread.start()
        eventually(
            lambda: (a.say(bytes.fromhex("5120FA")), b.say(bytes.fromhex("5170FA")), len(tape.recorder.bytes) == 2)[2],
            SOON_S,
            "the tape",
        )
        stop.set()
        thread.join()
    tape.recorder.close()
    recording = load(path.read_text(encoding="ascii"))
    assert guess(recording.chunks) == "dart"
    kinds = {(one.side, one.piece.kind) for one in decode(recording.chunks, kit_of("dart"))}
    assert kinds == {("a", "POLL"), ("b", "EOT")}


def test_the_middle_hangs_up_when_the_device_does(tmp_path: Path) -> None:
    """A server that closes after each reply stays one, and the recording closes there too when it is replayed."""
    answers = {b"i51700": reply("i51700", "215"), b"i20100": reply("i20100", "011000001" + "459A7000")}

    def answer(data: bytes) -> bytes:
        code = data.strip(b"\x1b\x01\r\n")
        return answers.get(code, NOT_KNOWN) if code else b""

    path = tmp_path / "line.jsonl"
    slowly = {"pause_s": "1s"}  # else a question may overtake the end of the connection, which is another recording
    with Peer(answer, tcp=True, closes=True) as peer, tapped("tcp", peer.port, path, "veeder-root") as port:
        live = read(Request("veeder-root", port, options=slowly, timeout_s=PATIENT_S), Traffic())
    assert [r.volume_ml for r in live.readings if isinstance(r, TankReading)] == [4_942_000]
    recording = load(path.read_text(encoding="ascii"))
    assert all(exchange.closes for exchange in script(recording, kit_of("veeder-root"), split=False)[:-1])
    with replayed("tcp", recording, loose=True) as (port, _player):
        again = read(Request("veeder-root", port, options=slowly, timeout_s=PATIENT_S), Traffic())
    assert told(again) == told(live)


def test_a_place_to_serve_at_is_checked() -> None:
    """Anything but pty and tcp is refused with the choices."""
    for wrong in ("udp", "tcp:x", "tcp:99999", "/dev/ttyS0"):
        with pytest.raises(WiringError, match="no place"):
            serve(wrong)
    served = serve("pty")
    assert os.path.exists(served.name)
    served.close()
