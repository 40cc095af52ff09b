"""Commands to a DART pump, each a sequence of blocks to send and states to wait for, spread over poll turns.

Knows the order of steps and what proves them (sections 4.1 and 5 of the sheet). Knows no port, no frame, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from drivers.commands import (
    Acknowledge,
    Authorise,
    Command,
    Preset,
    ReadHeldSale,
    ReadSale,
    ReadTotalizer,
    Resume,
    SetPrices,
    Stop,
    Suspend,
)
from drivers.dart import blocks
from drivers.dart.blocks import AMOUNT_COUNTER, MAX_TOTAL_NOZZLE, Dcc, State, Totals
from drivers.dart.level import FUELLING_STATES, Level
from drivers.dart.options import DartOptions
from drivers.readings import CommandOutcome, CommandResult, CompletedSale, HeldSale, Reading, TotalizerReading

READ_TRIES = 5  # docs/sale-safety.md, step 5
READ_WAIT_S = 1.0  # an answer to a read comes with the next polls; a busy wire has several points to poll first


@dataclass(frozen=True, slots=True)
class Send:
    """Send this block; the order is resumed with whether the pump took it."""

    block: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Poll until ``done``, for ``limit_s`` at most; the order is resumed with whether it came true.

    ``pace_s``: shortest time between two polls meanwhile.
    """

    done: Callable[[], bool]
    limit_s: float
    pace_s: float = 0.0


Ending = tuple[CommandOutcome, str]
Steps = Generator[Send | Wait, bool, Ending]


@dataclass(slots=True)
class Point:
    """What orders work on. ``out`` takes readings to report, ``preset`` is the block kept for the next authorise."""

    level: Level
    options: DartOptions
    out: list[Reading] = field(default_factory=list)
    preset: bytes | None = None

    def link_acked(self, command: Command) -> None:
        """The pump has received the decisive block of ``command``."""
        self.out.append(result(self, command, CommandOutcome.LINK_ACKED))


def result(point: Point, command: Command, outcome: CommandOutcome, detail: str = "") -> CommandResult:
    """The result of ``command`` at this point."""
    return CommandResult(command.command_id, point.level.config.fuelling_point, outcome, detail)


def steps(point: Point, command: Command) -> Steps:
    """The steps of ``command``; nothing runs before the first ``send(None)``."""
    match command:
        case Authorise():
            return _authorise(point, command)
        case Acknowledge():
            return _acknowledge(point, command)
        case SetPrices():
            return _set_prices(point, command)
        case Stop():
            return _stop(point, command)
        case Suspend():
            return _suspend(point, command)
        case Resume():
            return _resume(point, command)
        case Preset():
            return _preset(point, command)
        case ReadTotalizer():
            return _read_totalizer(point, command)
        case ReadHeldSale():
            return _read_held_sale(point, command)
        case ReadSale():
            return _read_sale(point, command)
    return _end(CommandOutcome.REFUSED, f"a pump does not know {type(command).__name__}")


def _applied(detail: str = "") -> Ending:
    return CommandOutcome.APPLIED, detail


def _refused(detail: str) -> Ending:
    return CommandOutcome.REFUSED, detail


def _unknown(detail: str) -> Ending:
    return CommandOutcome.UNKNOWN, detail


def _end(outcome: CommandOutcome, detail: str = "") -> Steps:
    yield from ()
    return outcome, detail


def _state_wait(point: Point, done: Callable[[], bool]) -> Wait:
    options = point.options
    return Wait(done, options.state_wait_s, options.state_wait_s / options.state_polls)


def _authorise(point: Point, command: Authorise) -> Steps:
    preset, point.preset = point.preset, None  # whatever happens: a limit must never meet another customer
    objection = _why_not_authorise(point, command)
    if objection:
        return _refused(objection)
    level = point.level
    restarts = level.restarts
    nozzles = tuple(sorted(set(command.nozzles or level.config.nozzles)))
    if not (yield Send(blocks.allowed_nozzles(nozzles))):
        return _refused("the pump does not take the list of nozzles; AUTHORIZE was not sent")
    if level.state is State.FILLING_COMPLETED:
        # Looked at again: this turn may have brought another display, which nobody has accounted for yet.
        objection = _why_not_authorise(point, command)
        if objection:
            return _refused(objection)
        taken = yield Send(blocks.command(Dcc.RESET))
        if not (yield _state_wait(point, lambda: level.state is State.RESET)):
            word = "took RESET but did not follow it" if taken else "did not take RESET"
            return _refused(f"the pump {word}; AUTHORIZE was not sent")
    if preset is not None and not (yield Send(preset)):
        return _refused("the pump did not take the preset; AUTHORIZE was not sent")
    if level.state is not State.RESET or level.restarts != restarts:
        return _refused(f"the pump went to {_name(level)} meanwhile; AUTHORIZE was not sent")
    seen = level.authorised_seen
    if (yield Send(blocks.command(Dcc.AUTHORIZE))):
        point.link_acked(command)
    yield _state_wait(point, lambda: level.authorised_seen > seen or level.state is not State.RESET)
    if level.authorised_seen > seen:
        return _applied()
    if level.state is not State.RESET and level.restarts == restarts:
        return _refused(f"the pump went to {_name(level)} instead of AUTHORIZED")
    return _unknown("the pump did not show AUTHORIZED in time")


def _why_not_authorise(point: Point, command: Authorise) -> str:
    level = point.level
    unknown = sorted(set(command.nozzles) - set(level.config.nozzles))
    if not level.config.sends_commands:
        return "this point is only watched (control mode monitor)"
    if unknown:
        return f"nozzle {unknown[0]} is not configured"
    if level.state is State.RESET:
        return ""
    if level.state is not State.FILLING_COMPLETED:
        return f"the pump is in {_name(level)}"
    if not level.accounted:
        return "what the pump holds of its last fuelling is not accounted for"
    if level.nozzle_out is False:
        return "the nozzle hangs: pumps ignore RESET then; authorise when it is lifted"
    return ""


def _acknowledge(point: Point, command: Acknowledge) -> Steps:
    level = point.level
    if level.state is None or level.state in (State.AUTHORIZED, State.FILLING, State.SUSPENDED):
        return (yield from _end(*_refused(f"a fuelling is under way: the pump is in {_name(level)}")))
    nothing_held = level.display is None or level.display.volume == 0 or level.state is State.RESET
    if command.token != level.token() and not (command.token == "" and nothing_held):
        return (yield from _end(*_refused("the token is not that of what the pump holds now; read it again")))
    level.accounted = True
    return (yield from _end(*_applied()))


def _set_prices(point: Point, command: SetPrices) -> Steps:
    level = point.level
    wanted = _price_digits(point, command)
    if isinstance(wanted, str):
        return _refused(wanted)
    seen = level.price_seen
    if not (yield Send(blocks.prices(wanted))):
        return _unknown("the pump did not take the prices")
    point.link_acked(command)
    yield Wait(lambda: False, point.options.price_settle_s, point.options.state_wait_s / point.options.state_polls)
    if level.state is State.NOT_PROGRAMMED and not (
        yield _state_wait(point, lambda: level.state is not State.NOT_PROGRAMMED)
    ):
        return _refused("the pump still says that it has no prices")
    if point.options.return_prices:
        return (yield from _read_prices_back(point, wanted))
    if level.price_seen == seen:
        taken = yield Send(blocks.command(Dcc.RETURN_STATUS))
        if taken:
            yield _state_wait(point, lambda: level.price_seen > seen)
    if level.price_seen == seen or level.nozzle is None or level.nozzle > len(wanted):
        return _applied("taken; not confirmed, because the pump shows no selected nozzle")
    if level.price != wanted[level.nozzle - 1]:
        return _refused(f"the pump still shows another price for nozzle {level.nozzle}")
    return _applied()


def _price_digits(point: Point, command: SetPrices) -> list[int] | str:
    """The digits for nozzles 1, 2, ... or why not."""
    level = point.level
    if not level.config.sends_commands:
        return "this point is only watched (control mode monitor)"
    if level.state not in (State.NOT_PROGRAMMED, State.RESET, State.FILLING_COMPLETED):
        return f"the pump takes no prices in {_name(level)}"
    given = dict(command.prices)
    digits = []
    for nozzle in range(1, max(level.config.nozzles) + 1):
        if nozzle not in given:
            return f"no price for nozzle {nozzle}: the pump ignores a list that is not complete"
        price = level.units.price_digits(given[nozzle])
        if price is None:
            return f"the pump cannot show the price {given[nozzle]} of nozzle {nozzle} exactly"
        digits.append(price)
    return digits


def _read_prices_back(point: Point, wanted: list[int]) -> Steps:
    level = point.level
    level.prices = None
    taken = yield Send(blocks.command(Dcc.RETURN_PRICES))
    if not taken or not (yield _state_wait(point, lambda: level.prices is not None)):
        return _unknown("the pump did not tell its prices")
    shown = level.prices or ()
    return _applied() if list(shown[: len(wanted)]) == wanted else _refused("the pump still has other prices")


def _stop(point: Point, command: Stop) -> Steps:
    level = point.level
    if level.state not in (State.RESET, *FUELLING_STATES):
        return _applied(f"nothing to stop: the pump is in {_name(level)}")
    if (yield Send(blocks.command(Dcc.STOP))):
        point.link_acked(command)
    elif level.state is State.RESET and not (yield _state_wait(point, lambda: level.state is not State.RESET)):
        return _unknown("the pump did not take STOP")  # an AUTHORIZE in doubt may still show
    flowing = (State.AUTHORIZED, State.FILLING, State.SUSPENDED)
    if (yield _state_wait(point, lambda: level.state not in flowing)):
        return _applied()
    return _unknown(f"the pump is still in {_name(level)}")


def _suspend(point: Point, command: Suspend) -> Steps:
    level = point.level
    if _is_suspended(level):
        return _applied("it is suspended")
    objection = _why_not_halt(point, (State.AUTHORIZED, State.FILLING))
    if objection:
        return _refused(objection)
    by_command = point.options.suspend == "command"
    if (yield Send(blocks.command(Dcc.SUSPEND) if by_command else blocks.suspend())):
        point.link_acked(command)
    yield _state_wait(point, lambda: level.state not in (State.AUTHORIZED, State.FILLING))
    if _is_suspended(level):
        return _applied()
    return _unknown(f"the pump is in {_name(level)}; stop it if it must not deliver")


def _resume(point: Point, command: Resume) -> Steps:
    level = point.level
    objection = _why_not_halt(point, (State.SUSPENDED,))
    if objection:
        return _refused(objection)
    by_command = point.options.suspend == "command"
    if (yield Send(blocks.command(Dcc.RESUME) if by_command else blocks.resume())):
        point.link_acked(command)
    yield _state_wait(point, lambda: level.state is not State.SUSPENDED)
    if level.state in (State.AUTHORIZED, State.FILLING):
        return _applied()
    return _unknown(f"the pump is in {_name(level)}")


def _is_suspended(level: Level) -> bool:
    return level.state is State.SUSPENDED


def _why_not_halt(point: Point, states: tuple[State, ...]) -> str:
    level = point.level
    if not level.config.sends_commands:
        return "this point is only watched (control mode monitor)"
    if point.options.suspend == "none":
        return 'these heads are not known to suspend: write suspend = "command" in the options of the line, or stop'
    return "" if level.state in states else f"the pump is in {_name(level)}"


def _preset(point: Point, command: Preset) -> Steps:
    """Kept here: the pump forgets a preset at RESET, so it travels between RESET and AUTHORIZE."""
    units = point.level.units
    if (command.volume_ml is None) == (command.amount_minor is None):
        return (yield from _end(*_refused("give either a volume or an amount")))
    if command.volume_ml is not None:
        digits, make = command.volume_ml // units.unit_ml, blocks.preset_volume
    else:
        digits, make = (command.amount_minor or 0) // units.unit_minor, blocks.preset_amount
    if not 0 < digits < 10**8:
        return (yield from _end(*_refused("the pump's eight digits cannot show this preset")))
    point.preset = make(digits)
    return (yield from _end(*_applied("kept for the next authorise")))


def _read_totalizer(point: Point, command: ReadTotalizer) -> Steps:
    reading = yield from _total(point, command.nozzle)
    if reading is None:
        return _unknown(f"the total of nozzle {command.nozzle} was not told")
    point.out.append(reading)
    return _applied()


def _read_held_sale(point: Point, _command: ReadHeldSale) -> Steps:
    held = yield from _held(point)
    if held is None:
        return _unknown("the pump did not tell its last fuelling")
    point.out.append(held)
    return _applied()


def _read_sale(point: Point, command: ReadSale) -> Steps:
    before = yield from _all_totals(point, command.nozzles)
    held = yield from _held(point)
    after = yield from _all_totals(point, tuple(before))
    point.out.append(
        CompletedSale(
            command_id=command.command_id,
            fuelling_point=point.level.config.fuelling_point,
            before=tuple(before[nozzle] for nozzle in after),
            held=held,
            after=tuple(after.values()),
        )
    )
    return _applied()


def _all_totals(point: Point, nozzles: tuple[int, ...]) -> Generator[Send | Wait, bool, dict[int, TotalizerReading]]:
    readings = {}
    for nozzle in nozzles:
        reading = yield from _total(point, nozzle)
        if reading is not None:
            readings[nozzle] = reading
    return readings


def _total(point: Point, nozzle: int) -> Generator[Send | Wait, bool, TotalizerReading | None]:
    if not 1 <= nozzle <= MAX_TOTAL_NOZZLE:
        return None
    total = yield from _counter(point, nozzle)
    if total is None:
        return None
    amount = total.amount
    if amount is None and point.options.amount_totals:
        told = yield from _counter(point, AMOUNT_COUNTER + nozzle)
        amount = None if told is None else told.total
    return point.level.totalizer(nozzle, total, amount)


def _counter(point: Point, counter: int) -> Generator[Send | Wait, bool, Totals | None]:
    totals = point.level.totals
    for _ in range(READ_TRIES):
        totals.pop(counter, None)
        taken = yield Send(blocks.ask_total(counter, s4_dialect=point.options.s4_dialect))
        if taken and (yield Wait(lambda: counter in totals, READ_WAIT_S)):
            return totals[counter]
    return None


def _held(point: Point) -> Generator[Send | Wait, bool, HeldSale | None]:
    level = point.level
    for _ in range(READ_TRIES):
        seen = level.filled_seen
        taken = yield Send(blocks.command(Dcc.RETURN_FILLING_INFO))
        if taken and (yield Wait(_filled_after(level, seen), READ_WAIT_S)):
            return level.held()
    return None


def _filled_after(level: Level, seen: int) -> Callable[[], bool]:
    return lambda: level.filled_seen > seen


def _name(level: Level) -> str:
    return "an unknown state" if level.state is None else level.state.name.replace("_", " ")
