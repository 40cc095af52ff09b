"""What the owner of an MQTT connection says to it and hears from it. Only frozen records; knows no library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sync.tls import TlsOptions


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when this connection dies without a word."""

    topic: str
    payload: bytes


def no_will() -> Will | None:
    """For a client that leaves nothing behind."""
    return None


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """One end of a connection. ``will`` is asked before every attempt; ``subscriptions`` are topic filters, QoS 1.

    ``password_file``: read at every attempt, trailing white space removed. Times in seconds.
    """

    client_id: str
    host: str
    port: int
    subscriptions: tuple[str, ...] = ()
    will: Callable[[], Will | None] = no_will
    username: str | None = None
    password_file: Path | None = None
    tls: TlsOptions | None = None
    keepalive_s: int = 30
    connect_timeout_s: float = 10.0
    backoff_low_s: float = 1.0
    backoff_cap_s: float = 300.0


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Connected and every subscription granted. ``protocol`` is ``MQTT 5`` or ``MQTT 3.1.1``."""

    generation: int
    protocol: str


@dataclass(frozen=True, slots=True)
class LinkDown:
    """Not connected any more, or an attempt failed. Stable words: ``refused``, ``closed``, ``timeout``, ``network``,
    ``host_unknown``, ``not_authorised``, ``subscribe_refused``, ``session_taken_over``, ``loop_died``, ``credentials``,
    ``packet_too_large``, ``quota_exceeded``, and the words of ``sync.tls``, which all begin with ``tls``.
    """

    generation: int
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message came in."""

    generation: int
    topic: str
    payload: bytes
    retain: bool


@dataclass(frozen=True, slots=True)
class PublishSettled:
    """The broker answered a publish; ``refused`` names the MQTT 5 reason. Proves nothing about head office."""

    generation: int
    mid: int
    refused: str | None


@dataclass(frozen=True, slots=True)
class Kick:
    """Nothing but a reason to call ``poll``."""

    generation: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker answered a ``subscribe`` of its owner; messages follow if it was not ``refused``."""

    generation: int
    mid: int
    refused: bool


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """Nothing comes any more for an ``unsubscribe``: what came before it was told before it."""

    generation: int
    mid: int


ClientEvent = Arrived | PublishSettled | Subscribed | Unsubscribed | Kick
LinkChange = LinkUp | LinkDown
