"""P1: one full sale committed through agent.store, beside the same statements through raw sqlite3 in the same run.

Same pragmas, same durability, same rows; the two sides take turns.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from sqlalchemy import event

from agent.domain.sale import Sale
from agent.pipeline.points import record
from agent.store.engine import WRITER_PRAGMAS
from agent.store.journal import Stamp
from agent.store.store import Store, Tx
from sync.records import format_time, make_record
from tests.bench.table import Row, against
from tests.support.nth_sale import nth_sale

ROUNDS = 20
SALES_PER_ROUND = 25
TARGET = 2.0
START_MS = 1_767_225_600_000

MEMBER = "00112233445566ff"
RECENT = {"id": "01KDVGEWF03F1ABDMRF8XH27B5", "point": 1, "nozzle": 1, "ended_ms": START_MS, "state": "Cleared"}
ENCODE = json.JSONEncoder(separators=(",", ":")).encode
KNOWN = [ENCODE(RECENT)] * 7


def desk(sale: Sale) -> str:
    """The desk as the pipeline writes it: seven sales as they were, and this one."""
    sales = ",".join([*KNOWN, ENCODE({**RECENT, "id": sale.id})])
    return f'{{"boot":"boot","seen":{START_MS},"pending":[],"live":[],"sales":[{sales}],"chosen":[],"ended":[]}}'


Statement = tuple[str, Any]


def sale_of(number: int, random: Random) -> Sale:
    """Return the n-th sale of one nozzle: each starts where the one before ended."""
    return nth_sale(number, random, start_ms=START_MS, business_day="2026-01-01")


def write(tx: Tx, sale: Sale, *, linked: bool) -> None:
    """Write what the pipeline writes when a sale is booked, or booked for a member who waits."""
    written = tx.journal.append("fc.sale.v1", record(sale))
    tx.sales.add(sale, settle_due_ms=sale.ended_ms + 30_000, journal_seq=written.seq)
    if linked:
        link(tx, sale)
    tx.memory.save_desk(desk(sale))
    end = str(sale.totalizer_end)
    tx.memory.save_point(
        sale.fuelling_point, {"state": "Idle", "sale": sale.id, "meters": [[1, end, 10]], "open": None}
    )


def link(tx: Tx, sale: Sale) -> None:
    """Write the member's link in the same transaction."""
    ref = tx.members.ensure(MEMBER)
    values = {"sale": sale.id, "level": "NUMBER", "by": "reader-1", "delay_s": -40}
    own = {"id": "L" + sale.id[1:], "member_ref": ref, "made_ms": sale.ended_ms, "corrects": None, "active": 1}
    tx.sales.add_link({**values, **own})
    tx.journal.append("fc.sale.linked.v1", {**values, "member": MEMBER, "code": None})
    tx.sales.set_due(sale.id, sale.ended_ms + 30_000)


def committed(store: Store, sale: Sale, *, linked: bool) -> None:
    """One whole transaction through agent.store."""
    stamp = Stamp(sale.ended_ms, sale.ended_ms, "boot", "ntp")
    with store.begin(stamp) as tx:
        write(tx, sale, linked=linked)


class Recorder:
    """The store's sqlite3 connection, noting what is sent through it; everything else goes straight on."""

    def __init__(self, connection: Any, trace: list[list[Statement]]) -> None:
        self._connection = connection
        self._trace = trace

    def execute(self, statement: str, values: Any = ()) -> Any:
        """Note, then send."""
        self._trace[-1].append((statement, values))
        return self._connection.execute(statement, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def traced(path: Path, sales: list[Sale], *, linked: bool) -> list[list[Statement]]:
    """Return the statements and values that agent.store sends for each sale."""
    store = Store(path, station="bench", random=Random(1))
    trace: list[list[Statement]] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        assert not many
        trace[-1].append((statement, values))

    event.listen(store._engine, "before_cursor_execute", note)
    below: Any = store._connection.connection
    below.dbapi_connection = Recorder(below.dbapi_connection, trace)
    for sale in sales:
        trace.append([])
        committed(store, sale, linked=linked)
    below.dbapi_connection = below.dbapi_connection._connection
    store.close()
    return trace


def raw_connection(path: Path) -> sqlite3.Connection:
    """Open sqlite3 with the pragmas of the store."""
    connection = sqlite3.connect(path, isolation_level=None)
    for name, value in WRITER_PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")
    return connection


def replayed(connection: sqlite3.Connection, statements: list[Statement]) -> None:
    """The same transaction through raw sqlite3."""
    for statement, values in statements:
        connection.execute(statement, values)
    connection.commit()


def timed_us(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    begun = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begun) / 1_000


def record_us(sale: Sale) -> float:
    """Return how long making and checking the sale's record bytes takes, which only our side does."""
    moment = format_time(sale.ended_ms)
    data = record(sale)
    return timed_us(
        lambda: make_record(
            seq=1 << 20, id=sale.id, type="fc.sale.v1", time=moment, boot="boot", mono_ms=1, clock="ntp", data=data
        )
    )


def journal_rows(connection: sqlite3.Connection) -> int:
    """Return how many records a side holds, to show that both did the same work."""
    return int(connection.execute("SELECT count(*) FROM journal").fetchone()[0])


def measure() -> list[Row]:
    """Commit the same sales on both sides, a few at a time each."""
    return [compared("one sale committed", linked=False), compared("one sale and its link committed", linked=True)]


def compared(what: str, *, linked: bool) -> Row:
    """Measure one kind of transaction."""
    random = Random(1)
    sales = [sale_of(number, random) for number in range(ROUNDS * SALES_PER_ROUND)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side in ("trace.db", "ours.db", "raw.db"):
            prepare(folder / side)
        trace = traced(folder / "trace.db", sales, linked=linked)
        store = Store(folder / "ours.db", station="bench", random=Random(1))
        connection = raw_connection(folder / "raw.db")
        ours: list[float] = []
        raw: list[float] = []
        cpu = [0, 0, time.process_time_ns()]
        for start in range(0, len(sales), SALES_PER_ROUND):
            places = range(start, start + SALES_PER_ROUND)
            ours += [timed_us(lambda n=n: committed(store, sales[n], linked=linked)) for n in places]  # type: ignore[misc]
            _charge(cpu, 0)
            raw += [timed_us(lambda n=n: replayed(connection, trace[n])) for n in places]  # type: ignore[misc]
            _charge(cpu, 1)
        records = [record_us(sale) for sale in sales]
        store.close()
        counts = [journal_rows(side) for side in (connection, raw_connection(folder / "ours.db"))]
        connection.close()
    assert counts[0] == counts[1], counts
    writes = sum(statement.startswith(("INSERT", "UPDATE")) for statement, _ in trace[0])
    name = f"{what} ({writes} row writes), p50"
    row = against(
        "P1", name, median(ours), median(raw), unit="us", peer_name="same statements, sqlite3", at_most=TARGET
    )
    mine, its = (nanoseconds / len(sales) / 1_000 for nanoseconds in cpu[:2])
    note = f"processor time {mine:.0f} us, peer {its:.0f} us; of ours, the bytes of one record {median(records):.0f} us"
    return replace(row, note=f"{note}; the rest of both is waiting for the disk")


def prepare(path: Path) -> None:
    """Make one of three like databases: its first record and one member."""
    store = Store(path, station="bench", random=Random(1))
    with store.begin(Stamp(START_MS, 0, "boot", "ntp")) as tx:
        tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
        tx.members.ensure(MEMBER)
    store.close()


def _charge(cpu: list[int], side: int) -> None:
    """Add the processor time since the last call to one side."""
    now = time.process_time_ns()
    cpu[side] += now - cpu[2]
    cpu[2] = now
