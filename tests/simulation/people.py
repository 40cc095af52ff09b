"""What people and head office do beside the pumps in a day: prices held, money given back, members, shifts, leases.

Whoever gets no answer, because the agent died, asks again with the same request. Knows no fault; judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from agent.domain.instant import Now
from agent.pipeline import leasing
from agent.pipeline.step import Step
from tests.simulation.station import SimStation
from tests.support.head_office_says import member_of

EVERY_SALES = 2
"""Somebody does something after so many sales."""

LEASE_FOR_MS = 4 * 3_600_000
LENT_POINTS = 500

Errand = Callable[[], None]


class People:
    """``act`` does what is due; an errand on which the agent dies is run again when it is back."""

    def __init__(self, seed: int, station: SimStation) -> None:
        self._rng = Random(f"people:{seed}")
        self._station = station
        self._next_at = EVERY_SALES
        self._waiting: list[Errand] = []
        self._held: list[str] = []
        self._lent: list[str] = []
        self._count = 0

    def act(self, sold: int) -> None:
        """Run the errands that wait; after ``EVERY_SALES`` more sales there is a new one. May raise SimulatedCrash."""
        if sold >= self._next_at:
            self._next_at = sold + EVERY_SALES
            self._count += 1
            errands = (self._hold, self._lend, self._give_back, self._enrol, self._hold, self._change_shift)
            self._waiting.append(errands[self._count % len(errands)]())
        while self._waiting:
            self._waiting[0]()
            self._waiting.pop(0)

    def go_home(self) -> None:
        """Closing time: whatever price is still held is settled, as if the customer had paid last."""
        for sale in self._held:
            self._waiting.append(partial(self._settle, sale))
        self._held.clear()

    # --- prices ---------------------------------------------------------------------------------------------------------

    def _hold(self) -> Errand:
        """Hold the price of a sale that waits, or go on with one that is held: settle it, let it go, or forget it."""
        if self._held and self._rng.randrange(3):
            sale = self._held.pop(0)
            return (lambda: self._settle(sale)) if self._rng.randrange(3) else (lambda: self._let_go(sale))
        return self._hold_one

    def _hold_one(self) -> None:
        payable = self._station.rows("SELECT id FROM sale WHERE state = 'Payable' ORDER BY rowid DESC LIMIT 1")
        if payable and self._station.ask("sales.quote", sale=payable[0]["id"], lock=True)["ok"]:
            self._held.append(payable[0]["id"])

    def _settle(self, sale: str) -> None:
        self._station.ask("sales.settle", sale=sale, tenders=[{"kind": "card", "amount_minor": None, "ref": None}])

    def _let_go(self, sale: str) -> None:
        self._station.ask("sales.unlock", sale=sale)

    # --- money given back -----------------------------------------------------------------------------------------------

    def _give_back(self) -> Errand:
        """Give a settled sale back, in parts or as a whole; asked again with the same request it is done once."""
        found = self._station.rows(
            "SELECT s.sale, s.net_minor - sale.refunded_minor AS left_minor FROM settlement s JOIN sale ON sale.id = s.sale"
            " WHERE sale.state = 'Cleared' AND NOT sale.voided AND s.net_minor > sale.refunded_minor ORDER BY sale.rowid"
        )
        if not found:
            return lambda: None
        row = self._rng.choice(found)
        request = f"refund-{self._count}"
        if not self._rng.randrange(4):
            return lambda: self._ask(row["sale"], "sales.void", request)
        amount = self._rng.randint(1, row["left_minor"])
        return lambda: self._ask(row["sale"], "sales.refund", request, amount_minor=amount)

    def _ask(self, sale: str, op: str, request: str, **args: int) -> None:
        self._station.ask(op, sale=sale, reason="customer complained", request=request, **args)

    # --- members and shifts ---------------------------------------------------------------------------------------------

    def _enrol(self) -> Errand:
        """A customer becomes a member with the sale that waits; now and then somebody who is one already."""
        phone = f"138{self._rng.randrange(10**4):08d}"
        payable = self._station.rows("SELECT id FROM sale WHERE state = 'Payable' ORDER BY rowid DESC LIMIT 1")
        sale = payable[0]["id"] if payable and self._rng.randrange(2) else None
        wish = {"phone": phone, "sale": sale, "request": f"enrol-{self._count}"}

        def enrol() -> None:
            self._station.ask("members.enrol", **wish)

        return enrol

    def _change_shift(self) -> Errand:
        """One shift ends and the next begins, while the pumps go on."""
        n = self._count

        def change() -> None:
            self._station.ask("shift.close", request=f"close-{n}")
            self._station.ask("shift.open", request=f"open-{n}")

        return change

    # --- head office lends ----------------------------------------------------------------------------------------------

    def _lend(self) -> Errand:
        """Head office lends points of a member or takes back what it has lent."""
        if self._lent and self._rng.randrange(2):
            lease = self._lent.pop(0)
            return lambda: self._in_a_step(lambda step: leasing.close_out(step, lease))
        lease, whom = f"L{self._count}", member_of(self._rng.randint(1, 8))
        self._lent.append(lease)
        until_ms = self._station.clock.wall_ms() + LEASE_FOR_MS

        def lend(step: Step) -> None:
            leasing.received(step, lease=lease, kind="points", subject=whom, granted=LENT_POINTS, expires_ms=until_ms)

        return lambda: self._in_a_step(lend)

    def _in_a_step(self, act: Callable[[Step], object]) -> None:
        """One commit of the pipeline, as the link will ask for it."""
        clock, pipeline = self._station.clock, self._station.pipeline
        step = pipeline._step(Now(clock.wall_ms(), clock.mono_ms()))
        try:
            act(step)
            pipeline._finish(step)
        finally:
            step.roll_back()
