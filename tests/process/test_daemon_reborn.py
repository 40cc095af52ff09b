"""A database that may not go on: a new incarnation at the next start, by itself; what cannot be mended stays stopped."""

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

from headoffice.ingest import CREDIT
from sync.envelope import HEAD_OFFICE_SOURCE, decode_as, encode
from sync.messages import STREAMS, Hello, StreamWelcome, Welcome, hash_0
from sync.topics import station_topic
from tests.support.processes import STATION, Running, Site, Sums, eventually
from tests.support.spy import Spy

SPEED = 10


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, speed=SPEED) as opened:
        yield opened


@pytest.fixture(autouse=True)
def forecourt(site: Site) -> Running:
    running = site.start_forecourt()
    site.configure()
    return running


def sales_here(site: Site) -> int:
    return int(site.at_station("SELECT count(*) FROM sale")[0][0])


def reasons(site: Site) -> list[str]:
    """Why each incarnation began, oldest first."""
    return [row[0] for row in site.at_station("SELECT reason FROM incarnation ORDER BY generation")]


def delivered_and_ended(site: Site, *, sales: int = 0) -> None:
    """A first life: everything it wrote is at head office, the agent has ended."""
    agent = site.start_agent()
    eventually(lambda: sales_here(site) >= sales, 40, "sales")
    eventually(site.all_delivered, 20, "the journal is delivered")
    assert agent.end() == 0


def copied(site: Site) -> Path:
    """Copies of database and mark, as a backup of both."""
    copy = site.folder / "copy"
    copy.mkdir()
    with (
        closing(sqlite3.connect(site.database)) as source,
        closing(sqlite3.connect(copy / site.database.name)) as target,
    ):
        source.backup(target)
    shutil.copy(site.mark, copy)
    return copy


def put_back(site: Site, copy: Path) -> None:
    """Both copies in the place of what an agent that has ended left."""
    for name in ("-wal", "-shm"):
        site.database.with_name(site.database.name + name).unlink(missing_ok=True)
    shutil.copy(copy / site.database.name, site.database)
    shutil.copy(copy / site.mark.name, site.mark)


def litres(sums: Sums) -> dict[tuple[int, int], int]:
    return {nozzle: volume for nozzle, (_, volume) in sums.items()}


@pytest.mark.long
def test_head_office_that_knows_more_ends_the_incarnation(site: Site, forecourt: Running) -> None:
    """[W-25] [W-31] [W-32] Old copies of database and mark: the welcome tells, the process ends, its next start begins anew."""
    site.start_agent().end()
    copy = copied(site)
    site.start_hq()
    delivered_and_ended(site, sales=1)
    put_back(site, copy)
    agent = site.start_agent(ready=False)
    assert agent.wait(40, "the incarnation ends") == 1
    assert "incarnation ended" in agent.text
    agent = site.start_agent()
    eventually(site.all_delivered, 30, "the new incarnation delivers")
    assert len(reasons(site)) == 2
    assert "SENDING_STOPPED" not in {alert["name"] for alert in site.ask("alerts") if alert["state"] == "ACTIVE"}
    shown = json.loads(site.command("sync", "--json").stdout)
    assert [life["reason"] for life in shown["incarnations"]] == list(reversed(reasons(site)))
    assert (shown["stopped"], shown["awaits_ends"]) == (None, False)
    site.close_forecourt(forecourt)
    eventually(lambda: litres(site.sums_at_hq()) == litres(site.sums_at_pumps()), 40, "every millilitre once")
    assert agent.end() == 0
    assert json.loads(site.hq_command("stations", "--json"))[0]["lives"] == 2
    site.verify_station()
    assert json.loads(site.hq_command("verify", "--json"))["verified"]


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


def begun_often(site: Site) -> None:
    """As if this database had begun five new incarnations within the hour."""
    with closing(sqlite3.connect(site.database)) as connection, connection:
        for number in range(5):
            values = (-1 - number, f"{number:032x}", site.clock.wall_ms())
            connection.execute("INSERT INTO incarnation VALUES (?, ?, 'reincarnate', ?, NULL, '{}')", values)


@pytest.mark.long
def test_a_head_office_that_is_never_content_is_left_alone_in_the_end(site: Site) -> None:
    """[W-32] Asked for a sixth incarnation in an hour, sending stays stopped, an alert says so, and selling goes on."""
    office = Insistent(site.broker.port)
    assert site.start_agent(ready=False).wait(40, "the incarnation ends") == 1
    office.close()
    begun_often(site)
    agent = site.start_agent()
    eventually(lambda: site.ask("sync")["stopped"] == "reincarnate", 20, "sending has stopped")
    assert site.ask("status")["sync"]["stopped"] == "reincarnate"
    assert "SENDING_STOPPED" in {alert["name"] for alert in site.ask("alerts")}
    with Spy(site.broker.port, STATION) as spy:
        here = sales_here(site)
        eventually(lambda: sales_here(site) > here, 40, "the station sells on")
        assert not site.ask("sync")["online"]
        assert [spy.count(name) for name in ("up/hello", "up/l", "up/a", "up/t")] == [0, 0, 0, 0]
    assert agent.alive
