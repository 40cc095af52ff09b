"""The second half of the simulated station days; two files, so that two workers share them."""

from __future__ import annotations

import pytest

from tests.simulation.days import assert_held, items, share

SEEDS = share(1, 2)


@pytest.mark.parametrize("seeds", items(SEEDS), ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
def test_station_days_lose_and_double_nothing(seeds: range) -> None:
    """Days of a hundred sales each, with a delivery and faults: pumps, station and head office agree afterwards."""
    assert_held(seeds)
