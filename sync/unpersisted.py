"""Acks on their way to the pipeline: while a backlog drains only the newest of each second, since each costs a commit.

Pure: time comes in (monotonic seconds). Knows nothing of who persists them. What a crash forgets of them is sent again,
and head office drops it.
"""

from __future__ import annotations

from sync.delivery import ApplyAck

PERSIST_EVERY_S = 1.0
"""A sale would wait for each of these commits."""


class Unpersisted:
    """The newest ack of each stream that nobody persists yet."""

    def __init__(self) -> None:
        self._acks: dict[str, ApplyAck] = {}
        self._due: dict[str, float] = {}

    def put(self, now: float, ack: ApplyAck, *, ends: bool) -> None:
        """Take an ack in place of the one before it; due at once where it ``ends`` the backlog or has dead letters."""
        self._acks[ack.stream] = ack
        if ends or ack.rejected:
            self._due[ack.stream] = now
        else:
            self._due.setdefault(ack.stream, now)

    def next_deadline(self) -> float | None:
        """When something is due, on the clock of ``now``."""
        return min((self._due[stream] for stream in self._acks), default=None)

    def due(self, now: float) -> list[ApplyAck]:
        """Take out what is to be persisted now."""
        found = [stream for stream in self._acks if now >= self._due[stream]]
        self._due.update(dict.fromkeys(found, now + PERSIST_EVERY_S))
        return [self._acks.pop(stream) for stream in found]

    def all(self) -> list[ApplyAck]:
        """Take out everything: before anything that may speak of another state of head office or of this station."""
        found, self._acks = list(self._acks.values()), {}
        return found
