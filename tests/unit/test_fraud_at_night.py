"""What the rules see over a shift or a night: R3, R4, R5, R6, R7, R9; each number just below and at it, small stations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.domain.fraud import DEFAULTS, Effect, Finding, Unit
from agent.domain.fraud_night import (
    Busy,
    DayShare,
    Habit,
    Pair,
    Share,
    Span,
    concentrated,
    corrected,
    corrected_in_shift,
    late,
    on_multiplier_day,
    sleepers,
    weak,
)

SPAN = Span("2026-01-05", 1_000, 2_000)


def shares(*told: tuple[int, int]) -> list[Share]:
    """(hits, of) of attendants a, b, c and so on."""
    return [Share("abcdefgh"[number], of, hits, (f"S{number}",), "m") for number, (hits, of) in enumerate(told)]


def accused(findings: list[Finding]) -> list[str]:
    """Whom the findings are about."""
    return [finding.subject.id for finding in findings]


def top(*told: tuple[int, int]) -> list[str]:
    """Whom R3 accuses by the share of one member."""
    return accused(concentrated(shares(*told), (), (SPAN, SPAN), DEFAULTS))


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ([(3, 30)], ["a"]),
        ([(2, 29)], []),
        ([(3, 29)], []),
        ([(3, 31)], []),
        ([(10, 100), (90, 100)], ["a", "b"]),
        ([(30, 100), (10, 100), (9, 100)], ["a"]),
        ([(29, 100), (10, 100), (9, 100)], []),
        ([(30, 100), (10, 100), (9, 20)], ["a", "b"]),
        ([(12, 40), (4, 40), (4, 40), (0, 40)], ["a"]),
        ([(11, 40), (4, 40), (4, 40), (0, 40)], []),
    ],
)
def test_one_member_has_a_large_share_of_an_attendants_links(told: list[tuple[int, int]], names: list[str]) -> None:
    """R3: from 30 links on a share of 10 %, where three attendants have enough links also three times their median."""
    assert top(*told) == names


@pytest.mark.parametrize(("links", "seen"), [(5, False), (6, True)])
def test_many_links_of_one_member_in_a_week(links: int, seen: bool) -> None:
    """R3: six links of one member by one attendant within seven days are an alert, whatever the others do."""
    findings = concentrated((), [Pair("a", "m", links, ("S1",)), Pair("b", "n", 1)], (SPAN, SPAN), DEFAULTS)
    assert accused(findings) == (["a"] if seen else [])
    assert all(found.other is not None and found.other.id == "m" for found in findings)


Judge = Callable[..., list[Finding]]


@pytest.mark.parametrize(
    ("judge", "told", "names"),
    [
        (late, [(3, 12)], ["a"]),
        (late, [(3, 11)], []),
        (late, [(3, 13)], []),
        (late, [(8, 16), (4, 16), (1, 16)], ["a"]),
        (late, [(7, 16), (4, 16), (1, 16)], []),
        (late, [(8, 16), (5, 16)], ["a", "b"]),
        (weak, [(8, 20)], ["a"]),
        (weak, [(8, 19)], []),
        (weak, [(7, 20)], []),
        (weak, [(8, 21)], []),
        (weak, [(16, 20), (8, 20), (1, 20)], ["a"]),
        (weak, [(15, 20), (8, 20), (1, 20)], []),
        (weak, [(15, 20), (8, 20), (1, 19)], ["a", "b"]),
        (corrected, [(1, 20)], ["a"]),
        (corrected, [(1, 19)], []),
        (corrected, [(1, 21)], []),
        (corrected, [(5, 20), (5, 20), (5, 20)], ["a", "b", "c"]),
    ],
)
def test_shares_of_attendants(judge: Judge, told: list[tuple[int, int]], names: list[str]) -> None:
    """R4, R6, R7: enough links, the share, and where there are three such attendants twice their median."""
    findings = judge(shares(*told), SPAN, DEFAULTS)
    assert accused(findings) == names
    for finding in findings:
        assert finding.unit is Unit.SHARE_BP
        assert finding.observed >= finding.threshold
        assert {effect for _, effect in finding.sales} == {Effect.NONE if judge is corrected else Effect.DOUBTFUL}


def test_a_median_is_told_where_there_is_one() -> None:
    """With fewer than three attendants nobody is compared with a median, and none is told."""
    (alone,) = weak(shares((8, 20)), SPAN, DEFAULTS)
    (compared,) = weak(shares((16, 20), (8, 20), (1, 20)), SPAN, DEFAULTS)
    assert (alone.median, compared.median, compared.observed, compared.threshold) == (None, 4_000, 8_000, 4_000)


@pytest.mark.parametrize(("hits", "seen"), [(2, False), (3, True)])
def test_corrections_in_a_shift(hits: int, seen: bool) -> None:
    """R7: three changed or removed links in one shift are an alert, however many links there were."""
    assert accused(corrected_in_shift(shares((hits, 500)), SPAN, DEFAULTS)) == (["a"] if seen else [])


def habit(**told: Any) -> Habit:
    """A member who earned ten times, eight of them with ``a``, and never redeemed."""
    usual = {
        "earns": 10,
        "earns_by": "a",
        "earns_with": 8,
        "redemptions": 0,
        "redemptions_by": "",
        "redemptions_with": 0,
    }
    return Habit("m", **{**usual, **told})


@pytest.mark.parametrize(
    ("told", "other"),
    [
        ({}, "a"),
        ({"earns": 9, "earns_with": 9}, None),
        ({"earns_with": 7}, None),
        ({"redemptions": 1, "redemptions_by": "b", "redemptions_with": 1}, None),
        ({"redemptions": 5, "redemptions_by": "b", "redemptions_with": 3}, "b"),
        ({"redemptions": 6, "redemptions_by": "b", "redemptions_with": 3}, None),
        ({"redemptions": 2, "redemptions_by": "b", "redemptions_with": 2}, None),
        ({"redemptions": 3, "redemptions_by": "b", "redemptions_with": 3}, "b"),
    ],
)
def test_sleepers(told: dict[str, Any], other: str | None) -> None:
    """R5: ten earns, no redemption, 80 % by one; or three redemptions with one attendant that are 60 % of them."""
    findings = sleepers([habit(**told)], SPAN, DEFAULTS)
    assert [found.other.id for found in findings if found.other] == ([] if other is None else [other])


@pytest.mark.parametrize(("fuellings", "seen"), [(2, False), (3, True)])
def test_a_member_on_a_multiplier_day(fuellings: int, seen: bool) -> None:
    """R9: three fuellings of one member on a day that multiplies points are an alert."""
    findings = on_multiplier_day([Busy("m", fuellings)], (), SPAN, DEFAULTS)
    assert accused(findings) == (["m"] if seen else [])


@pytest.mark.parametrize(
    ("links", "of", "seen"), [(15, 20, True), (14, 20, False), (15, 19, False), (20, 20, True), (75, 100, True)]
)
def test_an_attendant_on_a_multiplier_day(links: int, of: int, seen: bool) -> None:
    """R9: of at least 20 sales an attendant links one and a half times the usual share of them."""
    findings = on_multiplier_day((), [DayShare("a", links, of, 50, 100)], SPAN, DEFAULTS)
    assert accused(findings) == (["a"] if seen else [])


def test_an_attendant_without_a_past_is_not_compared() -> None:
    """R9: who linked nothing in the days before has no usual share."""
    assert on_multiplier_day((), [DayShare("a", 20, 20, 0, 0), DayShare("b", 20, 20, 0, 50)], SPAN, DEFAULTS) == []
