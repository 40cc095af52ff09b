"""The Dipstick behind its wire: one tank asked after the other, silence told once. Exports ``SPEC``.

Knows when to ask. Knows no clock but the port's, and is only ever asked: there is no command that it would pass on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from drivers.commands import Command
from drivers.config import LineConfig, SerialSettings
from drivers.device import Device, TankGaugeCapabilities
from drivers.errors import DeviceRefused, WiringError
from drivers.port import Port
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, Quality, Reading, TankReading
from drivers.registry import DriverSpec, OptionProblem

from .codec import Answer, Decoder, question

CAPABILITIES = TankGaugeCapabilities(reads_only=True, inventory=True, tc_volume=False, water=True, alarms=False)
ANSWER_S = 1.0
SILENT_ASKS = 3  # so many unanswered questions in a row and the gauge is offline
OFFLINE_EVERY_S = 2.0
MAX_QUEUED = 32
DEFAULT_EVERY_S = 10


class Dipstick:
    """One gauge. ``turn`` and ``reset`` belong to the line's thread, ``submit`` and ``counters`` to any."""

    def __init__(self, config: LineConfig) -> None:
        self.device_id = f"gauge:{config.id}"
        self.capabilities = CAPABILITIES
        self._tanks = config.tanks or (1,)
        every_s = config.options.get("every_s", DEFAULT_EVERY_S)
        assert isinstance(every_s, int)  # check_options has seen to it
        self._every_s = every_s
        self._decoder = Decoder()
        self._next = 0
        self._silent = 0
        self._online: bool | None = None
        self._commands: deque[Command] = deque()

    def turn(self, port: Port) -> Sequence[Reading]:
        """Ask one tank; commands are refused."""
        answer = self._ask(port, self._tanks[self._next])
        ended = self._ended(CommandOutcome.REFUSED, "a gauge is only read")  # not before: a lost port would lose them
        if answer is None:
            self._silent += 1
            return [*ended, *self._told_offline()]
        self._silent = 0
        self._next = (self._next + 1) % len(self._tanks)
        told = [] if self._online else [DeviceStatus(self.device_id, online=True, gap=True)]
        self._online = True
        return [*ended, *told, self._reading(answer)]

    def due_in_s(self) -> float:
        """At once while tanks are left to ask or commands wait, else after the pause."""
        if self._commands:
            return 0.0
        if self._silent:
            return OFFLINE_EVERY_S if self._online is False else 0.0
        return 0.0 if self._next else float(self._every_s)

    def submit(self, command: Command) -> None:
        """Queue a command, to be refused in the next turn. Raises ``DeviceRefused`` when too many wait."""
        if len(self._commands) >= MAX_QUEUED:
            raise DeviceRefused(f"{self.device_id} has {MAX_QUEUED} commands waiting", hint="wait for their results")
        self._commands.append(command)

    def reset(self) -> Sequence[Reading]:
        """The port was lost or opened: nothing of the wire counts any more."""
        self._online = None
        self._next = self._silent = 0
        self._decoder.silence()
        return self._ended(CommandOutcome.UNKNOWN, "the port was lost")

    def counters(self) -> Mapping[str, int]:
        """Frames that were refused, by reason."""
        return {f"frames_rejected.{reason}": count for reason, count in self._decoder.rejected.items()}

    def _ask(self, port: Port, tank: int) -> Answer | None:
        port.discard()
        self._decoder.silence()
        port.write(question(tank))
        until_s = port.monotonic() + ANSWER_S
        while (left_s := until_s - port.monotonic()) > 0:
            for answer in self._decoder.feed(port.read(64, left_s)):
                if answer.tank == tank:
                    return answer
        return None

    def _reading(self, answer: Answer) -> TankReading:
        return TankReading(
            self.device_id,
            answer.tank,
            Quality.GOOD,
            volume_ml=1_000 * answer.volume_l,
            water_height_um=1_000 * answer.water_mm,
        )

    def _told_offline(self) -> list[Reading]:
        if self._online is False or self._silent < SILENT_ASKS:
            return []
        self._online = False
        reason = f"{self._silent} questions without a right answer"
        hint = "check power and cable of the gauge, and that the line says 2400 baud"
        return [DeviceStatus(self.device_id, online=False, gap=True, reason=reason, hint=hint)]

    def _ended(self, outcome: CommandOutcome, detail: str) -> list[Reading]:
        ended: list[Reading] = []
        while self._commands:
            command = self._commands.popleft()
            ended.append(CommandResult(command.command_id, getattr(command, "fuelling_point", 0), outcome, detail))
        return ended


def make_devices(config: LineConfig) -> list[Device]:
    """The gauge of the line. Raises ``WiringError`` for a tank that cannot be asked."""
    if any(not 1 <= tank <= 9 for tank in config.tanks):
        raise WiringError(f"tanks {list(config.tanks)}: a Dipstick has tanks 1 to 9", hint="number them as it does")
    return [Dipstick(config)]


def check_options(options: Mapping[str, object]) -> list[OptionProblem]:
    """Every problem at once: (key, what is wrong, what to write)."""
    problems = [(key, "unknown option", "write every_s or nothing") for key in options if key != "every_s"]
    every_s = options.get("every_s", DEFAULT_EVERY_S)
    if not isinstance(every_s, int) or isinstance(every_s, bool) or not 1 <= every_s <= 3_600:
        problems.append(("every_s", f"{every_s!r} is no number of seconds", "write 1 to 3600"))
    return problems


SPEC = DriverSpec(
    protocol="dipstick",
    kind="tank-gauge",
    serial_defaults=SerialSettings(2400, 8, "none", 1),
    check_options=check_options,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
)
