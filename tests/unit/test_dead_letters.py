"""Dead letters taken up again: they become facts, their stations are told in the same transaction, and alerts end there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from agent.inbox import FromHeadOffice
from agent.store.queries import Queries
from headoffice import commands
from headoffice.ingest import ingest
from headoffice.keys import Keys
from headoffice.replay import Orders, replay
from headoffice.store import commands as store
from headoffice.store.database import Database
from sync import ports
from sync.messages import DeadLetter, hash_0
from sync.signing import sign
from tests.support import template
from tests.support.head_office_orders import deliver
from tests.support.headoffice_station import NOW_MS, Stream, answered, event, sale_data, up_topic
from tests.support.till import SOME_KEY, Till, loyal_till

BEFORE_THE_UPGRADE = "UPDATE dead_letter SET reason = 'unknown_type'"
UNDERSTOOD = "DELETE FROM sale_interval WHERE record = 2"


@pytest.fixture
def till() -> Iterator[Till]:
    """A station that everything adds up at afterwards."""
    yield from loyal_till()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = template.head_office(tmp_path / "hq.sqlite")
    yield opened
    opened.close()


def orders() -> Orders:
    """Signed with the key that stations of tests have pinned."""
    return Orders(Keys("ho-1", partial(sign, key=SOME_KEY), "", b""), "li", Random(1))


def put_aside(database: Database, stream: Stream, letters: int) -> None:
    """Records that an older head office did not understand: seqs 3 and on, behind one sale."""
    stream.begin()
    stream.add("fc.sale.v1", sale_data(0, "0:0", "0:9000000"))
    for number in range(1, letters + 1):
        stream.add("fc.sale.v1", sale_data(number, f"0:{number * 1000}", f"0:{number * 1000 + 1000}"))
    answered(ingest(database, stream.topic, stream.payload(1), NOW_MS))
    with database.write() as connection:
        connection.exec_driver_sql(BEFORE_THE_UPGRADE)
        connection.exec_driver_sql(UNDERSTOOD)


def test_the_alert_at_the_station_ends_when_head_office_understands_its_record(database: Database, till: Till) -> None:
    """[W-23] [W-45] One replay: the fact, the signed order, its result; from then on no ack calls the record a dead letter."""
    stream = Stream(station=till.station)
    put_aside(database, stream, 1)
    again = answered(ingest(database, stream.topic, stream.payload(1), NOW_MS))
    assert again.rejected == (DeadLetter(3, "unknown_type"),)
    begin = hash_0(till.station, till.store.incarnation, "L")
    till.pipeline.handle(FromHeadOffice(ports.AckAccepted("L", 0, begin, again.rejected)))
    assert [row["standing"] for row in Queries(till.store.path).rejected()] == [True]
    now_ms = till.clock.wall_ms()
    done = replay(database, now_ms, orders=orders())
    assert (done.facts, done.duplicates, done.still_dead) == (1, 0, 0)
    (cmd_id,) = done.commands
    (said,) = commands.after_hello(database, till.station, now_ms)
    result = deliver(till, said.jws)
    assert result is not None
    commands.take_result(database, up_topic("up/result", till.station), event(result, till.station), now_ms)
    with database.read() as connection:
        row = store.one(connection, cmd_id)
    assert row is not None
    assert (row["status"], row["args"], row["result"]) == ("done", {"stream": "L", "seqs": [3]}, {"cleared": 1})
    assert [row["standing"] for row in Queries(till.store.path).rejected()] == [False]
    assert answered(ingest(database, stream.topic, stream.payload(1), NOW_MS)).rejected == ()


def test_a_station_is_told_of_many_records_in_few_commands_and_of_none_that_is_dead(database: Database) -> None:
    """[W-23] An order names at most fifty; one whose seq is also that of a dead letter of another life is left out."""
    put_aside(database, Stream(), 61)
    other = Stream(incarnation="f" * 32).begin()
    for kind in ("fc.unheard.v1", "fc.unheard.v1", "fc.audit.v1"):
        other.add(kind, {})
    ingest(database, other.topic, other.payload(1), NOW_MS)
    done = replay(database, NOW_MS, orders=orders())
    assert (done.facts, done.still_dead) == (61, 3)
    with database.read() as connection:
        told = [row["args"]["seqs"] for row in store.listed(connection)]
    assert sorted(map(len, told)) == [9, 50]
    assert sorted(seq for seqs in told for seq in seqs) == [*range(5, 64)]


def test_without_keys_a_replay_tells_nobody(database: Database) -> None:
    """What is understood becomes a fact all the same; nothing is ordered that nobody could have signed."""
    put_aside(database, Stream(), 1)
    done = replay(database, NOW_MS)
    assert (done.facts, done.commands) == (1, ())
    with database.read() as connection:
        assert store.listed(connection) == []
