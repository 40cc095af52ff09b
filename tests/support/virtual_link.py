"""The link of a virtual station: real delivery, envelopes and head office over a broker that may lose and reorder.

The shell does what ``sync.publisher`` does with MQTT, on a virtual clock and in one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol

from agent.clock import Clock
from agent.failpoints import failpoint
from agent.store.delivery import JournalOutbox
from agent.store.store import Store
from agent.uplink import StationVitals
from headoffice import commands
from headoffice.hello import answer_hello
from headoffice.ingest import ingest
from headoffice.keys import Keys
from headoffice.store import commands as store_of_commands
from headoffice.store.database import Database
from sync import ports, topics
from sync.delivery import ApplyAck, AuditBadAck, Delivery, Output, PublishHello, RaiseSyncAlert, StopIncarnation
from sync.envelope import (
    HEAD_OFFICE_SOURCE,
    MAX_BATCH_RECORD_BYTES,
    MAX_BATCH_RECORDS,
    decode_as,
    encode,
    encode_batch,
    station_source,
)
from sync.messages import STREAMS, Ack, Batch, Hello, Message, Welcome
from sync.notices import Command
from sync.records import format_time
from sync.signing import sign
from sync.unpersisted import Unpersisted
from tests.support.head_office_says import SIGNING_KEY

INSTALL = "00112233445566778899aabbccddeeff"
MAX_SENDS_PER_STEP = 12
RECONNECT_S = 5.0
DAY_MS = 86_400_000
LONGEST_DELAY_S = 20.0


@dataclass(frozen=True, slots=True)
class Packet:
    """One message on its way; ``up``: from the station."""

    due_s: float
    up: bool
    name: str
    payload: bytes


class Pipe(Protocol):
    """What a link needs of its broker: whether it may be connected, and somebody who takes its messages."""

    @property
    def up(self) -> bool:
        """Whether this client may be connected now."""
        ...

    def carry(self, now_s: float, name: str, payload: bytes, *, up: bool) -> None:
        """Take one message."""
        ...


@dataclass
class Broker:
    """What happens to messages. Shares are per mille of all messages; ``up`` False: nobody can connect."""

    rng: Random
    up: bool = True
    lose: int = 0
    duplicate: int = 0
    delay: int = 0
    waiting: list[Packet] = field(default_factory=list)
    carried: int = 0
    lost: int = 0

    def carry(self, now_s: float, name: str, payload: bytes, *, up: bool) -> None:
        """Take one message."""
        self.carried += 1
        copies = 2 if self.rng.randrange(1_000) < self.duplicate else 1
        for _ in range(copies):
            if self.rng.randrange(1_000) < self.lose:
                self.lost += 1
                continue
            late_s = self.rng.uniform(0.5, LONGEST_DELAY_S) if self.rng.randrange(1_000) < self.delay else 0.05
            self.waiting.append(Packet(now_s + late_s, up, name, payload))

    def due(self, now_s: float) -> list[Packet]:
        """Take what arrives now."""
        due = sorted((p for p in self.waiting if p.due_s <= now_s), key=lambda p: p.due_s)
        self.waiting = [p for p in self.waiting if p.due_s > now_s]
        return due


class HeadOffice:
    """The real ingest on a real database, by path or URL; answers what the broker brings."""

    def __init__(self, path: str | Path, station: str) -> None:
        self.database = Database(path, migrate=True)
        self._station = station
        self._random = Random(0)
        self._n = 0

    def order(self, kind: str, args: dict[str, Any], wall_ms: int, *, valid_ms: int = DAY_MS) -> str:
        """Order something of the station, which hears it after its next hello; returns the command's id."""
        sealed = Keys("ho-1", partial(sign, key=SIGNING_KEY), "", b"")
        wanted = commands.Wanted(kind, [self._station], args, "li", valid_ms)
        (row,) = commands.order(self.database, sealed, wanted, now_ms=wall_ms, random=self._random)
        return str(row["cmd_id"])

    def command(self, cmd_id: str) -> dict[str, Any]:
        """A command as people at head office see it."""
        with self.database.read() as connection:
            row = store_of_commands.one(connection, cmd_id)
        assert row is not None
        return row

    def answer(self, packet: Packet, wall_ms: int) -> list[tuple[str, bytes]]:
        """Return (name, payload) of what is said back."""
        topic = topics.parse(topics.station_topic(self._station, packet.name))
        assert isinstance(topic, topics.StationTopic)
        if packet.name == "up/result":
            commands.take_result(self.database, topic, packet.payload, wall_ms)
            return []
        said: list[tuple[str, Message | None]]
        if packet.name == "up/hello":
            said = [("down/welcome", answer_hello(self.database, topic, packet.payload, wall_ms))]
            said += [("down/cmd", found) for found in commands.after_hello(self.database, self._station, wall_ms)]
        else:
            said = [("down/ack", ingest(self.database, topic, packet.payload, wall_ms))]
        return [(name, self._event(message, wall_ms)) for name, message in said if message is not None]

    def _event(self, message: Message, wall_ms: int) -> bytes:
        self._n += 1
        return encode(message, source=HEAD_OFFICE_SOURCE, event_id=f"hq-{self._n}", time=format_time(wall_ms))

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def link_of(
    store: Store,
    *,
    clock: Clock,
    boot: str,
    broker: Pipe,
    deliver: Callable[[ports.LinkEvent], None],
    rng: Random,
    install: str = INSTALL,
    most: int = MAX_BATCH_RECORDS,
) -> VirtualLink:
    """The link of a station that has just started, as its database says. ``most``: records in one batch."""
    outbox = JournalOutbox(store.path, store.station, store.incarnation)
    known = int(store.meta("connect_n") or "0")
    return VirtualLink(
        station=store.station,
        outbox=outbox,
        vitals=StationVitals(clock, outbox, known, lambda: store.newest_ms),
        incarnation=store.incarnation,
        boot=boot,
        broker=broker,
        deliver=deliver,
        rng=rng,
        install=install,
        most=most,
    )


class VirtualLink:
    """One incarnation's link in memory; lost with the agent, made anew from the journal."""

    def __init__(
        self,
        *,
        station: str,
        outbox: JournalOutbox,
        vitals: StationVitals,
        incarnation: str,
        boot: str,
        broker: Pipe,
        deliver: Callable[[ports.LinkEvent], None],
        rng: Random,
        install: str = INSTALL,
        most: int = MAX_BATCH_RECORDS,
    ) -> None:
        self._most = most
        self._unpersisted = Unpersisted()
        self.delivery = Delivery(
            install_id=install,
            incarnation=incarnation,
            applied={name: at.acked for name, at in outbox.heads().items()},
            hash_at=outbox.hash_at,
            rng=rng,
        )
        self._station = station
        self._install = install
        self._outbox = outbox
        self._vitals = vitals
        self._incarnation = incarnation
        self._boot = boot
        self._broker = broker
        self._deliver = deliver
        self._connected = False
        self._retry_s = 0.0
        self._n = 0
        self._pubacks = 0

    @property
    def has_unpersisted(self) -> bool:
        """Whether acks were received that a crash would forget now."""
        return self._unpersisted.next_deadline() is not None

    def leave(self) -> None:
        """Leave politely: the pipeline still gets what was received."""
        self._hand_over(self._unpersisted.all())

    def close(self) -> None:
        """Close the read connection; what nobody persisted is forgotten, as by a crash."""
        self._outbox.close()

    def next_deadline(self) -> float | None:
        """When to step again although nothing arrives and nothing was written; ``None`` = not by itself."""
        if self._pubacks:
            return 0.0
        if self._connected:
            times = (self.delivery.next_deadline(), self._unpersisted.next_deadline())
            return min((moment for moment in times if moment is not None), default=None)
        return self._retry_s if self._broker.up else None

    def take(self, now_s: float, packet: Packet) -> None:
        """Handle one message from head office."""
        if not self._connected:
            return
        if packet.name == "down/cmd":
            self._deliver(ports.CommandCame(decode_as(packet.payload, Command)[1].jws))
            return
        kind: type[Welcome | Ack] = Welcome if packet.name == "down/welcome" else Ack
        _, message = decode_as(packet.payload, kind)
        if isinstance(message, Welcome):
            self._hand_over(self._unpersisted.all())
            ignored = self.delivery.counters.ignored_welcomes
            outputs = self.delivery.welcome(now_s, message)
            if self.delivery.welcomed and self.delivery.counters.ignored_welcomes == ignored:
                self._deliver(ports.WelcomeSeen(message))
            self._act(now_s, outputs)
        else:
            self._act(now_s, self.delivery.ack(now_s, message))

    def tell(self, now_s: float, name: str, message: Message) -> None:
        """Publish a message of the pipeline; without a connection it is lost."""
        if self._connected:
            self._n += 1
            event_id, time = f"{self._incarnation}:told:{self._n}", self._vitals.hello_facts().time
            payload = encode(message, source=station_source(self._station), event_id=event_id, time=time)
            self._broker.carry(now_s, name, payload, up=True)

    def step(self, now_s: float) -> None:
        """Connect or notice the loss, settle what the broker took, let timeouts fire, send what may be sent."""
        self._follow_broker(now_s)
        for _ in range(self._pubacks):
            self._pubacks -= 1
            failpoint("sync.after_puback")
        for name, at in self._outbox.heads().items():
            self.delivery.grew(name, at.last_seq)
            self._act(now_s, self.delivery.persisted(now_s, name, at.acked))
        self._act(now_s, self.delivery.tick(now_s))
        self._hand_over(self._unpersisted.due(now_s))
        for _ in range(MAX_SENDS_PER_STEP if self._connected else 0):
            if not self._send_one(now_s):
                return

    def _follow_broker(self, now_s: float) -> None:
        if self._connected and not self._broker.up:
            self._connected = False
            self._retry_s = now_s + RECONNECT_S
            self._hand_over(self._unpersisted.all())
            self.delivery.disconnected()
            self._deliver(ports.Disconnected("connection_lost"))
        elif not self._connected and self._broker.up and now_s >= self._retry_s:
            self._connected = True
            number = self._vitals.next_connect_n()
            self._deliver(ports.Connected(number, "MQTT 5"))
            self._act(now_s, self.delivery.connected(now_s, number))

    def _send_one(self, now_s: float) -> bool:
        offer = self.delivery.next_batch(now_s)
        if offer is None:
            return False
        count = min(self._most, offer.last_seq - offer.first_seq + 1)
        rows = self._outbox.read(offer.stream, offer.first_seq, count, MAX_BATCH_RECORD_BYTES)
        previous = self._outbox.hash_at(offer.stream, offer.first_seq - 1)
        if not rows or rows[0].seq != offer.first_seq or previous is None:
            self._act(now_s, self.delivery.missing(offer.stream, offer.first_seq))
            return True
        batch = Batch(
            install_id=self._install,
            incarnation=self._incarnation,
            stream=offer.stream,
            first_seq=offer.first_seq,
            prev_hash=previous,
            records=tuple(row.raw for row in rows),
            last_hash=rows[-1].hash,
        )
        payload = encode_batch(batch, source=station_source(self._station), time=self._vitals.hello_facts().time)
        failpoint("sync.before_publish")
        self._broker.carry(now_s, topics.BATCH_TOPICS[offer.stream], payload, up=True)
        self._pubacks += 1
        self.delivery.sent(now_s, offer.stream, batch.first_seq, batch.last_seq)
        return True

    def _act(self, now_s: float, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, PublishHello):
                self._hello(now_s, output.connect_n)
            elif isinstance(output, ApplyAck):
                self._unpersisted.put(now_s, output, ends=output.cum >= self.delivery.last_seq(output.stream))
                self._hand_over(self._unpersisted.due(now_s))
            elif isinstance(output, RaiseSyncAlert):
                self._deliver(ports.SyncTrouble(output.kind, output.evidence))
            elif isinstance(output, AuditBadAck):
                evidence: dict[str, Any] = {"stream": output.stream, "cum": output.cum}
                self._deliver(ports.SyncTrouble(f"bad_ack_{output.kind}", evidence))
            elif isinstance(output, StopIncarnation):
                self._hand_over(self._unpersisted.all())
                self._deliver(ports.Stopped(output.reason, output.told))

    def _hand_over(self, acks: Iterable[ApplyAck]) -> None:
        for ack in acks:
            failpoint("sync.before_ack_applied")
            self._deliver(ports.AckAccepted(ack.stream, ack.cum, ack.head_hash, ack.rejected, self.delivery.credit))

    def _hello(self, now_s: float, connect_n: int) -> None:
        facts, heads = self._vitals.hello_facts(), self._outbox.heads()
        hello = Hello(
            incarnation=self._incarnation,
            install_id=self._install,
            software="test",
            connect_n=connect_n,
            boot=self._boot,
            mono_ms=facts.mono_ms,
            time=facts.time,
            clock=facts.clock,
            streams={name: heads[name] for name in STREAMS},
            rules=facts.rules,
            member_op=facts.member_op,
        )
        self._n += 1
        event_id = f"{self._incarnation}:{connect_n}:{self._n}"
        payload = encode(hello, source=station_source(self._station), event_id=event_id, time=facts.time)
        self._broker.carry(now_s, "up/hello", payload, up=True)
