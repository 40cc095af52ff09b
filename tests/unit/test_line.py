"""Turn-taking, reopening, and reporting once, with plain devices on a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Thread

import pytest

from drivers.commands import Command, ConfirmUnits, Stop
from drivers.config import LineConfig
from drivers.errors import PortLost, WiringError
from drivers.line import Line
from drivers.port import Port
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, Reading
from tests.support.wire import VirtualPort


class PlainDevice:
    """Takes ``cost_s`` per turn, wants the next after ``wants_s``, writes one byte per turn."""

    def __init__(self, device_id: str, wants_s: float = 0.0, cost_s: float = 0.01) -> None:
        self.device_id = device_id
        self.wants_s = wants_s
        self.cost_s = cost_s
        self.turns_at_s: list[float] = []
        self.queue: list[Command] = []
        self.say: list[Reading] = []
        self.resets = 0

    def turn(self, port: Port) -> Sequence[Reading]:
        self.turns_at_s.append(port.monotonic())
        port.write(b"?")
        port.pause(self.cost_s)
        said = list(self.say)
        said += [CommandResult(c.command_id, 1, CommandOutcome.APPLIED) for c in self.queue]
        self.say, self.queue = [], []
        return said

    def due_in_s(self) -> float:
        return 0.0 if self.queue else self.wants_s

    def submit(self, command: Command) -> None:
        self.queue.append(command)

    def reset(self) -> Sequence[Reading]:
        self.resets += 1
        failed = [CommandResult(c.command_id, 1, CommandOutcome.UNKNOWN) for c in self.queue]
        self.queue = []
        return [*failed, DeviceStatus(self.device_id, online=False, reason="said by the device itself")]

    def counters(self) -> dict[str, int]:
        return {"turns": len(self.turns_at_s)}


class Cable:
    """Opens the virtual port while it is plugged in; counts the attempts."""

    def __init__(self) -> None:
        self.port = VirtualPort(lambda _data: b"")
        self.tries_at_s: list[float] = []

    def open(self) -> Port:
        self.tries_at_s.append(self.port.now_s)
        if self.port.gone:
            raise PortLost("no such device", hint="plug it in")
        return self.port


def made(*devices: PlainDevice) -> tuple[Line, Cable]:
    """A line of ``devices`` on a virtual cable."""
    cable = Cable()
    return Line(LineConfig("a", "virtual", "plain"), devices, cable.open, lambda: cable.port.now_s), cable


def turns(line: Line, cable: Cable, seconds: float) -> list[Reading]:
    """Turn for so much time; a closed port costs 50 ms of it per turn."""
    end_s = cable.port.now_s + seconds
    seen = []
    while cable.port.now_s < end_s:
        before_s = cable.port.now_s
        seen += line.turn()
        if cable.port.now_s == before_s:
            cable.port.now_s += 0.05
    return seen


def test_first_turn_opens_the_port_and_says_so() -> None:
    """The line opens its port at once and reports itself online; nothing was opened before."""
    line, cable = made(PlainDevice("point:1"))
    assert (line.is_open, cable.tries_at_s) == (False, [])
    assert line.turn() == [DeviceStatus("line:a", online=True)]
    assert line.is_open


def test_due_devices_take_turns_in_order() -> None:
    """Devices that always want a turn get them round-robin, however often each is due."""
    devices = [PlainDevice(f"point:{n}") for n in (1, 2, 3)]
    line, cable = made(*devices)
    turns(line, cable, 3.0)
    counts = [len(device.turns_at_s) for device in devices]
    assert max(counts) - min(counts) <= 1
    assert min(counts) > 90


def test_slow_device_is_polled_as_seldom_as_it_wants() -> None:
    """A device that wants a turn per second gets one per second, and costs the busy one nothing else."""
    busy, lazy = PlainDevice("point:1"), PlainDevice("gauge:a", wants_s=1.0)
    line, cable = made(busy, lazy)
    turns(line, cable, 10.0)
    assert 9 <= len(lazy.turns_at_s) <= 11
    assert len(busy.turns_at_s) > 900


def test_idle_line_waits_in_small_portions_only() -> None:
    """With nothing due, one turn waits at most 50 ms on the clock of the wire and writes nothing."""
    device = PlainDevice("gauge:a", wants_s=60.0)
    line, cable = made(device)
    line.turn()
    line.turn()
    before_s, sent = cable.port.now_s, len(cable.port.sent)
    assert line.turn() == []
    assert 0 < cable.port.now_s - before_s <= 0.05
    assert len(cable.port.sent) == sent


def test_submitted_command_makes_its_device_due_at_once() -> None:
    """A command does not wait for the slow rhythm of its device."""
    device = PlainDevice("point:1", wants_s=60.0)
    line, _ = made(device)
    line.turn()
    line.turn()
    line.submit(Stop("s", 1))
    assert line.turn() == [CommandResult("s", 1, CommandOutcome.APPLIED)]


def test_commands_go_to_the_device_they_name() -> None:
    """Points by their number, gauges by their name with or without prefix."""
    one, two, gauge = PlainDevice("point:1"), PlainDevice("point:2"), PlainDevice("gauge:a")
    line, _ = made(one, two, gauge)
    line.submit(Stop("s", 2))
    line.submit(ConfirmUnits("c", "a"))
    line.submit(ConfirmUnits("d", "gauge:a"))
    assert (one.queue, two.queue) == ([], [Stop("s", 2)])
    assert [command.command_id for command in gauge.queue] == ["c", "d"]


def test_command_for_nobody_is_a_clear_error() -> None:
    """A point that is not on this line is a WiringError that lists those that are."""
    line, _ = made(PlainDevice("point:1"))
    with pytest.raises(WiringError) as caught:
        line.submit(Stop("s", 9))
    assert "point:9" in str(caught.value)
    assert "point:1" in caught.value.hint


def test_lost_port_is_reported_once_for_the_line_and_every_device() -> None:
    """Line and devices go offline exactly once with reason and hint; the port is closed and devices are reset."""
    devices = [PlainDevice("point:1"), PlainDevice("point:2")]
    line, cable = made(*devices)
    turns(line, cable, 0.5)
    cable.port.gone = True
    seen = turns(line, cable, 20.0)
    assert [(r.device, r.online) for r in seen if isinstance(r, DeviceStatus)] == [
        ("line:a", False),
        ("point:1", False),
        ("point:2", False),
    ]
    assert all(r.reason and r.hint for r in seen if isinstance(r, DeviceStatus))
    assert cable.port.closed == 1
    assert all(device.resets >= 1 for device in devices)


def test_missing_port_is_tried_at_once_and_then_every_second_or_two() -> None:
    """A port that is not there is tried again at least every 2 s and never in a tight loop."""
    line, cable = made(PlainDevice("point:1"))
    cable.port.gone = True
    turns(line, cable, 20.0)
    gaps = [b - a for a, b in zip(cable.tries_at_s, cable.tries_at_s[1:], strict=False)]
    assert cable.tries_at_s[0] == 1000.0
    assert max(gaps) <= 2.0
    assert min(gaps) >= 0.5


def test_returned_port_is_used_again_within_two_seconds() -> None:
    """After the cable is back the line is online once, and its devices get turns."""
    device = PlainDevice("point:1")
    line, cable = made(device)
    turns(line, cable, 0.5)
    cable.port.gone = True
    turns(line, cable, 7.3)
    cable.port.gone = False
    back_s = cable.port.now_s
    seen = turns(line, cable, 2.0)
    assert seen == [DeviceStatus("line:a", online=True)]
    assert next(at_s for at_s in device.turns_at_s if at_s > back_s) - back_s <= 2.0


def test_command_to_a_line_without_port_ends_soon_as_unknown() -> None:
    """A command that meets a closed port is failed at once instead of being sent when the cable returns."""
    device = PlainDevice("point:1")
    line, cable = made(device)
    cable.port.gone = True
    line.turn()
    line.submit(Stop("s", 1))
    assert line.turn() == [CommandResult("s", 1, CommandOutcome.UNKNOWN)]
    cable.port.gone = False
    assert not any(isinstance(reading, CommandResult) for reading in turns(line, cable, 3.0))


def test_repeated_status_of_a_device_is_passed_on_once() -> None:
    """A device that says offline twice is heard once; online again with a gap is news."""
    device = PlainDevice("point:1")
    line, _ = made(device)
    line.turn()
    offline = DeviceStatus("point:1", online=False, reason="silent", hint="look")
    online = DeviceStatus("point:1", online=True, gap=True)
    heard = []
    for status in (offline, offline, online, online):
        device.say = [status]
        heard += line.turn()
    assert heard == [offline, online, online]


def test_counters_add_up_over_devices_and_port() -> None:
    """Counts of the devices are summed beside those of the port."""
    line, cable = made(PlainDevice("point:1"), PlainDevice("point:2"))
    turns(line, cable, 0.2)
    cable.port.gone = True
    turns(line, cable, 3.0)
    counted = line.counters()
    assert counted["port_opened"] == counted["port_lost"] == 1
    assert counted["port_open_failed"] >= 1
    assert counted["turns"] > 10


def test_closed_line_opens_again_at_once() -> None:
    """Closing releases the port; the next turn opens it without waiting."""
    line, cable = made(PlainDevice("point:1"))
    line.turn()
    line.close()
    assert (line.is_open, cable.port.closed) == (False, 1)
    line.turn()
    assert line.is_open


def test_line_without_device_is_refused() -> None:
    """A wire with nothing on it is a configuration error."""
    with pytest.raises(WiringError):
        made()


def test_waiting_without_a_port_uses_the_given_pause() -> None:
    """While there is no port, each turn waits a bounded time and does not spin."""
    cable = Cable()
    cable.port.gone = True
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        cable.port.now_s += seconds

    line = Line(LineConfig("a", "v", "p"), [PlainDevice("point:1")], cable.open, lambda: cable.port.now_s, pause)
    for _ in range(21):
        line.turn()
    assert len(cable.tries_at_s) <= 2
    assert waits
    assert all(0 < wait <= 0.05 for wait in waits)


def test_a_command_ends_the_wait_of_an_idle_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """In real time a line with nothing due rests long, and a submitted command still goes out at once."""
    monkeypatch.setattr("drivers.line.NUDGED_WAIT_S", 60.0)
    device, cable = PlainDevice("point:1", wants_s=3_600.0), Cable()
    line = Line(LineConfig("a", "virtual", "plain"), [device], cable.open)
    line.turn()
    line.turn()
    seen: list[Reading] = []
    resting = Event()

    def rest() -> None:
        resting.set()
        line.turn()
        seen.extend(line.turn())

    thread = Thread(target=rest, daemon=True)
    thread.start()
    assert resting.wait(60)
    line.submit(Stop("s", 1))
    thread.join(60)
    assert [reading for reading in seen if isinstance(reading, CommandResult)]
