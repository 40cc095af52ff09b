"""Tiers and growth against the model, day by day; a liability is the sum of its months."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import event, given, settings

from agent.domain import tiers
from agent.domain.growth import Grown, Window, taken_back
from agent.domain.ledger import Lot
from agent.domain.liability import UnitCost, liability
from agent.domain.rules.model import Downgrade, GrowthWindow, Tier
from agent.domain.tiers import TierState
from tests.support.examples import tries
from tests.support.loyalty import rules
from tests.support.loyalty_cases import dice
from tests.support.loyalty_model.tiers import Climber

THRESHOLDS = [100, 250, 400]
TIERS = tuple(Tier(f"t{rank}", f"T{rank}", threshold) for rank, threshold in enumerate(THRESHOLDS, 1))
FIRST = date(2027, 12, 20)
PROGRAM = rules().program


@given(dice())
@settings(max_examples=tries(500))
def test_a_tier_rises_at_once_and_falls_after_its_grace(roll):
    """Growth, refunds, evaluations and days in any order leave the tier and the waiting downgrade of the model."""
    downgrade, grace_days = roll.pick(list(Downgrade)), roll.pick((30, 0, 3))
    program = replace(PROGRAM, downgrade=downgrade, downgrade_grace_days=grace_days)
    window = Window(roll.pick(list(GrowthWindow)), roll.pick((30, 1, 12)))
    climber, state, today = Climber(THRESHOLDS, downgrade.value, grace_days), TierState(), FIRST
    grown: list[Grown] = []
    for _ in range(25):
        today += timedelta(days=roll.pick((0, 1, 2, 11, 40)))
        state = tiers.on_day(state, today)
        climber.morning(today)
        amount = roll.pick((0, 60, 110, -50, 300))
        if amount:
            grown.append(Grown(today, amount))
            climber.grown.append((today, amount))
            growth = window.growth(grown, today)
            assert growth == climber.in_window(window.kind.value, window.length, today)
            state = tiers.grown(TIERS, state, growth, today)
            climber.grow(growth)
        if roll.one_in(3):
            growth = window.growth(grown, today)
            state = tiers.evaluate(TIERS, state, growth, today, program)
            climber.evaluate(growth, today)
            event("a downgrade waits" if state.pending else "nothing waits")
        assert tiers.rank(TIERS, state.tier) + 1 == climber.rank
        waits = state.pending and (tiers.rank(TIERS, state.pending.to) + 1, state.pending.effective_on)
        assert waits == climber.waits


@given(dice())
@settings(max_examples=tries(500))
def test_any_split_of_a_refund_takes_the_growth_of_the_sale_back(roll):
    """However a sale is refunded, all its growth is gone in the end and never more than that on the way."""
    growth, net = roll.pick((1, 0, 38_217, roll.number(0, 60_000))), roll.number(0, 60_000)
    refunded = gone = 0
    while refunded < net or net == 0:
        amount = min(net - refunded, roll.number(1, 30_000))
        gone += taken_back(growth, net, refunded, amount)
        refunded += amount
        assert 0 <= gone <= growth
        if net == 0:
            break
    assert gone == growth


@given(dice())
@settings(max_examples=tries(500))
def test_a_liability_is_the_sum_of_its_months_and_grows_with_points(roll):
    """Months in which points end add up to the whole, whatever order the lots come in; more points never cost less."""
    cost = UnitCost(roll.pick((10, 0, 7)), roll.pick((0, 2_500, 10_000, 333)), roll.pick((2, 0, 3)))
    lots = [
        Lot(
            f"L{number}", roll.number(0, 900), 0, 0, roll.pick((None, FIRST + timedelta(days=40 * number - 80))), "sale"
        )
        for number in range(roll.pick((1, 3, 6)))
    ]
    found = liability(lots, FIRST, cost)
    assert liability(lots[::-1], FIRST, cost) == found
    assert sum(ending.points for ending in found.endings) == found.points
    assert sum(ending.liability_minor for ending in found.endings) == found.liability_minor
    assert found.points == sum(lot.points for lot in lots if lot.expires_on is None or lot.expires_on >= FIRST)
    more = liability([*lots, Lot("more", 50, 0, 0, None, "sale")], FIRST, cost)
    assert more.liability_minor >= found.liability_minor
