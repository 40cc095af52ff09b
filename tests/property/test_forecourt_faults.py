"""Every kind of sale memory, every fault at every step and every frame: what the pump counted is booked once."""

from __future__ import annotations

from random import Random

import pytest

from agent.domain.point_state import ControlMode
from tests.support.point_pumps import DISPLAY, KINDS, METER, WITH_TOTALS, Kind
from tests.support.point_world import EQUAL, EVENT_FAULTS, FRAME_FAULTS, Customer, Fault, World

ALL = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
TOTALS = pytest.mark.parametrize("kind", WITH_TOTALS, ids=[kind.name for kind in WITH_TOTALS])


def undisturbed(kind: Kind, mode: ControlMode = ControlMode.AUTO) -> tuple[World, range, range]:
    """A run without a fault; the events and the commands of its sales."""
    world = World(kind, mode).ready()
    events, commands = world.events, world.commands
    world.live()
    assert world.booked == world.pump.sold == [(1, 21_000), (1, 21_000)]
    return world, range(events + 1, world.events + 1), range(commands + 1, world.commands + 1)


def judged(kind: Kind, mode: ControlMode, *faults: Fault) -> World:
    """The same customers with faults; every fault must have struck and every sale be booked once."""
    world = World(kind, mode, *faults).ready().live()
    assert not world.faults, "the fault never struck"
    assert world.booked == world.pump.sold, faults
    world.check_chain()
    return world


@ALL
def test_a_kill_at_every_step_changes_no_sale(kind: Kind) -> None:
    """Killed before the commit of any event, or right behind it with everything it wanted to send lost."""
    world, events, _ = undisturbed(kind)
    for at in events:
        judged(kind, ControlMode.AUTO, Fault("kill before", at))
    for at in sorted(world.steps & set(events)):
        judged(kind, ControlMode.AUTO, Fault("kill after", at))


@ALL
def test_every_frame_lost_repeated_or_delayed_changes_no_sale(kind: Kind) -> None:
    """The request, the reply, both twice, or four seconds late: one at a time, at every frame of every sale."""
    _, _, commands = undisturbed(kind)
    for what in FRAME_FAULTS:
        for at in commands:
            judged(kind, ControlMode.AUTO, Fault(what, at))


@TOTALS
def test_pump_and_agent_die_together_at_every_step(kind: Kind) -> None:
    """Display lost, process lost: the sum of what is booked is the movement of the totalizer."""
    _, events, _ = undisturbed(kind)
    for at in events[::2]:
        judged(kind, ControlMode.AUTO, Fault("both before", at))


@ALL
def test_faults_at_random_change_no_sale(kind: Kind) -> None:
    """Four faults of any sort in one run; a failure prints the seed."""
    for seed in range(12):
        chance = Random(f"{kind.name}:{seed}")
        faults = [
            *(Fault(chance.choice(EVENT_FAULTS), chance.randrange(8, 60)) for _ in range(2)),
            *(Fault(chance.choice(FRAME_FAULTS), chance.randrange(3, 14)) for _ in range(2)),
        ]
        if kind is DISPLAY:
            faults = faults[:1]  # two losses in a row may hide an equal sale from a head that counts nothing
        world = World(kind, ControlMode.AUTO, *faults).ready().live()
        assert world.booked == world.pump.sold, f"seed {seed}: {faults}"
        world.check_chain()


@TOTALS
def test_a_pump_that_sells_alone_is_booked_from_its_counts(kind: Kind) -> None:
    """Control mode monitor: killed at every second event, the sums agree and nothing but reads ever left."""
    world = World(kind, ControlMode.MONITOR).ready()
    events = world.events
    world.live()
    for at in range(events + 1, world.events + 1, 2):
        killed = World(kind, ControlMode.MONITOR, Fault("kill before", at)).ready().live()
        assert sum(volume for _, volume in killed.booked) == 42_000, at
        killed.check_chain()


@TOTALS
def test_two_sales_in_a_gap_are_both_booked(kind: Kind) -> None:
    """Sold while the line was cut: every litre is booked, the newest sale as the pump holds it where it holds one."""
    world = World(kind, ControlMode.MONITOR).ready()
    world.line(online=False)
    for volume_ml in (7_000, 21_000):
        world.pump.lift(1)
        world.pump.flow(volume_ml)
        world.pump.hang()
    world.line(online=True)
    world.live(())
    assert sum(volume for _, volume in world.booked) == 28_000
    assert len(world.sales) == (1 if kind is METER else 2)
    world.check_chain()


@TOTALS
def test_a_count_rolls_over_inside_a_sale(kind: Kind) -> None:
    """Whatever the modulus, the epoch rises by one, the sale has its litres and the next one starts behind it."""
    world = World(kind)
    world.pump.base = {1: kind.modulus - 5, 2: 0}
    world.ready().live()
    assert world.booked == world.pump.sold
    assert [b.end.epoch for b in world.sales if b.end is not None] == [1, 1]
    world.check_chain()


def test_flows_below_a_coarse_unit_are_sales_of_their_own() -> None:
    """400 ml and 300 ml over a count of whole litres: both with the same start and end, told apart by sub."""
    from tests.support.point_pumps import COARSE

    world = World(COARSE).ready().live((Customer(1, 400), Customer(1, 300), Customer(1, 2_400)))
    assert world.booked == world.pump.sold
    assert [b.sub for b in world.sales] == [1, 2, None]
    assert world.pump.total(1) == world.bases[1] + 3
    world.check_chain()


@TOTALS
def test_totals_unreadable_for_an_hour_hold_the_point_and_lose_nothing(kind: Kind) -> None:
    """No permission and no authorisation until they are read again; then the sale is booked once."""
    world = World(kind).ready()
    for _ in world.serve((Customer(1, 21_000),)):
        if world.pump.state == "Fuelling":
            world.pump.readable = False
        world.turn()
    world.turns(900)
    world.pump.lift(1)
    world.turns(60)
    assert world.pump.state != "Started"
    assert world.booked == []
    assert world.point.durable.pending is not None
    world.pump.hang()
    world.pump.readable = True
    world.live(())
    assert world.booked == [(1, 21_000)]
    world.live((Customer(1, 7_000),))
    assert world.booked == world.pump.sold


@TOTALS
def test_a_second_agent_on_a_copy_books_under_the_same_keys(kind: Kind) -> None:
    """Both find the same count moved and make the same record of it; head office keeps one."""
    world = World(kind).ready()
    for _ in world.serve((Customer(1, 21_000),)):
        world.turn()
        if world.pump.sold and not world.sales:
            break
    disk, held = world.disk, list(world.pump.queue)
    keys = []
    for _ in range(2):
        world.disk, world.sales, world.pump.queue = disk, [], list(held)
        world.kill()
        world.live(())
        keys.append([(b.nozzle, str(b.start), str(b.end), b.sub) for b in world.sales])
    assert len(keys[0]) == 1
    assert keys[0] == keys[1]


def test_equal_customers_are_two_sales_without_any_totals() -> None:
    """A head that counts nothing is booked by the flow that was seen, never by comparing values."""
    assert judged(DISPLAY, ControlMode.AUTO).booked == [(c.nozzle, c.volume_ml) for c in EQUAL if c.volume_ml]
