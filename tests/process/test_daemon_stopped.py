"""A station that may not send any more: it stops, says so everywhere, and sells on; nothing more reaches head office."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.store import mark
from headoffice.ingest import CREDIT
from sync.envelope import HEAD_OFFICE_SOURCE, decode_as, encode
from sync.messages import STREAMS, Hello, StreamWelcome, Welcome, hash_0
from sync.topics import station_topic
from tests.support.processes import STATION, Site, eventually
from tests.support.spy import Spy

SPEED = 10


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, speed=SPEED) as opened:
        opened.start_forecourt()
        opened.configure()
        yield opened


def sales_here(site: Site) -> int:
    return int(site.at_station("SELECT count(*) FROM sale")[0][0])


def delivered_and_ended(site: Site, *, sales: int = 0) -> None:
    """A first life: everything it wrote is at head office, the agent has ended."""
    site.start_hq()
    agent = site.start_agent()
    eventually(lambda: sales_here(site) >= sales, 40, "sales")
    eventually(site.all_delivered, 20, "the journal is delivered")
    assert agent.end() == 0


def stopped_for(site: Site, reason: str) -> None:
    """The reason stands in `status`, `sync --json` and an alert; sales go on and head office hears nothing more."""
    eventually(lambda: site.ask("sync")["stopped"] == reason, 20, f"the station has stopped: {reason}")
    shown = site.command("sync", "--json")
    assert (shown.returncode, json.loads(shown.stdout)["stopped"]) == (0, reason)
    assert site.ask("status")["sync"]["stopped"] == reason
    assert "SENDING_STOPPED" in {alert["name"] for alert in site.ask("alerts")}
    with Spy(site.broker.port, STATION) as spy:
        here = sales_here(site)
        eventually(lambda: sales_here(site) > here, 40, "the station sells on")
        assert not site.ask("sync")["online"]
        assert [spy.count(name) for name in ("up/hello", "up/l", "up/a", "up/t")] == [0, 0, 0, 0]
    assert not site.all_delivered()


def test_a_database_behind_its_mark_is_not_sent_from(site: Site) -> None:
    """[W-30] [W-31] The high-water file has seen a higher seq: the database was restored, so sending stops."""
    delivered_and_ended(site)
    seen = mark.read(site.mark)
    assert seen is not None
    ahead = {name: (seq + 5, digest) for name, (seq, digest) in seen.streams.items()}
    mark.write(site.mark, mark.Mark(seen.incarnation, seen.connect_n, ahead))
    site.start_agent()
    stopped_for(site, "behind_mark")


def test_head_office_that_knows_more_stops_a_restored_station(site: Site) -> None:
    """[W-32] Database and mark are old copies: the welcome of head office tells, sending stops and stays stopped."""
    site.start_agent().end()
    copy = site.folder / "copy"
    copy.mkdir()
    shutil.copy(site.database, copy)
    shutil.copy(site.mark, copy)
    delivered_and_ended(site, sales=1)
    for name in ("-wal", "-shm"):
        site.database.with_name(site.database.name + name).unlink(missing_ok=True)
    shutil.copy(copy / site.database.name, site.database)
    shutil.copy(copy / site.mark.name, site.mark)
    agent = site.start_agent()
    stopped_for(site, "behind_mark")
    assert agent.end() == 0
    site.start_agent()
    stopped_for(site, "behind_mark")


def test_another_hash_at_head_office_is_a_fork_and_stops_the_station(site: Site) -> None:
    """[W-25] Head office has another hash at a seq that this station wrote: sending stops."""
    delivered_and_ended(site)
    with closing(sqlite3.connect(site.hq / "database.sqlite")) as connection, connection:
        connection.execute("UPDATE cursor SET head_hash = ? WHERE stream = 'L'", ("ab" * 32,))
    site.start_agent()
    stopped_for(site, "fork")


class Insistent:
    """A head office that asks every incarnation to end and stores nothing."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="insistent")
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_hello
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, *_: object) -> None:
        self._client.subscribe(station_topic(STATION, "up/hello"), 1)

    def _on_hello(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        hello = decode_as(bytes(message.payload), Hello)[1]
        nothing = {n: StreamWelcome(0, hash_0(STATION, hello.incarnation, n), False) for n in STREAMS}
        welcome = Welcome(
            for_install_id=hello.install_id,
            for_connect_n=hello.connect_n,
            incarnation=hello.incarnation,
            time=hello.time,
            streams=nothing,
            credit=CREDIT,
            reincarnate=True,
            fenced=False,
            nozzles=(),
        )
        payload = encode(welcome, source=HEAD_OFFICE_SOURCE, event_id=f"w{hello.connect_n}", time=hello.time)
        self._client.publish(station_topic(STATION, "down/welcome"), payload, qos=1)


def test_a_station_asked_to_reincarnate_stops(site: Site) -> None:
    """[W-32] Head office insists on a new incarnation: this one sends nothing any more."""
    office = Insistent(site.broker.port)
    site.start_agent()
    stopped_for(site, "reincarnate")
    office.close()
