"""The days of a test run: which seeds, each lived through once per process.

``FORECOURT_SIMULATION_SEED`` is the first seed (default 0: the same days every time), ``FORECOURT_SIMULATION_DAYS`` how
many days there are in all files together (default 24, what a test run has time for; 64 and every kind of fault comes first
in one of them; ``make soak`` lives through 200).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

from tests.simulation.day import SALES, DayResult, run_day

FIRST_SEED = int(os.environ.get("FORECOURT_SIMULATION_SEED", "0"))
DAYS = int(os.environ.get("FORECOURT_SIMULATION_DAYS", "24"))
PER_ITEM = 4


@cache
def lived(seed: int) -> DayResult:
    """The day of a seed."""
    return run_day(seed)


def share(number: int, of: int) -> range:
    """The seeds of one test file, in steps of an item: files are run by different workers."""
    each = DAYS // of
    return range(FIRST_SEED + number * each, FIRST_SEED + (number + 1) * each)


def items(seeds: range) -> list[range]:
    """The seeds of each test item."""
    return [seeds[at : at + PER_ITEM] for at in range(0, len(seeds), PER_ITEM)]


def assert_held(seeds: Sequence[int]) -> None:
    """Every day sold enough, had its delivery and its fault, and everything holds; else says how to see it again."""
    from tests.simulation.report import story

    failed = []
    for seed in seeds:
        day = lived(seed)
        if not day.ok or day.sales < SALES or not day.deliveries or not day.faults:
            failed.append(story(day))
    assert not failed, "\n\n".join(failed)
