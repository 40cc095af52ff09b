"""The shards one worker serves: all of them alone on a SQLite file, its part where several share a server (W-27).

Knows the worker's database session and when it is in doubt; knows no broker and no message.
"""

from __future__ import annotations

import os
import socket
from typing import Protocol

from agent.logs import get_logger
from headoffice.errors import DatabaseAway, DatabaseProblem
from headoffice.sharing import plan
from headoffice.store.database import Database
from headoffice.store.session import ShardSession
from sync.topics import SHARDS

TELL_EVERY_MS = 5_000
"""How often people are told that a worker is alive; the locks need no such word."""


class Shards(Protocol):
    """What a worker may answer for. ``leads``: whether it speaks for head office as a whole.

    ``tenure``: how often it has begun to hold any; between two of them it held none.
    """

    is_shared: bool
    leads: bool
    tenure: int

    @property
    def held(self) -> frozenset[int]:
        """The shards it holds, as far as is known here."""

    def holds(self, shard: int) -> bool:
        """Whether it holds a shard right now: False as soon as the server has ended its session."""

    def beat(self, now_ms: int, taken: int) -> tuple[int, ...]:
        """Call once a second: takes what is its part, returns the shards to let go once they are in hand.

        ``taken``: messages it has taken so far, for people.
        """

    def let_go(self, shards: tuple[int, ...]) -> None:
        """Leave shards to others."""

    def leave(self) -> bool:
        """Leave everything; True where no other worker goes on."""


def shards_of(database: Database) -> Shards:
    """The shards of this process's worker."""
    return SharedShards(database, f"{socket.gethostname()}:{os.getpid()}") if database.is_shared else AllShards()


class AllShards:
    """Every shard, for the one worker of a SQLite file."""

    is_shared = False
    leads = True
    tenure = 1
    held = frozenset(range(SHARDS))

    def holds(self, shard: int) -> bool:  # noqa: ARG002 - also a shard that does not exist: its sender raises an alert
        """See Shards."""
        return True

    def beat(self, now_ms: int, taken: int) -> tuple[int, ...]:  # noqa: ARG002
        """See Shards."""
        return ()

    def let_go(self, shards: tuple[int, ...]) -> None:
        """See Shards; there is nobody to leave them to."""

    def leave(self) -> bool:
        """See Shards."""
        return True


class SharedShards:
    """The part of one of several workers: what its session's locks say. No session, no shard."""

    is_shared = True

    def __init__(self, database: Database, name: str) -> None:
        """``name`` says to people where this worker runs. Nothing is opened until the first ``beat``."""
        self._database = database
        self._name = name
        self._log = get_logger("headoffice.shards")
        self._session: ShardSession | None = None
        self._told_ms = 0
        self._held: set[int] = set()
        self.leads = False
        self.tenure = 0

    @property
    def held(self) -> frozenset[int]:
        """See Shards."""
        return frozenset(self._held)

    def holds(self, shard: int) -> bool:
        """See Shards."""
        if self._session is not None and not self._session.is_quiet():
            try:
                self._session.view()
            except (DatabaseAway, DatabaseProblem) as error:
                self._lost(error)
        return shard in self._held

    def beat(self, now_ms: int, taken: int) -> tuple[int, ...]:
        """See Shards. A session that is gone is opened anew; until then nothing is held."""
        try:
            return self._beat(now_ms, taken)
        except (DatabaseAway, DatabaseProblem) as error:
            self._lost(error)
            return ()

    def let_go(self, shards: tuple[int, ...]) -> None:
        """See Shards."""
        self._held -= set(shards)
        try:
            if self._session is not None:
                self._session.let_go(shards)
        except (DatabaseAway, DatabaseProblem) as error:
            self._lost(error)

    def leave(self) -> bool:
        """See Shards."""
        session, self._session = self._session, None
        self._held.clear()
        self.leads = False
        return session is not None and session.close()

    def _beat(self, now_ms: int, taken: int) -> tuple[int, ...]:
        if self._session is None:
            self._session = ShardSession(self._database.url, self._name, now_ms)
            self.tenure += 1
        session = self._session
        view = session.view()
        wanted = plan(session.number, view)
        self._held |= set(session.take(wanted.take))
        if view.leader is None:
            self.leads = session.lead()
        if now_ms - self._told_ms >= TELL_EVERY_MS:
            self._told_ms = now_ms
            session.tell(now_ms, taken)
        return wanted.let_go

    def _lost(self, error: Exception) -> None:
        self._log.warning("no session with the database: nothing is answered", detail=str(error))
        self.leave()
