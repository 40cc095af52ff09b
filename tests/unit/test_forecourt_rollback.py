"""A lowered price at a point: set at rest only, for who waits there, and the list price back before anybody else."""

from __future__ import annotations

from typing import Any

import pytest

from agent.domain.point_events import (
    Audit,
    AuthoriseByPerson,
    Book,
    ConfirmMeter,
    PricesWanted,
    RaiseAlert,
    RollbackOver,
    RollbackWanted,
    Send,
)
from agent.domain.point_lowered import LoweredPrice, Rollback, SoldLower
from agent.domain.point_prices import state_of
from agent.domain.point_state import ControlMode, NozzleConfig
from drivers.commands import Acknowledge, Authorise, Preset, ReadSale, SetPrices, Stop
from drivers.readings import CommandOutcome, CompletedSale, DeviceStatus, PointState, TotalizerReading
from tests.support.point_script import CALLING, FUELLING, IDLE, PRICE, Script, names

LOW = PRICE - 50
MEMBER = "567014f1b3c2a9de"
AUTHORISED, STARTED = PointState.AUTHORISED, PointState.STARTED


def wish(
    scan: str = "S1", *, until_ms: int = 180_000, listed: int = PRICE, preset_ml: int | None = None
) -> RollbackWanted:
    return RollbackWanted(Rollback(scan, MEMBER, (LoweredPrice(1, "roll", LOW, listed, preset_ml),), until_ms))


def audits(script: Script) -> list[str]:
    return [audit.action for audit in script.of(Audit)]


def lowered(**more: Any) -> Script:
    """A point whose pump has taken the lowered price of a waiting member."""
    script = Script(**more.pop("config", {})).ready()
    script(wish(**more))
    script.end(SetPrices)
    return script


def sold(script: Script, raw: int = 2_000, volume_ml: int = 10_000, price: int = LOW) -> Book:
    """Lifted, let go, sold and read out at ``price``; the sale."""
    script.at(CALLING, price=price)
    script.end(Authorise)
    script.at(STARTED, price=price)
    script.at(FUELLING, 1_000, price=price)
    script.at(FUELLING, volume_ml, price=price)
    script.at(IDLE, volume_ml, price=price)
    read = script.point.volatile.read
    assert read is not None
    script.answer(raw, volume_ml, price=price)
    (booked,) = script.of(Book)
    assert isinstance(booked, Book)
    return booked


def test_a_waiting_member_gets_the_price_at_rest_and_the_next_customer_the_list_price() -> None:
    """One order down, the sale says what it was lowered from, one order back up with its booking."""
    script = Script().ready()
    assert names(script(wish())) == ["Audit", "SetPrices"]
    assert script.sent(SetPrices).prices == ((1, LOW),)
    assert audits(script) == ["rollback_offered"]
    script.end(SetPrices)
    assert audits(script) == ["rollback_confirmed"]
    assert state_of(script.point, 1) == "lowered"
    booked = sold(script)
    assert booked.rollback == SoldLower("roll", MEMBER, PRICE)
    assert booked.booking.unit_price_milli == LOW
    assert booked.booking.flags == ()
    assert script.sent(SetPrices).prices == ((1, PRICE),)
    script.end(SetPrices)
    assert audits(script) == ["rollback_taken_back"]
    assert script.point.durable.rollback is None
    assert state_of(script.point, 1) == "in_force"
    script.end(Acknowledge)
    assert sold(script, raw=3_000, volume_ml=9_990, price=PRICE).rollback is None


BUSY: dict[str, tuple[list[tuple[PointState, int]], str]] = {
    "calling": ([(CALLING, 0)], "the nozzle was lifted before"),
    "started": ([(CALLING, 0), (STARTED, 0)], "the nozzle was lifted before"),
    "fuelling": ([(CALLING, 0), (STARTED, 0), (FUELLING, 5_000)], "the nozzle was lifted before"),
    "suspended": ([(CALLING, 0), (PointState.SUSPENDED_FUELLING, 0)], "the nozzle was lifted before"),
}


@pytest.mark.parametrize("state", BUSY)
def test_no_price_is_ordered_once_a_nozzle_is_out(state: str) -> None:
    """In every state of a fuelling the wish is refused with its reason, and nothing but what was under way is sent."""
    script = Script().ready()
    levels, reason = BUSY[state]
    for level, volume in levels:
        script.at(level, volume)
    assert names(script(wish())) == ["Audit"]
    (audit,) = script.of(Audit)
    assert audit.action == "rollback_not_offered"
    assert audit.detail.endswith(reason)
    assert script.point.durable.rollback is None


@pytest.mark.parametrize("state", [PointState.CLOSED, PointState.INOPERATIVE])
def test_a_point_that_is_closed_waits_for_rest(state: PointState) -> None:
    """Nothing is ordered from a closed or broken head; once it is idle the order leaves."""
    script = Script().ready()
    script.at(state, nozzle_out=False)
    assert "SetPrices" not in names(script(wish()))
    assert "SetPrices" in names(script.at(IDLE))


def test_the_read_out_of_the_customer_before_comes_first() -> None:
    """A member who scans while the last sale is read out: its booking, then the lower price; it keeps its own price."""
    script = Script().authorised()
    script.at(FUELLING, 10_000)
    script.at(IDLE, 10_000)
    assert names(script(wish())) == []
    effects = names(script.answer(2_000, 10_000))
    assert effects.index("Book") < effects.index("SetPrices")
    (book,) = script.of(Book)
    assert book.rollback is None
    assert book.booking.flags == ()


def test_a_lift_before_the_order_left_is_too_late() -> None:
    """Waiting for rest, then the nozzle is out: the wish is dropped, the list price stands, the lift is answered."""
    script = Script().ready()
    script.at(PointState.CLOSED, nozzle_out=False)
    script(wish())
    script.at(CALLING)
    assert audits(script) == ["rollback_not_offered"]
    assert "Authorise" in names(script.effects)
    assert script.point.durable.rollback is None


CANNOT: dict[str, tuple[dict[str, Any], RollbackWanted, str]] = {
    "monitor": ({"mode": ControlMode.MONITOR}, wish(), "monitor"),
    "no prices": ({"sets_prices": False}, wish(), "takes no prices"),
    "no presets": ({"presets": ()}, wish(preset_ml=20_000), "no preset by volume"),
    "no stop": ({"mode": ControlMode.RELEASED, "stops": False}, wish(), "could not be taken back"),
    "old list": ({}, wish(listed=PRICE + 10), "list price has changed"),
}


@pytest.mark.parametrize("case", CANNOT)
def test_a_point_that_cannot_says_why(case: str) -> None:
    """Only watched, no price orders, no presets for a limit, no stop, another list price: told, and nothing is sent."""
    config, wanted, reason = CANNOT[case]
    script = Script(**config).ready() if case != "monitor" else _monitored()
    assert names(script(wanted)) == ["Audit"]
    assert reason in script.of(Audit)[0].detail
    assert script.point.durable.rollback is None


def _monitored() -> Script:
    script = Script(ControlMode.MONITOR)
    script.at(IDLE)
    script.answer(1_000)
    script.at(IDLE)
    return script


@pytest.mark.parametrize("outcome", [CommandOutcome.REFUSED, CommandOutcome.UNKNOWN])
def test_a_pump_that_does_not_take_it_gets_its_list_price_confirmed(outcome: CommandOutcome) -> None:
    """Refused or unanswered: not tried again, the list price is ordered, and nobody is let go until that is certain."""
    script = Script().ready()
    script(wish())
    script.end(SetPrices, outcome)
    assert script.sent(SetPrices).prices == ((1, PRICE),)
    assert "Authorise" not in names(script.at(CALLING, price=None))
    script.at(IDLE)
    script.end(SetPrices)
    assert audits(script) == ["rollback_taken_back"]
    assert "Authorise" in names(script.at(CALLING))


def test_time_takes_it_back_by_itself() -> None:
    """Nobody lifts within the window, and nobody says so: the point orders its list price on its own."""
    script = lowered(until_ms=20_000)
    script.at(IDLE, price=LOW)
    script.ms = 21_000
    script.at(IDLE, price=LOW)
    assert script.sent(SetPrices).prices == ((1, PRICE),)


def test_the_same_wish_again_moves_its_end_only() -> None:
    """A member who hung up without fuelling gets more time; no second order leaves."""
    script = lowered(until_ms=20_000)
    assert names(script(wish(until_ms=90_000))) == []
    script.ms = 30_000
    assert names(script.at(IDLE, price=LOW)) == []


def test_who_lifts_while_it_is_taken_back_is_not_let_go_at_it() -> None:
    """The member has gone, the order up is refused, somebody lifts: no authorisation until the list price is shown."""
    script = lowered()
    script(RollbackOver("S1", "expired"))
    script.end(SetPrices, CommandOutcome.REFUSED)
    for _ in range(3):
        script.at(CALLING, price=LOW)
        assert "Authorise" not in names(script.effects)
        assert "SetPrices" not in names(script.effects), "never with a nozzle out"
    assert "Authorise" in names(script.at(CALLING, price=PRICE)), "a technician has set it at the head"


def test_who_lifts_at_a_head_that_tells_no_price_is_not_let_go_before_the_list_price_is_certain() -> None:
    """The order down and the order up both went unanswered: what the head sells at is not known, so nobody fuels."""
    script = Script().ready()
    script(wish())
    script.end(SetPrices, CommandOutcome.UNKNOWN)
    script.end(SetPrices, CommandOutcome.UNKNOWN)
    assert "Authorise" not in names(script.at(CALLING, price=None))


def test_a_list_price_that_does_not_come_back_is_tried_on_and_told() -> None:
    """Every ten seconds, not every five minutes, with PRICE_MISMATCH standing, and the point stays closed."""
    script = lowered()
    script(RollbackOver("S1", "expired"))
    orders = 0
    for _ in range(6):
        if script.point.volatile.inflight:
            orders += 1
            script.end(SetPrices, CommandOutcome.REFUSED)
        script.ms += 10_000
        script.at(IDLE, price=LOW)
    assert orders >= 5
    assert "PRICE_MISMATCH" in script.point.durable.alerts
    assert state_of(script.point, 1) == "refused"


def test_a_standing_lowered_price_is_no_mismatch() -> None:
    """The head shows what was ordered: no alert before, during and after the sale."""
    script = lowered()
    script.at(IDLE, price=LOW)
    assert script.of(RaiseAlert) == []
    sold(script)
    script.end(SetPrices)
    assert script.point.durable.alerts == ()


def test_a_head_that_goes_back_to_its_own_price_is_not_ordered_twice() -> None:
    """Confirmed, then it shows the list price again: the offer is over, and the list price is what everybody wants."""
    script = lowered()
    script.at(IDLE, price=PRICE)
    assert "SetPrices" not in names(script.effects)
    assert script.point.durable.rollback is None
    assert audits(script) == ["rollback_taken_back"]


def test_a_lift_that_meets_the_order_waits_for_its_end() -> None:
    """Let go only when the pump has answered; the sale has whatever price the pump then charged."""
    for outcome, price, given in (
        (CommandOutcome.APPLIED, LOW, True),
        (CommandOutcome.REFUSED, PRICE, False),
        (CommandOutcome.UNKNOWN, PRICE, False),
    ):
        script = Script().ready()
        script(wish())
        assert "Authorise" not in names(script.at(CALLING, price=PRICE))
        script.end(SetPrices, outcome)
        assert "SetPrices" not in names(script.effects), "never with a nozzle out"
        booked = sold(script, price=price) if script.point.durable.open is None else _sold_open(script, price)
        assert (booked.rollback is not None) is given
        assert booked.booking.unit_price_milli == price


def _sold_open(script: Script, price: int) -> Book:
    script.end(Authorise)
    script.at(FUELLING, 10_000, price=price)
    script.at(IDLE, 10_000, price=price)
    script.answer(2_000, 10_000, price=price)
    (booked,) = script.of(Book)
    assert isinstance(booked, Book)
    return booked


def test_a_pump_that_charges_its_list_price_after_all_has_given_nothing() -> None:
    """The order was confirmed, the lift shows the list price: let go, and the sale carries no roll-back."""
    script = lowered()
    booked = sold(script, price=PRICE)
    assert booked.rollback is None
    assert booked.booking.unit_price_milli == PRICE


def test_a_limit_goes_to_the_pump_as_a_preset_with_the_answer_to_the_lift() -> None:
    """No preset at rest, where another customer could meet it; at the lift the preset first, then the authorisation."""
    script = lowered(preset_ml=20_000)
    script.at(CALLING, price=LOW)
    preset = script.sent(Preset)
    assert (preset.volume_ml, preset.amount_minor) == (20_000, None)
    assert "Authorise" not in names(script.effects)
    script.end(Preset)
    assert "Authorise" in names(script.effects)


def test_a_preset_that_is_not_taken_ends_the_offer() -> None:
    """Nothing is authorised without its limit; after hanging up the list price comes back and the next lift is plain."""
    script = lowered(preset_ml=20_000)
    script.at(CALLING, price=LOW)
    script.end(Preset, CommandOutcome.REFUSED)
    assert "Authorise" not in names(script.effects)
    script.at(IDLE, price=LOW)
    script.answer(1_000)
    assert script.sent(SetPrices).prices == ((1, PRICE),)
    script.end(SetPrices)
    script.end(Acknowledge)
    script.at(IDLE)
    assert "Authorise" in names(script.at(CALLING))


PRESETS = {
    "nothing": ((None, None), (20_000, None)),
    "less volume": ((15_000, None), (15_000, None)),
    "more volume": ((30_000, None), (20_000, None)),
    "less money": ((None, 2_250), (None, 2_250)),
    "more money": ((None, 2_251), (20_000, None)),
}


@pytest.mark.parametrize("case", PRESETS)
def test_of_a_persons_preset_and_the_limit_the_smaller_holds(case: str) -> None:
    """Money is compared at the lowered price: 20 L at 1.125 are 22.50."""
    given, expected = PRESETS[case]
    mode = ControlMode.RELEASED if given == (None, None) else ControlMode.PRESET
    script = lowered(preset_ml=20_000, config={"mode": mode})
    script.at(CALLING, price=LOW)
    script(AuthoriseByPerson("wang", 1, *given))
    preset = script.sent(Preset)
    assert (preset.volume_ml, preset.amount_minor) == expected


def test_an_authorisation_whose_member_has_gone_is_stopped_before_a_lift() -> None:
    """Let go by a person before the lift, the member's time ends: stopped, read out, and back to the list price."""
    script = lowered(config={"mode": ControlMode.RELEASED})
    script(AuthoriseByPerson("wang", 1))
    script.end(Authorise)
    script.at(AUTHORISED, price=LOW)
    script(RollbackOver("S1", "expired"))
    assert script.sent(Stop)
    script.end(Stop)
    script.at(IDLE, price=LOW)
    script.answer(1_000)
    assert script.sent(SetPrices).prices == ((1, PRICE),)


def test_a_restart_takes_it_back_before_anybody_is_let_go() -> None:
    """Killed with the lowered price at the pump: totals are read first, then the list price, and nothing is replayed."""
    script = lowered()
    script.restarted()
    script.at(IDLE, price=LOW)
    assert [type(sent.command) for sent in script.of(Send)] == [ReadSale]
    script.answer(1_000)
    assert script.sent(SetPrices).prices == ((1, PRICE),)
    script.end(Acknowledge)
    assert "Authorise" not in names(script.at(CALLING, price=LOW))
    script.at(IDLE, price=LOW)
    script.end(SetPrices)
    assert audits(script) == ["rollback_taken_back"]


def test_a_fuelling_over_a_restart_keeps_what_it_was_promised() -> None:
    """Killed while fuel flows: the sale at the lowered price says so, and the list price follows it."""
    script = lowered()
    script.at(CALLING, price=LOW)
    script.end(Authorise)
    script.at(FUELLING, 5_000, price=LOW)
    script.restarted()
    script.at(FUELLING, 8_000, price=LOW)
    script.at(IDLE, 10_000, price=LOW)
    script.answer(2_000, 10_000, price=LOW)
    (booked,) = script.of(Book)
    assert booked.rollback == SoldLower("roll", MEMBER, PRICE)
    script.end(Acknowledge)
    script.at(IDLE, price=LOW)
    assert [u.kind for u in script.point.durable.unconfirmed] == ["SetPrices"]


def test_a_lost_line_ends_the_offer() -> None:
    """Nobody saw who fuelled meanwhile: over, and the list price is ordered with the first rest."""
    script = lowered()
    script(DeviceStatus("point:1", online=False))
    script(DeviceStatus("point:1", online=True, gap=True))
    script.at(IDLE, price=LOW)
    rollback = script.point.durable.rollback
    assert rollback is not None
    assert rollback.over == "sight of the point was lost"
    script.answer(1_000)
    assert script.sent(SetPrices).prices == ((1, PRICE),)


def test_a_price_shown_only_between_two_orders_is_not_that_of_later_litres() -> None:
    """Taken and never told, read out at the lowered price, the list price set: recovered litres cost the list price."""
    script = Script().ready()
    script(wish())
    script(DeviceStatus("point:1", online=False))
    script(DeviceStatus("point:1", online=True, gap=True))
    script.at(IDLE, price=LOW)
    script.end(SetPrices, CommandOutcome.UNKNOWN)
    script.answer(1_000)
    script.end(SetPrices)
    script.at(IDLE)
    meter = script.point.durable.meter(1)
    assert meter is not None
    assert meter.unit_price_milli == PRICE


def test_a_sale_at_the_lowered_price_by_nobody_who_was_offered_it_is_flagged() -> None:
    """The pump took a lift by itself while the list price was on its way: booked at what it charged, and told."""
    script = lowered()
    script(RollbackOver("S1", "expired"))
    script.at(FUELLING, 4_000, price=LOW)
    script.at(FUELLING, 10_000, price=LOW)
    script.at(IDLE, 10_000, price=LOW)
    script.end(SetPrices, CommandOutcome.REFUSED)
    script.answer(2_000, 10_000, price=LOW)
    (booked,) = script.of(Book)
    assert booked.rollback == SoldLower("roll", MEMBER, PRICE)
    assert booked.booking.flags == ("lowered_price",)
    assert "rollback_to_another" in audits(script)


def test_of_two_sales_in_one_read_out_the_newest_is_the_members() -> None:
    """The meter counted more than the display tells: what came before was offered to nobody, and is flagged."""
    script = lowered()
    script.at(CALLING, price=LOW)
    script.end(Authorise)
    script.at(FUELLING, 1_000, price=LOW)
    script.at(FUELLING, 10_000, price=LOW)
    script.at(IDLE, 10_000, price=LOW)
    script.answer(3_000, 10_000, price=LOW)
    before, newest = script.of(Book)
    assert before.rollback is not None
    assert "lowered_price" in before.booking.flags
    assert (newest.rollback, newest.booking.flags) == (SoldLower("roll", MEMBER, PRICE), ())


def test_a_sale_kept_over_a_replaced_meter_keeps_what_it_was_promised() -> None:
    """The meter breaks under the member's sale: booked with its roll-back when a supervisor confirms the new count."""
    script = lowered()
    script.at(CALLING, price=LOW)
    script.end(Authorise)
    script.at(FUELLING, 1_000, price=LOW)
    script.at(FUELLING, 10_000, price=LOW)
    script.at(IDLE, 10_000, price=LOW)
    script.answer(1_500_000_000, 10_000, price=LOW)
    assert script.point.durable.resets == (1,)
    script(RollbackOver("S1", "linked"))
    script(ConfirmMeter(1, "wang"))
    script.answer(1_500_000_000, 10_000, price=LOW)
    (booked,) = script.of(Book)
    assert booked.rollback == SoldLower("roll", MEMBER, PRICE)
    assert script.sent(SetPrices).prices == ((1, PRICE),)


def test_a_new_list_price_ends_an_offer_and_is_what_comes_back() -> None:
    """Changed while a member waits: the pump goes to the new list price; under a fuelling the promise holds."""
    script = lowered()
    script(PricesWanted(((1, PRICE + 100),)))
    assert script.sent(SetPrices).prices == ((1, PRICE + 100),)
    script = lowered()
    script.at(CALLING, price=LOW)
    script.end(Authorise)
    script.at(FUELLING, 5_000, price=LOW)
    assert names(script(PricesWanted(((1, PRICE + 100),)))) == []
    script.at(FUELLING, 10_000, price=LOW)
    script.at(IDLE, 10_000, price=LOW)
    script.answer(2_000, 10_000, price=LOW)
    (booked,) = script.of(Book)
    assert booked.rollback == SoldLower("roll", MEMBER, PRICE)
    assert script.sent(SetPrices).prices == ((1, PRICE + 100),)


def test_all_nozzles_are_told_and_only_those_meant_are_lowered() -> None:
    """One order names every nozzle of the point; the one without an offer keeps its list price and gives nothing."""
    two = (NozzleConfig(1, "92", 1, PRICE), NozzleConfig(2, "95", 2, PRICE + 30))
    script = Script(nozzles=two)
    script.at(IDLE)
    read = script.point.volatile.read
    assert read is not None
    totals = tuple(TotalizerReading(1, n, 1_000, 10, 10**10) for n in (1, 2))
    script(CompletedSale(read.command_id, 1, totals, None, totals))
    script.end(Acknowledge)
    script.end(SetPrices)
    script.at(IDLE)
    script(wish())
    assert script.sent(SetPrices).prices == ((1, LOW), (2, PRICE + 30))
    script.end(SetPrices)
    script.at(CALLING, price=PRICE + 30, nozzle=2)
    assert script.sent(Authorise).nozzles == (2,)
