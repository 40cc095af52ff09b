"""The one bounded queue in which all threads meet: readings coalesce, money and people block their producer.

Knows nothing of what the items mean.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from agent.domain.fraud import Finding
from agent.domain.instant import Now
from agent.domain.redaction import redact
from drivers.readings import Reading

CAPACITY = 1_024
"""Far more than one poll round of a large station; past it producers wait, so memory stays bounded."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FromLine:
    """A reading of a line, stamped when it arrived."""

    line: str
    reading: Reading
    at: Now


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed: ``kind`` is "second" or "minute"."""

    kind: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks: a name from peer credentials and a role (attendant, supervisor, technician)."""

    name: str
    role: str


class Reply:
    """Where the answer to a question goes; the asker waits on it."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._value: dict[str, Any] = {}

    def give(self, value: dict[str, Any]) -> None:
        """Answer once; the first answer stands."""
        if not self._ready.is_set():
            self._value = value
            self._ready.set()

    def wait(self, timeout_s: float) -> dict[str, Any] | None:
        """Return the answer, ``None`` if there was none in time."""
        return self._value if self._ready.wait(timeout_s) else None


def refusal(message: str, hint: str, exit_code: int = 1) -> dict[str, Any]:
    """Return the answer that says no; what it repeats of the question is masked."""
    return {"ok": False, "error": redact(message), "hint": redact(hint), "exit": exit_code}


def success(data: Any) -> dict[str, Any]:
    """Return the answer that carries ``data``."""
    return {"ok": True, "data": data}


@dataclass(frozen=True, slots=True)
class Asked:
    """A person asks for an action; the answer is given after the commit. A PIN may be among the arguments.

    ``said``: head office was asked first, and what it said where it gave nothing; ``None``: it was not.
    """

    op: str
    args: dict[str, Any] = field(repr=False)
    person: Person
    reply: Reply = field(default_factory=Reply, compare=False)
    said: str | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """A handheld asks through the station's web server; the answer, {status, body}, is given after the commit.

    ``device`` with ``proof``: as whom it was recognised, ``None`` for one that is only being paired. ``count``: of a
    signed request, noted with what it does.
    """

    op: str
    args: dict[str, Any] = field(repr=False)
    device: str | None = None
    proof: bytes = field(default=b"", repr=False)
    count: int | None = None
    reply: Reply = field(default_factory=Reply, compare=False)


@dataclass(frozen=True, slots=True)
class FromHeadOffice:
    """An event of the station link (``sync.ports``)."""

    event: Any


@dataclass(frozen=True, slots=True)
class FromStorage:
    """A watcher of the disk or the database tells: an alert stands or is over; ``facts`` are kept with the database."""

    alert: str
    standing: bool
    detail: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlertFound:
    """A thread of the station itself says whether an alert stands; said again it changes nothing."""

    subject: str
    alert: str
    standing: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Audited:
    """A thread did what a person asked it for: ``result`` "done" or "failed"; kept in the journal."""

    person: Person
    action: str
    subject: str
    result: str


@dataclass(frozen=True, slots=True)
class FraudLooked:
    """Many links were looked over: what was found, and ``facts`` that are kept with the database."""

    findings: tuple[Finding, ...]
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AuditDue:
    """A night has come in which the member cache is to be compared with head office's manifest."""

    night: str


@dataclass(frozen=True, slots=True)
class MembersCompared:
    """The member cache was compared with the manifest ``hash``.

    ``differing``: the buckets to be fetched, each as of this op or later, and what it must come to at exactly that one;
    ``compared``: how many could be compared, the others had just been changed at one end.
    """

    hash: str
    differing: Mapping[int, tuple[int, bytes]]
    compared: int


Item = (
    FraudLooked
    | FromLine
    | Ticked
    | Asked
    | Posted
    | FromHeadOffice
    | FromStorage
    | AlertFound
    | Audited
    | AuditDue
    | MembersCompared
)


class Inbox(Generic[T]):
    """A bounded first-in-first-out queue in which the newest of several equal-keyed items takes the oldest's place."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._items: deque[tuple[Hashable | None, T | None]] = deque()
        self._latest: dict[Hashable, T] = {}
        self._condition = threading.Condition()
        self._closed = False

    def put(self, item: T, *, timeout_s: float | None = None) -> bool:
        """Append ``item``, waiting while the queue is full, no longer than ``timeout_s``. Returns whether it was taken.

        It never is once the inbox is closed.
        """
        with self._condition:
            room = self._condition.wait_for(lambda: self._closed or len(self._items) < self._capacity, timeout_s)
            if self._closed or not room:
                return False
            self._items.append((None, item))
            self._condition.notify_all()
            return True

    def put_latest(self, key: Hashable, item: T) -> bool:
        """Put ``item`` in the place of a waiting one with the same key, else append it (waiting while full)."""
        with self._condition:
            if key in self._latest:
                self._latest[key] = item
                return True
            self._condition.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                return False
            self._latest[key] = item
            self._items.append((key, None))
            self._condition.notify_all()
            return True

    def get(self, timeout_s: float) -> T | None:
        """Return the oldest item, ``None`` after ``timeout_s`` without one or when closed and empty."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or bool(self._items), timeout_s)
            if not self._items:
                return None
            key, item = self._items.popleft()
            if key is not None:
                item = self._latest.pop(key)
            self._condition.notify_all()
            return item

    def close(self) -> None:
        """Refuse new items and wake everybody; what waits can still be taken."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def __len__(self) -> int:
        with self._condition:
            return len(self._items)
