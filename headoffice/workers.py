"""The thread shell of head office: one MQTT subscriber, one queue, one loop that hands messages to the service.

Knows the connection and when to tick. Batches that do not fit are dropped and counted: stations send them again.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random

from agent.clock import Clock, SystemClock
from agent.logs import get_logger
from headoffice.service import Outgoing, Service
from sync.client import Arrived, ClientEvent, ClientOptions, LinkChange, LinkUp, MqttClient, Will
from sync.topics import HO_STATE

UP_FILTER = "fc/v1/+/s/+/up/#"
"""Every station on every shard: plain, never shared (W-27); with SQLite one worker serves them all."""

MAX_EVENTS = 512
"""Messages waiting: 32 MiB of the largest batches; a full queue slows the network loop, so the broker waits."""

MAX_OUTGOING = 1_000
"""Answers waiting for the broker; beyond it the oldest is dropped, since a lost ack is harmless (W-21)."""

TICK_MS = 1_000
WAIT_S = 0.25
"""How long the loop sleeps without an event: bounds the time to notice a stop."""


class Worker:
    """Serves one group until ``stop`` is set; ``on_change`` is told every change of the link, from this thread."""

    def __init__(
        self,
        service: Service,
        options: ClientOptions,
        wall: Clock,
        on_change: Callable[[LinkChange], None] = lambda _change: None,
    ) -> None:
        self._service = service
        self._wall = wall
        self._mono = SystemClock()
        self._on_change = on_change
        self._log = get_logger("headoffice.worker")
        self._events: queue.Queue[ClientEvent] = queue.Queue(MAX_EVENTS)
        self._outgoing: deque[Outgoing] = deque()
        self._client = MqttClient(replace(options, will=self._gone), self._events, Random())
        self._ticked_ms = 0
        self.dropped = 0

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set, then say goodbye. Errors of the database end it: the supervisor starts anew."""
        try:
            while not stop.is_set():
                self.step(WAIT_S)
        finally:
            self._client.close(self._gone())

    def step(self, wait_s: float) -> None:
        """One round: the link, at most one message, what is due by time, and what can be sent."""
        for change in self._client.poll(self._mono.mono_ms() / 1000):
            self._changed(change)
        try:
            event = self._events.get(timeout=wait_s)  # a full publish window opens with an event, too
        except queue.Empty:
            event = None
        if isinstance(event, Arrived):
            self._queue(self._service.take(event.topic, event.payload, self._wall.wall_ms()))
        now_ms = self._mono.mono_ms()
        if self._client.connected and now_ms - self._ticked_ms >= TICK_MS:
            self._ticked_ms = now_ms
            self._queue(self._service.tick(self._wall.wall_ms()))
        self._flush()

    def _gone(self) -> Will:
        """What the broker says when this process dies, and what it says itself when it goes."""
        return Will(HO_STATE, self._service.state(False, self._wall.wall_ms()))

    def _changed(self, change: LinkChange) -> None:
        if isinstance(change, LinkUp):
            self._log.info("connected", protocol=change.protocol)
            self._queue(self._service.greeting(self._wall.wall_ms()))
        else:
            self._log.warning("not connected", reason=change.reason, detail=change.detail)
            self._outgoing.clear()
        self._on_change(change)

    def _queue(self, messages: list[Outgoing]) -> None:
        for message in messages:
            if len(self._outgoing) >= MAX_OUTGOING:
                self._outgoing.popleft()
                self.dropped += 1
            self._outgoing.append(message)

    def _flush(self) -> None:
        while self._outgoing:
            first = self._outgoing[0]
            if self._client.publish(first.topic, first.payload, retain=first.retain) is None:
                return
            self._outgoing.popleft()
