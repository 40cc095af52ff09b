"""A loyalty scan never changes what a pump may do: the simulator's own log of orders, with scans and without, is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from agent.clock import read
from agent.inbox import FromLine
from agent.pipeline import scanning
from drivers.readings import CardTap, CodeScan, PointState
from tests.scenario.conftest import MakeStation
from tests.support.station import VirtualStation
from tests.support.station_plans import by_hand

READER, POINT = "reader-1", 1
SIMPLE = {PointState.IDLE, PointState.CALLING, PointState.STARTED, PointState.FUELLING}
STATES = {"dart": SIMPLE, "modbus": SIMPLE | {PointState.AUTHORISED, PointState.SUSPENDED_FUELLING}}
"""What a head can show: DART is neither authorised with its nozzle in the boot nor, as it is set up here, halted."""

Act = Callable[[VirtualStation], None]


def everything(station: VirtualStation) -> None:
    """At one instant: a member, the same again, another member, texts that are no code, cards, handhelds, claims."""
    first, second = station.config.cards[:2]
    for text in (first, first, second, "9" * 16, "130123456789012345", "FC1:broken", "FP:1", first, "CANCEL", "CANCEL"):
        station.handle(FromLine(READER, CodeScan(READER, text), read(station.clock)))
    for uid in (bytes.fromhex("04782E21801D80"), None):
        station.handle(FromLine(READER, CardTap(READER, uid, None), read(station.clock)))
    for row in [None, *station.rows("SELECT id FROM sale")]:
        at_terminal(station, None if row is None else row["id"], second)


def at_terminal(station: VirtualStation, sale: str | None, card: str) -> None:
    """Everything that a handheld may do, to a sale or to the point."""
    clock = station.clock
    step = station.pipeline._step(read(clock))
    scan = scanning.TerminalScan(step.new_id(), "H07", "A1", card, None if sale else POINT, sale)
    scanning.from_terminal(step, scan, b"k" * 32)
    scanning.chosen(step, "H07", "A1", point=None if sale else POINT, sale=sale)
    if sale is not None:
        scanning.claim(step, sale, "H07", "A1")
        scanning.claim(step, sale, "H08", "A2")
        scanning.release(step, sale, "H08", "A2", force=True)
    else:
        scanning.chosen(step, "H07", "A1", point=POINT, live=True)
    scanning.cancelled(step, "H07")
    station.pipeline._finish(step)


class Day:
    """A fuelling in every state of its point, paid at a till, with ``act`` in each of them."""

    def __init__(self, station: VirtualStation, act: Act) -> None:
        self.station, self.act = station, act
        self.seen: list[PointState] = []
        station.publish_rules_and_members()
        station.run_for(8)
        self.live_through()

    def now(self, state: PointState) -> None:
        """The point reaches a state, and the act is done in it."""
        self.station.wait(lambda: reading_of(self.station).state is state, state, 20)
        self.seen.append(state)
        self.act(self.station)
        self.station.run_for(0.4)

    def ask(self, op: str, **args: Any) -> None:
        """A person asks, and it is done."""
        answer = self.station.ask(op, **args)
        assert answer["ok"], answer

    def live_through(self) -> None:
        """From idle to idle, with a halt under way, and the money afterwards."""
        station = self.station
        self.now(PointState.IDLE)
        station.lift(POINT)
        self.now(PointState.CALLING)
        states = STATES[station.plan.protocol]
        if PointState.AUTHORISED in states:
            station.hang_up(POINT)
            self.now(PointState.IDLE)
            self.ask("pumps.authorise", fuelling_point=POINT)
            self.now(PointState.AUTHORISED)
            station.lift(POINT)
        else:
            self.ask("pumps.authorise", fuelling_point=POINT)
        self.now(PointState.STARTED)
        station.wait_for_flow(POINT)
        station.flow(POINT, 3_000, seconds=1.5)
        self.now(PointState.FUELLING)
        if PointState.SUSPENDED_FUELLING in states:
            self.ask("pumps.suspend", fuelling_point=POINT)
            self.now(PointState.SUSPENDED_FUELLING)
            self.ask("pumps.resume", fuelling_point=POINT)
            station.wait_for_flow(POINT)
        station.flow(POINT, 2_000, seconds=1.0)
        station.hang_up(POINT)
        self.act(station)  # hung, not booked yet
        station.wait(lambda: bool(station.sales()), "the sale is booked")
        self.now(PointState.IDLE)
        sale = station.sales()[0]["id"]
        self.ask("sales.quote", sale=sale, lock=True)
        self.now(PointState.IDLE)
        self.ask("sales.settle", sale=sale, tenders=[{"kind": "cash", "amount_minor": None, "ref": None}])
        self.now(PointState.IDLE)
        station.forecourt.board.inject("pump-silent", POINT, for_s=6)
        station.wait(lambda: station.statuses[-1][1:] == (f"point:{POINT}", False), "the pump is gone")
        self.act(station)
        station.wait(lambda: station.statuses[-1][1:] == (f"point:{POINT}", True), "it is back")
        self.now(PointState.IDLE)

    @property
    def orders(self) -> list[tuple[Any, ...]]:
        """Everything that was said to the pumps, polls left out."""
        return [(c.t_ms, c.point, c.name, c.detail) for c in self.station.commands]


def reading_of(station: VirtualStation) -> Any:
    """The newest level of the point."""
    return station.pipeline._memory.readings[POINT]


@pytest.mark.parametrize("protocol", ["dart", "modbus"])
def test_no_scan_tap_or_claim_orders_anything_in_any_state(make_station: MakeStation, protocol: str) -> None:
    """Two stations live through the same fuelling to the millisecond; one of them scans in every state."""
    plan = dataclasses.replace(by_hand(settle="tender", control="released"), protocol=protocol, islands=1)
    calm, busy = Day(make_station(11, plan), lambda _: None), Day(make_station(11, plan), everything)
    assert set(busy.seen) == STATES[protocol]
    assert calm.orders
    assert busy.orders == calm.orders
    assert len(busy.station.rows("SELECT * FROM scan_event")) > 30
    assert busy.station.rows("SELECT * FROM link")
