"""Meters and displays in every odd case of docs/sale-safety.md: what the totalizer counted is booked, nothing else."""

from __future__ import annotations

import pytest

from tests.scenario.conftest import MakeStation
from tests.support.station import VirtualStation
from tests.support.station_checks import alert_edges, check_invariants
from tests.support.station_plans import by_hand


def _ready(make_station: MakeStation, seed: int) -> VirtualStation:
    station = make_station(seed, by_hand())
    station.run_for(8)
    return station


def _volumes(station: VirtualStation) -> list[int]:
    return [sale["volume_ml"] for sale in station.sales()]


def test_zero_lifts_book_nothing(make_station: MakeStation) -> None:
    """A nozzle lifted and hung up without fuel is no sale, before, after and between sales."""
    station = _ready(make_station, 81)
    for _ in range(2):
        station.lift(1)
        station.run_for(4)
        station.hang_up(1)
        station.run_for(4)
    station.fuel(1, 1_000)
    station.lift(1, 2)
    station.run_for(4)
    station.hang_up(1)
    station.run_for(5)
    station.fuel(1, 2_000)
    check_invariants(station)
    assert _volumes(station) == [1_000, 2_000]


def test_equal_sales_in_a_row_are_several_sales(make_station: MakeStation) -> None:
    """The same volume for the same money three times is three sales, also across a crash."""
    station = _ready(make_station, 82)
    station.fuel(1, 2_500)
    station.fuel(1, 2_500)
    station.crash()
    station.restart(1.0)
    station.run_for(8)
    station.fuel(1, 2_500)
    check_invariants(station)
    assert _volumes(station) == [2_500, 2_500, 2_500]


def test_what_was_sold_while_the_agent_was_down_is_booked_at_the_next_start(make_station: MakeStation) -> None:
    """A fuelling that ended, and a hose switched to another nozzle, while nobody looked."""
    station = _ready(make_station, 83)
    station.lift(1)
    station.wait_for_flow(1)
    station.flow(1, 1_000, seconds=1.0)
    station.crash()
    head = station.forecourt.world.heads[1]
    head.deliver(200)
    station.hang_up(1)
    station.world_only(3)
    # a till beside us lets the next one go: the pump forgets the first display
    head.lift(1)
    head.command(0x05)
    head.command(0x06)
    head.deliver(400)
    head.hang_up()
    station.restart(2.0)
    station.run_for(10)
    check_invariants(station)
    assert sum(_volumes(station)) == 7_000
    flags = " ".join(sale["flags"] for sale in station.sales())
    assert len(station.sales()) == 2 or "covers_several" in flags
    station.fuel(1, 1_500)
    check_invariants(station)


def test_a_totalizer_rolls_over_inside_a_sale(make_station: MakeStation) -> None:
    """The epoch rises by one and the sale has its litres."""
    station = make_station(84, by_hand())
    station.forecourt.inject("totalizer-rollover", point=1)
    station.run_for(8)
    station.fuel(1, 8_000)
    station.fuel(1, 1_000)
    check_invariants(station)
    assert [(s["volume_ml"], s["start_epoch"], s["end_epoch"]) for s in station.sales()] == [
        (8_000, 0, 1),
        (1_000, 1, 1),
    ]


def test_a_replaced_meter_waits_for_a_supervisor(make_station: MakeStation) -> None:
    """Nothing is sold over a meter that jumped back until a supervisor confirms the new base; then it sells again."""
    station = _ready(make_station, 85)
    station.fuel(1, 1_000)
    station.forecourt.inject("meter-replaced", point=1)
    station.run_for(1)
    station.lift(1)
    station.wait_for_flow(1)
    station.flow(1, 2_000)
    station.hang_up(1)
    station.wait(lambda: ("point:1", "METER_RESET", "raised") in alert_edges(station), "the alert")
    station.lift(1)
    station.run_for(20)
    assert not station.forecourt.world.heads[1].can_flow()
    station.hang_up(1)
    station.run_for(5)
    refused = station.ask("pumps.confirm-meter", role="attendant", fuelling_point=1, nozzle=1)
    assert not refused["ok"]
    assert station.ask("pumps.confirm-meter", fuelling_point=1, nozzle=1)["ok"]
    station.run_for(40)
    assert alert_edges(station)["point:1", "METER_RESET", "cleared"] == 1
    assert _volumes(station)[-1] == 2_000, "what the new meter had counted is booked with the confirmation"
    before = len(station.sales())
    station.fuel(1, 3_000)
    assert _volumes(station)[before:] == [3_000]
    assert len(station.rows("SELECT 1 FROM journal WHERE type = 'fc.gap.v1'")) == 1
    baselines = station.rows("SELECT reason FROM baseline WHERE fuelling_point = 1 AND nozzle = 1 ORDER BY seq")
    assert [row["reason"] for row in baselines] == ["first-contact", "confirmed by wang"]


@pytest.mark.parametrize("dies_again", [False, True])
def test_a_sale_under_a_replaced_meter_survives_the_next_customer(make_station: MakeStation, dies_again: bool) -> None:
    """Dead between hang-up and booking, meter replaced, another nozzle lifted: booked once, as soon as it is confirmed."""
    station = _ready(make_station, 88)
    station.fuel(1, 1_000)
    station.lift(1)
    station.wait_for_flow(1)
    station.flow(1, 7_000)
    station.crash()
    station.hang_up(1)
    station.forecourt.inject("meter-replaced", point=1)
    station.world_only(1)
    station.restart(1.0)
    station.wait(lambda: ("point:1", "METER_RESET", "raised") in alert_edges(station), "the alert")
    station.lift(1, 2)
    station.run_for(5)
    if dies_again:
        station.crash()
        station.restart(1.0)
        station.run_for(5)
    station.hang_up(1)
    station.run_for(5)
    assert _volumes(station) == [1_000]
    for _ in range(2):
        station.ask("pumps.confirm-meter", fuelling_point=1, nozzle=1)
    station.wait(lambda: len(station.sales()) == 2, "the sale is booked", 60)
    station.run_for(8)
    station.fuel(1, 2_000)
    assert _volumes(station) == [1_000, 7_000, 2_000]
    check_invariants(station)


def test_totals_unreadable_for_long_block_the_point_until_they_come_back(make_station: MakeStation) -> None:
    """No authorisation while totals are unreadable; when they return the sale is booked once and the point sells."""
    station = _ready(make_station, 86)
    station.lift(1)
    station.wait_for_flow(1)
    station.forecourt.inject("totals-unreadable", point=1, for_s=0)
    station.flow(1, 4_000)
    station.hang_up(1)
    station.wait(lambda: ("point:1", "SALE_PENDING", "raised") in alert_edges(station), "the alert", 120)
    station.lift(1)
    station.run_for(900)
    assert not station.forecourt.world.heads[1].can_flow()
    assert _volumes(station) == []
    station.hang_up(1)
    station.forecourt.clear("totals-unreadable")
    station.wait(lambda: bool(station.sales()), "the sale is booked", 60)
    station.fuel(1, 1_000)
    check_invariants(station)
    assert _volumes(station) == [4_000, 1_000]
    assert alert_edges(station)["point:1", "SALE_PENDING", "raised"] == 1


@pytest.mark.parametrize("is_crashed", [False, True])
def test_a_pending_sale_accepted_by_hand_is_not_booked_again(make_station: MakeStation, is_crashed: bool) -> None:
    """A supervisor accepts the display after ten minutes; the totals' return adds nothing to it."""
    station = _ready(make_station, 87)
    station.lift(1)
    station.wait_for_flow(1)
    station.forecourt.inject("totals-unreadable", point=1, for_s=0)
    station.flow(1, 4_000)
    station.hang_up(1)
    station.wait(lambda: ("point:1", "SALE_PENDING", "raised") in alert_edges(station), "the alert", 120)
    assert not station.ask("sales.accept-pending", fuelling_point=1)["ok"]
    station.run_for(660)
    assert station.ask("sales.accept-pending", fuelling_point=1)["ok"]
    assert _volumes(station) == [4_000]
    if is_crashed:
        station.crash()
        station.restart(1.0)
    station.forecourt.clear("totals-unreadable")
    station.run_for(60)
    assert _volumes(station) == [4_000]
    station.fuel(1, 1_000)
    station.run_for(10)
    assert _volumes(station) == [4_000, 1_000]
    check_invariants(station)
