"""Batches that wait at head office and are taken by one commit, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from headoffice.ingest import ingest, ingest_all
from headoffice.store import reports, schema
from headoffice.store.database import Database
from headoffice.store.verify import verify
from tests.support.headoffice_databases import BOTH, opened
from tests.support.headoffice_station import NOW_MS, Stream, answered, sale_data, settled_data

REFUSE_SPOILT = {
    "sqlite": (
        "CREATE TRIGGER refuse BEFORE INSERT ON sale WHEN NEW.grade = 'spoilt' BEGIN SELECT RAISE(ABORT, 'spoilt'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'spoilt'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON sale FOR EACH ROW WHEN (NEW.grade = 'spoilt') EXECUTE FUNCTION refuse()",
    ),
}
"""A database that refuses one sale, as a fault of ours would."""


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    yield from opened(request, tmp_path)


def test_batches_that_wait_are_stored_by_one_commit_each_upon_the_one_before(database: Database) -> None:
    """[W-20] A first batch, the next, one that came twice and one too far: each ack says what held at its place."""
    stream = Stream().begin()
    for number in range(9):
        stream.add("fc.sale.v1", sale_data(number, f"0:{number * 10}", f"0:{number * 10 + 10}"))
    payloads = [stream.payload(first, last) for first, last in ((1, 4), (5, 8), (3, 6), (10, 10), (9, 9))]
    acks = [answered(ack) for ack in ingest_all(database, [(stream.topic, one) for one in payloads], NOW_MS)]
    assert [(ack.cum, ack.gap) for ack in acks] == [(4, False), (8, False), (8, False), (8, True), (9, False)]
    assert [ack.head_hash for ack in acks] == [stream.hashes[ack.cum] for ack in acks]
    assert reports.totals(database)["sales"] == 8
    assert verify(database).findings == ()


def _spoilt(database: Database) -> Stream:
    """A stream whose sale the database refuses."""
    with database.write() as connection:
        for statement in REFUSE_SPOILT[connection.dialect.name]:
            connection.exec_driver_sql(statement)
    stream = Stream(station="S-1").begin()
    stream.add("fc.sale.v1", sale_data(1, "0:0", "0:10", grade="spoilt"))
    return stream


def test_a_batch_that_the_database_refuses_spoils_none_that_waited_beside_it(database: Database) -> None:
    """[W-20] The others are stored and acknowledged; nothing of the refused one is stored, and people are told which."""
    bad = _spoilt(database)
    good, other = (Stream(station=station).begin() for station in ("S-0", "S-2"))
    for stream in (good, other):
        stream.add("fc.sale.v1", sale_data(1, "0:0", "0:10"))
    first, refused, last = ingest_all(
        database, [(stream.topic, stream.payload(1)) for stream in (good, bad, other)], NOW_MS
    )
    assert (answered(first).cum, refused, answered(last).cum) == (2, None, 2)
    with database.read() as connection:
        stations = set(connection.execute(select(schema.record.c.station)).scalars())
    assert stations == {"S-0", "S-2"}
    (alert,) = reports.own_alerts(database, station=None, limit=9)
    assert (alert["station"], alert["alert"], alert["subject"]) == ("S-1", "batch_refused", f"{bad.incarnation} L")
    assert alert["detail"].startswith("seq 1 to 2: ")
    assert "spoilt" in alert["detail"]
    assert verify(database).findings == ()


def test_a_refused_batch_alone_has_no_ack_and_is_taken_when_it_comes_again(database: Database) -> None:
    """[W-20] Each time it comes it is counted; when the fault is mended it is stored as if nothing had been."""
    bad = _spoilt(database)
    assert ingest(database, bad.topic, bad.payload(1), NOW_MS) is None
    assert ingest(database, bad.topic, bad.payload(1), NOW_MS + 1) is None
    assert [row["count"] for row in reports.own_alerts(database, station=None, limit=9)] == [2]
    with database.write() as connection:
        on = " ON sale" if connection.dialect.name == "postgresql" else ""
        connection.exec_driver_sql(f"DROP TRIGGER refuse{on}")
    assert answered(ingest(database, bad.topic, bad.payload(1), NOW_MS + 2)).cum == 2
    assert verify(database).findings == ()


def test_a_sale_put_aside_earns_nothing_whoever_waits_beside_its_station(database: Database) -> None:
    """[W-24] Each station's own sales put aside count, not those of the station whose batch came first in a commit."""
    twice, other = Stream(station="S-1").begin(), Stream(station="S-0").begin()
    for stream, count in ((twice, 2), (other, 1)):
        for number in range(count):
            told = sale_data(number, "0:0", "0:1000")
            stream.add("fc.sale.v1", told)
            stream.add("fc.sale.settled.v1", settled_data(told["sale"]))
    ingest(database, twice.topic, twice.payload(1, 4), NOW_MS)  # the second sale is put aside here, and paid for below
    waiting = [(other.topic, other.payload(1)), (twice.topic, twice.payload(5))]
    assert [answered(ack).cum for ack in ingest_all(database, waiting, NOW_MS)] == [3, 5]
    annulled = [row for row in reports.own_alerts(database, station=None, limit=9) if row["alert"] == "points_annulled"]
    assert [row["station"] for row in annulled] == ["S-1"]
