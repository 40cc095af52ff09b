"""What head office does with one message, and what it says by itself: messages in, messages out, no connection.

Knows topics and who answers what. Knows no broker, no thread and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from headoffice import commands
from headoffice.documents import HEAD_RENEW_MS, KEYS, MANIFEST, RULES, current_head
from headoffice.hello import answer_hello, take_profile, take_state
from headoffice.ingest import Given, Unanswerable, ingest_read, read_batch, unasked
from headoffice.keys import Keys
from headoffice.requests import answer_request
from headoffice.requests_members import PAGE_OPS_BYTES
from headoffice.store import documents, members, restorations
from headoffice.store.alerts import raise_own_alert
from headoffice.store.database import Database
from headoffice.store.streams import StreamKey
from headoffice.store.takeover import recent_streams
from headoffice.telling import tell_balances
from sync.envelope import HEAD_OFFICE_SOURCE, EnvelopeError, decode_as, encode
from sync.group import MembersDelta
from sync.messages import Ack, Credit, Message, Welcome, format_time
from sync.notices import Command, Head, HoState
from sync.topics import HO_STATE, STREAM_OF_TOPIC, StationTopic, TopicError, group_topic, parse, station_topic

BUSY = Credit(window=1)
"""What stations may send while many messages wait: a broker drops what is more than it queues for one subscriber."""

MAX_DELTA_OPS = 2_000
"""Changes broadcast at once; after a larger import the head tells stations to ask for pages at their own pace."""

TELL_EVERY_MS = 10_000
"""Every change of a member makes a new head, too: balances are told a few seconds late and together."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to publish, QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


class _Published(NamedTuple):
    """What the head that was published last was made from."""

    member_op: int
    documents: tuple[str | None, ...]
    at_ms: int


class Service:
    """Head office for one station group on one database. One thread only.

    ``is_busy``: set by the caller where more messages wait than are soon taken; stations are told to send less at once.
    """

    def __init__(self, database: Database, keys: Keys, group: str) -> None:
        self._database = database
        self._keys = keys
        self._group = group
        self._sent = 0
        self.is_busy = False
        self._told_ms = 0
        self._head: _Published | None = None
        with database.read() as connection:
            self._delta_op = members.last_op(connection)
            self._put_back_ms = restorations.newest_ms(connection)

    def take(self, topic_text: str, payload: bytes, now_ms: int) -> list[Outgoing]:
        """Handle one message of a station; everything the returned answers say is committed."""
        try:
            topic = parse(topic_text)
        except TopicError as error:
            with self._database.write() as connection:
                raise_own_alert(
                    connection, station="", alert="unknown_topic", subject="", detail=str(error), now_ms=now_ms
                )
            return []
        if not isinstance(topic, StationTopic):
            return []
        if topic.name in STREAM_OF_TOPIC:
            return self.take_batches([read_batch(topic, payload)], now_ms)
        if topic.name == "up/hello":
            return self._hello(topic, payload, now_ms)
        if topic.name == "up/req":
            res = answer_request(self._database, topic, payload, now_ms, self._keys)
            return self._answer(topic, "down/res", res, now_ms)
        if topic.name == "up/state":
            take_state(self._database, topic, payload, now_ms)
        elif topic.name == "up/profile":
            take_profile(self._database, topic, payload, now_ms)
        elif topic.name == "up/result":
            commands.take_result(self._database, topic, payload, now_ms)
        return []

    def take_batches(self, read: Sequence[Given | Unanswerable], now_ms: int) -> list[Outgoing]:
        """Handle batches in the order in which they came, by one commit; else as ``take``.

        Of several acks that say no more than how far a stream came, the last one is enough: it is cumulative (W-21).
        """
        out: dict[object, list[Outgoing]] = {}
        for one, ack in zip(read, ingest_read(self._database, read, now_ms), strict=True):
            if ack is not None:
                is_plain = not (ack.gap or ack.fork)
                line: object = (
                    (one.topic.station, ack.install_id, ack.incarnation, ack.stream) if is_plain else object()
                )
                out.pop(line, None)
                out[line] = self._answer(one.topic, "down/ack", ack, now_ms)
        return [message for messages in out.values() for message in messages]

    def _hello(self, topic: StationTopic, payload: bytes, now_ms: int) -> list[Outgoing]:
        """The welcome, and behind it the commands that waited for it."""
        welcome = answer_hello(self._database, topic, payload, now_ms)
        waiting = [] if welcome is None else commands.after_hello(self._database, topic.station, now_ms)
        said = [self._command(topic.station, command, now_ms) for command in waiting]
        return [*self._answer(topic, "down/welcome", welcome, now_ms), *said]

    def _command(self, station: str, command: Command, now_ms: int) -> Outgoing:
        return Outgoing(station_topic(station, "down/cmd"), self._event(command, now_ms))

    def take_over(self) -> list[Outgoing]:
        """Begin to speak for head office: changes that another worker did not broadcast any more are in the head."""
        with self._database.read() as connection:
            self._delta_op = members.last_op(connection)
        return []

    def recent(self, shards: frozenset[int], now_ms: int) -> list[StreamKey]:
        """The streams of these shards in which something came lately; see ``nudge``."""
        with self._database.read() as connection:
            return recent_streams(connection, shards, now_ms)

    def nudge(self, some: Sequence[StreamKey], now_ms: int) -> list[Outgoing]:
        """What tells stations how far their streams came, so that they send again at once what was lost on the way."""
        with self._database.read() as connection:
            acks = [(key.station, unasked(connection, key)) for key in some]
        return [Outgoing(station_topic(station, "down/ack"), self._event(ack, now_ms)) for station, ack in acks]

    @staticmethod
    def says_online(payload: bytes) -> bool:
        """Whether a state of head office, perhaps somebody's last will, says that it is there."""
        try:
            return decode_as(payload, HoState)[1].online
        except EnvelopeError:
            return False

    def greeting(self, now_ms: int) -> list[Outgoing]:
        """What is published after every connect: head office is there, and the signed head."""
        self._head = None
        with self._database.read() as connection:
            self._put_back_ms = restorations.newest_ms(connection)
        return [Outgoing(HO_STATE, self.state(True, now_ms), retain=True), *self.tick(now_ms)]

    def tick(self, now_ms: int) -> list[Outgoing]:
        """Call about once a second: balances, members, the head, commands, whoever changed them."""
        if not 0 <= now_ms - self._told_ms < TELL_EVERY_MS:
            self._told_ms = now_ms
            tell_balances(self._database)
        with self._database.read() as connection:
            member_op = members.last_op(connection)
            newest = tuple(documents.newest(connection, kind) for kind in (RULES, KEYS, MANIFEST))
            put_back_ms = restorations.newest_ms(connection)
        hashes = tuple(None if found is None else found.hash for found in newest)
        out = list(self._deltas(member_op, now_ms))
        if put_back_ms != self._put_back_ms:
            self._put_back_ms = put_back_ms
            out.insert(0, Outgoing(HO_STATE, self.state(True, now_ms), retain=True))
        last = self._head
        if last is None or last[:2] != (member_op, hashes) or now_ms - last.at_ms >= HEAD_RENEW_MS:
            self._head = _Published(member_op, hashes, now_ms)
            jws = current_head(self._database, self._keys, self._group, now_ms)
            out.append(Outgoing(group_topic(self._group, "head"), self._event(Head(jws), now_ms), retain=True))
        due = commands.by_time(self._database, now_ms)
        return out + [self._command(station, command, now_ms) for station, command in due]

    def state(self, online: bool, now_ms: int) -> bytes:
        """The payload of head office's own retained state, also its last will; asks the database nothing."""
        restored = None if self._put_back_ms is None else format_time(self._put_back_ms)
        return self._event(HoState(online, format_time(now_ms), restored), now_ms)

    def _deltas(self, member_op: int, now_ms: int) -> Iterator[Outgoing]:
        if member_op - self._delta_op > MAX_DELTA_OPS:
            self._delta_op = member_op
        while self._delta_op < member_op:  # every round takes at least one of at most MAX_DELTA_OPS ops
            with self._database.read() as connection:
                ops = members.ops_after(connection, self._delta_op, PAGE_OPS_BYTES)
            told = tuple(op.data() for op in ops)
            delta = MembersDelta(self._delta_op, told, self._keys.index_versions)
            self._delta_op = ops[-1].op
            yield Outgoing(group_topic(self._group, "members/delta"), self._event(delta, now_ms))

    def _answer(self, topic: StationTopic, name: str, answer: Message | None, now_ms: int) -> list[Outgoing]:
        if answer is None:
            return []
        if self.is_busy and isinstance(answer, Ack | Welcome):
            answer = replace(answer, credit=BUSY)
        return [Outgoing(station_topic(topic.station, name), self._event(answer, now_ms))]

    def _event(self, message: Any, now_ms: int) -> bytes:
        self._sent += 1
        event_id = f"{now_ms}-{self._sent}"
        return encode(message, source=HEAD_OFFICE_SOURCE, event_id=event_id, time=format_time(now_ms))
