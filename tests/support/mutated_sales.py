"""A whole sale on a wire that damages frames of both ends: what the driver tells must be what happened, or nothing.

Knows no protocol.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass

from drivers.commands import ReadSale
from drivers.readings import CompletedSale, PointState
from tests.support import bad_wires
from tests.support.rigs.attendant import Attendant, is_the_truth
from tests.support.rigs.kinds import DispenserSubject

READINGS = 6
MEND_S = 120


@dataclass(frozen=True, slots=True)
class Told:
    """Bundles that came out while the wire was bad, how many of them are torn (totals that moved between two readings: the
    agent reads again and books nothing), those that would be booked and are not what happened, and whether fuel flowed.
    """

    bundles: int
    torn: int
    wrong: tuple[CompletedSale, ...]
    released: bool


def sale_on_a_damaging_wire(dispenser: DispenserSubject, seed: int) -> Told:
    """Released, fuelled, hung up and read again and again; on the mended wire the truth is read, or an assertion fails."""
    attendant = Attendant(dispenser)
    rig = attendant.rig
    rng = random.Random(seed)
    rig.port.through = functools.partial(bad_wires.mutants, rng)
    rig.port.peer = lambda data: rig.answer(bad_wires.misheard(rng, data))
    released = attendant.patiently(dispenser.nozzle(2))
    attendant.fuel(2_000)
    attendant.head.hang_up()
    rig.turns(5)
    began = len(rig.of(CompletedSale))
    for _ in range(READINGS):
        rig.run(ReadSale(attendant.name(), 1, dispenser.nozzles))
    rig.port.through, rig.port.peer = None, rig.answer
    rig.online(MEND_S)
    rig.turns(5)
    bundles = rig.of(CompletedSale)[began:]
    at_rest = attendant.level().state is PointState.IDLE  # a request without a check, misheard, can release a pump
    if released and at_rest:
        is_the_truth(attendant, attendant.read())
    whole = [bundle for bundle in bundles if bundle.before == bundle.after]
    wrong = tuple(bundle for bundle in whole if not _is_true(attendant, bundle, sold=released))
    return Told(len(bundles), len(bundles) - len(whole), wrong, released)


def _is_true(attendant: Attendant, bundle: CompletedSale, *, sold: bool) -> bool:
    """Nothing in the bundle is false; parts may be missing."""
    totals = attendant.subject.totals(attendant.rig, 1)
    if any(reading.raw != totals[reading.nozzle] for reading in (*bundle.before, *bundle.after)):
        return False
    if bundle.held is None or not sold:
        return True
    truth = attendant.sale()
    return bundle.held.volume_ml in {None, truth["volume_ml"]} and bundle.held.amount_minor in {
        None,
        truth["amount_minor"],
    }
