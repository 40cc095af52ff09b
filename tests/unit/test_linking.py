"""Linking: the worked sequences, and which sale a scan means."""

from dataclasses import replace

import pytest

from agent.domain.answers import Outcome, Tone
from agent.domain.identity import AuthLevel
from agent.domain.link_records import (
    ControlScanned,
    Credential,
    End,
    FlowSeen,
    LinkSale,
    MemberScanned,
    PendingEnded,
    PendingState,
    PointChosen,
    SaleStateChanged,
    SpendCode,
)
from agent.domain.sale import SaleState
from tests.support.link_bench import M1, M2, Bench, answer_of, linked


def test_sequence_1_scan_lift_fuel_hang():
    """A scan before the lift links the sale when it is stored, with delay 0."""
    bench = Bench()
    assert bench.scan(0, "P3", M1).outcome is Outcome.WAITING_FOR_NOZZLE
    bench.lift(40, 3, "0:100")
    bench.do(60, FlowSeen(3))
    effects = bench.book(200, "sale-1", 3, "0:100")
    assert linked(bench) == [("sale-1", M1, 0)]
    assert [type(effect) for effect in effects] == [PendingEnded, LinkSale]
    assert bench.desk.pending == {}


def test_sequence_2_lift_after_the_window():
    """A lift at 181 s finds no waiting link; a fresh code links the sale within 600 s."""
    bench = Bench()
    bench.scan(0, "P3", M1, "c1")
    bench.lift(181, 3, "0:100")
    bench.book(300, "sale-1", 3, "0:100")
    assert linked(bench) == []
    assert bench.ends == [("S1", End.EXPIRED)]
    assert bench.scan(310, "P3", M1, "c1").outcome is Outcome.REPLAYED
    assert bench.scan(320, "P3", M1, "c2").outcome is Outcome.LINKED
    assert linked(bench) == [("sale-1", M1, 20)]


def test_lift_at_exactly_180_seconds_still_counts():
    """The window includes its last moment."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    bench.lift(180, 3, "0:100")
    bench.book(240, "sale-1", 3, "0:100")
    assert linked(bench) == [("sale-1", M1, 0)]


@pytest.mark.parametrize("reader", ["P3", "ROAM"])
def test_sequence_3_fuel_hang_scan(reader):
    """A scan 95 s after hang-up links the only unpaid sale."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    assert bench.scan(95, reader, M1).outcome is Outcome.LINKED
    assert linked(bench) == [("sale-1", M1, 95)]


def test_sequence_9_scan_while_locked_earns_only():
    """A sale that is being paid takes a member, who can only earn."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.do(5, SaleStateChanged("sale-1", SaleState.LOCKED))
    assert bench.scan(10, "P3", M1).outcome is Outcome.LINKED_AFTER_LOCK
    assert [link.after_lock for link in bench.links] == [True]


def test_sequence_10_one_member_at_two_points():
    """Two fresh codes at two points give two links."""
    bench = Bench()
    bench.lift(0, 3, "0:100")
    bench.lift(1, 4, "0:700")
    assert bench.scan(5, "P3", M1, "c1").outcome is Outcome.LINKED
    assert bench.scan(9, "P4", M1, "c2").outcome is Outcome.LINKED
    bench.book(100, "sale-3", 3, "0:100")
    bench.book(101, "sale-4", 4, "0:700")
    assert linked(bench) == [("sale-3", M1, 0), ("sale-4", M1, 0)]


def test_sequence_11_expired_unused_code_is_replayed():
    """A scan without a chosen point expires; its code stays spent and a fresh one links."""
    bench = Bench()
    asked = bench.scan(0, "ROAM", M1, "c1")
    assert (asked.outcome, asked.tone) == (Outcome.CHOOSE_POINT, Tone.ASK)
    assert [(choice.kind, choice.point) for choice in asked.choices] == [("point", 3), ("point", 4), ("point", 5)]
    assert bench.scan(61, "ROAM", M1, "c1").outcome is Outcome.REPLAYED
    assert bench.ends == [("S1", End.EXPIRED)]
    bench.fuel(200, "sale-1", 4, "0:100")
    assert bench.scan(210, "ROAM", M1, "c2").outcome is Outcome.LINKED


def test_live_and_older_sale_at_one_point_are_asked():
    """With a live fuelling and an unpaid sale the station asks, and the tile decides."""
    bench = Bench()
    bench.fuel(0, "old", 3, "0:100")
    bench.lift(30, 3, "0:200")
    asked = bench.scan(40, "P3", M1)
    assert asked.outcome is Outcome.CHOOSE_POINT
    assert [(choice.kind, choice.sale, choice.age_s) for choice in asked.choices] == [
        ("live", None, None),
        ("sale", "old", 40),
    ]
    assert answer_of(bench.do(45, ControlScanned("P3", 3))).outcome is Outcome.CHOOSE_POINT
    assert answer_of(bench.do(50, PointChosen("P3", "A1", 3, live=True))).outcome is Outcome.LINKED
    bench.book(100, "new", 3, "0:200")
    assert linked(bench) == [("new", M1, 0)]


def test_two_unpaid_sales_are_asked_newest_first():
    """Two sales without a member are two tiles; the picked one is linked."""
    bench = Bench()
    bench.fuel(0, "one", 3, "0:100")
    bench.fuel(100, "two", 3, "0:200")
    asked = bench.scan(110, "P3", M1)
    assert [choice.sale for choice in asked.choices] == ["two", "one"]
    assert answer_of(bench.do(120, PointChosen("P3", "A1", sale="one"))).outcome is Outcome.LINKED
    assert linked(bench) == [("one", M1, 120)]
    assert bench.ends == [("S1", End.LINKED)]


def test_control_barcode_before_the_code_chooses_the_point():
    """FP:4 and then a member code within 60 s mean point 4; later it means nothing."""
    bench = Bench()
    bench.fuel(0, "at-3", 3, "0:100")
    bench.fuel(0, "at-4", 4, "0:700")
    assert answer_of(bench.do(10, ControlScanned("ROAM", 4))).outcome is Outcome.SCAN_NOW
    bench.scan(70, "ROAM", M1)
    assert linked(bench) == [("at-4", M1, 70)]
    bench.do(80, ControlScanned("ROAM", 3))
    assert bench.scan(141, "ROAM", M2).outcome is Outcome.LINKED
    assert bench.desk.chosen == {}


def test_control_barcode_after_the_code_chooses_the_point():
    """A member code and then FP:3 link the live fuelling of point 3."""
    bench = Bench()
    bench.lift(0, 3, "0:100")
    bench.lift(0, 4, "0:700")
    assert bench.scan(5, "ROAM", M1).outcome is Outcome.CHOOSE_POINT
    assert answer_of(bench.do(8, ControlScanned("ROAM", 3))).outcome is Outcome.LINKED
    bench.book(60, "sale-3", 3, "0:100")
    assert linked(bench) == [("sale-3", M1, 0)]


def test_barcode_of_a_point_that_the_reader_does_not_serve():
    """A point outside the reader's list is refused and keeps nothing."""
    bench = Bench()
    assert answer_of(bench.do(0, ControlScanned("P3", 4))).outcome is Outcome.POINT_NOT_SERVED
    assert bench.desk.chosen == {}


def test_a_tile_tapped_first_waits_thirty_seconds_and_says_what_changed():
    """A chosen sale that was paid meanwhile takes no member, and the code is not spent."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.do(10, PointChosen("ROAM", "A1", sale="sale-1"))
    bench.do(15, SaleStateChanged("sale-1", SaleState.CLEARED))
    assert bench.scan(20, "ROAM", M1, "c1").outcome is Outcome.SALE_GONE
    assert bench.desk.pending == {}
    assert bench.scan(30, "ROAM", M1, "c1").outcome is Outcome.CHOOSE_POINT


def test_cancel_ends_what_waits_at_this_reader():
    """CANCEL ends a waiting scan; a live one it does not touch."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    assert answer_of(bench.do(5, ControlScanned("P3", None))).outcome is Outcome.CANCELLED
    assert bench.ends == [("S1", End.CANCELLED)]
    bench.scan(10, "P3", M1, "c2")
    bench.lift(12, 3, "0:100")
    assert answer_of(bench.do(15, ControlScanned("P3", None))).outcome is Outcome.NOTHING_TO_CANCEL
    bench.book(60, "sale-1", 3, "0:100")
    assert linked(bench) == [("sale-1", M1, 0)]


def test_a_waiting_scan_is_not_pushed_aside_by_another_member():
    """While one scan has no point, another member's code is not taken and not spent."""
    bench = Bench()
    bench.scan(0, "ROAM", M1, "c1")
    assert bench.scan(5, "ROAM", M2, "c2").outcome is Outcome.FINISH_FIRST
    bench.do(8, ControlScanned("ROAM", 3))
    assert bench.scan(10, "ROAM", M2, "c2").outcome is Outcome.CHOOSE_POINT


def test_duplicates_within_three_seconds_of_the_last_sight():
    """The same text again and again is one event with one answer."""
    bench = Bench()
    first = bench.scan(0, "P3", M1, "c1")
    for second in (2, 4.9, 7.9):
        assert bench.scan(second, "P3", M1, "c1") == replace(first, repeat=True)
    assert list(bench.desk.pending) == ["S1"]
    assert bench.scan(11, "P3", M1, "c1").outcome is Outcome.REPEAT


def test_refused_text_is_answered_and_remembered_as_a_duplicate():
    """A payment code changes nothing and is answered in its own word."""
    bench = Bench()
    event = MemberScanned("X1", "P3", "digest", refused=Outcome.PAYMENT_CODE)
    assert answer_of(bench.do(0, event)).outcome is Outcome.PAYMENT_CODE
    again = answer_of(bench.do(1, replace(event, scan_id="X2")))
    assert (again.outcome, again.repeat) == (Outcome.PAYMENT_CODE, True)
    assert bench.desk.pending == {}


def test_a_reader_outside_the_configuration_is_told_so():
    """An unknown reader links nothing and stops nothing."""
    bench = Bench()
    assert bench.scan(0, "GHOST", M1).outcome is Outcome.READER_UNKNOWN
    assert answer_of(bench.do(1, ControlScanned("GHOST", 3))).outcome is Outcome.READER_UNKNOWN
    assert answer_of(bench.do(2, PointChosen("GHOST", None, 3))).outcome is Outcome.READER_UNKNOWN


def test_a_stronger_code_raises_the_level_and_a_weaker_never_lowers_it():
    """The same member again: the stronger level stays, both codes are spent."""
    bench = Bench()
    bench.scan(0, "P3", M1, level=AuthLevel.NUMBER)
    effects = bench.do(5, MemberScanned("S90", "P3", "d2", Credential("S90", "P3", "A1", M1, AuthLevel.SUN, "sun:1")))
    assert answer_of(effects).outcome is Outcome.REPEAT
    assert SpendCode("sun:1", "S90") in effects
    bench.scan(10, "P3", M1, level=AuthLevel.UID)
    bench.lift(20, 3, "0:100")
    bench.book(60, "sale-1", 3, "0:100")
    assert [link.level for link in bench.links] == [AuthLevel.SUN]


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"member_known": False}, Outcome.LINKED_MEMBER_UNKNOWN),
        ({"level": AuthLevel.NUMBER}, Outcome.LINKED_EARN_ONLY),
        ({"clock_suspect": True}, Outcome.LINKED_EARN_ONLY),
    ],
)
def test_answers_say_what_the_link_may_not_do(changes, outcome):
    """Unknown members, weak codes and a doubtful clock have answers of their own."""
    bench = Bench()
    bench.lift(0, 3, "0:100")
    who = replace(bench.who("P3", M1), **changes)
    assert answer_of(bench.do(5, MemberScanned(who.scan_id, "P3", "d", who))).outcome is outcome


def test_second_member_at_a_point_that_has_one():
    """A point with a waiting or live member refuses another and names the first."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    assert bench.scan(5, "P3", M2).outcome is Outcome.ALREADY_LINKED
    bench.lift(10, 3, "0:100")
    refused = bench.scan(15, "P3", M2)
    assert (refused.outcome, refused.member) == (Outcome.ALREADY_LINKED, M1)


def test_next_customer_may_scan_once_the_last_link_can_no_longer_change():
    """Cleared, or after change_s, the idle point waits for the next customer."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.scan(10, "P3", M1)
    bench.do(40, SaleStateChanged("sale-1", SaleState.CLEARED))
    assert bench.scan(50, "P3", M2).outcome is Outcome.WAITING_FOR_NOZZLE


def test_same_code_at_another_point():
    """Another person's reader gets REPLAYED; the same attendant is offered the move and confirms by scanning again."""
    bench = Bench()
    bench.scan(0, "P3", M1, "c1")
    assert bench.scan(10, "P4", M1, "c1", attendant="A2").outcome is Outcome.REPLAYED
    offer = bench.scan(20, "P4", M1, "c1")
    assert (offer.outcome, offer.point) == (Outcome.MOVE_OFFER, 4)
    assert bench.scan(25, "P4", M1, "c1").outcome is Outcome.MOVED
    assert bench.ends == [("S1", End.MOVED)]
    [moved] = bench.desk.pending.values()
    assert (moved.point, moved.state, moved.until_mono_ms) == (4, PendingState.AWAIT_FUELLING, bench.at(180).mono_ms)
    bench.lift(30, 4, "0:700")
    bench.book(90, "sale-4", 4, "0:700")
    assert linked(bench) == [("sale-4", M1, 0)]


def test_tile_moves_a_waiting_link_to_a_free_point_only():
    """A move keeps the id and the window; a taken point is refused."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    bench.lift(5, 4, "0:700")
    assert answer_of(bench.do(6, PointChosen("ROAM", "A1", 4, pending="S1"))).outcome is Outcome.POINT_TAKEN
    assert answer_of(bench.do(7, PointChosen("ROAM", "A1", 5, pending="S1"))).outcome is Outcome.MOVED
    assert bench.desk.pending["S1"].point == 5
    assert bench.ends == []
