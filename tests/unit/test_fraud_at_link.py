"""What the rules see in a link: R1, R2, R4 (one link), R6 (one code again), R10; each number just below and at it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.domain.fraud import DEFAULTS, Effect, Finding, Rule, Severity, Unit
from agent.domain.fraud_link import Fuelling, Linked, at_link, most_within
from agent.domain.identity import AuthLevel

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NOON = 20_000 * DAY_MS + 12 * HOUR_MS
SPACED_MS = 61 * MINUTE_MS
"""Fuellings so far apart are no two within an hour."""


def fuelling(number: int, ended_ms: int = NOON, **more: Any) -> Fuelling:
    """One sale; ids sort as they are numbered, the day follows from the instant."""
    told = {"product": "petrol", "volume_ml": 20_000, "level": AuthLevel.SUN, "by": "S07", "delay_s": 0, **more}
    return Fuelling(sale=f"S{number:03d}", day=f"day {ended_ms // DAY_MS}", ended_ms=ended_ms, **told)


def linked(*ended_ms: int, **more: Any) -> Linked:
    """The last of several fuellings is linked now."""
    keys = {"product", "volume_ml", "level", "by", "delay_s"} & set(more)
    told = {key: more.pop(key) for key in keys}
    every = [fuelling(number, at, **told) for number, at in enumerate(ended_ms)]
    return Linked("m", every[-1], every[-1].day, tuple(every[:-1]), **more)


def found(facts: Linked, rule: Rule) -> Finding | None:
    """What one rule finds."""
    return next((finding for finding in at_link(facts, DEFAULTS) if finding.rule is rule), None)


def effects(finding: Finding | None) -> dict[str, Effect]:
    """What a finding does to which sale."""
    assert finding is not None
    return dict(finding.sales)


@pytest.mark.parametrize(("apart_ms", "seen"), [(60 * MINUTE_MS, True), (60 * MINUTE_MS + 1, False)])
def test_two_fuellings_within_an_hour_are_noted(apart_ms: int, seen: bool) -> None:
    """R1: two fuellings 60 minutes apart are noted and wait longer, a millisecond more and they are not."""
    finding = found(linked(NOON, NOON + apart_ms), Rule.VELOCITY)
    assert (finding is not None) is seen
    if finding is not None:
        assert (finding.severity, finding.observed, finding.threshold) == (Severity.INFO, 2, 2)
        assert effects(finding) == {"S000": Effect.DOUBTFUL, "S001": Effect.DOUBTFUL}


def test_the_first_fuelling_of_a_day_is_nothing() -> None:
    """One fuelling of an ordinary member, linked at once by a chip, is seen by no rule."""
    assert at_link(linked(NOON), DEFAULTS) == ()


@pytest.mark.parametrize(
    ("count", "severity", "threshold", "held"),
    [
        (2, None, None, []),
        (3, Severity.ALERT, 3, []),
        (4, Severity.ALERT, 4, ["S003"]),
        (5, Severity.ALERT, 4, ["S003", "S004"]),
    ],
)
def test_fuellings_on_a_day(count: int, severity: Any, threshold: int | None, held: list[str]) -> None:
    """R1: three on a local day are an alert, from the fourth on the points are held."""
    start = NOON - 5 * HOUR_MS
    finding = found(linked(*(start + number * SPACED_MS for number in range(count))), Rule.VELOCITY)
    assert (None if finding is None else finding.severity) == severity
    if finding is not None:
        assert (finding.observed, finding.threshold, finding.unit) == (count, threshold, Unit.FUELLINGS_ON_DAY)
        assert [sale for sale, effect in finding.sales if effect is Effect.HOLD] == held
        assert len(finding.sales) == count


def test_fuellings_of_two_days_are_counted_apart() -> None:
    """R1: two before and one after midnight are no three on a day."""
    midnight = NOON + 12 * HOUR_MS
    assert found(linked(midnight - 3 * HOUR_MS, midnight - 1, midnight + 2 * HOUR_MS), Rule.VELOCITY) is None


@pytest.mark.parametrize(
    ("product", "volume_ml", "tank_ml", "threshold"),
    [
        ("petrol", 120_000, None, None),
        ("petrol", 120_001, None, 120_000),
        ("diesel", 600_000, None, None),
        ("diesel", 600_001, None, 600_000),
        ("petrol", 57_500, 50_000, None),
        ("petrol", 57_501, 50_000, 57_500),
        ("diesel", 700_000, 800_000, None),
        ("lpg", 999_999, None, None),
        (None, 999_999, None, None),
    ],
)
def test_litres_on_a_day(product: str | None, volume_ml: int, tank_ml: int | None, threshold: int | None) -> None:
    """R2: more than 115 % of the registered tank; without one more than 120 L of petrol or 600 L of diesel."""
    finding = found(linked(NOON, volume_ml=volume_ml, product=product, tank_ml=tank_ml), Rule.VOLUME)
    assert (None if finding is None else (finding.observed, finding.threshold)) == (
        None if threshold is None else (volume_ml, threshold)
    )
    if finding is not None:
        assert (finding.severity, effects(finding)) == (Severity.ALERT, {"S000": Effect.DOUBTFUL})


def test_litres_of_a_day_are_added_up() -> None:
    """R2: fuellings of one day count together, those of the day before do not."""
    early = NOON - 10 * HOUR_MS
    assert found(linked(early - DAY_MS, early, NOON, volume_ml=60_000), Rule.VOLUME) is None
    assert found(linked(early - DAY_MS, early, NOON, volume_ml=60_001), Rule.VOLUME) is not None


def test_petrol_and_diesel_on_one_day() -> None:
    """R2: a car that takes petrol and diesel on one day is two cars."""
    facts = linked(NOON - 3 * HOUR_MS, NOON)
    other = replace(facts.others[0], product="diesel")
    finding = found(replace(facts, others=(other,)), Rule.VOLUME)
    assert finding is not None
    assert (finding.unit, finding.observed) == (Unit.PRODUCTS, 2)
    assert found(replace(facts, others=(replace(other, day="day before"),)), Rule.VOLUME) is None


@pytest.mark.parametrize(("delay_s", "seen"), [(480, False), (481, True)])
def test_one_late_link_is_noted(delay_s: int, seen: bool) -> None:
    """R4: a link more than 480 s after the nozzle was hung up is noted about whoever made it."""
    finding = found(linked(NOON, delay_s=delay_s), Rule.LATE_LINKS)
    assert (finding is not None) is seen
    if finding is not None:
        assert (finding.severity, finding.subject.id, effects(finding)) == (
            Severity.INFO,
            "S07",
            {"S000": Effect.DOUBTFUL},
        )


def test_a_supervisors_late_link_waits_for_a_review() -> None:
    """R4: a link by a supervisor after the time for it is told to head office, and its points are held."""
    finding = found(linked(NOON, delay_s=100, late=True), Rule.LATE_LINKS)
    assert finding is not None
    assert (finding.severity, effects(finding)) == (Severity.ALERT, {"S000": Effect.HOLD})


@pytest.mark.parametrize("level", [AuthLevel.FM1_PRINTED, AuthLevel.NUMBER, AuthLevel.UID])
def test_one_copied_code_on_two_sales_of_a_day(level: AuthLevel) -> None:
    """R6: a printed code, a number or a chip's number on a second sale of a day is an alert."""
    assert found(linked(NOON, level=level), Rule.WEAK_CODES) is None
    finding = found(linked(NOON - 5 * HOUR_MS, NOON, level=level), Rule.WEAK_CODES)
    assert finding is not None
    assert (finding.severity, finding.observed, finding.threshold) == (Severity.ALERT, 2, 2)
    assert set(effects(finding).values()) == {Effect.DOUBTFUL}


@pytest.mark.parametrize("level", [AuthLevel.SUN, AuthLevel.FM1_DYNAMIC, AuthLevel.PHONE])
def test_codes_that_change_and_phones_are_no_copied_code(level: AuthLevel) -> None:
    """R6: a code that is new each time may be used twice a day; a phone number is judged per attendant."""
    assert found(linked(NOON - 5 * HOUR_MS, NOON, level=level), Rule.WEAK_CODES) is None


@pytest.mark.parametrize(("count", "seen"), [(1, False), (2, True)])
def test_staff_cards_on_a_day(count: int, seen: bool) -> None:
    """R10: a second fuelling on a day with a card of the staff gives no points, the first does."""
    facts = linked(*(NOON - HOUR_MS * 5 * number for number in range(count)), is_staff=True)
    finding = found(facts, Rule.STAFF_CARDS)
    assert (finding is not None) is seen
    if finding is not None:
        assert effects(finding) == {facts.sale.sale: Effect.NO_POINTS}


@pytest.mark.parametrize(("count", "seen"), [(3, False), (4, True)])
def test_staff_cards_in_a_week(count: int, seen: bool) -> None:
    """R10: a fourth fuelling within seven days with a card of the staff gives no points."""
    facts = linked(*(NOON + DAY_MS * number for number in range(count)), is_staff=True)
    finding = found(facts, Rule.STAFF_CARDS)
    assert (finding is not None) is seen
    if finding is not None:
        assert (finding.observed, finding.threshold, finding.unit) == (4, 3, Unit.FUELLINGS_IN_WINDOW)


def test_an_own_card_in_the_own_session() -> None:
    """R10: whoever links their own card earns nothing with it; a customer's card is never asked about."""
    finding = found(linked(NOON, is_staff=True, own=True), Rule.STAFF_CARDS)
    assert finding is not None
    assert (finding.unit, effects(finding)) == (Unit.OWN_LINKS, {"S000": Effect.NO_POINTS})
    assert found(linked(*(NOON + number for number in range(5))), Rule.STAFF_CARDS) is None


@pytest.mark.parametrize(
    ("times", "at", "width", "count"),
    [
        ((0, 5, 10), 5, 5, 2),
        ((0, 5, 10), 5, 10, 3),
        ((5,), 5, 0, 1),
        ((0, 9, 10, 11, 20), 10, 2, 3),
        ((0, 4, 8), 0, 4, 2),
    ],
)
def test_the_fullest_span_around_an_instant(times: tuple[int, ...], at: int, width: int, count: int) -> None:
    """The span that holds an instant and most others is found, with both of its ends."""
    assert most_within(times, at, width) == count
