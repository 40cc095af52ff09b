"""One tank gauge behind registers: which read when, silence, the guard, changed units. Reads only.

Knows the map, and a handle on the wire that cannot write: at most it selects the tank that is read next. Meanings are
in ``tanks.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from drivers.asked import Heard
from drivers.commands import Command, ConfirmUnits, GaugeCommand, ReadDeliveries
from drivers.config import LineConfig
from drivers.device import TankGaugeCapabilities
from drivers.errors import DeviceRefused, DriverError
from drivers.modbus import plan, tanks, values
from drivers.modbus.codec import Reply
from drivers.modbus.link import SILENT, ReadingWire, SelectingWire, refusal
from drivers.modbus.model import RegisterMap, Role
from drivers.modbus.options import Options
from drivers.modbus.registers import read_request
from drivers.modbus.values import Key, Sample
from drivers.port import Port
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    DeviceStatus,
    GaugeAlarms,
    GaugeUnits,
    Quality,
    Reading,
)
from drivers.veeder_root.plausibility import Pace

MAX_COMMANDS = 16  # a person confirms units now and then; more waiting is a fault of the caller
PROBE_WAITS_S = (1.0, 2.0, 3.0)  # silent: last one for ever
WATCH_S = 2.0  # between two reads the port is looked at so often: a pulled cable is noticed without a telegram


class RegisterGauge:
    """One gauge and its tanks. ``turn`` puts one read (with its select, where the map has one)."""

    def __init__(self, config: LineConfig, wire: ReadingWire, options: Options) -> None:
        self.device_id = f"gauge:{config.id}"
        self.capabilities = capabilities(options.map)
        self._map = options.map
        self._wire = wire
        self._options = options
        self._tanks = config.tanks or (1,)
        self._turns = plan.cycles(options.map, [tank - 1 for tank in self._tanks])
        self._period_s = self._turns[0].period_ms / 1000 if options.poll_interval_s is None else options.poll_interval_s
        self._left: deque[tuple[plan.Turn, plan.Block]] = deque()
        self._words: dict[Key, Sequence[int]] = {}
        self._refused: dict[int | None, str] = {}
        self._commands: deque[Command] = deque()
        self._out: list[Reading] = []
        self._now: float | None = None
        self._due_s: float | None = None  # None = at once
        self._silent = 0
        self._probes = 0
        self._answers = 0
        self._reported: bool | None = None
        self._system: int | None = None
        self._held = False
        self._trusted: dict[int, tuple[int, float]] = {}
        self._alarms: GaugeAlarms | None = None
        self._counts: dict[str, int] = {}

    # What the line calls.

    def turn(self, port: Port) -> Sequence[Reading]:
        """Put at most one read and return what it completes; quickly nothing when none is due."""
        self._now = port.monotonic()
        self._run_commands()
        if self._due_s is None or self._now >= self._due_s:
            if not self._left:
                self._begin()
            self._ask(port, *self._left[0])
            for name, count in self._wire.take_counts().items():
                self._counts[name] = self._counts.get(name, 0) + count
        else:
            port.discard()
        taken, self._out = self._out, []
        return taken

    def due_in_s(self) -> float:
        """As ``Device.due_in_s``."""
        if self._now is None or self._due_s is None or self._commands or self._out:
            return 0.0
        return max(0.0, min(WATCH_S, self._due_s - self._now))

    def submit(self, command: Command) -> None:
        """Queue ``command``; only ``ConfirmUnits`` can be applied. Raises ``DeviceRefused`` when too many wait."""
        if len(self._commands) >= MAX_COMMANDS:
            raise DeviceRefused(f"{self.device_id} has {MAX_COMMANDS} commands waiting", hint="wait for their results")
        self._commands.append(command)

    def reset(self) -> Sequence[Reading]:
        """As ``Device.reset``: units seen and trusted volumes stay, everything else is read again."""
        self._wire.forget()
        while self._commands:
            self._end(self._commands.popleft(), CommandOutcome.UNKNOWN, "the port was lost")
        self._left.clear()
        self._due_s = None
        self._silent = self._probes = 0
        self._reported = False
        self._alarms = None
        taken, self._out = self._out, []
        return taken

    def counters(self) -> Mapping[str, int]:
        """``silent_polls``, ``noisy_polls``, ``refused_reads`` and those of the wire, since the start."""
        return dict(self._counts)

    # One cycle.

    def _begin(self) -> None:
        self._words.clear()
        self._refused.clear()
        self._answers = 0
        self._left.extend((turn, block) for cycle in self._turns for turn in cycle.turns for block in turn.blocks)

    def _ask(self, port: Port, turn: plan.Turn, block: plan.Block) -> None:
        answer = self._select(port, turn)
        if isinstance(answer, Reply) and not answer.exception:
            answer = self._wire.read(port, read_request(block), probe=self._reported is False and self._probes > 0)
        self._now = port.monotonic()
        if isinstance(answer, Heard) or answer.exception in SILENT:
            self._unanswered(answer)
            return
        self._silent = self._probes = 0
        self._left.popleft()
        self._due_s = None
        if answer.exception:
            what = f"unit {self._wire.unit}, function {block.function}, address {block.address}"
            self._leave_out(block, refusal(answer.exception, what))
        else:
            self._answers += 1
            self._words.update(block.registers(answer.values))
            if self._guarded(block):
                self._left.clear()
        if not self._left:
            self._complete(self._now)

    def _select(self, port: Port, turn: plan.Turn) -> Reply | Heard:
        if turn.select is None:
            return Reply()
        assert isinstance(self._wire, SelectingWire), "a map with select gets a handle that selects"
        return self._wire.select(port, turn.select.words[0])

    def _guarded(self, block: plan.Block) -> bool:
        """Whether the guard has come with this block and says that nothing behind it is worth reading."""
        guard = self._map.guard
        if guard is None or all(part.field != guard.field for part in block.parts):
            return False
        return bool(values.unusable(guard, values.samples(self._map, self._words).get((guard.field, None))))

    def _leave_out(self, block: plan.Block, why: DriverError) -> None:
        self._count("refused_reads")
        for part in block.parts:
            self._refused[part.tank] = str(why)
        self._refused[None] = f"{why}. {why.hint}"

    def _unanswered(self, answer: Reply | Heard) -> None:
        self._count("noisy_polls" if answer is Heard.NOISE else "silent_polls")
        self._silent += 1
        assert self._now is not None
        if self._reported is not False and self._silent < self._options.tries:
            self._due_s = None
            return
        self._left.clear()
        self._due_s = self._now + PROBE_WAITS_S[min(self._probes, len(PROBE_WAITS_S) - 1)]
        self._probes += 1
        unit = self._wire.unit
        if answer is Heard.NOISE:
            self._offline(f"unit {unit} cannot be understood", "check baud rate, parity, the wires and the transport")
        else:
            self._offline(f"unit {unit} does not answer", "check its unit address, line settings, cable and power")

    def _offline(self, reason: str, hint: str) -> None:
        if self._reported is not False:
            self._out.append(DeviceStatus(self.device_id, online=False, gap=True, reason=reason, hint=hint))
        self._reported = False
        self._alarms = None

    # What a cycle means.

    def _complete(self, now: float) -> None:
        if not self._answers:
            reason, _, hint = self._refused.get(None, "every read was refused. ").partition(". ")
            self._offline(reason, hint)
            self._due_s = now + self._period_s
            return
        if self._reported is not True:
            self._out.append(DeviceStatus(self.device_id, online=True, gap=True))
            self._reported = True
        samples = values.samples(self._map, self._words)
        unusable = self._unusable(samples)
        if not unusable:
            self._take_units(samples)
        delivering = False
        for tank in self._tanks:
            doubt = unusable or self._refused.get(tank - 1, "") or ("units changed" if self._held else "")
            if doubt:
                self._out.append(tanks.no_reading(self.device_id, tank, doubt))
                continue
            delivering |= self._tank(tank, samples, now)
        if not unusable and tanks.tells_alarms(self._map):
            self._tell_alarms(samples)
        self._due_s = now + (min(self._period_s, self._options.delivery_interval_s) if delivering else self._period_s)

    def _unusable(self, samples: Mapping[Key, Sample]) -> str:
        guard = self._map.guard
        return "" if guard is None else values.unusable(guard, samples.get((guard.field, None))).replace("_", " ")

    def _tank(self, tank: int, samples: Mapping[Key, Sample], now: float) -> bool:
        last = self._trusted.get(tank)
        pace = None
        if last is not None:
            elapsed_ms = max(0, round((now - last[1]) * 1000))
            pace = Pace(last[0], elapsed_ms, tanks.step_ml(self._map, samples, tank))
        reading = tanks.tank_reading(self.device_id, tank, self._map, samples, pace)
        if reading.quality is Quality.GOOD and reading.volume_ml is not None:
            self._trusted[tank] = (reading.volume_ml, now)
        self._out.append(reading)
        return reading.delivery_in_progress is True

    def _take_units(self, samples: Mapping[Key, Sample]) -> None:
        systems = (tanks.unit_system(self._map, samples, tank) for tank in self._tanks)
        system = next((found for found in systems if found is not None), None)
        if system is None or system == self._system:
            return
        changed = self._system is not None
        self._held = self._held or changed
        self._system = system
        self._out.append(GaugeUnits(self.device_id, system, changed))

    def _tell_alarms(self, samples: Mapping[Key, Sample]) -> None:
        standing = tuple(alarm for tank in self._tanks for alarm in tanks.alarms(tank, self._map, samples))
        level = GaugeAlarms(self.device_id, standing)
        if level != self._alarms:
            self._alarms = level
            self._out.append(level)

    # Commands.

    def _run_commands(self) -> None:
        while self._commands:
            command = self._commands.popleft()
            if not isinstance(command, ConfirmUnits):
                keeps_none = isinstance(command, ReadDeliveries)
                why = "this gauge keeps no deliveries" if keeps_none else "a tank gauge is only read"
                self._end(command, CommandOutcome.REFUSED, why)
                continue
            if f"gauge:{command.gauge.removeprefix('gauge:')}" != self.device_id:
                self._end(command, CommandOutcome.REFUSED, "this is another gauge")
                continue
            if self._held and self._system is not None:
                self._held = False
                self._trusted.clear()
                self._out.append(GaugeUnits(self.device_id, self._system))
            self._end(command, CommandOutcome.APPLIED)

    def _end(self, command: Command, outcome: CommandOutcome, detail: str = "") -> None:
        point = 0 if isinstance(command, GaugeCommand) else command.fuelling_point
        self._out.append(CommandResult(command.command_id, point, outcome, detail))

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1


def capabilities(map_: RegisterMap) -> TankGaugeCapabilities:
    """What the gauge behind ``map_`` can tell."""
    return TankGaugeCapabilities(
        reads_only=True,
        inventory=bool(map_.by_role(Role.GROSS_VOLUME)),
        tc_volume=bool(map_.by_role(Role.TC_VOLUME)),
        water=bool(map_.by_role(Role.WATER_HEIGHT) or map_.by_role(Role.WATER_VOLUME)),
        alarms=tanks.tells_alarms(map_),
    )
