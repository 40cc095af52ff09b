"""What MQTT 5 gives beyond 3.1.1, against a real broker: its window, its reasons, and messages that do not wait for ever."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from sync.client import MESSAGE_EXPIRY_S
from tests.support.broker import Mosquitto
from tests.support.tls_broker import DEADLINE_S, calling

CONNACK = b"\x20\x06\x00\x00\x03\x21\x00\x03"
"""Accepted, Receive Maximum 3."""

CONNECT, PUBLISH, SUBSCRIBE, DISCONNECT = 1, 3, 8, 14


def _packets(stream: BufferedReader) -> Iterator[int]:
    """The kinds of the packets that come in."""
    while head := stream.read(1):
        length, shift = 0, 0
        while True:
            (byte,) = stream.read(1)
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        stream.read(length)
        yield head[0] >> 4


class SmallBroker:
    """Takes three messages at once and acknowledges none; ``kinds`` of each connection's packets.

    It goes on until somebody subscribes, which no window holds back: what was handed over before has come then.
    """

    def __init__(self, server: socket.socket) -> None:
        self.kinds: list[list[int]] = []
        self._server = server
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            self.kinds.append([])
            with connection, connection.makefile("rb") as stream:
                for kind in _packets(stream):
                    self.kinds[-1].append(kind)
                    if kind == CONNECT:
                        connection.sendall(CONNACK)
                    if kind == SUBSCRIBE:
                        return


def test_the_window_of_a_small_broker_is_kept() -> None:
    """A broker that takes three messages at once is handed three, however many wait: it may end the connection for more
    [W-14].
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        small = SmallBroker(server)
        small.thread.start()
        with calling(server.getsockname()[1], None) as one:
            one.up()
            assert all(one.client.publish("fc/x", b"x") is not None for _ in range(10))
            assert one.client.subscribe(["fc/x"]) is not None
            small.thread.join(DEADLINE_S)
    assert small.kinds == [[CONNECT, DISCONNECT], [CONNECT, PUBLISH, PUBLISH, PUBLISH, SUBSCRIBE]]


def test_a_broker_that_takes_less_than_a_batch_says_so(tmp_path: Path) -> None:
    """A message over the broker's limit ends the connection with a word, not with a riddle [W-14]."""
    with Mosquitto(tmp_path, extra="max_packet_size 2000", protocol="5") as broker, calling(broker.port, None) as one:
        one.up().client.publish("fc/x", b"x" * 10_000)
        one.until(lambda: bool(one.reasons))
        assert one.reasons[0] == "packet_too_large"


def test_what_nobody_fetches_expires_and_what_is_retained_stays(tmp_path: Path) -> None:
    """Batches and answers are said again anyway, so they carry an end; a state has none [W-14]."""
    with Mosquitto(tmp_path, protocol="5") as broker, calling(broker.port, None) as one:
        seen: queue.Queue[int | None] = queue.Queue()
        ready: queue.Queue[bool] = queue.Queue()
        reader = paho.Client(CallbackAPIVersion.VERSION2, client_id="r", protocol=MQTTProtocolVersion.MQTTv5)
        reader.on_message = lambda *told: seen.put(getattr(told[2].properties, "MessageExpiryInterval", None))
        reader.on_subscribe = lambda *_: ready.put(True)
        reader.connect("127.0.0.1", broker.port)
        reader.subscribe("fc/#", 1)
        reader.loop_start()
        assert ready.get(timeout=DEADLINE_S)
        one.up().client.publish("fc/x", b"x")
        one.client.publish("fc/x", b"x", retain=True)
        found = [seen.get(timeout=DEADLINE_S) for _ in range(2)]
        reader.disconnect()
        reader.loop_stop()
    assert found[1] is None
    assert found[0] is not None
    assert MESSAGE_EXPIRY_S - DEADLINE_S <= found[0] <= MESSAGE_EXPIRY_S
