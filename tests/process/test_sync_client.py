"""The MQTT client against a real broker: up and down, wills, a killed broker, an old broker, a refusing broker."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from amqtt.broker import Broker as AmqttBroker

from sync.client import (
    TAKEOVER_PAUSE_S,
    Arrived,
    ClientEvent,
    ClientOptions,
    LinkChange,
    LinkDown,
    LinkUp,
    MqttClient,
    PublishSettled,
    Subscribed,
    Unsubscribed,
    Will,
)
from tests.support.broker import Mosquitto
from tests.support.ports import KeptPort

DEADLINE_S = 120.0
E = TypeVar("E")


class Driven:
    """A client with its queue, polled until something happened.

    ``connect_s`` and ``keepalive_s``: how long a silent broker is believed. Where none is silent nothing waits for that, and
    a machine that is slow for some seconds breaks no connection that the test counts on.
    """

    def __init__(
        self,
        name: str,
        port: int,
        *,
        will: Will | None = None,
        topics: tuple[str, ...] = (),
        longest_s: float = 0.2,
        connect_s: float = 20.0,
        keepalive_s: int = 60,
    ) -> None:
        self.events: queue.Queue[ClientEvent] = queue.Queue(100)
        self.seen: list[ClientEvent | LinkChange] = []
        options = ClientOptions(
            client_id=name,
            host="127.0.0.1",
            port=port,
            subscriptions=topics,
            will=lambda: will,
            keepalive_s=keepalive_s,
            connect_timeout_s=connect_s,
            backoff_low_s=0.05,
            backoff_cap_s=longest_s,
        )
        self.client = MqttClient(options, self.events, Random(1))

    def until(self, found: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not found():
            assert time.monotonic() < deadline, f"not in time; seen {self.seen[-10:]}"
            with contextlib.suppress(queue.Empty):
                self.seen.append(self.events.get(timeout=0.02))
            self.seen.extend(self.client.poll(time.monotonic()))

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.seen if isinstance(event, kind)]

    def up(self, times: int = 1) -> Driven:
        self.until(lambda: len(self.all(LinkUp)) >= times and self.client.connected)
        return self


@contextlib.contextmanager
def driven(name: str, port: int, **more: Any) -> Iterator[Driven]:
    one = Driven(name, port, **more)
    try:
        yield one
    finally:
        one.client.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running mosquitto without persistence."""
    with Mosquitto(tmp_path / "broker", protocol="5") as running:
        yield running


def test_a_message_travels_and_is_settled(broker: Mosquitto) -> None:
    """A subscriber gets the exact bytes and the publisher hears the broker's answer, over MQTT 5 [W-14]."""
    with driven("reader", broker.port, topics=("fc/#",)) as reader, driven("writer", broker.port) as writer:
        reader.up()
        writer.up()
        mid = writer.client.publish("fc/x", b"\x00\xffbytes")
        reader.until(lambda: bool(reader.all(Arrived)))
        writer.until(lambda: bool(writer.all(PublishSettled)))
        assert reader.all(Arrived)[0].payload == b"\x00\xffbytes"
        assert (writer.all(PublishSettled)[0].mid, writer.all(PublishSettled)[0].refused) == (mid, None)
        assert writer.all(LinkUp)[0].protocol == "MQTT 5"


def test_the_socket_sends_without_delay(broker: Mosquitto) -> None:
    """TCP_NODELAY is set on the client's socket [W-60]."""
    with driven("nodelay", broker.port) as one:
        one.up()
        sockets = [entry for entry in _own_sockets(broker.port) if entry.getsockopt(socket.IPPROTO_TCP, 1)]
        assert len(sockets) == 1


def _own_sockets(port: int) -> list[socket.socket]:
    found = [one for one in gc.get_objects() if type(one) is socket.socket and one.fileno() >= 0]
    return [one for one in found if one.type == socket.SOCK_STREAM and _peer_port(one) == port]


def _peer_port(one: socket.socket) -> int | None:
    try:
        return int(one.getpeername()[1]) if one.family == socket.AF_INET else None
    except OSError:
        return None


def test_a_connection_given_up_leaves_its_will(broker: Mosquitto) -> None:
    """A client whose connection breaks leaves its retained will; one that closes politely leaves its farewell [W-13]."""
    will = Will("fc/state/a", b"lost")
    with driven("watcher", broker.port, topics=("fc/state/#",)) as watcher:
        watcher.up()
        with driven("a", broker.port, will=will) as one:
            one.up()
            one.client.drop(time.monotonic(), "test")
            watcher.until(lambda: [event.payload for event in watcher.all(Arrived)] == [b"lost"])
            one.up(2)
            one.client.close(Will("fc/state/a", b"stopped"))
        watcher.until(lambda: len(watcher.all(Arrived)) >= 2)
        assert [event.payload for event in watcher.all(Arrived)] == [b"lost", b"stopped"]
    with driven("late", broker.port, topics=("fc/state/#",)) as late:
        late.up()
        late.until(lambda: bool(late.all(Arrived)))
        assert (late.all(Arrived)[0].payload, late.all(Arrived)[0].retain) == (b"stopped", True)


def test_a_killed_broker_is_found_again(broker: Mosquitto) -> None:
    """After kill -9 of the broker the client says so, connects again and still gets messages [W-12]."""
    with driven("phoenix", broker.port, topics=("fc/#",)) as one:
        one.up()
        broker.kill()
        one.until(lambda: bool(one.all(LinkDown)))
        assert one.client.publish("fc/x", b"lost") is None
        broker.start()
        one.up(2)
        assert one.client.publish("fc/x", b"again") is not None
        one.until(lambda: bool(one.all(Arrived)))
        assert [event.payload for event in one.all(Arrived)] == [b"again"]


def test_a_frozen_broker_is_noticed(broker: Mosquitto) -> None:
    """A connection that stays open while nothing answers is given up and made anew, without blocking its owner [W-12]."""
    with driven("patient", broker.port, topics=("fc/#",), connect_s=2.0, keepalive_s=1) as one:
        one.up()
        broker.pause()
        one.until(lambda: bool(one.all(LinkDown)))
        broker.resume()
        one.up(2)
        # a machine slower than this short patience loses the connection again, and what was just published
        one.until(lambda: one.client.publish("fc/x", b"awake") is not None and bool(one.all(Arrived)))
        assert one.all(Arrived)[-1].payload == b"awake"


def test_nothing_is_queued_without_a_connection() -> None:
    """Publishing while down is refused at once: the journal is the queue, not RAM [W-14]."""
    kept = KeptPort()
    with driven("nobody", kept.number) as one:
        one.until(lambda: len(one.all(LinkDown)) >= 2)
        assert one.client.publish("fc/x", b"x") is None
        assert {event.reason for event in one.all(LinkDown)} == {"refused"}


def _broken(*_: object) -> None:
    raise ZeroDivisionError


def test_a_dead_network_loop_is_noticed(broker: Mosquitto) -> None:
    """When the network thread dies of an exception the client is rebuilt and works again [W-14]."""
    with driven("undead", broker.port, topics=("fc/#",)) as one:
        one.up()
        quiet, threading.excepthook = threading.excepthook, lambda _: None
        try:
            assert one.client._paho is not None
            one.client._paho.on_message = _broken
            one.client.publish("fc/x", b"poison")
            one.until(lambda: any(event.reason == "loop_died" for event in one.all(LinkDown)))
        finally:
            threading.excepthook = quiet
        one.up(2)
        one.client.publish("fc/x", b"good")
        one.until(lambda: bool(one.all(Arrived)))
        assert one.all(Arrived)[-1].payload == b"good"


CONNACK = b"\x20\x03\x00\x00\x00"
TAKEN_OVER = b"\xe0\x02\x8e\x00"
SUBACK_REFUSED = b"\x90\x04\x00\x01\x00\x87"


@contextlib.contextmanager
def _scripted_broker(*answers: bytes) -> Iterator[int]:
    """A peer that answers each packet of every connection with the next of ``answers``, byte for byte."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(DEADLINE_S)
                        for answer in answers:
                            connection.recv(4_096)
                            connection.sendall(answer)
                        connection.recv(4_096)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stop.set()
            thread.join(DEADLINE_S)


def test_a_taken_over_session_is_named_and_answered_by_staying_away() -> None:
    """Where MQTT 5 names a takeover it is told; after two within a minute the client stays away for one [W-33]."""
    began_s = time.monotonic()
    with _scripted_broker(CONNACK + TAKEN_OVER) as port, driven("twin", port) as one:
        one.until(lambda: len(one.all(LinkDown)) >= 2)
        assert {event.reason for event in one.all(LinkDown)} == {"session_taken_over"}
        pause = one.client.next_poll()
        assert pause is not None
        assert pause >= began_s + TAKEOVER_PAUSE_S


class _OnlyMqtt3:
    """A cable to a broker that drops whoever greets it with MQTT 5, as an old broker does."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                greeting = client.recv(4_096)
                level = greeting[greeting.index(b"MQTT") + 4]
                if level != 4:
                    client.close()
                    continue
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
                broker.sendall(greeting)
                self._open += [client, broker]
                for source, target in ((client, broker), (broker, client)):
                    threading.Thread(target=_carry, args=(source, target), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("protocol", ["MQTT 5", "MQTT 3.1.1"])
def test_two_clients_of_one_name_take_turns_of_a_minute(broker: Mosquitto, protocol: str) -> None:
    """Twins at a real broker throw each other out twice at most, then one stays away and the other works [W-33]."""
    cable = _OnlyMqtt3(broker.port)
    port = broker.port if protocol == "MQTT 5" else cable.port
    try:
        with driven("twin", port, longest_s=300.0) as one, driven("twin", port, longest_s=300.0) as two:
            one.up()

            def pauses() -> bool:
                """Let the other one live as well."""
                two.seen.extend(two.client.poll(time.monotonic()))
                return any(_stays_away(twin) for twin in (one, two))

            one.until(pauses)
            away, there = (one, two) if _stays_away(one) else (two, one)
            there.up()
            downs = len(there.all(LinkDown))
            there.client.publish("fc/x", b"alone")
            there.until(lambda: bool(there.all(PublishSettled)))
            assert len(away.all(LinkDown)) == 2
            assert len(there.all(LinkDown)) == downs <= 2
            assert {event.protocol for event in away.all(LinkUp)} == {protocol}
    finally:
        cable.close()


def _stays_away(one: Driven) -> bool:
    due = one.client.next_poll()
    return not one.client.connected and due is not None and due > time.monotonic() + 30


def test_a_forbidden_subscription_is_not_taken_for_success() -> None:
    """A broker whose access list refuses a subscription gives no link, only a named reason [W-14]."""
    with _scripted_broker(CONNACK, SUBACK_REFUSED) as port, driven("u", port, topics=("fc/#",)) as one:
        one.until(lambda: bool(one.all(LinkDown)))
        assert one.all(LinkDown)[0].reason == "subscribe_refused"
        assert one.all(LinkUp) == []


@contextlib.contextmanager
def _broker_of_mqtt_3() -> Iterator[int]:
    """Run amqtt on a free port, in a thread: it understands MQTT 3.1.1 only."""
    kept = KeptPort()
    port = kept.number
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        server = AmqttBroker(config, loop=loop)
        await server.start()
        ready.set()
        await stop.wait()
        await server.shutdown()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(DEADLINE_S), "the broker does not start"
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE_S)
        loop.close()


def test_a_broker_of_mqtt_3_is_served() -> None:
    """A broker that refuses MQTT 5, or just closes, is asked again with 3.1.1 and works [W-14]."""
    with _broker_of_mqtt_3() as port, driven("old", port, topics=("fc/#",), connect_s=3.0) as one:
        one.up()
        assert one.all(LinkUp)[0].protocol == "MQTT 3.1.1"
        assert one.client.publish("fc/x", b"hello") is not None
        one.until(lambda: bool(one.all(Arrived)))
        assert one.all(Arrived)[0].payload == b"hello"


def test_what_is_listened_to_changes_while_connected_and_outlives_a_reconnect(broker: Mosquitto) -> None:
    """[W-27] A worker takes and leaves shards: both are answered, and after a reconnect it is what it was."""
    with driven("listener", broker.port) as mine, driven("speaker", broker.port) as other:
        mine.up()
        other.up()
        asked = mine.client.subscribe(["shard/1", "shard/2"])
        mine.until(lambda: [event.mid for event in mine.all(Subscribed) if not event.refused] == [asked])
        left = mine.client.unsubscribe(["shard/1"])
        mine.until(lambda: [event.mid for event in mine.all(Unsubscribed)] == [left])
        mine.client.drop(time.monotonic(), "test")
        assert mine.client.subscribe(["shard/3"]) is None
        mine.up(times=2)
        for topic in ("shard/1", "shard/2", "shard/3"):
            other.client.publish(topic, topic.encode())
        mine.until(lambda: len(mine.all(Arrived)) >= 2)
    assert [event.payload for event in mine.all(Arrived)] == [b"shard/2", b"shard/3"]
    assert (mine.client.subscribe([]), mine.client.unsubscribe([])) == (None, None)
