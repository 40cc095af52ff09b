"""The agent dies at every named step, the pump with it, or both: what pumps counted is booked all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.failpoints import NAMES, SimulatedCrash, armed, hits
from tests.scenario.conftest import MakeStation
from tests.support.examples import ALL, some
from tests.support.station import VirtualStation
from tests.support.station_checks import booked_sales, check_invariants, true_sales
from tests.support.station_plans import busy, by_hand

APART = (
    *("backup.", "delivery.", "restore.", "rebirth.", "quote.", "lease.", "refund."),
    *("board.", "card.", "enrol.", "shift.", "command.", "members."),
)
OF_A_DAY = sorted(name for name in NAMES if not name.startswith(APART))
"""Steps of ordinary selling; those of backups, rebirths and of what a customer asks for have tests of their own."""

PASSINGS = (1, 4, 20, 100) if ALL else (1, 20)
"""Which passing of a failpoint is the last one; the first that is never reached ends the loop."""


def _publish(station: VirtualStation) -> None:
    """As head office: what was not taken because the station died comes again."""
    for _ in range(3):
        try:
            station.publish_rules_and_members()
        except SimulatedCrash as crash:
            station.crash(str(crash))
            station.restart()
            continue
        return


def _story(station: VirtualStation, down_s: float = 0.0) -> None:
    _publish(station)
    station.run_surviving(13, down_s)
    station.forecourt.close()
    station.run_surviving(8, down_s)
    station.run_out()


def _passings() -> Iterator[int]:
    yield from PASSINGS


@pytest.mark.parametrize("name", some(OF_A_DAY))
def test_death_at_any_step_loses_and_doubles_nothing(make_station: MakeStation, name: str) -> None:
    """Whatever passing of a failpoint is the last, the sales afterwards are those that the pumps counted."""
    needs_link = name.startswith(("sync.", "hq."))
    for n in _passings():
        station = make_station(100 + n, busy(has_head_office=needs_link))
        with armed(name, n):
            _story(station)
        check_invariants(station)
        volumes = {key: [sale["volume_ml"] for sale in sales] for key, sales in booked_sales(station).items()}
        pumped = {key: sum(ml) for key, ml in true_sales(station).items()}
        assert {key: sum(ml) for key, ml in volumes.items()} == pumped, f"{name}:{n}"
        if not station.crashes:
            assert n > 1, f"{name} was never passed"
            return
        station.close()


def test_every_named_step_is_passed_in_an_ordinary_minute(make_station: MakeStation) -> None:
    """A failpoint that nothing passes would prove nothing: there is none."""
    before = hits()
    _story(make_station(1, busy(has_head_office=True)))
    assert [name for name in OF_A_DAY if hits()[name] == before[name]] == []


@pytest.mark.parametrize("seed", [21, 22])
def test_an_agent_that_is_down_for_a_while_finds_what_was_sold(make_station: MakeStation, seed: int) -> None:
    """Killed again and again for some seconds, the agent books every litre."""
    station = make_station(seed, busy(has_head_office=True))
    station.publish_rules_and_members()
    for pause_s in (0.0, 1.5, 7.0, 20.0):
        station.run_for(6 + station.random.random())
        station.crash()
        station.restart(pause_s)
    station.run_out()
    check_invariants(station)


@pytest.mark.parametrize("seed", [31, 32])
def test_a_pump_that_restarts_while_fuelling_is_booked_from_its_totalizer(make_station: MakeStation, seed: int) -> None:
    """Display and prices are lost, the litres are not; the pump sells again afterwards."""
    station = make_station(seed, busy())
    station.run_for(6)
    station.forecourt.inject("pump-restart", point=2, times=2)
    station.run_for(25)
    station.run_out()
    check_invariants(station)
    recovered = [sale for sale in station.sales() if sale["kind"] == "RECOVERED"]
    assert recovered, f"seed {seed}"


@pytest.mark.parametrize("at_s", [0.2, 1.1, 2.3, 3.6])
def test_pump_and_agent_killed_together_lose_no_litre(make_station: MakeStation, at_s: float) -> None:
    """Both die at some moment of a fuelling: the sum of volumes is the movement of the totalizer."""
    station = make_station(41, by_hand())
    station.run_for(8)
    station.lift(1)
    station.wait_for_flow(1)
    station.flow(1, 8_000, seconds=2.0)
    station.run_for(at_s)
    station.forecourt.world.heads[1].restart()
    station.crash()
    station.hang_up(1)
    station.restart(at_s)
    station.run_for(30)
    check_invariants(station)
    assert sum(sale["volume_ml"] for sale in station.sales()) == 8_000
    station.fuel(1, 3_000)
    check_invariants(station)
