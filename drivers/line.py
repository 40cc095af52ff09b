"""One shared wire: who has the next turn, when a lost port is opened again, what is reported once.

Pure of threads: ``Line.turn`` is one plain function that the agent's line thread calls for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Lock

from drivers.commands import Command, GaugeCommand
from drivers.config import LineConfig
from drivers.device import Counting, Device, Episodic
from drivers.errors import DriverError, PortLost, WiringError
from drivers.port import Cancellable, Port
from drivers.readings import DeviceStatus, Reading

REOPEN_EVERY_S = 1.0  # a returned port must be in use within 5 s, three good cycles of every device included
IDLE_WAIT_S = 0.05  # longest wait that nothing ends early: there is no port, or the clock is not the real one
NUDGED_WAIT_S = 0.25  # longest wait that a command ends: a gauge asked every few seconds need not wake the PC so often


class Line:
    """One wire and its devices. ``turn`` belongs to one thread; ``submit`` and ``counters`` may be called from any.

    ``monotonic`` is the clock of the line's own decisions. ``pause`` waits while there is no port: by default real
    sleep with the real clock, and nothing with another clock, whose owner moves it between turns.
    """

    def __init__(
        self,
        config: LineConfig,
        devices: Sequence[Device],
        open_port: Callable[[], Port],
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        if not devices:
            raise WiringError(f"line {config.id!r} has no device", hint="give the line a point, a gauge or a reader")
        self.config = config
        self.device_id = f"line:{config.id}"
        self._devices = tuple(devices)
        self._open_port = open_port
        self._monotonic = monotonic
        self._is_real = monotonic is time.monotonic
        self._nudge = Event()
        self._pause = pause or (time.sleep if monotonic is time.monotonic else _no_wait)
        self._port: Port | None = None
        self._open_at: float | None = None  # None = at once
        self._due_at: list[float | None] = [None] * len(self._devices)  # None = at once
        self._next = 0
        self._online: dict[str, bool] = {}
        self._drain = False
        self._lock = Lock()
        self._counts = {"port_opened": 0, "port_lost": 0, "port_open_failed": 0}

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices in the order of their turns."""
        return self._devices

    @property
    def is_open(self) -> bool:
        """Whether the port is open now."""
        return self._port is not None

    def turn(self) -> list[Reading]:
        """Give the next due device its turn, or try to open the port; returns what there is to report.

        Never raises for a lost port or a silent device: both are reported as ``DeviceStatus``, once per change.
        Returns within one device turn, one attempt to open, or ``NUDGED_WAIT_S``.
        """
        if self._port is None:
            return self._try_to_open()
        index = self._choose()
        if index is None:
            return self._idle(self._port)
        device = self._devices[index]
        try:
            readings = device.turn(self._port)
        except PortLost as error:
            return self._lose(error)
        self._due_at[index] = self._monotonic() + max(0.0, device.due_in_s())
        self._next = (index + 1) % len(self._devices)
        return [reading for reading in readings if self._is_news(reading)] if readings else []

    def submit(self, command: Command) -> None:
        """Hand ``command`` to the device it names; from any thread. Its result comes out of a later ``turn``.

        Raises ``WiringError`` when no device of this line is meant, and what the device raises (its queue is full).
        """
        target = self._target(command)
        for device in self._devices:
            if device.device_id == target:
                device.submit(command)
                with self._lock:
                    self._drain = True
                self._nudge.set()
                return
        known = ", ".join(device.device_id for device in self._devices)
        raise WiringError(f"line {self.config.id!r} has no {target}", hint=f"devices of this line: {known}")

    def counters(self) -> Mapping[str, int]:
        """Counted things since the start: of the port, and the sum of what the devices count. From any thread."""
        total = dict(self._counts)
        for device in self._devices:
            if isinstance(device, Counting):
                for name, count in device.counters().items():
                    total[name] = total.get(name, 0) + count
        return total

    def cancel(self) -> None:
        """Make a turn under way end soon, from any thread: the station is ending."""
        port = self._port
        if isinstance(port, Cancellable):
            port.cancel()

    def close(self) -> None:
        """Release the port; the next ``turn`` would open it again."""
        if self._port is not None:
            self._port.close()
            self._port = None
        self._open_at = None

    def _target(self, command: Command) -> str:
        if isinstance(command, GaugeCommand):
            return command.gauge if command.gauge.startswith("gauge:") else f"gauge:{command.gauge}"
        return f"point:{command.fuelling_point}"

    def _choose(self) -> int | None:
        now = self._monotonic()
        count = len(self._devices)
        for step in range(count):
            index = (self._next + step) % count
            due_at = self._due_at[index]
            if due_at is None or now >= due_at or self._devices[index].due_in_s() <= 0:
                return index
        return None

    def _idle(self, port: Port) -> list[Reading]:
        now = self._monotonic()
        nearest = min((due for due in self._due_at if due is not None), default=now)
        wait_s = max(0.001, nearest - now)
        if self._is_real:
            self._nudge.wait(min(NUDGED_WAIT_S, wait_s))
            self._nudge.clear()  # what was submitted before this is seen by the next look at what is due
            return []
        try:
            port.pause(min(IDLE_WAIT_S, wait_s))
        except PortLost as error:
            return self._lose(error)
        return []

    def _try_to_open(self) -> list[Reading]:
        now = self._monotonic()
        if self._open_at is not None and now < self._open_at:
            self._pause(min(IDLE_WAIT_S, self._open_at - now))
            with self._lock:
                drain, self._drain = self._drain, False
            return self._fail_commands() if drain else []
        try:
            port = self._open_port()
        except DriverError as error:
            self._counts["port_open_failed"] += 1
            return self._down(error) + self._fail_commands()
        self._port = port
        self._counts["port_opened"] += 1
        self._due_at = [None] * len(self._devices)
        return [reading for reading in (DeviceStatus(self.device_id, online=True),) if self._is_news(reading)]

    def _lose(self, error: PortLost) -> list[Reading]:
        self._counts["port_lost"] += 1
        if self._port is not None:
            self._port.close()
            self._port = None
        failed = self._fail_commands()
        if all(isinstance(device, Episodic) and device.closed_by_habit for device in self._devices):
            self._open_at = None  # the peer hangs up after each answer: nobody is told, the next question opens again
            return failed
        return self._down(error) + failed

    def _down(self, error: DriverError) -> list[Reading]:
        """After a failure: wait before the next attempt, say once what is offline."""
        self._open_at = self._monotonic() + REOPEN_EVERY_S
        news: list[Reading] = [
            DeviceStatus(name, online=False, gap=True, reason=str(error), hint=error.hint)
            for name in (self.device_id, *(device.device_id for device in self._devices))
        ]
        return [reading for reading in news if self._is_news(reading)]

    def _fail_commands(self) -> list[Reading]:
        return [
            reading
            for device in self._devices
            for reading in device.reset()
            if not isinstance(reading, DeviceStatus)  # the line itself has said it, with the reason
        ]

    def _is_news(self, reading: Reading) -> bool:
        """Whether to pass a reading on: the same status twice is no news, unless it is online with a new gap."""
        if not isinstance(reading, DeviceStatus):
            return True
        known = self._online.get(reading.device)
        self._online[reading.device] = reading.online
        return known is not reading.online or (reading.online and reading.gap)


def _no_wait(_seconds: float) -> None:
    return
