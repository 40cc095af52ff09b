"""Works point 1 of a dispenser on a virtual wire as the agent and a customer do: release, fuel, hang up, read.

Knows no protocol and no test.
"""

from __future__ import annotations

import itertools
from typing import Any

from drivers.commands import Acknowledge, Authorise, ReadHeldSale, ReadSale
from drivers.readings import CommandOutcome, CompletedSale, FuellingPointReading, HeldSale, PointState
from tests.support.rigs.base import VirtualRig
from tests.support.rigs.kinds import DispenserSubject

PORTIONS = 4
RELEASED = {PointState.AUTHORISED, PointState.STARTED}
TRIES = 40
"""How often a patient attendant commands again on a bad wire."""


class Attendant:
    """``rig`` may be a new driver at the same pumps: after a crash."""

    def __init__(self, dispenser: DispenserSubject, rig: VirtualRig | None = None) -> None:
        self.subject = dispenser
        self.rig = VirtualRig(dispenser) if rig is None else rig
        self.rig.online()
        self.head = dispenser.head(self.rig, 1)
        self._names = itertools.count(len(self.rig.seen))  # not those of an attendant before

    def name(self) -> str:
        """A command id that was not used."""
        return f"c{next(self._names)}"

    def level(self) -> FuellingPointReading:
        """The newest level of the point."""
        return [r for r in self.rig.of(FuellingPointReading) if r.fuelling_point == 1][-1]

    def account(self) -> CommandOutcome:
        """What is held is accounted for, as after a commit; a queue sale by sale until it is empty."""
        while True:
            before = len(self.rig.of(HeldSale))
            if self.rig.run(ReadHeldSale(self.name(), 1)) is not CommandOutcome.APPLIED:
                return CommandOutcome.UNKNOWN
            held = self.rig.of(HeldSale)[before:]
            ended = self.rig.run(Acknowledge(self.name(), 1, held[0].token if held else ""))
            more = held and self.subject.capabilities.sale_memory == "queue"
            if ended is not CommandOutcome.APPLIED or not more:
                return ended

    def release(self, nozzle: int) -> None:
        """Account for what is held, lift, authorise."""
        assert self.account() is CommandOutcome.APPLIED
        self.lift(nozzle)
        assert self.rig.run(Authorise(self.name(), 1, (nozzle,))) is CommandOutcome.APPLIED

    def lift(self, nozzle: int) -> None:
        """The nozzle is taken, and the driver has told it."""
        self.head.lift(nozzle)
        self.rig.until(lambda: self.level().nozzle_out is True)

    def fuel(self, units: int, pause_s: float = 0.7) -> None:
        """Fuel ``units`` of 10 ml in portions, with turns between."""
        for _ in range(PORTIONS):
            self.head.deliver(units // PORTIONS)
            self.rig.turns(pause_s)

    def hang_up(self) -> None:
        """The nozzle goes back, and the driver has told it."""
        self.head.hang_up()
        self.rig.until(lambda: self.level().nozzle_out is False and self.level().state is PointState.IDLE)

    def read(self) -> CompletedSale:
        """The bundle of all nozzles."""
        assert self.rig.run(ReadSale(self.name(), 1, self.subject.nozzles)) is CommandOutcome.APPLIED
        return self.rig.of(CompletedSale)[-1]

    def sale(self) -> dict[str, Any]:
        """The newest sale as it really was."""
        return self.subject.sales(self.rig)[-1]

    def patiently(self, nozzle: int) -> bool:
        """As ``release`` on a bad wire: once more whenever it is not sure; returns whether the pump was released."""
        for _ in range(TRIES):
            if self.account() is CommandOutcome.APPLIED:
                break
        self.head.lift(nozzle)
        for _ in range(TRIES):
            self.rig.turns(1)
            if self.level().state in RELEASED:
                return True
            self.rig.run(Authorise(self.name(), 1, (nozzle,)))
        return False


def is_the_truth(attendant: Attendant, bundle: CompletedSale) -> None:
    """The bundle is the newest sale and the meters as they are, nothing left out."""
    truth = attendant.sale()
    totals = attendant.subject.totals(attendant.rig, 1)
    assert {reading.nozzle: reading.raw for reading in bundle.after} == totals
    assert bundle.before == bundle.after
    assert bundle.held is not None
    assert (bundle.held.volume_ml, bundle.held.amount_minor) == (truth["volume_ml"], truth["amount_minor"])
