"""The console as a tank gauge: which question when, silence, changed units; codec + port -> readings.

Reads only. Knows the states of the protocol sheet; frames are the codec's, layouts the parsers'. Keeps no log.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from drivers.commands import Command, GaugeCommand, ReadDeliveries
from drivers.config import LineConfig, SerialSettings
from drivers.device import Device, TankGaugeCapabilities
from drivers.errors import DeviceRefused, DeviceSilent, FrameRejected
from drivers.port import Port
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, Reading
from drivers.registry import DriverSpec
from drivers.veeder_root.charts import CHART_CODES
from drivers.veeder_root.codec import Kind, Reply
from drivers.veeder_root.console import (
    DELIVERIES,
    HISTORY_CODES,
    INVENTORY,
    STANDING,
    TANK_ALARMS,
    UNITS,
    UNITS_OLD,
    Console,
)
from drivers.veeder_root.exchange import Ask, Exchange
from drivers.veeder_root.forms import Forms
from drivers.veeder_root.options import check_options, parse_options, warn_options
from drivers.veeder_root.past import CLOCK_DIGITS, RANGE, Range, digits
from drivers.veeder_root.schedule import Pending, Schedule
from drivers.veeder_root.setup import SETUP_CODES

SERIAL_DEFAULTS = SerialSettings(baudrate=9600, data_bits=8, parity="none", stop_bits=1)
CAPABILITIES = TankGaugeCapabilities(
    reads_only=True, inventory=True, tc_volume=True, water=True, alarms=True, deliveries=True
)

MAX_COMMANDS = 16  # a person confirms units now and then; more waiting is a fault of the caller
VITAL_JOBS = frozenset({"units", "alarms", "poll"})
"""Jobs without which nothing is known: a question of another one that stays unanswered is left out."""

SETTLED_S = 60.0  # after the delivery delay a console needs a moment to write the record down
ONE_REPLY_CLOSES = 2  # so many connections in a row that end after one reply: the server closes by habit


class TlsGauge:
    """One TLS console and its tanks.

    OPENING, IDENTIFYING, ONLINE and SILENT of the sheet are what has been read so far: ``_identified`` is ONLINE,
    ``_silent_until`` is SILENT. CLOSED is the line's state, which owns the port.
    """

    capabilities = CAPABILITIES

    def __init__(self, config: LineConfig) -> None:
        self.device_id = f"gauge:{config.id}"
        self.closed_by_habit = False
        self._options = parse_options(config.options)
        self._exchange = Exchange(self._options, config.serial)
        self._console = Console(self.device_id, config.tanks, self._options)
        self._forms = Forms(config.tanks)
        self._schedule = Schedule()
        self._commands: deque[Command] = deque()
        self._outbox: deque[Reading] = deque()
        self._asked: Pending | None = None
        self._range: Range | None = None
        self._ranges: deque[ReadDeliveries] = deque()
        self._now: float | None = None
        self._wait_until = 0.0
        self._silent_until: float | None = None
        self._step = 0
        self._failures = 0
        self._identified = False
        self._reported: bool | None = None
        self._gap = False
        self._code_settled = not self._options.security_code
        self._replies = 0
        self._short_connections = 0

    def turn(self, port: Port) -> Sequence[Reading]:
        """Put at most one question and return what its answer tells; quickly nothing when no question is due."""
        self._now = port.monotonic()
        pending = self._asked
        if pending is None:
            self._run_commands()
            pending = self._next(self._now)
        if pending is not None:
            self._asked = None
            try:
                reply = self._exchange.ask(port, pending.ask)
            except (DeviceSilent, FrameRejected) as error:
                self._now = port.monotonic()
                self._unanswered(pending, error, self._now)
            else:
                self._now = port.monotonic()
                if reply is None:
                    self._asked = pending
                else:
                    self._answered(pending, reply, self._now)
        return self._flush()

    def due_in_s(self) -> float:
        """Seconds from the end of the last turn to the next question; 0 while a command waits."""
        if self._now is None or self._commands or self._outbox or self._asked is not None:
            return 0.0
        if self._silent_until is not None:
            due_at = self._silent_until
        else:
            due_at = max(self._schedule.earliest(), self._wait_until, self._exchange.free_at or 0.0)
        return max(0.0, due_at - self._now)

    def submit(self, command: Command) -> None:
        """Queue ``command``; only those for gauges can be applied. Raises ``DeviceRefused`` when too many wait."""
        if len(self._commands) >= MAX_COMMANDS:
            raise DeviceRefused(f"{self.device_id} has {MAX_COMMANDS} commands waiting", hint="wait for their results")
        self._commands.append(command)

    def reset(self) -> Sequence[Reading]:
        """The port is gone or new: start identifying again, unless the server closes after every reply by habit."""
        self.closed_by_habit = by_habit = self._ended_by_habit()
        self._exchange.reset()
        self._now = self._asked = None
        while self._commands:
            command = self._commands.popleft()
            self._outbox.append(_result(command, CommandOutcome.UNKNOWN, "the port was lost"))
        if self._reported:
            hint = "check the cable, the adapter or the TCP tunnel"
            self._outbox.append(DeviceStatus(self.device_id, online=False, gap=True, reason="port lost", hint=hint))
            self._gap = not by_habit
        self._reported = None
        self._end_range(CommandOutcome.UNKNOWN, "the port was lost")
        if not by_habit:
            self._identify_again()
            self._silent_until = None
            self._step = 0
        return self._flush()

    def counters(self) -> Mapping[str, int]:
        """Refused frames by reason, since the process began."""
        rejected = self._exchange.rejected.copy()
        return {f"frames_rejected.{reason}": count for reason, count in rejected.items()}

    def _flush(self) -> list[Reading]:
        return [self._outbox.popleft() for _ in range(len(self._outbox))]

    def _identify_again(self) -> None:
        self._identified = False
        self._end_range(CommandOutcome.UNKNOWN, "the console fell silent")
        self._failures = 0
        self._wait_until = 0.0
        self._code_settled = not self._options.security_code
        self._schedule.clear()
        self._forms.forget()
        self._console.forget()

    def _ended_by_habit(self) -> bool:
        """Whether connections keep ending after exactly one reply; a failed open or a lost question is no habit."""
        if self._replies != 1:
            self._short_connections = 0
        else:
            self._short_connections += 1
        self._replies = 0
        return self._short_connections >= ONE_REPLY_CLOSES

    def _run_commands(self) -> None:
        while self._commands:
            command = self._commands.popleft()
            if not isinstance(command, GaugeCommand):
                self._outbox.append(_result(command, CommandOutcome.REFUSED, "a tank gauge is only read"))
            elif f"gauge:{command.gauge.removeprefix('gauge:')}" != self.device_id:
                self._outbox.append(_result(command, CommandOutcome.REFUSED, "this is another gauge"))
            elif isinstance(command, ReadDeliveries):
                self._ranges.append(command)
                self._begin_range()
            else:
                self._outbox.extend(self._console.confirm_units())
                self._schedule.sooner("deliveries", self._now or 0.0)
                self._outbox.append(_result(command, CommandOutcome.APPLIED))

    def _begin_range(self) -> None:
        """Begin the next range if none is under way; one that cannot be read now ends at once."""
        while self._range is None and self._ranges:
            command = self._ranges.popleft()
            clock, since = self._console.clock, digits(command.since)
            if self._forms.unsupported(RANGE):
                detail = "the console cannot be asked for a range"
                self._outbox.append(_result(command, CommandOutcome.REFUSED, detail))
            elif not self._identified or self._console.units is None or not clock or len(since) < CLOCK_DIGITS:
                self._outbox.append(_result(command, CommandOutcome.UNKNOWN, "the console is not ready for it"))
            else:
                self._range = Range(command, since, f"{clock[:6]}2359")
                self._schedule.add("range", [self._range.ask()], next_due=math.inf, urgent=False)

    def _end_range(self, outcome: CommandOutcome, detail: str = "") -> None:
        """The range under way has come to an end; where the wire is gone, those that wait have too."""
        reading, self._range = self._range, None
        if reading is not None:
            self._outbox.append(_result(reading.command, outcome, detail))
        while outcome is CommandOutcome.UNKNOWN and self._ranges:
            self._outbox.append(_result(self._ranges.popleft(), outcome, detail))
        self._begin_range()

    def _next(self, now: float) -> Pending | None:
        if now < self._wait_until or (self._silent_until is not None and now < self._silent_until):
            return None
        self._refill(now)
        pending = self._schedule.next()
        while pending is not None and not self._forms.wants(pending.ask):
            self._schedule.done(pending)
            pending = self._schedule.next()
        return pending

    def _refill(self, now: float) -> None:
        options, schedule, forms = self._options, self._schedule, self._forms
        poll_s = min(options.poll_s, options.delivery_poll_s) if self._console.delivering else options.poll_s
        if schedule.ready("units", now):
            schedule.add("units", forms.asks(UNITS) or forms.asks(UNITS_OLD), next_due=now + options.units_s)
        if schedule.ready("alarms", now):
            schedule.add("alarms", forms.asks(STANDING), next_due=now + options.alarms_s)
        if schedule.ready("poll", now):
            asks = forms.asks(TANK_ALARMS) + forms.asks(INVENTORY)  # alarms first: they can void the level
            schedule.add("poll", asks, next_due=now + poll_s)
        if self._identified and schedule.ready("setup", now):
            asks = [ask for code in SETUP_CODES for ask in forms.asks(code)]
            schedule.add("setup", asks, next_due=now + options.setup_s, urgent=False)
        if self._identified and not schedule.busy("setup"):
            self._refill_past(now)

    def _refill_past(self, now: float) -> None:
        """Deliveries, history once per connection, charts: behind the set-up, whose delays and sizes they need."""
        schedule, forms = self._schedule, self._forms
        if schedule.ready("deliveries", now):
            schedule.add("deliveries", forms.asks(DELIVERIES), next_due=now + self._options.deliveries_s, urgent=False)
        if schedule.ready("history", now):
            asks = [ask for code in HISTORY_CODES for ask in forms.asks(code)]
            schedule.add("history", asks, next_due=math.inf, urgent=False)
        if self._options.charts and schedule.ready("charts", now):
            schedule.add("charts", self._chart_asks(), next_due=now + self._options.setup_s, urgent=False)

    def _chart_asks(self) -> list[Ask]:
        """The questions of the best chart function that this console has not refused."""
        code = next((code for code in CHART_CODES if not self._forms.unsupported(code)), None)
        return [] if code is None else self._console.chart_asks(code, self._exchange.line_byte_s)

    def _answered(self, pending: Pending, reply: Reply, now: float) -> None:
        self._replies += 1
        self._failures = 0
        self._silent_until = None
        if reply.kind is Kind.NOT_KNOWN:
            self._not_known(pending, now)
            return
        if not pending.ask.coded:
            hint = "remove security_code: without it the console answers"
            self._go_silent(now, "the console wants no security code", hint)
            return
        self._code_settled = True
        try:
            if self._range is not None and pending.job == "range":
                self._page(pending, self._range, reply)
                return
            readings = self._console.read(pending.ask, reply, now)
        except FrameRejected as error:
            self._exchange.rejected[error.reason] += 1
            self._unreadable(pending, now)
            return
        self._forms.accepted(pending.ask)
        if pending.ask.code == INVENTORY:
            self._identified = True
            self._schedule.begin("setup", now)
            self._step = 0
        if self._identified and not self._reported:
            self._outbox.append(DeviceStatus(self.device_id, online=True, gap=self._gap))
            self._reported, self._gap = True, False
        self._outbox.extend(readings)
        if self._console.delivering:
            self._schedule.sooner("poll", now + self._options.delivery_poll_s)
        ended = self._console.ended()
        if ended is not None:
            wait_s = (60.0 * ended + SETTLED_S) / self._options.time_scale
            self._schedule.sooner("deliveries", now + wait_s)
        self._finish(pending)

    def _page(self, pending: Pending, reading: Range, reply: Reply) -> None:
        if self._console.range_page(reading, reply):
            self._schedule.done(pending, [reading.ask()])
            return
        self._schedule.done(pending)
        self._outbox.append(
            reading.level(self.device_id, self._console.clock, self._console.delay_min(reading.command.gauge_index))
        )
        if reading.complete:
            self._end_range(CommandOutcome.APPLIED)
        else:
            self._end_range(CommandOutcome.REFUSED, "there are more deliveries than can be read")

    def _finish(self, pending: Pending, instead: Sequence[Ask] = ()) -> None:
        self._schedule.done(pending, instead)
        if pending.job == "setup" and not self._schedule.busy("setup"):
            self._outbox.extend(self._console.setup_complete())
            for job in ("deliveries", "history", *(("charts",) if self._options.charts else ())):
                self._schedule.begin(job, self._now or 0.0)
        if pending.job == "history" and not self._schedule.busy("history"):
            self._outbox.extend(self._console.history())

    def _unreadable(self, pending: Pending, now: float) -> None:
        """Intact, yet not in the layout: try again like a bad frame, then take it as not known in this form."""
        pending.tries += 1
        if pending.tries >= self._options.tries:
            self._refused(pending, now)
        else:
            self._wait_until = now + self._pause_after(pending.tries)

    def _not_known(self, pending: Pending, now: float) -> None:
        """9999. On the first question with a security code it may mean that none is wanted: asked once without."""
        if not self._code_settled and pending.ask.coded:
            self._schedule.done(pending, [replace(pending.ask, coded=False)])
            return
        self._code_settled = True
        self._refused(pending, now)

    def _refused(self, pending: Pending, now: float) -> None:
        ask = replace(pending.ask, coded=True)
        instead = self._forms.refused(ask)
        self._outbox.extend(self._console.refused(ask, unsupported=self._forms.unsupported(ask.code)))
        if ask.code == UNITS:
            instead = self._forms.asks(UNITS_OLD)
        elif ask.code == UNITS_OLD:
            self._outbox.extend(self._console.units_not_told())
        elif ask.code in CHART_CODES:
            instead = self._chart_asks()
        elif ask.code == RANGE:
            self._end_range(CommandOutcome.REFUSED, "the console cannot be asked for a range")
        self._finish(pending, instead)
        if self._forms.unsupported(INVENTORY):
            hint = "this console offers no readable inventory report (201); check its TLS emulation settings"
            self._go_silent(now, "inventory not known to the console", hint)

    def _unanswered(self, pending: Pending, error: DeviceSilent | FrameRejected, now: float) -> None:
        if not pending.ask.coded:  # silent without the code: so the code is wanted, and the function is not known
            self._code_settled = True
            self._refused(pending, now)
            return
        self._failures += 1
        pending.tries += 1
        probe = self._silent_until is not None
        if not probe and self._failures < self._options.tries:
            self._wait_until = now + self._pause_after(pending.tries)
        elif not probe and pending.job not in VITAL_JOBS and pending.tries >= self._options.tries:
            # Perhaps only this function is unanswered: leave it out and let the next question decide about silence.
            self._forms.give_up(pending.ask.code)
            self._failures = self._options.tries - 1
            self._schedule.sooner("poll", now)
            if pending.job == "range":
                self._end_range(CommandOutcome.UNKNOWN, "the console did not answer")
            self._finish(pending, self._chart_asks() if pending.job == "charts" else ())
        else:
            self._go_silent(now, str(error), error.hint)

    def _pause_after(self, tries: int) -> float:
        pauses = self._options.retry_pauses
        return pauses[min(tries, len(pauses)) - 1]

    def _go_silent(self, now: float, reason: str, hint: str) -> None:
        ladder = self._options.retry_ladder
        self._identify_again()
        self._silent_until = now + ladder[min(self._step, len(ladder) - 1)]
        self._step += 1
        if self._reported is not False:
            self._outbox.append(DeviceStatus(self.device_id, online=False, gap=True, reason=reason, hint=hint))
            self._reported, self._gap = False, True


def _result(command: Command, outcome: CommandOutcome, detail: str = "") -> CommandResult:
    point = 0 if isinstance(command, GaugeCommand) else command.fuelling_point
    return CommandResult(command.command_id, point, outcome, detail)


def make_devices(config: LineConfig) -> list[Device]:
    """Return the one gauge of ``config``; raises ``WiringError`` for wrong options. Opens nothing."""
    return [TlsGauge(config)]


SPEC = DriverSpec(
    protocol="veeder-root",
    kind="tank-gauge",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=check_options,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
    warn_options=warn_options,
    field_kit="drivers.veeder_root.dissect:KIT",
)
