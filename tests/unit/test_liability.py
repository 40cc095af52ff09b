"""Liability and cost: what live points will cost, when they end, and when a budget is used up."""

from __future__ import annotations

from datetime import date

import pytest

from agent.domain.ledger import Lot
from agent.domain.liability import Ending, Liability, UnitCost, liability, run_out_on, share_bp

TODAY = date(2026, 11, 22)
FULL = UnitCost(10, 0, 2)


def lot(points: int, expires: str | None, usable: int | None = 0) -> Lot:
    """A lot that ends on a day."""
    return Lot(
        f"{expires}{points}", points, 0, usable, None if expires is None else date.fromisoformat(expires), "sale"
    )


@pytest.mark.parametrize(
    ("cost", "points", "minor"),
    [
        (FULL, 5_230, 5_230),
        (UnitCost(10, 2_000, 2), 5_230, 4_184),
        (UnitCost(5, 0, 2), 1, 1),
        (UnitCost(4, 0, 2), 1, 0),
        (UnitCost(10, 10_000, 2), 99, 0),
        (UnitCost(1_000, 0, 0), 7, 7),
        (UnitCost(10, 0, 3), 7, 70),
    ],
)
def test_points_times_unit_cost_less_breakage(cost, points, minor):
    """Liability is points x unit cost x (1 - breakage), rounded half up once, in the minor unit of the currency."""
    assert cost.liability_minor(points) == minor


def test_liability_ages_by_the_month_points_end():
    """Each month has its points and money, in order; points without an end come last; ended and spent lots count nothing."""
    lots = [
        lot(100, None),
        lot(30, "2026-12-31"),
        lot(50, "2026-11-22", usable=None),
        lot(7, "2026-12-01"),
        lot(900, "2026-11-21"),
        lot(0, "2027-01-31"),
    ]
    assert liability(lots, TODAY, FULL) == Liability(
        187, 187, (Ending("2026-11", 50, 50), Ending("2026-12", 37, 37), Ending(None, 100, 100))
    )


def test_months_sum_to_the_whole():
    """Three months of one point at half a fen each are 2 fen in all: the months are 1, 0 and 1."""
    cost = UnitCost(5, 0, 2)
    found = liability([lot(1, "2026-12-31"), lot(1, "2027-01-31"), lot(1, None)], TODAY, cost)
    assert [ending.liability_minor for ending in found.endings] == [1, 0, 1]
    assert found.liability_minor == 2


def test_no_points_cost_nothing():
    """Without lots there is no month and nothing owed."""
    assert liability([], TODAY, FULL) == Liability(0, 0, ())


@pytest.mark.parametrize(
    ("cost", "sales", "share"),
    [(1_147, 30_000, 382), (1, 20_000, 1), (1, 20_001, 0), (5, 0, None), (0, 1, 0), (5, -1, None)],
)
def test_cost_as_a_share_of_sales(cost, sales, share):
    """A share is in basis points, half up, and unknown where nothing was sold."""
    assert share_bp(cost, sales) == share


@pytest.mark.parametrize(
    ("remaining", "spent", "since", "day"),
    [
        (1_000, 1_000, "2026-11-13", "2026-12-02"),
        (1_001, 1_000, "2026-11-13", "2026-12-03"),
        (1, 1_000, "2026-11-22", "2026-11-23"),
        (0, 1_000, "2026-11-13", "2026-11-22"),
        (-5, 0, "2026-11-13", "2026-11-22"),
        (1_000, 0, "2026-11-13", None),
        (1_000, 10, "2026-11-23", None),
        (10**9, 1, "2026-11-13", "9999-12-31"),
    ],
)
def test_budget_runs_out(remaining, spent, since, day):
    """At the pace of the days so far, today included; nothing left is today, nothing spent is never known."""
    assert run_out_on(remaining, spent, date.fromisoformat(since), TODAY) == (day and date.fromisoformat(day))
