"""One light station: the real delivery turn over an endless row of sales; messages in, messages out, no connection.

Knows the contract. Knows no socket; the time comes in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from headoffice.fleet.journal import FleetJournal
from sync.delivery import ApplyAck, Delivery, Output, PublishHello
from sync.envelope import MAX_BATCH_RECORD_BYTES, EnvelopeError, decode_as, encode, encode_batch, station_source
from sync.messages import STREAMS, Ack, Batch, Hello, Message, StreamPosition, Welcome
from sync.notices import HoState, State
from sync.records import format_time
from sync.topics import HO_STATE, down_filter, station_topic


class Said(NamedTuple):
    """One message to publish, QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Now:
    """One instant on both clocks: monotonic seconds, Unix milliseconds."""

    mono_s: float
    wall_ms: int


class LightStation:
    """A station of the fleet. ``acked_s`` are told to ``on_sale_acked`` and ``on_batch_acked`` in seconds."""

    def __init__(self, name: str, journal: FleetJournal, incarnation: str, rng: Random) -> None:
        self.name = name
        self.journal = journal
        self.subscriptions = (down_filter(name), HO_STATE)
        self._incarnation = incarnation
        self._install_id = incarnation[:12]
        self._connect_n = 0
        self._event_n = 0
        self._acked = 0
        self._sold_s: deque[float] = deque()
        self._sent_s: deque[tuple[int, float]] = deque()
        self.sale_waits_s: list[float] = []
        self.batch_waits_s: list[float] = []
        self.stopped: str | None = None
        applied = dict.fromkeys(STREAMS, 0)
        self._delivery = Delivery(
            install_id=self._install_id, incarnation=incarnation, applied=applied, hash_at=journal.hash_at, rng=rng
        )
        self._delivery.grew("L", journal.last_seq)

    @property
    def acked_sales(self) -> int:
        """How many sales head office has, as it said itself."""
        return self.journal.sale_of(self._acked)

    @property
    def welcomed(self) -> bool:
        """Whether it may send batches."""
        return self._delivery.welcomed

    @property
    def is_done(self) -> bool:
        """Whether everything it wrote is acknowledged."""
        return self._acked == self.journal.last_seq

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to do, monotonic seconds."""
        return self._delivery.next_deadline()

    def will(self, now: Now) -> Said:
        """What the broker says when its connection dies; asked before every attempt."""
        self._connect_n += 1
        return self._state(now, online=False, reason="lost")

    def sell(self, now: Now) -> list[Said]:
        """One more sale."""
        self.journal.sell(now.wall_ms)
        self._sold_s.append(now.mono_s)
        self._delivery.grew("L", self.journal.last_seq)
        return list(self._batches(now))

    def connected(self, now: Now) -> list[Said]:
        """MQTT is up."""
        return [
            self._state(now, online=True, reason="connected"),
            *self._act(now, self._delivery.connected(now.mono_s, self._connect_n)),
        ]

    def disconnected(self) -> None:
        """MQTT is down."""
        self._delivery.disconnected()
        self._sent_s.clear()

    def arrived(self, now: Now, topic: str, payload: bytes) -> list[Said]:
        """A message came. What cannot be read is passed over, as a station does."""
        try:
            outputs = self._taken(now, topic, payload)
        except EnvelopeError:
            return []
        return [*self._act(now, outputs), *self._batches(now)]

    def tick(self, now: Now) -> list[Said]:
        """Let timeouts fire."""
        return [*self._act(now, self._delivery.tick(now.mono_s)), *self._batches(now)]

    def _taken(self, now: Now, topic: str, payload: bytes) -> list[Output]:
        if topic == HO_STATE:
            return self._delivery.ho_state(now.mono_s, decode_as(payload, HoState)[1].online)
        if topic.endswith("down/welcome"):
            return self._delivery.welcome(now.mono_s, decode_as(payload, Welcome)[1])
        if topic.endswith("down/ack"):
            return self._delivery.ack(now.mono_s, decode_as(payload, Ack)[1])
        return []

    def _act(self, now: Now, outputs: Iterable[Output]) -> list[Said]:
        said: list[Said] = []
        for output in outputs:
            if isinstance(output, PublishHello):
                said.append(self._said(now, "up/hello", self._hello(now, output.connect_n)))
            elif isinstance(output, ApplyAck):
                self._applied(now, output.cum)
                said += self._act(now, self._delivery.persisted(now.mono_s, output.stream, output.cum))
        self.stopped = self._delivery.stopped
        return said

    def _applied(self, now: Now, cum: int) -> None:
        for _ in range(self.journal.sale_of(cum) - self.acked_sales):
            self.sale_waits_s.append(now.mono_s - self._sold_s.popleft())
        while self._sent_s and self._sent_s[0][0] <= cum:
            self.batch_waits_s.append(now.mono_s - self._sent_s.popleft()[1])
        self._acked = max(self._acked, cum)

    def _batches(self, now: Now) -> Iterable[Said]:
        while (offer := self._delivery.next_batch(now.mono_s)) is not None:
            records: list[bytes] = []
            size = 0
            for seq in range(offer.first_seq, offer.last_seq + 1):
                raw = self.journal.record(seq)
                size += len(raw) + 1
                if records and size > MAX_BATCH_RECORD_BYTES:
                    break
                records.append(raw)
            last_seq = offer.first_seq + len(records) - 1
            batch = Batch(
                install_id=self._install_id,
                incarnation=self._incarnation,
                stream=offer.stream,
                first_seq=offer.first_seq,
                prev_hash=self.journal.hash_at("L", offer.first_seq - 1),
                records=tuple(records),
                last_hash=self.journal.hash_at("L", last_seq),
            )
            payload = encode_batch(batch, source=station_source(self.name), time=format_time(now.wall_ms))
            self._delivery.sent(now.mono_s, offer.stream, offer.first_seq, last_seq)
            self._sent_s.append((last_seq, now.mono_s))
            yield Said(station_topic(self.name, "up/l"), payload)

    def _hello(self, now: Now, connect_n: int) -> Hello:
        zero = {stream: self.journal.hash_at(stream, 0) or b"" for stream in STREAMS}
        streams = {stream: StreamPosition(0, zero[stream], 0) for stream in STREAMS}
        last = self.journal.last_seq
        streams["L"] = StreamPosition(last, self.journal.hash_at("L", last) or b"", self._acked)
        return Hello(
            incarnation=self._incarnation,
            install_id=self._install_id,
            software="fleet",
            connect_n=connect_n,
            boot="fleet",
            mono_ms=int(now.mono_s * 1000),
            time=format_time(now.wall_ms),
            clock="ntp",
            streams=streams,
        )

    def _state(self, now: Now, *, online: bool, reason: str) -> Said:
        state = State(
            online=online,
            reason=reason,
            install_id=self._install_id,
            incarnation=self._incarnation,
            connect_n=self._connect_n,
            time=format_time(now.wall_ms),
        )
        return self._said(now, "up/state", state, retain=True)

    def _said(self, now: Now, name: str, message: Message, *, retain: bool = False) -> Said:
        self._event_n += 1
        event_id = f"{self._incarnation}:{self._event_n}"
        payload = encode(message, source=station_source(self.name), event_id=event_id, time=format_time(now.wall_ms))
        return Said(station_topic(self.name, name), payload, retain)
