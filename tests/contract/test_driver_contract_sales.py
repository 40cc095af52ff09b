"""The contract of every dispenser about a whole fuelling: levels while it runs, and one bundle that is exactly the truth."""

from __future__ import annotations

import itertools

import pytest

from drivers.commands import Acknowledge, Authorise, Preset, Resume, SetPrices, Stop, Suspend
from drivers.readings import CommandOutcome, FuellingPointReading, PointState
from tests.support.rigs.attendant import Attendant
from tests.support.rigs.kinds import DispenserSubject

FAULTS = ["", "lost-reply", "lost-ack", "bad-crc", "late-answer", "half-frames", "wrong-address", "slow-device"]
FAULTS += ["duplicate-address"]
LASTING = {"slow-device", "duplicate-address"}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_bundle_of_a_fuelling_is_exactly_the_truth(dispenser: DispenserSubject, fault: str) -> None:
    """Totals, held sale, totals again, on a good wire and on bad ones: nothing torn, nothing guessed."""
    attendant = Attendant(dispenser)
    attendant.release(dispenser.nozzle(2))
    if fault in dispenser.faults:
        dispenser.inject(attendant.rig, fault, 1, None if fault in LASTING else 6)
    attendant.fuel(2_000)
    attendant.hang_up()
    bundle, truth = attendant.read(), attendant.sale()
    totals = dispenser.totals(attendant.rig, 1)
    assert [(reading.nozzle, reading.raw) for reading in bundle.before] == sorted(totals.items())
    assert bundle.after == bundle.before
    assert bundle.held is not None
    assert (bundle.held.volume_ml, bundle.held.amount_minor) == (truth["volume_ml"], truth["amount_minor"])
    assert bundle.held.nozzle == truth["nozzle"] == dispenser.nozzle(2)
    assert totals[dispenser.nozzle(2)] == truth["totalizer_end"] % dispenser.totals_modulus
    assert truth["volume_ml"] == 20_000


def test_three_fuellings_in_a_row_are_three_different_bundles(dispenser: DispenserSubject) -> None:
    """Each token is new, each total grows by exactly what the display told."""
    attendant = Attendant(dispenser)
    start = attendant.read()
    bundles = []
    for units in (400, 1_200, 2_800):
        attendant.release(dispenser.nozzle(1))
        attendant.fuel(units)
        attendant.hang_up()
        bundles.append(attendant.read())
    raw = [bundle.after[0].raw for bundle in [start, *bundles]]
    held = [bundle.held.volume_ml for bundle in bundles if bundle.held is not None]
    assert [dispenser.totals_unit_ml * (b - a) for a, b in itertools.pairwise(raw)] == held == [4_000, 12_000, 28_000]
    assert len({bundle.held.token for bundle in bundles if bundle.held is not None}) == 3


def test_levels_follow_a_fuelling(dispenser: DispenserSubject) -> None:
    """Calling, authorised, fuelling with a rising display, then at rest with the final values still shown."""
    attendant = Attendant(dispenser)
    attendant.release(dispenser.nozzle(3))
    attendant.fuel(1_000)
    attendant.hang_up()
    levels = [r for r in attendant.rig.of(FuellingPointReading) if r.fuelling_point == 1]
    states = [state for state, _ in itertools.groupby(level.state for level in levels)]
    assert PointState.CALLING in states
    states = [state for state in states if state is not PointState.SUSPENDED_FUELLING]  # until it is sure that it ended
    assert states[-2:] == [PointState.FUELLING, PointState.IDLE]
    flowing = [level.volume_ml or 0 for level in levels if level.state is PointState.FUELLING]
    assert flowing == sorted(flowing)
    assert len(set(flowing)) >= 3
    assert (levels[-1].volume_ml, levels[-1].amount_minor) == (10_000, attendant.sale()["amount_minor"])


def test_what_the_capabilities_promise_works(dispenser: DispenserSubject) -> None:
    """Prices, presets and STOP are declared, so they do what they say."""
    promised = dispenser.capabilities
    attendant = Attendant(dispenser)
    rig, head = attendant.rig, attendant.head
    before = tuple(head.prices.items())
    prices = tuple((nozzle, 8_010 + 10 * nozzle) for nozzle in dispenser.nozzles)
    assert (rig.run(SetPrices("p", 1, prices)) is CommandOutcome.APPLIED) is promised.sets_prices
    assert tuple(head.prices.items()) == (prices if promised.sets_prices else before)
    presets = rig.run(Preset("ten litres", 1, volume_ml=10_000)) is CommandOutcome.APPLIED
    assert presets is ("volume" in promised.presets)
    attendant.release(dispenser.nozzle(1))
    attendant.fuel(4_000)
    attendant.hang_up()
    assert attendant.sale()["volume_ml"] == (10_000 if presets else 40_000)
    attendant.release(dispenser.nozzle(1))
    head.deliver(300)
    assert (rig.run(Stop("stop", 1)) is CommandOutcome.APPLIED) is promised.stops
    assert head.deliver(300) == 0


def test_suspend_and_resume_do_what_is_promised_or_are_refused(dispenser: DispenserSubject) -> None:
    """A device that cannot halt goes on; one that can halts, and goes on only when it is told to."""
    attendant = Attendant(dispenser)
    halts = dispenser.capabilities.suspends
    expected = CommandOutcome.APPLIED if halts else CommandOutcome.REFUSED
    attendant.release(dispenser.nozzle(1))
    assert attendant.head.deliver(300) == 300
    attendant.rig.turns(1)
    assert attendant.rig.run(Suspend("halt", 1)) is expected
    assert attendant.head.deliver(300) == (0 if halts else 300)
    assert attendant.rig.run(Resume("go on", 1)) is expected
    assert attendant.head.deliver(300) == 300
    attendant.hang_up()
    attendant.read()
    assert attendant.sale()["volume_ml"] == (6_000 if halts else 9_000)


def forgotten(attendant: Attendant) -> int:
    """How often point 1 was told to forget."""
    return sum(name in attendant.subject.forgets for name in attendant.subject.heard(attendant.rig, 1))


def test_a_device_is_not_told_to_forget_before_it_is_acknowledged(dispenser: DispenserSubject) -> None:
    """Authorise without Acknowledge is refused and nothing is sent; with a stranger's token too."""
    if not dispenser.forgets:
        assert dispenser.capabilities.release == "none"
        return
    attendant = Attendant(dispenser)
    attendant.release(dispenser.nozzle(1))
    attendant.fuel(800)
    attendant.hang_up()
    attendant.head.lift(1)
    attendant.rig.until(lambda: attendant.level().nozzle_out is True)
    told = forgotten(attendant)
    assert attendant.rig.run(Acknowledge("wrong", 1, "not its token")) is CommandOutcome.REFUSED
    assert attendant.rig.run(Authorise("early", 1, (1,))) is CommandOutcome.REFUSED
    assert forgotten(attendant) == told
    assert attendant.head.volume == 800
