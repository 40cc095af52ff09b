"""Control modes: what each sends by itself, what a person may order in it, and why not."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.point_events import (
    Audit,
    AuthoriseByPerson,
    Book,
    Event,
    RaiseAlert,
    ResumeByPerson,
    StopByPerson,
    SuspendByPerson,
    Ticked,
)
from agent.domain.point_state import ControlMode
from drivers.commands import Acknowledge, Authorise, Preset, Resume, Stop, Suspend
from drivers.readings import CommandOutcome, PointState
from tests.support.point_script import CALLING, FUELLING, IDLE, Script, names

MODES = tuple(ControlMode)
AUTO, MONITOR = ControlMode.AUTO, ControlMode.MONITOR
RELEASED, PRESET = ControlMode.RELEASED, ControlMode.PRESET
FREE = AuthoriseByPerson("wang")
LITRES = AuthoriseByPerson("wang", preset_volume_ml=20_000)
MONEY = AuthoriseByPerson("wang", preset_amount_minor=10_000)
BOTH = AuthoriseByPerson("wang", preset_volume_ml=20_000, preset_amount_minor=10_000)


def begun(mode: ControlMode, **config: Any) -> Script:
    script = Script(mode, **config)
    script.at(IDLE)
    script.answer(1_000)
    if mode is not MONITOR:
        script.end(Acknowledge)
    script.at(IDLE)
    return script


def refused(script: Script) -> str:
    entries = [e for e in script.of(Audit) if e.action.endswith("_refused")]
    assert len(entries) == 1, script.effects
    return str(entries[0].detail)


@pytest.mark.parametrize("mode", MODES)
def test_a_lift_is_answered_by_the_agent_in_auto_only(mode: ControlMode) -> None:
    """In released and preset it waits for a person, in monitor the pump sells without us."""
    script = begun(mode)
    effects = script.at(CALLING)
    assert ("Authorise" in names(effects)) == (mode is AUTO)
    assert ("OpenFuelling" in names(effects)) == (mode in (AUTO, MONITOR))


@pytest.mark.parametrize(
    ("mode", "wish", "sent", "reason"),
    [
        (MONITOR, FREE, None, "control is monitor"),
        (AUTO, FREE, None, "control is auto"),
        (RELEASED, FREE, Authorise, ""),
        (RELEASED, LITRES, Preset, ""),
        (RELEASED, BOTH, None, "one positive volume or amount"),
        (PRESET, FREE, None, "exactly one of volume and amount"),
        (PRESET, LITRES, Preset, ""),
        (PRESET, MONEY, Preset, ""),
        (PRESET, BOTH, None, "exactly one of volume and amount"),
        (PRESET, AuthoriseByPerson("wang", preset_volume_ml=0), None, "one positive volume or amount"),
        (RELEASED, AuthoriseByPerson("wang", nozzle=9), None, "there is no nozzle 9"),
    ],
)
def test_what_a_person_may_release(mode: ControlMode, wish: Event, sent: type[Any] | None, reason: str) -> None:
    """A wish is followed or answered with the reason; nothing is authorised before a preset stands."""
    script = begun(mode)
    effects = script(wish)
    if sent is None:
        assert reason in refused(script)
        assert not {"Authorise", "Preset"} & set(names(effects))
        return
    assert [name for name in names(effects) if name in ("Authorise", "Preset")] == [sent.__name__]
    if sent is Preset:
        assert "Authorise" in names(script.end(Preset))


def test_a_preset_that_the_pump_cannot_take_is_refused_before_anything_is_sent() -> None:
    """What the driver declares decides: no money preset at a pump that knows litres only."""
    script = begun(PRESET, presets=("volume",))
    script(MONEY)
    assert "no preset by amount" in refused(script)
    assert "Preset" in names(script(LITRES))


@pytest.mark.parametrize("mode", MODES)
def test_stop_goes_out_in_every_mode_but_monitor(mode: ControlMode) -> None:
    """STOP is never held back by what is unknown; in monitor it is refused with the reason."""
    script = begun(mode)
    effects = script(StopByPerson("wang"))
    assert ("Stop" in names(effects)) == (mode is not MONITOR)
    if mode is MONITOR:
        assert "only reads" in refused(script)


def test_a_pump_that_takes_no_stop_says_so() -> None:
    """The person is told to stop it at the pump, and a forgotten authorisation becomes an alert, not a STOP."""
    script = begun(RELEASED, stops=False)
    script(StopByPerson("wang"))
    assert "at the pump" in refused(script)
    script(FREE)
    script.end(Authorise)
    script.at(PointState.AUTHORISED)
    script(Ticked(), after_ms=121_000)
    assert "Stop" not in names(script.effects)
    assert [a.name for a in script.of(RaiseAlert)] == ["AUTHORISE_FAILED"]
    script.at(IDLE)
    script(Ticked())
    assert "ReadSale" in names(script.effects) or script.point.volatile.read is not None


@pytest.mark.parametrize("mode", [AUTO, RELEASED, PRESET])
def test_an_authorisation_that_is_not_used_is_stopped_at_its_limit(mode: ControlMode) -> None:
    """Whoever authorised it: after two minutes without a lift the pump is stopped."""
    script = begun(mode)
    if mode is AUTO:
        script.at(CALLING)
    else:
        script(LITRES if mode is PRESET else FREE)
        if mode is PRESET:
            script.end(Preset)
    script.end(Authorise)
    script.at(PointState.AUTHORISED, nozzle_out=None)
    assert "Stop" not in names(script(Ticked(), after_ms=100_000))
    assert "Stop" in names(script(Ticked(), after_ms=25_000))


def test_a_delivery_is_halted_and_goes_on_by_a_person_only() -> None:
    """The fuelling stays open while it is halted, nothing resumes it by itself, and its sale is one."""
    script = Script(suspends=True).authorised()
    script.at(FUELLING, 1_000)
    script.at(FUELLING, 5_000)
    assert "Suspend" in names(script(SuspendByPerson("wang")))
    script.end(Suspend)
    for _ in range(5):
        assert set(names(script.at(PointState.SUSPENDED_FUELLING, 5_000))) <= {"SaveLive"}
    assert script.point.durable.open is not None
    script(SuspendByPerson("li"))
    assert "nothing to halt" in refused(script)
    assert "Resume" in names(script(ResumeByPerson("wang")))
    script.end(Resume)
    script.at(FUELLING, 9_000)
    script.at(IDLE, 10_000)
    assert [b.booking.volume_ml for b in _booked(script, 2_000, 10_000)] == [10_000]


def _booked(script: Script, raw: int, volume_ml: int) -> list[Any]:
    script.answer(raw, volume_ml)
    return script.of(Book)


@pytest.mark.parametrize(
    ("config", "mode", "reason"),
    [({"suspends": False}, AUTO, "stop it"), ({"suspends": True}, MONITOR, "only reads")],
)
def test_halting_is_refused_where_it_cannot_be(config: dict[str, Any], mode: ControlMode, reason: str) -> None:
    """A pump that cannot halt, or one that we only watch."""
    script = begun(mode, **config)
    script(SuspendByPerson("wang"))
    assert reason in refused(script)
    script(ResumeByPerson("wang"))
    assert reason in refused(script)


def test_a_halted_delivery_survives_a_restart_and_nothing_is_replayed() -> None:
    """The order under way at the crash is shown as NEEDS_RECONCILIATION; the halted fuelling waits for a person."""
    script = Script(suspends=True).authorised()
    script.at(FUELLING, 1_000)
    script.at(FUELLING, 6_500)
    script(SuspendByPerson("wang"))
    script.restarted()
    effects = script.at(PointState.SUSPENDED_FUELLING, 6_500)
    assert "NeedsReconciliation" in names(effects)
    assert not {"Suspend", "Resume", "Authorise"} & set(names(effects))
    assert [u.kind for u in script.point.volatile.unresolved] == ["Suspend"]
    assert "Resume" in names(script(ResumeByPerson("wang")))
    script.end(Resume, CommandOutcome.UNKNOWN)
    assert [u.kind for u in script.point.volatile.unresolved] == ["Suspend", "Resume"]
    assert "Stop" in names(script(StopByPerson("wang")))
    script.end(Stop)


def test_resuming_needs_an_open_fuelling() -> None:
    """No flow without a record of it on disk."""
    script = begun(AUTO, suspends=True)
    script.at(PointState.SUSPENDED_FUELLING, 0)
    assert script.point.durable.open is None
    script(ResumeByPerson("wang"))
    assert "no fuelling is open" in refused(script)
