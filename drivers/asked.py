"""One fuelling point that answers every question at once: poll turns, silence, and the commands under way.

Knows when to ask what. Knows no byte, no clock but the port's, and decides nothing about sales: the protocol brings its
words as a ``Speech``, the agent gets levels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from threading import Lock
from typing import Generic, Protocol, TypeVar

from drivers.commands import Command, Stop
from drivers.config import PointConfig
from drivers.device import DispenserCapabilities
from drivers.errors import DeviceRefused
from drivers.port import Port
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, FuellingPointReading, Reading

MAX_QUEUED = 32  # commands; the agent has a handful under way, more means that nobody looks at the results
MAX_QUESTIONS = 8  # of one look at a point: it must not hold the wire of the others
LEVEL_EVERY_S = 1.0  # the contract says two seconds; a full wire needs up to one for the turns of the others
SILENT_WAITS_S = (0.0, 0.0, 0.25, 0.5, 1.0)  # before the next poll of a point that was silent 1, 2, ... times
PROBE_WAITS_S = (0.25, 1.0, 2.0, 3.0)  # offline: last one for ever, so that three good cycles fit into 5 s
MIN_WAIT_LOOKS = 3  # a state is never given up before the point was looked at so often

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")


class Heard(Enum):
    """What came instead of an answer."""

    NOTHING = "nothing"
    NOISE = "noise"


@dataclass(slots=True)
class Ask(Generic[Q, A]):
    """Ask and hear the answer; ``reply`` stays ``None`` when none came in ``tries`` turns."""

    question: Q
    tries: int = 1
    reply: A | None = None


@dataclass(slots=True)
class Say(Generic[Q]):
    """Say something that is never answered; what came of it is seen later."""

    word: Q


@dataclass(slots=True)
class Wait:
    """Look until ``done``, for ``limit_s`` at most; ``came`` tells which. ``pace_s``: shortest time between looks."""

    done: Callable[[], bool]
    limit_s: float
    pace_s: float = 0.0
    came: bool = False


Step = Ask[Q, A] | Say[Q] | Wait
Steps = Generator[Ask[Q, A] | Say[Q] | Wait, None, T]
Ending = tuple[CommandOutcome, str]


def waited(done: Callable[[], bool], limit_s: float, pace_s: float = 0.0) -> Generator[Wait, None, bool]:
    """Step of an order: look until ``done`` and hand back whether it came true in time."""
    wait = Wait(done, limit_s, pace_s)
    yield wait
    return wait.came


class Speech(Protocol[Q, A]):
    """What a protocol brings for one fuelling point."""

    capabilities: DispenserCapabilities

    def exchange(self, port: Port, question: Q, *, probe: bool) -> A | Heard:
        """One question and its answer, within the protocol's window. ``probe``: the point is offline, be brief."""
        ...

    def say(self, port: Port, word: Q) -> None:
        """Send what is never answered."""
        ...

    def look(self) -> Steps[Q, A, None]:
        """The questions of one poll turn (``Ask`` only), their answers applied; closed at the first silence."""
        ...

    def reading(self) -> FuellingPointReading | None:
        """The level now; ``None`` while the state was not told yet."""
        ...

    def steps(self, command: Command) -> Steps[Q, A, Ending]:
        """The steps of a command and how it ends; nothing runs before the first ``next``."""
        ...

    def take(self) -> list[Reading]:
        """Readings since the last call: of steps (totals, held sales, LINK_ACKED) or found by a look, oldest first."""
        ...

    def gap(self) -> None:
        """Readings may be missed from now on: what the point is doing is unknown, its last values stay."""
        ...

    def take_counts(self) -> Mapping[str, int]:
        """What went wrong on the wire since the last call, by stable name such as ``frames_rejected.crc``."""
        ...

    def trouble(self, heard: Heard | None) -> tuple[str, str]:
        """Why the point is offline and what to do: after silence, noise, or (``None``) answers without a state."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """When a point is offline and online again; times in seconds.

    ``silent_polls`` / ``silent_time_s``: offline after so many silent questions, or after so long. ``good_cycles``:
    answered looks in a row that bring it back. ``poll_interval_s``: shortest time between two turns of one point.
    """

    silent_polls: int = 5
    silent_time_s: float = 8.0
    good_cycles: int = 3
    poll_interval_s: float = 0.0


class AskedPoint(Generic[Q, A]):
    """One fuelling point. ``turn`` and ``reset`` belong to the line's thread; ``submit`` and ``counters`` to any."""

    def __init__(self, config: PointConfig, speech: Speech[Q, A], patience: Patience) -> None:
        self.device_id = f"point:{config.fuelling_point}"
        self.capabilities = speech.capabilities
        self._number = config.fuelling_point
        self._speech = speech
        self._patience = patience
        self._lock = Lock()
        self._queue: deque[Command] = deque()
        self._order: tuple[Command, Steps[Q, A, Ending]] | None = None
        self._step: Ask[Q, A] | Say[Q] | Wait | None = None
        self._step_since_s = 0.0
        self._step_turns = 0
        self._online: bool | None = None
        self._good = 0
        self._silent = 0
        self._probes = 0
        self._last_good_s: float | None = None
        self._began_s = 0.0
        self._told: FuellingPointReading | None = None
        self._told_at_s = 0.0
        self._counts: dict[str, int] = {}
        self._out: list[Reading] = []

    # What the line calls.

    def turn(self, port: Port) -> Sequence[Reading]:
        """One poll turn: one step of the command under way, or one look at the point."""
        if self._last_good_s is None:
            self._last_good_s = self._began_s = port.monotonic()
        self._next_order(port.monotonic())
        said = isinstance(self._step, Say)
        heard = self._exchange(port)
        for name, count in self._speech.take_counts().items():
            self._count(name, count)
        now = port.monotonic()
        if heard is not None:
            self._not_answered(heard, now)
        elif not said:
            self._answered(now)
        self._tell_level(now)
        if heard is None and self._wait_ended(now):
            self._tell_level(now)
        if self._online:
            self._out += self._speech.take()  # what a look has found that nobody asked for comes after the level
        taken, self._out = self._out, []
        return taken

    def due_in_s(self) -> float:
        """As ``Device.due_in_s``."""
        if self._online is False:
            return 0.0 if self._good else PROBE_WAITS_S[min(self._probes, len(PROBE_WAITS_S) - 1)]
        if self._silent:
            return SILENT_WAITS_S[min(self._silent, len(SILENT_WAITS_S)) - 1]
        if isinstance(self._step, Ask | Say) or (self._online and self._order is None and self._queue):
            return 0.0
        pace_s = self._step.pace_s if isinstance(self._step, Wait) else 0.0
        return max(pace_s, self._patience.poll_interval_s)

    def submit(self, command: Command) -> None:
        """Queue a command; a ``Stop`` goes before all others. Raises ``DeviceRefused`` when the queue is full."""
        with self._lock:
            if len(self._queue) >= (2 * MAX_QUEUED if isinstance(command, Stop) else MAX_QUEUED):
                raise DeviceRefused(
                    f"{self.device_id} has {len(self._queue)} commands waiting",
                    hint="wait for results before sending more",
                )
            if isinstance(command, Stop):
                self._queue.appendleft(command)
            else:
                self._queue.append(command)

    def reset(self) -> Sequence[Reading]:
        """As ``Device.reset``: the point's own last values stay known, what it is doing now does not."""
        self._go_offline()
        self._abandon("the line was lost")
        for command in self._take_queue():
            self._end(command, CommandOutcome.UNKNOWN, "the line was lost; never sent")
        taken, self._out = self._out, []
        return taken

    def counters(self) -> Mapping[str, int]:
        """Counts since the start: ``silent_polls``, ``noisy_polls`` and those of the protocol."""
        return dict(self._counts)

    # One exchange.

    def _exchange(self, port: Port) -> Heard | None:
        """``None`` when the point answered, or nothing was asked of it that it answers."""
        step = self._step
        if self._online is not True or step is None or isinstance(step, Wait):
            return self._look(port)
        self._step_turns += 1
        if isinstance(step, Say):
            self._speech.say(port, step.word)
            self._resume(port.monotonic())
            return None
        answer = self._speech.exchange(port, step.question, probe=False)
        if isinstance(answer, Heard):
            if self._step_turns >= step.tries:
                self._resume(port.monotonic())
            return answer
        step.reply = answer
        self._resume(port.monotonic())
        return None

    def _look(self, port: Port) -> Heard | None:
        look = self._speech.look()
        for _ in range(MAX_QUESTIONS):
            step = next(look, None)
            if step is None:
                return None
            assert isinstance(step, Ask), "a look only asks"
            answer = self._speech.exchange(port, step.question, probe=self._online is False)
            if isinstance(answer, Heard):
                look.close()
                return answer
            step.reply = answer
        look.close()
        return None

    # Answers and silence.

    def _answered(self, now: float) -> None:
        self._last_good_s = now
        self._silent = self._probes = 0
        self._good = min(self._good + 1, self._patience.good_cycles)
        told = self._speech.reading() is not None
        if self._online is not True and told and self._good >= self._patience.good_cycles:
            self._online = True
            self._told = None
            self._out.append(DeviceStatus(self.device_id, online=True, gap=True))
        elif self._online is None and now - self._began_s >= self._patience.silent_time_s:
            self._offline(None)

    def _not_answered(self, heard: Heard, now: float) -> None:
        answered_before, self._good = self._good > 0, 0
        self._count("silent_polls" if heard is Heard.NOTHING else "noisy_polls")
        if self._online is False:
            self._probes = 0 if answered_before else self._probes + 1  # it is coming back: ask again soon
            if heard is Heard.NOISE:
                self._probes = min(self._probes, 1)  # something is there: do not let it wait for the longest time
            return
        self._silent += 1
        silent_s = now - (now if self._last_good_s is None else self._last_good_s)
        too_long = silent_s >= self._patience.silent_time_s and self._silent >= 2
        if self._silent >= self._patience.silent_polls or too_long:
            self._offline(heard)

    def _offline(self, heard: Heard | None) -> None:
        self._go_offline()
        self._abandon("the pump went silent")
        reason, hint = self._speech.trouble(heard)
        self._out.append(DeviceStatus(self.device_id, online=False, gap=True, reason=reason, hint=hint))

    def _go_offline(self) -> None:
        self._online = False
        self._good = self._silent = self._probes = 0
        self._speech.gap()

    # Orders.

    def _next_order(self, now: float) -> None:
        if self._online is not True:
            for command in self._take_queue():
                self._end(command, CommandOutcome.REFUSED, "the pump is offline")
            return
        with self._lock:
            stop_waits = bool(self._queue) and isinstance(self._queue[0], Stop)
        if stop_waits and self._order is not None and not isinstance(self._order[0], Stop):
            self._abandon("interrupted by Stop")
        # An order that ends without a word makes room for the next one in the same turn.
        for _ in range(MAX_QUEUED):
            if self._order is not None:
                return
            with self._lock:
                if not self._queue:
                    return
                command = self._queue.popleft()
            self._order = (command, self._speech.steps(command))
            self._resume(now)

    def _resume(self, now: float) -> None:
        if self._order is None:
            return
        command, steps = self._order
        self._step_since_s = now
        self._step_turns = 0
        try:
            self._step = next(steps)
        except StopIteration as end:
            self._order = self._step = None
            self._out += self._speech.take()
            outcome, detail = end.value
            self._end(command, outcome, detail)
            return
        self._out += self._speech.take()

    def _wait_ended(self, now: float) -> bool:
        step = self._step
        if not isinstance(step, Wait) or self._order is None:
            return False
        self._step_turns += 1
        step.came = step.done()
        over = now - self._step_since_s >= step.limit_s and self._step_turns >= MIN_WAIT_LOOKS
        if not step.came and not over:
            return False
        self._resume(now)
        return True

    def _abandon(self, why: str) -> None:
        if self._order is None:
            return
        command, steps = self._order
        steps.close()
        self._order = self._step = None
        self._out += self._speech.take()
        self._end(command, CommandOutcome.UNKNOWN, why)

    def _take_queue(self) -> list[Command]:
        with self._lock:
            taken = list(self._queue)
            self._queue.clear()
        return taken

    # Reports.

    def _end(self, command: Command, outcome: CommandOutcome, detail: str) -> None:
        self._out.append(CommandResult(command.command_id, self._number, outcome, detail))

    def _tell_level(self, now: float) -> None:
        reading = self._speech.reading()
        if not self._online or reading is None:
            return
        if reading != self._told or now - self._told_at_s >= LEVEL_EVERY_S:
            self._told, self._told_at_s = reading, now
            self._out.append(reading)

    def _count(self, name: str, count: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + count
