"""One step under way: its instant, its draft of the memory, its transaction (opened at the first write), what follows.

Everything in ``after`` happens once, in order, and only after the commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from agent.domain.instant import Now
from agent.ids import RandomBits, ulid
from agent.keyring import NO_KEYS, Keyring
from agent.live import LiveBoard
from agent.pipeline.memory import Memory
from agent.settings import Settings
from agent.store.journal import Stamp, Written
from agent.store.store import Store, Tx
from drivers.commands import Command
from sync.messages import Message
from sync.signing import PinnedKeys


class RequestRefused(Exception):
    """A person's wish cannot be followed. ``hint``: what to do; ``exit_code`` for the command line.

    ``keeps``: what the step has written stands, because the attempt itself is on record and counts.
    """

    def __init__(self, message: str, *, hint: str, exit_code: int = 1, keeps: bool = False) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code
        self.keeps = keeps


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where a step's consequences go: commands to lines, the publisher that should look again, the end of this run.

    ``begin_anew``: this incarnation has ended; called after the commit that says so. ``publish``: hands a message to
    the link (``up/result``, the message); one that finds no connection is lost, so whoever needs it asks again.
    """

    send: Callable[[Command], None]
    wake_publisher: Callable[[], None]
    begin_anew: Callable[[], None] = lambda: None
    publish: Callable[[str, Message], None] = lambda _name, _message: None


class Step:
    """The context that every part of the pipeline works in."""

    def __init__(
        self,
        *,
        store: Store,
        settings: Settings,
        memory: Memory,
        live: LiveBoard,
        now: Now,
        stamp: Stamp,
        random: RandomBits,
        pinned: PinnedKeys | None = None,
        keys: Keyring = NO_KEYS,
    ) -> None:
        """``pinned``: head office's public keys, ``None`` where this station has none; ``keys``: what else it holds."""
        self.settings = settings
        self.keys = keys
        self.pinned = pinned
        self.memory = memory
        self.live = live
        self.now = now
        self.stamp = stamp
        self.after: list[Callable[[], None]] = []
        self.commands: list[Command] = []
        self.messages: list[tuple[str, Message]] = []
        self.passed: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self.touched: set[int] = set()  # fuelling points that may look different afterwards
        self._store = store
        self._random = random
        self._tx: Tx | None = None

    @property
    def tx(self) -> Tx:
        """The transaction; opened at the first use, so that a step that writes nothing costs nothing."""
        if self._tx is None:
            self._tx = self._store.start(self.stamp)
        return self._tx

    @property
    def has_written(self) -> bool:
        """Whether a transaction is open."""
        return self._tx is not None

    def begin_after_everything(self) -> int:
        """Lift this step past the newest time ever written here; returns it, in Unix milliseconds.

        What was committed lies before it and what will be committed does not, whatever the clocks do: it parts two
        periods exactly.
        """
        wall_ms = max(self.stamp.wall_ms, self._store.newest_ms + 1)
        self.stamp = replace(self.stamp, wall_ms=wall_ms)
        self.now = Now(wall_ms, self.now.mono_ms)
        self.tx.restamp(self.stamp)
        return wall_ms

    def commit(self) -> bool:
        """Commit if anything was written; returns whether."""
        if self._tx is None:
            return False
        self._store.commit(self._tx)
        self._tx = None
        return True

    def roll_back(self) -> None:
        """Forget what was written."""
        if self._tx is not None:
            self._store.roll_back()
            self._tx = None

    def new_id(self) -> str:
        """Return a fresh ULID of this instant."""
        return ulid(self.stamp.wall_ms, self._random)

    def random_bits(self, count: int) -> int:
        """Return a random number of so many bits."""
        return self._random.getrandbits(count)

    def journal(self, type_name: str, data: dict[str, Any], *, record_id: str | None = None) -> Written:
        """Append one record."""
        return self.tx.journal.append(type_name, data, record_id=record_id)

    def audit(self, who: str, role: str, action: str, subject: str, *, reason: str = "", result: str = "done") -> None:
        """Append an audit record (``fc.audit.v1``)."""
        self.journal(
            "fc.audit.v1",
            {"who": who, "role": role, "action": action, "object": subject, "reason": reason or None, "result": result},
        )

    def send(self, command: Command) -> None:
        """Give a command to its line after the commit."""
        self.commands.append(command)

    def publish(self, name: str, message: Message) -> None:
        """Give a message for head office to the link after the commit; ``name``: its topic, as ``up/result``."""
        self.messages.append((name, message))

    def local(self, wall_ms: int) -> datetime:
        """Return wall time in the station's zone."""
        zone = self.settings.station.tz
        return datetime.fromtimestamp(wall_ms // 1000, zone) + timedelta(milliseconds=wall_ms % 1000)

    def business_day(self, wall_ms: int) -> str:
        """Return the business day of an instant: the local day on which the day in progress started."""
        local = self.local(wall_ms)
        started = local.hour * 60 + local.minute >= self.settings.station.business_day_starts
        return (local.date() if started else local.date() - timedelta(days=1)).isoformat()
