"""Several workers on one PostgreSQL database and one broker: killed in turn, nothing is lost, doubled or left unserved."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from agent.clock import SystemClock
from headoffice.cli import entry
from headoffice.errors import DatabaseAway
from headoffice.ingest import ingest
from headoffice.shards import SharedShards
from headoffice.store import postgresql, presence
from headoffice.store.database import Database
from sync.messages import Ack
from sync.topics import SHARDS, station_topic
from tests.support.exactly_once import check_exactly_once
from tests.support.examples import ALL
from tests.support.headoffice_station import STATION, Stream, answered, sale_data
from tests.support.office import Office, StateListener, children, is_there, outcome
from tests.support.peer import Peer
from tests.support.processes import eventually

KILLS = 10 if ALL else 2
STATIONS = 4
WITHIN_S = 60.0


@pytest.fixture
def office(tmp_path: Path, postgres_url: str) -> Iterator[Office]:
    with Office(tmp_path, postgres_url) as opened:
        yield opened


def all_served(office: Office, *shares: int) -> None:
    eventually(lambda: office.shares() == sorted(shares), WITHIN_S, f"the workers hold {shares} shards")


def names(office: Office) -> set[str]:
    return {worker["name"] for worker in office.workers()}


def nobody_is_left(office: Office) -> None:
    """The server ends the session of a process that has gone, in its own time."""
    eventually(lambda: office.workers() == [], WITHIN_S, "no worker is listed")


@pytest.mark.long
def test_workers_killed_in_turn_under_load_lose_and_double_nothing(office: Office, postgres_url: str) -> None:
    """[W-27] SIGKILL of one of two workers, again and again, while stations sell: every sale arrives, each once."""
    serving = office.command("serve", "--workers", "2")
    all_served(office, 32, 32)
    sales = STATIONS * 10 * KILLS
    fleet = office.fleet("--stations", str(STATIONS), "--sales", str(sales // STATIONS), "--rate", "20")
    listener = StateListener(office.broker.port)
    for kill in range(KILLS):
        eventually(lambda: office.sales() > sales * kill // (KILLS + 1), WITHIN_S, "sales arrive")  # noqa: B023
        victim = office.workers()[kill % 2]
        os.kill(office.process_of(victim), signal.SIGKILL)
        eventually(lambda: victim["name"] not in names(office), WITHIN_S, "its locks are gone")  # noqa: B023
        all_served(office, 32, 32)
    told = outcome(fleet)
    assert (told["passed"], told["acknowledged"]) == (True, sales), told
    check_exactly_once(postgres_url, {})
    listener.until(online=True, what="whoever leads says that head office is there")
    assert serving.end() == 0
    listener.until(online=False, what="the last worker says goodbye")
    listener.close()
    nobody_is_left(office)


def test_a_worker_whose_session_ends_holds_nothing_from_then_on(office: Office) -> None:
    """[W-27] The server ends the session: the next question is answered no, the next beat begins anew."""
    shards = SharedShards(office.database, "test")
    assert shards.beat(1_000, 0) == ()
    assert (shards.holds(7), shards.leads, len(shards.held)) == (True, True, SHARDS)
    with office.database.write() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'forecourt-hq worker'"
        )
    eventually(lambda: not shards.holds(7), WITHIN_S, "it notices without a beat")
    assert (shards.leads, shards.held) == (False, frozenset())
    eventually(lambda: shards.beat(2_000, 0) == () and shards.holds(7), WITHIN_S, "it begins anew")
    assert shards.leave()


def test_a_worker_that_is_frozen_in_the_middle_of_a_batch_holds_nobody_up(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[W-27] Its transaction has locked the station's row: the server rolls it back, and another worker takes the batch."""
    stream = Stream().begin()
    now_ms = SystemClock().wall_ms()
    lock_station = partial(
        presence.heard, station=STATION, now_ms=now_ms, incarnation=stream.incarnation, install_id=""
    )
    patient_ms = postgresql.FROZEN_MS
    with closing(Database(postgres_url)) as other, closing(_short_of_time(postgres_url, monkeypatch)) as frozen:
        ingest(other, stream.topic, stream.payload(1, 1), now_ms)
        stream.add("fc.sale.v1", sale_data(1, "0:0", "0:1000"))
        with pytest.raises(DatabaseAway), frozen.write() as connection:  # noqa: PT012 - both are of the story
            monkeypatch.setattr(postgresql, "FROZEN_MS", patient_ms)  # whoever connects from here on may be slow
            lock_station(connection)
            assert answered(ingest(other, stream.topic, stream.payload(2, 2), now_ms)).cum == 2
            lock_station(connection)
        assert answered(ingest(frozen, stream.topic, stream.payload(2, 2), now_ms)).cum == 2
    check_exactly_once(postgres_url, {})


def _short_of_time(url: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database whose first session may be silent for two seconds in a transaction."""
    monkeypatch.setattr(postgresql, "FROZEN_MS", 2_000)
    return Database(url)


def test_a_new_holder_asks_for_what_came_while_nobody_listened(office: Office) -> None:
    """[W-27] A batch sent to nobody is not acknowledged; the worker that takes the shard says at once what is missing."""
    stream = Stream().begin()
    stream.add("fc.sale.v1", sale_data(1, "0:0", "0:1000"))
    ingest(office.database, stream.topic, stream.payload(1, 1), SystemClock().wall_ms())
    with Peer(office.broker.port) as station:
        station.send("up/l", stream.payload(2, 2))
        office.command("serve")
        told = station.wait_for(Ack, station_topic(STATION, "down/ack"))
        assert (told.cum, told.gap, told.install_id) == (1, True, stream.install_id)
        station.send("up/l", stream.payload(2, 2))
        assert station.wait_for(Ack, station_topic(STATION, "down/ack")).cum == 2


def test_workers_end_with_their_parent_and_are_begun_again_without_it_asking(office: Office) -> None:
    """A killed `serve --workers` leaves no worker behind."""
    serving = office.command("serve", "--workers", "2")
    all_served(office, 32, 32)
    crew = children(serving.pid)
    serving.kill()
    eventually(lambda: not any(is_there(pid) for pid in crew), WITHIN_S, "the workers end too")
    nobody_is_left(office)


def test_several_workers_on_a_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A SQLite file has one worker: 2, and what to do."""
    monkeypatch.delenv("FORECOURT_HQ_DATABASE", raising=False)
    monkeypatch.setattr(sys, "argv", ["forecourt-hq", "serve", "--workers", "2", "--state", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        entry()
    assert ended.value.code == 2
    assert "PostgreSQL" in capsys.readouterr().err
