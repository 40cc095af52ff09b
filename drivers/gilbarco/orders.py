"""Commands to a Two-Wire pump, each a sequence of questions and states to wait for, spread over poll turns.

Knows the order of steps and what proves them: nothing here is acknowledged, so only a state or a value that was read
counts (sections 2, 3.1 and 4). Knows no port and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

from drivers.asked import Ask, Ending, Heard, Say, Steps, waited
from drivers.commands import (
    Acknowledge,
    Authorise,
    Command,
    Preset,
    ReadHeldSale,
    ReadSale,
    ReadTotalizer,
    SetPrices,
    Stop,
)
from drivers.errors import FrameRejected
from drivers.gilbarco import codec
from drivers.gilbarco.codec import (
    DIALECTS,
    Answer,
    Reply,
    State,
    Status,
    Totals,
    Transaction,
    preset_block,
    price_block,
)
from drivers.gilbarco.level import DELIVERING, UNEQUAL_READS, Level, Twice
from drivers.gilbarco.options import GilbarcoOptions
from drivers.readings import CommandOutcome, CompletedSale, Reading, TotalizerReading

TRIES = 6
"""Five retries: of a question that is not answered, and of a block whose announcement is not."""

LOOK_LIMIT_S = 30.0
"""A pump that tells no state for so long has long been declared offline, which ends every order."""

T = TypeVar("T", Totals, Transaction)


@dataclass(frozen=True, slots=True)
class Question:
    """One exchange with a pump.

    ``command`` is sent, after DATA_NEXT the ``block``; ``form``: that of the answer, ``None`` where there is none.
    ``only_in``: the status is asked first in the same turn, and nothing is sent in any other state.
    """

    command: codec.Command
    form: Reply | None = None
    block: bytes = b""
    only_in: tuple[State, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """It was sent and is never answered; what came of it is seen later."""


@dataclass(frozen=True, slots=True)
class Missed:
    """No answer to a question that a healthy pump may leave unanswered in its state."""

    heard: Heard


Told = Answer | Sent | Missed
"""What an exchange comes to: a ``Status`` where another state stood against it."""

POLL = Question(codec.Command.STATUS, Reply.STATUS)
ASK_MONEY = Question(codec.Command.MONEY, Reply.MONEY)
ASK_TOTALS = Question(codec.Command.TOTALS, Reply.TOTALS)
ASK_SALE = Question(codec.Command.TRANSACTION, Reply.TRANSACTION)
STOP = Question(codec.Command.STOP)
TAKES_BLOCKS = (State.OFF, State.CALL)
ASK_NOZZLE = Question(codec.Command.DATA_NEXT, Reply.NOZZLE, codec.NOZZLE_QUERY)

Order = Steps[Question, Told, Ending]


@dataclass(slots=True)
class Point:
    """What orders work on. ``preset``: kept for the next authorise as (is money, digits). ``now_s`` is moved by the
    exchanges. ``gate_locked`` tells whether an announcement must wait.
    """

    level: Level
    options: GilbarcoOptions
    gate_locked: Callable[[], bool]
    now_s: float = 0.0
    out: list[Reading] = field(default_factory=list)
    preset: tuple[bool, int] | None = None


def ask(question: Question, tries: int = 1) -> Generator[Ask[Question, Told], None, Told | None]:
    """Step of an order or a look: ask and hand back what came, ``None`` where the pump did not even tell its state."""
    step: Ask[Question, Told] = Ask(question, tries)
    yield step
    return step.reply


def steps(point: Point, command: Command) -> Order:
    """The steps of ``command``; nothing runs before the first ``next``."""
    match command:
        case Authorise():
            return _authorise(point, command)
        case Acknowledge():
            return _acknowledge(point, command)
        case SetPrices():
            return _set_prices(point, command)
        case Stop():
            return _stop(point)
        case Preset():
            return _preset(point, command)
        case ReadTotalizer():
            return _read_totalizer(point, command)
        case ReadHeldSale():
            return _read_held_sale(point)
        case ReadSale():
            return _read_sale(point, command)
    return _end(_refused(f"a Two-Wire pump does not know {type(command).__name__}"))


def _applied(detail: str = "") -> Ending:
    return CommandOutcome.APPLIED, detail


def _refused(detail: str) -> Ending:
    return CommandOutcome.REFUSED, detail


def _unknown(detail: str) -> Ending:
    return CommandOutcome.UNKNOWN, detail


def _end(ending: Ending) -> Order:
    yield from ()
    return ending


def _look(point: Point, after_s: float = 0.0) -> Steps[Question, Told, bool]:
    """One poll turn that told the state, not before ``after_s``."""
    level = point.level
    seen = level.statuses
    return waited(lambda: level.statuses > seen, LOOK_LIMIT_S, after_s)


# Letting it deliver.


def _authorise(point: Point, command: Authorise) -> Order:
    preset, point.preset = point.preset, None  # whatever happens: a limit must never meet another customer
    level = point.level
    objection = _why_not_authorise(point, command)
    if objection:
        return _refused(objection)
    allowed = (State.CALL, State.OFF) if point.options.preauthorise else (State.CALL,)
    nozzle = level.nozzle
    if preset is not None or level.preset_left:
        said = yield from _send_preset(point, preset, allowed)
        if said:
            return _refused(f"{said}; AUTHORISE was not sent")
        yield from _look(point, point.options.preset_wait_s)
        if level.nozzle != nozzle:
            return _refused("another nozzle was taken meanwhile; AUTHORISE was not sent")
    seen = level.delivering_seen
    told = yield from ask(Question(codec.Command.AUTHORISE, only_in=allowed), TRIES)
    if isinstance(told, Status):
        return _refused(f"the pump went to {told.state.name} meanwhile; AUTHORISE was not sent")
    if told is None:
        return _unknown("the pump did not tell its state; AUTHORISE was not sent")
    level.is_doubtful = True
    if (yield from _state(point, lambda: level.delivering_seen > seen)):
        return _applied()
    return _unknown("the pump did not show AUTHORISED in time")


def _why_not_authorise(point: Point, command: Authorise) -> str:
    level = point.level
    unknown = sorted(set(command.nozzles) - set(level.config.nozzles))
    if not level.config.sends_commands:
        return "this point is only watched (control mode monitor)"
    if unknown:
        return f"nozzle {unknown[0]} is not configured"
    if level.state is State.OFF and not point.options.preauthorise:
        return "the nozzle hangs: authorise when it is lifted (or allow it with option preauthorise)"
    if level.state not in TAKES_BLOCKS:
        return f"the pump is in {_name(level)}"
    if not level.accounted:
        return "what the pump holds of its last sale is not accounted for"
    if command.nozzles and level.nozzle is not None and level.nozzle not in command.nozzles:
        return f"nozzle {level.nozzle} is out, and the pump cannot keep it from delivering"
    return ""


def _send_preset(
    point: Point, preset: tuple[bool, int] | None, allowed: tuple[State, ...]
) -> Steps[Question, Told, str]:
    """Send the preset kept, or the largest one over a limit that nobody has used up. Returns what went wrong."""
    level, dialect = point.level, point.options.preset_dialect
    is_money, digits = preset or (False, 10 ** DIALECTS[dialect].count - 1)
    block = preset_block(
        dialect, digits, money=is_money, level=point.options.price_level, grade=min(level.nozzle or 1, codec.MAX_GRADES)
    )
    level.preset_left = level.preset_left or preset is not None
    said = yield from _send_block(point, block, allowed)
    if not said and preset is None:
        level.preset_left = False
    return said


def _preset(point: Point, command: Preset) -> Order:
    """Kept here until the next authorise: sent any earlier it could meet another customer."""
    units, level = point.level.units, point.level
    if (command.volume_ml is None) == (command.amount_minor is None):
        return (yield from _end(_refused("give either a volume or an amount")))
    if not level.config.sends_commands:
        return (yield from _end(_refused("this point is only watched (control mode monitor)")))
    is_money = command.volume_ml is None
    unit = units.minor if is_money else units.preset_ml
    digits = (command.amount_minor if is_money else command.volume_ml or 0) or 0
    digits //= unit
    try:
        preset_block(point.options.preset_dialect, digits, money=is_money)
    except FrameRejected:
        digits = 0
    if digits <= 0:
        count = DIALECTS[point.options.preset_dialect].count
        return (yield from _end(_refused(f"the {count} digits of a preset cannot show this")))
    point.preset = is_money, digits
    return (yield from _end(_applied("kept for the next authorise")))


def _stop(point: Point) -> Order:
    """Repeated until the status shows its effect; an authorisation in doubt may still show."""
    level, options = point.level, point.options
    if level.state not in DELIVERING and not level.is_doubtful:
        return (yield from _end(_applied(f"nothing to stop: the pump is in {_name(level)}")))
    until_s = point.now_s + options.stop_wait_s
    while point.now_s < until_s:
        yield Say(STOP)
        yield from _look(point, options.settle_reply_s)
        if level.state not in DELIVERING:
            level.is_doubtful = False
            return _applied()
    return _unknown(f"the pump is still in {_name(level)}")


def _acknowledge(point: Point, command: Acknowledge) -> Order:
    """Nothing is sent: the pump forgets by itself when the next delivery starts, which needs our authorisation."""
    level = point.level
    if level.state is None or level.state in DELIVERING:
        return (yield from _end(_refused(f"a fuelling is under way: the pump is in {_name(level)}")))
    nothing_held = level.sale is None or level.sale.volume == 0
    if command.token != level.token() and not (command.token == "" and nothing_held):
        return (yield from _end(_refused("the token is not that of what the pump holds now; read it again")))
    level.accounted = True
    return (yield from _end(_applied()))


# Prices.


def _set_prices(point: Point, command: SetPrices) -> Order:
    """Only prices that differ are sent; the totals, which carry the pump's prices, prove them."""
    level, options = point.level, point.options
    wanted = _wanted_prices(point, command)
    if isinstance(wanted, str):
        return _refused(wanted)
    if not (yield from _totals(point)):
        return _unknown("the pump did not tell its prices")
    wrong = _wrong_prices(level, wanted)
    for nozzle in wrong:
        said = yield from _send_block(point, price_block(options.price_level, nozzle, wanted[nozzle]), TAKES_BLOCKS)
        if said:
            return _refused(f"nozzle {nozzle}: {said}") if "went to" in said else _unknown(f"nozzle {nozzle}: {said}")
    if not wrong:
        return _applied("the pump had them already")
    yield from waited(lambda: False, options.price_settle_s, options.settle_reply_s)
    if not (yield from _totals(point)):
        return _unknown("the new prices could not be read back")
    still = _wrong_prices(level, wanted)
    return _refused(f"the pump still has another price for nozzle {still[0]}") if still else _applied()


def _wanted_prices(point: Point, command: SetPrices) -> dict[int, int] | str:
    """The digits by nozzle, or why not."""
    level = point.level
    if not level.config.sends_commands:
        return "this point is only watched (control mode monitor)"
    if level.state not in TAKES_BLOCKS:
        return f"the pump takes no prices in {_name(level)}"
    given = dict(command.prices)
    digits: dict[int, int] = {}
    for nozzle in level.config.nozzles:
        if nozzle not in given:
            return f"no price for nozzle {nozzle}"
        price = level.units.price_digits(given[nozzle])
        if price is None:
            return f"the pump cannot show the price {given[nozzle]} of nozzle {nozzle} exactly in four digits"
        digits[nozzle] = price
    return digits


def _wrong_prices(level: Level, wanted: dict[int, int]) -> list[int]:
    """Nozzles whose price is another one, or not told."""
    found = {one.grade: level.price_of(one) for one in (level.totals.grades if level.totals else ())}
    return [nozzle for nozzle, price in wanted.items() if found.get(nozzle) != price]


# Reading.


def _read_totalizer(point: Point, command: ReadTotalizer) -> Order:
    totals = yield from _totals(point)
    reading = point.level.totalizer(command.nozzle, totals) if totals else None
    if reading is None:
        return _unknown(f"the total of nozzle {command.nozzle} was not told")
    point.out.append(reading)
    return _applied()


def _read_held_sale(point: Point) -> Order:
    yield from _sale(point)
    held = point.level.held()
    if held is None:
        return _unknown("the pump did not tell its last sale")
    point.out.append(held)
    return _applied()


def _read_sale(point: Point, command: ReadSale) -> Order:
    """Totals first, then the sale, then totals again: those need one more read only, equal to the first."""
    level = point.level
    before = yield from _totals(point)
    yield from _sale(point)
    held = level.held()
    after = (yield from _totals(point, before)) if before else None
    point.out.append(
        CompletedSale(
            command_id=command.command_id,
            fuelling_point=level.config.fuelling_point,
            before=_readings(level, command.nozzles, before, after),
            held=held,
            after=_readings(level, command.nozzles, after, before),
        )
    )
    return _applied()


def _readings(
    level: Level, nozzles: tuple[int, ...], totals: Totals | None, other: Totals | None
) -> tuple[TotalizerReading, ...]:
    """Of the nozzles that both sides tell."""
    if totals is None or other is None:
        return ()
    told = (level.totalizer(nozzle, totals) for nozzle in nozzles if other.of(nozzle))
    return tuple(reading for reading in told if reading is not None)


def _totals(point: Point, known: Totals | None = None) -> Steps[Question, Told, Totals | None]:
    totals = yield from _two_equal(point, ASK_TOTALS, Totals, known)
    if totals is not None:
        point.level.totals_told(totals, point.now_s)
    return totals


def _sale(point: Point) -> Steps[Question, Told, Transaction | None]:
    sale = yield from _two_equal(point, ASK_SALE, Transaction, None)
    point.level.sale_told(sale)
    return sale


def _two_equal(point: Point, question: Question, kind: type[T], known: T | None) -> Steps[Question, Told, T | None]:
    """Read until two reads are equal; ``known`` counts as one. Reads that never agree are an alarm of the pump.

    After an unanswered question one look at the pump tells whether it is there at all.
    """
    reads: Twice[T] = Twice()
    if known is not None:
        reads.take(known)
    missed = 0
    while len(reads.reads) < UNEQUAL_READS and missed < TRIES:
        told = yield from ask(question)
        if isinstance(told, kind):
            if reads.take(told):
                return told
            continue
        missed += 1
        yield from _look(point)
    if len(reads.reads) >= UNEQUAL_READS:
        point.level.disagree()
    return None


# Sending.


def _send_block(point: Point, block: bytes, allowed: tuple[State, ...]) -> Steps[Question, Told, str]:
    """Announce and send a block, with a rest after each refusal. Returns what went wrong, nothing when it was sent."""
    question = Question(codec.Command.DATA_NEXT, None, block, allowed)
    rest_s = point.options.gate_lock_s
    for _ in range(TRIES):
        if point.gate_locked():
            yield from waited(lambda: not point.gate_locked(), rest_s + 1.0, point.options.settle_reply_s)
        told = yield from ask(question, TRIES)
        if isinstance(told, Status):
            return f"the pump went to {told.state.name}"
        if isinstance(told, Sent):
            return ""
    return "the pump does not ask for the block"


def _state(point: Point, done: Callable[[], bool]) -> Steps[Question, Told, bool]:
    return waited(done, point.options.state_wait_s, point.options.settle_reply_s)


def _name(level: Level) -> str:
    return "an unknown state" if level.state is None else level.state.name
