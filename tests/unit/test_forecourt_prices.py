"""Unit prices of a point: changed at rest, for all nozzles together, and never under a sale."""

from __future__ import annotations

import pytest

from agent.domain.point_events import PricesWanted, RaiseAlert
from agent.domain.point_prices import state_of
from agent.domain.point_state import ControlMode
from drivers.commands import SetPrices
from drivers.readings import CommandOutcome
from tests.support.point_pumps import DART, LOG, METER, NEXT_FLOW, QUEUE, Kind
from tests.support.point_script import CALLING, FUELLING, IDLE, Script, names
from tests.support.point_world import FLOWING, PRICE, Customer, World

NEW = PRICE + 150
BOTH = ((1, NEW), (2, NEW))
KINDS = (DART, NEXT_FLOW, QUEUE, METER, LOG)
EACH = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


@EACH
def test_a_price_changed_at_any_moment_of_a_sale_spares_it(kind: Kind) -> None:
    """Told before, during or after the delivery: the sale has the price it began with, the next one the new price."""
    for at in range(0, 15, 2):
        world = World(kind).ready()
        assert set(dict(world.point.durable.in_force).values()) == {PRICE}
        for number, _ in enumerate(world.serve((Customer(1, 21_000), Customer(1, 7_000)))):
            if number == at:
                world.event(PricesWanted(BOTH))
            was = dict(world.pump.prices)
            may_flow = world.pump.state in FLOWING
            world.turn()
            assert not may_flow or world.pump.prices == was, "a price changed under a delivery"
        world.live(())
        assert world.booked == world.pump.sold
        paid = [sale.unit_price_milli for sale in world.sales]
        assert paid in ([PRICE, PRICE], [PRICE, NEW], [NEW, NEW])
        if kind.shows_price:
            assert paid == world.pump.priced
            assert world.pump.prices == {1: NEW, 2: NEW}, "all nozzles together"
        for sale in world.sales:
            assert sale.amount_minor == (2 * sale.volume_ml * sale.unit_price_milli * 100 + 1_000_000) // 2_000_000
        assert dict(world.point.durable.in_force) in ({1: NEW, 2: NEW}, {1: NEW}, {2: NEW})
        assert world.in_force[-1][1] == NEW


@EACH
def test_litres_found_after_a_restart_have_the_price_of_their_time(kind: Kind) -> None:
    """Sold while the agent was down, the price changed before it is back: the old price counts."""
    if not kind.totals:
        return
    world = World(kind, ControlMode.MONITOR).ready()
    world.line(online=False)
    world.pump.lift(1)
    world.pump.flow(21_000)
    world.pump.restart()
    world.kill()
    world.pump.queue.clear()
    world.pump.prices = {1: NEW, 2: NEW}
    world.line(online=True)
    world.event(PricesWanted(BOTH))
    world.live(())
    assert [(sale.volume_ml, sale.unit_price_milli) for sale in world.sales] == [(21_000, PRICE)]


def test_a_point_that_refuses_is_told_and_keeps_selling_at_its_own_price() -> None:
    """Three attempts, then PRICE_MISMATCH and the word refused; the pump's own price is on the sale."""
    script = Script().ready(1_000)
    assert state_of(script.point, 1) == "in_force"
    script(PricesWanted(((1, NEW),)))
    script.at(IDLE)
    for _ in range(3):
        assert state_of(script.point, 1) in ("waiting", "refused")
        script.end(SetPrices, CommandOutcome.REFUSED)
        script.ms += 11_000
        script.at(IDLE)
    assert "PRICE_MISMATCH" in script.point.durable.alerts or "PRICE_MISMATCH" in [
        a.name for a in script.of(RaiseAlert)
    ]
    assert state_of(script.point, 1) == "refused"
    assert "Authorise" in names(script.at(CALLING))


def test_a_busy_point_changes_right_after() -> None:
    """No order while the nozzle is out or the sale is not read out; it leaves with the first moment of rest."""
    script = Script().authorised()
    script.at(FUELLING, 1_000)
    assert names(script(PricesWanted(((1, NEW),)))) == []
    assert state_of(script.point, 1) == "waiting"
    script.at(FUELLING, 9_000)
    assert "SetPrices" not in names(script.at(IDLE, 10_000))
    effects = names(script.answer(2_000, 10_000))
    assert effects.index("Book") < effects.index("SetPrices")
    script.end(SetPrices)
    assert state_of(script.point, 1) == "in_force"
