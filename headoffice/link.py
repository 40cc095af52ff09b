"""One MQTT connection of head office and what waits to be said over it; the oldest is dropped where too much waits.

Knows the client; knows no message.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Sequence
from random import Random

from headoffice.service import Outgoing
from sync.client import ClientEvent, ClientOptions, LinkChange, LinkUp, MqttClient, Will

MAX_OUTGOING = 1_000
"""Answers waiting for the broker; beyond it the oldest is dropped, since a lost ack is harmless (W-21)."""


class Link:
    """Used from one thread. ``client`` may be told to listen to more or less; what arrives goes to ``events``."""

    def __init__(self, options: ClientOptions, events: queue.Queue[ClientEvent]) -> None:
        """Nothing is opened until the first ``poll``."""
        self.client = MqttClient(options, events, Random())
        self._outgoing: deque[Outgoing] = deque()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._outgoing)

    def poll(self, now_s: float) -> list[LinkChange]:
        """Connect, notice a death; what waited for a connection that is gone is forgotten."""
        changes = self.client.poll(now_s)
        if any(not isinstance(change, LinkUp) for change in changes):
            self._outgoing.clear()
        return changes

    def put(self, messages: Sequence[Outgoing]) -> None:
        """Say something as soon as there is room."""
        for message in messages:
            if len(self._outgoing) >= MAX_OUTGOING:
                self._outgoing.popleft()
                self.dropped += 1
            self._outgoing.append(message)

    def flush(self) -> None:
        """Hand what waits to the broker, as far as it takes it."""
        while self._outgoing:
            first = self._outgoing[0]
            if self.client.publish(first.topic, first.payload, retain=first.retain) is None:
                return
            self._outgoing.popleft()

    def close(self, farewell: Will | None = None) -> None:
        """Leave politely: the broker keeps a last will to itself."""
        self.client.close(farewell)
