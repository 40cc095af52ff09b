"""The station's database: pragmas, one writer, migrations, the journal's chain, and what verify finds."""

from __future__ import annotations

import runpy
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from agent.domain.sale import Sale, SaleKind, SaleState, Totalizer
from agent.failpoints import SimulatedCrash, armed
from agent.pipeline.points import record
from agent.store import mark as marks
from agent.store.delivery import JournalOutbox
from agent.store.engine import reader_engine, writer_engine
from agent.store.journal import Stamp
from agent.store.lock import StoreBusy, StoreError, StoreNewer
from agent.store.migrate import MIGRATIONS, known_revisions, upgrade, wanted_revision
from agent.store.store import Store, Tx
from agent.store.tables import metadata
from agent.store.verify import verify
from sync.records import chain, hash_0

STATION = "SH-0421"
INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
STAMP = Stamp(1_795_305_600_000, 1_000, "b7c1", "rtc")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new database."""
    opened = Store(tmp_path / "station.db", station=STATION, random=Random(1))
    with opened.begin(STAMP) as tx:
        tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
        tx.memory.add_baseline(
            {
                "seq": 0,
                "fuelling_point": 1,
                "nozzle": 1,
                "epoch": 0,
                "raw": 100,
                "unit_ml": 10,
                "reason": "first-contact",
                "made_ms": 0,
            }
        )
    yield opened
    opened.close()


def a_sale(number: int, start: int, end: int) -> Sale:
    return Sale(
        id=f"01M7YHZ9MS00000000000000{number:02d}",
        fuelling_point=1,
        nozzle=1,
        grade="92",
        tank=1,
        kind=SaleKind.NORMAL,
        volume_ml=(end - start) * 10,
        unit_price_milli=7850,
        amount_minor=1000,
        currency="CNY",
        exponent=2,
        totalizer_start=Totalizer(0, start),
        totalizer_end=Totalizer(0, end),
        sub=None,
        counter=None,
        lifted_ms=None,
        ended_ms=STAMP.wall_ms,
        business_day="2026-11-22",
        attendant=None,
    )


def add(tx: Tx, sale: Sale) -> None:
    written = tx.journal.append("fc.sale.v1", record(sale))
    tx.sales.add(sale, settle_due_ms=None, journal_seq=written.seq)


def tamper(store: Store, statement: str) -> None:
    path = store.path
    store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()


def test_every_writing_connection_is_wal_and_full_with_foreign_keys(tmp_path: Path) -> None:
    """The pragmas that durability rests on are in force on a fresh connection."""
    engine = writer_engine(tmp_path / "a.db")
    with engine.connect() as connection:
        values = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_database_that_cannot_be_wal_is_refused(tmp_path: Path) -> None:
    """Where a pragma does not hold, opening fails with a hint instead of going on without durability."""
    engine = writer_engine(Path(":memory:"))
    with pytest.raises(StoreError, match="journal_mode=memory") as failure, engine.connect():
        pass
    assert "local disk" in failure.value.hint


def test_a_reader_cannot_write(store: Store) -> None:
    """The read-only engine refuses every change."""
    with reader_engine(store.path).connect() as connection, pytest.raises(Exception, match=r"readonly|read-only"):
        connection.execute(text("DELETE FROM meta"))


def test_a_second_agent_on_the_same_database_is_refused_by_name(store: Store) -> None:
    """The lock is taken first, and the refusal names the process that has it."""
    import os

    with pytest.raises(StoreBusy, match=str(os.getpid())):
        Store(store.path, station=STATION, random=Random(2))


def test_a_database_of_another_station_is_refused(store: Store) -> None:
    """One database belongs to one station for ever."""
    path = store.path
    store.close()
    with pytest.raises(StoreError, match="belongs to station SH-0421") as failure:
        Store(path, station="OTHER", random=Random(2))
    assert "[station] id" in failure.value.hint


def test_a_newer_database_is_refused_and_left_alone(store: Store) -> None:
    """A schema this software does not know is not touched."""
    tamper(store, "UPDATE alembic_version SET version_num = '9999'")
    before = store.path.read_bytes()
    with pytest.raises(StoreNewer, match="9999"):
        upgrade(writer_engine(store.path), store.path)
    assert store.path.read_bytes() == before


# The one index over an expression, which Alembic cannot compare: its text is.
not_over_expressions = pytest.mark.filterwarnings("ignore:.*expression-based index.*sale_natural_key")


@not_over_expressions
def test_the_schema_of_the_migrations_is_that_of_the_tables(tmp_path: Path) -> None:
    """Migrating an empty database gives exactly the tables, columns, types, keys and indexes that the code defines."""
    path = tmp_path / "new.db"
    engine = writer_engine(path)
    assert upgrade(engine, path) is True
    described = create_engine("sqlite://")
    metadata.create_all(described)
    with engine.connect() as migrated, described.connect() as wanted:
        assert migrated.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == wanted_revision()
        assert compare_metadata(MigrationContext.configure(migrated), metadata) == []
        assert migrated.execute(text(INDEXES)).all() == wanted.execute(text(INDEXES)).all()


@not_over_expressions
def test_a_table_that_differs_from_the_migrations_is_noticed(tmp_path: Path) -> None:
    """The comparison sees a lost column and a lost index, or it would prove nothing."""
    path = tmp_path / "new.db"
    engine = writer_engine(path)
    upgrade(engine, path)
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX sale_by_end"))
        connection.execute(text("ALTER TABLE tender DROP COLUMN ref"))
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    assert sorted(difference[0] for difference in found) == ["add_column", "add_index"]


def test_migrations_are_one_line_named_by_their_files() -> None:
    """The newest revision is read from file names alone: each file's revision is its prefix, and follows the one before."""
    scripts = MIGRATIONS.joinpath("versions").glob("*.py")
    found = {path.name: runpy.run_path(str(path)) for path in sorted(scripts)}
    assert [module["revision"] for module in found.values()] == [name[:4] for name in found] == known_revisions()
    assert [module["down_revision"] for module in found.values()] == [None, *known_revisions()[:-1]]


def test_records_chain_from_hash_0_and_survive_a_restart(store: Store) -> None:
    """The stored hashes are the chain over the stored bytes; a restart goes on at the same head."""
    with store.begin(STAMP) as tx:
        add(tx, a_sale(1, 100, 200))
    outbox = JournalOutbox(store.path, STATION, store.incarnation)
    rows = outbox.read("L", 1, 10, 65_536)
    assert [row.hash for row in rows] == list(chain(hash_0(STATION, store.incarnation, "L"), 1, [r.raw for r in rows]))
    assert outbox.hash_at("L", 0) == hash_0(STATION, store.incarnation, "L")
    heads = store.heads()
    store.close()
    again = Store(store.path, station=STATION, random=Random(9))
    assert again.heads() == heads
    again.close()


def test_a_step_that_fails_leaves_no_row_no_record_and_no_seq(store: Store) -> None:
    """Business row, journal row and seq stand or fall together."""
    heads = store.heads()
    tx = store.start(STAMP)
    add(tx, a_sale(1, 100, 200))
    store.roll_back()
    with store.begin(STAMP) as tx:
        add(tx, a_sale(2, 100, 200))
    assert store.heads()["L"][0] == heads["L"][0] + 1
    assert verify(store.path).ok


def test_a_crash_inside_the_commit_leaves_nothing(store: Store) -> None:
    """Dying after the last statement and before COMMIT is the same as never having begun."""
    with armed("store.inside_commit", 1), pytest.raises(SimulatedCrash), store.begin(STAMP) as tx:
        add(tx, a_sale(1, 100, 200))
    assert verify(store.path).sales == 0


def test_the_same_totalizer_interval_is_booked_once(store: Store) -> None:
    """The natural key is unique in the database itself."""
    with store.begin(STAMP) as tx:
        add(tx, a_sale(1, 100, 200))
    with pytest.raises(Exception, match="UNIQUE"), store.begin(STAMP) as tx:
        add(tx, a_sale(2, 100, 200))
    assert verify(store.path).sales == 1


def test_a_sale_has_at_most_one_active_link(store: Store) -> None:
    """The partial unique index decides when two readers link the same sale."""
    with store.begin(STAMP) as tx:
        add(tx, a_sale(1, 100, 200))
        ref = tx.members.ensure("0000000000000001")
        link = {
            "sale": a_sale(1, 100, 200).id,
            "member_ref": ref,
            "level": "number",
            "by": "r",
            "made_ms": 0,
            "delay_s": 0,
        }
        tx.sales.add_link({**link, "id": "a", "corrects": None, "active": 1})
    with pytest.raises(Exception, match="UNIQUE"), store.begin(STAMP) as tx:
        tx.sales.add_link({**link, "id": "b", "corrects": None, "active": 1})


def test_acknowledgements_never_go_back(store: Store) -> None:
    """A lower or repeated acknowledgement changes nothing."""
    with store.begin(STAMP) as tx:
        add(tx, a_sale(1, 100, 200))
        tx.delivery.acknowledge("L", 2, b"\1" * 32)
        tx.delivery.acknowledge("L", 1, b"\2" * 32)
        assert tx.delivery.acked("L") == 2
        assert tx.delivery.reject("L", 1, "bad_data", 0) is True
        assert tx.delivery.reject("L", 1, "bad_data", 0) is False


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "UPDATE journal SET body = replace(body, '\"tank\":1', '\"tank\":2') WHERE type = 'fc.sale.v1'",
            "hash does not follow",
        ),
        ("DELETE FROM journal WHERE seq = 1 AND stream = 'L'", "seq 1 is missing"),
        ("UPDATE sale SET volume_ml = volume_ml + 1", "differs from its record in volume_ml"),
        ("UPDATE sale SET list_price_milli = 9000", "differs from its record in list_price_milli"),
        ("UPDATE sale SET start_raw = 90", "starts at 0:90"),
        ("UPDATE stream_head SET seq = 7 WHERE stream = 'L'", "the head says 7"),
        (
            "INSERT INTO posting (source, leg, account, points, at_ms) VALUES ('x', 1, 'program:issued', 5, 0)",
            "sum to 5",
        ),
    ],
)
def test_verify_names_what_was_tampered_with(store: Store, statement: str, expected: str) -> None:
    """A changed byte, a missing row and an invented posting are each found and named."""
    with store.begin(STAMP) as tx:
        add(tx, a_sale(1, 100, 200))
    assert verify(store.path).ok
    tamper(store, statement)
    report = verify(store.path)
    assert not report.ok
    assert any(expected in finding.problem for finding in report.findings), report.findings


def test_a_gap_between_two_sales_of_a_nozzle_is_found(store: Store) -> None:
    """A sale that does not start where the one before ended, without a baseline between, is listed."""
    with store.begin(STAMP) as tx:
        add(tx, a_sale(1, 100, 200))
        add(tx, a_sale(2, 210, 300))
    assert [f.where for f in verify(store.path).findings] == [f"sale {a_sale(2, 0, 0).id}"]


def test_the_time_of_records_never_falls_behind_what_was_written(store: Store) -> None:
    """The newest time ever written is known after a restart: it is the floor of the clock."""
    with store.begin(STAMP) as tx:
        tx.sales.set_state("none", SaleState.CLEARED)
        add(tx, a_sale(1, 100, 200))
    store.close()
    again = Store(store.path, station=STATION, random=Random(3))
    assert again.newest_ms == STAMP.wall_ms
    again.close()


def test_the_high_water_file_tells_an_older_database(tmp_path: Path, store: Store) -> None:
    """A database with a lower seq than the file, or another incarnation, is behind; an equal or newer one is not."""
    path = tmp_path / "mark" / "mark.json"
    assert marks.read(path) is None
    heads = store.heads()
    same = marks.Mark(store.incarnation, 3, {name: (seq, digest.hex()) for name, (seq, digest) in heads.items()})
    marks.write(path, same)
    assert marks.read(path) == same
    assert not marks.database_is_behind(marks.read(path), store.incarnation, heads)
    assert marks.database_is_behind(marks.read(path), "0" * 32, heads)
    ahead = marks.Mark(store.incarnation, 3, {**same.streams, "L": (99, "00")})
    assert marks.database_is_behind(ahead, store.incarnation, heads)


def test_a_damaged_high_water_file_is_not_taken_for_none(tmp_path: Path) -> None:
    """A file that exists and cannot be read is an error, never "no mark"."""
    path = tmp_path / "mark.json"
    path.write_text('{"incarnation": 1}', encoding="utf-8")
    with pytest.raises(marks.MarkDamaged):
        marks.read(path)
