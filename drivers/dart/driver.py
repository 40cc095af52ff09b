"""One DART pump behind its address: poll turns, silence, and the commands under way. Exports ``SPEC``.

Knows when to send what. Knows no clock but the port's, and decides nothing about sales: it reports levels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock

from drivers.commands import Command, Stop
from drivers.config import LineConfig, PointConfig, SerialSettings
from drivers.dart import blocks, options
from drivers.dart.blocks import Dcc, State
from drivers.dart.codec import MASTER_ADDRESSES, Control, Frame
from drivers.dart.level import FUELLING_STATES, Level
from drivers.dart.link import Heard, Receiver, Sender, Wire
from drivers.dart.orders import Point, Send, Steps, Wait, result, steps
from drivers.device import Device, DispenserCapabilities
from drivers.errors import DeviceRefused, WiringError
from drivers.port import Port
from drivers.readings import CommandOutcome, DeviceStatus, FuellingPointReading, Reading
from drivers.registry import DriverSpec

SERIAL_DEFAULTS = SerialSettings(9600, 8, "odd", 1)
CAPABILITIES = DispenserCapabilities(
    sale_memory="last",
    memory_ends="reset",
    release="reset",
    totals="volume",
    totals_during_flow="unknown",
    power_off="unknown",
    presets=("volume", "amount"),
    sets_prices=True,
    stops=True,
)
MAX_POLLS = 8  # blocks that a pump may hand over in one turn
MAX_POLLS_FILLING = 2  # a pump that fills has news at every poll: it must not hold the wire
MAX_QUEUED = 32  # commands; the agent has a handful under way, more means that nobody looks at the results
LEVEL_EVERY_S = 1.0  # the contract says two seconds; a full wire needs up to one for the turns of the others
SILENT_WAITS_S = (0.0, 0.0, 0.25, 0.5, 1.0)  # before the next poll of a pump that was silent 1, 2, ... times
PROBE_WAITS_S = (0.25, 1.0, 2.0, 3.0)  # offline: last one for ever, so that three good cycles fit into 5 s
FULL_PROBE_EVERY = 8
SLOW_FACTOR = 2  # a pump's own slowest answer times this is its probe window
SLOWEST_FADES = 0.95  # per answer, so that one hiccup of this PC does not count for ever
STATUS_TURNS = 4  # turns without DC1 after which RETURN STATUS is asked again
MIN_WAIT_POLLS = 3  # a state is never given up before the pump was polled so often


class DartPump:
    """One fuelling point. ``turn`` and ``reset`` belong to the line's thread; ``submit`` and ``counters`` to any."""

    def __init__(self, config: PointConfig, wire: Wire) -> None:
        self.device_id = f"point:{config.fuelling_point}"
        self.capabilities = replace(
            CAPABILITIES,
            totals="volume+amount" if wire.options.amount_totals else "volume",
            suspends=wire.options.suspend != "none",
        )
        self._config = config
        self._poll_frame = Frame(config.address, Control.POLL)
        self._wire = wire
        self._options = wire.options
        self._level = Level(config)
        self._point = Point(self._level, wire.options)
        self._sender = Sender()
        self._receiver = Receiver()
        self._lock = Lock()
        self._queue: deque[Command] = deque()
        self._order: tuple[Command, Steps] | None = None
        self._step: Send | Wait | None = None
        self._step_since_s = 0.0
        self._step_polls = 0
        self._block: bytes | None = None  # sent and not yet acknowledged, or to be sent now
        self._block_tries = 0
        self._status_turns: int | None = None  # turns since RETURN STATUS was asked; None = not asked
        self._status_wanted = True
        self._introduce: list[Dcc] = []  # what is asked once after each time out of sight
        self._online: bool | None = None
        self._good = 0
        self._silent = 0
        self._forgiven = False
        self._last_good_s: float | None = None
        self._began_s = 0.0
        self._probes = 0
        self._slowest_s = 0.0
        self._told: FuellingPointReading | None = None
        self._told_at_s = 0.0
        self._stirred = True  # something happened that may have changed the level since it was last read
        self._counts: dict[str, int] = {}

    # What the line calls.

    def turn(self, port: Port) -> Sequence[Reading]:
        """One poll turn: at most one block to the pump, then polls until it has no more to say (bounded)."""
        if self._last_good_s is None:
            self._begin(port.monotonic())
        if self._queue or self._online is not True:
            self._next_order(port.monotonic())
        heard = self._exchange(port)
        self._count_rejected()
        now = port.monotonic()
        if heard is None:
            self._answered(now)
        else:
            self._not_answered(heard, now)
        self._tell_level(now)
        if heard is None and self._step is not None and self._wait_ended(now):
            self._tell_level(now)
        if not self._point.out:
            return ()
        taken, self._point.out = self._point.out, []
        return taken

    def due_in_s(self) -> float:
        """As ``Device.due_in_s``."""
        if self._online is False:
            return 0.0 if self._good else PROBE_WAITS_S[min(self._probes, len(PROBE_WAITS_S) - 1)]
        if self._silent:
            return SILENT_WAITS_S[min(self._silent, len(SILENT_WAITS_S)) - 1]
        if self._block is not None or (self._online and self._order is None and self._queue):
            return 0.0
        pace_s = self._step.pace_s if isinstance(self._step, Wait) else 0.0
        return max(pace_s, self._options.poll_interval_s)

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
        """As ``Device.reset``: the pump's own last values stay known, what it is doing now does not."""
        self._wire.forget()
        self._receiver = Receiver()
        self._go_offline()
        self._abandon(CommandOutcome.UNKNOWN, "the line was lost")
        for command in self._take_queue():
            self._point.out.append(
                result(self._point, command, CommandOutcome.UNKNOWN, "the line was lost; never sent")
            )
        taken, self._point.out = self._point.out, []
        return taken

    def counters(self) -> Mapping[str, int]:
        """Counts since the start.

        ``frames_rejected.<reason>``, ``silent_polls``, ``noisy_polls``, ``peer_restarts``, ``repeated_blocks``,
        ``out_of_order_blocks``, ``left_out.<reason>``, ``naks``, ``resent_blocks``.
        """
        return {**self._counts, "peer_restarts": self._level.restarts}

    # One exchange.

    def _exchange(self, port: Port) -> Heard | None:
        """``None`` when the pump answered with anything valid."""
        if self._online is not False or self._good:
            if self._block is None and self._order is None and self._wants_status():
                self._status_wanted = False
                self._status_turns = 0
                self._block = blocks.command(Dcc.RETURN_STATUS)
            elif self._online and self._introduce and self._block is None and self._order is None:
                self._block = blocks.command(self._introduce.pop())
            if self._block is not None:
                heard = self._send_block(port, self._block)
                if heard is not None:
                    return heard
        return self._poll(port)

    def _send_block(self, port: Port, block: bytes) -> Heard | None:
        address, number = self._config.address, self._sender.tx
        self._block_tries += 1
        if self._block_tries > 1:
            self._count("resent_blocks")
        self._wire.send(port, Frame(address, Control.DATA, number, block), self._options.pause_frame_s)
        answer = self._wire.answer(
            port,
            address,
            lambda frame: frame.control in (Control.ACK, Control.NAK) and frame.tx == number,
            self._options.reply_window_s,
        )
        if isinstance(answer, Frame) and answer.control is Control.ACK:
            self._block_done(port, taken=True)
            return None
        if isinstance(answer, Frame):
            self._count("naks")
            self._sender.refused()
        if self._block_tries > self._options.retries:
            self._block_done(port, taken=False)
        return answer if isinstance(answer, Heard) else None

    def _block_done(self, port: Port, *, taken: bool) -> None:
        self._sender.advance()
        self._block = None
        self._block_tries = 0
        if isinstance(self._step, Send):
            self._resume(taken, port.monotonic())

    def _poll(self, port: Port) -> Heard | None:
        """Poll until the pump has no more to say. Only silence at the first poll counts as silence."""
        address, config, request = self._config.address, self._options, self._poll_frame
        pause_s = config.pause_frame_s
        for number in range(MAX_POLLS):
            self._wire.send(port, request, pause_s)
            sent_s = port.monotonic()
            answer = self._wire.answer(
                port,
                address,
                _answers_poll,
                self._window(),
                probe=self._online is False,
            )
            if isinstance(answer, Heard):
                return answer if number == 0 else None
            if number == 0:
                took_s = min(port.monotonic() - sent_s, config.reply_window_s)
                self._slowest_s = max(took_s, SLOWEST_FADES * self._slowest_s)
            if answer.control is Control.EOT:
                return None
            self._deliver(answer)
            filling = self._level.state is State.FILLING and self._order is None
            last = number + 1 >= (MAX_POLLS_FILLING if filling else MAX_POLLS)
            if config.ackpoll and not last:
                request, pause_s = Frame(address, Control.ACKPOLL, answer.tx), config.pause_ack_s
                continue
            self._wire.send(port, Frame(address, Control.ACK, answer.tx), config.pause_ack_s)
            if last:
                return None
        return None

    def _window(self) -> float:
        full_s = self._options.reply_window_s
        if self._online is not False or self._probes % FULL_PROBE_EVERY == FULL_PROBE_EVERY - 1:
            return full_s
        return min(full_s, max(self._options.probe_window_s, SLOW_FACTOR * self._slowest_s))

    def _deliver(self, frame: Frame) -> None:
        self._stirred = True
        verdict = self._receiver.judge(frame)
        if verdict.restarted:
            self._level.renumbered()
            self._status_wanted = True
        if verdict.out_of_order:
            self._count("out_of_order_blocks")
        if not verdict.deliver:
            self._count("repeated_blocks")
            return
        decoded = blocks.decode(frame.data, s4_dialect=self._options.s4_dialect)
        for reason in decoded.left_out:
            self._count(f"left_out.{reason}")
            self._status_wanted = True  # what was lost may have been the state
        state_before, status_seen = self._level.state, self._level.status_seen
        for transaction in decoded.transactions:
            self._level.apply(transaction)
        if self._level.status_seen != status_seen:
            self._status_turns = None
        if self._level.state is not state_before:
            self._forgiven = False

    # Answers and silence.

    def _begin(self, now: float) -> None:
        self._last_good_s = self._began_s = now
        if not self._level.token_base:
            self._level.token_base = f"{int(now * 1000):x}"

    def _answered(self, now: float) -> None:
        self._last_good_s = now
        self._silent = 0
        self._probes = 0
        self._good = min(self._good + 1, self._options.good_cycles)
        if self._status_turns is not None:
            self._status_turns += 1
        told = self._level.state is not None and not self._status_wanted and self._status_turns is None
        if self._online is not True and told and self._good >= self._options.good_cycles:
            self._online = True
            self._introduce = [Dcc.RETURN_PARAMETERS, Dcc.RETURN_IDENTITY] if self._options.identity else []
            self._told = None
            self._stirred = True
            self._point.out.append(DeviceStatus(self.device_id, online=True, gap=True))
        elif self._online is None and now - self._began_s >= self._options.silent_time_s:
            self._go_offline()
            self._point.out.append(self._offline_status(None))

    def _not_answered(self, heard: Heard, now: float) -> None:
        answered_before, self._good = self._good > 0, 0
        self._count("silent_polls" if heard is Heard.NOTHING else "noisy_polls")
        if self._online is False:
            self._probes = 0 if answered_before else self._probes + 1  # it is coming back: ask again soon
            if heard is Heard.NOISE:
                self._probes = min(self._probes, 1)  # something is there: do not let it wait for the longest time
            return
        if not self._forgiven and self._silent == 0 and (self._order or self._level.state in FUELLING_STATES):
            self._forgiven = True  # silent once during a state change: polled again at once, counts for nothing
            return
        self._silent += 1
        silent_s = now - (now if self._last_good_s is None else self._last_good_s)
        too_long = silent_s >= self._options.silent_time_s and self._silent >= 2
        if self._silent >= self._options.silent_polls or too_long:
            self._go_offline()
            self._abandon(CommandOutcome.UNKNOWN, "the pump went silent")
            self._point.out.append(self._offline_status(heard))

    def _offline_status(self, heard: Heard | None) -> DeviceStatus:
        address = f"{self._config.address:02X}"
        if heard is Heard.NOISE:
            reason = f"the pump at address {address} cannot be understood"
            hint = "check baud rate, parity, the two wires, and that no other device has this address"
        elif heard is None:
            reason = f"the pump at address {address} answers but does not tell its state"
            hint = "check that the head speaks DART and is not in its set-up menu"
        else:
            reason = f"the pump at address {address} does not answer"
            hint = "check that it is switched on, its address and its cable"
        return DeviceStatus(self.device_id, online=False, gap=True, reason=reason, hint=hint)

    def _go_offline(self) -> None:
        self._online = False
        self._stirred = True
        self._good = 0
        self._silent = 0
        self._probes = 0
        self._status_wanted = True
        self._status_turns = None
        self._level.gap()

    def _wants_status(self) -> bool:
        """At first contact, after a fault, and again when the first question was taken for a repeat."""
        overdue = self._status_turns is not None and self._status_turns >= STATUS_TURNS
        return self._status_wanted or overdue

    # Orders.

    def _next_order(self, now: float) -> None:
        if self._online is not True:
            for command in self._take_queue():
                self._point.out.append(result(self._point, command, CommandOutcome.REFUSED, "the pump is offline"))
            return
        with self._lock:
            stop_waits = bool(self._queue) and isinstance(self._queue[0], Stop)
        if stop_waits and self._order is not None and not isinstance(self._order[0], Stop):
            self._abandon(CommandOutcome.UNKNOWN, "interrupted by Stop")
        # An order that ends without a block makes room for the next one in the same turn.
        for _ in range(MAX_QUEUED):
            if self._order is not None or self._block is not None:
                return
            with self._lock:
                if not self._queue:
                    return
                command = self._queue.popleft()
            self._order = (command, steps(self._point, command))
            self._resume(None, now)

    def _resume(self, value: bool | None, now: float) -> None:
        if self._order is None:
            return
        command, generator = self._order
        self._stirred = True
        try:
            self._step = next(generator) if value is None else generator.send(value)
        except StopIteration as end:
            self._order = self._step = None
            outcome, detail = end.value
            self._point.out.append(result(self._point, command, outcome, detail))
            return
        self._step_since_s = now
        self._step_polls = 0
        if isinstance(self._step, Send):
            self._block = self._step.block
            self._block_tries = 0

    def _wait_ended(self, now: float) -> bool:
        if not isinstance(self._step, Wait):
            return False
        self._step_polls += 1
        if self._step.done():
            self._resume(True, now)
        elif now - self._step_since_s >= self._step.limit_s and self._step_polls >= MIN_WAIT_POLLS:
            self._resume(False, now)
        else:
            return False
        return True

    def _abandon(self, outcome: CommandOutcome, detail: str) -> None:
        if self._block is not None and self._block_tries:
            self._sender.advance()
        self._block = None
        self._block_tries = 0
        if self._order is not None:
            command, generator = self._order
            generator.close()
            self._order = self._step = None
            self._point.out.append(result(self._point, command, outcome, detail))

    def _take_queue(self) -> list[Command]:
        with self._lock:
            taken = list(self._queue)
            self._queue.clear()
        return taken

    # Reports.

    def _tell_level(self, now: float) -> None:
        if not self._online or self._level.state is None:
            return
        due = now - self._told_at_s >= LEVEL_EVERY_S
        if not (due or self._stirred):
            return
        self._stirred = False
        reading = self._level.reading()
        if due or reading != self._told:
            self._told, self._told_at_s = reading, now
            self._point.out.append(reading)

    def _count_rejected(self) -> None:
        for reason, count in self._wire.take_rejected().items():
            self._count(f"frames_rejected.{reason}", count)

    def _count(self, name: str, count: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + count


def _answers_poll(frame: Frame) -> bool:
    return frame.control is Control.EOT or frame.control is Control.DATA


def make_devices(config: LineConfig) -> list[Device]:
    """One pump per point of ``config``. Raises ``WiringError`` for wrong options, addresses, nozzles or decimals."""
    checked = options.read(config.options)
    if not config.points:
        raise WiringError(f"line {config.id!r} has no fuelling point", hint="give it points with their addresses")
    addresses: dict[int, int] = {}
    for point in config.points:
        if point.address not in MASTER_ADDRESSES:
            raise WiringError(
                f"point {point.fuelling_point}: {point.address} is no DART address",
                hint="write 80 to 111 (50 to 6F hexadecimal; S4 heads up to 207, CF)",
            )
        if point.address in addresses:
            raise WiringError(
                f"points {addresses[point.address]} and {point.fuelling_point} share address {point.address:02X}",
                hint="give each side of a dispenser an address of its own, in the head and here",
            )
        if not point.nozzles or not all(1 <= nozzle <= 15 for nozzle in point.nozzles):
            raise WiringError(
                f"point {point.fuelling_point}: nozzles {list(point.nozzles)} are not allowed",
                hint="write the logical nozzles of this side, each from 1 to 15",
            )
        addresses[point.address] = point.fuelling_point
    wire = Wire(checked, addresses, config.serial.baudrate or SERIAL_DEFAULTS.baudrate or 9600)
    return [DartPump(point, wire) for point in config.points]


SPEC = DriverSpec(
    protocol="dart",
    kind="dispenser",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=options.check,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
    field_kit="drivers.dart.dissect:KIT",
)
