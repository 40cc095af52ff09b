"""Workers that freeze, are cut off and join while stations sell, and a broker that throws away: every sale arrives once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.exactly_once import check_exactly_once
from tests.support.office import Office, outcome
from tests.support.postgres import Postgres
from tests.support.processes import Running, eventually
from tests.support.proxy import Proxy

pytestmark = pytest.mark.long

STATIONS = 4
SALES = 120
RATE = 8
SOME = 20
WITHIN_S = 60.0
SHORT_QUEUE = "max_queued_messages 10\nmax_inflight_messages 20\nsys_interval 1"
CROWD = 60
"""Stations that each may have several batches on their way: far more than the broker has room for."""

DROPPED = "$SYS/broker/publish/messages/dropped"


@pytest.fixture
def office(tmp_path: Path, postgres_url: str) -> Iterator[Office]:
    with Office(tmp_path, postgres_url) as opened:
        yield opened


def shared_as(office: Office, *shares: int) -> None:
    eventually(lambda: office.shares() == sorted(shares), WITHIN_S, f"the workers hold {shares} shards")


def selling(office: Office) -> Running:
    """A fleet that has begun to sell and goes on for a while."""
    fleet = office.fleet("--stations", str(STATIONS), "--sales", str(SALES), "--rate", str(RATE))
    eventually(lambda: office.sales() > SOME, WITHIN_S, "sales arrive")
    return fleet


def goes_on(office: Office) -> None:
    """Stations of every shard are served: more sales arrive."""
    wanted = min(office.sales() + SOME, STATIONS * SALES)
    eventually(lambda: office.sales() >= wanted, WITHIN_S, "sales arrive all the same")


def all_arrived(fleet: Running, location: str) -> None:
    told = outcome(fleet)
    assert (told["passed"], told["acknowledged"]) == (True, STATIONS * SALES), told
    check_exactly_once(location, {})


@contextmanager
def frozen(*processes: int) -> Iterator[None]:
    """Stop processes where they are; let them go on afterwards."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def test_a_frozen_worker_is_replaced_and_doubles_nothing_when_it_goes_on(office: Office, postgres_url: str) -> None:
    """[W-27] SIGSTOP: the server ends its session, the other worker takes its shards; SIGCONT: it begins anew."""
    office.command("serve", "--workers", "2")
    shared_as(office, 32, 32)
    fleet = selling(office)
    with frozen(office.process_of(office.workers()[0])):
        shared_as(office, 64)
        goes_on(office)
    shared_as(office, 32, 32)
    all_arrived(fleet, postgres_url)


def _stall(proxy: Proxy) -> None:
    proxy.up.stalled = proxy.down.stalled = True


@pytest.mark.parametrize("how", [Proxy.close, _stall], ids=["refused", "hangs"])
@pytest.mark.parametrize("what", ["database", "broker"])
def test_a_worker_that_is_cut_off_is_replaced_and_comes_back(
    office: Office, postgres: Postgres, postgres_url: str, what: str, how: Callable[[Proxy], None]
) -> None:
    """[W-27] From the database or from the broker: the other worker serves every station, and shares again later."""
    with Proxy(postgres.port if what == "database" else office.broker.port) as proxy:
        ways = {
            "database": {"FORECOURT_HQ_DATABASE": postgres_url.replace(f":{postgres.port}/", f":{proxy.port}/")},
            "broker": {"FORECOURT_HQ_BROKER": f"mqtt://127.0.0.1:{proxy.port}"},
        }
        office.command("serve")
        away = office.command("serve", **ways[what])
        shared_as(office, 32, 32)
        fleet = selling(office)
        how(proxy)
        shared_as(office, 64)
        goes_on(office)
        if how is _stall:
            proxy.up.stalled = proxy.down.stalled = False
            proxy.cut()
        else:
            proxy.open()
        shared_as(office, 32, 32)
        all_arrived(fleet, postgres_url)
        assert away.alive


def test_workers_that_join_and_leave_under_load_share_anew_and_lose_nothing(office: Office, postgres_url: str) -> None:
    """[W-27] A third and a fourth worker come while stations sell, and the first one leaves: nobody waits for good."""
    first = office.command("serve")
    shared_as(office, 64)
    fleet = selling(office)
    for shares in ((32, 32), (21, 21, 22)):
        office.command("serve")
        shared_as(office, *shares)
        goes_on(office)
    assert first.end() == 0
    shared_as(office, 32, 32)
    all_arrived(fleet, postgres_url)


class Meter:
    """How many messages the broker says that it threw away."""

    def __init__(self, port: int) -> None:
        self.dropped = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="meter")
        self._client.on_connect = lambda client, *_: client.subscribe(DROPPED)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.dropped = int(message.payload)


def test_what_a_broker_throws_away_for_a_slow_head_office_is_sent_again(tmp_path: Path, postgres_url: str) -> None:
    """[W-12] [W-20] [W-22] mosquitto acknowledges every batch and drops what does not fit into its short queue, while
    head office is frozen: no station believes it, and all of it comes again.
    """
    with Office(tmp_path, postgres_url, broker=SHORT_QUEUE) as office:
        serving = office.command("serve")
        shared_as(office, 64)
        fleet = office.fleet("--stations", str(CROWD), "--sales", "20", "--rate", "60")
        with closing(Meter(office.broker.port)) as meter:
            eventually(lambda: office.sales() > SOME, WITHIN_S, "sales arrive")
            with frozen(serving.pid):
                eventually(lambda: meter.dropped, WITHIN_S, "the broker throws batches away")
        told = outcome(fleet)
        assert (told["passed"], told["acknowledged"]) == (True, CROWD * 20), told
        check_exactly_once(postgres_url, {})
