"""The days of a test run: which seeds, each lived through once per process.

``FORECOURT_SIMULATION_SEED`` is the first seed (default 0: the same days every time), ``FORECOURT_SIMULATION_DAYS`` how
many days there are in all files together (default 8, for whoever changes something; `.ci/run` lives through 200 with
``make simulate``).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import cache

import structlog

from tests.simulation import journal
from tests.simulation.day import DayResult, run_day

FIRST_SEED = int(os.environ.get("FORECOURT_SIMULATION_SEED", "0"))
DAYS = int(os.environ.get("FORECOURT_SIMULATION_DAYS", "2"))
PER_ITEM = 4


@cache
def lived(seed: int) -> DayResult:
    """The day of a seed."""
    return run_day(seed)


def kept_day(seed: int) -> DayResult:
    """The day of a seed with as much of its event log as a run of many days has room for."""
    return run_day(seed, kept=journal.KEPT)


def quiet() -> None:
    """Simulated days log nothing: their event log says more, and only where a day failed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def share(number: int, of: int) -> range:
    """The seeds of one test file, in steps of an item: files are run by different workers."""
    each = DAYS // of
    return range(FIRST_SEED + number * each, FIRST_SEED + (number + 1) * each)


def items(seeds: range) -> list[range]:
    """The seeds of each test item."""
    return [seeds[at : at + PER_ITEM] for at in range(0, len(seeds), PER_ITEM)]


def assert_held(seeds: Sequence[int]) -> None:
    """Every day sold enough, had its delivery and its fault, and everything holds; else says how to see it again."""
    from tests.simulation.report import held, story

    failed = [story(day) for day in map(lived, seeds) if not held(day)]
    assert not failed, "\n\n".join(failed)
