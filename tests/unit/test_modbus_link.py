"""The Modbus wire: the gap before a telegram, reply times, late replies, transactions, and what a refusal means."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest

from drivers.asked import Heard
from drivers.errors import DeviceRefused, DeviceSilent, DriverError, WiringError
from drivers.modbus.codec import Function, ReadRequest, Reply, WriteRequest
from drivers.modbus.link import Channel, ReadingWire, Timing, WritingWire, refusal, serial_timing
from drivers.simulator import modbus_frames as device
from tests.support.wire import VirtualPort, late, lost

REQUEST = ReadRequest(Function.READ_HOLDING, 10, 2)
WRITE = WriteRequest(Function.WRITE_REGISTER, 100, (1,))


class Device:
    """Answers every read with its values; ``codes`` are exceptions to answer with first. Knows one transport."""

    def __init__(self, *, tcp: bool = False) -> None:
        self.tcp = tcp
        self.values = [1, 2]
        self.codes: list[int] = []
        self.heard: list[device.Request] = []
        self._reader = device.TcpReader() if tcp else device.RtuReader()

    def __call__(self, data: bytes) -> bytes:
        answer = b""
        for request in self._reader.feed(data):
            self.heard.append(request)
            message = device.answer(request, tuple(self.values))
            if self.codes:
                message = device.refusal(request, self.codes.pop(0))
            answer += device.envelope(request, message, tcp=self.tcp)
        return answer


def rtu(peer: Device) -> tuple[VirtualPort, Channel]:
    """A serial wire of 9600 baud."""
    return VirtualPort(peer), Channel("rtu", serial_timing(0.5, 9_600, 10))


def test_three_and_a_half_characters_of_quiet_go_before_every_telegram() -> None:
    """Counted from the last byte of the reply before; above 19200 baud the standard fixes 1.75 ms."""
    port, channel = rtu(Device())
    wire = ReadingWire(channel, 1)
    for _ in range(3):
        assert wire.read(port, REQUEST) == Reply((1, 2))
    ends_s = port.sent[1][0] - port.sent[0][0]
    transmitted_s = (8 + 9) * 11 / 9_600 + 0.010
    assert ends_s == pytest.approx(transmitted_s + 3.5 * 10 / 9_600, abs=1e-6)
    assert serial_timing(0.5, 9_600, 11).gap_s == pytest.approx(3.5 * 11 / 9_600)
    assert serial_timing(0.5, 115_200, 10).gap_s == 0.00175


def test_silence_ends_with_the_reply_time_and_noise_is_told_apart() -> None:
    """Half a second for nothing; bytes that are no reply are noise and counted by what they were."""
    peer = Device()
    port, channel = rtu(peer)
    wire = ReadingWire(channel, 1)
    port.fault(lost)
    began_s = port.now_s
    assert wire.read(port, REQUEST) is Heard.NOTHING
    assert port.now_s - began_s == pytest.approx(0.5 + 8 * 10 / 9_600, abs=0.01)
    port.fault(lambda reply: [(0.0, reply[:-1] + b"\xff")])
    assert wire.read(port, REQUEST) is Heard.NOISE
    assert wire.take_counts() == {"frames_rejected.crc": 1}
    assert wire.take_counts() == {}


def test_a_late_reply_is_thrown_away_before_the_next_question() -> None:
    """It would look exactly like the answer to the next one: other values, same length."""
    peer = Device()
    port, channel = rtu(peer)
    wire = ReadingWire(channel, 1)
    port.fault(late(0.5))
    assert wire.read(port, REQUEST) is Heard.NOTHING
    peer.values = [7, 8]
    port.pause(0.1)
    assert wire.read(port, REQUEST) == Reply((7, 8))
    assert wire.take_counts() == {"frames_rejected.late": 1}


def cut_in_two(at: int, reply: bytes) -> list[tuple[float, bytes]]:
    """The second half of a reply comes when nobody waits for it any more."""
    return [(0.0, reply[:at]), (1.2, reply[at:])]


def test_over_tcp_a_late_reply_is_told_by_its_transaction() -> None:
    """It stands in front of the right one in the same stream and is passed over, cut at any byte."""
    for cut in range(1, 13):
        peer = Device(tcp=True)
        port = VirtualPort(peer)
        wire = ReadingWire(Channel("tcp", Timing(1.0)), 1)
        port.fault(partial(cut_in_two, cut))
        assert wire.read(port, REQUEST) is Heard.NOISE
        peer.values = [7, 8]
        port.pause(0.5)
        assert wire.read(port, REQUEST) == Reply((7, 8))
        assert {request.transaction for request in peer.heard} == {1, 2}


@pytest.mark.parametrize("code", [5, 6])
def test_a_busy_device_is_asked_three_more_times_two_hundred_milliseconds_apart(code: int) -> None:
    """A read may be repeated after both words."""
    peer = Device()
    port, channel = rtu(peer)
    peer.codes = [code, code]
    assert ReadingWire(channel, 1).read(port, REQUEST) == Reply((1, 2))
    times = [at_s for at_s, _ in port.sent]
    assert all(b - a >= 0.2 for a, b in pairwise(times))
    peer.codes = [code] * 9
    assert ReadingWire(channel, 1).read(port, REQUEST) == Reply(exception=code)
    assert len(peer.heard) == 3 + 4


def test_a_write_is_repeated_only_when_the_device_says_that_nothing_was_done() -> None:
    """Busy: again. Acknowledged, or no reply at all: never, whatever happened to it is to be read."""
    peer = Device()
    port, channel = rtu(peer)
    wire = WritingWire(channel, 1)
    peer.codes = [6]
    assert wire.write(port, WRITE) == Reply()
    assert len(peer.heard) == 2
    peer.codes = [5]
    assert wire.write(port, WRITE) == Reply(exception=5)
    port.fault(lost)
    assert wire.write(port, WRITE) is Heard.NOTHING
    assert len(peer.heard) == 4


def test_a_probe_of_a_device_that_answers_fast_is_short() -> None:
    """Known by its own slowest answer: a dead device costs the others a tenth of a second, not half of one."""
    port, channel = rtu(Device())
    wire = ReadingWire(channel, 1)
    wire.read(port, REQUEST)
    port.fault(lost)
    began_s = port.now_s
    assert wire.read(port, REQUEST, probe=True) is Heard.NOTHING
    assert port.now_s - began_s <= 0.13


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, WiringError),
        (2, WiringError),
        (3, WiringError),
        (4, DeviceRefused),
        (5, DeviceRefused),
        (6, DeviceRefused),
        (10, DeviceSilent),
        (11, DeviceSilent),
        (99, DeviceRefused),
    ],
)
def test_an_exception_says_who_is_at_fault(code: int, kind: type[DriverError]) -> None:
    """The wrong map is a person's to mend, a device's failure is its own, a gateway speaks of silence."""
    error = refusal(code, "unit 1")
    assert type(error) is kind
    assert f"exception {code}" in str(error)
    assert error.hint
