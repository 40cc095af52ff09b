"""The contract of every driver on bad wires: nothing wrong is told while they are bad, and all is well when they are mended."""

from __future__ import annotations

import functools
import random

import pytest

from drivers.commands import ReadSale
from tests.support import bad_wires
from tests.support.bad_wires import BadWire
from tests.support.mutated_sales import MEND_S, sale_on_a_damaging_wire
from tests.support.rigs.base import Subject, VirtualRig
from tests.support.rigs.kinds import DispenserSubject

pytestmark = pytest.mark.long

BAD_S = 60
BAD_DISPENSER_S = 24  # it is asked many times a second


def spoil(rig: VirtualRig, wire: BadWire, seed: int = 7) -> None:
    """From now on the wire is bad."""
    rig.port.through = functools.partial(wire, random.Random(seed))


def nothing_wrong_is_told(subject: Subject, wire: BadWire) -> None:
    """Everything is read again and again on the bad wire; the wire mended, the truth is read without a restart."""
    rig = VirtualRig(subject)
    rig.online()
    spoil(rig, wire)
    for number in range(3):
        if isinstance(subject, DispenserSubject):
            for point in (1, 2):
                rig.line.submit(ReadSale(f"bad {number} {point}", point, subject.nozzles))
        rig.turns((BAD_DISPENSER_S if isinstance(subject, DispenserSubject) else BAD_S) / 3)
    assert subject.lies(rig) == []
    rig.port.through = None
    rig.until(lambda: all(rig.status(name) is True for name in rig.devices), MEND_S)
    subject.reads_the_truth(rig)
    assert subject.lies(rig) == []


@pytest.mark.proves("noise")
@pytest.mark.parametrize("wire", bad_wires.EVERY, ids=lambda wire: wire.__name__)
def test_nothing_wrong_is_told_on_a_bad_wire(talker: Subject, wire: BadWire) -> None:
    """Noise, half frames, echo, strays, late and dripping answers, two at once: what is told is true, or nothing is."""
    nothing_wrong_is_told(talker, wire)


@pytest.mark.proves("noise")
def test_the_answer_of_another_device_is_never_taken(named: Subject) -> None:
    """A whole frame with a right check in the wrong place: it says whose it is, so it is dropped."""
    nothing_wrong_is_told(named, bad_wires.AnswersOfOthers())


@pytest.mark.proves("noise")
@pytest.mark.parametrize("seed", range(3))
def test_a_sale_on_a_wire_that_damages_frames_is_the_truth_or_not_told(dispenser: DispenserSubject, seed: int) -> None:
    """Released, fuelled and read while one reply in six is damaged: no bundle that comes out says what did not happen."""
    told = sale_on_a_damaging_wire(dispenser, seed)
    assert told.wrong == ()
    assert told.released, "the wire was too bad to prove anything"
    assert told.bundles
