"""The database through a rebirth: what is archived, what is sent again byte for byte, what the link may see."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from alembic import command
from alembic.config import Config

from agent.pipeline import rebirth
from agent.settings import Settings
from agent.store import mark as marks
from agent.store.delivery import AWAIT_ENDS, JournalOutbox
from agent.store.engine import writer_engine
from agent.store.journal import Stamp
from agent.store.migrate import MIGRATIONS, upgrade
from agent.store.queries import Queries
from agent.store.store import Store
from agent.store.verify import verify
from agent.uplink import install_id
from drivers.simulator.config import default_config
from sync.records import format_time
from tests.support.station_settings import STATION, Plan, station_settings

FIRST = Stamp(1_795_305_600_000, 1_000, "boot-1", "rtc")
LATER = Stamp(1_795_305_660_000, 2_000, "boot-2", "ntp")
HERE = "0" * 31 + "1"
SEEN_AGAIN = ("id", "type", "time", "boot", "mono_ms", "clock", "data")


@pytest.fixture
def station(tmp_path: Path) -> Settings:
    return station_settings(tmp_path, default_config("", islands=1), Plan())


@pytest.fixture
def store(station: Settings) -> Iterator[Store]:
    """A database with eight facts, three of them acknowledged, an alert and two readings."""
    opened = Store(station.store.path, station=STATION, random=Random(1))
    with opened.begin(FIRST) as tx:
        tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
        for number in range(8):
            tx.journal.append("fc.stocktake.v1", {"shift": number})
        alert = {"subject": "sync", "alert": "refused", "state": "raised", "evidence": None}
        tx.journal.append("fc.sync.alert.v1", alert)
        for number in range(2):
            tx.journal.append("fc.health.v1", {"disk_free_kb": number})
    with opened.begin(FIRST) as tx:
        tx.delivery.acknowledge("L", 4, tx.delivery.hash_at("L", 4) or b"")
        tx.delivery.reject("L", 2, "unknown_type", FIRST.wall_ms)
    marked(opened, station)
    yield opened
    opened.close()


def marked(store: Store, station: Settings, **changes: tuple[int, str]) -> None:
    heads = {name: (seq, digest.hex()) for name, (seq, digest) in store.heads().items()}
    marks.write(station.store.mark, marks.Mark(store.incarnation, 3, {**heads, **changes}))


def begin(store: Store, station: Settings, *, install: str = HERE) -> rebirth.Begun:
    return rebirth.begin(store, station, install=install, stamp=LATER, random=Random(2))


def records(store: Store, *, ended: bool = False) -> list[dict[str, Any]]:
    """The records of the incarnation that runs, or of the one before."""
    statement = "SELECT stream, body FROM journal WHERE generation = ? ORDER BY stream, seq"
    with closing(sqlite3.connect(store.path)) as db:
        last = db.execute("SELECT max(generation) FROM incarnation").fetchone()[0]
        rows = db.execute(statement, (last - 1 if ended else last,)).fetchall()
    return [{"stream": stream, **json.loads(body)} for stream, body in rows]


def test_what_head_office_may_lack_is_sent_again_as_it_was(store: Store, station: Settings) -> None:
    """[W-31] Records above the acknowledged one: same id, time, boot and data, new seq, behind the first record."""
    before = [r for r in records(store) if (r["stream"], r["seq"] > 4) == ("L", True) or r["stream"] == "A"]
    parent, head = store.incarnation, store.heads()["L"]
    station.store.mark.unlink()
    assert begin(store, station) == rebirth.Begun(0, None)
    after = records(store)
    again = [r for r in after if r["type"] in ("fc.stocktake.v1", "fc.sync.alert.v1")]
    assert [[r[name] for name in SEEN_AGAIN] for r in again] == [[r[name] for name in SEEN_AGAIN] for r in before]
    first = next(r for r in after if r["stream"] == "L")
    assert (first["seq"], first["type"], first["data"]["reason"]) == (1, "fc.incarnation.v1", "mark_missing")
    named = first["data"]["parent"]
    assert (named["incarnation"], named["streams"]["L"]) == (parent, {"seq": head[0], "hash": head[1].hex()})
    assert [r["seq"] for r in after if r["stream"] == "L"] == list(range(1, 8))
    assert store.incarnation != parent


def test_telemetry_is_thinned_to_one_record_that_says_so(store: Store, station: Settings) -> None:
    """[W-01] [W-31] Readings are not facts: their number and their time are told, their values stay in the old journal."""
    station.store.mark.unlink()
    begin(store, station)
    (thinned,) = (r for r in records(store) if r["stream"] == "T")
    at = format_time(FIRST.wall_ms)
    assert thinned["data"] == {"from": at, "to": at, "count": 2, "reason": "reincarnated"}


def test_the_old_journal_stays_and_both_chains_verify(store: Store, station: Settings) -> None:
    """Every row of the ended incarnation is there as it was; a flipped byte in it is found like any other."""
    before = records(store)
    station.store.mark.unlink()
    begin(store, station)
    assert records(store, ended=True) == before
    assert verify(store.path).ok
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute("UPDATE journal SET body = replace(body, '\"shift\":5', '\"shift\":6') WHERE generation = 1")
    assert [finding.where for finding in verify(store.path).findings] == ["journal 1 L seq 7"]


def test_a_damaged_record_is_not_sent_again_but_named(store: Store, station: Settings) -> None:
    """Bytes that do not have their hash are no fact: an audit record says which, the others are sent."""
    store.close()
    with closing(sqlite3.connect(store.path)) as db, db:
        db.execute("UPDATE journal SET body = replace(body, '\"shift\":5', '\"shift\":6') WHERE stream = 'L'")
    opened = Store(store.path, station=STATION, random=Random(1))
    station.store.mark.unlink()
    begin(opened, station)
    found = records(opened)
    opened.close()
    assert [r["data"]["shift"] for r in found if r["type"] == "fc.stocktake.v1"] == [3, 4, 6, 7]
    assert [r["data"]["object"] for r in found if r["type"] == "fc.audit.v1"] == ["L 7", "database"]


def test_the_link_sees_no_fact_before_head_office_has_told_its_ends(store: Store, station: Settings) -> None:
    """[W-32] Were a sale sent before, the next welcome could not tell what was known before it."""
    station.store.mark.unlink()
    begin(store, station)
    outbox = JournalOutbox(store.path, STATION, store.incarnation)
    held = outbox.heads()
    assert (held["L"].last_seq, held["L"].last_hash, held["A"].last_seq) == (0, outbox.hash_at("L", 0), 1)
    with store.begin(LATER) as tx:
        tx.memory.forget_meta(AWAIT_ENDS)
    assert outbox.heads()["L"].last_seq == 7
    outbox.close()


def test_dead_letters_of_an_ended_incarnation_stay_listed(store: Store, station: Settings) -> None:
    """The same seq of the new one is another record, and is told when it is rejected."""
    old = store.incarnation
    station.store.mark.unlink()
    begin(store, station)
    with store.begin(LATER) as tx:
        assert tx.delivery.reject("L", 2, "overlap", LATER.wall_ms) is True
    listed = Queries(store.path).rejected()
    assert [(r["seq"], r["reason"], r["incarnation"]) for r in listed] == [
        (2, "overlap", store.incarnation),
        (2, "unknown_type", old),
    ]
    assert [life["reason"] for life in Queries(store.path).incarnations()] == ["mark_missing", "new"]


def test_a_mark_that_was_not_yet_written_for_the_new_incarnation_is_no_reason(store: Store, station: Settings) -> None:
    """[W-31] Killed between commit and file, the file still names the ended incarnation: that one is known here."""
    head = store.heads()["L"]
    marked(store, station, L=(head[0] + 5, "ab" * 32))
    begin(store, station)
    once = store.incarnation
    begin(store, station)
    assert store.incarnation == once


def test_another_hash_at_the_marks_seq_is_a_fork(store: Store, station: Settings) -> None:
    """[W-31] A copy that has grown past the file's seq by records of its own is as old as one that stands behind it."""
    marked(store, station, L=(5, "ab" * 32))
    begin(store, station)
    assert [life["reason"] for life in Queries(store.path).incarnations()] == ["fork", "new"]


def test_the_same_hardware_is_no_reason_and_another_is(store: Store, station: Settings) -> None:
    """[W-30] [W-31] The install id last used is kept in the database; the first start with one only notes it."""
    before = store.incarnation
    begin(store, station)
    begin(store, station)
    assert store.incarnation == before
    begin(store, station, install="0" * 32)
    assert [life["reason"] for life in Queries(store.path).incarnations()] == ["install", "new"]


def _card(sys: Path, name: str, address: str, assigned: int, *, is_device: bool) -> None:
    card = sys / "class/net" / name
    card.mkdir(parents=True)
    (card / "address").write_text(address)
    (card / "addr_assign_type").write_text(f"{assigned}\n")
    if is_device:
        (card / "device").mkdir()


def test_made_up_addresses_do_not_name_the_hardware(tmp_path: Path) -> None:
    """[W-30] Bridges, tunnels and random addresses come and go; the built-in card and the board's UUID stay."""
    _card(tmp_path, "eth0", "02:fc:00:00:00:01", 0, is_device=True)
    alone = install_id(tmp_path)
    _card(tmp_path, "docker0", "02:42:11:22:33:44", 0, is_device=False)
    _card(tmp_path, "wlan0", "da:a1:19:00:00:07", 1, is_device=True)
    assert install_id(tmp_path) == alone
    _card(tmp_path, "eth1", "02:fc:00:00:00:02", 0, is_device=True)
    with_second = install_id(tmp_path)
    board = tmp_path / "class/dmi/id/product_uuid"
    board.parent.mkdir(parents=True)
    board.write_text("4c4c4544-0042-3510-8051-b4c04f4e4332\n")
    assert len({alone, with_second, install_id(tmp_path)}) == 3


def test_a_database_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    """Its incarnation is the first of the list, and its baselines keep their seq beside those of later ones."""
    path = tmp_path / "old.db"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    engine = writer_engine(path)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO meta VALUES ('incarnation', 'ab'), ('station', 'S')")
        connection.exec_driver_sql("INSERT INTO journal VALUES ('L', 3, 'X', 't', 7, x'01', x'02', 1)")
        connection.exec_driver_sql("INSERT INTO baseline VALUES (3, 1, 1, 0, 100, 10, 'first-contact', 7)")
    assert upgrade(engine, path) is True
    engine.dispose()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT generation, incarnation, reason FROM incarnation").fetchall() == [(1, "ab", "new")]
        assert db.execute("SELECT * FROM baseline").fetchall() == [(1, 3, 1, 1, 0, 100, 10, "first-contact", 7)]
        assert db.execute("SELECT * FROM journal").fetchall() == [(1, "L", 3, "X", "t", 7, b"\x01", b"\x02", 1)]
        db.execute("INSERT INTO baseline VALUES (2, 3, 1, 1, 0, 200, 10, 'reincarnated', 9)")
