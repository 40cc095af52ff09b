"""A database of an earlier version keeps its points; readers show the balance that the writer spends from."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from alembic import command
from sqlalchemy.exc import IntegrityError

from agent.store import migrate
from agent.store.engine import writer_engine
from agent.store.journal import Stamp
from agent.store.member_queries import MemberQueries
from agent.store.named import IS_NAMED
from agent.store.store import Store
from agent.store.verify import verify
from sync.buckets import bucket_of
from tests.support import template
from tests.support.till import MEMBER, Till

STATION = "SH-0421"
BEFORE = "0005"


def _database_of(revision: str, path: Path) -> None:
    """An empty database as an earlier version made it."""
    engine = writer_engine(path)
    config = migrate._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_postings_of_an_earlier_version_find_their_place_in_the_journal(tmp_path: Path) -> None:
    """Each posting takes the place of its record in the newest incarnation that has it; members are asked for again."""
    path = tmp_path / "station.db"
    _database_of(BEFORE, path)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            """
            INSERT INTO incarnation (generation, incarnation, reason, begun_ms) VALUES (1, 'a', 'new', 0), (2, 'b', 'install', 0);
            INSERT INTO journal (generation, stream, seq, id, type, time_ms, body, hash, delivered) VALUES
                (1, 'L', 7, 'R1', 'fc.points.v1', 0, x'00', x'00', 1), (1, 'L', 8, 'R2', 'fc.points.v1', 0, x'00', x'00', 0),
                (2, 'L', 3, 'R2', 'fc.points.v1', 0, x'00', x'00', 0);
            INSERT INTO member (ref, id, tier, growth, tags, mask, flags, visits, first_fill_used, base_points, known, op)
                VALUES (1, '0000000000000001', '', 0, '[]', '****', '[]', 0, 0, 500, 1, 9);
            INSERT INTO posting (source, leg, sale, member_ref, account, points, lot, at_ms) VALUES
                ('R1', 1, NULL, 1, 'member:available', 5, 'x', 0), ('R2', 1, NULL, 1, 'member:available', 6, 'y', 0);
            INSERT INTO meta VALUES ('member_op', '9');
            """
        )
        db.commit()
    engine = writer_engine(path)
    assert migrate.upgrade(engine, path) is True
    engine.dispose()
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT source, rule, generation, seq FROM posting ORDER BY source").fetchall()
        assert rows == [("R1", "R1", 1, 7), ("R2", "R2", 2, 3)]
        assert db.execute("SELECT value FROM meta WHERE key = 'member_op'").fetchone() == ("0",)
        assert db.execute("SELECT base_points, base_lots, as_of FROM member").fetchone() == (500, "[]", None)


def test_members_of_an_earlier_version_are_found_in_their_buckets(tmp_path: Path) -> None:
    """An id is looked up by its bucket's index, once in it; links and indexes still name their member."""
    path = tmp_path / "station.db"
    _database_of("0021", path)
    with closing(sqlite3.connect(path)) as db:
        rows = [(number, f"{number:016x}", bucket_of(f"{number:016x}")) for number in range(1, 300)]
        db.executemany(
            "INSERT INTO member (ref, id, tier, growth, tags, mask, flags, visits, first_fill_used, base_points,"
            " known, op, bucket) VALUES (?, ?, '', 0, '[]', '*', '[]', 0, 0, 0, 1, 0, ?)",
            rows,
        )
        db.execute("INSERT INTO member_index VALUES (x'01', 7)")
        db.commit()
    engine = writer_engine(path)
    assert migrate.upgrade(engine, path) is True
    engine.dispose()
    with closing(sqlite3.connect(path)) as db:
        find = f"SELECT m.ref FROM member m WHERE {IS_NAMED}"
        assert [db.execute(find, (bucket, name)).fetchone() for _, name, bucket in rows] == [(row[0],) for row in rows]
        plan = db.execute(f"EXPLAIN QUERY PLAN {find}", rows[0][2:0:-1]).fetchall()
        assert "(bucket=? AND id=?)" in plan[0][3]
        assert db.execute("SELECT member_ref FROM member_index").fetchall() == [(7,)]
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        with pytest.raises(sqlite3.IntegrityError, match=r"member\.bucket, member\.id"):
            db.execute("UPDATE member SET (bucket, id) = (SELECT bucket, id FROM member WHERE ref = 5) WHERE ref = 6")


def test_an_earlier_version_finds_its_tables_again(tmp_path: Path) -> None:
    """Going back removes what this version added and nothing else."""
    path = tmp_path / "station.db"
    _database_of(BEFORE, path)
    schema = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    with closing(sqlite3.connect(path)) as db:
        tables = {row[0] for row in db.execute(schema)}
    engine = writer_engine(path)
    config = migrate._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        command.downgrade(config, BEFORE)
    engine.dispose()
    with closing(sqlite3.connect(path)) as db:
        assert {row[0] for row in db.execute(schema)} == tables


def test_readers_show_the_balance_that_can_be_spent() -> None:
    """Head office's lots, what was spent of them here, and what was earned here: one sum for the list and the lots."""
    folder = template.new_folder()
    template.copy_to(folder)
    till = Till(folder)
    till.rules({"id": "earn", "kind": "EARN", "points": 1, "per_minor": 100})
    till.member(lots=[(1_000, None, "2026-09-30"), (50, None, "2026-03-31")])
    till.settle(till.fuelled())
    shown = MemberQueries(till.store.path).member(MEMBER)
    assert shown["points_available"] == 1_207
    assert [(lot["points"], lot["expires_on"]) for lot in shown["lots"]] == [
        (50, "2026-03-31"),
        (1_000, "2026-09-30"),
        (157, "2027-01-31"),
    ]
    seq = till.one("SELECT journal_seq FROM settlement")
    incarnation = till.one("SELECT value FROM meta WHERE key = 'incarnation'")
    till.member(op=2, lots=[(1_207, None, "2026-09-30")], as_of={"incarnation": incarnation, "seq": seq})
    assert MemberQueries(till.store.path).member(MEMBER)["points_available"] == 1_207
    till.member(op=3, lots=[(1_207, None, "2026-09-30")], as_of={"incarnation": "f" * 32, "seq": 1})
    assert MemberQueries(till.store.path).member(MEMBER)["points_available"] == 1_364
    assert verify(till.store.path).findings == ()
    till.close()
    shutil.rmtree(folder)


def test_a_lease_never_gives_more_than_was_granted(tmp_path: Path) -> None:
    """The database itself refuses what no step may do."""
    store = Store(tmp_path / "station.db", station=STATION, random=Random(1))
    lease = {"id": "L1", "kind": "points", "subject": MEMBER, "granted": 10, "expires_ms": 1, "received_ms": 0}
    with store.begin(Stamp(1, 1, "b", "ntp")) as tx:
        tx.leases.add({**lease, "incarnation": "a", "state": "open"})
        tx.leases.move("L1", 10, source="r", sale=None, at_ms=1)
    with pytest.raises(IntegrityError, match="lease_not_overspent"), store.begin(Stamp(2, 2, "b", "ntp")) as tx:
        tx.leases.move("L1", 1, source="s", sale=None, at_ms=2)
    with store.begin(Stamp(3, 3, "b", "ntp")) as tx:
        row = tx.leases.one("L1")
        assert row is not None
        assert row["spent"] == 10
    store.close()
