"""P2: a member by the blind index of a card among a million, beside a raw select; and a whole scan in our own time.

Warm: each side has read each member once before it is timed.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median, quantiles

from agent.clock import SystemClock, read
from agent.inbox import FromLine
from agent.live import LiveBoard
from agent.logs import configure
from agent.pipeline import Pipeline
from agent.pipeline.step import Outlets
from agent.store.members import _BY_INDEX
from agent.store.store import Store
from drivers.readings import CodeScan
from tests.bench.members_data import EVERY, INDEX_KEY, STAMP, STATION, card_of, digest_of, station
from tests.bench.table import Row, against, within
from tests.support.station_file import loaded

COUNT = 1_000_000
ROUNDS = 20
LOOKUPS = 200
SCANS = 500


def measure() -> list[Row]:
    """Both rows of a million members."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = station(COUNT, folder)
        ours_us, raw_us = lookups(path, COUNT)
        scan_ms = scans(path, folder, COUNT)
    what = f"member by code among {COUNT:,}, warm, p50"
    return [
        against("P2", what, ours_us, raw_us, unit="us", peer_name="raw sqlite3 select", at_most=3.0),
        within("P2", f"whole scan among {COUNT:,}, p99", scan_ms, unit="ms", at_most=20),
    ]


def lookups(path: Path, count: int) -> tuple[float, float]:
    """Return the medians (ours, raw sqlite3) in microseconds, a round each in turns."""
    store = Store(path, station=STATION, random=Random(1))
    peer = sqlite3.connect(path, isolation_level=None)
    chance = Random(2)
    digests = [digest_of(chance.randrange(0, count, EVERY)) for _ in range(LOOKUPS)]
    ours: list[float] = []
    raw: list[float] = []
    with store.begin(STAMP) as tx:
        for timed in range(ROUNDS + 1):
            for digest in digests:
                begun = time.perf_counter_ns()
                found = tx.members.by_index(digest)
                ours.append((time.perf_counter_ns() - begun) / 1_000)
                assert found is not None
            for digest in digests:
                begun = time.perf_counter_ns()
                row = peer.execute(_BY_INDEX.text, (digest,)).fetchone()
                raw.append((time.perf_counter_ns() - begun) / 1_000)
                assert row is not None
            if timed == 0:
                ours.clear()
                raw.clear()
    peer.close()
    store.close()
    return median(ours), median(raw)


def scans(path: Path, folder: Path, count: int) -> float:
    """Return the 99th percentile in milliseconds of a member's scan: read, looked up, decided, committed, answered."""
    configure()  # as the daemon does it: an answered scan is a line on stderr
    clock = SystemClock()
    store = Store(path, station=STATION, random=Random(1))
    live = LiveBoard()
    pipeline = Pipeline(
        store=store,
        settings=loaded(folder),
        clock=clock,
        boot="boot",
        start="start",
        random=Random(1),
        live=live,
        index_key=INDEX_KEY,
        capabilities={},
        outlets=Outlets(lambda _command: None, lambda: None),
    )
    chance = Random(3)
    took: list[float] = []
    for _ in range(SCANS):
        scan = CodeScan("one", card_of(chance.randrange(0, count, EVERY)))
        begun = time.perf_counter_ns()
        pipeline.handle(FromLine("one", scan, read(clock)))
        took.append((time.perf_counter_ns() - begun) / 1_000_000)
    assert live.answers, "every scan is answered"
    assert live.answers[-1]["outcome"] not in ("UNKNOWN_CARD", "NOT_A_MEMBER_CODE"), live.answers[-1]
    store.close()
    return quantiles(took, n=100)[98]
