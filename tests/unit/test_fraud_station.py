"""Signs of misuse at a running station: what is found in links, refusals and refunds, and what becomes of the points."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from agent.domain import link_records as links
from agent.domain.answers import Outcome
from agent.domain.identity import AuthLevel
from agent.pipeline import scanning, watching
from agent.pipeline.step import Step
from tests.support.till import EARN, MEMBER, OTHER, Till
from tests.support.watched import HOUR_S, alerts, effects, held, scan, told, watched_till

POINTS = 157
"""What 20 L earn."""


@pytest.fixture
def till() -> Iterator[Till]:
    """A watched till; everything adds up afterwards."""
    yield from watched_till()


def paid(till: Till, *, after_s: float = 2 * HOUR_S, **more: Any) -> str:
    """A fuelling of the member that is paid; then time passes."""
    sale = till.fuelled(**more)
    till.settle(sale)
    till.clock.now_s += after_s
    return sale


def waits_h(till: Till, sale: str) -> int | None:
    """How many hours after its end the points of a sale may be spent, ``None`` while they are held."""
    (row,) = till.rows(
        f"SELECT l.usable_from_ms, s.ended_ms FROM lot l JOIN sale s ON s.id = l.id WHERE l.id = '{sale}'"
    )
    return None if row["usable_from_ms"] is None else (row["usable_from_ms"] - row["ended_ms"]) // (HOUR_S * 1_000)


def test_an_ordinary_day_raises_nothing(till: Till) -> None:
    """Two members, each once: no alert, no record, points usable after 24 hours."""
    first = paid(till)
    paid(till, member=OTHER)
    assert (alerts(till, "rule"), told(till), waits_h(till, first)) == ([], [], 24)


def test_the_fourth_fuelling_of_a_day_earns_held_points(till: Till) -> None:
    """R1: noted, alert, held; one alert that grows; head office hears of it from the third fuelling on."""
    sales = [paid(till, after_s=1_200) for _ in range(2)]
    assert alerts(till, "rule", "severity", "observed") == [("R1", "info", 2)]
    assert (told(till), [waits_h(till, sale) for sale in sales]) == ([], [48, 48])
    sales += [paid(till, after_s=1_200) for _ in range(3)]
    assert alerts(till, "rule", "severity", "observed", "threshold", "updates") == [("R1", "alert", 5, 4, 3)]
    assert told(till) == [("R1", "raised"), ("R1", "updated"), ("R1", "updated")]
    assert [waits_h(till, sale) for sale in sales] == [48, 48, 48, None, None]
    assert held(till) == 2 * POINTS
    record = till.records("fc.fraud.alert.v1")[-1]
    assert record["subject"] == f"member:{MEMBER}"
    assert record["evidence"]["sales"] == sales
    assert (record["evidence"]["sales_left_out"], record["evidence"]["unit"]) == (0, "fuellings_on_day")


def test_alerts_are_of_a_local_day(till: Till) -> None:
    """The day after, the same member begins anew."""
    for _ in range(2):
        for _ in range(3):
            paid(till)
        till.clock.now_s += 18 * HOUR_S
    assert alerts(till, "rule", "day") == [("R1", "2026-01-05"), ("R1", "2026-01-06")]


def test_the_registered_tank_comes_with_the_member(till: Till) -> None:
    """R2: 30 L into a tank of 26 L are more than 115 % of it; without a tank they are nothing."""
    paid(till, volume_ml=30_000)
    till.member(OTHER, op=2, tank_l=26)
    paid(till, volume_ml=30_000, member=OTHER)
    assert alerts(till, "rule", "observed", "threshold") == [("R2", 30_000, 29_900)]


def test_a_link_long_after_the_end_is_noted(till: Till) -> None:
    """R4: 481 s after the nozzle was hung up, about whoever linked it; the points wait 48 hours."""
    sale = till.sale()
    till.clock.now_s += 481
    till.link(sale)
    till.settle(sale)
    assert alerts(till, "rule", "severity", "attendant", "observed") == [("R4", "info", "li", 481)]
    assert waits_h(till, sale) == 48


def test_a_supervisors_late_link_holds_the_points(till: Till) -> None:
    """R4: after its time only a supervisor links a sale; head office is told, the points wait for a review."""
    sale = till.sale()
    till.settle(sale)
    till.clock.now_s += HOUR_S
    till.link(sale)
    assert alerts(till, "rule", "severity", "attendant") == [("R4", "alert", "li")]
    assert (told(till), waits_h(till, sale), held(till)) == ([("R4", "raised")], None, POINTS)


def test_a_printed_code_on_two_sales_of_a_day(till: Till) -> None:
    """R6: the second sale with the same printed code is an alert about the member."""
    for _ in range(2):
        paid(till, level=AuthLevel.FM1_PRINTED)
    assert alerts(till, "rule", "severity", "observed") == [("R6", "alert", 2)]


@pytest.mark.parametrize("flag", ["staff", "family"])
def test_staff_cards_earn_once_a_day(till: Till, flag: str) -> None:
    """R10: the second fuelling of a day gives no points; head office is told."""
    till.member(op=2, flags=[flag])
    first, second = paid(till), paid(till)
    assert alerts(till, "rule", "observed") == [("R10", 2)]
    earned = {row["sale"]: row["points_earned"] for row in till.rows("SELECT sale, points_earned FROM settlement")}
    assert earned == {first: POINTS, second: 0}


def test_whoever_links_their_own_card_earns_nothing(till: Till) -> None:
    """R10: a card whose flag names its holder earns nothing in that person's session, and elsewhere it does."""
    till.member(op=2, flags=["staff:li"])
    paid(till)
    assert till.one("SELECT points_earned FROM settlement") == 0
    till.member(OTHER, op=3, flags=["staff:zhao"])
    other = paid(till, member=OTHER)
    assert till.one(f"SELECT points_earned FROM settlement WHERE sale = '{other}'") == POINTS


def test_a_corrected_link_leaves_the_old_members_alert_behind(till: Till) -> None:
    """R10: what a staff card took too much of is a customer's when the link is corrected: it earns as any sale."""
    till.member(op=2, flags=["staff:li"])
    sale = till.fuelled()
    answer = till.do(lambda step: _change(step, sale))
    assert answer == ["CORRECTED"]
    till.settle(sale)
    assert till.one("SELECT points_earned FROM settlement") == POINTS


def _change(step: Step, sale: str) -> list[str]:
    who = links.Credential(step.new_id(), "cli", "li", OTHER, AuthLevel.FM1_DYNAMIC)
    asked = links.CorrectionRequested(sale, who, "li", links.Role.SUPERVISOR, "wrong card")
    return [one.outcome.value for one in scanning.tell(step, asked) if isinstance(one, links.Answer)]


# --- codes shown again ------------------------------------------------------------------------------------------------


def test_a_used_code_shown_for_another_sale(till: Till) -> None:
    """R8: refused, an alert, and the points of the sale it was used for are held, paid or not."""
    first = till.sale()
    assert scan(till, cti="aa") == "LINKED"
    till.settle(first)
    till.clock.now_s += 60
    till.sale()
    assert scan(till, cti="aa") == "REPLAYED"
    assert alerts(till, "rule", "severity", "observed") == [("R8", "alert", 1)]
    assert (effects(till, "R8"), waits_h(till, first), held(till)) == ({first: "hold"}, None, POINTS)


def test_a_waiting_code_shown_at_another_reader(till: Till) -> None:
    """R8: the code waits at point 1 and is shown at point 2: the sale that it then links is held."""
    assert scan(till, cti="bb") == "WAITING_FOR_NOZZLE"
    till.clock.now_s += 10
    assert scan(till, "reader-2", by="zhao", cti="bb") == "REPLAYED"
    assert effects(till, "R8") == {}
    till.do(lambda step: _fuel_waiting(step, till))
    sale = till.sale()
    till.settle(sale)
    assert (effects(till, "R8"), waits_h(till, sale)) == ({sale: "hold"}, None)
    assert told(till) == [("R8", "raised"), ("R8", "updated")]


def _fuel_waiting(step: Step, till: Till) -> None:
    scanning.tell(step, links.NozzleLifted(1, 1, f"0:{till.meter()}"))


@pytest.mark.parametrize(("reader", "found"), [("reader-1", []), ("reader-2", [("R8", 1)])])
def test_a_code_that_expired_unused(till: Till, reader: str, found: list[Any]) -> None:
    """R8: the customer who waited too long shows the same code again and is only refused; at another reader it tells."""
    assert scan(till, cti="cc") == "WAITING_FOR_NOZZLE"
    till.wait(181)
    assert scan(till, reader, cti="cc") == "REPLAYED"
    assert alerts(till, "rule", "observed") == found


def test_a_refused_chip_holds_what_it_earned_today(till: Till) -> None:
    """R12: a counter that fell back: an alert, and sales by that chip are held, those before and those to come."""
    first = paid(till, level=AuthLevel.SUN)
    refusal = watching.Refusal(Outcome.COUNTER_REPLAYED, "reader-1", "li", MEMBER)
    till.do(lambda step: watching.after_refusal(step, refusal))
    second = paid(till, level=AuthLevel.SUN)
    third = paid(till, level=AuthLevel.NUMBER)
    assert effects(till, "R12") == {first: "hold", second: "hold"}
    assert [waits_h(till, sale) for sale in (first, second, third)] == [None, None, 48]


def test_a_chip_nobody_knows_is_about_the_attendant(till: Till) -> None:
    """R12: where the chip names no member the alert is about who was signed in, or the reader."""
    for person in ("li", None):
        refusal = watching.Refusal(Outcome.UID_MISMATCH, "reader-1", person)
        till.do(partial(_refuse, refusal=refusal))
    assert alerts(till, "rule", "attendant") == [("R12", "li"), ("R12", "reader-1")]


def _refuse(step: Step, refusal: watching.Refusal) -> None:
    watching.after_refusal(step, refusal)


def test_a_counter_that_jumps_is_a_note(till: Till) -> None:
    """R12: noted at the station; head office is not told, nothing is held."""
    till.do(lambda step: watching.after_counter(step, MEMBER, 200))
    till.do(lambda step: watching.after_counter(step, MEMBER, 201))
    assert (alerts(till, "rule", "severity", "observed"), told(till)) == ([("R12", "info", 201)], [])


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_refunds_add_up(till: Till) -> None:
    """R11: one refund is noted, of a second sale of the member an alert, of a third also one about the attendant."""
    for number in range(3):
        till.clock.now_s += 25 * HOUR_S
        sale = paid(till)
        assert till.ask("sales.void", sale=sale, reason="test")["ok"]
        assert len(alerts(till, "id")) == number + 1 + (number == 2)
    assert alerts(till, "rule", "severity", "attendant", "observed") == [
        ("R11", "info", None, 1),
        ("R11", "alert", None, 2),
        ("R11", "alert", None, 3),
        ("R11", "alert", "li", 3),
    ]


def test_a_refund_of_a_sale_without_points_is_no_sign(till: Till) -> None:
    """R11: without a member, or before anything was earned, there is nothing to gain."""
    sale = till.sale()
    till.settle(sale)
    assert till.ask("sales.void", sale=sale, reason="test")["ok"]
    assert alerts(till, "rule") == []


# --- where nothing is looked at ---------------------------------------------------------------------------------------


def test_fuel_for_a_test_counts_nowhere(till: Till) -> None:
    """Fuellings booked as a meter test or own use are no fuellings of the member."""
    for _ in range(3):
        sale = till.fuelled()
        tenders = [{"kind": "own-use", "amount_minor": None, "ref": None}]
        assert till.ask("sales.settle", sale=sale, tenders=tenders)["ok"]
        till.clock.now_s += 2 * HOUR_S
    assert alerts(till, "rule") == []


def test_training_is_not_watched() -> None:
    """In training nothing is looked at."""
    for till in watched_till(mode="training"):
        for _ in range(4):
            paid(till, after_s=60)
        assert (alerts(till, "rule"), till.one("SELECT count(*) FROM lot")) == ([], 4)


def test_a_rule_may_be_left_out(till: Till) -> None:
    """A rule named in [fraud] off finds nothing; the others still do."""
    fraud = till.settings.fraud.model_copy(update={"off": ("R1",)})
    till.settings = till.settings.model_copy(update={"fraud": fraud})
    till.restart()
    for _ in range(3):
        paid(till, level=AuthLevel.NUMBER)
    assert {rule for (rule,) in alerts(till, "rule")} == {"R6"}


def test_a_step_that_never_came_to_its_end_raises_nothing(till: Till) -> None:
    """Link and alert stand or fall together: after a death before the commit the same link raises the alert once."""
    for _ in range(2):
        paid(till)
    sale = till.sale()

    def cut(step: Step) -> None:
        who = links.Credential(step.new_id(), "cli", "li", MEMBER, AuthLevel.FM1_DYNAMIC)
        scanning.tell(step, links.LinkRequested(sale, who, "li", links.Role.SUPERVISOR, "test"))
        assert step.tx.fraud.touching(sale, step.tx.members.ensure(MEMBER))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        till.do(cut)
    till.restart()
    assert told(till) == []
    till.link(sale)
    assert (told(till), len(alerts(till, "id"))) == ([("R1", "raised")], 1)


def test_points_are_held_once_and_refunded_from_where_they_are(till: Till) -> None:
    """Held points of a sale that is given back are gone from the held ones; nothing is taken twice."""
    first = till.sale()
    scan(till, cti="dd")
    till.settle(first)
    till.clock.now_s += 60
    till.sale()
    scan(till, cti="dd")
    assert held(till) == POINTS
    assert till.ask("sales.refund", sale=first, amount_minor=7_850, reason="half")["ok"]
    assert held(till) == POINTS - 79
    assert till.ask("sales.void", sale=first, reason="rest")["ok"]
    assert held(till) == 0


def test_offers_are_as_they_were(till: Till) -> None:
    """Rules only wait with points: what a customer pays is the same at a watched station."""
    till.rules(EARN, version=2)
    nets = [till.settle(till.fuelled())["net_minor"] for _ in range(4)]
    assert nets == [15_700] * 4
