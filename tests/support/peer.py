"""A station written from the contract alone, for tests of head office: it publishes payloads and waits for the answers.

Knows topics and a broker; judges nothing.
"""

from __future__ import annotations

import queue
import time
from typing import Self, TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from sync.envelope import decode_as
from sync.messages import Message
from sync.topics import HO_STATE, down_filter, station_topic
from tests.support.headoffice_station import STATION

DEADLINE_S = 120.0
M = TypeVar("M", bound=Message)


class Peer:
    """A station written from the contract alone: it publishes payloads and waits for the answers."""

    def __init__(self, port: int, station: str = STATION) -> None:
        self._station = station
        self._seen: queue.Queue[tuple[str, bytes]] = queue.Queue(1_000)
        self._subscribed: queue.Queue[bool] = queue.Queue(10)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=station)
        self._client.on_message = lambda _client, _data, message: self._seen.put(
            (message.topic, bytes(message.payload))
        )
        self._client.on_subscribe = lambda *_: self._subscribed.put(True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe([(down_filter(station), 1), (HO_STATE, 1), ("fc/v1/g/main/#", 1)])
        self._subscribed.get(timeout=DEADLINE_S)

    def send(self, name: str, payload: bytes) -> None:
        """Publish on one of the station's topics and wait for the broker."""
        self._client.publish(station_topic(self._station, name), payload, qos=1).wait_for_publish(DEADLINE_S)

    def wait_for(self, kind: type[M], topic: str) -> M:
        """The next message of a class on a topic; others are passed over."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            seen, payload = self._seen.get(timeout=DEADLINE_S)
            if seen == topic:
                return decode_as(payload, kind)[1]
        raise AssertionError(f"nothing on {topic}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()
