"""A broker that dies with what it had acknowledged, and a head office that dies around its commit: nothing lost or doubled."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from headoffice.hello import answer_hello
from headoffice.store.database import Database
from sync.envelope import HEAD_OFFICE_SOURCE, encode
from sync.topics import StationTopic, parse, station_topic
from tests.support.backlog import write_sales
from tests.support.examples import ALL
from tests.support.processes import STATION, Running, Site, Sums, eventually
from tests.support.spy import Spy

SALES = 400
TOO_MANY = 2_000
"""Sales of more than two windows of four batches of 200 records: head office cannot have them all with two commits."""

KILLS = 20 if ALL else 3
MORE_DESCRIPTORS = 3
MORE_KB = 24_000
"""What an agent may hold more after many broken connections than after the first one."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        opened.write_config(opened.no_devices())
        yield opened


def arrives_once(site: Site, sums: Sums) -> None:
    eventually(lambda: site.sums_at_hq() == sums, 60, "head office has every sale")
    eventually(site.all_delivered, 20, "everything is acknowledged")
    site.check_once(sums)
    site.verify_station()
    site.verify_hq()


class Greeter:
    """Head office's front door only: the real answer to every hello, and nobody who takes a batch."""

    def __init__(self, site: Site) -> None:
        self._database = Database(site.hq / "database.sqlite")
        self._site = site
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="greeter")
        self._client.on_message = self._on_hello
        self._client.on_connect = lambda client, *_: client.subscribe(station_topic(STATION, "up/hello"), 1)

    def connect(self) -> None:
        """Open the door; after a broker's death, again."""
        self._client.connect("127.0.0.1", self._site.broker.port)
        self._client.loop_start()

    def leave(self) -> None:
        """Shut it."""
        self._client.disconnect()
        self._client.loop_stop()

    def close(self) -> None:
        """End for good."""
        self.leave()
        self._database.close()

    def _on_hello(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        topic = parse(message.topic)
        assert isinstance(topic, StationTopic)
        welcome = answer_hello(self._database, topic, bytes(message.payload), self._site.clock.wall_ms())
        assert welcome is not None
        payload = encode(welcome, source=HEAD_OFFICE_SOURCE, event_id=f"g{welcome.for_connect_n}", time=welcome.time)
        client.publish(station_topic(STATION, "down/welcome"), payload, qos=1)


def held(agent: Running) -> tuple[int, int]:
    """(open descriptors, resident kB) of a process."""
    status = Path(f"/proc/{agent.pid}/status").read_text(encoding="ascii")
    resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{agent.pid}/fd")), int(resident)


def test_what_killed_brokers_had_acknowledged_is_sent_again(site: Site) -> None:
    """[W-12] [W-20] [W-22] SIGKILL of the broker after PUBACK, again and again, while nobody takes batches: none is lost,
    and the agent holds no more memory or descriptors than after the first death.
    """
    sums = write_sales(site.config, SALES)
    agent = site.start_agent()  # all of it stands before what it holds is counted
    first = (0, 0)
    with closing(Greeter(site)) as door:
        for kill in range(KILLS):
            door.connect()
            with Spy(site.broker.port, STATION) as spy:
                eventually(lambda: spy.count("up/l"), 40, f"a batch is with broker {kill}")
                site.broker.kill()
            door.leave()
            site.broker.start()
            first = first if kill else held(agent)
    assert site.sums_at_hq() == {}
    assert not site.at_station("SELECT 1 FROM stream_head WHERE acked > 0")
    descriptors, resident_kb = held(agent)
    assert descriptors <= first[0] + MORE_DESCRIPTORS
    assert resident_kb <= first[1] + MORE_KB
    site.start_hq()
    arrives_once(site, sums)


@pytest.mark.parametrize("failpoint", ["hq.after_commit:2", "hq.before_commit:2"])
def test_head_office_killed_around_its_commit_loses_and_doubles_nothing(site: Site, failpoint: str) -> None:
    """[W-20] SIGKILL between commit and ack, and with the transaction open: the resend is stored once."""
    sums = write_sales(site.config, TOO_MANY)
    hq = site.start_hq(failpoint=failpoint)
    site.start_agent(ready=False)
    assert hq.wait(40, failpoint) == -signal.SIGKILL, hq.text[-3_000:]
    assert site.sums_at_hq() != sums
    site.start_hq()
    arrives_once(site, sums)
