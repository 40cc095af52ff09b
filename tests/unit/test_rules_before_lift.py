"""Which lower price a waiting member is offered: the conditions of the settlement, asked before there is a sale."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.member import MemberFacts, UseCount, UseWindow
from agent.domain.rules.facts import BudgetView, Presented, RollbackGiven
from agent.domain.rules.rollback import LowerPrice, PumpNozzle, Waiting, lower_prices
from agent.domain.rules.verdict import Verdict
from tests.support.loyalty import MEMBER, Table, instant, member, rules, run, sale

ROLL: Table = {"id": "roll", "kind": "PUMP_ROLLBACK", "off_milli": 300}
PETROL = PumpNozzle(1, "92", "petrol", 7_850)
PREMIUM = PumpNozzle(2, "95", "petrol", 8_360)
DIESEL = PumpNozzle(3, "0", "diesel", 7_490)
TODAY = UseCount("roll", UseWindow.DAY, "2026-11-21", 1, 0)
DAILY: Table = {"limit": [{"per": "MEMBER", "window": "DAY", "uses": 1}]}
AT_STATION: Table = {"limit": [{"per": "STATION", "window": "DAY", "uses": 1}]}


def offered(
    *offers: Table,
    nozzles: tuple[PumpNozzle, ...] = (PETROL,),
    who: MemberFacts | None = None,
    level: str = "fm1_dynamic",
    **more: Any,
) -> tuple[LowerPrice, ...]:
    """What a waiting member is offered; offers are completed to roll-backs."""
    groups = more.pop("groups", ())
    counted = BudgetView(station_uses=more.pop("station_uses", ()))
    under_way = frozenset(more.pop("under_way", ()))
    waiting = Waiting(who or member(), "SH-0421", Presented(level), counted, instant(), under_way)
    return lower_prices(nozzles, waiting, rules(*({**ROLL, **offer} for offer in offers), groups=groups))


def test_each_nozzle_has_the_price_of_its_own_offer() -> None:
    """By grade, so much off or a fixed price; a nozzle without an offer is left out."""
    prices = offered(
        {"id": "a", "when": {"grades": ["92"]}},
        {"id": "b", "off_milli": 500, "when": {"product_groups": ["diesel"]}, "cap": {"volume_ml": 40_000}},
        nozzles=(PETROL, PREMIUM, DIESEL),
    )
    assert prices == (LowerPrice(1, "a", 7_550, 7_850, None), LowerPrice(3, "b", 6_990, 7_490, 40_000))


def test_a_fixed_price_counts_only_where_it_is_lower() -> None:
    """A price of 7.60 lowers 7.85 and is nothing at a nozzle that sells at 7.49."""
    fixed = {"id": "roll", "kind": "PUMP_ROLLBACK", "price_milli": 7_600}
    waiting = Waiting(member(), "SH-0421", Presented("fm1_dynamic"), BudgetView(), instant())
    assert lower_prices((PETROL, DIESEL), waiting, rules(fixed)) == (LowerPrice(1, "roll", 7_600, 7_850, None),)


@pytest.mark.parametrize("off", [7_850, 9_000])
def test_no_price_is_set_to_nothing(off: int) -> None:
    """An offer of the whole list price, or more, never makes a pump sell for nothing."""
    assert offered({"off_milli": off}) == ()


CONDITIONS: dict[str, tuple[Table, dict[str, Any]]] = {
    "plain": ({}, {}),
    "tier": ({"when": {"tiers": ["gold"]}}, {}),
    "tier reached": ({"when": {"tiers": ["gold"]}}, {"who": member(tier="gold")}),
    "tag": ({"when": {"tags": ["taxi"]}}, {}),
    "birthday": ({"when": {"birthday": "MONTH"}}, {"who": member(birthday_md="11-03")}),
    "first fill": ({"when": {"first_fill": True}}, {}),
    "first fill used": ({"when": {"first_fill": True}}, {"who": member(uses=(TODAY,))}),
    "visit": ({"when": {"visit_every": 5}}, {"who": member(visits=4)}),
    "grade": ({"when": {"grades": ["95"]}}, {}),
    "station": ({"when": {"stations": ["SH-9999"]}}, {}),
    "weekday": ({"when": {"weekdays": ["mon"]}}, {}),
    "window": ({"when": {"window": [{"from": "16:00", "to": "17:00"}]}}, {}),
    "window over": ({"when": {"window": [{"from": "15:00", "to": "16:00"}]}}, {}),
    "ended": ({"when": {"ends_on": "2026-11-20"}}, {}),
    "weak": ({"when": {"min_level": "fm1_dynamic"}}, {"level": "number"}),
    "held out": ({"when": {"holdout_bp": 9_999}}, {}),
    "limit": (DAILY, {}),
    "limit used": (DAILY, {"who": member(uses=(TODAY,))}),
    "station limit used": (AT_STATION, {"station_uses": (TODAY,)}),
}


@pytest.mark.parametrize("case", CONDITIONS)
def test_the_pump_and_the_settlement_ask_the_same_conditions(case: str) -> None:
    """Offered at the pump exactly where the settlement would convert it; once given it stands in the evaluation."""
    offer, more = CONDITIONS[case]
    prices = offered(offer, **more)
    who, level = more.get("who", member()), more.get("level", "fm1_dynamic")
    budgets = BudgetView(station_uses=more.get("station_uses", ()))
    late = run(rules({**ROLL, **offer}), sale(level=level), who, budgets=budgets)
    assert bool(prices) is (late.verdict("roll").verdict is Verdict.APPLIED)
    if prices:
        given = RollbackGiven(prices[0].offer, prices[0].list_price_milli)
        sold = sale(price_milli=prices[0].unit_price_milli, level=level, rollback=given)
        evaluation = run(rules({**ROLL, **offer}), sold, who, budgets=budgets)
        assert evaluation.verdict("roll").verdict is Verdict.APPLIED
        assert (evaluation.discount_minor, evaluation.rollback_minor) == (0, 1_146), (
            "may differ from the discount per litre by one minor unit"
        )


@pytest.mark.parametrize("when", [{"min_amount_minor": 1}, {"min_volume_ml": 1}])
def test_an_offer_with_a_minimum_is_left_to_the_settlement(when: Table) -> None:
    """Nobody knows before the lift how much will be bought."""
    assert offered({"when": when}) == ()


def test_the_lowest_price_wins_and_a_group_that_takes_the_first_has_its_first() -> None:
    """Of several open offers the lowest; equal ones by priority and id; FIRST is FIRST whatever it gives."""
    small, large = {"id": "small", "off_milli": 100, "priority": 1}, {"id": "large", "off_milli": 400, "priority": 2}
    assert [price.offer for price in offered(small, large)] == ["large"]
    assert [price.offer for price in offered({"id": "b"}, {"id": "a"})] == ["a"]
    grouped = offered({**small, "group": "g"}, {**large, "group": "g"}, groups=[("g", "FIRST")])
    assert [price.offer for price in grouped] == ["small"]


@pytest.mark.parametrize(
    ("offer", "under_way", "is_offered"),
    [
        ({}, [("roll", MEMBER)], True),
        (DAILY, [("roll", MEMBER)], False),
        (DAILY, [("roll", "0011223344556677"), ("other", MEMBER)], True),
        (DAILY, [("roll", None)], True),
        ({"when": {"first_fill": True}}, [("roll", MEMBER)], False),
        (AT_STATION, [("roll", None)], False),
        (AT_STATION, [("other", MEMBER)], True),
    ],
)
def test_a_use_that_is_not_counted_yet_counts(offer: Table, under_way: list[Any], is_offered: bool) -> None:
    """Where a limit may be used up by a sale that is not settled, nothing is set at the pump."""
    assert bool(offered(offer, under_way=under_way)) is is_offered
