"""A pump that keeps numbered sales in a queue and sells alone: every record is booked once, in the order it was sold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import given, settings

from agent.domain.booking import Booking
from agent.domain.forecourt import durable, restore, step
from agent.domain.instant import Now
from agent.domain.point_events import Book, Send
from agent.domain.point_state import ControlMode, NozzleConfig, PointConfig
from drivers.commands import Acknowledge, ReadSale
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    CompletedSale,
    FuellingPointReading,
    HeldSale,
    PointState,
    TotalizerReading,
)
from tests.support.examples import tries

PRICE = 7000


@dataclass
class QueuePump:
    """Oldest record first; an acknowledged record is removed, a lost reply hides that it was."""

    total: int = 900
    number: int = 0
    queue: list[tuple[int, int]] = field(default_factory=list)

    def sell(self, units: int) -> None:
        self.number += 1
        self.total = (self.total + units) % 1_000_000
        self.queue.append((self.number, units * 10))

    def bundle(self, command: ReadSale) -> CompletedSale:
        total = (TotalizerReading(1, 1, self.total, 10, 1_000_000),)
        held = None
        if self.queue:
            number, volume = self.queue[0]
            held = HeldSale(1, 1, volume, volume * PRICE // 10_000, PRICE, str(number))
        return CompletedSale(command.command_id, 1, total, held, total)


class Run:
    """Agent and pump with a disk between them."""

    def __init__(self) -> None:
        self.config = PointConfig(1, ControlMode.AUTO, (NozzleConfig(1, "0", 1, PRICE),), "b", queue=True)
        self.pump, self.disk, self.boots, self.ms = QueuePump(), "", 0, 0
        self.sales: list[Booking] = []
        self.commands: list[object] = []
        self.point = restore(self.config, None, "b")

    def event(self, event: object) -> None:
        result = step(self.point, event, Now(10**12 + self.ms, self.ms))  # type: ignore[arg-type]
        self.point, self.disk = result.point, json.dumps(durable(result.point))
        self.sales += [e.booking for e in result.effects if isinstance(e, Book)]
        self.commands += [e.command for e in result.effects if isinstance(e, Send)]

    def kill(self) -> None:
        self.boots += 1
        self.commands.clear()
        self.point = restore(self.config, json.loads(self.disk), f"b{self.boots}")

    def turn(self, lose: bool = False) -> None:
        self.ms += 1_000
        if self.commands:
            command = self.commands.pop(0)
            if isinstance(command, ReadSale) and not lose:
                self.event(self.pump.bundle(command))
            if isinstance(command, Acknowledge) and self.pump.queue and str(self.pump.queue[0][0]) == command.token:
                self.pump.queue.pop(0)
            outcome = CommandOutcome.UNKNOWN if lose else CommandOutcome.APPLIED
            self.event(CommandResult(command.command_id, 1, outcome))  # type: ignore[attr-defined]
        self.event(FuellingPointReading(1, PointState.IDLE, 1, nozzle_out=False, unit_price_milli=PRICE))


ACTIONS = st.one_of(
    st.tuples(st.just("sell"), st.sampled_from((0, 100, 100, 2_000))),
    st.tuples(st.just("turn"), st.booleans()),
    st.tuples(st.just("kill"), st.just(0)),
)


@settings(max_examples=tries(80), deadline=None, print_blob=True)
@given(st.lists(ACTIONS, max_size=40))
def test_each_record_of_a_queue_is_one_sale(actions: list[tuple[str, int]]) -> None:
    """Sales made alone, lost replies and kills: the booked list is the list sold, zero sales aside."""
    run = Run()
    for _ in range(6):
        run.turn()
    sold = []
    run.kill()
    for name, value in actions:
        if name == "sell":
            run.pump.sell(value)
            sold.append(value * 10)
        elif name == "turn":
            run.turn(lose=bool(value))
        else:
            run.kill()
    run.kill()
    for _ in range(200 + 3 * len(sold)):
        run.turn()
    assert not run.pump.queue
    assert [b.volume_ml for b in run.sales] == [v for v in sold if v]
    assert all(b.kind == "NORMAL" for b in run.sales)
    assert str(run.point.durable.meter(1).total) == f"0:{run.pump.total}"  # type: ignore[union-attr]


def test_a_second_sale_of_the_same_litres_is_known_by_its_number() -> None:
    """A queue that was empty and tells a record equal to the last one, under another number, makes a read-out due."""
    run = Run()
    for _ in range(6):
        run.turn()
    run.kill()
    run.pump.sell(100)
    for _ in range(12):
        run.turn()
    (first,) = run.sales
    run.pump.sell(100)
    run.event(HeldSale(1, 1, first.volume_ml, first.amount_minor, PRICE, "2"))
    for _ in range(4):
        run.turn()
    assert [(b.volume_ml, str(b.start)) for b in run.sales] == [(1_000, "0:900"), (1_000, "0:1000")]
