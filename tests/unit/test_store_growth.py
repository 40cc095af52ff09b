"""What a station asks of its database stays quick when it holds years: no whole table is read, members come in bulk."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError, OperationalError

from agent.domain.sale import SaleState
from agent.store.journal import Stamp
from agent.store.member_queries import MemberQueries
from agent.store.members import Put
from agent.store.prepared import raw
from agent.store.queries import NotFound
from agent.store.store import Store, Tx

STAMP = Stamp(1_795_305_600_000, 1_000, "b7c1", "rtc")
LARGE = ("sale", "journal", "link", "posting", "correction", "member", "member_index", "settlement", "alert")
ALIASES = {"s": "sale", "m": "member", "l": "link", "t": "settlement", "p": "posting"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new database."""
    opened = Store(tmp_path / "station.db", station="SH-0421", random=Random(1))
    yield opened
    opened.close()


def whole_tables_read(path: Path, statements: list[str]) -> list[str]:
    """The lines of the query plans that read a large table from end to end."""
    found = []
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            if not statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
                continue
            plan = [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            if "LIMIT" in statement and not any("TEMP B-TREE" in line for line in plan):
                continue  # it stops at its limit
            scanned = [line.removeprefix("SCAN ") for line in plan if re.fullmatch(r"SCAN \w+", line)]
            found += [f"{name}: {statement}" for name in scanned if ALIASES.get(name, name) in LARGE]
    return found


def ask_everything(tx: Tx) -> None:
    """What the pipeline asks while it books, links, settles and corrects."""
    tx.sales.unpaid_per_point()
    tx.sales.scheduled()
    tx.sales.row("x")
    tx.sales.ids_like("01M7")
    tx.sales.set_state("x", SaleState.CLEARED)
    tx.sales.active_link("x")
    tx.sales.count_links("x")
    tx.sales.corrections("x")
    tx.sales.postings_of("x")
    tx.sales.lots_of(1)
    tx.sales.debt_of(1)
    tx.members.by_index(b"x")
    tx.members.by_id("x")
    tx.members.by_ref(1)
    tx.members.put_all([put("1" * 16, 1, b"a"), put("2" * 16, 2, b"b")])
    tx.members.put_all([put("1" * 16, 3, b"b")])
    tx.members.forget("1" * 16)
    tx.members.merge("2" * 16, "3" * 16, op=4, at_ms=0)
    tx.members.put_all([put("2" * 16, 5, b"c"), put("3" * 16, 6, b"d")])
    tx.members.ids_of(tx.members.ensure("2" * 16))
    tx.sales.holder("x")
    tx.sales.posted_to(1)
    tx.delivery.acknowledge("L", 1, bytes(32))
    tx.alerts.open_row("sync", "X")


def test_the_pipeline_reads_no_whole_table(store: Store) -> None:
    """Every question of the writer finds its rows by index, the ones at the start included."""
    sent: list[str] = []
    below = raw(store._connection)
    below.set_trace_callback(sent.append)
    with store.begin(STAMP) as tx:
        ask_everything(tx)
    store.unsettled()
    below.set_trace_callback(None)
    assert len(sent) > 25
    sent.append("SELECT max(journal.time_ms) FROM journal")
    assert whole_tables_read(store.path, sent) == []


def test_what_every_sale_needs_is_prepared(store: Store) -> None:
    """Settling and acknowledging send statements compiled once: SQLAlchemy, which costs more than they do, sleeps."""
    with store.begin(STAMP) as tx:
        tx.sales.active_link("x")
        tx.sales.lots_of(1)
        tx.sales.debt_of(1)
        tx.members.count_use(1, visits=1, growth=2)
        tx.members.add_uses(0, [("offer", "day", "2026-05-01", 1, 200)])
        tx.members.uses(0)
        tx.memory.prices_at(STAMP.wall_ms)
        tx.memory.next_price_change(STAMP.wall_ms)
        tx.memory.due_document("rules", STAMP.wall_ms)
        tx.memory.next_document("rules")
        tx.delivery.acknowledge("L", 1, bytes(32))
        assert not store._connection.in_transaction()
        tx.sales.postings_of("x")
        assert store._connection.in_transaction()


def test_the_looks_of_people_read_no_whole_table(store: Store) -> None:
    """status, sales, alerts, members, journal and sync; sums over everything are no look."""
    sent: list[str] = []

    class Traced(MemberQueries):
        @contextmanager
        def _open(self) -> Iterator[sqlite3.Connection]:
            with super()._open() as db:
                db.set_trace_callback(sent.append)
                yield db

    looks = Traced(store.path)
    looks.unsettled()
    looks.alerts()
    looks.streams()
    looks.members()
    looks.sales()
    looks.sales(state="Payable")
    looks.sales(point=3)
    looks.journal()
    looks.journal(stream="A")
    looks.journal(stream="L", after=7)
    with pytest.raises(NotFound, match="no member"):
        looks.member("00ab")
    assert whole_tables_read(store.path, sent) == []


def put(member: str, op: int, *indexes: bytes, flags: tuple[str, ...] = ()) -> Put:
    return Put(member, "金卡", op, ("taxi", "night"), "尾号0001", None, flags, 7 * op, indexes, op)


def cache(tx: Tx) -> tuple[list[Any], list[Any]]:
    """Everything that the cache holds, surrogates replaced by ids."""
    rows = raw(tx.connection).execute(
        "SELECT id, tier, growth, tags, mask, flags, visits, first_fill_used, base_points, known, op FROM member ORDER BY id"
    )
    indexes = raw(tx.connection).execute(
        "SELECT digest, id FROM member_index JOIN member ON ref = member_ref ORDER BY 1"
    )
    return rows.fetchall(), indexes.fetchall()


few = st.integers(0, 4)
pages = st.lists(st.lists(st.tuples(few, st.lists(few, max_size=2), st.booleans()), max_size=5), min_size=1, max_size=4)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(pages)
def test_members_in_bulk_are_members_one_by_one(store: Store, found: list[list[tuple[int, list[int], bool]]]) -> None:
    """Known and new, moved cards, the same member or card twice in a page: the cache ends up the same."""
    told = [
        [
            put(f"{member:016x}", 10 * page + place, *(bytes([n]) for n in cards), flags=("first_fill_used",) * used)
            for place, (member, cards, used) in enumerate(entries)
        ]
        for page, entries in enumerate(found)
    ]
    ends = []
    for in_bulk in (True, False):
        tx = store.start(STAMP)
        for page in told:
            if in_bulk:
                tx.members.put_all(page)
            else:
                for member in page:
                    tx.members.put(member)
        ends.append(cache(tx))
        store.roll_back()
    assert ends[0] == ends[1]


def test_a_refused_row_is_one_kind_of_error_whatever_sent_it(store: Store) -> None:
    """Prepared statements, bulk and SQLAlchemy's own all raise SQLAlchemy's errors; the transaction is rolled back."""
    tx = store.start(STAMP)
    tx.memory.add_baseline(BASELINE)
    with pytest.raises(IntegrityError, match="UNIQUE"):
        tx.memory.add_baseline(BASELINE)
    with pytest.raises(OperationalError, match="within a transaction"):
        store.start(STAMP)
    store.roll_back()
    with store.begin(STAMP) as tx:
        assert raw(tx.connection).execute("SELECT count(*) FROM baseline").fetchone() == (0,)


BASELINE = {
    "seq": 1,
    "fuelling_point": 1,
    "nozzle": 1,
    "epoch": 0,
    "raw": 1,
    "unit_ml": 10,
    "reason": "x",
    "made_ms": 0,
}
