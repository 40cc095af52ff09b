"""A station with a till: unpaid sales stop a point, tenders settle once, corrections leave sums that agree."""

from __future__ import annotations

from tests.scenario.conftest import MakeStation
from tests.support.head_office_says import member_of
from tests.support.station import VirtualStation
from tests.support.station_checks import check_invariants
from tests.support.station_plans import by_hand


def _ready(make_station: MakeStation, seed: int) -> VirtualStation:
    station = make_station(seed, by_hand(settle="tender", has_head_office=True))
    station.publish_rules_and_members()
    station.run_for(8)
    return station


def _settle(station: VirtualStation, sale: str) -> dict[str, object]:
    tenders = [{"kind": "cash", "amount_minor": None, "ref": None}]
    return station.ask("sales.settle", role="attendant", sale=sale, tenders=tenders)


def _points(station: VirtualStation) -> dict[str, int]:
    query = """SELECT member.id AS id, sum(posting.points) AS points FROM posting
               JOIN member ON member.ref = posting.member_ref GROUP BY 1"""
    return {row["id"]: row["points"] for row in station.rows(query)}


def test_unpaid_sales_stop_a_point_and_paying_releases_it(make_station: MakeStation) -> None:
    """At the limit the next customer waits; one tender lets him go."""
    station = _ready(make_station, 91)
    station.fuel(1, 1_000)
    station.fuel(1, 1_000)
    station.lift(1)
    station.run_for(20)
    assert not station.forecourt.world.heads[1].can_flow()
    assert _settle(station, station.sales()[0]["id"])["ok"]
    station.hang_up(1)
    station.run_for(3)
    station.fuel(1, 1_000)
    check_invariants(station)


def test_unpaid_sales_are_counted_again_after_a_crash(make_station: MakeStation) -> None:
    """The limit holds across a restart, and other points are not stopped by it."""
    station = _ready(make_station, 92)
    station.fuel(1, 1_000)
    station.fuel(1, 1_000)
    station.crash()
    station.restart(1.0)
    station.run_for(8)
    station.lift(1)
    station.run_for(20)
    assert not station.forecourt.world.heads[1].can_flow()
    station.hang_up(1)
    station.fuel(2, 1_000)
    check_invariants(station)


def test_a_second_tender_is_refused_and_shows_the_first(make_station: MakeStation) -> None:
    """Nobody pays twice: the refusal tells who was paid with what, also after a crash."""
    station = _ready(make_station, 93)
    station.fuel(1, 2_000)
    sale = station.sales()[0]["id"]
    assert _settle(station, sale)["ok"]
    for _ in range(2):
        second = _settle(station, sale)
        assert not second["ok"]
        assert "cash 1570" in str(second)
        station.crash()
        station.restart(1.0)
    assert station.rows("SELECT count(*) AS n FROM settlement")[0]["n"] == 1
    station.run_for(8)
    check_invariants(station)


def test_void_refund_and_correction_leave_a_ledger_that_agrees(make_station: MakeStation) -> None:
    """A linked sale refunded in part and then voided takes exactly its points back; nothing is given back twice."""
    station = _ready(make_station, 94)
    station.scan("reader-1", station.config.cards[0])
    station.fuel(1, 10_000)
    sale = station.sales()[0]["id"]
    settled = _settle(station, sale)
    assert settled["ok"]
    earned = _points(station)[member_of(1)]
    assert earned > 0
    tenders = [{"kind": "card", "amount_minor": None, "ref": "slip-1"}]
    assert station.ask("sales.correct", sale=sale, tenders=tenders, reason="paid by card")["ok"]
    assert station.ask("sales.refund", sale=sale, amount_minor=1_000, reason="spilled")["ok"]
    assert 0 < _points(station)[member_of(1)] < earned
    assert not station.ask("sales.refund", sale=sale, amount_minor=10**6, reason="too much")["ok"]
    assert station.ask("sales.void", sale=sale, reason="wrong pump")["ok"]
    assert _points(station)[member_of(1)] == 0
    assert not station.ask("sales.void", sale=sale, reason="again")["ok"]
    station.run_for(5)
    check_invariants(station)


def test_a_supervisor_links_a_settled_sale_late(make_station: MakeStation) -> None:
    """The money already paid stays, the points come; a second member for the same sale is a correction; refunds in parts
    take exactly the second member's points back.
    """
    station = _ready(make_station, 95)
    station.fuel(1, 10_000)
    sale = station.sales()[0]["id"]
    assert _settle(station, sale)["ok"]
    before = station.rows("SELECT net_minor FROM settlement")
    station.run_for(1_200)
    first, second = station.config.cards[:2]
    assert not station.ask("sales.link", role="attendant", sale=sale, card=first, reason="forgot")["ok"]
    assert station.ask("sales.link", sale=sale, card=first, reason="forgot the card")["ok"]
    granted = _points(station)[member_of(1)]
    assert granted > 0
    assert station.ask("sales.link", sale=sale, card=second, reason="wrong member")["ok"]
    assert _points(station) == {member_of(1): 0, member_of(2): granted}
    assert station.rows("SELECT net_minor FROM settlement") == before
    for _ in range(2):
        assert station.ask("sales.refund", sale=sale, amount_minor=1_000, reason="spilled", again=True)["ok"]
    assert 0 < _points(station)[member_of(2)] < granted
    assert station.ask("sales.void", sale=sale, reason="wrong pump")["ok"]
    assert _points(station) == {member_of(1): 0, member_of(2): 0}
    station.run_for(5)
    check_invariants(station)
