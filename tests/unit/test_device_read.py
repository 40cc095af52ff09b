"""One reading without daemon and configuration, and the likely cause where there is none: real ptys and sockets."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.field.reading import Request, Result, read
from agent.field.scan import scan
from agent.field.traffic import PortInUse, Traffic
from drivers.config import LineConfig, SerialSettings
from drivers.dart.dissect import dissect as dart
from drivers.errors import PortLost, WiringError
from drivers.port import open_port
from drivers.readings import CodeScan, FuellingPointReading, GaugeUnits, TankReading, TotalizerReading
from drivers.veeder_root.codec import checksum
from drivers.veeder_root.dissect import dissect as tls
from tests.support.field import Answer, Peer, quiet_forecourt

POLL = bytes.fromhex("5020FA")
WITHIN_S = 60.0
PASSES = 5
"""A search waits for each answer as long as a wire takes, which a peer on a busy machine may miss."""


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with quiet_forecourt(tmp_path_factory.mktemp("station"), pty=True) as endpoints:
        yield endpoints


def cause(result: Result) -> str:
    assert result.finding is not None
    assert result.finding.message
    assert result.finding.hint
    return result.finding.cause


def ask(protocol: str, port: str, timeout_s: float = 2.0, **more: Any) -> Result:
    return read(Request(protocol, port, timeout_s=timeout_s, **more), Traffic())


def patiently(once: Callable[[int], Result], right: Callable[[Result], bool]) -> Result:
    """Read once; where the machine was too busy for what is ``right`` to be told, with 4 and 16 times the time."""
    for longer in (1, 4, 16):
        result = once(longer)
        if right(result):
            break
    return result


def ask_peer(
    answer: Callable[[], Answer], right: str | None, protocol: str, timeout_s: float, *, tcp: bool = False, **more: Any
) -> Result:
    """Read from a peer; on a machine too busy to tell in ``timeout_s`` what is ``right`` (a cause), with more time."""

    def once(longer: int) -> Result:
        with Peer(answer(), tcp=tcp) as peer:
            return ask(protocol, peer.port, longer * timeout_s, **more)

    return patiently(once, lambda result: (result.finding.cause if result.finding else None) == right)


def ask_beside(said: bytes, protocol: str, longer: int, timeout_s: float) -> Result:
    """Read from a peer that is asked nothing and says something once the port has been opened for a while."""
    with Peer(lambda _data: b"") as peer:
        speaking = threading.Timer(0.2 * longer, peer.say, [said])
        speaking.start()
        result = ask(protocol, peer.port, longer * timeout_s)
        speaking.join()
    return result


def test_a_dispenser_tells_state_display_and_totals_and_is_only_read(station: dict[str, Any]) -> None:
    """Every byte we sent is a poll, an acknowledgement, or one of the three questions that change nothing."""
    result = patiently(
        lambda _: ask("dart", station["lines"]["island-1"], WITHIN_S, address=0x51, nozzles=(1, 2)),
        lambda result: sum(isinstance(r, TotalizerReading) for r in result.readings) == 2,
    )
    level = [r for r in result.readings if isinstance(r, FuellingPointReading)][-1]
    assert (level.state.value, level.nozzle_out, level.unit_price_milli) == ("Idle", False, 7850)
    assert [r.nozzle for r in result.readings if isinstance(r, TotalizerReading)] == [1, 2]
    sent = dart(result.traffic.sent, "to_device")
    assert {piece.kind for piece in sent} <= {"POLL", "ACK", "DATA"}
    blocks = [{f.name: f.value for f in piece.fields} for piece in sent if piece.kind == "DATA"]
    assert len(blocks) >= 3
    for block in blocks:
        assert (block["transaction"], block.get("command")) in {(0x01, 0x00), (0x01, 0x04), (0x65, None)}


@pytest.mark.parametrize("wire", ["tcp", "pty"])
def test_a_console_tells_every_tank_and_is_only_asked(station: dict[str, Any], wire: str) -> None:
    """Values in our units and as the console reports them; no question has the letter of a set function."""
    result = ask("veeder-root", station["gauge"][wire], WITHIN_S)
    assert [r.gauge_index for r in result.readings if isinstance(r, TankReading)] == [1, 2, 3]
    assert [r.unit_system for r in result.readings if isinstance(r, GaugeUnits)] == [2]
    (inventory,) = [piece for piece in result.told if "volume" in {field.name for field in piece.fields}]
    assert ("volume", "18400", "L") in [(f.name, f.value, f.unit) for f in inventory.fields]
    questions = [piece for piece in tls(result.traffic.sent, "to_device") if piece.kind == "question"]
    assert {f.value for piece in questions for f in piece.fields if f.name == "format"} <= {"i", "I"}
    assert result.traffic.sent.replace(b"\x1b", b"").startswith(b"\x01i")


@pytest.mark.parametrize(("protocol", "said"), [("serial-scanner", b"FM1:SECRET"), ("pn532", b"\x00\x00\xff\x04\x78")])
def test_what_a_reader_said_in_vain_is_no_evidence(protocol: str, said: bytes) -> None:
    """It is counted and not shown: half a code is still somebody's."""
    result = patiently(
        lambda longer: ask_beside(said, protocol, longer, 1.0),
        lambda result: result.finding is not None and result.finding.evidence["bytes_received"] == len(said),
    )
    assert cause(result)
    assert result.finding is not None
    assert (result.finding.evidence["bytes_received"], result.finding.evidence["first_bytes"]) == (len(said), "")


def test_a_scanner_is_waited_for() -> None:
    """One code, with its symbology; nothing is sent."""
    said = b"]Q1FM1:SECRET\r\n"
    result = patiently(
        lambda longer: ask_beside(said, "serial-scanner", longer, 2.0), lambda result: not result.finding
    )
    (scanned,) = [r for r in result.readings if isinstance(r, CodeScan)]
    assert (scanned.text, scanned.symbology) == ("FM1:SECRET", "]Q1")
    assert result.traffic.sent == b""


def test_a_port_that_another_program_has_is_refused_with_its_name(station: dict[str, Any]) -> None:
    """The lock on the device file, and for a socket the connection of a program on this PC."""
    port = station["lines"]["island-1"]
    held = open_port(LineConfig("x", port, "dart"), SerialSettings())
    try:
        with pytest.raises(PortInUse, match="in use by process"):
            ask("dart", port, address=0x50)
    finally:
        held.close()
    url = station["gauge"]["tcp"]
    held = open_port(LineConfig("x", url, "veeder-root"), SerialSettings())
    try:
        with pytest.raises(PortInUse, match="already connected"):
            ask("veeder-root", url)
    finally:
        held.close()


def test_an_address_that_nobody_has_is_told_from_silence(station: dict[str, Any]) -> None:
    """The others on the wire are polled once each and named."""
    others = "0x50, 0x51, 0x52, 0x53"
    result = patiently(
        lambda longer: ask("dart", station["lines"]["island-1"], longer, address=0x5A),
        lambda result: result.finding is not None and others in result.finding.message,
    )
    assert cause(result) == "other-address"
    assert result.finding is not None
    assert others in result.finding.message


def random_noise(_data: bytes) -> bytes:
    return bytes.fromhex("93A7D1C4E8B2F69D8BCCA1")


def refusing(data: bytes) -> bytes:
    return b"\x019999FF1B\x03" if b"\x01" in data else b""


WRONG_CRC = bytes.fromhex("5031010104636303FA")
TLS_REPLY = b"\x01i517002611211530215&&"
SIGNS: dict[str, tuple[Answer, str, str]] = {
    "echo": (lambda data: data, "echo", "only our own bytes"),
    "noise": (random_noise, "not-decodable", "none of them decode"),
    "only-ff": (lambda _data: b"\xff\x00\xff\xff", "line-settings", "almost only 00 and FF"),
    "wrong-crc": (lambda _data: WRONG_CRC, "checksum", "wrong checksum"),
    "a-gauge": (
        lambda _data: TLS_REPLY + checksum(TLS_REPLY).encode() + b"\x03",
        "other-protocol",
        "look like veeder-root",
    ),
    "a-scanner": (lambda _data: b"]C19156000000017\r\n", "other-protocol", "look like serial-scanner"),
}


@pytest.mark.parametrize("sign", SIGNS)
def test_the_likely_cause_is_named(sign: str) -> None:
    """What a dispenser's wire can sound like when it does not work."""
    answer, expected, words = SIGNS[sign]
    result = ask_peer(lambda: answer, expected, "dart", 0.8, address=0x50)
    assert cause(result) == expected
    assert result.finding is not None
    assert words in result.finding.message
    assert result.finding.evidence["bytes_sent"] >= len(POLL)


def test_silence_is_called_silence() -> None:
    """With what it may mean for this protocol."""
    with Peer(lambda _data: b"") as peer:
        result = ask("veeder-root", peer.port, 1)
    assert cause(result) == "silence"
    assert "security code" in str(result.finding)


def test_seven_bits_read_as_eight_are_recognised() -> None:
    """A console on a line with even parity, read with the default settings."""
    reply = TLS_REPLY + checksum(TLS_REPLY).encode() + b"\x03"
    even = bytes(byte | (byte.bit_count() % 2) << 7 for byte in reply)
    result = ask_peer(lambda: lambda _data: even, "line-settings", "veeder-root", 1)
    assert cause(result) == "line-settings"
    assert "7 data bits" in str(result.finding)


def test_a_console_that_answers_9999_is_not_called_silent() -> None:
    """A security code, or an emulation without inventory."""
    result = ask_peer(lambda: refusing, "refused", "veeder-root", 1.5)
    assert cause(result) == "refused"
    assert "security code" in str(result.finding)


def test_damaged_characters_are_counted_and_a_real_ff_stays_one() -> None:
    """The port announces them with marks, and the marks do not reach the driver."""
    said = b"\xff\x41\xff"

    def once(longer: int) -> Result:
        with Peer(lambda _data: said) as peer:
            return ask("dart", peer.port, longer * 0.5, address=0x50)

    result = patiently(once, lambda result: bool(heard_by(result)))
    heard = heard_by(result)
    assert heard
    assert (said * len(heard)).startswith(heard), "said again and again, read in whatever pieces"
    assert result.traffic.damaged == 0


def heard_by(result: Result) -> bytes:
    return b"".join(chunk.data for chunk in result.traffic.chunks if chunk.side == "b")


def float_field(value: float) -> str:
    return struct.pack(">f", value).hex()


class OddConsole:
    """A second, independent TLS server with the habits of servers in the field; ``habit`` says which."""

    def __init__(self, habit: str) -> None:
        self.habit = habit
        self._got = b""
        record = "011000007" + "".join(float_field(v) for v in (5329, 5413, 4699, 48.97, 0, 37.39, 0))
        self.replies = {"i51700": "2611211530" + "215", "i20100": "2611211530" + record}
        self.page = [
            "I20100",
            "11/21/2026 23:03",
            "TANK PRODUCT  VOLUME TC VOLUME ULLAGE HEIGHT WATER TEMP",
            "1  SUPER  5329  5413  4699  48.97  0.00  37.390000000000001",
        ]

    def __call__(self, data: bytes) -> bytes | None:
        if self.habit == "hangs-up-on-esc" and b"\x1b" in data:
            return None
        self._got += data.replace(b"\x1b", b"")
        if len(self._got) < 7 or (self.habit == "needs-bare-cr" and not self._got.endswith(b"\r")):
            if self.habit == "needs-bare-cr" and b"\n" in self._got:
                self._got = b""
            return b""
        question = self._got.strip(b"\x01\r\n").decode("ascii")
        self._got = b""
        return self.answer(question)

    def answer(self, question: str) -> bytes:
        if self.habit in ("display-only", "hangs-up-on-esc"):
            if question == "I20100":
                return ("\n" + "\n".join(self.page) + "\n").encode()
            return b"9999FF1B\n"
        data = self.replies.get(question)
        if data is None:
            return b"\x019999FF1B\x03"
        if self.habit == "no-checksum":
            return f"\r\nTLS> \r\n\x01{question}{data}\r\n".encode()
        body = f"\x01{question}{data}&&".encode()
        if self.habit == "prompts":
            return b"\r\n> \r\n" + body + checksum(body).lower().encode() + b"\r\n> "
        return body + checksum(body).encode()


@pytest.mark.parametrize(
    ("habit", "tcp"),
    [
        ("display-only", True),
        ("hangs-up-on-esc", True),
        ("no-checksum", True),
        ("prompts", True),
        ("no-etx", False),
        ("needs-bare-cr", False),
    ],
)
def test_any_server_that_speaks_tls_is_read(habit: str, tcp: bool) -> None:
    """Display only, no ESC, no checksum, prompts and lower case, no ETX, another end of the question."""
    # the last is asked in every other way first, each with its share of the time
    time_s = 5.0 if habit == "needs-bare-cr" else 2.5
    result = ask_peer(lambda: OddConsole(habit), None, "veeder-root", time_s, tcp=tcp)
    assert result.finding is None, result.finding
    text = " ".join(f.meaning for piece in result.told for f in piece.fields)
    assert "5329" in text
    assert "48.97" in text
    assert result.unchecked is (habit == "no-checksum")


def test_a_search_finds_addresses_and_the_baud_rate() -> None:
    """The pump answers only at 19200: the settings before it are tried, and no other question than polls."""
    peer = Peer(lambda data: b"\x51\x70\xfa" if data == b"\x51\x20\xfa" and peer.speed() == 19200 else b"")
    with peer:
        for _ in range(PASSES):
            found = scan("dart", peer.port, SerialSettings(), Traffic(), 0x51)
            if found:
                break
    assert [(one.address, one.serial) for one in found] == [(0x51, "19200 8O1")]
    assert {piece.kind for piece in dart(bytes(peer.heard), "to_device")} == {"POLL"}


def test_a_scanner_cannot_be_searched() -> None:
    """It is never asked anything."""
    with pytest.raises(WiringError, match="never asked"):
        scan("serial-scanner", "/dev/null", SerialSettings(), Traffic())


def test_a_port_that_is_not_there_says_so(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(PortLost, match="No such file"):
        ask("dart", str(tmp_path / "ttyUSB9"), address=0x50)
