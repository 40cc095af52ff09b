"""Head office against a model: whatever the broker does to batches, every record is stored once and every ack is right."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from headoffice.ingest import ingest
from headoffice.store import reports, schema
from headoffice.store.database import Database
from headoffice.store.verify import verify
from sync.envelope import encode_batch, station_source
from sync.messages import Ack, Batch
from tests.support import template
from tests.support.headoffice_station import NOW_MS, STATION, TIME, Stream, answered, sale_data, settled_data, ulid
from tests.support.postgres import Postgres

KINDS = st.lists(st.sampled_from(["sale", "settled", "unknown", "overlap", "again", "misplaced"]), max_size=25)
DELIVERIES = st.lists(
    st.tuples(st.integers(1, 26), st.integers(1, 8), st.sampled_from(["true", "true", "true", "forked", "torn"])),
    max_size=30,
)


Office = Callable[[], AbstractContextManager[Database]]


@contextmanager
def on_sqlite() -> Iterator[Database]:
    """A new database in memory."""
    folder = template.new_folder()
    try:
        with closing(template.head_office(folder / "hq.sqlite")) as database:
            yield database
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def head_office(request: pytest.FixtureRequest) -> Office:
    """Gives a new database for each example."""
    if request.param == "sqlite":
        return on_sqlite
    server: Postgres = request.getfixturevalue("postgres")

    @contextmanager
    def on_postgresql() -> Iterator[Database]:
        with server.database() as url, closing(Database(url)) as database:
            yield database

    return on_postgresql


def build(kinds: list[str]) -> tuple[Stream, list[str]]:
    """A stream with a record per kind, and where each must end: ``fact``, ``duplicate`` or the reason of a dead letter."""
    stream = Stream().begin()
    fates = ["fact"]
    sales, settled = 0, set()
    for kind in kinds:
        meter = 10_000 + 500 * sales
        if kind == "sale" or (sales == 0 and kind in ("settled", "overlap", "again")):
            sales += 1
            stream.add("fc.sale.v1", sale_data(sales, f"0:{meter}", f"0:{meter + 500}"), record_id=ulid(sales))
            fates.append("fact")
        elif kind == "settled":
            stream.add("fc.sale.settled.v1", settled_data(sale_data(sales, None, None)["sale"]))
            fates.append("duplicate" if sales in settled else "fact")
            settled.add(sales)
        elif kind == "overlap":
            stream.add("fc.sale.v1", sale_data(900_000 + len(fates), f"0:{meter - 1}", f"0:{meter + 9}"))
            fates.append("overlap")
        elif kind == "again":
            stream.add("fc.sale.v1", sale_data(sales, f"0:{meter}", f"0:{meter + 1}"), record_id=ulid(sales))
            fates.append("duplicate")
        else:
            stream.add("fc.unheard.v1" if kind == "unknown" else "fc.tank.alert.v1", {})
            fates.append("unknown_type" if kind == "unknown" else "wrong_stream")
    return stream, fates


def forked(stream: Stream, first: int) -> Stream:
    """The same station after a restore: other records from ``first`` on."""
    other = Stream(raws=stream.raws[: first - 1])
    for number in range(len(stream.raws) - first + 1):
        other.add("fc.sale.v1", sale_data(700_000 + number, f"9:{number}", f"9:{number + 1}"))
    return other


def deliver(database: Database, batch: Batch) -> Ack:
    payload = encode_batch(batch, source=station_source(STATION), time=TIME)
    return answered(ingest(database, Stream().topic, payload, NOW_MS))


def expected(cum: int, first: int, last: int, manner: str) -> tuple[int, bool, bool, str | None]:
    """The model: (cum, gap, fork, refused) after a batch first..last of a chain known up to ``cum``."""
    if manner == "torn":
        return cum, True, False, "bad_last_hash"
    if first > cum + 1:
        return cum, True, False, None
    if manner == "forked" and first <= cum:
        return cum, False, True, None
    return max(cum, last), False, False, None


def check_rows(database: Database, stream: Stream, fates: list[str]) -> None:
    """Every seq once, in exactly the table its fate says, with its own bytes."""
    kept = {}
    with database.read() as connection:
        whole = select(schema.record.c.seq, schema.record_bytes.c.raw).join_from(
            schema.record, schema.record_bytes, schema.record_bytes.c.number == schema.record.c.number
        )
        kinds = ((whole, "fact"), (select(schema.duplicate), "duplicate"), (select(schema.dead_letter), None))
        for rows, word in kinds:
            for row in connection.execute(rows):
                assert row.seq not in kept
                kept[row.seq] = (word or row.reason, row.raw)
    assert kept == {seq: (fates[seq - 1], stream.raws[seq - 1]) for seq in range(1, len(stream.raws) + 1)}


@settings(max_examples=40, deadline=None)
@given(KINDS, DELIVERIES)
def test_any_order_of_batches_stores_every_record_exactly_once(
    head_office: Office, kinds: list[str], deliveries: list[tuple[int, int, str]]
) -> None:
    """[W-20] [W-21] [W-23] [W-24] [W-25] Lost, doubled, reordered, overlapping, torn and forked batches against a model."""
    stream, fates = build(kinds)
    total = len(stream.raws)
    with head_office() as database:
        cum = 0
        for start, length, manner in deliveries:
            first = min(start, total)
            last = min(first + length - 1, total)
            if manner == "forked" and first > cum:
                continue  # beyond what is known a fork cannot be told from the truth
            batch = (forked(stream, first) if manner == "forked" else stream).batch(first, last)
            if manner == "torn":
                batch = replace(batch, last_hash=b"\0" * 32)
            ack = deliver(database, batch)
            want = expected(cum, first, last, manner)
            assert (ack.cum, ack.gap, ack.fork, ack.refused) == want
            cum = want[0]
            assert ack.head_hash == stream.hashes[cum]
            dead = [(seq, fate) for seq, fate in enumerate(fates[:cum], 1) if fate not in ("fact", "duplicate")]
            assert [(one.seq, one.reason) for one in ack.rejected] == dead
        for first in range(cum + 1, total + 1, 3):
            deliver(database, stream.batch(first, min(first + 2, total)))
        check_rows(database, stream, fates)
        assert verify(database).findings == ()
        volume_ml = sum(
            10_000 for fate, raw in zip(fates, stream.raws, strict=True) if fate == "fact" and b"fc.sale.v1" in raw
        )
        assert reports.totals(database)["volume_ml"] == volume_ml


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=25))
def test_accepted_intervals_never_overlap_and_no_fitting_one_is_refused(
    head_office: Office, intervals: list[tuple[int, int]]
) -> None:
    """[W-24] Against a brute-force model: a sale is accepted exactly if it overlaps no accepted one before it."""
    stream = Stream(raws=[])
    accepted: list[tuple[int, int]] = []
    fates = []
    for number, (start, length) in enumerate(intervals):
        end = start + length
        stream.add("fc.sale.v1", sale_data(number, f"0:{start}", f"0:{end}", sub=number + 1 if length == 0 else None))
        fits = length == 0 or all(end <= other_start or other_end <= start for other_start, other_end in accepted)
        fates.append("fact" if fits else "overlap")
        if fits and length:
            accepted.append((start, end))
    if not intervals:
        return
    with head_office() as database:
        ack = deliver(database, stream.batch(1))
        assert [one.seq for one in ack.rejected] == [seq for seq, fate in enumerate(fates, 1) if fate == "overlap"]
        assert verify(database).findings == ()
