"""``python -m tests.simulation``: live through days, or through one day again with the events around its faults."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import structlog

from tests.simulation import journal, report
from tests.simulation.day import run_day


def main(arguments: list[str] | None = None) -> int:
    """Run the days asked for; 0 when everything held, 1 when it did not."""
    options = _options(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    is_replay = options.days == 1
    days = []
    began_s = time.process_time()
    for seed in range(options.seed, options.seed + options.days):
        day = run_day(seed, kept=None if is_replay else journal.KEPT)
        days.append(day)
        print(report.line(day) if day.ok else report.story(day), flush=True)
    if is_replay:
        if options.log is not None:
            options.log.write_text("\n".join(days[0].lines) + "\n", encoding="utf-8")
        if not days[0].ok:
            print("\n".join(report.around_faults(days[0])))
    else:
        spent_s = time.process_time() - began_s
        print(f"\n{report.table(days)}\n\n{len(days)} days in {spent_s:.1f} s of one core")
    return 0 if all(day.ok for day in days) else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the (first) day")
    parser.add_argument("--days", type=int, default=1, help="how many days, one seed each; 1 shows its events")
    parser.add_argument("--log", type=Path, help="write every event of a single day to this file")
    options = parser.parse_args(arguments)
    if options.days < 1:
        parser.error("--days: at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
