"""The serial scanner on a scripted port with a virtual clock, and on a real pseudo-terminal."""

from __future__ import annotations

import os
import select
import tty
from collections.abc import Iterator

import pytest

from drivers.commands import Stop
from drivers.config import LineConfig
from drivers.errors import DeviceRefused, PortLost, WiringError
from drivers.port import open_port
from drivers.readings import CodeScan, CommandResult, DeviceStatus, Reading
from drivers.registry import spec
from drivers.scanner.driver import SERIAL_DEFAULTS, SPEC, SerialScanner
from drivers.scanner.listening import CAPABILITIES, READ_WAIT_S
from drivers.unheard import MAX_COMMANDS

ONLINE = DeviceStatus("reader:island-1", online=True)
WITHIN_S = 60.0


class BytesPort:
    """Bytes that arrive at given times, on a clock that only reading moves."""

    def __init__(self, *arrivals: tuple[float, bytes]) -> None:
        self.now = 10.0
        self.arrivals = [(10.0 + at, data) for at, data in arrivals]
        self.discarded = 0
        self.lost = False

    def write(self, data: bytes) -> None:
        raise AssertionError(f"a scanner is never written to: {data!r}")

    def read(self, size: int, timeout_s: float) -> bytes:
        if self.lost:
            raise PortLost("gone")
        if self.arrivals and self.arrivals[0][0] <= self.now + timeout_s:
            at, data = self.arrivals.pop(0)
            self.now = max(self.now, at)
            assert len(data) <= size
            return data
        self.now += timeout_s
        return b""

    def discard(self) -> int:
        self.discarded += 1
        return 0

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def close(self) -> None:
        self.lost = True


def scanner(**options: object) -> SerialScanner:
    return SerialScanner(LineConfig("s", "x", "serial-scanner", options=options, reader="island-1"))


def run(device: SerialScanner, port: BytesPort, seconds: float = 3.0) -> list[Reading]:
    readings: list[Reading] = []
    until = port.now + seconds
    while port.now < until:
        readings += device.turn(port)
    return readings


def test_every_scan_is_a_reading_with_its_reader() -> None:
    """Online at once, then scans in order; the same code twice is two readings."""
    port = BytesPort((0.1, b"]Q1FM1:A\r\n"), (0.3, b"FM1:A\r\n"))
    readings = run(scanner(), port)
    assert readings == [ONLINE, CodeScan("island-1", "FM1:A", "]Q1"), CodeScan("island-1", "FM1:A")]
    assert port.discarded == 1


def test_a_pause_of_200_ms_drops_half_a_code() -> None:
    """What came before the silence is dropped and counted, what comes after stands alone."""
    device = scanner()
    port = BytesPort((0.0, b"HALF"), (0.5, b"WHOLE\r"))
    assert run(device, port) == [ONLINE, CodeScan("island-1", "WHOLE")]
    assert device.counters() == {"frames_rejected.too_long": 0, "frames_rejected.cut_short": 1}


def test_a_slow_scanner_within_200_ms_is_one_code() -> None:
    """Bytes 150 ms apart still belong together."""
    port = BytesPort(*((0.15 * index, bytes([byte])) for index, byte in enumerate(b"CODE\r")))
    assert run(scanner(), port) == [ONLINE, CodeScan("island-1", "CODE")]


def test_bytes_that_waited_while_the_thread_was_held_up_are_no_silence() -> None:
    """The clock may jump between turns: only an empty read proves that nothing was sent."""
    device, port = scanner(), BytesPort((0.0, b"CO"), (0.01, b"DE\r"))
    device.turn(port)
    device.turn(port)
    port.now += 5.0
    assert device.turn(port) == [CodeScan("island-1", "CODE")]


def test_unterminated_scanners_end_a_code_with_silence() -> None:
    """With the option the silence delivers the frame instead of dropping it."""
    port = BytesPort((0.0, b"]Q1CODE"), (0.5, b"NEXT"))
    expected = [ONLINE, CodeScan("island-1", "CODE", "]Q1"), CodeScan("island-1", "NEXT")]
    assert run(scanner(unterminated=True, silence_s="100ms"), port) == expected


def test_preamble_and_tab_are_settings() -> None:
    """A fixed preamble is removed, a TAB ends a code when told."""
    port = BytesPort((0.0, b"@@A\t@@B\t"))
    assert [scan.text for scan in run(scanner(preamble="@@", tab_ends=True), port) if isinstance(scan, CodeScan)] == [
        "A",
        "B",
    ]


def test_a_turn_waits_fifty_milliseconds_at_most() -> None:
    """An idle scanner costs one short wait per turn and wants the next one at once."""
    device, port = scanner(), BytesPort()
    device.turn(port)
    before = port.now
    assert device.turn(port) == []
    assert port.now - before == pytest.approx(READ_WAIT_S)
    assert device.due_in_s() == 0.0


def test_a_lost_port_drops_half_a_code_and_comes_back_online() -> None:
    """Offline once with a hint, online again with its gap, and the half code is gone."""
    device, port = scanner(), BytesPort((0.0, b"HALF"))
    run(device, port, 0.1)
    port.lost = True
    with pytest.raises(PortLost):
        device.turn(port)
    (offline,) = device.reset()
    assert isinstance(offline, DeviceStatus)
    assert (offline.online, offline.gap, bool(offline.hint)) == (False, True, True)
    assert list(device.reset()) == []
    expected = [DeviceStatus("reader:island-1", online=True, gap=True), CodeScan("island-1", "B")]
    assert run(device, BytesPort((0.1, b"B\r"))) == expected


def test_commands_are_refused() -> None:
    """A scanner takes none: each gets its result, and too many are refused at once."""
    device, port = scanner(), BytesPort()
    device.submit(Stop("c1", 2))
    (result,) = device.turn(port)
    assert isinstance(result, CommandResult)
    assert (result.command_id, result.outcome) == ("c1", "REFUSED")
    for number in range(MAX_COMMANDS):
        device.submit(Stop(str(number), 2))
    with pytest.raises(DeviceRefused):
        device.submit(Stop("more", 2))
    assert len(device.reset()) == MAX_COMMANDS


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("preamble", 5),
        ("preamble", "x" * 33),
        ("preamble", "Ω"),
        ("tab_ends", "yes"),
        ("unterminated", 1),
        ("silence_s", "soon"),
        ("silence_s", 0),
        ("silence_s", True),
        ("silence_s", "1h"),
        ("terminator", "CR"),
    ],
)
def test_a_wrong_option_is_named_with_a_way_out(key: str, value: object) -> None:
    """Key, problem and hint, and the driver is not built."""
    ((found, problem, hint),) = SPEC.check_options({key: value})
    assert (found, bool(problem), bool(hint)) == (key, True, True)
    with pytest.raises(WiringError):
        scanner(**{key: value})


def test_the_registry_knows_the_driver() -> None:
    """The protocol name leads here; a line without a reader id is a mistake."""
    assert spec("serial-scanner") is SPEC
    assert SPEC.check_options({"silence_s": 0.3, "preamble": "##", "tab_ends": True, "unterminated": False}) == []
    assert SPEC.capabilities == CAPABILITIES
    (device,) = SPEC.make_devices(LineConfig("s", "x", "serial-scanner", reader="r"))
    assert device.device_id == "reader:r"
    with pytest.raises(WiringError):
        SPEC.make_devices(LineConfig("s", "x", "serial-scanner"))


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: the scanner's end and ours."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, slave
    os.close(slave)
    os.close(master)


def test_a_scan_arrives_over_a_real_terminal(terminal: tuple[int, int]) -> None:
    """On a real port the scan of a code comes out of a few turns, and what was sent before opening does not."""
    master, slave = terminal
    config = LineConfig("s", os.ttyname(slave), "serial-scanner", reader="island-1")
    os.write(master, b"OLD\r")
    assert select.select([slave], [], [], WITHIN_S)[0], "the system carries bytes across in its own time"
    port = open_port(config, SERIAL_DEFAULTS)
    device = SerialScanner(config)
    assert device.turn(port) == [ONLINE]
    os.write(master, b"]Q1FM1:A\r\n")
    deadline = port.monotonic() + WITHIN_S
    readings: list[Reading] = []
    while not readings and port.monotonic() < deadline:
        readings += device.turn(port)
    port.close()
    assert readings == [CodeScan("island-1", "FM1:A", "]Q1")]
