"""A station's link and a model head office over a real mosquitto: delivery, kills, heads and documents."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from sync import group as g
from sync import topics
from sync.client import Arrived, ClientEvent, ClientOptions, LinkUp, MqttClient
from sync.envelope import HEAD_OFFICE_SOURCE, decode, decode_as, decode_batch, encode
from sync.messages import Hello, Message
from sync.notices import Head, HoState, Req, Res, State
from sync.ports import (
    AckAccepted,
    Answered,
    Connected,
    Disconnected,
    DocumentArrived,
    HeadSeen,
    HelloFacts,
    LinkEvent,
    MembersPage,
    Stopped,
    WelcomeSeen,
)
from sync.profile import Profile
from sync.publisher import LinkIdentity, StationLink
from sync.signing import PinnedKeys, new_key, public_jwks, sign
from sync.subscriber import GroupFeed
from sync.unpersisted import PERSIST_EVERY_S
from tests.support.broker import PROTOCOL, Mosquitto
from tests.support.sync_model import INSTALL, STATION, TIME, ModelHeadOffice, ModelJournal

DEADLINE_S = 120.0
E = TypeVar("E")
KEY = new_key("ho-1")
FEATURE: dict[str, object] = {
    "type": "Feature",
    "id": STATION,
    "geometry": {"type": "Point", "coordinates": [121.4737, 31.2304]},
    "properties": {
        "name": "Example Road",
        "address": None,
        "timezone": "Asia/Shanghai",
        "opening_hours": "24/7",
        "services": ["shop"],
        "currency": "CNY",
        "exponent": 2,
        "prices": [{"grade": "92", "name": "92", "product": "petrol", "unit_price_milli": 7_850}],
        "offers": [],
        "fuelling_points": {"total": 4, "open": 4},
        "busy": "quiet",
    },
}
RULES = b'{"offers": ["gold-litre"]}'


class Killed(RuntimeError):
    """A failpoint ended the process."""


class Office:
    """The model head office on MQTT; ``mute`` loses that many batches."""

    def __init__(self, port: int, model: ModelHeadOffice) -> None:
        self.model = model
        self.mute = 0
        self.states: list[State] = []
        self.profiles: list[Profile] = []
        self._events: queue.Queue[ClientEvent] = queue.Queue(1_000)
        filters = (topics.shard_filter(topics.shard_of(STATION)),)
        options = ClientOptions("ho", "127.0.0.1", port, filters, backoff_low_s=0.05, backoff_cap_s=0.2)
        self.client = MqttClient(options, self._events, Random(2))

    def turn(self) -> None:
        if any(isinstance(change, LinkUp) for change in self.client.poll(time.monotonic())):
            self.say(topics.HO_STATE, HoState(True, TIME), retain=True)
        with contextlib.suppress(queue.Empty):
            while True:
                event = self._events.get_nowait()
                if isinstance(event, Arrived):
                    self._take(event)

    def say(self, topic: str, message: Message, *, retain: bool = False) -> None:
        payload = encode(message, source=HEAD_OFFICE_SOURCE, event_id="x", time=TIME)
        self.client.publish(topic, payload, retain=retain)

    def _take(self, event: Arrived) -> None:
        where = topics.parse(event.topic)
        assert isinstance(where, topics.StationTopic)
        if where.name == "up/hello":
            self._down("welcome", self.model.on_hello(decode_as(event.payload, Hello)[1]))
        elif where.name in topics.STREAM_OF_TOPIC:
            if self.mute:
                self.mute -= 1
                return
            self._down("ack", self.model.on_batch(decode_batch(event.payload)[1]))
        elif where.name == "up/state":
            self.states.append(decode_as(event.payload, State)[1])
        elif where.name == "up/profile":
            self.profiles.append(decode_as(event.payload, Profile)[1])
        elif where.name == "up/req":
            self._down("res", _answer(decode_as(event.payload, Req)[1]))
        else:
            raise AssertionError(decode(event.payload))

    def _down(self, name: str, message: Message) -> None:
        self.say(topics.station_topic(STATION, f"down/{name}"), message)


def _answer(req: Req) -> Res:
    if req.kind == "reserve":
        return Res(req.req_id, "refused", "too_little", {"free": 7})
    if req.kind == "document":
        return Res(req.req_id, "ok", None, g.document_body(RULES))
    ops = tuple({"op": op, "kind": "DEL", "member": "ab"} for op in (1, 2, 3))
    return Res(req.req_id, "ok", None, g.MembersAnswer(0, ops, False).to_body())


class Station:
    """A link with its journal; events are applied as a pipeline would. ``kill_at`` names a failpoint to die at."""

    def __init__(self, port: int, journal: ModelJournal, *, kill_at: str = "") -> None:
        self.journal = journal
        self.events: list[LinkEvent] = []
        self.kill_at = kill_at
        self.feature: dict[str, object] | None = None
        self.asked: list[Req] = []
        numbers = count(1)
        feed = GroupFeed(
            group="east",
            pinned=PinnedKeys.from_jwks(public_jwks(KEY)),
            have_op=0,
            has_document=self.has_document,
            new_id=lambda: f"r{next(numbers)}",
            rng=Random(4),
        )
        self.link = StationLink(
            LinkIdentity(STATION, INSTALL, journal.incarnation, "test 1", "b7c1"),
            ClientOptions("", "127.0.0.1", port, backoff_low_s=0.05, backoff_cap_s=0.2),
            journal,
            self,
            self,
            clock=time.monotonic,
            rng=Random(5),
            feed=feed,
            group="east",
            profile=lambda: self.feature,
            requests=lambda: self.asked,
            failpoint=self._failpoint,
        )

    connect_n = 0

    def next_connect_n(self) -> int:
        Station.connect_n += 1
        return Station.connect_n

    def hello_facts(self) -> HelloFacts:
        return HelloFacts(TIME, 1, "ntp", 1_795_248_000_000)

    def has_document(self, kind: str, digest: bytes) -> bool:
        return any((one.kind, one.hash) == (kind, digest) for one in self.all(DocumentArrived))

    def deliver(self, event: LinkEvent) -> None:
        self.events.append(event)
        if isinstance(event, AckAccepted):
            self.journal.acked[event.stream] = max(self.journal.acked[event.stream], event.cum)

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def done(self) -> bool:
        return all(self.journal.acked[name] == len(rows) for name, rows in self.journal.rows.items())

    def _failpoint(self, name: str) -> None:
        if name == self.kill_at:
            raise Killed(name)


def _until(found: Callable[[], bool], *turns: Callable[[], None]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not found():
        assert time.monotonic() < deadline, "not in time"
        for turn in turns:
            turn()


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Mosquitto, Office, ModelJournal]]:
    """A broker, a connected model head office and a journal with records on every stream."""
    journal = ModelJournal()
    for stream, number in (("L", 450), ("A", 20), ("T", 120)):
        for _ in range(number):
            journal.append(stream)
    with Mosquitto(tmp_path / "broker", protocol=getattr(request, "param", PROTOCOL)) as broker:
        office = Office(broker.port, ModelHeadOffice())
        _until(lambda: office.client.connected, office.turn)
        yield broker, office, journal
        office.client.close()


def _same(office: Office, journal: ModelJournal) -> bool:
    return all(office.model.raws(name) == [row.raw for row in rows] for name, rows in journal.rows.items())


@pytest.mark.parametrize("world", ["5", "3.1.1"], indirect=True)
def test_a_backlog_arrives_whole_and_new_records_follow(world: tuple[Mosquitto, Office, ModelJournal]) -> None:
    """Hello, welcome, batches and acks carry every record once and in order; state says connected, then stopped
    [W-03] [W-10] [W-11] [W-13] [W-20].
    """
    broker, office, journal = world
    station = Station(broker.port, journal)
    _until(station.done, lambda: station.link.run_once(0.01), office.turn)
    journal.append("A")
    station.link.wake()
    _until(station.done, lambda: station.link.run_once(0.01), office.turn)
    assert _same(office, journal)
    assert [type(event) for event in station.events[:2]] == [Connected, WelcomeSeen]
    station.link.close()
    _until(lambda: len(office.states) == 2, office.turn)
    assert [(state.online, state.reason) for state in office.states] == [(True, "connected"), (False, "stopped")]


def test_a_profile_is_kept_by_the_broker_for_whoever_comes_later(world: tuple[Mosquitto, Office, ModelJournal]) -> None:
    """What the public may know is published after the connect, retained, and not again while nothing changes."""
    broker, office, journal = world
    station = Station(broker.port, journal)
    station.feature = FEATURE
    _until(lambda: bool(office.profiles) and station.done(), lambda: station.link.run_once(0.01), office.turn)
    late = Office(broker.port, office.model)
    _until(lambda: bool(late.profiles), lambda: station.link.run_once(0.01), late.turn)
    late.client.close()
    assert [dict(profile.feature) for profile in office.profiles + late.profiles] == [FEATURE, FEATURE]
    station.link.close()


def test_a_request_is_said_until_somebody_takes_its_answer(world: tuple[Mosquitto, Office, ModelJournal]) -> None:
    """[W-50] What the station asks goes out by itself, its answer comes back whole, also over a new connection."""
    broker, office, journal = world
    station = Station(broker.port, journal)
    turns = (lambda: station.link.run_once(0.01), office.turn)
    _until(station.done, *turns)
    station.asked = [Req("q-1", "reserve", {"points": 9})]
    station.link.wake()
    _until(lambda: bool(station.all(Answered)), *turns)
    broker.kill()
    _until(lambda: not station.link.connected, *turns)
    before = len(station.all(Answered))
    broker.start()
    _until(lambda: len(station.all(Answered)) > before, *turns)
    station.asked = []
    assert set(map(repr, station.all(Answered))) == {repr(Answered("q-1", "refused", "too_little", {"free": 7}))}
    station.link.close()


@pytest.mark.parametrize("point", ["sync.before_publish", "sync.after_puback", "sync.before_ack_applied"])
def test_a_station_that_dies_anywhere_goes_on_without_loss(
    world: tuple[Mosquitto, Office, ModelJournal], point: str
) -> None:
    """Death before a publish, after its PUBACK or before an ack is applied loses and doubles nothing; the will says
    lost [W-12] [W-20] [W-21] [W-22].
    """
    broker, office, journal = world
    first = Station(broker.port, journal, kill_at=point)
    with pytest.raises(Killed, match=point):
        _until(lambda: False, lambda: first.link.run_once(0.01), office.turn)
    first.link._client._tear_down()
    second = Station(broker.port, journal)
    _until(second.done, lambda: second.link.run_once(0.01), office.turn)
    assert _same(office, journal)
    assert "lost" in [state.reason for state in office.states]
    second.link.close()


def test_the_acks_of_a_backlog_are_persisted_once_a_second(world: tuple[Mosquitto, Office, ModelJournal]) -> None:
    """Of many acks a second the newest is handed on, and the last one at once: a sale seldom waits for their commits."""
    broker, office, journal = world
    for _ in range(4_000):
        journal.append("L")
    station = Station(broker.port, journal)
    begun = time.monotonic()
    _until(station.done, lambda: station.link.run_once(0.01), office.turn)
    elapsed_s = time.monotonic() - begun
    acks = [ack for ack in station.all(AckAccepted) if ack.stream == "L"]
    assert acks[-1].cum == len(journal.rows["L"])
    assert len(acks) <= elapsed_s / PERSIST_EVERY_S + 2
    assert _same(office, journal)
    station.link.close()


def test_a_killed_broker_costs_nothing(world: tuple[Mosquitto, Office, ModelJournal]) -> None:
    """After kill -9 of the broker in the middle of a backlog the link says so, connects again and finishes [W-12]."""
    broker, office, journal = world
    station = Station(broker.port, journal)
    _until(lambda: journal.acked["L"] > 0, lambda: station.link.run_once(0.01), office.turn)
    broker.restart()
    journal.append("L")
    _until(
        lambda: station.done() and len(station.all(Connected)) >= 2, lambda: station.link.run_once(0.01), office.turn
    )
    assert len(station.all(Disconnected)) >= 1
    assert _same(office, journal)
    station.link.close()


def test_lost_batches_are_found_by_the_gap(world: tuple[Mosquitto, Office, ModelJournal]) -> None:
    """Batches that head office never saw are sent again as soon as a later one shows the gap [W-12] [W-20]."""
    broker, office, journal = world
    station = Station(broker.port, journal)
    _until(lambda: journal.acked["L"] >= 200, lambda: station.link.run_once(0.01), office.turn)
    _until(station.done, lambda: station.link.run_once(0.01), office.turn)
    for _ in range(8):
        journal.append("L")
        office.mute = 1
        station.link.step(time.monotonic())
        _until(lambda: office.mute == 0, office.turn, lambda: station.link.run_once(0.01))
        journal.append("L")
        _until(station.done, lambda: station.link.run_once(0.01), office.turn)
    assert station.link.delivery.counters.gaps == 8
    assert _same(office, journal)
    station.link.close()


def test_a_fork_stops_the_link(world: tuple[Mosquitto, Office, ModelJournal]) -> None:
    """A journal that contradicts head office ends with Stopped and a retained stopped state [W-25] [W-32]."""
    broker, office, journal = world
    office.model.on_batch(journal.batch("L", 1, 50))
    restored = ModelJournal()
    for number in range(1, 41):
        restored.append("L", journal.rows["L"][number - 1].raw if number < 40 else b"{}")
    station = Station(broker.port, restored)
    _until(lambda: bool(station.all(Stopped)), lambda: station.link.run_once(0.01), office.turn)
    assert station.all(Stopped) == [Stopped("behind_mark")]
    _until(lambda: bool(office.states) and office.states[-1].reason == "stopped", office.turn)
    assert station.all(AckAccepted) == []


@pytest.mark.parametrize("world", ["5", "3.1.1"], indirect=True)
def test_a_retained_head_brings_rules_and_members(world: tuple[Mosquitto, Office, ModelJournal]) -> None:
    """A station that comes up gets the signed head, fetches the document by hash and the missing members [W-40] [W-42]."""
    broker, office, journal = world
    rules = g.DocumentRef(3, g.document_hash(RULES), "2026-01-01T00:00:00.000Z")
    claims = g.HeadClaims("east", 5, 3, "2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z", rules)
    office.say(topics.group_topic("east", "head"), Head(sign(claims.to_claims(), KEY)), retain=True)
    station = Station(broker.port, journal)
    _until(
        lambda: bool(station.all(DocumentArrived) and station.all(MembersPage)),
        lambda: station.link.run_once(0.01),
        office.turn,
    )
    assert [event.head for event in station.all(HeadSeen)] == [claims]
    assert [event.body for event in station.all(DocumentArrived)] == [RULES]
    assert [op["op"] for op in station.all(MembersPage)[0].ops] == [1, 2, 3]
    station.link.close()
