"""What a person may order at a fuelling point: let it go, stop it, halt it, let it go on; and why not.

A wish that cannot be followed is answered by an audit entry with the reason. Knows no totals and no prices.
"""

from __future__ import annotations

from agent.domain import point_control as control
from agent.domain.point_events import Audit, AuthoriseByPerson, ResumeByPerson, StopByPerson, SuspendByPerson, Turn
from agent.domain.point_state import ControlMode, Origin
from drivers.commands import Resume, Suspend
from drivers.readings import PointState

RUNNING = frozenset((PointState.AUTHORISED, PointState.STARTED, PointState.FUELLING))
HALTED = frozenset((PointState.SUSPENDED_STARTED, PointState.SUSPENDED_FUELLING))


def authorise(turn: Turn, wish: AuthoriseByPerson) -> None:
    """A person lets one fuelling go; a wish that cannot be followed is answered by an audit entry with the reason."""
    config = turn.point.config
    given = {"volume": wish.preset_volume_ml, "amount": wish.preset_amount_minor}
    kinds = [kind for kind, value in given.items() if value is not None]
    presets = [p for p in (wish.preset_volume_ml, wish.preset_amount_minor) if p is not None]
    reason = control.blocked_by(turn)
    if config.mode not in (ControlMode.RELEASED, ControlMode.PRESET):
        reason = f"control is {config.mode.value}; a person authorises only in released and preset"
    elif config.mode is ControlMode.PRESET and len(presets) != 1:
        reason = "give exactly one of volume and amount"
    elif len(presets) > 1 or any(p <= 0 for p in presets):
        reason = "a preset is one positive volume or amount"
    elif not set(kinds) <= set(config.presets):
        reason = f"this pump takes no preset by {' and '.join(kinds)}"
    elif wish.nozzle is not None and wish.nozzle not in config.numbers:
        reason = f"there is no nozzle {wish.nozzle} at this point"
    elif reason is None and turn.point.state not in (PointState.IDLE, PointState.CALLING):
        reason = f"the point is {turn.point.state}"
    if reason is not None:
        turn.emit(Audit("authorise_refused", f"{wish.person}: {reason}"))
        return
    reading = turn.volatile.reading
    lifted = reading.nozzle if reading is not None and reading.state is PointState.CALLING else None
    nozzle = wish.nozzle or lifted or (config.numbers[0] if len(config.numbers) == 1 else None)
    turn.note(armed=False, authorise_tried=0)
    turn.emit(Audit("authorise", f"{wish.person}: nozzle {nozzle or 'any'}"))
    control.open_fuelling(turn, nozzle, Origin.PERSON, wish)
    control.let_go(turn)


def stop(turn: Turn, wish: StopByPerson) -> None:
    """A person ends delivery now; may be repeated freely."""
    control.stop(turn, f"by {wish.person}")


def suspend(turn: Turn, wish: SuspendByPerson) -> None:
    """A person halts a delivery; the fuelling stays open."""
    reason = _cannot_halt(turn)
    if reason is None and turn.point.state not in RUNNING:
        reason = f"the point is {turn.point.state}, nothing to halt"
    if reason is not None:
        turn.emit(Audit("suspend_refused", f"{wish.person}: {reason}"))
        return
    turn.emit(Audit("suspend", f"by {wish.person}"))
    turn.send(Suspend(turn.next_id(), turn.point.config.number))


def resume(turn: Turn, wish: ResumeByPerson) -> None:
    """A person has looked at the pump and lets a halted delivery go on; never done by the agent itself."""
    reason = _cannot_halt(turn)
    if reason is None and turn.point.state not in HALTED:
        reason = f"the point is {turn.point.state}, not halted"
    elif reason is None and turn.durable.open is None:
        reason = "no fuelling is open; hang up and lift again"
    if reason is not None:
        turn.emit(Audit("resume_refused", f"{wish.person}: {reason}"))
        return
    turn.emit(Audit("resume", f"by {wish.person}"))
    turn.send(Resume(turn.next_id(), turn.point.config.number))


def _cannot_halt(turn: Turn) -> str | None:
    if turn.point.monitored:
        return control.MONITORED
    if not turn.point.config.suspends:
        return "this pump cannot halt a delivery; stop it"
    if not turn.volatile.online or turn.volatile.reading is None:
        return "the point is offline"
    return "a command is under way" if turn.waiting_for("Suspend", "Resume", "Authorise", "Preset") else None
