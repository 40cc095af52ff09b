"""The contract of every driver, on the steppable simulator and a virtual clock: what it is, what it tells, what it sends."""

from __future__ import annotations

import itertools

import pytest

from drivers import registry
from drivers.commands import Authorise, ReadTotalizer
from drivers.config import LineConfig
from drivers.device import CodeReaderCapabilities, DispenserCapabilities, TankGaugeCapabilities
from drivers.errors import WiringError
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, FuellingPointReading, TotalizerReading
from tests.support.driver_rig import NEEDS_NO_WIRE, PROTOCOLS, WIRES, VirtualRig, every_command, line_config

DISPENSERS = [name for name in PROTOCOLS if registry.spec(name).kind == "dispenser"]
CHANGES_NOTHING = {"RETURN_STATUS", "RETURN_PARAMETERS", "RETURN_IDENTITY", "RETURN_FILLING_INFO", "RETURN_PRICES"}
CHANGES_NOTHING |= {"TOTALS", "TOTALS_AMOUNT_S4", "INQUIRY"}
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


def periods_s(rig: VirtualRig, address: int, since_s: float) -> list[float]:
    """Times between polls of one DART address."""
    poll = bytes((address, 0x20, 0xFA))
    times = [at_s for at_s, data in rig.port.sent if data == poll and at_s >= since_s]
    return sorted(b - a for a, b in itertools.pairwise(times))


def p99(values: list[float]) -> float:
    """The 99th percentile of sorted values."""
    return values[int(len(values) * 0.99)]


def test_every_registered_driver_is_covered_by_this_suite() -> None:
    """A driver that nobody added to the suite is no driver yet."""
    assert registry.protocols() == sorted(PROTOCOLS)
    assert set(WIRES.values()) == set(PROTOCOLS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_driver_says_what_it_is(protocol: str) -> None:
    """Name, kind, capabilities and the devices it makes agree; making them needs no port."""
    spec = registry.spec(protocol)
    assert spec.protocol == protocol
    assert type(spec.capabilities) is KINDS[spec.kind]
    devices = spec.make_devices(line_config(protocol, "/nonexistent/port"))
    assert len({device.device_id for device in devices}) == len(devices) > 0
    prefix = {"dispenser": "point:", "tank-gauge": "gauge:", "code-reader": "reader:"}[spec.kind]
    assert all(device.device_id.startswith(prefix) for device in devices)
    if isinstance(spec.capabilities, DispenserCapabilities):
        for field, words in VOCABULARY.items():
            assert getattr(spec.capabilities, field) in words
    if isinstance(spec.capabilities, TankGaugeCapabilities):
        assert spec.capabilities.reads_only is True


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_options_are_checked_all_at_once_and_with_a_hint(protocol: str) -> None:
    """No options are right; every unknown one is reported, each with what to write instead."""
    spec = registry.spec(protocol)
    assert spec.check_options({}) == []
    problems = spec.check_options({"no_such_option": 1, "nor_this_one": "x"})
    assert [key for key, _, _ in problems] == ["no_such_option", "nor_this_one"]
    assert all(problem and hint for _, problem, hint in problems)
    config = line_config(protocol)
    wrong = LineConfig(config.id, config.port, protocol, options={"no_such_option": 1}, points=config.points)
    with pytest.raises(WiringError, match="no_such_option"):
        registry.make_line(wrong)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_device_says_online_once_and_then_nothing_more(protocol: str) -> None:
    """Three undisturbed minutes: one status per device and one of the line."""
    rig = VirtualRig(protocol)
    rig.turns(180)
    told = [status.device for status in rig.of(DeviceStatus) if status.online]
    assert sorted(told) == sorted([rig.line.device_id, *rig.devices])
    assert all(status.online for status in rig.of(DeviceStatus))


@pytest.mark.parametrize("trouble", ["silence", "babble"])
@pytest.mark.parametrize("protocol", [p for p in PROTOCOLS if p != "serial-scanner"])
def test_a_device_in_trouble_is_told_once_when_it_goes_and_once_when_it_returns(protocol: str, trouble: str) -> None:
    """Offline names a reason and what to do; the return is a gap, because readings were missed."""
    rig = VirtualRig(protocol)
    rig.online()
    device = rig.silence() if trouble == "silence" else rig.babble()
    rig.until(lambda: rig.status(device) is False, 120)
    rig.turns(30)
    rig.recover()
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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_command_ends_exactly_once(protocol: str) -> None:
    """All kinds of command at once: each has one end, whatever the device thinks of it."""
    rig = VirtualRig(protocol)
    rig.online()
    commands = every_command()
    for command in commands:
        rig.line.devices[0].submit(command)
    rig.until(lambda: all(rig.finals(command.command_id) for command in commands), 120)
    rig.turns(20)
    ends = {command.command_id: rig.finals(command.command_id) for command in commands}
    assert {name: len(found) for name, found in ends.items()} == dict.fromkeys(ends, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_command_for_nobody_on_the_line_is_an_error_at_once(protocol: str) -> None:
    """The caller hears of it, and nothing is queued."""
    rig = VirtualRig(protocol)
    rig.online()
    with pytest.raises(WiringError) as caught:
        rig.line.submit(Authorise("lost", 77))
    assert caught.value.hint
    rig.turns(5)
    assert rig.finals("lost") == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_commands_waiting_when_the_port_is_lost_end_as_unknown(protocol: str) -> None:
    """Nobody knows how far they got, so nobody may claim anything; none is sent later."""
    rig = VirtualRig(protocol)
    rig.online()
    rig.turns(3)
    commands = [command for command in every_command() if not isinstance(command, NEEDS_NO_WIRE)]
    for command in commands:
        rig.line.devices[0].submit(command)
    rig.port.gone = True
    rig.until(lambda: all(rig.finals(command.command_id) for command in commands), 10)
    ends = {rig.finals(command.command_id)[0] for command in commands}
    if protocol in DISPENSERS:
        reads = [rig.finals(name)[0] for name in ("total", "held", "sale")]
        assert set(reads) == {CommandOutcome.UNKNOWN}
    assert CommandOutcome.APPLIED not in ends  # a device that takes no commands may refuse them without its wire
    sent_before = rig.forecourt.log.names()
    rig.port.gone = False
    rig.online()
    rig.turns(10)
    assert set(rig.forecourt.log.names()[len(sent_before) :]) <= CHANGES_NOTHING


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_queued_at_a_reset_is_unknown(protocol: str) -> None:
    """The line resets a device when its port is opened or lost: what waits there was never sent, and ends."""
    (device, *_) = registry.spec(protocol).make_devices(line_config(protocol))
    commands = every_command()
    for command in commands:
        device.submit(command)
    ends = [reading for reading in device.reset() if isinstance(reading, CommandResult)]
    assert {end.command_id for end in ends} == {command.command_id for command in commands}
    assert {end.outcome for end in ends} == {CommandOutcome.UNKNOWN}
    assert len(ends) == len(commands)
    assert [reading for reading in device.reset() if isinstance(reading, CommandResult)] == []


@pytest.mark.parametrize("trouble", ["silence", "babble"])
@pytest.mark.parametrize("protocol", DISPENSERS)
def test_a_device_in_trouble_costs_only_its_own_turns(protocol: str, trouble: str) -> None:
    """The others' poll period grows by a fifth at the most (99th percentile), once the dead one is known."""
    rig = VirtualRig(protocol)
    rig.online()
    began_s = rig.now_s()
    rig.turns(60)
    before = p99(periods_s(rig, 0x50, began_s))
    device = rig.silence() if trouble == "silence" else rig.babble()
    rig.until(lambda: rig.status(device) is False)
    began_s = rig.now_s()
    rig.turns(120)
    assert p99(periods_s(rig, 0x50, began_s)) <= 1.2 * before


@pytest.mark.parametrize("protocol", [p for p in PROTOCOLS if p not in DISPENSERS])
def test_a_device_with_a_wire_of_its_own_never_holds_a_turn_for_long(protocol: str) -> None:
    """Silent, babbling or well: the thread of the line comes back to say that it is alive within the watchdog's time."""
    rig = VirtualRig(protocol)
    rig.online()
    longest = 0.0
    for trouble in (lambda: None, rig.silence, rig.babble):
        rig.recover()
        trouble()
        end_s = rig.now_s() + 120
        while rig.now_s() < end_s:
            began_s = rig.now_s()
            rig.turn()
            longest = max(longest, rig.now_s() - began_s)
    assert longest <= 12.0


@pytest.mark.parametrize("control", [True, False], ids=["auto", "monitor"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_until_somebody_commands_it_a_driver_only_reads(protocol: str, control: bool) -> None:
    """A minute of start-up with nozzles lifted and hung: no RESET, no AUTHORIZE, no prices, no SET."""
    rig = VirtualRig(protocol, control=control)
    rig.online()
    if protocol in DISPENSERS:
        rig.forecourt.world.heads[1].lift(2)
        rig.turns(5)
        rig.forecourt.world.heads[1].hang_up()
    rig.turns(60)
    assert set(rig.forecourt.log.names()) <= CHANGES_NOTHING
    if protocol == "serial-scanner":
        assert rig.port.sent == []


@pytest.mark.parametrize("protocol", DISPENSERS)
def test_in_mode_monitor_no_command_changes_the_device(protocol: str) -> None:
    """Whatever is asked, a watched pump hears questions only (and STOP, which is always allowed)."""
    rig = VirtualRig(protocol, control=False)
    rig.online()
    for command in every_command():
        rig.line.devices[0].submit(command)
    rig.until(lambda: all(rig.finals(command.command_id) for command in every_command()), 120)
    assert set(rig.forecourt.log.names()) <= CHANGES_NOTHING | {"STOP"}
    for refused in ("authorise", "prices"):
        assert rig.finals(refused) == [CommandOutcome.REFUSED]


@pytest.mark.parametrize("protocol", [p for p in PROTOCOLS if registry.spec(p).kind == "tank-gauge"])
def test_a_gauge_is_never_told_anything(protocol: str) -> None:
    """Two hours with every command there is, one of them real: the console hears inquiries only."""
    rig = VirtualRig(protocol)
    rig.online()
    for command in every_command():
        rig.line.devices[0].submit(command)
    rig.turns(7_200)
    assert rig.finals("units") == [CommandOutcome.APPLIED]
    assert rig.finals("prices") == rig.finals("authorise") == [CommandOutcome.REFUSED]
    assert {entry.name for entry in rig.forecourt.log.entries} == {"INQUIRY"}


def restart(rig: VirtualRig) -> None:
    """The device loses its power for a moment."""
    if rig.protocol in DISPENSERS:
        rig.forecourt.world.heads[1].restart()
        return
    rig.port.gone = True
    rig.until(lambda: rig.status(rig.devices[0]) is False)
    rig.port.gone = False


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_restart_of_the_device_is_told_as_a_gap(protocol: str) -> None:
    """A dispenser counts it in its level; for the others the return says that readings may be missing."""
    rig = VirtualRig(protocol)
    rig.online()
    rig.turns(5)
    restart(rig)
    if protocol in DISPENSERS:
        levels = [level for level in rig.of(FuellingPointReading) if level.fuelling_point == 1]
        rig.until(lambda: rig.of(FuellingPointReading)[-1].restarts > levels[-1].restarts)
        others = [level for level in rig.of(FuellingPointReading) if level.fuelling_point != 1]
        assert {level.restarts for level in others} == {0}
    else:
        rig.until(lambda: rig.status(rig.devices[0]) is True)
        assert rig.statuses(rig.devices[0])[-1].gap


@pytest.mark.parametrize("protocol", DISPENSERS)
def test_levels_are_repeated_at_least_every_two_seconds(protocol: str) -> None:
    """A minute in which nothing happens, and one point of the line dead for the second half."""
    rig = VirtualRig(protocol)
    rig.online()
    rig.turns(30)
    rig.silence()
    rig.turns(30)
    for number in (1, 2, 3):
        times = [at_s for at_s, r in rig.seen if isinstance(r, FuellingPointReading) and r.fuelling_point == number]
        assert max(b - a for a, b in itertools.pairwise([*times, rig.now_s()])) <= 2.0


@pytest.mark.parametrize("protocol", DISPENSERS)
def test_totals_are_told_raw_with_unit_and_modulus(protocol: str) -> None:
    """The declared totals are those of the meter; a nozzle that does not exist ends without a reading."""
    rig = VirtualRig(protocol)
    rig.online()
    assert rig.run(ReadTotalizer("t", 1, 2)) is CommandOutcome.APPLIED
    (reading,) = rig.of(TotalizerReading)
    assert reading.raw == rig.forecourt.world.heads[1].totals[2]
    assert (reading.unit_ml, reading.modulus) == (10, 10**10)
    assert rig.run(ReadTotalizer("none", 1, 9)) is CommandOutcome.UNKNOWN
