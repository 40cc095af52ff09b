"""A lower price at the pump in a whole station: scanned, set, fuelled, settled, taken back, whatever happens between."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from agent.cli import show
from agent.store.queries import Queries
from tests.scenario.conftest import MakeStation
from tests.support.head_office_says import member_of, members_of, rule_set
from tests.support.station import VirtualStation
from tests.support.station_checks import check_invariants
from tests.support.station_plans import HASTY, busy, by_hand
from tests.support.station_settings import Plan

ROLL = {"id": "roll", "kind": "PUMP_ROLLBACK", "off_milli": 300}
EARN = {"id": "earn", "kind": "EARN", "points": 1, "per_minor": 100}
PLAN = dataclasses.replace(
    by_hand(pump_rollback=True), settle_after="4s", link_after="5s", link_before="30s", islands=1
)
ORDERS = frozenset(
    {"RESET", "AUTHORIZE", "AUTHORISE", "STOP", "PRESET_VOLUME", "PRESET_AMOUNT", "PRESET", "SUSPEND", "RESUME"}
)
"""Orders that change what a pump may do, whatever its protocol."""


def ready(make_station: MakeStation, seed: int, *offers: dict[str, Any], plan: Plan = PLAN) -> VirtualStation:
    station: VirtualStation = make_station(seed, plan)
    station.handle(rule_set(1, EARN, *(offers or (ROLL,))))
    station.handle(members_of(station.config.cards))
    station.run_for(8)
    return station


def price(station: VirtualStation, point: int = 1) -> int:
    return int(station.forecourt.world.heads[point].prices[1])


def sold(station: VirtualStation) -> list[tuple[Any, ...]]:
    """(volume, unit price, offer, list price) of every sale, in the order of booking."""
    keys = ("volume_ml", "unit_price_milli", "rollback_offer", "list_price_milli")
    return [tuple(sale[key] for key in keys) for sale in station.sales()]


def told(station: VirtualStation, action: str) -> list[str]:
    """The reasons of the audit entries of one action."""
    bodies = [json.loads(row["body"]) for row in station.rows("SELECT body FROM journal WHERE type = 'fc.audit.v1'")]
    return [body["data"]["reason"] for body in bodies if body["data"]["action"] == action]


def settled(station: VirtualStation, sale: int = 0) -> dict[str, Any]:
    """The settlement record of the n-th sale."""
    wanted = station.sales()[sale]["id"]
    bodies = [
        json.loads(row["body"]) for row in station.rows("SELECT body FROM journal WHERE type = 'fc.sale.settled.v1'")
    ]
    (found,) = [body["data"] for body in bodies if body["data"]["sale"] == wanted]
    return dict(found)


@pytest.mark.parametrize("protocol", ["dart", "gilbarco", "modbus"])
def test_the_member_fuels_lower_and_the_next_customer_at_the_list_price(
    make_station: MakeStation, capsys: pytest.CaptureFixture[str], protocol: str
) -> None:
    """Between scan and lift nothing but prices is ordered; the gross is the pump's amount, the value is reported."""
    station = ready(make_station, 401, plan=dataclasses.replace(PLAN, protocol=protocol))
    listed, before = price(station), len(station.commands)
    station.scan("reader-1", station.config.cards[0])
    station.wait(lambda: price(station) == listed - 300, "the lower price", 10)
    station.run_for(5)
    ordered = {c.name for c in station.commands[before:] if c.point == 1}
    assert ordered & {"PRICES", "PRICE"}
    assert not ordered & ORDERS
    assert station.live.points[1]["nozzles"][0]["price_state"] == "lowered"
    station.fuel(1, 12_340)
    station.wait(lambda: price(station) == listed, "the list price", 10)
    station.fuel(1, 10_000)
    station.run_for(15)
    assert sold(station) == [(12_340, listed - 300, "roll", listed), (10_000, listed, None, None)]
    amount = next(one["amount_minor"] for one in station.forecourt.truth.records if one["kind"] == "sale")
    first = settled(station)
    assert (first["member"], first["discount_minor"], first["net_minor"]) == (member_of(1), 0, amount)
    assert {line["offer"]: line["value_minor"] for line in first["lines"]}["roll"] == 370
    assert told(station, "rollback_given") == [f"roll for member {member_of(1)}: {listed - 300} instead of {listed}"]
    assert len(told(station, "rollback_taken_back")) == 1
    record = json.loads(station.rows("SELECT body FROM journal WHERE type = 'fc.sale.v1'")[0]["body"])["data"]
    assert (record["rollback_offer"], record["list_price_milli"]) == ("roll", listed)
    show.sale(Queries(station.settings.store.path).sale(record["sale"]))
    assert "price lowered at the pump from 7.85 by roll" in capsys.readouterr().out
    check_invariants(station)


def test_without_the_setting_no_price_is_touched(make_station: MakeStation) -> None:
    """Off unless the station asks for it: the settlement turns the offer into a discount per litre."""
    station = ready(make_station, 402, plan=dataclasses.replace(PLAN, pump_rollback=False))
    listed, before = price(station), len(station.commands)
    station.scan("reader-1", station.config.cards[0])
    station.run_for(6)
    assert not {c.name for c in station.commands[before:]} & {"PRICES", "AUTHORIZE"}
    station.fuel(1, 10_000)
    station.run_for(8)
    assert sold(station) == [(10_000, listed, None, None)]
    assert settled(station)["discount_minor"] == 300


def test_the_agent_killed_at_every_step_of_it_sells_to_nobody_else(make_station: MakeStation) -> None:
    """Killed after so many tenths of a second from the scan on: every sale has one of two prices and says which."""
    station = ready(make_station, 403)
    listed = price(station)
    for card, after_s in zip(station.config.cards, (0.0, 0.5, 1.0, 4.0), strict=False):
        sales = len(station.sales())
        station.scan("reader-1", card)
        station.run_for(after_s)
        station.crash()
        station.restart(0.5)
        station.wait(lambda: price(station) == listed and _is_ready(station), "list price", 30)
        station.scan("reader-2", station.config.cards[-1])
        station.scan("reader-2", "CANCEL")
        station.fuel(1, 5_000)
        station.run_for(6)
        (mine,) = sold(station)[sales:]
        assert mine == (5_000, listed, None, None), after_s
    check_invariants(station)


def test_killed_under_the_fuelling_and_behind_it_the_promise_holds(make_station: MakeStation) -> None:
    """Lifted, flowing, hung up and not booked, booked and not taken back: one sale at the lower price, then the list."""
    station = ready(make_station, 404)
    listed = price(station)
    for moment, card in zip(("lifted", "flowing", "hung", "booked"), station.config.cards, strict=False):
        sales = len(station.sales())
        station.scan("reader-1", card)
        station.wait(lambda: price(station) == listed - 300, "the lower price", 10)
        station.run_for(1)
        station.lift(1)
        station.wait_for_flow(1)
        _kill_if(station, moment == "lifted")
        station.flow(1, 4_000)
        _kill_if(station, moment == "flowing")
        station.flow(1, 4_000)
        station.hang_up(1)
        _kill_if(station, moment == "hung")
        station.wait(lambda expected=sales + 1: len(station.sales()) == expected, moment, 30)  # type: ignore[misc]
        _kill_if(station, moment == "booked")
        station.wait(lambda: price(station) == listed, f"{moment}: the list price", 30)
        assert sold(station)[sales:] == [(8_000, listed - 300, "roll", listed)], moment
        station.run_for(8)
        station.fuel(1, 3_000)
        assert sold(station)[-1] == (3_000, listed, None, None)
        station.run_for(6)
    assert len(told(station, "rollback_given")) == 4
    check_invariants(station)


def _is_ready(station: VirtualStation) -> bool:
    return bool(station.live.points[1]["ready"])


def _kill_if(station: VirtualStation, now: bool) -> None:
    if now:
        station.crash()
        station.restart(0.5)
        station.run_for(3)


def test_who_does_not_come_who_cancels_and_who_goes_elsewhere(make_station: MakeStation) -> None:
    """The time is over, CANCEL is scanned, another point is named: the list price is back within seconds each time."""
    station = ready(make_station, 405, plan=dataclasses.replace(PLAN, islands=2))
    listed, cards = price(station), station.config.cards
    station.scan("reader-1", cards[0])
    station.wait(lambda: price(station) == listed - 300, "the lower price", 10)
    station.wait(lambda: price(station) == listed, "time is over", 40)
    station.run_for(3)
    station.scan("reader-1", cards[1])
    station.wait(lambda: price(station) == listed - 300, "the lower price", 10)
    station.scan("reader-1", "CANCEL")
    station.wait(lambda: price(station) == listed, "cancelled", 5)
    station.scan("reader-roaming", "FP:3")
    station.scan("reader-roaming", cards[2])
    station.wait(lambda: price(station, 3) == listed - 300, "the lower price at 3", 10)
    station.run_for(4)  # the same code within three seconds is one scan
    station.scan("reader-roaming", "FP:4")
    station.scan("reader-roaming", cards[2])
    station.wait(lambda: (price(station, 3), price(station, 4)) == (listed, listed - 300), "moved to 4", 10)
    station.fuel(3, 5_000)
    station.fuel(4, 6_000)
    station.fuel(1, 7_000)
    assert [unit_price for _, unit_price, _, _ in sold(station)] == [listed, listed - 300, listed]
    ended = [reason.rpartition(": ")[2] for reason in told(station, "rollback_taken_back")]
    assert ended == [
        "the member's time is over",
        "the member waits no longer",
        "the member waits at another point",
        "the fuelling has ended",
    ]
    check_invariants(station)


def test_hung_up_without_fuel_the_price_waits_for_the_next_lift(make_station: MakeStation) -> None:
    """A change of mind about the nozzle: lifted, hung, lifted again; set once, and the sale has it."""
    station = ready(make_station, 406, plan=dataclasses.replace(PLAN, link_before="10s"))
    listed = price(station)
    station.scan("reader-1", station.config.cards[0])
    station.wait(lambda: price(station) == listed - 300, "the lower price", 10)
    station.run_for(4)
    station.lift(1)
    station.wait_for_flow(1)
    station.hang_up(1)
    station.run_for(8)
    assert price(station) == listed - 300, "who hung up without fuel has another minute"
    station.fuel(1, 5_000)
    assert sold(station) == [(5_000, listed - 300, "roll", listed)]
    assert len(told(station, "rollback_offered")) == 1


def test_the_next_member_waits_for_the_price_of_the_one_before(make_station: MakeStation) -> None:
    """Scanned while the list price is on its way back: offered once that stands, and the sale is the second one's."""
    station = ready(make_station, 413)
    listed, cards = price(station), station.config.cards
    station.scan("reader-1", cards[0])
    station.wait(lambda: len(told(station, "rollback_confirmed")) == 1, "the lower price", 10)
    station.scan("reader-1", "CANCEL")
    station.scan("reader-1", cards[1])
    assert told(station, "rollback_taken_back") == [], "the list price is not certain yet"
    station.wait(lambda: len(told(station, "rollback_confirmed")) == 2, "the second member's price", 15)
    station.fuel(1, 6_000)
    station.wait(lambda: price(station) == listed, "the list price", 10)
    assert sold(station) == [(6_000, listed - 300, "roll", listed)]
    assert told(station, "rollback_given")[0].startswith(f"roll for member {member_of(2)}: ")


def test_a_lift_that_meets_the_order_is_served_at_one_price(make_station: MakeStation) -> None:
    """The nozzle is out while the order is on its way: whatever the pump has taken by then, the sale says so."""
    station = ready(make_station, 407)
    listed = price(station)
    for card, after_s in zip(station.config.cards, (0.0, 0.5), strict=False):
        station.scan("reader-1", card)
        station.run_for(after_s)
        station.fuel(1, 5_000)
        station.run_for(8)
        volume, charged, offer, list_price = sold(station)[-1]
        assert (volume, charged, offer, list_price) in (
            (5_000, listed - 300, "roll", listed),
            (5_000, listed, None, None),
        )
        discount = settled(station, len(station.sales()) - 1)["discount_minor"]
        assert discount == (0 if offer else 150), "set at the pump or converted, never both, never neither"
    check_invariants(station)


FAULTS = ("cable-pulled", "pump-restart")


def test_a_wire_that_fails_under_the_order_ends_in_the_list_price(make_station: MakeStation) -> None:
    """Every fault of the wire while the price goes down or up: one of two prices, the sale says which, the next pays list."""
    station = ready(make_station, 408)
    listed = price(station)
    for card, fault in zip(station.config.cards, FAULTS, strict=False):
        where: dict[str, Any] = {"line": "island-1"} if fault == "cable-pulled" else {"point": 1}
        station.forecourt.inject(fault, for_s=4.0, **where)
        station.scan("reader-1", card)
        station.run_for(4)
        station.forecourt.clear()
        station.wait(lambda: _is_ready(station), f"{fault}: ready", 30)
        station.run_for(1)
        station.fuel(1, 5_000)
        station.forecourt.inject(fault, for_s=4.0, **where)
        station.run_for(4)
        station.forecourt.clear()
        station.wait(lambda: price(station) == listed and _is_ready(station), f"{fault}: the list price", 40)
        station.run_for(6)
        station.fuel(1, 3_000)
        mine, next_one = sold(station)[-2:]
        assert mine in ((5_000, listed - 300, "roll", listed), (5_000, listed, None, None)), fault
        assert next_one == (3_000, listed, None, None), fault
        station.run_for(8)
    check_invariants(station)


def test_a_volume_cap_is_a_preset_at_the_lower_price(make_station: MakeStation) -> None:
    """The pump ends the fuelling at the last litre the offer covers; no preset stands while the nozzle hangs."""
    station = ready(make_station, 409, {**ROLL, "cap": {"volume_ml": 6_000}})
    listed, before = price(station), len(station.commands)
    station.scan("reader-1", station.config.cards[0])
    station.run_for(5)
    assert "PRESET_VOLUME" not in {c.name for c in station.commands[before:]}
    station.lift(1)
    station.wait_for_flow(1)
    head = station.forecourt.world.heads[1]
    for _ in range(20):
        if head.can_flow():
            head.deliver(100)
        station.run_for(0.5)
    station.hang_up(1)
    station.wait(lambda: len(station.sales()) == 1, "the sale", 20)
    assert sold(station) == [(6_000, listed - 300, "roll", listed)]
    station.run_for(5)
    station.fuel(1, 9_000)
    assert sold(station)[-1] == (9_000, listed, None, None)
    check_invariants(station)


def test_a_member_is_offered_it_at_one_point_and_as_often_as_the_limit_says(make_station: MakeStation) -> None:
    """Seen at another point, the first goes back; while one fuelling or an unpaid sale has the only use, nothing is set."""
    once = {**ROLL, "limit": [{"per": "MEMBER", "window": "DAY", "uses": 1}]}
    station = ready(make_station, 410, once, plan=dataclasses.replace(PLAN, settle="tender"))
    listed, card = price(station), station.config.cards[0]
    station.scan("reader-1", card)
    station.wait(lambda: price(station) == listed - 300, "the lower price at 1", 10)
    station.scan("reader-2", card)
    station.wait(lambda: (price(station), price(station, 2)) == (listed, listed - 300), "the lower price at 2", 10)
    station.scan("reader-1", "CANCEL")
    station.lift(2)
    station.wait_for_flow(2)
    station.scan("reader-1", card)
    station.run_for(5)
    assert price(station) == listed, "the other fuelling may use it up"
    station.flow(2, 5_000)
    station.hang_up(2)
    station.wait(lambda: price(station, 2) == listed, "the list price", 10)
    station.run_for(30)
    station.scan("reader-1", card)
    station.run_for(5)
    assert price(station) == listed, "the first sale is not paid yet"
    assert sold(station) == [(5_000, listed - 300, "roll", listed)]
    check_invariants(station)


def test_new_rules_take_an_offer_away_from_who_waits(make_station: MakeStation) -> None:
    """The rule set in force no longer has it: the list price is back within seconds, and nobody is offered it again."""
    station = ready(make_station, 411, plan=dataclasses.replace(PLAN, link_before="180s"))
    listed = price(station)
    station.scan("reader-1", station.config.cards[0])
    station.wait(lambda: price(station) == listed - 300, "the lower price", 10)
    station.handle(rule_set(2, EARN))
    station.wait(lambda: price(station) == listed, "the list price", 70)
    station.run_for(2)
    assert told(station, "rollback_taken_back")[0].endswith("new rules are in force")
    station.scan("reader-1", "CANCEL")
    station.scan("reader-1", station.config.cards[1])
    station.run_for(5)
    assert price(station) == listed


def test_a_busy_hour_with_crashes_charges_what_every_sale_says(make_station: MakeStation) -> None:
    """Hasty members at four points, the agent killed again and again: every price is the pump's, every lower one is told."""
    customers = dataclasses.replace(
        HASTY, scan_first=900, scan_during=50, arrive_max_ms=6_000, gap_mean_ms=4_000, gap_max_ms=8_000, wrong_codes=0
    )
    plan = dataclasses.replace(busy(), pump_rollback=True, customers=customers, link_after="3s")
    station = ready(make_station, 412, plan=plan)
    listed = {(p.number, n.number): n.unit_price_milli for p in station.config.points for n in p.nozzles}
    for _ in range(2):
        station.run_for(14 + station.random.random())
        station.crash()
        station.restart(0.5)
    station.run_for(12)
    station.run_out()
    truth = [one for one in station.forecourt.truth.records if one["kind"] == "sale"]
    charged = sorted((one["point"], one["nozzle"], one["volume_ml"], one["unit_price_milli"]) for one in truth)
    sales = station.sales()
    keys = ("fuelling_point", "nozzle", "volume_ml", "unit_price_milli")
    assert sorted(tuple(sale[key] for key in keys) for sale in sales) == charged
    lower = [sale for sale in sales if sale["unit_price_milli"] < listed[sale["fuelling_point"], sale["nozzle"]]]
    assert len(lower) >= 2
    assert lower == [sale for sale in sales if sale["rollback_offer"] is not None]
    assert len(told(station, "rollback_given")) == len(lower)
    check_invariants(station)
