"""P10: head office's ingest on PostgreSQL, by one, two and four workers, beside COPY of the very same rows.

The same server, on disk, the same tables with the same keys and indexes. COPY commits every batch; head office the
batches that wait, here as many as a draining station has in flight.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import select

from headoffice.ingest import ingest_all
from headoffice.store import schema
from headoffice.store.database import Database
from sync.delivery import MAX_WINDOW
from sync.topics import StationTopic
from tests.bench.table import Row, reaching
from tests.support.headoffice_station import NOW_MS, Stream, sale_data, settled_data
from tests.support.postgres import Postgres

BATCH = 100
"""Records of a sale and its settlement fill the 65,536 bytes of a batch about so."""

BATCHES = 20
ROUNDS = 3
TARGET = 0.25
GROWS = 1.1
READY_WITHIN_S = 120.0
Batches = list[bytes]


def measure() -> list[Row]:
    """Several rounds, the two sides in turns, each into a new database; then more workers, each with its own station."""
    ours, copied = [], []
    crews: dict[int, list[float]] = {1: [], 2: [], 4: []}
    with tempfile.TemporaryDirectory() as name, Postgres(_open_to_all(Path(name))) as server:
        topic, batches = journal("BENCH-0")
        for _ in range(ROUNDS):
            with server.database() as url, server.database() as other:
                ours.append(_rate(1, _ingested(url, topic, batches)))
                copied.append(_rate(1, _copied(other, _rows(url))))
        for _ in range(ROUNDS):
            for count, rates in crews.items():
                rates.append(_rate(count, _by_workers(server, count)))
    one = statistics.median(crews[1])
    rows = [
        reaching(
            "P10",
            "head office ingest, one worker",
            statistics.median(ours),
            statistics.median(copied),
            unit="records/s",
            peer_name="COPY of the same rows",
            at_least=TARGET,
        )
    ]
    for count, least in ((2, GROWS), (4, 1.0)):
        rate = statistics.median(crews[count])
        what = f"head office ingest, {count} workers"
        rows.append(reaching("P10", what, rate, one, unit="records/s", peer_name="one worker", at_least=least))
    return rows


def journal(station: str) -> tuple[StationTopic, Batches]:
    """A station's backlog of sales and settlements, cut into payloads."""
    stream = Stream(station=station).begin()
    for number in range(BATCH * BATCHES // 2):
        at = number // 8 * 1_000  # eight nozzles in turn
        told = sale_data(number, f"0:{at}", f"0:{at + 1_000}", fuelling_point=number % 8 + 1)
        stream.add("fc.sale.v1", told)
        stream.add("fc.sale.settled.v1", settled_data(told["sale"]))
    known = _Known(station=station, raws=stream.raws, chained=stream.hashes)
    return stream.topic, [known.payload(first, first + BATCH - 1) for first in range(1, BATCH * BATCHES, BATCH)]


class _Known(Stream):
    """A stream that is written to its end: its hashes are computed once."""

    def __init__(self, *, chained: tuple[bytes, ...], **members: Any) -> None:
        super().__init__(**members)
        self._chained = chained

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """See Stream."""
        return self._chained


def _rate(workers: int, elapsed_s: float) -> float:
    return workers * BATCH * BATCHES / elapsed_s


def _ingested(url: str, topic: StationTopic, batches: Batches, ready: Barrier | None = None) -> float:
    with closing(Database(url)) as database:
        database.make_room(NOW_MS)
        if ready is not None:
            ready.wait()
        begun = time.perf_counter()
        for first in range(0, len(batches), MAX_WINDOW):  # what a station that drains has in flight is taken at once
            ingest_all(database, [(topic, payload) for payload in batches[first : first + MAX_WINDOW]], NOW_MS)
        return time.perf_counter() - begun


def _rows(url: str) -> list[dict[str, list[tuple[Any, ...]]]]:
    """What ingest stored, by batch and table, as COPY takes it."""
    found: list[dict[str, list[tuple[Any, ...]]]] = [{} for _ in range(BATCHES)]
    with closing(Database(url)) as database, database.read() as connection:
        batch_of = {row.number: (row.seq - 1) // BATCH for row in connection.execute(select(schema.record))}
        for table in schema.metadata.sorted_tables:
            for row in connection.execute(select(table)).mappings():
                if "record" in row or table in (schema.record, schema.record_bytes):
                    batch = batch_of[row.get("record", row.get("number"))]
                elif table is schema.record_hash:
                    batch = (row["seq"] - 1) // BATCH
                else:
                    continue
                found[batch].setdefault(table.name, []).append(tuple(row.values()))
    return found


def _copied(url: str, batches: list[dict[str, list[tuple[Any, ...]]]]) -> float:
    with closing(Database(url)) as database:
        database.make_room(NOW_MS)
    with psycopg.connect(url) as connection:
        begun = time.perf_counter()
        for batch in batches:
            for name, rows in batch.items():
                with connection.cursor() as cursor, cursor.copy(f'COPY "{name}" FROM STDIN'.encode()) as copy:
                    for row in rows:
                        copy.write_row(row)
            connection.commit()
        return time.perf_counter() - begun


def _by_workers(server: Postgres, count: int) -> float:
    """Seconds until every worker has taken its own station's backlog, all begun at once."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(count + 1, timeout=READY_WITHIN_S)
    with server.database() as url:
        crew = [context.Process(target=_work, args=(url, f"BENCH-{number}", ready)) for number in range(count)]
        for one in crew:
            one.start()
        ready.wait()
        begun = time.perf_counter()
        for one in crew:
            one.join()
        elapsed_s = time.perf_counter() - begun
        assert [one.exitcode for one in crew] == [0] * count
    return elapsed_s


def _work(url: str, station: str, ready: Barrier) -> None:
    topic, batches = journal(station)
    _ingested(url, topic, batches, ready)


def _open_to_all(folder: Path) -> Path:
    """The server runs as its own user and must get through to its files."""
    folder.chmod(0o755)
    return folder
