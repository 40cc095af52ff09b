"""P9: how many simulated station days one core lives through in a minute. Run with ``python tests/bench/p9_station_days.py``.

A day is what CI lives through 200 times: at least 100 sales on 4 points, a delivery, faults, head office, all checks.
"""

from __future__ import annotations

import logging
import time

import structlog

from tests.bench.table import Row
from tests.simulation.day import run_day

DAYS = 10
WANTED_PER_MIN = 60.0


def measure() -> list[Row]:
    """One row: days per minute of processor time; every day must have held."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    run_day(0)
    began_s = time.process_time()
    days = [run_day(seed) for seed in range(1, DAYS + 1)]
    per_min = DAYS * 60 / (time.process_time() - began_s)
    assert all(day.ok for day in days), [day.complaints for day in days if not day.ok]
    sales = sum(day.sales for day in days)
    return [
        Row(
            id="P9",
            what="simulated station days per minute of one core",
            ours=per_min,
            unit="days/min",
            peer=WANTED_PER_MIN,
            peer_name="limit",
            ratio=per_min / WANTED_PER_MIN,
            target=f">= {WANTED_PER_MIN:g} days/min",
            met=per_min >= WANTED_PER_MIN,
            note=f"{DAYS} days, {sales} sales",
        )
    ]


if __name__ == "__main__":
    for row in measure():
        print(f"{row.id} {row.what}: {row.ours:.1f} {row.unit}, wanted {row.target}; {row.note}")
