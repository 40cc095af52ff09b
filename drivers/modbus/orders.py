"""Commands to a fuelling point behind registers, step by step: what is written, what proves it, what is read.

Knows maps and levels. Knows no port and no clock but the time of the last telegram. A write whose reply is missing is
never sent again unless the map says that it may be: the confirming field tells what happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from drivers.asked import Ask, Ending, Steps
from drivers.commands import (
    Acknowledge,
    Authorise,
    Command,
    ConfirmUnits,
    Preset,
    ReadDeliveries,
    ReadHeldSale,
    ReadSale,
    ReadTotalizer,
    Resume,
    SetPrices,
    Stop,
    Suspend,
)
from drivers.errors import WiringError
from drivers.modbus import plan
from drivers.modbus.codec import Reply, Request
from drivers.modbus.levels import AT_REST, FUELLING
from drivers.modbus.link import ACKNOWLEDGED, refusal
from drivers.modbus.model import CommandName, DeviceCommand, Role, Unit
from drivers.modbus.registers import read_request, write_request
from drivers.modbus.units import ML_PER_UNIT
from drivers.modbus.values import confirmed
from drivers.readings import CommandOutcome, CommandResult, CompletedSale, PointState, TotalizerReading

if TYPE_CHECKING:
    from drivers.modbus.point import RegisterPoint

READ_TRIES = 5  # docs/sale-safety.md, step 5
WRITE_TRIES = 3  # only of what the map calls idempotent
ACK_WITHIN_S = 2.0
TOTAL_ROLES = (Role.TOTALIZER, Role.TOTALIZER_AMOUNT)
DISPLAY_ROLES = (Role.STATE, Role.VOLUME, Role.AMOUNT)
WATCHED = "this point is only watched (control mode monitor)"


@dataclass(slots=True)
class Memory:
    """What orders remember of a point: the limit for the next fuelling, and what the domain has accounted for.

    ``accounted`` (held values): the domain has said so. ``acknowledging`` (queue): the last token that was written.
    """

    preset: Preset | None = None
    accounted: bool = False
    acknowledging: str = ""
    fuellings: int = 0


def steps(point: RegisterPoint, command: Command) -> Steps[Request, Reply, Ending]:
    """The steps of ``command``."""
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
            return _read_held(point, command)
        case ReadSale():
            return _read_sale(point, command)
        case ConfirmUnits() | ReadDeliveries():
            return _end(*_refused("this is a question for a tank gauge"))


def sent(request: Request, tries: int = 1) -> Steps[Request, Reply, Reply | None]:
    """Put ``request`` and hand back its reply, ``None`` when none came in ``tries`` turns."""
    ask: Ask[Request, Reply] = Ask(request, tries)
    yield ask
    return ask.reply


def _applied(detail: str = "") -> Ending:
    return CommandOutcome.APPLIED, detail


def _refused(detail: str) -> Ending:
    return CommandOutcome.REFUSED, detail


def _unknown(detail: str) -> Ending:
    return CommandOutcome.UNKNOWN, detail


def _end(outcome: CommandOutcome, detail: str = "") -> Steps[Request, Reply, Ending]:
    yield from ()
    return outcome, detail


# What is read.


def _fresh(point: RegisterPoint, names: Iterable[str], tries: int = READ_TRIES) -> Steps[Request, Reply, bool]:
    """Read these fields now, each with all that is read in the same moment; whether all have come."""
    blocks = {read_request(block): block for block in map(point.registers.of_field, names)}
    for request, block in blocks.items():
        reply = yield from sent(request, tries)
        if reply is None:
            return False
        point.registers.take(block, reply.values)
    point.settled()
    return True


def _names(point: RegisterPoint, roles: Iterable[Role]) -> list[str]:
    return [field.name for role in roles for field in point.map.by_role(role)]


def _held_names(point: RegisterPoint) -> list[str]:
    record = point.map.record
    return list(record.fields) if record is not None else _names(point, DISPLAY_ROLES)


def _total(point: RegisterPoint) -> TotalizerReading | None:
    return point.level.total()


def _read_totalizer(point: RegisterPoint, command: ReadTotalizer) -> Steps[Request, Reply, Ending]:
    names = _names(point, TOTAL_ROLES)
    if command.nozzle != point.level.nozzle or not names:
        return _unknown(f"there is no total of nozzle {command.nozzle}")
    came = yield from _fresh(point, names)
    total = _total(point) if came else None
    if total is None:
        return _unknown(f"the total of nozzle {command.nozzle} was not told")
    point.out.append(total)
    return _applied()


def _read_held(point: RegisterPoint, _command: ReadHeldSale) -> Steps[Request, Reply, Ending]:
    names = _held_names(point)
    if not names or not (yield from _fresh(point, names)):
        return _unknown("the device did not tell its last fuelling")
    held = point.level.held()
    if held is None:
        return _applied("nothing is held")
    point.out.append(held)
    return _applied()


def _read_sale(point: RegisterPoint, command: ReadSale) -> Steps[Request, Reply, Ending]:
    """Total and what is held (in one moment where the map reads them together), then the total again."""
    totals = _names(point, TOTAL_ROLES) if point.level.nozzle in command.nozzles else []
    came = yield from _fresh(point, totals + _held_names(point))
    before = _total(point) if came and totals else None
    held = point.level.held() if came else None
    after = before
    if came and totals:
        after = _total(point) if (yield from _fresh(point, totals)) else None
    both = before is not None and after is not None
    point.out.append(
        CompletedSale(
            command_id=command.command_id,
            fuelling_point=point.config.fuelling_point,
            before=(before,) if both and before is not None else (),
            held=held,
            after=(after,) if both and after is not None else (),
        )
    )
    return _applied()


# What is written.


def _authorise(point: RegisterPoint, command: Authorise) -> Steps[Request, Reply, Ending]:
    preset, point.memory.preset = point.memory.preset, None  # a limit must never meet another customer
    objection = _why_not_authorise(point, command)
    if objection:
        return _refused(objection)
    limited = yield from _limit(point, command, preset)
    if limited[0] is not CommandOutcome.APPLIED:
        return _refused(f"{limited[1]}; the fuelling was not authorised")
    objection = _why_not_authorise(point, command)
    if objection:
        return _refused(objection)
    return (yield from _write(point, command, CommandName.AUTHORISE))


def _why_not_authorise(point: RegisterPoint, command: Authorise) -> str:
    level = point.level
    stranger = sorted(set(command.nozzles) - set(point.config.nozzles))
    if not point.writes:
        return WATCHED
    if CommandName.AUTHORISE not in point.map.commands:
        return "the map of this device knows no authorising"
    if stranger:
        return f"nozzle {stranger[0]} is not configured"
    if level.state not in (PointState.IDLE, PointState.CALLING):
        return f"the dispenser is {_state(point)}"
    if point.map.record is not None and level.held() is not None:
        return "the dispenser holds a sale that is not accounted for"
    if point.capabilities.sale_memory == "last" and not _accounted(point):
        return "what the dispenser holds of its last fuelling is not accounted for"
    return ""


def _accounted(point: RegisterPoint) -> bool:
    """Whether the display of the last fuelling may be overwritten: the domain has said so since that fuelling."""
    return point.memory.accounted and point.memory.fuellings == point.level.fuellings


def _limit(point: RegisterPoint, command: Authorise, preset: Preset | None) -> Steps[Request, Reply, Ending]:
    """Set the limit of this fuelling; where there is none, clear one that still stands in the device."""
    if preset is None:
        clear = point.map.commands.get(CommandName.PRESET_VOLUME)
        if clear is None or clear.confirm is None:
            return _applied()
        shown = point.registers.field(clear.confirm.field)
        if not shown.reason and shown.raw == 0:
            return _applied()
        return (yield from _write(point, command, CommandName.PRESET_VOLUME, Fraction(0), silent=True))
    name, value = _preset_value(point, preset)
    return (yield from _write(point, command, name, value, silent=True))


def _preset_value(point: RegisterPoint, preset: Preset) -> tuple[CommandName, Fraction]:
    if preset.volume_ml is not None:
        name = CommandName.PRESET_VOLUME
        return name, Fraction(preset.volume_ml) / ML_PER_UNIT.get(_unit(point, name) or Unit.ML, Fraction(1))
    return CommandName.PRESET_AMOUNT, Fraction(preset.amount_minor or 0)


def _unit(point: RegisterPoint, name: CommandName) -> Unit | None:
    known = point.map.commands.get(name)
    return None if known is None else known.write.unit


def _preset(point: RegisterPoint, command: Preset) -> Steps[Request, Reply, Ending]:
    """Kept here until the fuelling is authorised, so that it can only ever limit that one."""
    if (command.volume_ml is None) == (command.amount_minor is None):
        return (yield from _end(*_refused("give either a volume or an amount")))
    if not point.writes:
        return (yield from _end(*_refused(WATCHED)))
    name, value = _preset_value(point, command)
    known = point.map.commands.get(name)
    if known is None:
        return (yield from _end(*_refused(f"the map of this device knows no {name.value.replace('_', ' of ')}")))
    try:
        plan.write_request(known.write, value)
    except WiringError as error:
        return (yield from _end(*_refused(str(error))))
    if value <= 0:
        return (yield from _end(*_refused("a limit of nothing is no limit")))
    point.memory.preset = command
    return (yield from _end(*_applied("kept for the next authorise")))


def _set_prices(point: RegisterPoint, command: SetPrices) -> Steps[Request, Reply, Ending]:
    given = dict(command.prices)
    price_milli = given.get(point.level.nozzle)
    if not point.writes:
        return _refused(WATCHED)
    if price_milli is None:
        return _refused(f"no price for nozzle {point.level.nozzle}")
    if point.level.state in FUELLING:
        return _refused(f"the dispenser takes no prices while it is {_state(point)}")
    return (yield from _write(point, command, CommandName.PRICE, Fraction(price_milli, 1000)))


def _stop(point: RegisterPoint, command: Stop) -> Steps[Request, Reply, Ending]:
    if not point.writes:
        return _refused(WATCHED)
    if point.level.state in AT_REST:
        return _applied(f"nothing to stop: the dispenser is {_state(point)}")
    return (yield from _write(point, command, CommandName.STOP))


def _suspend(point: RegisterPoint, command: Suspend) -> Steps[Request, Reply, Ending]:
    if not point.writes:
        return _refused(WATCHED)
    if point.level.state not in (PointState.AUTHORISED, PointState.STARTED, PointState.FUELLING):
        return _refused(f"there is nothing to suspend: the dispenser is {_state(point)}")
    return (yield from _write(point, command, CommandName.SUSPEND))


def _resume(point: RegisterPoint, command: Resume) -> Steps[Request, Reply, Ending]:
    if not point.writes:
        return _refused(WATCHED)
    if point.level.state not in (PointState.SUSPENDED_STARTED, PointState.SUSPENDED_FUELLING):
        return _refused(f"there is nothing to resume: the dispenser is {_state(point)}")
    return (yield from _write(point, command, CommandName.RESUME))


def _write(
    point: RegisterPoint,
    command: Command,
    name: CommandName,
    value: Fraction | None = None,
    *,
    silent: bool = False,
) -> Steps[Request, Reply, Ending]:
    """Write what the map says and look at the field that proves it. ``silent``: a step of another command."""
    known = point.map.commands.get(name)
    if known is None or known.never_sent:
        return _refused(f"the map of this device knows no {name.value.replace('_', ' ')}")
    try:
        planned = plan.write_request(known.write, value)
    except WiringError as error:
        return _refused(str(error))
    reply = yield from sent(write_request(planned), WRITE_TRIES if known.idempotent else 1)
    if reply is not None and reply.exception not in (0, ACKNOWLEDGED):
        return _refused(str(refusal(reply.exception, f"{name.value} at address {planned.address}")))
    if reply is not None and not silent:
        acked = CommandResult(command.command_id, point.config.fuelling_point, CommandOutcome.LINK_ACKED)
        point.out.append(acked)
    return (yield from _confirmed(point, known, value))


def _confirmed(point: RegisterPoint, known: DeviceCommand, value: Fraction | None) -> Steps[Request, Reply, Ending]:
    confirm = known.confirm
    if confirm is None:
        return _unknown("sent; the device has nothing that would prove it")
    field = point.map.fields[confirm.field]
    until_s = point.now_s + confirm.within_ms / 1000
    while True:
        came = yield from _fresh(point, [confirm.field], tries=1)
        if came and confirmed(known, field, point.registers.field(confirm.field), value):
            return _applied()
        if point.now_s >= until_s:
            return _unknown(f"{confirm.field} did not show it in time")


def _acknowledge(point: RegisterPoint, command: Acknowledge) -> Steps[Request, Reply, Ending]:
    if point.map.record is None:
        return (yield from _account_for(point, command.token))
    if not point.writes:
        return _refused(WATCHED)
    if not (yield from _fresh(point, _held_names(point))):
        return _unknown("the device did not tell its oldest sale")
    held = point.level.held()
    if command.token == "" or (held is None and command.token == point.memory.acknowledging):
        return _applied() if held is None else _refused("a sale waits that this does not name; read it again")
    if held is None or held.token != command.token:
        gone = command.token == point.memory.acknowledging
        return _applied("gone already") if gone else _refused("the token is not that of the oldest sale; read it again")
    return (yield from _write_ack(point, command))


def _write_ack(point: RegisterPoint, command: Acknowledge) -> Steps[Request, Reply, Ending]:
    """The device forgets the record only by this; a repeat names the same record, so it can do no harm."""
    record = point.map.record
    assert record is not None, "only devices with records are acknowledged"
    if record.ack is None:
        return _refused("the map of this device knows no acknowledging")
    point.memory.acknowledging = command.token
    planned = plan.write_request(record.ack, Fraction(int(command.token)))
    reply = yield from sent(write_request(planned), WRITE_TRIES)
    if reply is not None and reply.exception not in (0, ACKNOWLEDGED):
        return _refused(str(refusal(reply.exception, f"acknowledging sale {command.token}")))
    if reply is not None:
        acked = CommandResult(command.command_id, point.config.fuelling_point, CommandOutcome.LINK_ACKED)
        point.out.append(acked)
    until_s = point.now_s + ACK_WITHIN_S
    while True:
        came = yield from _fresh(point, [record.id_field], tries=1)
        shown = point.registers.field(record.id_field)
        if came and not shown.reason and str(shown.raw) != command.token:
            return _applied()
        if point.now_s >= until_s:
            return _unknown(f"the device still shows sale {command.token}")


def _account_for(point: RegisterPoint, token: str) -> Steps[Request, Reply, Ending]:
    """Held values, or nothing at all: only remembered here."""
    yield from ()
    level, held = point.level, point.level.held()
    if level.state is None or level.state in FUELLING:
        return _refused(f"a fuelling is under way: the dispenser is {_state(point)}")
    nothing_held = held is None or not held.volume_ml
    if (held is None or token != held.token) and not (token == "" and nothing_held):
        return _refused("the token is not that of what the dispenser holds now; read it again")
    point.memory.accounted = True
    point.memory.fuellings = level.fuellings
    return _applied()


def _state(point: RegisterPoint) -> str:
    return "in an unknown state" if point.level.state is None else point.level.state.value
