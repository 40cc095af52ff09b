"""The books of a shift: what a meter moved, what became of it, who sold it, and the money that should be there."""

from __future__ import annotations

from typing import Any

from agent.domain import shift
from agent.domain.rules.facts import Purpose
from agent.domain.sale import Totalizer

MODULUS = 10**10


def mark(raw: int | None, *, epoch: int = 0, accepted_ml: int = 0, modulus: int = MODULUS) -> shift.Mark:
    """Where nozzle 1/1 stands, in units of 10 ml."""
    total = None if raw is None else Totalizer(epoch, raw)
    return shift.Mark(1, 1, "92", total, 10, modulus, accepted_ml)


def fuelled(sale: str, start: int, volume_ml: int, *, epoch: int = 0, **more: Any) -> shift.Fuelled:
    """A sale of nozzle 1/1 whose meter moved as far as its litres say."""
    ends = {"start": Totalizer(epoch, start), "end": Totalizer(epoch, start + volume_ml // 10), **more}
    values = {"attendant": None, "is_recovered": False, **ends}
    return shift.Fuelled(sale, 1, 1, volume_ml, volume_ml // 10, **values)


def settled(sale: str, volume_ml: int, *tenders: tuple[str, int], purpose: Purpose | None = None) -> shift.Settled:
    """A sale was paid."""
    return shift.Settled(sale, None, purpose, volume_ml, 0, sum(amount for _, amount in tenders), tenders)


def only(facts: list[shift.Fact], opening: shift.Mark, closing: shift.Mark) -> dict[str, Any]:
    """The only nozzle of a shift."""
    (nozzle,) = shift.Account(facts).shown([opening], [closing])["nozzles"]
    return dict(nozzle)


def test_the_worked_case_shows_what_nobody_can_explain() -> None:
    """Of 677.770 l moved, 652.330 were sold, 20.000 returned, 5.000 used; 0.440 are unexplained, and that is shown."""
    at = 123_389_012  # 1,233,890.120 l
    facts: list[shift.Fact] = [
        fuelled("A", at, 652_330),
        fuelled("B", at + 65_233, 20_000),
        settled("B", 20_000, ("meter-test", 0), purpose=Purpose.METER_TEST),
        fuelled("C", at + 67_233, 5_000),
        shift.NotSold(1, 1, Purpose.OWN_USE, 5_000, "C"),
    ]
    report = shift.Account(facts).shown([mark(at)], [mark(123_456_789)])
    (nozzle,) = report["nozzles"]
    told = {name: nozzle[name] for name in ("moved_ml", "sold_ml", "test_ml", "own_use_ml", "unexplained_ml")}
    assert told == {
        "moved_ml": 677_770,
        "sold_ml": 652_330,
        "test_ml": 20_000,
        "own_use_ml": 5_000,
        "unexplained_ml": 440,
    }
    assert {name: report["totals"][name] for name in told} == told


def test_a_meter_that_was_never_read_is_unknown_and_so_is_the_whole() -> None:
    """Without a count at either end there is no movement: unknown, not zero, and the station's total is unknown too."""
    blind = shift.Mark(2, 1, "95", None)
    report = shift.Account([fuelled("A", 100, 5_000)]).shown([mark(100), blind], [mark(600), blind])
    assert [(n["moved_ml"], n["unexplained_ml"]) for n in report["nozzles"]] == [(5_000, 0), (None, None)]
    totals = report["totals"]
    assert (totals["moved_ml"], totals["unexplained_ml"], totals["nozzles_unknown"]) == (None, None, 1)
    assert totals["sold_ml"] == 5_000


def test_a_rollover_is_one_turn_of_the_counter() -> None:
    """A meter that passes its end goes on at zero in the next epoch; no litre is lost or invented."""
    facts: list[shift.Fact] = [
        shift.Fuelled("A", 1, 1, 300, 30, None, False, Totalizer(0, 99_990), Totalizer(1, 20)),
    ]
    nozzle = only(facts, mark(99_990, modulus=100_000), mark(20, epoch=1, modulus=100_000))
    assert (nozzle["moved_ml"], nozzle["unexplained_ml"]) == (300, 0)


def test_a_replaced_meter_is_counted_in_pieces() -> None:
    """What the old meter moved up to its last sale and what the new one moved since are both in the movement."""
    facts: list[shift.Fact] = [
        fuelled("A", 1_000, 10_000),
        shift.Based(1, 1, Totalizer(1, 5)),
        fuelled("B", 5, 7_000, epoch=1),
    ]
    nozzle = only(facts, mark(1_000), mark(705, epoch=1))
    assert (nozzle["moved_ml"], nozzle["sold_ml"], nozzle["unexplained_ml"]) == (17_000, 17_000, 0)


def test_a_first_reading_begins_the_count() -> None:
    """A nozzle that nobody had read at the opening is counted from its first reading in the shift on."""
    facts: list[shift.Fact] = [shift.Based(1, 1, Totalizer(0, 400)), fuelled("A", 400, 2_000)]
    nozzle = only(facts, mark(None), mark(600))
    assert (nozzle["totalizer_open"], nozzle["moved_ml"], nozzle["unexplained_ml"]) == (None, 2_000, 0)


def test_a_new_incarnation_is_no_new_meter() -> None:
    """A base that is laid over a meter which goes on counting breaks nothing: what lies between is seen to move."""
    facts: list[shift.Fact] = [
        fuelled("A", 1_000, 5_000),
        shift.Based(1, 1, Totalizer(0, 2_000), same_count=True),
        fuelled("B", 2_000, 1_000),
    ]
    nozzle = only(facts, mark(1_000), mark(2_100))
    assert (nozzle["moved_ml"], nozzle["sold_ml"], nozzle["unexplained_ml"]) == (11_000, 6_000, 5_000)


def test_litres_accepted_by_hand_count_once_over_two_shifts() -> None:
    """A sale booked while totals were unreadable moves the shift it is booked in; the next one starts behind it."""
    by_hand = fuelled("A", 1_000, 8_000, end=None)
    first = only([by_hand], mark(1_000), mark(1_000, accepted_ml=8_000))
    second = only([fuelled("B", 1_800, 2_000)], mark(1_000, accepted_ml=8_000), mark(2_000))
    assert [(n["moved_ml"], n["unexplained_ml"]) for n in (first, second)] == [(8_000, 0), (2_000, 0)]


def test_a_sale_of_an_earlier_shift_leaves_this_ones_litres_alone() -> None:
    """Booking yesterday's sale to a meter test is told apart: it takes nothing from what was sold today."""
    facts: list[shift.Fact] = [
        fuelled("A", 100, 5_000),
        settled("OLD", 20_000, ("meter-test", 0), purpose=Purpose.METER_TEST),
        shift.NotSold(1, 1, Purpose.OWN_USE, 3_000, "OLDER"),
    ]
    report = shift.Account(facts).shown([mark(100)], [mark(600)])
    assert report["nozzles"][0]["sold_ml"] == 5_000
    assert (report["totals"]["earlier_test_ml"], report["totals"]["earlier_own_use_ml"]) == (20_000, 3_000)


def test_each_attendant_has_their_own_part_and_the_parts_are_the_whole() -> None:
    """Sales, members captured, late links, points, voids and refunds stand with who served; nobody's stay apart."""
    facts: list[shift.Fact] = [
        fuelled("A", 100, 5_000, attendant="li"),
        fuelled("B", 600, 4_000, attendant="wang"),
        fuelled("C", 1_000, 3_000, is_recovered=True),
        shift.Linked("A", "li", delay_s=10),
        shift.Linked("B", "wang", delay_s=121),
        shift.PointsMoved("li", 50, 20),
        shift.GivenBack("li", False, 100, "cash"),
        shift.GivenBack("wang", True, 400, shift.MIXED),
    ]
    report = shift.Account(facts).shown([mark(100)], [mark(1_300)])
    li, wang, nobody = report["attendants"]
    assert [part["attendant"] for part in (li, wang, nobody)] == ["li", "wang", None]
    assert [(p["captured"], p["opportunities"], p["late_links"]) for p in (li, wang, nobody)] == [
        (1, 1, 0),
        (1, 1, 1),
        (0, 0, 0),
    ]
    assert (li["points_given"], li["points_taken"], li["refunds"], wang["voids"]) == (50, 20, 1, 1)
    for name in ("sales", "volume_ml", "gross_minor", "captured", "opportunities"):
        assert sum(part[name] for part in report["attendants"]) == report["totals"][name]


def test_a_removed_link_is_no_captured_member() -> None:
    """A link that was taken off again, and one that only changed hands, leave the count right."""
    facts: list[shift.Fact] = [
        fuelled("A", 100, 5_000),
        fuelled("B", 600, 5_000),
        shift.Linked("A", None),
        shift.Linked("A", None, member=False),
        shift.Linked("B", None),
        shift.Linked("B", None),
    ]
    assert shift.Account(facts).shown([], [])["totals"]["captured"] == 1


def test_counted_cash_is_compared_with_what_was_paid_and_given_back() -> None:
    """Split payments, corrected payments and refunds decide what should be there; the difference is shown."""
    facts: list[shift.Fact] = [
        settled("A", 5_000, ("cash", 300), ("card", 200), ("cash", 50)),
        settled("B", 5_000, ("cash", 1_000)),
        shift.Rebooked(None, (("cash", 1_000),), (("card", 1_000),)),
        shift.GivenBack(None, False, 40, "cash"),
    ]
    report = shift.Account(facts).shown([], [], (("cash", 300), ("card", 1_200)))
    assert report["count"] == [
        {"kind": "cash", "counted_minor": 300, "expected_minor": 310, "variance_minor": -10},
        {"kind": "card", "counted_minor": 1_200, "expected_minor": 1_200, "variance_minor": 0},
    ]


def test_a_superseded_sale_counts_no_more() -> None:
    """A sale that head office has under other names leaves the sums of the shift in which that was found out."""
    facts: list[shift.Fact] = [
        fuelled("A", 100, 5_000, attendant="li"),
        shift.Superseded("A", 1, 1, 5_000, 500, "li"),
    ]
    totals = shift.Account(facts).shown([mark(100)], [mark(600)])["totals"]
    assert (totals["sales"], totals["sold_ml"], totals["gross_minor"], totals["unsettled"]) == (0, 0, 0, 0)
    assert totals["unexplained_ml"] == 5_000
