"""The bytes of records lie in months on PostgreSQL: made ahead, dropped by people only, and uniqueness outlives them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, create_engine, select

from headoffice.ingest import ingest
from headoffice.store import reports, schema
from headoffice.store.database import Database
from headoffice.store.postgresql import month_of, months
from headoffice.store.verify import verify
from sync.messages import Ack
from tests.support import template
from tests.support.headoffice_station import NOW_MS, Stream, answered, sale_data
from tests.support.postgres import Postgres

OTHER = "f" * 32
DECEMBER_MS = month_of(NOW_MS)[1]


@pytest.fixture
def empty_url(postgres: Postgres) -> Iterator[str]:
    with postgres.empty() as url:
        yield url


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    with closing(Database(postgres_url)) as opened:
        yield opened


def take(database: Database, stream: Stream, first: int, last: int | None, at_ms: int) -> Ack:
    return answered(ingest(database, stream.topic, stream.payload(first, last), at_ms))


def sales(count: int) -> Stream:
    stream = Stream().begin()
    for number in range(count):
        stream.add("fc.sale.v1", sale_data(number, f"0:{number * 10}", f"0:{number * 10 + 10}"))
    return stream


def partitions(database: Database) -> list[str]:
    with database.read() as connection:
        return sorted(name.removeprefix("record_bytes_") for name in months(connection))


def test_a_month_is_made_with_the_one_before_it(database: Database) -> None:
    """The first batch of a month makes the next month, so that midnight finds everything ready."""
    stream = sales(2)
    take(database, stream, 1, 1, NOW_MS)
    assert partitions(database) == ["2026_11", "2026_12"]
    take(database, stream, 2, 2, DECEMBER_MS - 1)
    assert partitions(database) == ["2026_11", "2026_12"]
    take(database, stream, 3, 3, DECEMBER_MS)
    assert partitions(database) == ["2026_11", "2026_12", "2027_01"]
    assert verify(database).findings == ()


def test_a_clock_that_leaps_is_no_reason_to_refuse_a_batch(database: Database) -> None:
    """Years ahead or behind, the records find a place: months are made where they are needed, not in order."""
    stream = sales(3)
    for seq, year in ((1, 2040), (2, 2001), (3, 2026)):
        at_ms = int(dt.datetime(year, 12, 31, 23, 59, tzinfo=dt.UTC).timestamp() * 1000)
        assert take(database, stream, seq, seq, at_ms).cum == seq
    assert partitions(database) == ["2001_12", "2002_01", "2026_12", "2027_01", "2040_12", "2041_01"]


def test_facts_stay_unique_when_their_month_is_dropped(
    postgres: Postgres, postgres_url: str, database: Database
) -> None:
    """[W-24] A second arrival years later is one; `verify` goes on from the kept hashes and says how many it could not see."""
    old = sales(3)
    take(database, old, 1, 3, NOW_MS)
    take(database, old, 4, 4, DECEMBER_MS)
    postgres.execute(postgres_url, "ALTER TABLE record_bytes DETACH PARTITION record_bytes_2026_11")
    postgres.execute(postgres_url, "DROP TABLE record_bytes_2026_11")
    again = Stream(incarnation=OTHER).begin()
    for raw in old.raws[1:]:
        told = json.loads(raw)
        again.add(told["type"], told["data"], record_id=told["id"], time=told["time"])
    assert take(database, again, 1, None, DECEMBER_MS).rejected == ()
    totals = reports.totals(database)
    assert (totals["sales"], totals["duplicates"], totals["own_alerts"]) == (3, 3, 0)
    found = verify(database)
    assert (found.findings, found.dropped, found.records) == ((), 3, 5)


def test_bytes_that_are_missing_from_a_month_that_is_there_are_found(
    postgres: Postgres, postgres_url: str, database: Database
) -> None:
    """Only a whole month may be gone: a hole in one is damage."""
    take(database, sales(3), 1, None, NOW_MS)
    postgres.execute(postgres_url, "DELETE FROM record_bytes WHERE number = 2")
    assert any("bytes of seq 2 are missing" in text for text in verify(database).findings)


def write_as_before(database: Database, location: str) -> None:
    """Make a database as the first releases did, the bytes in ``record`` itself, and copy what another one has into it."""
    config = Config()
    config.set_main_option("script_location", str(files("headoffice.store") / "migrations"))
    engine = create_engine(location.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as old, database.read() as new:
        config.attributes["connection"] = old
        command.upgrade(config, "0005")
        before = MetaData()
        before.reflect(old)
        for name in ("station", "install", "cursor", "record_hash", "record", "sale", "sale_interval"):
            table = schema.metadata.tables[name]
            whole = table.join(schema.record_bytes, schema.record_bytes.c.number == schema.record.c.number)
            rows = new.execute(
                select(table) if name != "record" else select(table, schema.record_bytes.c.raw).select_from(whole)
            )
            wanted = before.tables[name].columns.keys()
            old.execute(before.tables[name].insert(), [{key: row[key] for key in wanted} for row in rows.mappings()])
    engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_older_database_keeps_every_byte(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    """The migration moves the bytes of each record into its month, and the chains still have their hashes."""
    location = f"sqlite:///{tmp_path}/hq.sqlite" if kind == "sqlite" else str(request.getfixturevalue("empty_url"))
    stream = sales(4)
    with closing(template.head_office(tmp_path / "new.sqlite")) as source:
        take(source, stream, 1, 3, NOW_MS - 90 * 86_400_000)
        take(source, stream, 4, None, NOW_MS)
        write_as_before(source, location)
    with closing(Database(location, migrate=True)) as database:
        assert (verify(database).findings, verify(database).records) == ((), 5)
        if kind == "postgresql":
            assert partitions(database) == [f"2026_{month:02}" for month in (8, 9, 10, 11, 12)]


def test_months_begin_and_end_in_utc() -> None:
    """Every instant lies in exactly one month, and months touch."""
    first, after = month_of(int(dt.datetime(2026, 12, 31, 23, 59, 59, tzinfo=dt.UTC).timestamp() * 1000))
    assert dt.datetime.fromtimestamp(first / 1000, dt.UTC).isoformat() == "2026-12-01T00:00:00+00:00"
    assert dt.datetime.fromtimestamp(after / 1000, dt.UTC).isoformat() == "2027-01-01T00:00:00+00:00"
    assert month_of(after)[0] == after
