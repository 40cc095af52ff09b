"""What the station's sync shells need from the agent (Outbox, Vitals) and what they tell it (Inbox, events).

Only Protocols and frozen events; no behaviour. Implemented by the agent's store and pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sync.group import HeadClaims
from sync.messages import Credit, DeadLetter, RulesRef, StreamPosition, Welcome


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One journal row as it travels: its seq, its canonical bytes and its chain hash (32 raw bytes)."""

    seq: int
    raw: bytes
    hash: bytes


class Outbox(Protocol):
    """The journal of one incarnation, read-only. Called from the link's thread."""

    def heads(self) -> Mapping[str, StreamPosition]:
        """For L, A and T: last seq and hash written, and the highest acked seq whose dead letters are stored."""

    def read(self, stream: str, first_seq: int, max_records: int, max_bytes: int) -> list[OutboxRow]:
        """Rows from ``first_seq`` on without a gap: as many as fit (a comma each), at least one if it exists."""

    def hash_at(self, stream: str, seq: int) -> bytes | None:
        """The chain hash of a seq, hash_0 for 0; None if this journal does not know it any more."""


@dataclass(frozen=True, slots=True)
class HelloFacts:
    """What a hello tells beside the stream heads. ``now_ms``: None while the clock is unknown."""

    time: str
    mono_ms: int
    clock: str
    now_ms: int | None
    rules: RulesRef | None = None
    member_op: int | None = None


class Vitals(Protocol):
    """Clock and counters of the running station."""

    def hello_facts(self) -> HelloFacts:
        """The facts as they are now."""

    def next_connect_n(self) -> int:
        """One more than ever returned in this incarnation; asked before each attempt to connect."""

    def has_document(self, kind: str, digest: bytes, /) -> bool:
        """Whether a document (``rules``, ``keys``) is already stored, so that it is not fetched again."""


class Inbox(Protocol):
    """Where events go. ``deliver`` may block its caller (it is never an MQTT callback)."""

    def deliver(self, event: LinkEvent) -> None:
        """Take one event."""


@dataclass(frozen=True, slots=True)
class Connected:
    """MQTT is up and subscribed. ``protocol`` is ``MQTT 5`` or ``MQTT 3.1.1``."""

    connect_n: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """MQTT is down or could not be reached; ``reason`` is a stable word of ``sync.client``, ``detail`` for people."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class WelcomeSeen:
    """Head office knows us and this incarnation goes on."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class AckAccepted:
    """Persist: ``stream`` is delivered up to ``cum``. May repeat or be lower than persisted; take the maximum.

    ``rejected``: every dead letter since the told ``acked``; store each seq once, in the same transaction, and raise
    ``fc.sync.alert.v1`` for the new ones. ``credit``: how fast this station may send now, for people.
    """

    stream: str
    cum: int
    head_hash: bytes
    rejected: tuple[DeadLetter, ...]
    credit: Credit | None = None


@dataclass(frozen=True, slots=True)
class MembersPage:
    """Member changes in order; apply those above the cache's own op. Follows an earlier page without a gap.

    ``index_versions``: what the keys of their indexes are called; empty where head office does not say.
    """

    from_op: int
    ops: tuple[Mapping[str, Any], ...]
    index_versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MembersFar:
    """So much has changed since the cache's op that buckets weigh less than pages."""


@dataclass(frozen=True, slots=True)
class ManifestArrived:
    """The manifest of the members that the head vouches for (``sync.buckets.Manifest``)."""

    hash: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class BucketArrived:
    """One bucket, packed (``sync.buckets.read``): it holds every change up to ``op``, the last in it is ``changed``."""

    bucket: int
    op: int
    changed: int
    data: bytes
    index_versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentArrived:
    """A document whose bytes have the wanted hash. ``kind``: ``rules`` or ``keys``; ``version`` as the head said."""

    kind: str
    version: int
    hash: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class HeadSeen:
    """A new head: ``head`` if it may be acted on, else the ``refusal`` to audit. ``jws`` is what was signed."""

    head: HeadClaims | None
    refusal: str | None
    jws: str


@dataclass(frozen=True, slots=True)
class Answered:
    """Head office answered one of the station's own requests. ``status``: ok, refused or error; may come twice."""

    req_id: str
    status: str
    reason: str | None
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CommandCame:
    """A command of head office as it arrived; nothing of it was looked at. ``jws``: what is said to be signed."""

    jws: str


@dataclass(frozen=True, slots=True)
class SyncTrouble:
    """Something a person should see; noise is told once per kind and hour. ``evidence``: texts and numbers."""

    kind: str
    evidence: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Stopped:
    """Our incarnation may not send any more: ``fork``, ``reincarnate``, ``behind_mark`` or ``pruned``.

    ``told``: by stream, up to where head office has it, where it shares our hash there; the others are left out.
    """

    reason: str
    told: Mapping[str, int] = field(default_factory=dict, compare=False)


LinkEvent = (
    Connected
    | Disconnected
    | WelcomeSeen
    | AckAccepted
    | MembersPage
    | MembersFar
    | ManifestArrived
    | BucketArrived
    | DocumentArrived
    | HeadSeen
    | Answered
    | CommandCame
    | SyncTrouble
    | Stopped
)
