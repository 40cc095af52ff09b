"""Two-Wire pumps behind their numbers: what a poll turn asks, and which device a line is made of. Exports ``SPEC``.

Knows when to ask what (section 4). Knows no clock but the port's, and decides nothing about sales: it reports levels.
"""

from __future__ import annotations

from collections.abc import Mapping

from drivers.asked import AskedPoint, Ending, Heard, Patience, Steps
from drivers.commands import Command
from drivers.config import LineConfig, PointConfig, SerialSettings
from drivers.device import Device, DispenserCapabilities
from drivers.errors import WiringError
from drivers.gilbarco import options, orders
from drivers.gilbarco.codec import MAX_GRADES, PUMPS, Money, Nozzle, Reply, State, Status, Totals, Transaction, word
from drivers.gilbarco.level import ENDED, UNEQUAL_READS, Level, Twice
from drivers.gilbarco.link import Loop
from drivers.gilbarco.options import GilbarcoOptions
from drivers.gilbarco.orders import (
    ASK_MONEY,
    ASK_NOZZLE,
    ASK_SALE,
    ASK_TOTALS,
    POLL,
    Missed,
    Point,
    Question,
    Sent,
    Told,
    ask,
)
from drivers.port import Port
from drivers.readings import FuellingPointReading, Reading
from drivers.registry import Decimals, DriverSpec

SERIAL_DEFAULTS = SerialSettings(5760, 8, "even", 1)
CAPABILITIES = DispenserCapabilities(
    sale_memory="last",
    memory_ends="next_flow",
    release="none",
    totals="volume+amount",
    totals_during_flow="no",
    power_off="unknown",
    presets=("volume", "amount"),
    sets_prices=True,
    stops=True,
)
STATUS_READS = 3  # a status word has no check: a change counts once two reads in a row say it
MAX_SALE_READS = 5
NOZZLE_TRIES = 3
CROWDED_S = 1.0  # a pump that waits so long for its turn shares the loop with many: money only every third turn
CROWDED_TURNS = 3
RETRY_AFTER_S = 5.0  # what a pump may leave unanswered is not asked again sooner: each miss costs the full window
SLOW_FACTOR = 2  # a pump's own slowest answer times this is its probe window
SLOWEST_FADES = 0.95  # per answer, so that one hiccup of this PC does not count for ever


class GilbarcoSpeech:
    """One pump's side of the kernel: questions become exchanges on the loop, answers become levels."""

    capabilities = CAPABILITIES

    def __init__(self, config: PointConfig, loop: Loop) -> None:
        self._pump = config.address
        self._loop = loop
        self._options = loop.options
        self._level = Level(config, loop.options)
        self._point = Point(self._level, loop.options, lambda: loop.is_gate_locked(self._point.now_s))
        self._totals: Twice[Totals] = Twice()
        self._totals_asked_s: float | None = None
        self._retry_at_s = 0.0
        self._looked_at_s: float | None = None
        self._turns = config.address  # so that the pumps of a crowded loop take turns with their money
        self._slowest_s = 0.0
        self._counts: dict[str, int] = {}

    # One exchange.

    def exchange(self, port: Port, question: Question, *, probe: bool) -> Told | Heard:
        """As ``Speech.exchange``: only the status is something that every pump answers in every state."""
        if question.command == POLL.command:
            return self._status(port, probe=probe)
        if question.only_in:
            status = self._status(port, probe=probe)
            if isinstance(status, Heard) or status.state not in question.only_in:
                return status
        told = self._ask(port, question)
        self._point.now_s = port.monotonic()
        return told

    def say(self, port: Port, word: Question) -> None:
        """As ``Speech.say``."""
        self._send(port, word)

    def _ask(self, port: Port, question: Question) -> Told:
        if question.block:
            if self._loop.is_gate_locked(port.monotonic()) or not self._loop.announce(port, self._pump):
                return Missed(Heard.NOTHING)
            sent = question.block
        else:
            sent = word(question.command, self._pump)
        if question.form is None:
            self._loop.send(port, sent)
            return Sent()
        answer = self._loop.ask(port, sent, question.form, self._pump)
        return Missed(answer) if isinstance(answer, Heard) else answer

    def _send(self, port: Port, question: Question) -> None:
        self._loop.send(port, word(question.command, self._pump))
        self._point.now_s = port.monotonic()

    def _status(self, port: Port, *, probe: bool) -> Status | Heard:
        """The status, read again where it is another than before: it is one word without a check."""
        level, last = self._level, self._level.state
        for _ in range(STATUS_READS):
            began_s = port.monotonic()
            answer = self._loop.ask(
                port, word(POLL.command, self._pump), Reply.STATUS, self._pump, self._window(probe), probe=probe
            )
            now_s = self._point.now_s = port.monotonic()
            if not isinstance(answer, Status):
                assert isinstance(answer, Heard)
                return answer
            self._slowest_s = max(now_s - began_s, SLOWEST_FADES * self._slowest_s)
            if answer.state is last:
                self._began(now_s)
                level.status(answer, now_s)
                return answer
            last = answer.state
        self._count("unsteady_status")
        return Heard.NOISE

    def _window(self, probe: bool) -> float:
        full_s = self._options.reply_window_s
        return min(full_s, max(self._options.probe_window_s, SLOW_FACTOR * self._slowest_s)) if probe else full_s

    def _began(self, now_s: float) -> None:
        if not self._level.token_base:
            self._level.token_base = f"{int(now_s * 1000):x}"

    # What a poll turn asks.

    def look(self) -> Steps[Question, Told, None]:
        """The status, and at most one thing more that is due in this state."""
        yield from ask(POLL)
        level, now_s = self._level, self._point.now_s
        looked_at_s, self._looked_at_s = self._looked_at_s, now_s
        if level.state is State.BUSY:
            crowded = looked_at_s is not None and now_s - looked_at_s > CROWDED_S
            yield from self._follow_money(now_s, crowded=crowded)
        elif level.state is State.CALL and self._asks_nozzle():
            level.nozzle_asked += 1
            nozzle = yield from ask(ASK_NOZZLE)
            if isinstance(nozzle, Nozzle):
                level.nozzle_told(nozzle)
        elif level.sale_wanted and level.state in (State.OFF, State.CALL, *ENDED) and now_s >= self._retry_at_s:
            yield from self._learn_sale()
        elif level.is_ended:
            yield from self._stand_still()
        elif level.state is State.OFF and self._prices_due() and now_s >= self._retry_at_s:
            yield from self._learn_prices()

    def _extra(self, question: Question) -> Steps[Question, Told, Told | None]:
        """Ask what the pump may leave unanswered, and not soon again when it does."""
        told = yield from ask(question)
        if isinstance(told, Missed) and told.heard is Heard.NOTHING:
            self._retry_at_s = self._point.now_s + RETRY_AFTER_S
        return told

    def _follow_money(self, now_s: float, *, crowded: bool) -> Steps[Question, Told, None]:
        """Running money, for people to look at."""
        due = now_s >= max(self._level.state_since_s + self._options.money_after_s, self._retry_at_s)
        self._turns += 1
        if due and not (crowded and self._turns % CROWDED_TURNS):
            money = yield from self._extra(ASK_MONEY)
            if isinstance(money, Money):
                self._level.running_money(money)

    def _asks_nozzle(self) -> bool:
        level = self._level
        wanted = self._options.nozzle_query and level.nozzle is None and level.nozzle_asked < NOZZLE_TRIES
        return wanted and not self._loop.is_gate_locked(self._point.now_s)

    def _stand_still(self) -> Steps[Question, Told, None]:
        """Totals from time to time until they have stopped moving."""
        now_s, still_s = self._point.now_s, self._options.still_s
        if self._totals_asked_s is not None and 0 <= now_s - self._totals_asked_s < still_s:
            return
        self._totals_asked_s = now_s
        told = yield from ask(ASK_TOTALS)
        self._level.still.take(told if isinstance(told, Totals) else None, self._point.now_s, still_s)

    def _learn_sale(self) -> Steps[Question, Told, None]:
        """The transaction for the display, in one turn, so that the end of a sale shows with its values."""
        reads: Twice[Transaction] = Twice()
        for _ in range(MAX_SALE_READS):
            told = yield from self._extra(ASK_SALE)
            if isinstance(told, Transaction) and reads.take(told):
                self._level.sale_told(told)
                return
            if isinstance(told, Missed) and told.heard is Heard.NOTHING:
                return
        self._level.disagree()

    def _prices_due(self) -> bool:
        at_s = self._level.totals_at_s
        return at_s is None or self._point.now_s - at_s >= self._options.prices_every_s

    def _learn_prices(self) -> Steps[Question, Told, None]:
        """Totals tell the prices; one read a turn."""
        told = yield from self._extra(ASK_TOTALS)
        if isinstance(told, Totals) and self._totals.take(told):
            self._totals = Twice()
            self._level.totals_told(told, self._point.now_s)
        elif len(self._totals.reads) >= UNEQUAL_READS:
            self._totals = Twice()
            self._level.disagree()

    # What the kernel asks of it.

    def reading(self) -> FuellingPointReading | None:
        """As ``Speech.reading``."""
        return self._level.reading()

    def steps(self, command: Command) -> Steps[Question, Told, Ending]:
        """As ``Speech.steps``."""
        return orders.steps(self._point, command)

    def take(self) -> list[Reading]:
        """As ``Speech.take``."""
        taken, self._point.out = self._point.out, []
        return taken

    def gap(self) -> None:
        """As ``Speech.gap``."""
        self._loop.forget()
        self._level.gap()
        self._totals = Twice()
        self._retry_at_s = 0.0

    def take_counts(self) -> Mapping[str, int]:
        """As ``Speech.take_counts``: ``frames_rejected.<reason>``, ``unsteady_status``, ``unequal_reads``."""
        taken, self._counts = self._counts, {}
        unequal, self._level.unequal_reads = self._level.unequal_reads, 0
        return {**taken, **self._loop.take_counts(), **({"unequal_reads": unequal} if unequal else {})}

    def trouble(self, heard: Heard | None) -> tuple[str, str]:
        """As ``Speech.trouble``."""
        if heard is Heard.NOISE and self._loop.echoed:
            return f"pump {self._pump} cannot be heard behind the echo of the loop", "set strip_echo = true"
        if heard is Heard.NOISE:
            hint = "check baud rate and parity, the loop, and strip_echo (whether the converter returns what we send)"
            return f"pump {self._pump} cannot be understood", hint
        return f"pump {self._pump} does not answer", "check that it is switched on, its number and the loop"

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1


def make_devices(config: LineConfig) -> list[Device]:
    """One pump per point of ``config``. Raises ``WiringError`` for wrong options, numbers, nozzles or decimals."""
    checked = options.read(config.options)
    if not config.points:
        raise WiringError(f"line {config.id!r} has no fuelling point", hint="give it points with their pump numbers")
    taken: dict[int, int] = {}
    for point in config.points:
        _check_point(point, taken)
        taken[point.address] = point.fuelling_point
    loop = Loop(checked, config.serial.baudrate or SERIAL_DEFAULTS.baudrate or 5760)
    return [AskedPoint(point, GilbarcoSpeech(point, loop), _patience(checked)) for point in config.points]


def _check_point(point: PointConfig, taken: Mapping[int, int]) -> None:
    if point.address not in PUMPS:
        raise WiringError(
            f"point {point.fuelling_point}: {point.address} is no Two-Wire pump number",
            hint="write 1 to 16; 16 is the pump that answers as number 0",
        )
    if point.address in taken:
        raise WiringError(
            f"points {taken[point.address]} and {point.fuelling_point} share pump number {point.address}",
            hint="give each side of a dispenser a number of its own, in the pump and here",
        )
    if not point.nozzles or not all(1 <= nozzle <= MAX_GRADES for nozzle in point.nozzles):
        raise WiringError(
            f"point {point.fuelling_point}: nozzles {list(point.nozzles)} are not allowed",
            hint="write the grades of this side as nozzles, each from 1 to 10",
        )


def _patience(checked: GilbarcoOptions) -> Patience:
    return Patience(
        silent_polls=checked.silent_polls,
        silent_time_s=checked.silent_time_s,
        good_cycles=checked.good_cycles,
        poll_interval_s=checked.poll_interval_s,
    )


SPEC = DriverSpec(
    protocol="gilbarco",
    kind="dispenser",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=options.check,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
    field_kit="drivers.gilbarco.dissect:KIT",
    decimals=Decimals(volume=3, amount=2, unit_price=3),
)
