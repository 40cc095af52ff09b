"""A tank gauge that only answers: when to ask which tank, silence, online and offline, commands refused.

Knows times as the port's clock tells them. Knows no byte and no unit: a protocol brings its questions as an
``Inquiry``, and what their answers mean. Nothing here can change a gauge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, Protocol, TypeVar

from drivers.asked import Heard
from drivers.commands import Command, GaugeCommand
from drivers.device import TankGaugeCapabilities
from drivers.errors import DeviceRefused
from drivers.port import Port
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, Reading

MAX_COMMANDS = 16  # every one of them is refused in the next turn; more waiting is a fault of the caller
PROBE_WAITS_S = (1.0, 2.0, 3.0)  # offline: last one for ever
WATCH_S = 2.0  # between two looks the port is touched so often: a pulled cable is noticed without a question
MISSING_S = 5.0  # so soon all are asked again when one has not answered
SILENT_TRIES = 3
NOISY_TRIES = 2  # a bad frame: one repeat

Q = TypeVar("Q")
A = TypeVar("A")


class Inquiry(Protocol[Q, A]):
    """What a protocol brings for one gauge.

    ``rest_s``: quiet after a question that nobody has answered, so that a late answer is not taken for the next one's.
    """

    capabilities: TankGaugeCapabilities
    rest_s: float
    poll_s: float

    def questions(self) -> Sequence[tuple[int, Sequence[Q]]]:
        """One look: (tank, its questions) in order; 0 = the gauge is asked for all its tanks at once."""
        ...

    def exchange(self, port: Port, question: Q) -> A | Heard:
        """One question and its answer, within the protocol's window."""
        ...

    def settled(self, answers: Sequence[A]) -> A | None:
        """What the answers to one question, asked so often, come to; ``None``: ask once more."""
        ...

    def told(self, tank: int, answers: Sequence[A], now_s: float) -> Sequence[Reading]:
        """The readings of one settled answer to each question of ``tank``."""
        ...

    def unanswered(self, tank: int, heard: Heard) -> Sequence[Reading]:
        """The readings of a tank that does not answer while others do."""
        ...

    def take_counts(self) -> Mapping[str, int]:
        """What went wrong on the wire since the last call, by stable name such as ``frames_rejected.crc``."""
        ...

    def trouble(self, heard: Heard) -> tuple[str, str]:
        """Why the gauge is offline and what to do."""
        ...


@dataclass(slots=True)
class _Asked(Generic[Q, A]):
    """The questions of one tank in this look. ``heard``: answers to the question under way; ``failures`` in a row."""

    tank: int
    left: deque[Q]
    settled: list[A] = field(default_factory=list)
    heard: list[A] = field(default_factory=list)
    failures: int = 0


class InquiredGauge(Generic[Q, A]):
    """One gauge and its tanks. ``turn`` and ``reset`` belong to the line's thread; ``submit`` to any.

    A tank that has not answered is asked once in each later look until it answers; when no tank does in a whole look
    the gauge is offline.
    """

    _now: float | None
    _due_s: float | None  # None = at once
    _reported: bool | None

    def __init__(self, line_id: str, inquiry: Inquiry[Q, A]) -> None:
        self.device_id = f"gauge:{line_id}"
        self.capabilities = inquiry.capabilities
        self._inquiry = inquiry
        self._lock = Lock()
        self._commands: deque[Command] = deque()
        self._left: deque[_Asked[Q, A]] = deque()
        self._dead: set[int] = set()
        self._out: list[Reading] = []
        self._counts: dict[str, int] = {}
        self._forget()

    def turn(self, port: Port) -> Sequence[Reading]:
        """Put at most one question and return what its answer completes; quickly nothing when none is due."""
        self._now = port.monotonic()
        self._refuse_commands()
        if self._due_s is None or self._now >= self._due_s:
            if not self._left:
                self._begin()
            self._ask(port, self._left[0])
        elif port.discard():
            self._count("frames_rejected.late")
        taken, self._out = self._out, []
        return taken

    def due_in_s(self) -> float:
        """As ``Device.due_in_s``."""
        if self._now is None or self._due_s is None or self._commands:
            return 0.0
        return max(0.0, min(WATCH_S, self._due_s - self._now))

    def submit(self, command: Command) -> None:
        """Queue ``command`` to be refused. Raises ``DeviceRefused`` when too many wait."""
        with self._lock:
            if len(self._commands) >= MAX_COMMANDS:
                hint = "wait for their results"
                raise DeviceRefused(f"{self.device_id} has {MAX_COMMANDS} commands waiting", hint=hint)
            self._commands.append(command)

    def reset(self) -> Sequence[Reading]:
        """As ``Device.reset``: a new look begins at once."""
        self._forget()
        for command in self._take_commands():
            self._out.append(_result(command, CommandOutcome.UNKNOWN, "the port was lost"))
        taken, self._out = self._out, []
        return taken

    def counters(self) -> Mapping[str, int]:
        """``silent_polls``, ``noisy_polls`` and those of the protocol, since the start."""
        return dict(self._counts)

    def _forget(self) -> None:
        self._left.clear()
        self._dead.clear()
        self._now = self._due_s = self._reported = None
        self._answered = False
        self._gave_up = False
        self._probes = 0

    # One look.

    def _begin(self) -> None:
        """All tanks; while the gauge is offline one of them, another each time."""
        every = [_Asked[Q, A](tank, deque(words)) for tank, words in self._inquiry.questions()]
        self._answered = self._gave_up = False
        self._left.extend(every if self._reported is not False else [every[self._probes % len(every)]])

    def _ask(self, port: Port, asked: _Asked[Q, A]) -> None:
        answer = self._inquiry.exchange(port, asked.left[0])
        now = self._now = port.monotonic()
        for name, count in self._inquiry.take_counts().items():
            self._count(name, count)
        self._due_s = None
        if isinstance(answer, Heard):
            self._fail(asked, answer, now)
            return
        self._online()
        self._dead.discard(asked.tank)
        asked.failures = 0
        asked.heard.append(answer)
        settled = self._inquiry.settled(asked.heard)
        if settled is None:
            return
        asked.settled.append(settled)
        asked.heard.clear()
        asked.left.popleft()
        if not asked.left:
            self._out += self._inquiry.told(asked.tank, asked.settled, now)
            self._done(Heard.NOTHING, now)

    def _fail(self, asked: _Asked[Q, A], heard: Heard, now: float) -> None:
        self._count("silent_polls" if heard is Heard.NOTHING else "noisy_polls")
        self._due_s = now + self._inquiry.rest_s
        asked.heard.clear()  # what is compared must have come without a silence between
        asked.failures += 1
        hopeless = asked.tank in self._dead or self._reported is False or (self._gave_up and not self._answered)
        if not hopeless and asked.failures < (SILENT_TRIES if heard is Heard.NOTHING else NOISY_TRIES):
            return
        self._dead.add(asked.tank)
        self._gave_up = True
        if self._reported:
            self._out += self._inquiry.unanswered(asked.tank, heard)
        self._done(heard, now)

    def _done(self, heard: Heard, now: float) -> None:
        """One tank is through; after the last one the look is over."""
        self._left.popleft()
        if self._left:
            return
        if not self._answered:
            self._due_s = now + PROBE_WAITS_S[min(self._probes, len(PROBE_WAITS_S) - 1)]
            self._probes += 1
            self._offline(heard)
        elif self._probes:
            self._probes = 0  # only one tank was asked: now all
        else:
            self._due_s = now + (min(self._inquiry.poll_s, MISSING_S) if self._dead else self._inquiry.poll_s)

    def _online(self) -> None:
        self._answered = True
        if self._reported is not True:
            self._reported = True
            self._out.append(DeviceStatus(self.device_id, online=True, gap=True))

    def _offline(self, heard: Heard) -> None:
        self._dead.clear()
        if self._reported is not False:
            self._reported = False
            reason, hint = self._inquiry.trouble(heard)
            self._out.append(DeviceStatus(self.device_id, online=False, gap=True, reason=reason, hint=hint))

    # Commands.

    def _refuse_commands(self) -> None:
        self._out += [
            _result(command, CommandOutcome.REFUSED, "this gauge is only read") for command in self._take_commands()
        ]

    def _take_commands(self) -> list[Command]:
        with self._lock:
            taken = list(self._commands)
            self._commands.clear()
        return taken

    def _count(self, name: str, count: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + count


def _result(command: Command, outcome: CommandOutcome, detail: str) -> CommandResult:
    point = 0 if isinstance(command, GaugeCommand) else command.fuelling_point
    return CommandResult(command.command_id, point, outcome, detail)
