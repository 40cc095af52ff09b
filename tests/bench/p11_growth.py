"""P11: the same station young and after years: a hundred times the sales and members, a thousand times the backlog.

Rows are made by SQL inside the real schema, so that the large database takes seconds; what is measured is the product.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median

from agent.store import mark as marks
from agent.store.engine import WRITER_PRAGMAS
from agent.store.store import Store
from tests.bench.members_data import STATION, station
from tests.bench.p1_sale_commit import committed, sale_of, timed_us
from tests.bench.p2_member_lookup import lookups
from tests.bench.p6_idle_daemon import rss_mb, start_s
from tests.bench.p7_status import looks
from tests.bench.table import Row, against
from tests.support.processes import Site

ROUNDS = 10
SALES_PER_ROUND = 20
LOOKS = 7
TARGET = 1.5
FIRST_MS = 1_500_000_000_000


@dataclass(frozen=True)
class Size:
    """How much a station holds."""

    sales: int
    members: int
    backlog: int


YOUNG = Size(10_000, 10_000, 1_000)
OLD = Size(1_000_000, 1_000_000, 1_000_000)


def measure() -> list[Row]:
    """Build both, then measure both in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        young, old = (grown(folder, size) for size in (YOUNG, OLD))
        rows = [_row("sale committed", "us", *_commits(young, old))]
        found = [lookups(path, size.members)[0] for path, size in ((young, YOUNG), (old, OLD))]
        rows.append(_row("member by code", "us", *found))
        at_young, at_old = (_daemon(folder, path) for path in (young, old))
    rows.append(_row("forecourt status", "ms", at_young[0], at_old[0]))
    rows.append(_row("start to the first answer", "s", at_young[2], at_old[2]))
    rows.append(_row("resident memory of the daemon", "MB", at_young[1], at_old[1]))
    return rows


def _row(what: str, unit: str, young: float, old: float) -> Row:
    name = f"{OLD.sales:,} sales and members, backlog {OLD.backlog:,}: {what}"
    return against("P11", name, old, young, unit=unit, peer_name="10,000; backlog 1,000", at_most=TARGET)


def grown(folder: Path, size: Size) -> Path:
    """Return a database that holds so much: settled sales with their records, of which the last are not delivered."""
    path = station(size.members, folder).rename(folder / f"grown-{size.sales}.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("PRAGMA synchronous=off")
        db.execute("BEGIN")
        for statement in (_JOURNAL, _SALES, _SETTLEMENTS):
            db.execute(statement, {"count": size.sales, "acked": size.sales - size.backlog, "first_ms": FIRST_MS})
        db.execute(
            "UPDATE stream_head SET seq = :count + 1, acked = :acked WHERE stream = 'L'",
            {"count": size.sales, "acked": size.sales - size.backlog},
        )
        db.execute("COMMIT")
        for name, value in WRITER_PRAGMAS.items():
            db.execute(f"PRAGMA {name}={value}")
        db.execute("PRAGMA wal_checkpoint(truncate)")
    return path


_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
_JOURNAL = f"""
INSERT INTO journal (generation, stream, seq, id, type, time_ms, body, hash, delivered)
{_NUMBERS} SELECT 1, 'L', i + 1, printf('01J%023d', i), 'fc.sale.v1', :first_ms + i * 60000, zeroblob(560), zeroblob(32),
i <= :acked FROM n
"""
_SALES = f"""
INSERT INTO sale (id, fuelling_point, nozzle, grade, tank, kind, volume_ml, unit_price_milli, amount_minor, currency,
exponent, start_epoch, start_raw, end_epoch, end_raw, sub, counter, lifted_ms, ended_ms, business_day, attendant, flags,
state, voided, refunded_minor, settle_due_ms, journal_seq)
{_NUMBERS} SELECT printf('01J%023d', i), 2 + i % 3, 1, '92', 1, 'NORMAL', 20000, 7890, 15780, 'CNY', 2, 0, i * 2000, 0,
i * 2000 + 2000, NULL, NULL, :first_ms + i * 60000 - 50000, :first_ms + i * 60000, '2026-01-01', NULL, '',
CASE WHEN i > :count - 5 THEN 'Payable' ELSE 'Cleared' END, 0, 0, NULL, i + 1 FROM n
"""
_SETTLEMENTS = f"""
INSERT INTO settlement (sale, member_ref, rule_version, rule_hash, gross_minor, discount_minor, net_minor,
points_redeemed, points_earned, lines, explanation, purpose, by, settled_ms, journal_seq)
{_NUMBERS} SELECT printf('01J%023d', i), NULL, 1, '', 15780, 0, 15780, 0, 157, '[]', '[]', 'PERSONAL', 'auto',
:first_ms + i * 60000 + 30000, i + 1 FROM n WHERE i <= :count - 5
"""


def _commits(young: Path, old: Path) -> tuple[float, float]:
    random = Random(1)
    sales = [sale_of(number, random) for number in range(ROUNDS * SALES_PER_ROUND)]
    stores = [Store(path, station=STATION, random=Random(1)) for path in (young, old)]
    took: list[list[float]] = [[], []]
    for first, end in pairwise(range(0, len(sales) + 1, SALES_PER_ROUND)):
        for store, times in zip(stores, took, strict=True):
            times += [timed_us(lambda s=sale, to=store: committed(to, s, linked=False)) for sale in sales[first:end]]  # type: ignore[misc]
    for store, path in zip(stores, (young, old), strict=True):
        store.close()
        with closing(sqlite3.connect(path, isolation_level=None)) as db:  # a daemon is to start: it knows no such state
            db.execute("DELETE FROM desk_memory")
            db.execute("DELETE FROM point_memory")
    return median(took[0]), median(took[1])


def _daemon(folder: Path, database: Path) -> tuple[float, float, float]:
    """Return (status in ms, resident memory in MB, start in s) of a daemon on this database."""
    here = folder / database.stem
    here.mkdir()
    with Site(here) as site:
        site.database = database
        site.write_config(site.no_devices())
        _mark(database, site.mark)
        agent = site.start_agent()
        status_ms = looks(site, LOOKS)[0]
        resident_mb = rss_mb(agent)
        agent.end()
        return status_ms, resident_mb, start_s(site)


def _mark(database: Path, mark: Path) -> None:
    """Write the high-water file of this database: without one the daemon would begin a new incarnation."""
    with closing(sqlite3.connect(database)) as db:
        incarnation = db.execute("SELECT value FROM meta WHERE key = 'incarnation'").fetchone()[0]
        heads = {
            name: (seq, digest.hex()) for name, seq, digest in db.execute("SELECT stream, seq, hash FROM stream_head")
        }
    marks.write(mark, marks.Mark(incarnation, 0, heads))
