"""Tiers and growth: the window, the day a tier is reached, the evaluation that takes it away and the grace before."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from agent.domain.growth import Grown, Window, months_before, taken_back
from agent.domain.rules.model import Downgrade, GrowthBase, GrowthWindow, Tier
from agent.domain.tiers import (
    NO_TIER,
    PendingDowngrade,
    TierState,
    ToNext,
    evaluate,
    gift_due,
    grown,
    on_day,
    rank,
    reached,
    to_next,
    to_next_text,
)
from tests.support.loyalty import EARN, member, rules, run, sale

TODAY = date(2026, 11, 22)
TIERS = (Tier("silver", "银卡", 300_000), Tier("gold", "金卡", 1_000_000), Tier("black", "黑卡", 3_000_000))
PROGRAM = replace(rules().program, downgrade_grace_days=30)
RECOMPUTE = replace(PROGRAM, downgrade=Downgrade.RECOMPUTE)


def days(number: int) -> timedelta:
    """So many days."""
    return timedelta(days=number)


@pytest.mark.parametrize(
    ("kind", "length", "today", "first"),
    [
        (GrowthWindow.CALENDAR_YEAR, 12, "2026-11-22", "2026-01-01"),
        (GrowthWindow.ROLLING_DAYS, 1, "2026-11-22", "2026-11-22"),
        (GrowthWindow.ROLLING_DAYS, 90, "2026-03-31", "2026-01-01"),
        (GrowthWindow.ROLLING_MONTHS, 12, "2026-11-22", "2025-11-23"),
        (GrowthWindow.ROLLING_MONTHS, 1, "2026-03-31", "2026-03-01"),
        (GrowthWindow.ROLLING_MONTHS, 12, "2028-02-29", "2027-03-01"),
        (GrowthWindow.ROLLING_MONTHS, 11, "2026-11-30", "2025-12-31"),
        (GrowthWindow.LIFE, 12, "2026-11-22", "0001-01-01"),
    ],
)
def test_first_day_of_a_window(kind, length, today, first):
    """A window holds the calendar year, or the last N days or months with today as the last."""
    assert Window(kind, length).first_day(date.fromisoformat(today)) == date.fromisoformat(first)


@pytest.mark.parametrize(
    ("day", "months", "before"),
    [
        ("2026-01-15", 1, "2025-12-15"),
        ("2026-12-31", 1, "2026-11-30"),
        ("2026-12-31", 12, "2025-12-31"),
        ("2024-03-31", 13, "2023-02-28"),
    ],
)
def test_months_before_a_day(day, months, before):
    """The same day of an earlier month, or its last day where the month is shorter."""
    assert months_before(date.fromisoformat(day), months) == date.fromisoformat(before)


def test_growth_counts_the_first_and_the_last_day_of_the_window():
    """Both ends of the window count; the day before it and tomorrow do not; a refund stands on the day of its sale."""
    window = Window(GrowthWindow.ROLLING_DAYS, 10)
    facts = [
        Grown(TODAY - days(10), 1),
        Grown(TODAY - days(9), 20),
        Grown(TODAY - days(9), -5),
        Grown(TODAY, 300),
        Grown(TODAY + days(1), 4_000),
    ]
    assert window.growth(facts, TODAY) == 315


def test_refund_takes_growth_back_by_its_share():
    """Growth follows the refunded amount: 38,217 ml of a net of 300.00 in three parts are 38,217 ml in all."""
    parts = [
        taken_back(38_217, 30_000, 0, 9_999),
        taken_back(38_217, 30_000, 9_999, 1),
        taken_back(38_217, 30_000, 10_000, 20_000),
    ]
    assert parts == [12_737, 2, 25_478]
    assert sum(parts) == 38_217
    assert taken_back(1, 0, 0, 0) == 1


def test_worked_case_of_the_tier():
    """Silver from 3000.00 (x1.2): growth 2950.00, a fill of 120.00 earns 120 by the old tier, one of 100.00 then 120."""
    silver = {"id": "silver-x", "kind": "MULTIPLIER", "factor_pct": 120, "when": {"tiers": ["silver", "gold"]}}
    rule_set = rules(*EARN, silver)
    state, growth, points = TierState(), 295_000, []
    for amount in (12_000, 10_000):
        points.append(run(rule_set, sale(amount), member(tier=state.tier, growth=growth)).points_earned)
        growth += amount
        state = grown(rule_set.tiers, state, growth, TODAY)
    assert (points, state.tier, growth) == ([120, 120], "silver", 317_000)


@pytest.mark.parametrize(
    ("growth", "tier"),
    [(0, None), (299_999, None), (300_000, "silver"), (999_999, "silver"), (1_000_000, "gold"), (9_000_000, "black")],
)
def test_tier_is_reached_at_its_threshold(growth, tier):
    """The threshold itself reaches the tier, one less does not; a jump goes to the highest."""
    assert reached(TIERS, growth) == tier
    assert grown(TIERS, TierState(), growth, TODAY) == TierState(tier)


def test_less_growth_never_takes_a_tier_away():
    """After a refund the member keeps the tier until an evaluation."""
    assert grown(TIERS, TierState("gold"), 0, TODAY) == TierState("gold")


@pytest.mark.parametrize(
    ("program", "tier", "growth", "to"),
    [
        (PROGRAM, "black", 0, "gold"),
        (RECOMPUTE, "black", 0, None),
        (RECOMPUTE, "black", 300_000, "silver"),
        (PROGRAM, "gold", 999_999, "silver"),
        (PROGRAM, "silver", 299_999, None),
        (RECOMPUTE, "silver", 299_999, None),
    ],
)
def test_downgrade_is_fixed_at_the_evaluation(program, tier, growth, to):
    """ONE_DOWN is the tier below, RECOMPUTE the one the growth reaches; both from the day after 30 days of grace."""
    state = evaluate(TIERS, TierState(tier), growth, TODAY, program)
    assert state == TierState(tier, PendingDowngrade(to, TODAY, date(2026, 12, 23)))
    assert on_day(state, date(2026, 12, 22)) == state
    assert on_day(state, date(2026, 12, 23)) == TierState(to)


def test_without_grace_the_next_day_counts():
    """With 0 days of grace the tier holds on the evaluation day and is gone on the next."""
    state = evaluate(TIERS, TierState("gold"), 0, TODAY, replace(PROGRAM, downgrade_grace_days=0))
    assert (on_day(state, TODAY).tier, on_day(state, TODAY + days(1)).tier) == ("gold", "silver")


@pytest.mark.parametrize(
    ("growth", "tier"), [(1_000_000, "gold"), (2_999_999, "gold"), (3_000_000, "black"), (300_000, "gold")]
)
def test_evaluation_of_a_member_who_keeps_or_rises(growth, tier):
    """Growth at the threshold keeps the tier, more raises it; below it the tier stays for the grace."""
    state = evaluate(TIERS, TierState("gold"), growth, TODAY, PROGRAM)
    assert state.tier == tier
    assert (state.pending is None) == (growth >= 1_000_000)


def test_growth_regained_during_the_grace_cancels_the_downgrade():
    """The last fen of grace counts: the threshold reached again on the last day ends the downgrade, one less does not."""
    state = evaluate(TIERS, TierState("gold"), 0, TODAY, RECOMPUTE)
    assert grown(TIERS, state, 999_999, date(2026, 12, 22)) == state
    assert grown(TIERS, state, 1_000_000, date(2026, 12, 22)) == TierState("gold")
    assert grown(TIERS, state, 3_000_000, date(2026, 12, 22)) == TierState("black")
    assert grown(TIERS, state, 299_999, date(2026, 12, 23)) == TierState()
    assert grown(TIERS, state, 300_000, date(2026, 12, 23)) == TierState("silver")
    assert evaluate(TIERS, state, 1_000_000, date(2026, 12, 1), RECOMPUTE) == TierState("gold")


def test_another_evaluation_during_the_grace_moves_nothing():
    """The downgrade stays as it was fixed, on its day and to its tier; after it a new evaluation may take the next one."""
    state = evaluate(TIERS, TierState("black"), 2_000_000, TODAY, PROGRAM)
    assert evaluate(TIERS, state, 0, date(2026, 12, 22), PROGRAM) == state
    after = evaluate(TIERS, state, 0, date(2026, 12, 23), PROGRAM)
    assert after == TierState("gold", PendingDowngrade("silver", date(2026, 12, 23), date(2027, 1, 23)))


def test_tier_the_rules_no_longer_have_counts_as_none():
    """A member of a tier that was abolished has no rank: any tier is reached, and nothing is taken away."""
    assert rank(TIERS, "bronze") == rank(TIERS, None) == NO_TIER
    assert rank(TIERS, "black") == 2
    assert grown(TIERS, TierState("bronze"), 300_000, TODAY) == TierState("silver")
    assert evaluate(TIERS, TierState("bronze"), 0, TODAY, PROGRAM) == TierState("bronze")


@pytest.mark.parametrize(
    ("state", "growth", "way", "short"),
    [
        (TierState(), 212_000, ToNext("silver", "银卡", 300_000, 212_000), 88_000),
        (TierState("silver"), 0, ToNext("gold", "金卡", 1_000_000, 0), 1_000_000),
        (TierState("silver"), 1_000_001, ToNext("gold", "金卡", 1_000_000, 1_000_001), 0),
    ],
)
def test_way_to_the_next_tier(state, growth, way, short):
    """People see the next tier, what it needs and what is missing."""
    assert to_next(TIERS, state, growth) == way
    assert way.short == short


def test_nothing_lies_above_the_highest_tier():
    """At the top there is no next tier, and a programme without tiers has none either."""
    assert to_next(TIERS, TierState("black"), 0) is None
    assert to_next((), TierState(), 0) is None


@pytest.mark.parametrize(
    ("base", "actual", "chinese", "english"),
    [
        (GrowthBase.NET, 212_000, "再消费 880.00 CNY 升级为银卡。", "880.00 CNY more to 银卡."),
        (GrowthBase.VOLUME, 299_500, "再加 0.500 升 升级为银卡。", "0.500 L more to 银卡."),
        (GrowthBase.VISITS, 299_997, "再来 3 次 升级为银卡。", "3 visits more to 银卡."),
        (GrowthBase.NET, 300_000, "下次加油起为银卡。", "银卡 from the next sale on."),
    ],
)
def test_next_tier_in_words(base, actual, chinese, english):
    """The sentence names what is missing in the unit of the growth base."""
    way, program = ToNext("silver", "银卡", 300_000, actual), replace(PROGRAM, growth_base=base)
    assert to_next_text(way, program, "zh-CN") == chinese
    assert to_next_text(way, program, "en") == english


def test_highest_tier_in_words():
    """At the top the sentence says so."""
    assert [to_next_text(None, PROGRAM, tongue) for tongue in ("zh-CN", "en")] == [
        "已是最高等级。",
        "This is the highest tier.",
    ]


def test_gift_for_a_tier_is_given_once_per_window():
    """Who fell and rose again within the window gets no second gift; of another tier, or a window later, they do."""
    window = Window(GrowthWindow.ROLLING_DAYS, 10)
    given = [("gold", TODAY - days(9))]
    assert not gift_due(given, "gold", window, TODAY)
    assert not gift_due([("gold", TODAY)], "gold", window, TODAY)
    assert gift_due(given, "silver", window, TODAY)
    assert gift_due(given, "gold", window, TODAY + days(1))
    assert gift_due([("gold", TODAY + days(1))], "gold", window, TODAY)
