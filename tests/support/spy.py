"""Listens to everything one station and head office say on a broker, in the broker's own order.

Knows topics and envelopes, takes no part in the talk.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from sync.envelope import decode_as, decode_batch
from sync.messages import Ack
from sync.topics import station_topic

READY_WITHIN_S = 60.0
NAMES = ("up/hello", "up/l", "up/a", "up/t", "down/welcome", "down/ack")


@dataclass(frozen=True, slots=True)
class Heard:
    """One message: the topic's name below the station, and its payload."""

    name: str
    payload: bytes


class Spy:
    """``heard`` grows while it listens; use as a context manager."""

    def __init__(self, port: int, station: str) -> None:
        self.heard: list[Heard] = []
        self._names = {station_topic(station, name): name for name in NAMES}
        self._port = port
        self._ready = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="spy")
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._ready.wait(READY_WITHIN_S), "the broker takes no subscription"
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def count(self, name: str) -> int:
        """How many messages of this name were heard."""
        return sum(1 for heard in list(self.heard) if heard.name == name)

    def most_in_flight(self, stream: str) -> int:
        """The largest number of batches of a stream that were published and not yet covered by an ack."""
        waiting: set[int] = set()
        most = 0
        for heard in list(self.heard):
            if heard.name == f"up/{stream.lower()}":
                waiting.add(decode_batch(heard.payload)[1].first_seq)
                most = max(most, len(waiting))
            elif heard.name == "down/ack":
                ack = decode_as(heard.payload, Ack)[1]
                if ack.stream == stream:
                    waiting = {first for first in waiting if first > ack.cum}
        return most

    def largest_batch(self) -> tuple[int, int]:
        """(bytes, records) at the most in one batch."""
        batches = [heard.payload for heard in list(self.heard) if heard.name in ("up/l", "up/a", "up/t")]
        return max(map(len, batches)), max(len(decode_batch(payload)[1].records) for payload in batches)

    def _on_connect(self, *_: object) -> None:
        self._client.subscribe([(topic, 1) for topic in self._names])

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.heard.append(Heard(self._names[message.topic], bytes(message.payload)))
