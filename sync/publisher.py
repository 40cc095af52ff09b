"""One station's link to head office: a thin shell that lets Delivery and GroupFeed talk over MqttClient.

Called by one thread (``run_once`` in a loop, or ``step`` from a test). Knows topics and envelopes; decides nothing
about cursors itself and writes nothing: what must be persisted goes to the Inbox.
"""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar

from sync import topics
from sync.asking import Asking
from sync.client import Arrived, ClientEvent, ClientOptions, Kick, LinkChange, LinkUp, MqttClient, PublishSettled, Will
from sync.delivery import (
    ApplyAck,
    AuditBadAck,
    BatchOffer,
    Delivery,
    Output,
    PublishHello,
    RaiseSyncAlert,
    StopIncarnation,
)
from sync.envelope import (
    HEAD_OFFICE_SOURCE,
    MAX_BATCH_RECORD_BYTES,
    EnvelopeError,
    decode_as,
    encode,
    encode_batch,
    station_source,
)
from sync.group import MembersDelta
from sync.messages import STREAMS, Ack, Batch, Hello, Message, Welcome
from sync.notices import Command, Head, HoState, Req, Res, State
from sync.ports import (
    AckAccepted,
    CommandCame,
    Connected,
    Disconnected,
    Inbox,
    Outbox,
    Stopped,
    SyncTrouble,
    Vitals,
    WelcomeSeen,
)
from sync.profile import Profile, ProfileTurn
from sync.subscriber import FeedOutput, GroupFeed
from sync.unpersisted import Unpersisted

M = TypeVar("M", bound=Message)

MAX_EVENTS = 256  # waiting MQTT events; a full queue slows the broker's sending, it does not grow
MAX_EVENTS_PER_STEP = 64  # so that timeouts and live records are looked at between floods
MAX_BATCHES_PER_STEP = 12  # three streams of four batches
MAX_WAITING = 64  # messages of the pipeline that wait for a connection; the oldest goes first, its asker asks again
TROUBLE_EVERY_S = 3_600.0
LONGEST_WAIT_S = 1.0  # the heads of the outbox are looked at this often even if nobody wakes us


def no_profile() -> None:
    """A station that is not on the map."""


def no_failpoint(name: str) -> None:
    """The failpoint hook of a healthy process."""


@dataclass(frozen=True, slots=True)
class LinkIdentity:
    """Who this link speaks for. One incarnation; a new one gets a new link."""

    station: str
    install_id: str
    incarnation: str
    software: str
    boot: str


class StationLink:
    """Hello, batches, acks, heads and members of one incarnation over one MQTT connection.

    ``client_options``: address, TLS, password and back-off; the names, will and subscriptions are set here. ``feed``
    None: this station follows no group. ``failpoint(name)`` is called at ``sync.before_publish``,
    ``sync.after_puback`` and ``sync.before_ack_applied``.
    """

    def __init__(
        self,
        identity: LinkIdentity,
        client_options: ClientOptions,
        outbox: Outbox,
        inbox: Inbox,
        vitals: Vitals,
        *,
        clock: Callable[[], float],
        rng: Random,
        feed: GroupFeed | None = None,
        group: str | None = None,
        requests: Callable[[], Sequence[Req]] = tuple,
        profile: Callable[[], Mapping[str, Any] | None] = no_profile,
        failpoint: Callable[[str], None] = no_failpoint,
    ) -> None:
        """``clock``: monotonic seconds; ``requests``: what the station asks and nobody has answered yet;
        ``profile``: what the public may know of it now, ``None`` for nothing.

        Nothing is opened until the first step.
        """
        assert (feed is None) == (group is None), "a feed belongs to a group"
        self._identity = identity
        self._outbox = outbox
        self._inbox = inbox
        self._vitals = vitals
        self._clock = clock
        self._rng = rng
        self._feed = feed
        self._group = group
        self._asking = Asking(requests, rng)
        self._profile = profile
        self._profile_turn = ProfileTurn()
        self._failpoint = failpoint
        self._connect_n = 0
        self._event_n = 0
        self._batch_mids: set[int] = set()
        self._told: dict[str, float] = {}
        self._unpersisted = Unpersisted()
        self._waiting: deque[tuple[str, Message]] = deque(maxlen=MAX_WAITING)
        self._events: queue.Queue[ClientEvent] = queue.Queue(MAX_EVENTS)
        self._client = MqttClient(_completed(client_options, identity, group, self._lost_will), self._events, rng)
        self._delivery = Delivery(
            install_id=identity.install_id,
            incarnation=identity.incarnation,
            applied={name: at.acked for name, at in outbox.heads().items()},
            hash_at=outbox.hash_at,
            rng=rng,
        )

    @property
    def delivery(self) -> Delivery:
        """Cursors and counters, for metrics."""
        return self._delivery

    @property
    def connected(self) -> bool:
        """Whether MQTT is up."""
        return self._client.connected

    @property
    def broker_ends_ms(self) -> int | None:
        """When the broker's certificate ends, as it was last seen; UTC, ms."""
        return self._client.broker_ends_ms

    def wake(self) -> None:
        """The journal grew or the pipeline persisted something. May be called from any thread; never blocks."""
        with contextlib.suppress(queue.Full):  # a full queue is reason enough to run
            self._events.put_nowait(Kick(0))

    def tell(self, name: str, message: Message) -> None:
        """Publish a message as soon as there is a connection; ``name``: its topic, as ``up/result``. Any thread.

        Kept in memory only, and a broker may lose it: who needs it to arrive asks or tells again.
        """
        self._waiting.append((name, message))
        self.wake()

    def run_once(self, timeout_s: float = LONGEST_WAIT_S) -> None:
        """Wait for the next event, timeout or wake-up, at most ``timeout_s``, then take one step."""
        try:
            first = self._events.get(timeout=max(0.0, self._wait_s(timeout_s)))
        except queue.Empty:
            first = Kick(0)
        self._take(self._clock(), first)
        self.step(self._clock())

    def step(self, now: float) -> None:
        """Take what has arrived, let timeouts fire, send what may be sent. Bounded; does not wait for anything."""
        for change in self._client.poll(now):
            self._changed(now, change)
        for _ in range(MAX_EVENTS_PER_STEP):
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
            self._take(now, event)
        for change in self._client.poll(now):
            self._changed(now, change)
        for name, at in self._outbox.heads().items():
            self._delivery.grew(name, at.last_seq)
            self._act(now, self._delivery.persisted(now, name, at.acked))
        self._act(now, self._delivery.tick(now))
        self._hand_over(self._unpersisted.due(now))
        if self._feed is not None:
            self._feed_act(now, self._feed.tick(now))
        self._ask(self._asking.tick(now))
        while self._client.connected and self._waiting:
            self._publish(now, *self._waiting.popleft())
        self._send(now)
        self._tell_profile(now)

    def close(self) -> None:
        """Leave politely: the retained state says ``stopped``, the will stays with the broker unused."""
        self._hand_over(self._unpersisted.all())
        farewell = self._state(online=False, reason="stopped") if self._client.connected else None
        self._client.close(farewell)

    # --- what came in -------------------------------------------------------------------------------------------

    def _wait_s(self, timeout_s: float) -> float:
        now = self._clock()
        times = [self._client.next_poll(), self._delivery.next_deadline(), self._asking.next_deadline()]
        times.append(self._unpersisted.next_deadline())
        times.append(None if self._feed is None else self._feed.next_deadline())
        soonest = min((moment for moment in times if moment is not None), default=now + timeout_s)
        return min(timeout_s, LONGEST_WAIT_S, soonest - now)

    def _changed(self, now: float, change: LinkChange) -> None:
        if isinstance(change, LinkUp):
            self._inbox.deliver(Connected(self._connect_n, change.protocol))
            state = self._state(online=True, reason="connected")
            self._client.publish(state.topic, state.payload, retain=True)
            self._profile_turn.connected()
            self._act(now, self._delivery.connected(now, self._connect_n))
            if self._feed is not None:
                self._feed_act(now, self._feed.connected(now))
            self._ask(self._asking.connected(now))
            return
        self._hand_over(self._unpersisted.all())
        self._batch_mids.clear()
        self._delivery.disconnected()
        self._asking.disconnected()
        if self._feed is not None:
            self._feed.disconnected()
        self._inbox.deliver(Disconnected(change.reason, change.detail))

    def _take(self, now: float, event: ClientEvent) -> None:
        if isinstance(event, Kick) and self._feed is not None:
            self._feed.stored()
        elif isinstance(event, PublishSettled) and event.generation == self._client.generation:
            if event.mid in self._batch_mids:
                self._batch_mids.discard(event.mid)
                self._failpoint("sync.after_puback")
            if event.refused is not None:
                self._trouble(now, "publish_refused", {"reason": event.refused})
        elif isinstance(event, Arrived):
            try:
                self._dispatch(now, event)
            except (EnvelopeError, topics.TopicError) as error:
                self._trouble(now, "bad_message", {"topic": event.topic[:200], "detail": str(error)[:200]})

    def _dispatch(self, now: float, event: Arrived) -> None:
        where = topics.parse(event.topic)
        if isinstance(where, topics.HoStateTopic):
            told = _read(event, HoState)
            self._act(now, self._delivery.ho_state(now, told.online, told.restored))
        elif isinstance(where, topics.GroupTopic):
            self._group_message(now, where, event)
        elif where.station != self._identity.station or not where.right_shard:
            raise topics.TopicError(f"not this station's topic: {event.topic[:120]}")
        elif where.name == "down/welcome":
            self._welcome(now, _read(event, Welcome))
        elif where.name == "down/ack":
            self._act(now, self._delivery.ack(now, _read(event, Ack)))
        elif where.name == "down/cmd":
            self._inbox.deliver(CommandCame(_read(event, Command).jws))
        elif where.name == "down/res":
            self._answered(now, _read(event, Res))

    def _answered(self, now: float, res: Res) -> None:
        answered = self._asking.answer(now, res)
        if answered is not None:
            self._inbox.deliver(answered)
        elif self._feed is not None:
            self._feed_act(now, self._feed.answer(now, res))

    def _group_message(self, now: float, where: topics.GroupTopic, event: Arrived) -> None:
        if self._feed is None or where.group != self._group:
            raise topics.TopicError(f"not this station's group: {where.group}")
        if where.name == "head":
            now_ms = self._vitals.hello_facts().now_ms
            self._feed_act(now, self._feed.head(now, _read(event, Head).jws, now_ms))
        else:
            self._feed_act(now, self._feed.delta(now, _read(event, MembersDelta)))

    def _welcome(self, now: float, welcome: Welcome) -> None:
        self._hand_over(self._unpersisted.all())
        ignored = self._delivery.counters.ignored_welcomes
        outputs = self._delivery.welcome(now, welcome)
        if self._delivery.welcomed and self._delivery.counters.ignored_welcomes == ignored:
            self._inbox.deliver(WelcomeSeen(welcome))
        self._act(now, outputs)

    # --- what goes out ------------------------------------------------------------------------------------------

    def _act(self, now: float, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, PublishHello):
                self._publish(now, "up/hello", self._hello(output.connect_n))
            elif isinstance(output, ApplyAck):
                ends = output.cum >= self._delivery.last_seq(output.stream)
                self._unpersisted.put(now, output, ends=ends)
                self._hand_over(self._unpersisted.due(now))
            elif isinstance(output, RaiseSyncAlert):
                self._inbox.deliver(SyncTrouble(output.kind, output.evidence))
            elif isinstance(output, AuditBadAck):
                self._inbox.deliver(SyncTrouble(f"bad_ack_{output.kind}", {"stream": output.stream, "cum": output.cum}))
            elif isinstance(output, StopIncarnation):
                self._hand_over(self._unpersisted.all())
                self._inbox.deliver(Stopped(output.reason, output.told))
                self.close()

    def _hand_over(self, acks: Iterable[ApplyAck]) -> None:
        for ack in acks:
            self._failpoint("sync.before_ack_applied")
            credit = self._delivery.credit
            self._inbox.deliver(AckAccepted(ack.stream, ack.cum, ack.head_hash, ack.rejected, credit))

    def _feed_act(self, now: float, outputs: Iterable[FeedOutput]) -> None:
        for output in outputs:
            if isinstance(output, Req):
                self._publish(now, "up/req", output)
            else:
                self._inbox.deliver(output)

    def _ask(self, requests: Iterable[Req]) -> None:
        for req in requests:
            self._publish(self._clock(), "up/req", req)

    def _send(self, now: float) -> None:
        for _ in range(MAX_BATCHES_PER_STEP):
            offer = self._delivery.next_batch(now) if self._client.connected else None
            if offer is None or not self._send_batch(now, offer):
                return

    def _send_batch(self, now: float, offer: BatchOffer) -> bool:
        """Publish one batch; False where sending should pause until the next step."""
        count = offer.last_seq - offer.first_seq + 1
        rows = self._outbox.read(offer.stream, offer.first_seq, count, MAX_BATCH_RECORD_BYTES)
        previous = self._outbox.hash_at(offer.stream, offer.first_seq - 1)
        if not rows or rows[0].seq != offer.first_seq or previous is None:
            self._act(now, self._delivery.missing(offer.stream, offer.first_seq))
            return True
        batch = Batch(
            install_id=self._identity.install_id,
            incarnation=self._identity.incarnation,
            stream=offer.stream,
            first_seq=offer.first_seq,
            prev_hash=previous,
            records=tuple(row.raw for row in rows),
            last_hash=rows[-1].hash,
        )
        payload = encode_batch(batch, source=self._source(), time=self._vitals.hello_facts().time)
        self._failpoint("sync.before_publish")
        topic = topics.station_topic(self._identity.station, topics.BATCH_TOPICS[offer.stream])
        mid = self._client.publish(topic, payload)
        if mid is None:
            return False
        self._batch_mids.add(mid)
        self._delivery.sent(now, offer.stream, batch.first_seq, batch.last_seq)
        return True

    def _publish(self, now: float, name: str, message: Message) -> None:
        topic = topics.station_topic(self._identity.station, name)
        if self._client.publish(topic, self._encode(message)) is None and self._client.connected:
            self._trouble(now, "publish_full", {"topic": name})

    def _encode(self, message: Message) -> bytes:
        self._event_n += 1
        event_id = f"{self._identity.incarnation}:{self._connect_n}:{self._event_n}:{self._rng.getrandbits(48):x}"
        return encode(message, source=self._source(), event_id=event_id, time=self._vitals.hello_facts().time)

    def _source(self) -> str:
        return station_source(self._identity.station)

    def _hello(self, connect_n: int) -> Hello:
        facts = self._vitals.hello_facts()
        streams = self._outbox.heads()
        return Hello(
            incarnation=self._identity.incarnation,
            install_id=self._identity.install_id,
            software=self._identity.software,
            connect_n=connect_n,
            boot=self._identity.boot,
            mono_ms=facts.mono_ms,
            time=facts.time,
            clock=facts.clock,
            streams={name: streams[name] for name in STREAMS},
            rules=facts.rules,
            member_op=facts.member_op,
        )

    def _tell_profile(self, now: float) -> None:
        feature = self._profile()
        if feature is None or not self._client.connected or not self._profile_turn.is_due(now, feature):
            return
        topic = topics.station_topic(self._identity.station, "up/profile")
        if self._client.publish(topic, self._encode(Profile(feature)), retain=True) is not None:
            self._profile_turn.published(now, feature)

    def _lost_will(self) -> Will:
        self._connect_n = self._vitals.next_connect_n()
        return self._state(online=False, reason="lost")

    def _state(self, *, online: bool, reason: str) -> Will:
        state = State(
            online=online,
            reason=reason,
            install_id=self._identity.install_id,
            incarnation=self._identity.incarnation,
            connect_n=self._connect_n,
            time=self._vitals.hello_facts().time,
        )
        return Will(topics.station_topic(self._identity.station, "up/state"), self._encode(state))

    def _trouble(self, now: float, kind: str, evidence: dict[str, str | int]) -> None:
        told = self._told.get(kind)
        if told is None or now >= told + TROUBLE_EVERY_S:
            self._told[kind] = now
            self._inbox.deliver(SyncTrouble(kind, evidence))


def _read(event: Arrived, kind: type[M]) -> M:
    found, message = decode_as(event.payload, kind)
    if found.source != HEAD_OFFICE_SOURCE:
        raise EnvelopeError("not_an_event", f"source is {found.source[:80]}, not {HEAD_OFFICE_SOURCE}")
    return message


def _completed(
    options: ClientOptions, identity: LinkIdentity, group: str | None, will: Callable[[], Will | None]
) -> ClientOptions:
    filters = [topics.down_filter(identity.station), topics.HO_STATE]
    if group is not None:
        filters += [topics.group_topic(group, name) for name in topics.GROUP_NAMES]
    username = identity.station if options.password_file is not None else options.username
    return replace(options, client_id=identity.station, username=username, subscriptions=tuple(filters), will=will)
