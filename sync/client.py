"""A station's and a worker's connection by paho: one at a time, rebuilt from scratch whenever it is in doubt.

Callbacks only enqueue. Knows protocols, TLS and back-off; does not know a single message of the contract.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sync import tls
from sync.backoff import connect_delay_s
from sync.connection import (
    Arrived,
    ClientEvent,
    ClientOptions,
    Kick,
    LinkChange,
    LinkDown,
    LinkUp,
    PublishSettled,
    Subscribed,
    Unsubscribed,
    Will,
    no_will,
)

__all__ = [
    "Arrived",
    "ClientEvent",
    "ClientOptions",
    "Kick",
    "LinkChange",
    "LinkDown",
    "LinkUp",
    "MqttClient",
    "PublishSettled",
    "Subscribed",
    "Unsubscribed",
    "Will",
    "no_will",
]

QOS = 1
MAX_MQTT_IN_FLIGHT = 20  # messages handed to the broker at once; far above three streams of four batches
MAX_MQTT_QUEUED = 64  # beyond it `publish` says no: the journal is the queue, not RAM
MAX_ENQUEUE_WAIT_S = 5.0  # a full event queue slows the network loop this long, then a message is dropped and counted
ENQUEUE_SLICE_S = 0.1  # so that closing is noticed while waiting
STABLE_AFTER_S = 30.0  # a connection that lived this long starts the next back-off from the beginning
MAX_TAKEOVERS = 2  # W-33: so many takeovers ...
TAKEOVER_WITHIN_S = 60.0  # ... within this time ...
TAKEOVER_PAUSE_S = 60.0  # ... are answered by staying away this long
LOOP_STOP_WAIT_S = 1.0  # the loop ends as soon as its socket is gone; a hung one is a daemon thread and left behind
MESSAGE_EXPIRY_S = 300  # everything of the contract is said again by then; retained messages never expire
MAX_MQTT_PACKET = 1_200_000  # a whole document of 512 KiB in an answer, with room; more is not sent to us
_SESSION_TAKEN_OVER = 142
_REFUSED_FROM = 128
_BROKER_WORDS = {135: "not_authorised", 149: "packet_too_large", 151: "quota_exceeded"}
"""What MQTT 5 brokers say when they end a connection and a person can do something about it."""


@dataclass(slots=True)
class _Answers:
    """What the callbacks of one connection noticed; simple assignments, read by ``poll``."""

    connack: str | None = None  # "" = accepted, else the reason
    connack_unsupported: bool = False
    suback_refused: bool | None = None
    down: str | None = None
    detail: str = ""
    receive_maximum: int = MAX_MQTT_IN_FLIGHT


class MqttClient:
    """Keeps one connection alive for its owner, who calls ``poll`` after every event and at ``next_poll``.

    MQTT 5 is tried first at every connect; a broker that refuses it, or just closes, is asked again with MQTT 3.1.1 at
    once. Everything is called from one thread.
    """

    def __init__(self, options: ClientOptions, events: queue.Queue[ClientEvent], rng: Random) -> None:
        """Nothing is opened until the first ``poll``."""
        self._options = options
        self._events = events
        self._rng = rng
        self._paho: paho.Client | None = None
        self._thread: threading.Thread | None = None
        self._answers = _Answers()
        self._closing = threading.Event()
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._stage = "down"  # down -> connecting -> subscribing -> up
        self._stage_deadline: float | None = None
        self._attempts = 0
        self._next_attempt: float | None = None
        self._up_since: float | None = None
        self._takeovers: list[float] = []
        self._in_flight = MAX_MQTT_IN_FLIGHT
        self._changes: list[LinkChange] = []
        self._filters = list(options.subscriptions)
        self.generation = 0
        self.dropped = 0
        self.broker_ends_ms: int | None = None
        """When the certificate of the broker ends, as it was last seen; UTC, ms."""

    @property
    def connected(self) -> bool:
        """Whether a publish may be tried."""
        return self._stage == "up"

    def next_poll(self) -> float | None:
        """When ``poll`` has something to do even without an event, on the clock of ``now``."""
        if self._closing.is_set():
            return None
        return self._next_attempt if self._stage == "down" else self._stage_deadline

    def poll(self, now: float) -> list[LinkChange]:
        """Connect, subscribe, notice a death, whatever is due; tells what changed since the last call.

        ``now``: monotonic seconds. May block for ``connect_timeout_s`` while connecting.
        """
        if self._closing.is_set():
            return []
        if self._stage != "down":
            self._watch(now)
        elif self._next_attempt is None or now >= self._next_attempt:
            self._attempt(now)
        changes, self._changes = self._changes, []
        return changes

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        """Hand a message to the broker with QoS 1; its id, or None if there is no connection or no room. Never queues
        for a later connection.
        """
        if self._stage != "up" or self._paho is None:
            return None
        info = self._paho.publish(topic, payload, qos=QOS, retain=retain, properties=self._expiry(retain))
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def subscribe(self, filters: Sequence[str]) -> int | None:
        """Listen to more from now on, after reconnects too; the id of the ``Subscribed`` to come, None if down."""
        self._filters += [topic for topic in filters if topic not in self._filters]
        if not filters or self._stage != "up" or self._paho is None:
            return None
        return self._paho.subscribe([(topic, QOS) for topic in filters])[1]

    def unsubscribe(self, filters: Sequence[str]) -> int | None:
        """Listen to less from now on; the id of the ``Unsubscribed`` to come, None if there is no connection."""
        self._filters = [topic for topic in self._filters if topic not in filters]
        if not filters or self._stage != "up" or self._paho is None:
            return None
        return self._paho.unsubscribe(list(filters))[1]

    def drop(self, now: float, reason: str) -> None:
        """Give the connection up, as if it had died; the next ``poll`` connects again after the back-off."""
        if self._stage != "down":
            self._fail(now, reason)

    def close(self, farewell: Will | None = None, timeout_s: float = 2.0) -> None:
        """Say a last retained word if connected (the broker then keeps the will to itself) and leave for good."""
        if self._closing.is_set():
            return
        if farewell is not None and self._stage == "up" and self._paho is not None:
            info = self._paho.publish(farewell.topic, farewell.payload, qos=QOS, retain=True)
            if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                info.wait_for_publish(timeout_s)
        self._closing.set()
        self._tear_down(politely=True)

    # --- one attempt --------------------------------------------------------------------------------------------

    def _attempt(self, now: float) -> None:
        self.generation += 1
        self._answers = answers = _Answers()
        try:
            client = self._build(answers)
            before = set(threading.enumerate())
            client.connect(
                self._options.host,
                self._options.port,
                keepalive=self._options.keepalive_s,
                clean_start=paho.MQTT_CLEAN_START_FIRST_ONLY,
                properties=self._limits(),
            )
        except OSError as error:
            self._takeovers.clear()
            self._fail(now, *_reason_of(error, over_tls=self._options.tls is not None))
            return
        self._paho = client
        client.loop_start()
        self._thread = next(
            (one for one in threading.enumerate() if one not in before and _is_loop(one, self._options.client_id)), None
        )
        self._stage = "connecting"
        self._stage_deadline = now + self._options.connect_timeout_s

    def _build(self, answers: _Answers) -> paho.Client:
        options = self._options
        five = self._protocol == MQTTProtocolVersion.MQTTv5
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            protocol=self._protocol,
            clean_session=None if five else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = options.connect_timeout_s
        client.max_inflight_messages = self._in_flight
        client.max_queued_messages = MAX_MQTT_QUEUED
        if options.username is not None:
            client.username_pw_set(options.username, _password(options.password_file))
        if options.tls is not None:
            client.tls_set_context(tls.context(options.tls))
        will = options.will()
        if will is not None:
            client.will_set(will.topic, will.payload, qos=QOS, retain=True)
        self._wire(client, answers, self.generation)
        return client

    def _wire(self, client: paho.Client, answers: _Answers, generation: int) -> None:
        def on_socket_open(_client: paho.Client, _data: Any, sock: Any) -> None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._handshaken(sock)

        def on_connect(_client: paho.Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
            answers.receive_maximum = getattr(properties, "ReceiveMaximum", MAX_MQTT_IN_FLIGHT)
            answers.connack = "" if not reason.is_failure else str(reason)
            answers.connack_unsupported = reason.is_failure and str(reason) == "Unsupported protocol version"
            self._offer(Kick(generation))

        def on_subscribe(_client: paho.Client, _data: Any, mid: int, reasons: Any, _properties: Any) -> None:
            refused = any(reason.is_failure for reason in reasons)
            if answers.suback_refused is None:  # the first one answers what was asked for while connecting
                answers.suback_refused = refused
                self._offer(Kick(generation))
            else:
                self._put(Subscribed(generation, mid, refused))

        def on_unsubscribe(_client: paho.Client, _data: Any, mid: int, _reasons: Any, _properties: Any) -> None:
            self._put(Unsubscribed(generation, mid))

        def on_disconnect(_client: paho.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
            if answers.down is None:  # the broker's own word comes first, the closed socket after it
                taken = reason.value == _SESSION_TAKEN_OVER
                answers.detail = str(reason) if flags.is_disconnect_packet_from_server else ""
                answers.down = "session_taken_over" if taken else _BROKER_WORDS.get(reason.value, "closed")
            self._offer(Kick(generation))

        def on_publish(_client: paho.Client, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
            refused = str(reason) if reason.value >= _REFUSED_FROM else None
            self._offer(PublishSettled(generation, mid, refused))

        def on_message(_client: paho.Client, _data: Any, message: Any) -> None:
            self._put(Arrived(generation, message.topic, bytes(message.payload), bool(message.retain)))

        client.on_socket_open = on_socket_open
        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_unsubscribe = on_unsubscribe
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish
        client.on_message = on_message

    def _handshaken(self, sock: Any) -> None:
        """Before a byte of MQTT leaves. Raises ssl.SSLCertVerificationError."""
        if self._options.tls is None:
            return
        try:
            tls.judge_dates(self._options.tls, sock)
        except OSError:
            sock.close()
            raise
        self.broker_ends_ms = tls.peer_ends_ms(sock)

    def _limits(self) -> Properties | None:
        """What MQTT 5 lets us say of ourselves: so much at once, and nothing larger."""
        if self._protocol != MQTTProtocolVersion.MQTTv5:
            return None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = MAX_MQTT_IN_FLIGHT
        properties.MaximumPacketSize = MAX_MQTT_PACKET
        return properties

    def _expiry(self, retain: bool) -> Properties | None:
        if retain or self._protocol != MQTTProtocolVersion.MQTTv5:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = MESSAGE_EXPIRY_S
        return properties

    def _offer(self, event: ClientEvent) -> None:
        """Without waiting: some callbacks hold a lock that ``publish`` needs. A lost one costs a poll interval."""
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self.dropped += 1

    def _put(self, event: ClientEvent) -> None:
        for _ in range(int(MAX_ENQUEUE_WAIT_S / ENQUEUE_SLICE_S)):
            if self._closing.is_set() or event.generation != self.generation:
                return
            try:
                self._events.put(event, timeout=ENQUEUE_SLICE_S)
            except queue.Full:
                continue
            return
        self.dropped += 1

    # --- watching ----------------------------------------------------------------------------------------------

    def _watch(self, now: float) -> None:
        answers = self._answers
        if answers.connack:
            self._refused(now, answers)
        elif answers.down is not None:
            self._closed(now, answers.down, answers.detail)
        elif self._thread is None or not self._thread.is_alive():
            self._closed(now, "loop_died")
        elif self._stage == "connecting" and answers.connack == "":
            self._accepted(now, answers.receive_maximum)
        elif self._stage == "subscribing" and answers.suback_refused is not None:
            self._subscribed(now, answers.suback_refused)
        elif self._stage_deadline is not None and now >= self._stage_deadline:
            self._closed(now, "timeout")

    def _refused(self, now: float, answers: _Answers) -> None:
        if answers.connack_unsupported and self._older(now):
            return
        word = "not_authorised" if "uthor" in str(answers.connack) or "password" in str(answers.connack) else "refused"
        self._fail(now, word, str(answers.connack))

    def _closed(self, now: float, reason: str, detail: str = "") -> None:
        if self._stage == "connecting" and self._answers.connack is None:
            if self._older(now):
                return
            options = self._options
            why = tls.why_refused(options.host, options.port, options.tls, options.connect_timeout_s)
            reason, detail = why or (reason, detail)
        self._fail(now, reason, detail, at_least_s=self._gives_way_s(now, reason))

    def _gives_way_s(self, now: float, reason: str) -> float:
        """How long to stay away for another client of our name, who must have its turn as well.

        Only MQTT 5 has a word for a takeover, and mosquitto up to 2.0.11 just shuts the connection all the same. So a
        working one that is shut counts too, unless the broker turns out to be gone; but a guess costs no more than the
        longest pause anyway.
        """
        is_named = reason == "session_taken_over"
        if not is_named and not (reason == "closed" and self._stage == "up"):
            return 0.0
        self._takeovers = [moment for moment in self._takeovers if now < moment + TAKEOVER_WITHIN_S] + [now]
        if len(self._takeovers) < MAX_TAKEOVERS:
            return 0.0
        return TAKEOVER_PAUSE_S if is_named else min(TAKEOVER_PAUSE_S, self._options.backoff_cap_s)

    def _older(self, now: float) -> bool:
        """Ask again with MQTT 3.1.1 at once, unless that was it."""
        if self._protocol != MQTTProtocolVersion.MQTTv5:
            return False
        self._tear_down()
        self._protocol = MQTTProtocolVersion.MQTTv311
        self._attempt(now)
        return True

    def _accepted(self, now: float, receive_maximum: int) -> None:
        """Go on, or connect once more with a smaller window: a broker ends a connection that hands it too much."""
        if receive_maximum >= self._in_flight:
            self._subscribe(now)
            return
        self._in_flight = receive_maximum
        self._tear_down(politely=True)
        self._attempt(now)

    def _subscribe(self, now: float) -> None:
        assert self._paho is not None, "connected without a client"
        if not self._filters:
            self._answers.suback_refused = False
            self._up(now)
            return
        self._stage = "subscribing"
        rc, _ = self._paho.subscribe([(topic, QOS) for topic in self._filters])
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._fail(now, "closed")

    def _subscribed(self, now: float, refused: bool) -> None:
        if refused:
            self._fail(now, "subscribe_refused", "the broker's access list forbids a subscription")
        else:
            self._up(now)

    def _up(self, now: float) -> None:
        self._stage = "up"
        self._stage_deadline = None
        self._up_since = now
        name = "MQTT 5" if self._protocol == MQTTProtocolVersion.MQTTv5 else "MQTT 3.1.1"
        self._changes.append(LinkUp(self.generation, name))

    def _fail(self, now: float, reason: str, detail: str = "", *, at_least_s: float = 0.0) -> None:
        if self._up_since is not None and now >= self._up_since + STABLE_AFTER_S:
            self._attempts = 0
        self._up_since = None
        self._tear_down()
        self._protocol = MQTTProtocolVersion.MQTTv5
        delay = connect_delay_s(
            self._attempts, self._options.backoff_low_s, self._options.backoff_cap_s, self._rng.random()
        )
        self._attempts += 1
        self._next_attempt = now + max(delay, at_least_s)
        self._changes.append(LinkDown(self.generation, reason, detail))

    def _tear_down(self, *, politely: bool = False) -> None:
        """Without a DISCONNECT unless ``politely``: a connection given up in doubt must leave its will behind.

        paho's own stop waits for its queues, which a half-open connection never empties; so the socket is shut down.
        """
        client, self._paho = self._paho, None
        thread, self._thread = self._thread, None
        self._stage = "down"
        self._stage_deadline = None
        if client is None:
            return
        self.generation += 1  # whatever its loop still says is no longer listened to
        if politely:
            client.disconnect()
            _join(thread)
        sock = client.socket()
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        _join(thread)


def _is_loop(thread: threading.Thread, client_id: str) -> bool:
    return thread.name == f"paho-mqtt-client-{client_id}"


def _join(thread: threading.Thread | None) -> None:
    if thread is not None:
        thread.join(LOOP_STOP_WAIT_S)


def _password(file: Path | None) -> str | None:
    return None if file is None else file.read_text(encoding="utf-8").rstrip()


def _reason_of(error: OSError, *, over_tls: bool) -> tuple[str, str]:
    """(stable word, text for a person) of a failed attempt."""
    if isinstance(error, tls.FilesUnusable):
        return "credentials", str(error)
    if isinstance(error, ssl.SSLError):
        return tls.word_of(error)
    if over_tls and isinstance(error, ConnectionResetError | BrokenPipeError):
        return tls.PLAIN_PORT, "the other side hung up on the handshake: no TLS at this port?"
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return "credentials", f"{error.filename}: {error.strerror}"
    if isinstance(error, socket.gaierror):
        return "host_unknown", str(error)
    if isinstance(error, TimeoutError):
        return "timeout", str(error)
    return ("refused" if isinstance(error, ConnectionRefusedError) else "network"), str(error)
