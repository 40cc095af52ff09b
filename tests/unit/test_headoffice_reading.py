"""Batches are read ahead of the worker: in order, a bounded number of them, and never beyond the end."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.clock import SystemClock
from headoffice.ingest import Given, Unanswerable
from headoffice.keys import make_keys
from headoffice.reading import READ_AHEAD, Reader
from headoffice.service import Service
from headoffice.shards import shards_of
from headoffice.workers import BUSY_EVENTS, Worker
from sync.client import Arrived, ClientEvent, ClientOptions, Kick
from sync.envelope import decode_as
from sync.messages import Welcome
from tests.support import template
from tests.support.broker import free_port
from tests.support.headoffice_station import Stream, event, hello
from tests.support.processes import eventually

WAIT_S = 60.0
GENERATION = 1


def batch(name: str = "up/l") -> Arrived:
    stream = Stream().begin()
    topic = stream.topic
    return Arrived(GENERATION, f"fc/v1/{topic.shard}/s/{topic.station}/{name}", stream.payload(1), retain=False)


def nonsense(topic: str) -> Arrived:
    return Arrived(GENERATION, topic, b"?", retain=False)


@pytest.mark.parametrize("ahead", [False, True], ids=["in the same thread", "ahead"])
def test_everything_comes_in_its_order(ahead: bool) -> None:
    """Batches come read and judged, everything else as it was, each at its place."""
    events: queue.Queue[ClientEvent] = queue.Queue()
    reader = Reader(events)
    if ahead:
        reader.start()
    hello = batch("up/hello")
    for one in (Kick(1), batch(), hello, nonsense("fc/v1/nonsense"), nonsense(batch().topic), Kick(2)):
        events.put(one)
    found = [reader.next(WAIT_S) for _ in range(6)]
    assert reader.next(0) is None
    reader.stop()
    assert [type(one) for one in found] == [Kick, Given, Arrived, Arrived, Unanswerable, Kick]
    assert found[2] is hello
    assert isinstance(found[1], Given)
    assert found[1].batch.records == tuple(Stream().begin().raws)


def test_it_reads_no_more_than_it_may_and_ends_while_it_waits() -> None:
    """Where nobody takes them, some batches are read and the others wait in the queue, so that the broker waits, too."""
    events: queue.Queue[ClientEvent] = queue.Queue()
    for _ in range(3 * READ_AHEAD):
        events.put(batch())
    reader = Reader(events)
    reader.start()
    eventually(lambda: reader.waiting == 2 * READ_AHEAD - 1, WAIT_S, "as many are read as may be")
    assert isinstance(reader.next(WAIT_S), Given)
    eventually(lambda: reader.waiting == 2 * READ_AHEAD - 2, WAIT_S, "one is taken, one more is read")
    reader.stop()
    assert reader.waiting > 0


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """One that finds no broker."""
    with closing(template.head_office(tmp_path / "hq.sqlite")) as database:
        service = Service(database, make_keys(tmp_path / "keys"), "main")
        made = Worker(service, ClientOptions("ho", "127.0.0.1", free_port()), SystemClock(), shards_of(database))
        yield made
        made._link.close()


@pytest.mark.parametrize(("behind", "window"), [(BUSY_EVENTS, 1), (BUSY_EVENTS - 1, 4)])
def test_a_welcome_asks_for_less_where_much_waits(worker: Worker, behind: int, window: int) -> None:
    """[W-11] In a storm of hellos, too: batches need not have come yet."""
    stream = Stream().begin()
    said = Arrived(GENERATION, batch("up/hello").topic, event(hello(stream)), retain=False)
    for number in range(behind + 1):
        worker._events.put(said if number == 0 else Kick(number))
    worker._ticked_ms = worker._mono.mono_ms()
    worker.step(0)
    (answer,) = worker._link._outgoing
    assert decode_as(answer.payload, Welcome)[1].credit.window == window
