"""Two sessions of head office on one PostgreSQL: who comes second is judged again, and every fact stands once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import select

from headoffice.errors import DatabaseAway, DatabaseProblem
from headoffice.ingest import ingest
from headoffice.replay import replay
from headoffice.store import reports, schema
from headoffice.store.database import TRIES, Database
from headoffice.store.verify import verify
from sync.messages import Ack
from tests.support.headoffice_station import NOW_MS, STATION, Stream, answered, sale_data
from tests.support.postgres import Postgres
from tests.support.processes import eventually

OTHER = "f" * 32
WITHIN_S = 60.0
STUMBLE = """
CREATE SEQUENCE stumble;
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('stumble') <= {times} THEN RAISE EXCEPTION 'again' USING ERRCODE = '{code}'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stumble BEFORE INSERT ON record_hash FOR EACH STATEMENT EXECUTE FUNCTION stumble();
"""
"""Sequences do not roll back: the first ``times`` transactions fail with ``code``."""


@pytest.fixture
def offices(postgres_url: str) -> Iterator[tuple[Database, Database]]:
    """Two workers' databases."""
    with closing(Database(postgres_url)) as one, closing(Database(postgres_url)) as other:
        yield one, other


def sales(count: int, *, incarnation: str = "0" * 32, station: str = STATION, same_ids: bool = False) -> Stream:
    """A stream of sales; ``same_ids``: the same facts in every incarnation, as a reborn station sends them."""
    stream = Stream(incarnation=incarnation, station=station).begin()
    for number in range(count):
        name = f"{4_000 + number:026d}" if same_ids else None
        stream.add("fc.sale.v1", sale_data(number, f"0:{number * 10}", f"0:{number * 10 + 10}"), record_id=name)
    return stream


def take(database: Database, stream: Stream) -> Ack:
    return answered(ingest(database, stream.topic, stream.payload(1), NOW_MS))


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """Do several things at the same moment, each in a thread of its own."""
    gate = threading.Barrier(len(work))

    def begin(one: Callable[[], Any]) -> Any:
        gate.wait()
        return one()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(begin, work))


@contextmanager
def held(url: str, *statements: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of somebody else that has done something and not committed yet."""
    with psycopg.connect(url) as other:
        for statement in statements:
            other.execute(statement.encode())
        yield other


def waits(url: str, server: Postgres) -> int:
    """How many sessions wait for a lock."""
    name = url.rsplit("/", 1)[1]
    question = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock'"
    return int(str(server.execute(url, question)[0][0]))


def test_two_workers_that_take_the_same_first_batch_make_one_cursor(offices: tuple[Database, Database]) -> None:
    """[W-20] The station, its cursor and its records are made once, and both acks say so."""
    streams = [sales(5, station=f"S-{number}") for number in range(5)]
    for stream in streams:
        acks = at_once(*(lambda office=office, stream=stream: take(office, stream) for office in offices))
        assert [(ack.cum, ack.head_hash) for ack in acks] == [(6, stream.hashes[6])] * 2
    totals = reports.totals(offices[0])
    assert (totals["sales"], totals["duplicates"], totals["dead_letters"]) == (25, 0, 0)
    assert verify(offices[0]).findings == ()


def test_the_same_facts_of_two_incarnations_at_once_stand_once(offices: tuple[Database, Database]) -> None:
    """[W-24] One of them becomes the fact and the other its second arrival, whoever is faster; nobody is refused."""
    old = sales(20, same_ids=True)
    new = sales(20, incarnation=OTHER, same_ids=True)
    acks = at_once(lambda: take(offices[0], old), lambda: take(offices[1], new))
    assert [(ack.cum, ack.rejected) for ack in acks] == [(21, ()), (21, ())]
    totals = reports.totals(offices[0])
    assert (totals["sales"], totals["duplicates"], totals["own_alerts"]) == (20, 20, 0)
    assert verify(offices[0]).findings == ()


def test_one_phone_enrolled_at_two_stations_at_once_is_one_member(offices: tuple[Database, Database]) -> None:
    """[W-24] [W-44] Whoever comes second is merged into the first, by ops that have no hole and no double."""
    streams = []
    for number in range(6):
        stream = Stream(station=f"S-{number}").begin()
        data = {"member": f"{number:016x}", "indexes": ["ab" * 16], "mask": None, "plate_index": None, "contact": None}
        stream.add("fc.member.enrolled.v1", {**data, "by": None, "welcome": None})
        streams.append(stream)
    pairs = zip(streams, offices * 3, strict=True)
    at_once(*(lambda office=office, stream=stream: take(office, stream) for stream, office in pairs))
    with offices[0].read() as connection:
        became = set(connection.execute(select(schema.enrolment.c.became)).scalars())
        ops = sorted(connection.execute(select(schema.member.c.op)).scalars())
    assert len(became) == 1
    assert ops == [1, 2, 3, 4, 5, 6]


def test_a_batch_that_meets_a_row_of_an_unfinished_session_waits_and_is_judged_again(
    postgres: Postgres, postgres_url: str, offices: tuple[Database, Database]
) -> None:
    """[W-20] It waits for the other one, stumbles over its key, and sees all of it the second time."""
    stream = sales(3)
    row = f"INSERT INTO station (station, first_heard_ms, last_heard_ms) VALUES ('{STATION}', 1, 1)"
    with ThreadPoolExecutor(1) as pool, held(postgres_url, row) as other:
        taking = pool.submit(take, offices[0], stream)
        eventually(lambda: waits(postgres_url, postgres) == 1, WITHIN_S, "the batch waits for the other session")
        other.commit()
        assert taking.result(WITHIN_S).cum == 4
    assert reports.totals(offices[0])["sales"] == 3


def test_a_session_that_is_cut_off_while_it_waits_loses_nothing(
    postgres: Postgres, postgres_url: str, offices: tuple[Database, Database]
) -> None:
    """[W-20] The server ends the connection in the middle of a batch: it is taken on a new one."""
    stream = sales(3)
    take(offices[0], Stream().begin())
    lock = "SELECT 1 FROM station FOR UPDATE"
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool, held(postgres_url, lock) as other:
        taking = pool.submit(take, offices[0], stream)
        eventually(lambda: waits(postgres_url, postgres) == 1, WITHIN_S, "the batch waits for the lock")
        assert postgres.execute(postgres_url, cut) == [(True,)]
        eventually(lambda: waits(postgres_url, postgres) == 1, WITHIN_S, "it waits again, on another connection")
        other.rollback()
        assert taking.result(WITHIN_S).cum == 4
    assert verify(offices[0]).findings == ()


def test_a_replay_and_a_batch_of_one_station_are_judged_one_after_the_other(
    postgres: Postgres, postgres_url: str, offices: tuple[Database, Database]
) -> None:
    """[W-23] [W-24] A replayed sale sees what a batch stored meanwhile, so intervals cannot overlap by being judged at once."""
    stream = Stream().begin()
    stream.add("fc.sale.v1", sale_data(1, "0:0", "0:10"))
    stream.add("fc.sale.v1", sale_data(2, "0:5", "0:15"))
    ingest(offices[0], stream.topic, stream.payload(1), NOW_MS)
    with ThreadPoolExecutor(1) as pool, held(postgres_url, "SELECT 1 FROM station FOR UPDATE") as other:
        again = pool.submit(replay, offices[1], NOW_MS)
        eventually(lambda: waits(postgres_url, postgres) == 1, WITHIN_S, "the replay waits for the station")
        other.execute("DELETE FROM sale_interval")
        other.commit()
        assert again.result(WITHIN_S).facts == 1


@pytest.mark.parametrize("code", ["40001", "40P01", "23505"])
def test_serialization_failures_and_deadlocks_are_survived(
    postgres: Postgres, postgres_url: str, offices: tuple[Database, Database], code: str
) -> None:
    """[W-20] The whole batch is done again until it holds; what failed before left nothing."""
    postgres.execute(postgres_url, STUMBLE.format(times=TRIES - 1, code=code))
    stream = sales(3)
    assert take(offices[0], stream).cum == 4
    assert reports.totals(offices[0])["records"] == 4
    assert verify(offices[0]).findings == ()


def test_what_never_succeeds_ends_and_stores_nothing(
    postgres: Postgres, postgres_url: str, offices: tuple[Database, Database]
) -> None:
    """A batch is tried a bounded number of times; then the worker hears of it and nothing was acknowledged."""
    postgres.execute(postgres_url, STUMBLE.format(times=10_000, code="40001"))
    with pytest.raises(DatabaseProblem, match="faster every time"):
        take(offices[0], sales(3))
    assert postgres.execute(postgres_url, "SELECT last_value FROM stumble") == [(TRIES,)]
    assert reports.totals(offices[0])["records"] == 0


def test_a_server_without_fsync_is_refused(postgres: Postgres, postgres_url: str) -> None:
    """It could lose what was acknowledged when its machine fails."""
    try:
        set_fsync(postgres, postgres_url, "off")
        with pytest.raises(DatabaseProblem, match="fsync=off"):
            Database(postgres_url)
    finally:
        set_fsync(postgres, postgres_url, "on")
    Database(postgres_url).close()


def set_fsync(server: Postgres, url: str, value: str) -> None:
    """Change it for the whole server and wait until it is so."""
    server.execute(url, f"ALTER SYSTEM SET fsync = {value}")
    server.execute(url, "SELECT pg_reload_conf()")
    eventually(lambda: server.execute(url, "SHOW fsync") == [(value,)], WITHIN_S, "the server took the setting")


def test_a_server_that_stays_away_is_told_as_such(postgres: Postgres, offices: tuple[Database, Database]) -> None:
    """[W-20] Reading and writing say so, at once, and both work again when it is back."""
    stream = sales(1)
    take(offices[0], stream)
    postgres.kill()
    try:
        for asks in (lambda: take(offices[0], stream), lambda: reports.totals(offices[0])):
            with pytest.raises(DatabaseAway, match="cannot be reached"):
                asks()
    finally:
        postgres.start()
    assert take(offices[0], stream).cum == 2
    assert reports.totals(offices[0])["sales"] == 1
