"""The thread shell of head office: an MQTT subscriber, one queue, one loop that hands messages to the service.

Knows connections, whose shards are whose and when to tick. What it cannot take is dropped: stations send it again.
"""

from __future__ import annotations

import queue
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from agent.clock import Clock, SystemClock
from agent.logs import get_logger
from headoffice.errors import DatabaseAway, DatabaseProblem
from headoffice.ingest import Given, Unanswerable
from headoffice.link import Link
from headoffice.reading import Read, Reader
from headoffice.service import Outgoing, Service
from headoffice.shards import Shards
from headoffice.store.streams import StreamKey
from sync.client import (
    Arrived,
    ClientEvent,
    ClientOptions,
    LinkChange,
    LinkUp,
    Subscribed,
    Unsubscribed,
    Will,
)
from sync.topics import HO_STATE, shard_filter, shard_in, shard_of

T = TypeVar("T")

UP_FILTER = "fc/v1/+/s/+/up/#"
"""Every station on every shard: plain, never shared (W-27); with SQLite one worker serves them all."""

MAX_EVENTS = 512
"""Messages waiting: 32 MiB of the largest batches; a full queue slows the network loop, so the broker waits."""

TOGETHER = 16
"""Batches taken by one commit, of those that wait anyway: an alert behind them must not wait long."""

SECOND_S = 0.02
"""How long a batch waits for a second one that is being read: a commit for each would cost twice as much."""

BUSY_EVENTS = 128
"""So many waiting messages are no station's window any more: everybody is asked to send less at once."""

TICK_MS = 1_000
WAIT_S = 0.25
"""How long the loop sleeps without an event: bounds the time to notice a stop."""

DEAF_AFTER_MS = 5_000
"""A worker that has no broker for so long leaves its shards to those that have one."""

NUDGES = 20
"""Stations nudged at once; the next when most of these have gone out."""


class Worker:
    """Serves one group until ``stop`` is set; ``on_change`` is told every change of the link, from this thread.

    ``look`` is asked about once a second, with when the broker's certificate ends (ms, None where it was not seen).

    Where workers share a server, each has a connection under a name of its own, and the one that leads has a second
    one: only that one carries the last will, so that a worker's death does not say that head office is away.
    """

    def __init__(
        self,
        service: Service,
        options: ClientOptions,
        wall: Clock,
        shards: Shards,
        on_change: Callable[[LinkChange], None] = lambda _change: None,
        *,
        look: Callable[[int | None], list[str]] = lambda _broker_ends_ms: [],
    ) -> None:
        self._service = service
        self._wall = wall
        self._mono = SystemClock()
        self._shards = shards
        self._on_change = on_change
        self._look = look
        self._log = get_logger("headoffice.worker")
        self._events: queue.Queue[ClientEvent] = queue.Queue(MAX_EVENTS)
        self._reader = Reader(self._events)
        self._next: Read | None = None
        self._leading = replace(options, client_id=f"{options.client_id}-leader", will=self._gone)
        if shards.is_shared:
            name = f"{options.client_id}-{secrets.token_hex(3)}"
            options = replace(options, client_id=name, subscriptions=(HO_STATE,))
        else:
            options = replace(options, subscriptions=(UP_FILTER,), will=self._gone)
        self._link = Link(options, self._events)
        self._voice = None if shards.is_shared else self._link
        self._listening: frozenset[int] = frozenset()
        self._leaving: dict[int, tuple[int, ...]] = {}
        self._asked: dict[int, frozenset[int]] = {}
        self._tenure = 0
        self._nudges: deque[StreamKey] = deque()
        self._heard_ms: int | None = None
        self._ticked_ms: int | None = None
        self._taken = 0

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set, then say goodbye. Where the database is a file, its errors end it."""
        self._reader.start()
        try:
            while not stop.is_set():
                self.step(WAIT_S)
        finally:
            self._reader.stop()
            is_last = self._shards.leave()
            if self._voice is not None and self._voice is not self._link:
                self._voice.close()
            self._link.close(self._gone() if is_last else None)

    def step(self, wait_s: float) -> None:
        """One round: the link, a message or the batches that wait, what is due by time, and what can be sent."""
        self._poll(self._mono.mono_ms())
        event, self._next = self._next or self._reader.next(wait_s), None
        self._service.is_busy = self._reader.waiting >= BUSY_EVENTS
        if isinstance(event, Given | Unanswerable):
            self._batches(event)
        elif isinstance(event, Arrived):
            self._arrived(event)
        elif isinstance(event, Subscribed):
            self._subscribed(event)
        elif isinstance(event, Unsubscribed):
            self._shards.let_go(self._leaving.pop(event.mid, ()))
        now_ms = self._mono.mono_ms()
        if self._ticked_ms is None or now_ms - self._ticked_ms >= TICK_MS:
            self._ticked_ms = now_ms
            self._tick(now_ms)
        self._nudge()
        self._link.flush()
        if self._voice is not None:
            self._voice.flush()

    def _gone(self) -> Will:
        """What the broker says when head office dies, and what it says itself when it goes."""
        return Will(HO_STATE, self._service.state(False, self._wall.wall_ms()))

    # --- connections ------------------------------------------------------------------------------------------------

    def _poll(self, now_ms: int) -> None:
        for change in self._link.poll(now_ms / 1000):
            if isinstance(change, LinkUp):
                self._log.info("connected", protocol=change.protocol)
                self._ticked_ms = None
                self._wake(self._listening)
            else:
                self._log.warning("not connected", reason=change.reason, detail=change.detail)
                self._down()
            if self._voice is self._link:
                self._greet(change)
            self._on_change(change)
        if self._link.client.connected:
            self._heard_ms = now_ms
        if self._voice is not None and self._voice is not self._link:
            for change in self._voice.poll(now_ms / 1000):
                self._greet(change)

    def _greet(self, change: LinkChange) -> None:
        if isinstance(change, LinkUp) and self._voice is not None:
            self._voice.put(self._asking(lambda: self._service.greeting(self._wall.wall_ms())))

    def _down(self) -> None:
        """Nothing more arrives: what was to be let go is let go now."""
        self._asked.clear()
        self._nudges.clear()
        while self._leaving:
            self._shards.let_go(self._leaving.popitem()[1])

    # --- messages ---------------------------------------------------------------------------------------------------

    def _arrived(self, event: Arrived) -> None:
        if event.topic == HO_STATE:
            self._state_heard(event)
        elif self._shards.holds(shard_in(event.topic)):
            self._taken += 1
            now_ms = self._wall.wall_ms()
            self._link.put(self._asking(lambda: self._service.take(event.topic, event.payload, now_ms)))

    def _batches(self, first: Given | Unanswerable) -> None:
        """Take a batch and those that wait behind it; what stopped the row is the next event."""
        batches: list[Given | Unanswerable] = []
        event: Read | None = first
        for _ in range(TOGETHER):
            if not isinstance(event, Given | Unanswerable):
                break
            if self._shards.holds(event.topic.shard):
                batches.append(event)
            event = self._reader.next(SECOND_S if len(batches) == 1 and self._reader.is_reading else 0)
        self._next = event
        if batches:
            self._taken += len(batches)
            now_ms = self._wall.wall_ms()
            self._link.put(self._asking(lambda: self._service.take_batches(batches, now_ms)))

    def _state_heard(self, event: Arrived) -> None:
        """Somebody's last will says that head office is away: whoever leads now says that it is not."""
        if self._service.says_online(event.payload):
            return
        if not self._shards.leads:
            self._ticked_ms = None
        elif self._voice is not None:
            self._voice.put([Outgoing(HO_STATE, self._service.state(True, self._wall.wall_ms()), retain=True)])

    # --- shards -----------------------------------------------------------------------------------------------------

    def _tick(self, now_ms: int) -> None:
        is_deaf = self._heard_ms is None or now_ms - self._heard_ms >= DEAF_AFTER_MS
        if is_deaf:
            self._shards.leave()
        else:
            self._share()
        self._asking(lambda: self._look(self._link.client.broker_ends_ms))
        if self._shards.leads:
            self._lead()
        elif self._voice is not None:
            self._voice.close()
            self._voice = None

    def _share(self) -> None:
        surplus = self._shards.beat(self._wall.wall_ms(), self._taken)
        if not self._shards.is_shared:
            return
        client = self._link.client
        if self._shards.tenure != self._tenure:  # what came while nothing was held was not answered
            self._tenure = self._shards.tenure
            client.unsubscribe(_filters(self._listening))
            self._listening = frozenset()
            self._leaving.clear()
        leaving = {shard for shards in self._leaving.values() for shard in shards}
        going = frozenset(surplus) - leaving
        if going:
            mid = client.unsubscribe(_filters(going))
            if mid is None:
                self._shards.let_go(tuple(going))
            else:
                self._leaving[mid] = tuple(going)
        wanted = self._shards.held - leaving - going
        gained = wanted - self._listening
        if gained:
            mid = client.subscribe(_filters(gained))
            if mid is not None:
                self._asked[mid] = gained
        if wanted != self._listening:
            self._log.info("serving", shards=len(wanted), gained=len(gained), let_go=len(going))
        self._listening = wanted

    def _subscribed(self, event: Subscribed) -> None:
        gained = self._asked.pop(event.mid, frozenset())
        if event.refused:
            self._link.client.drop(self._mono.mono_ms() / 1000, "subscribe_refused")
        else:
            self._wake(gained)

    def _wake(self, shards: frozenset[int]) -> None:
        """What stations said while nobody listened is lost: those that sent lately are told what is here."""
        if not (shards and self._shards.is_shared):
            return
        now_ms = self._wall.wall_ms()
        self._link.put([Outgoing(HO_STATE, self._service.state(True, now_ms), retain=True)])
        self._nudges.extend(self._asking(lambda: self._service.recent(shards, now_ms)))

    def _nudge(self) -> None:
        if self._nudges and self._link.waiting < NUDGES:
            some = [self._nudges.popleft() for _ in range(min(NUDGES, len(self._nudges)))]
            held = [key for key in some if shard_of(key.station) in self._listening]
            self._link.put(self._asking(lambda: self._service.nudge(held, self._wall.wall_ms())))

    # --- the one that leads -----------------------------------------------------------------------------------------

    def _lead(self) -> None:
        if self._voice is None:
            self._asking(self._service.take_over)
            self._voice = Link(self._leading, self._events)
        elif self._voice.client.connected:
            self._voice.put(self._asking(lambda: self._service.tick(self._wall.wall_ms())))

    def _asking(self, question: Callable[[], list[T]]) -> list[T]:
        """Where workers share a server, a database that does not answer ends their tenure, not the worker."""
        try:
            return question()
        except (DatabaseAway, DatabaseProblem) as error:
            if not self._shards.is_shared:
                raise
            self._log.warning("the database does not answer", detail=str(error))
            self._shards.leave()
            return []


def _filters(shards: Iterable[int]) -> list[str]:
    return [shard_filter(shard) for shard in sorted(shards)]
