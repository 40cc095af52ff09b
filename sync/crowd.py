"""Many MQTT connections on one thread, for those who play a whole fleet; a station has its one in ``client``.

Callbacks only note what happened. Knows MQTT 3.1.1 over plain TCP and no back-off; does not know a single message.
"""

from __future__ import annotations

import selectors
import socket
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from sync.client import QOS, Will

KEEPALIVE_S = 60
CONNECT_TIMEOUT_S = 10.0
MAX_CONNECTING = 64
"""Handshakes at once: above it a broker's queue of new connections overflows, and one of ours would wait a second."""

CARE_EVERY_S = 5.0
MAX_PACKETS = 512


@dataclass(frozen=True, slots=True)
class CrowdUp:
    """A member is connected and subscribed."""

    member: int


@dataclass(frozen=True, slots=True)
class CrowdDown:
    """A member's connection is gone, or its attempt failed."""

    member: int
    reason: str


@dataclass(frozen=True, slots=True)
class CrowdMessage:
    """A message for a member."""

    member: int
    topic: str
    payload: bytes


CrowdEvent = CrowdUp | CrowdDown | CrowdMessage


@dataclass(slots=True)
class _Seat:
    client: paho.Client
    sock: socket.socket
    begun_s: float
    is_up: bool = False
    mask: int = field(default=selectors.EVENT_READ)


class Crowd:
    """Connections by number. All methods are called from one thread; times are monotonic seconds."""

    def __init__(self, host: str, port: int) -> None:
        """Nothing is opened yet."""
        self._address = (host, port)
        self._selector = selectors.DefaultSelector()
        self._seats: dict[int, _Seat] = {}
        self._connecting = 0
        self._events: list[CrowdEvent] = []
        self._cared_s = 0.0

    @property
    def has_room(self) -> bool:
        """Whether another member may connect now."""
        return self._connecting < MAX_CONNECTING

    def connect(self, member: int, now_s: float, client_id: str, filters: tuple[str, ...], will: Will) -> None:
        """Begin a new, clean session; ``CrowdUp`` or ``CrowdDown`` follows."""
        assert member not in self._seats, "one connection per member"
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv311,
            clean_session=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.will_set(will.topic, will.payload, qos=QOS, retain=True)
        self._wire(client, member, filters)
        try:
            client.connect(*self._address, keepalive=KEEPALIVE_S)
        except OSError as error:
            self._events.append(CrowdDown(member, error.strerror or type(error).__name__))
            return
        sock = client.socket()
        if not isinstance(sock, socket.socket):
            self._events.append(CrowdDown(member, "closed"))
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, member)
        self._seats[member] = _Seat(client, sock, now_s)
        self._connecting += 1

    def publish(self, member: int, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Say something with QoS 1; without a connection it is lost."""
        seat = self._seats.get(member)
        if seat is not None and seat.is_up:
            seat.client.publish(topic, payload, qos=QOS, retain=retain)
            self._watch(member, seat)

    def drop(self, member: int) -> None:
        """Cut a connection without a word, as a cable does; the broker publishes the last will."""
        seat = self._seats.pop(member, None)
        if seat is None:
            return
        self._connecting -= not seat.is_up
        self._selector.unregister(seat.sock)
        seat.sock.close()

    def close(self) -> None:
        """Leave politely, everybody."""
        for member in list(self._seats):
            self._seats[member].client.disconnect()
            self.drop(member)
        self._selector.close()

    def poll(self, now_s: float, timeout_s: float) -> list[CrowdEvent]:
        """Wait at most ``timeout_s`` for something, and return what happened."""
        for key, mask in self._selector.select(0 if self._events else timeout_s):
            seat = self._seats.get(key.data)
            if seat is not None:
                self._serve(key.data, seat, mask)
        if now_s - self._cared_s >= CARE_EVERY_S:
            self._cared_s = now_s
            self._care(now_s)
        events, self._events = self._events, []
        return events

    def _serve(self, member: int, seat: _Seat, mask: int) -> None:
        code = MQTTErrorCode.MQTT_ERR_SUCCESS
        if mask & selectors.EVENT_READ:
            code = seat.client.loop_read(MAX_PACKETS)
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and mask & selectors.EVENT_WRITE:
            code = seat.client.loop_write()
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._watch(member, seat)
        else:
            self._gone(member, "closed")

    def _care(self, now_s: float) -> None:
        """Pings, and attempts that nobody answered."""
        for member, seat in list(self._seats.items()):
            if seat.client.loop_misc() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._gone(member, "closed")
            elif not seat.is_up and now_s - seat.begun_s >= CONNECT_TIMEOUT_S:
                self._gone(member, "timeout")
            else:
                self._watch(member, seat)

    def _gone(self, member: int, reason: str) -> None:
        self.drop(member)
        self._events.append(CrowdDown(member, reason))

    def _watch(self, member: int, seat: _Seat) -> None:
        """Ask for writability only while something waits to be written; a write may have found the connection dead."""
        if seat.client.socket() is None:
            self._gone(member, "closed")
            return
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if seat.client.want_write() else 0)
        if mask != seat.mask:
            seat.mask = mask
            self._selector.modify(seat.sock, mask, member)

    def _wire(self, client: paho.Client, member: int, filters: tuple[str, ...]) -> None:
        def on_connect(client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            if not reason.is_failure:
                client.subscribe([(topic, QOS) for topic in filters])

        def on_subscribe(_client: paho.Client, _data: Any, _mid: int, _reasons: Any, _properties: Any) -> None:
            self._seats[member].is_up = True
            self._connecting -= 1
            self._events.append(CrowdUp(member))

        def on_message(_client: paho.Client, _data: Any, message: Any) -> None:
            self._events.append(CrowdMessage(member, message.topic, bytes(message.payload)))

        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_message = on_message
