"""What the links bring, with batches read and judged ahead: while the worker waits for its database, a thread reads on.

Order stays as it came. Knows queues and the reading of a batch; knows no database and answers nothing.
"""

from __future__ import annotations

import queue
import threading

from headoffice.ingest import Given, Unanswerable, read_batch
from sync.client import Arrived, ClientEvent
from sync.topics import STREAM_OF_TOPIC, StationTopic, TopicError, parse

Read = Given | Unanswerable | ClientEvent

READ_AHEAD = 16
"""Batches read and not yet taken: what one commit takes at most. Read, a batch is some ten times its bytes."""

LOOK_S = 0.25
"""How long the thread waits before it looks whether it is to end."""


class Reader:
    """Between the links' queue and the worker. Without ``start()`` it reads in the thread that asks."""

    def __init__(self, events: queue.Queue[ClientEvent]) -> None:
        """``events``: where the links put what they bring."""
        self._events = events
        self._read: queue.Queue[Read] = queue.Queue(READ_AHEAD)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._in_hand = False

    def start(self) -> None:
        """Read ahead from now on."""
        self._thread = threading.Thread(target=self._run, daemon=True, name="reader")
        self._thread.start()

    def stop(self) -> None:
        """Read no more; what was read and not asked for is dropped: stations send it again."""
        self._stop.set()
        if self._thread is not None:
            while self._thread.is_alive():
                self.next(LOOK_S)
                self._thread.join(LOOK_S)
            self._thread = None

    @property
    def waiting(self) -> int:
        """How many messages nobody has looked at."""
        return self._events.qsize()

    @property
    def is_reading(self) -> bool:
        """Whether a thread is about to have the next one read."""
        return self._thread is not None and (self._in_hand or not self._events.empty())

    def next(self, wait_s: float) -> Read | None:
        """Return what came next, None where nothing comes within ``wait_s``."""
        try:
            if self._thread is None:
                return read(self._events.get(timeout=wait_s))
            return self._read.get(timeout=wait_s)
        except queue.Empty:
            assert self._thread is None or self._thread.is_alive() or self._stop.is_set(), "the reading thread ended"
            return None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                event = self._events.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            self._in_hand = True
            self._read.put(read(event))
            self._in_hand = False


def read(event: ClientEvent) -> Read:
    """Read what came, if it is a batch."""
    topic = _batch_topic(event.topic) if isinstance(event, Arrived) else None
    return event if topic is None or not isinstance(event, Arrived) else read_batch(topic, event.payload)


def _batch_topic(text: str) -> StationTopic | None:
    try:
        topic = parse(text)
    except TopicError:
        return None
    return topic if isinstance(topic, StationTopic) and topic.name in STREAM_OF_TOPIC else None
