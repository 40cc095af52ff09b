"""P9: how many different disks after a power cut are built, opened by SQLite and judged in a second of one core.

The trace is that of a whole virtual station. Prints one row; a missed target is `short`, not a failure.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.table import Row
from tests.support.crash_oracle import explore
from tests.support.crash_trace import replay
from tests.support.crash_workload import recorded_station
from tests.support.loop_disk import in_memory
from tests.support.quiet import quiet_log

SEEDS = (1, 2, 3, 4, 5)
IMAGES_PER_CHANGE = 0.5
TARGET_PER_S = 500


def measure() -> list[Row]:
    """Explore the same trace under several seeds; our figure is the median of the rounds."""
    rates: list[float] = []
    by_the_wall: list[float] = []
    distinct = 0
    with quiet_log(), tempfile.TemporaryDirectory(dir=in_memory()) as name:
        places = [Path(name) / word for word in ("station", "replay", "bench")]
        for place in places:
            place.mkdir()
        told = replay(recorded_station(places[0]), places[1])
        for seed in SEEDS:
            begun_s, wall_s = time.process_time(), time.perf_counter()
            found = explore(told, places[2], seed, images_per_change=IMAGES_PER_CHANGE)
            rates.append(found.distinct / (time.process_time() - begun_s))
            by_the_wall.append(found.distinct / (time.perf_counter() - wall_s))
            distinct += found.distinct
            assert not found.bad, str(found)
    ours = median(rates)
    return [
        Row(
            id="P9",
            what="crash images built, opened and judged",
            ours=ours,
            unit="images per second of one core",
            peer=None,
            peer_name="",
            ratio=None,
            target=f">= {TARGET_PER_S} images/s",
            met=ours >= TARGET_PER_S,
            note=f"{distinct} distinct images, 0 lost, 0 torn; {median(by_the_wall):.0f} images/s by the wall",
        )
    ]


def main() -> None:
    """Measure, then print the row."""
    for row in measure():
        word = "ok" if row.met else "short"
        print(f"{row.id} {row.what}: {row.ours:.0f} {row.unit}, target {row.target}: {word} ({row.note})")


if __name__ == "__main__":
    main()
