"""DART heads that can be halted: both ways of saying it, what is refused, and that a halt that is not seen is not claimed."""

from __future__ import annotations

import pytest

from drivers import registry
from drivers.commands import Resume, Stop, Suspend
from drivers.config import LineConfig
from drivers.device import DispenserCapabilities
from drivers.readings import CommandOutcome, CommandResult, PointState
from tests.support.rigs.attendant import Attendant
from tests.support.rigs.base import VirtualRig
from tests.support.rigs.dart import SUBJECT


def attendant(suspend: str, *, control: bool = True) -> Attendant:
    """Somebody at point 1 of heads with this option."""
    rig = VirtualRig(SUBJECT, control=control)
    config = SUBJECT.line_config(control=control)
    options = {"suspend": suspend} if suspend else {}
    made = LineConfig(config.id, config.port, config.protocol, options=options, points=config.points)
    rig.line = registry.make_line(made, rig._open, rig.port.monotonic)
    return Attendant(SUBJECT, rig)


@pytest.mark.parametrize(("suspend", "said"), [("command", "SUSPEND"), ("transaction", "SUSPEND_NOZZLE")])
def test_a_delivery_is_halted_and_goes_on(suspend: str, said: str) -> None:
    """Halted means that nothing flows; afterwards the same fuelling goes on to its end."""
    person = attendant(suspend)
    person.release(1)
    person.fuel(400)
    rig = person.rig
    assert rig.run(Suspend("halt", 1)) is CommandOutcome.APPLIED
    assert said in SUBJECT.heard(rig, 1)
    rig.until(lambda: person.level().state is PointState.SUSPENDED_FUELLING)
    assert person.head.deliver(100) == 0
    assert rig.run(Suspend("again", 1)) is CommandOutcome.APPLIED
    assert rig.run(Resume("on", 1)) is CommandOutcome.APPLIED
    person.fuel(400)
    person.hang_up()
    bundle = person.read()
    assert bundle.held is not None
    assert bundle.held.volume_ml == person.sale()["volume_ml"] == 8_000


def test_a_halted_delivery_can_be_stopped() -> None:
    """The fuelling ends with what had flowed."""
    person = attendant("command")
    person.release(1)
    person.fuel(400)
    assert person.rig.run(Suspend("halt", 1)) is CommandOutcome.APPLIED
    assert person.rig.run(Stop("stop", 1)) is CommandOutcome.APPLIED
    person.hang_up()
    assert person.sale()["volume_ml"] == 4_000


@pytest.mark.parametrize(
    ("suspend", "control", "words"),
    [("", True, 'suspend = "command"'), ("command", False, "only watched"), ("command", True, "the pump is in")],
)
def test_what_cannot_be_halted_is_refused_with_the_reason(suspend: str, control: bool, words: str) -> None:
    """Heads not known to do it, points that are only watched, pumps that deliver nothing: no byte is sent for it."""
    person = attendant(suspend, control=control)
    for command in (Suspend("halt", 1), Resume("on", 1)):
        assert person.rig.run(command) is CommandOutcome.REFUSED
    told = [result.detail for result in person.rig.of(CommandResult) if result.command_id in {"halt", "on"}]
    assert all(words in detail for detail in told)
    assert {"SUSPEND", "RESUME"}.isdisjoint(SUBJECT.heard(person.rig, 1))


def test_a_halt_that_the_head_does_not_know_is_unknown() -> None:
    """It takes the block and goes on filling: nobody may say that the pump is halted."""
    person = attendant("command")
    person.release(1)
    person.fuel(400)
    person.head.command = lambda _code: None  # type: ignore[attr-defined]
    assert person.rig.run(Suspend("halt", 1)) is CommandOutcome.UNKNOWN
    result = [result for result in person.rig.of(CommandResult) if result.command_id == "halt"][-1]
    assert "stop it" in result.detail


@pytest.mark.parametrize(("suspend", "can"), [("none", False), ("command", True), ("transaction", True)])
def test_the_point_says_whether_it_can_be_halted(suspend: str, can: bool) -> None:
    """What a supervisor is offered is what the heads can do."""
    (device, *_) = attendant(suspend).rig.line.devices
    capabilities = getattr(device, "capabilities", None)
    assert isinstance(capabilities, DispenserCapabilities)
    assert capabilities.suspends is can
