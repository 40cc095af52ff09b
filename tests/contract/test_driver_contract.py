"""The contract of every driver, on the steppable simulator and a virtual clock: what it is, what it tells, what it sends."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from drivers import registry
from drivers.commands import Authorise, ReadTotalizer
from drivers.device import CodeReaderCapabilities, DispenserCapabilities, TankGaugeCapabilities
from drivers.errors import WiringError
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, FuellingPointReading, TotalizerReading
from tests.support.rigs import every
from tests.support.rigs.base import NEEDS_NO_WIRE, Subject, VirtualRig, every_command, p99
from tests.support.rigs.kinds import DispenserSubject, GaugeSubject

KINDS = {
    "dispenser": DispenserCapabilities,
    "tank-gauge": TankGaugeCapabilities,
    "code-reader": CodeReaderCapabilities,
}
VOCABULARY = {
    "sale_memory": {"none", "last", "queue"},
    "memory_ends": {"reset", "next_flow", "ack"},
    "release": {"none", "reset", "ack"},
    "totals": {"none", "volume", "volume+amount"},
    "totals_during_flow": {"yes", "no", "unknown"},
    "power_off": {"kept", "lost", "unknown"},
}


def periods_s(rig: VirtualRig, subject: DispenserSubject, since_s: float) -> list[float]:
    """Times between the polls of point 1."""
    times = [at_s for at_s, data in rig.port.sent if subject.is_poll(data, 1) and at_s >= since_s]
    return [b - a for a, b in itertools.pairwise(times)]


def test_every_registered_driver_is_covered_by_this_suite() -> None:
    """A driver that nobody added to the suite is no driver yet."""
    assert [subject.protocol for subject in every.built_in()] == sorted(registry.BUILT_IN)
    assert all(subject.wires for subject in every.built_in())


def test_a_registered_driver_without_a_rig_is_an_error() -> None:
    """It names the file that is missing."""
    with pytest.raises(LookupError, match=r"tests/support/rigs/no_such_thing\.py"):
        every.subject("no-such-thing")


def test_the_driver_says_what_it_is(subject: Subject) -> None:
    """Name, kind, capabilities and the devices it makes agree; making them needs no port."""
    spec = subject.spec
    assert spec.protocol == subject.protocol
    assert type(spec.capabilities) is KINDS[spec.kind]
    devices = spec.make_devices(subject.line_config("/nonexistent/port"))
    assert len({device.device_id for device in devices}) == len(devices) > 0
    prefix = {"dispenser": "point:", "tank-gauge": "gauge:", "code-reader": "reader:"}[spec.kind]
    assert all(device.device_id.startswith(prefix) for device in devices)
    if isinstance(spec.capabilities, DispenserCapabilities):
        for field, words in VOCABULARY.items():
            assert getattr(spec.capabilities, field) in words
    if isinstance(spec.capabilities, TankGaugeCapabilities):
        assert spec.capabilities.reads_only is True


def test_options_are_checked_all_at_once_and_with_a_hint(subject: Subject) -> None:
    """What it cannot do without is right alone; every unknown one is reported, each with what to write instead."""
    spec = subject.spec
    assert spec.check_options(subject.options) == []
    problems = spec.check_options({**subject.options, "no_such_option": 1, "nor_this_one": "x"})
    assert [key for key, _, _ in problems] == ["no_such_option", "nor_this_one"]
    assert all(problem and hint for _, problem, hint in problems)
    config = subject.line_config()
    wrong = dataclasses.replace(config, options={"no_such_option": 1})
    with pytest.raises(WiringError, match="no_such_option"):
        registry.make_line(wrong)


def test_a_device_says_online_once_and_then_nothing_more(subject: Subject) -> None:
    """Three undisturbed minutes: one status per device and one of the line."""
    rig = VirtualRig(subject)
    rig.turns(180)
    told = [status.device for status in rig.of(DeviceStatus) if status.online]
    assert sorted(told) == sorted([rig.line.device_id, *rig.devices])
    assert all(status.online for status in rig.of(DeviceStatus))


@pytest.mark.proves("silence")
@pytest.mark.parametrize("trouble", ["silence", "babble"])
def test_a_device_in_trouble_is_told_once_when_it_goes_and_once_when_it_returns(talker: Subject, trouble: str) -> None:
    """Offline names a reason and what to do; the return is a gap, because readings were missed."""
    rig = VirtualRig(talker)
    rig.online()
    device = talker.silence(rig) if trouble == "silence" else talker.babble(rig)
    rig.until(lambda: rig.status(device) is False, 120)
    rig.turns(30)
    talker.recover(rig)
    rig.until(lambda: rig.status(device) is True, 120)
    rig.turns(30)
    assert [status.online for status in rig.statuses(device)] == [True, False, True]
    offline, back = rig.statuses(device)[1:]
    assert offline.reason
    assert offline.hint
    assert offline.gap
    assert back.gap
    for other in rig.devices[:-1]:
        assert [status.online for status in rig.statuses(other)] == [True]


def test_every_command_ends_exactly_once(subject: Subject) -> None:
    """All kinds of command at once: each has one end, whatever the device thinks of it."""
    rig = VirtualRig(subject)
    rig.online()
    commands = every_command()
    for command in commands:
        rig.line.devices[0].submit(command)
    rig.until(lambda: all(rig.finals(command.command_id) for command in commands), 120)
    rig.turns(20)
    ends = {command.command_id: rig.finals(command.command_id) for command in commands}
    assert {name: len(found) for name, found in ends.items()} == dict.fromkeys(ends, 1)


def test_a_command_for_nobody_on_the_line_is_an_error_at_once(subject: Subject) -> None:
    """The caller hears of it, and nothing is queued."""
    rig = VirtualRig(subject)
    rig.online()
    with pytest.raises(WiringError) as caught:
        rig.line.submit(Authorise("lost", 77))
    assert caught.value.hint
    rig.turns(5)
    assert rig.finals("lost") == []


def test_commands_waiting_when_the_port_is_lost_end_as_unknown(subject: Subject) -> None:
    """Nobody knows how far they got, so nobody may claim anything; none is sent later."""
    rig = VirtualRig(subject)
    rig.online()
    rig.turns(3)
    commands = [command for command in every_command() if not isinstance(command, NEEDS_NO_WIRE)]
    for command in commands:
        rig.line.devices[0].submit(command)
    rig.port.gone = True
    rig.until(lambda: all(rig.finals(command.command_id) for command in commands), 10)
    ends = {rig.finals(command.command_id)[0] for command in commands}
    if isinstance(subject, DispenserSubject):
        reads = [rig.finals(name)[0] for name in ("total", "held", "sale")]
        assert set(reads) == {CommandOutcome.UNKNOWN}
    assert CommandOutcome.APPLIED not in ends  # a device that takes no commands may refuse them without its wire
    sent_before = subject.heard(rig)
    rig.port.gone = False
    rig.online()
    rig.turns(10)
    assert set(subject.heard(rig)[len(sent_before) :]) <= subject.changes_nothing


def test_what_is_queued_at_a_reset_is_unknown(subject: Subject) -> None:
    """The line resets a device when its port is opened or lost: what waits there was never sent, and ends."""
    (device, *_) = subject.spec.make_devices(subject.line_config())
    commands = every_command()
    for command in commands:
        device.submit(command)
    ends = [reading for reading in device.reset() if isinstance(reading, CommandResult)]
    assert {end.command_id for end in ends} == {command.command_id for command in commands}
    assert {end.outcome for end in ends} == {CommandOutcome.UNKNOWN}
    assert len(ends) == len(commands)
    assert [reading for reading in device.reset() if isinstance(reading, CommandResult)] == []


@pytest.mark.parametrize("trouble", ["silence", "babble"])
def test_a_device_in_trouble_costs_only_its_own_turns(dispenser: DispenserSubject, trouble: str) -> None:
    """One of eight: the others' poll period grows by a fifth at the most (99th percentile), once it is known."""
    rig = VirtualRig(dispenser, points=8)
    rig.online()
    began_s = rig.now_s()
    rig.turns(30)
    before = p99(periods_s(rig, dispenser, began_s))
    device = dispenser.silence(rig) if trouble == "silence" else dispenser.babble(rig)
    rig.until(lambda: rig.status(device) is False)
    began_s = rig.now_s()
    rig.turns(60)
    assert p99(periods_s(rig, dispenser, began_s)) <= 1.2 * before


def test_a_device_with_a_wire_of_its_own_never_holds_a_turn_for_long(alone: Subject) -> None:
    """Silent, babbling or well: the thread of the line comes back to say that it is alive within the watchdog's time."""
    rig = VirtualRig(alone)
    rig.online()
    longest = 0.0
    for trouble in (alone.recover, alone.silence, alone.babble):
        alone.recover(rig)
        trouble(rig)
        end_s = rig.now_s() + 120
        while rig.now_s() < end_s:
            began_s = rig.now_s()
            rig.turn()
            longest = max(longest, rig.now_s() - began_s)
    assert longest <= alone.longest_turn_s


@pytest.mark.parametrize("control", [True, False], ids=["auto", "monitor"])
def test_until_somebody_commands_it_a_driver_only_reads(subject: Subject, control: bool) -> None:
    """A minute of start-up with nozzles lifted and hung: no RESET, no AUTHORIZE, no prices, no SET."""
    rig = VirtualRig(subject, control=control)
    rig.online()
    if isinstance(subject, DispenserSubject):
        subject.head(rig, 1).lift(subject.nozzle(2))
        rig.turns(5)
        subject.head(rig, 1).hang_up()
    rig.turns(60)
    assert set(subject.heard(rig)) <= subject.changes_nothing
    if not subject.asks:
        assert rig.port.sent == []


def test_in_mode_monitor_no_command_changes_the_device(dispenser: DispenserSubject) -> None:
    """Whatever is asked, a watched pump hears questions only (and STOP, which is always allowed)."""
    rig = VirtualRig(dispenser, control=False)
    rig.online()
    for command in every_command():
        rig.line.devices[0].submit(command)
    rig.until(lambda: all(rig.finals(command.command_id) for command in every_command()), 120)
    assert set(dispenser.heard(rig)) <= dispenser.changes_nothing | {"STOP"}
    for refused in ("authorise", "prices"):
        assert rig.finals(refused) == [CommandOutcome.REFUSED]


def test_a_gauge_is_never_told_anything(gauge: GaugeSubject) -> None:
    """Two hours with every command there is, one of them real: the console hears inquiries only."""
    rig = VirtualRig(gauge)
    rig.online()
    for command in every_command():
        rig.line.devices[0].submit(command)
    rig.turns(7_200)
    assert rig.finals("units") == [CommandOutcome.APPLIED if gauge.confirms_units else CommandOutcome.REFUSED]
    assert rig.finals("prices") == rig.finals("authorise") == [CommandOutcome.REFUSED]
    assert set() < set(gauge.heard(rig)) <= gauge.changes_nothing


def restart(rig: VirtualRig) -> None:
    """The device loses its power for a moment."""
    if isinstance(rig.subject, DispenserSubject):
        rig.subject.head(rig, 1).restart()
        return
    rig.port.gone = True
    rig.until(lambda: rig.status(rig.devices[0]) is False)
    rig.port.gone = False


def test_a_restart_of_the_device_is_told_as_a_gap(subject: Subject) -> None:
    """A dispenser counts it in its level; for the others the return says that readings may be missing."""
    rig = VirtualRig(subject)
    rig.online()
    rig.turns(5)
    restart(rig)
    if isinstance(subject, DispenserSubject):
        levels = [level for level in rig.of(FuellingPointReading) if level.fuelling_point == 1]
        rig.until(lambda: rig.of(FuellingPointReading)[-1].restarts > levels[-1].restarts)
        others = [level for level in rig.of(FuellingPointReading) if level.fuelling_point != 1]
        assert {level.restarts for level in others} == {0}
    else:
        rig.until(lambda: rig.status(rig.devices[0]) is True)
        assert rig.statuses(rig.devices[0])[-1].gap


def test_levels_are_repeated_at_least_every_two_seconds(dispenser: DispenserSubject) -> None:
    """A minute in which nothing happens, and one point of the line dead for the second half."""
    rig = VirtualRig(dispenser)
    rig.online()
    rig.turns(30)
    dispenser.silence(rig)
    rig.turns(30)
    for number in (1, 2, 3):
        times = [at_s for at_s, r in rig.seen if isinstance(r, FuellingPointReading) and r.fuelling_point == number]
        assert max(b - a for a, b in itertools.pairwise([*times, rig.now_s()])) <= 2.0


def test_totals_are_told_raw_with_unit_and_modulus(dispenser: DispenserSubject) -> None:
    """The declared totals are those of the meter; a nozzle that does not exist ends without a reading."""
    rig = VirtualRig(dispenser)
    rig.online()
    nozzle = dispenser.nozzle(2)
    assert rig.run(ReadTotalizer("t", 1, nozzle)) is CommandOutcome.APPLIED
    reading = next(reading for reading in rig.of(TotalizerReading) if reading.nozzle == nozzle)
    assert reading.raw == dispenser.totals(rig, 1)[nozzle]
    assert (reading.unit_ml, reading.modulus) == (dispenser.totals_unit_ml, dispenser.totals_modulus)
    assert rig.run(ReadTotalizer("none", 1, 9)) is CommandOutcome.UNKNOWN
