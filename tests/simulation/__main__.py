"""``python -m tests.simulation``: live through days, or through one day again with the events around its faults."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation import report
from tests.simulation.day import DayResult, run_day
from tests.simulation.days import kept_day, quiet
from tests.simulation.plan import kinds


def main(arguments: list[str] | None = None) -> int:
    """Run the days asked for; 0 when everything held, 1 when it did not."""
    options = _options(arguments)
    quiet()
    if options.days == 1:
        return _replay(options.seed, options.log)
    days = []
    began_s = time.monotonic()
    for day in _lived(range(options.seed, options.seed + options.days), options.workers):
        days.append(day)
        print(report.line(day) if report.held(day) else report.story(day), flush=True)
    print(f"\n{report.table(days)}\n\n{len(days)} days in {time.monotonic() - began_s:.0f} s")
    struck, _ = report.hit(days)
    missing = sorted(set(kinds()) - set(struck)) if len(days) >= len(kinds()) else []
    if missing:
        print(f"never struck in {len(days)} days: {', '.join(missing)}")
    failed = sum(not report.held(day) for day in days)
    print(f"{len(days) - failed} passed, {failed} failed")
    return 1 if failed or missing else 0


def _replay(seed: int, log: Path | None) -> int:
    """One day with the events around its faults."""
    day = run_day(seed, kept=None)
    print(report.line(day) if report.held(day) else report.story(day), flush=True)
    if log is not None:
        log.write_text("\n".join(day.lines) + "\n", encoding="utf-8")
    if not report.held(day):
        print("\n".join(report.around_faults(day)))
    return 0 if report.held(day) else 1


def _lived(seeds: range, workers: int) -> Iterator[DayResult]:
    """The days in the order of their seeds; a day is the same in whatever process it is lived through."""
    if workers == 1:
        yield from map(kept_day, seeds)
        return
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=fresh, initializer=quiet) as pool:
        yield from pool.map(kept_day, seeds)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the (first) day")
    parser.add_argument("--days", type=int, default=1, help="how many days, one seed each; 1 shows its events")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the days")
    parser.add_argument("--log", type=Path, help="write every event of a single day to this file")
    options = parser.parse_args(arguments)
    if options.days < 1 or options.workers < 1:
        parser.error("--days and --workers: at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
