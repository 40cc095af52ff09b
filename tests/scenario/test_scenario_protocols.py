"""The safety of a sale on dispensers that are not DART: whole stations whose pumps speak something else."""

from __future__ import annotations

import dataclasses

import pytest

from agent.failpoints import armed
from drivers.device import of_points
from tests.scenario.conftest import MakeStation
from tests.support.station import VirtualStation
from tests.support.station_checks import booked_sales, check_invariants, true_sales
from tests.support.station_plans import busy, by_hand
from tests.support.station_settings import SPOKEN, Plan

FORGETFUL = "modbus-pulse"
"""Nothing but a count of pulses: no state, no price, no memory of a sale."""

OTHERS = sorted(set(SPOKEN) - {"dart", FORGETFUL})
STEPS = ("sale.before_commit", "sale.after_commit")
BAD_WIRE = ("lost-reply", "bad-crc", "half-frames", "late-answer", "swapped-digits", "one-silent-poll")


def speaking(plan: Plan, protocol: str) -> Plan:
    """The same station with other dispensers, looked at a little less often."""
    return dataclasses.replace(plan, protocol=protocol, poll_ms=400)


def agrees(station: VirtualStation) -> None:
    """Every invariant, and per nozzle exactly what its meter counted."""
    check_invariants(station)
    volumes = {key: sum(sale["volume_ml"] for sale in sales) for key, sales in booked_sales(station).items()}
    assert volumes == {key: sum(ml) for key, ml in true_sales(station).items()}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("protocol", OTHERS)
def test_death_at_a_step_of_the_booking_loses_and_doubles_nothing(
    make_station: MakeStation, protocol: str, step: str
) -> None:
    """Two fuellings of the same volume in a row, the agent killed while it books each: two sales, exactly."""
    station = make_station(7, speaking(by_hand(), protocol))
    station.run_for(8)
    for _ in range(2):
        station.lift(1, len(station.config.points[0].nozzles))
        station.wait_for_flow(1)
        station.flow(1, 4_000, seconds=2)
        station.hang_up(1)
        with armed(step, 1):
            station.run_surviving(6, down_s=1)
    assert len(station.crashes) == 2
    assert [(sale["volume_ml"], sale["kind"]) for sale in station.sales()] == [(4_000, "NORMAL")] * 2
    agrees(station)


@pytest.mark.parametrize("protocol", OTHERS)
def test_an_agent_that_is_down_for_a_while_finds_what_was_sold(make_station: MakeStation, protocol: str) -> None:
    """Killed during fuellings and between them, it books every litre that the meters counted."""
    station = make_station(21, speaking(busy(), protocol))
    for pause_s in (0.0, 9.0):
        station.run_for(9 + station.random.random())
        station.crash()
        station.restart(pause_s)
    station.run_out()
    assert len(station.sales()) >= 2
    agrees(station)


@pytest.mark.parametrize("protocol", OTHERS)
def test_pump_and_agent_killed_together_lose_no_litre(make_station: MakeStation, protocol: str) -> None:
    """What the pump forgets, its totals have counted: the sale is recovered, or told as ever by a pump that forgets none."""
    station = make_station(41, speaking(by_hand(), protocol))
    station.run_for(8)
    station.lift(1)
    station.wait_for_flow(1)
    station.flow(1, 8_000, seconds=2.0)
    station.forecourt.world.heads[1].restart()
    station.crash()
    station.hang_up(1)
    station.restart(1.0)
    station.run_for(30)
    station.fuel(1, 3_000)
    capabilities = of_points(device for wired in station.lines.values() for device in wired.line.devices)[1]
    first = "NORMAL" if capabilities.power_off == "kept" else "RECOVERED"
    assert [(sale["volume_ml"], sale["kind"]) for sale in station.sales()] == [(8_000, first), (3_000, "NORMAL")]
    agrees(station)


@pytest.mark.parametrize("protocol", OTHERS)
def test_a_bad_wire_and_a_counter_at_its_end_change_no_sale(make_station: MakeStation, protocol: str) -> None:
    """Half a minute of customers while every pump's answers are lost, damaged, cut and late, and its totals roll over."""
    station = make_station(51, speaking(busy(), protocol))
    station.forecourt.inject("totalizer-rollover")
    station.run_for(6)
    for _ in range(3):
        for fault in BAD_WIRE:
            for point in (1, 2, 3, 4):
                station.forecourt.inject(fault, point=point, times=2)
        station.run_for(6)
    station.forecourt.clear()
    station.run_out()
    assert len(station.sales()) >= 2
    agrees(station)


@pytest.mark.parametrize("step", STEPS)
def test_a_counter_that_remembers_no_sale_loses_and_doubles_nothing(make_station: MakeStation, step: str) -> None:
    """Three fuellings: one booked while the agent is killed, one on a wire so bad that it counts as cut, one while the
    agent is down. Every litre is in one sale; what flowed around the cut is two sales, told as such.
    """
    station = make_station(61, speaking(by_hand(control="monitor"), FORGETFUL))
    station.run_for(8)
    fuel(station, 4_000)
    with armed(step, 1):
        station.run_surviving(15, down_s=1)
    for fault in BAD_WIRE:
        station.forecourt.inject(fault, point=1, times=3)
    fuel(station, 8_000)
    station.forecourt.clear()
    station.run_for(40)
    station.forecourt.world.heads[1].lift(1)
    station.run_for(3)
    station.crash()
    station.forecourt.world.heads[1].deliver(300)
    station.hang_up(1)
    station.restart(5.0)
    station.run_for(40)
    assert len(station.crashes) == 2
    volumes = [sale["volume_ml"] for sale in station.sales()]
    assert (volumes[0], sum(volumes[1:-1]), volumes[-1]) == (4_000, 8_000, 3_000)
    assert {sale["kind"] for sale in station.sales()} == {"RECOVERED"}
    cut = station.sales()[1]
    assert cut["volume_ml"] == 8_000 or "covers_several" in cut["flags"]
    check_invariants(station)


def fuel(station: VirtualStation, volume_ml: int) -> None:
    """A fuelling at point 1 from lift to hang-up, where nobody asks the station first."""
    station.forecourt.world.heads[1].lift(1)
    station.run_for(3)
    station.flow(1, volume_ml, seconds=4)
    station.hang_up(1)
