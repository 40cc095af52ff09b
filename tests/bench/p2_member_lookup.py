"""P2: a member by the blind index of a card among a million, beside a raw select.

Warm: each side has read each member once before it is timed.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from pathlib import Path
from random import Random
from statistics import median

from agent.store.members import _BY_INDEX
from agent.store.store import Store
from sync.buckets import recognised_by
from tests.bench.members_data import EVERY, STAMP, STATION, digest_of, station
from tests.bench.table import Row, against

COUNT = 1_000_000
ROUNDS = 20
LOOKUPS = 200


def measure() -> list[Row]:
    """The row of a million members."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = station(COUNT, folder)
        ours_us, raw_us = lookups(path, COUNT)
    what = f"member by code among {COUNT:,}, warm, p50"
    return [against("P2", what, ours_us, raw_us, unit="us", peer_name="raw sqlite3 select", at_most=3.0)]


def lookups(path: Path, count: int) -> tuple[float, float]:
    """Return the medians (ours, raw sqlite3) in microseconds, a round each in turns."""
    store = Store(path, station=STATION, random=Random(1))
    peer = sqlite3.connect(path, isolation_level=None)
    chance = Random(2)
    digests = [recognised_by(digest_of(chance.randrange(0, count, EVERY))) for _ in range(LOOKUPS)]
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
