"""One fuelling point, one small pump and a disk between: driven turn by turn, with a fault at any event or frame.

Checks at every step what must never happen. Judges the sales only when asked. Knows no wire and no SQLite.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.domain.booking import Booking, Rules
from agent.domain.forecourt import durable, restore, step
from agent.domain.instant import Now
from agent.domain.point_events import Baseline, Book, Event, PriceInForce, Send, Ticked
from agent.domain.point_lowered import SoldLower
from agent.domain.point_state import ControlMode, NozzleConfig, Point, PointConfig
from drivers.commands import Acknowledge, Authorise, Command, ReadSale, SetPrices
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, PointState
from tests.support.point_pumps import Kind, Pump

PRICE = 7_850
FLOWING = (PointState.STARTED, PointState.FUELLING)
WALL = 1_700_000_000_000
LIMIT = 600
"""Turns after which a run that is not quiet is a failure."""


@dataclass(frozen=True)
class Customer:
    """Lifts ``nozzle``, waits until fuel may flow, takes ``volume_ml`` in parts, hangs up; 0: changes his mind."""

    nozzle: int
    volume_ml: int
    parts: int = 3


EQUAL = (Customer(1, 21_000), Customer(1, 0), Customer(1, 21_000))
"""Two equal sales with a zero lift between."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong when: ``at`` counts events for kills and levels, commands for frames."""

    what: str
    at: int


EVENT_FAULTS = ("kill before", "kill after", "lose level", "repeat level")
POWER_FAULTS = ("both before", "both after", "pump")
FRAME_FAULTS = ("lose request", "lose reply", "repeat", "delay")


def config_of(kind: Kind, mode: ControlMode, **more: object) -> PointConfig:
    """The configuration that fits a kind of pump."""
    values: dict[str, object] = {
        "queue": kind.memory == "queue",
        "totals": kind.totals,
        "holds": kind.memory != "none",
        "sets_prices": kind.shows_price,
        "suspends": True,
        "rules": Rules(max_delta_ml=400_000),
        **more,
    }
    nozzles = (NozzleConfig(1, "92", 1, PRICE), NozzleConfig(2, "95", 2, PRICE))
    return PointConfig(1, mode, nozzles, "b0", **values)  # type: ignore[arg-type]


class World:
    """``turn`` is one second; ``faults`` strike once each."""

    def __init__(self, kind: Kind, mode: ControlMode = ControlMode.AUTO, *faults: Fault, **config: object) -> None:
        self.pump = Pump(kind, {1: PRICE, 2: PRICE}, alone=mode is ControlMode.MONITOR)
        self.config = config_of(kind, mode, **config)
        self.faults = list(faults)
        self.disk: str | None = None
        self.sales: list[Booking] = []
        self.bases: dict[int, int] = {}
        self.in_force: list[tuple[int, int]] = []
        self.lowered: list[SoldLower | None] = []
        self.events = self.commands = self.boots = self.mono = 0
        self.steps: set[int] = set()
        self.cut = False
        self.wires: list[Command] = []
        self.late: list[tuple[int, Event]] = []
        self.point: Point = restore(self.config, None, "b0")

    # --- the agent ------------------------------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """One event through the pure step, its commit, and then what it sends."""
        self.events += 1
        strike = self._struck(self.events, *EVENT_FAULTS[:2], *POWER_FAULTS)
        if strike in ("kill before", "both before", "pump"):
            if strike != "kill before":
                self.pump.restart()
            if strike != "pump":
                self.kill()
                return
        result = step(self.point, event, Now(WALL + self.mono, self.mono))
        if result.point.durable is not self.point.durable:
            assert result.durable_changed == (result.point.durable != self.point.durable)
        self.point = result.point
        if result.durable_changed:
            self.disk = json.dumps(durable(self.point))
        for effect in result.effects:
            if isinstance(effect, Book):
                self.sales.append(effect.booking)
                self.lowered.append(effect.rollback)
            elif isinstance(effect, Baseline):
                self.bases[effect.nozzle] = effect.totalizer.raw
            elif isinstance(effect, PriceInForce):
                self.in_force.append((effect.nozzle, effect.unit_price_milli))
        if result.durable_changed or any(isinstance(effect, Send) for effect in result.effects):
            self.steps.add(self.events)
        if strike in ("kill after", "both after"):
            if strike == "both after":
                self.pump.restart()
            self.kill()
            return
        for effect in result.effects:
            if isinstance(effect, Send):
                self._allowed(effect.command)
                self.wires.append(effect.command)

    def _allowed(self, command: Command) -> None:
        """What may leave: reads at any time; anything else only once this start has accounted for what it found."""
        if isinstance(command, ReadSale):
            return
        assert self.config.mode is not ControlMode.MONITOR, command
        if isinstance(command, Acknowledge):
            assert self._is_booked(), f"permission before the booking: {command}"
        if isinstance(command, Authorise | SetPrices):
            assert self.point.volatile.accounted, command
        if isinstance(command, SetPrices):
            assert not self.point.volatile.out, "a price ordered with a nozzle out"
        if isinstance(command, Authorise):
            assert self.point.durable.open is not None
            assert self.disk is not None
            assert json.loads(self.disk)["open"] is not None, "authorised before its open fuelling is on disk"

    def _is_booked(self) -> bool:
        held = self.pump.queue[1:] if self.pump.kind.memory == "queue" else []
        waiting = sum(volume for _, _, volume, _ in held)
        return sum(b.volume_ml for b in self.sales) + waiting + self.pump.kind.unit_ml >= sum(
            volume for _, volume in self.pump.sold
        )

    def kill(self) -> None:
        """The process dies; only the disk stays."""
        self.boots += 1
        self.wires.clear()
        self.late.clear()
        stored = None if self.disk is None else json.loads(self.disk)
        self.point = restore(self.point.config, stored, f"b{self.boots}")

    def _struck(self, at: int, *kinds: str) -> str | None:
        for fault in self.faults:
            if fault.at == at and fault.what in kinds:
                self.faults.remove(fault)
                return fault.what
        return None

    # --- time -----------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """One second: at most one command, then the level."""
        self.mono += 1_000
        for due, event in [entry for entry in self.late if entry[0] <= self.mono]:
            self.late.remove((due, event))
            self.event(event)
        if self.cut:
            self.event(Ticked())
            return
        if self.wires:
            self._exchange(self.wires.pop(0))
        strike = self._struck(self.events + 1, "lose level", "repeat level")
        if strike == "lose level":
            self.event(Ticked())
            return
        self.event(self.pump.reading())
        if strike == "repeat level":
            self.event(self.pump.reading())

    def _exchange(self, command: Command) -> None:
        self.commands += 1
        strike = self._struck(self.commands, *FRAME_FAULTS)
        answers: list[Event] = []
        outcome = CommandOutcome.UNKNOWN
        if strike != "lose request":
            outcome = self._done(command, answers)
            if strike == "repeat":
                outcome = self._done(command, answers)
        if strike == "lose reply":
            answers, outcome = [], CommandOutcome.UNKNOWN
        answers.append(CommandResult(command.command_id, 1, outcome))
        boot = self.boots
        if strike == "delay":
            self.late += [(self.mono + 4_000, answer) for answer in answers]
            return
        for answer in answers:
            if self.boots == boot:  # what a dead process asked is answered to nobody
                self.event(answer)

    def _done(self, command: Command, answers: list[Event]) -> CommandOutcome:
        if isinstance(command, ReadSale):
            answers.append(self.pump.bundle(command))
            return CommandOutcome.APPLIED
        return self.pump.obey(command)

    def line(self, *, online: bool) -> None:
        """The cable is pulled or back."""
        self.cut = not online
        lost, self.wires = self.wires, []
        for command in lost:
            self.event(CommandResult(command.command_id, 1, CommandOutcome.UNKNOWN))
        self.event(DeviceStatus("point:1", online=online, gap=online))

    def turns(self, count: int) -> None:
        """Several turns."""
        for _ in range(count):
            self.turn()

    def until(self, done: Callable[[], bool], limit: int = LIMIT) -> bool:
        """Turn until ``done``; returns whether it came."""
        for _ in range(limit):
            if done():
                return True
            self.turn()
        return done()

    @property
    def quiet(self) -> bool:
        """Whether everything is read out, confirmed and at rest."""
        seen, known = self.point.volatile, self.point.durable
        at_rest = self.pump.out is None and known.open is None and known.pending is None
        idle = not self.wires and not self.late and seen.read is None and not seen.inflight
        return at_rest and idle and seen.accounted and (seen.released or self.point.monitored)

    def ready(self) -> World:
        """Past the first contact; what was read before is of no account."""
        assert self.until(lambda: self.quiet), "never ready"
        self.turns(2)
        return self

    def serve(self, customers: tuple[Customer, ...]) -> Iterator[None]:
        """Customers one after the other, a turn at each ``yield``; who is not served hangs up and lifts again."""
        for customer in customers:
            yield from self._customer(customer)
            for _ in range(3):
                yield

    def _customer(self, customer: Customer) -> Iterator[None]:
        pump, left = self.pump, customer.volume_ml
        for _ in range(12):
            pump.lift(customer.nozzle)
            for _ in range(14):
                if pump.state in FLOWING:
                    break
                yield
            part = -(-customer.volume_ml // customer.parts)
            while left and pump.out is not None and pump.state in FLOWING:
                pump.flow(min(part, left))
                left -= min(part, left)
                yield
            pump.hang()
            yield
            # a customer who got something, or wanted nothing, goes; power may have failed half way
            if left < customer.volume_ml or not customer.volume_ml:
                return
            for _ in range(8):
                yield
        raise AssertionError(f"{customer} was never served: {self.point}")

    def live(self, customers: tuple[Customer, ...] = EQUAL) -> World:
        """Serve all of them and let everything come to rest."""
        for _ in self.serve(customers):
            self.turn()
        self.pump.hang()
        assert self.until(lambda: self.quiet), f"never at rest: {self.point}"
        self.turns(2)
        return self

    # --- what must hold -------------------------------------------------------------------------------------------

    @property
    def booked(self) -> list[tuple[int, int]]:
        """(nozzle, volume_ml) in the order of booking."""
        return [(b.nozzle, b.volume_ml) for b in self.sales]

    def check_chain(self) -> None:
        """Each nozzle's intervals join from its base to the total it shows now; numbered sales have no gap."""
        if not self.pump.kind.totals:
            assert [b.counter for b in self.sales] == list(range(1, len(self.sales) + 1))
            return
        for nozzle, base in self.bases.items():
            at = (0, base)
            for sale in (b for b in self.sales if b.nozzle == nozzle):
                assert sale.start is not None
                assert sale.end is not None
                assert (sale.start.epoch, sale.start.raw) == at
                at = (sale.end.epoch, sale.end.raw)
            assert at[1] == self.pump.total(nozzle), nozzle
