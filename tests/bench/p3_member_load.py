"""P3: a million members into an empty cache through the station's bulk path, beside raw executemany and then indexes.

Both start from the changes as they stand in head office's pages, and end durable in one file.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from agent.pipeline.downlink import entry
from agent.store.engine import WRITER_PRAGMAS
from agent.store.store import Store
from tests.bench.members_data import STAMP, batches
from tests.bench.table import Row, against

COUNT = 1_000_000
TARGET = 2.0


def measure() -> list[Row]:
    """Load the same million on both sides, batch by batch in turns."""
    ours_s = raw_s = 0.0
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name) / "ours.db", station="bench", random=Random(1))
        peer = _peer(Path(name) / "raw.db")
        for batch in batches(COUNT):
            begun = time.perf_counter()
            with store.begin(STAMP) as tx:
                tx.members.put_all([entry(op) for op in batch])
            between = time.perf_counter()
            _insert(peer, batch)
            ours_s += between - begun
            raw_s += time.perf_counter() - between
        begun = time.perf_counter()
        for statement in INDEXES:
            peer.execute(statement)
        raw_s += time.perf_counter() - begun
        store.close()
        peer.close()
    name = "raw executemany, then indexes"
    return [against("P3", f"{COUNT:,} members loaded", ours_s, raw_s, unit="s", peer_name=name, at_most=TARGET)]


INDEXES = (
    "CREATE UNIQUE INDEX member_id ON member (id)",
    "CREATE UNIQUE INDEX member_index_digest ON member_index (digest)",
    "CREATE INDEX member_index_ref ON member_index (member_ref)",
)


def _peer(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for name, value in WRITER_PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")
    connection.execute(
        "CREATE TABLE member (ref INTEGER PRIMARY KEY, id TEXT, tier TEXT, growth INTEGER, tags TEXT, mask TEXT,"
        " birthday_md TEXT, flags TEXT, base_points INTEGER, known INTEGER, op INTEGER, visits INTEGER,"
        " first_fill_used INTEGER)"
    )
    connection.execute("CREATE TABLE member_index (digest BLOB, member_ref INTEGER)")
    return connection


def _insert(connection: sqlite3.Connection, batch: list[dict[str, Any]]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(f"INSERT INTO member VALUES ({', '.join('?' * 13)})", (_row(op) for op in batch))
    indexes = ((bytes.fromhex(digest), op["op"]) for op in batch for digest in op["indexes"])
    connection.executemany("INSERT INTO member_index VALUES (?, ?)", indexes)
    connection.execute("COMMIT")


def _row(op: dict[str, Any]) -> tuple[Any, ...]:
    points = sum(lot["points"] for lot in op["lots"])
    tags, flags = json.dumps(op["tags"]), json.dumps(op["flags"])
    described = (op["op"], op["member"], op["tier"], op["growth"], tags, op["mask"], op["birthday_md"], flags)
    return (*described, points, 1, op["op"], 0, 0)
