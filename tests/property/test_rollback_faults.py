"""A lowered price under every fault: nobody but the member ever fuels at it, and every sale has the price it was sold at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.domain.point_events import RollbackOver, RollbackWanted
from agent.domain.point_lowered import LoweredPrice, Rollback, SoldLower
from agent.domain.point_state import ControlMode
from tests.support.point_pumps import DART, LOG, NEXT_FLOW, QUEUE, Kind
from tests.support.point_world import FLOWING, FRAME_FAULTS, PRICE, Customer, Fault, World

LOW = PRICE - 500
MEMBER = Customer(1, 21_000)
STRANGERS = (Customer(1, 7_000), Customer(2, 5_000))
KINDS = (DART, NEXT_FLOW, QUEUE, LOG)
EACH = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


def wish(world: World, nozzle: int = 1) -> RollbackWanted:
    prices = (LoweredPrice(nozzle, "roll", LOW, PRICE),)
    return RollbackWanted(Rollback("S1", "567014f1b3c2a9de", prices, world.mono + 180_000))


def fuelled(world: World, customers: tuple[Customer, ...], *, stranger: bool) -> Iterator[None]:
    """Serve them; what the pump charges must be right at every moment of every flow, and never change under one."""
    for _ in world.serve(customers):
        prices, may_flow = dict(world.pump.prices), world.pump.state in FLOWING
        world.turn()
        assert not may_flow or world.pump.state not in FLOWING or world.pump.prices == prices, (
            "changed under a delivery"
        )
        if stranger and world.pump.state in FLOWING:
            assert world.pump.prices[world.pump.out or 1] == PRICE, "somebody else fuels at the lowered price"
        yield


def run(kind: Kind, *faults: Fault, before: int = 4) -> World:
    """A member waits, lifts after ``before`` turns and fuels; two others follow. Every sale has its true price."""
    world = World(kind, ControlMode.AUTO, *faults).ready()
    world.event(wish(world))
    world.turns(before)
    for _ in fuelled(world, (MEMBER,), stranger=False):
        pass
    world.event(RollbackOver("S1", "linked"))
    for _ in fuelled(world, STRANGERS, stranger=True):
        pass
    world.live(())
    assert not world.faults, "the fault never struck"
    assert world.booked == world.pump.sold, faults
    assert [sale.unit_price_milli for sale in world.sales] == world.pump.priced, faults
    assert world.pump.prices == {1: PRICE, 2: PRICE}
    assert world.point.durable.rollback is None, faults
    for sale, given in zip(world.sales, world.lowered, strict=True):
        is_low = sale.unit_price_milli == LOW
        assert (given is not None) is is_low, (faults, sale)
        assert given in (None, SoldLower("roll", "567014f1b3c2a9de", PRICE))
        assert "lowered_price" not in sale.flags
    world.check_chain()
    return world


@EACH
def test_undisturbed_the_member_alone_pays_the_lower_price(kind: Kind) -> None:
    """Set before the lift, one sale at it, both others at the list price; the meter's history of prices says the same."""
    world = run(kind)
    assert world.pump.priced == [LOW, PRICE, PRICE]
    assert [price for nozzle, price in world.in_force if nozzle == 1] == [PRICE, LOW, PRICE]


@EACH
def test_a_lift_at_any_moment_of_the_order_is_served_at_one_price(kind: Kind) -> None:
    """Lifted before, while and after the price is set: either price, one for the whole sale, and the sale says which."""
    priced = {run(kind, before=before).pump.priced[0] for before in range(4)}
    assert priced <= {LOW, PRICE}
    assert LOW in priced


@EACH
def test_a_kill_at_every_step_never_sells_it_to_another(kind: Kind) -> None:
    """Before and after the commit of each event, from the wish until the last customer has gone."""
    first = World(kind).ready().events + 1
    whole = run(kind)
    for at in range(first, whole.events + 1, 2 if kind is DART else 11):
        run(kind, Fault("kill before", at))
    for at in sorted(step for step in whole.steps if step >= first)[:: 1 if kind is DART else 5]:
        run(kind, Fault("kill after", at))


@EACH
def test_frames_lost_repeated_or_late_never_sell_it_to_another(kind: Kind) -> None:
    """One frame at a time, of every order and every read-out."""
    first, last = World(kind).ready().commands + 1, run(kind).commands
    for start, what in enumerate(FRAME_FAULTS):
        for at in range(first, last + 1) if kind is DART else range(first + start, last + 1, 5):
            run(kind, Fault(what, at))


@EACH
def test_somebody_else_lifts_at_any_moment_after_the_member_has_gone(kind: Kind) -> None:
    """The member goes after so many turns, another lifts so many turns later: served, always at the list price."""
    waits, lifts = (range(4), range(3)) if kind is DART else ((0, 1, 3), (0, 1))
    for waited in waits:
        for later in lifts:
            for what in (None, "lose request", "lose reply"):
                world = World(kind).ready()
                world.event(wish(world))
                world.turns(waited)
                world.faults = [] if what is None else [Fault(what, world.commands + 1)]
                world.event(RollbackOver("S1", "expired"))
                world.turns(later)
                for _ in fuelled(world, STRANGERS, stranger=True):
                    pass
                world.live(())
                assert world.pump.priced == [PRICE, PRICE], (waited, later, what)
                assert world.lowered == [None, None]
                assert world.point.durable.rollback is None
