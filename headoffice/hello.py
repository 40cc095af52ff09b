"""Answers hellos: what head office has of each stream, who must reincarnate, who is fenced (W-32, W-33); keeps states.

Knows no broker and no clock.
"""

from __future__ import annotations

from headoffice.documents import RULES
from headoffice.ingest import CREDIT, note, told
from headoffice.store import documents, presence, restorations, streams
from headoffice.store.alerts import raise_own_alert
from headoffice.store.database import Database, Transaction
from headoffice.store.streams import StreamKey
from sync.envelope import EnvelopeError, decode_as, station_source
from sync.judging import must_reincarnate, welcome_stream
from sync.messages import (
    MAX_EARLIER,
    MAX_NOZZLES,
    STREAMS,
    Hello,
    StreamPosition,
    StreamWelcome,
    Welcome,
    format_time,
    hash_0,
)
from sync.notices import State
from sync.profile import Profile
from sync.topics import StationTopic


def answer_hello(database: Database, topic: StationTopic, payload: bytes, now_ms: int) -> Welcome | None:
    """Return the welcome for a hello, None where nothing may be answered (an alert is raised then)."""
    try:
        event, hello = decode_as(payload, Hello)
    except EnvelopeError as error:
        note(database, topic, f"unreadable_{error.code}", str(error), now_ms)
        return None
    if not topic.right_shard or event.source != station_source(topic.station):
        defect = "wrong_source" if topic.right_shard else "wrong_shard"
        note(database, topic, defect, f"source {event.source[:80]}, shard {topic.shard}", now_ms)
        return None
    return database.transact(lambda connection: _welcome(connection, topic.station, hello, now_ms))


def _welcome(connection: Transaction, station: str, hello: Hello, now_ms: int) -> Welcome:
    presence.heard(
        connection,
        station,
        now_ms,
        incarnation=hello.incarnation,
        install_id=hello.install_id,
        connect_n=hello.connect_n,
    )
    presence.store_hello(connection, station, hello.to_data(), now_ms)
    is_fenced = _is_fenced(connection, station, hello, now_ms)
    is_copied = is_fenced and presence.begun_by_other(connection, station, hello.incarnation, hello.install_id)
    known = {
        name: _stream(connection, StreamKey(station, hello.incarnation, name), hello.streams[name]) for name in STREAMS
    }
    earlier = streams.other_cums(connection, station, hello.incarnation, MAX_EARLIER)
    _note_newer_rules(connection, station, hello, now_ms)
    nozzles = presence.nozzle_ends(connection, station, MAX_NOZZLES)
    return Welcome(
        for_install_id=hello.install_id,
        for_connect_n=hello.connect_n,
        incarnation=hello.incarnation,
        time=format_time(now_ms),
        streams=known,
        credit=CREDIT,
        reincarnate=is_copied or must_reincarnate(hello, known),
        fenced=is_fenced,
        nozzles=nozzles,
        earlier=earlier,
    )


def _note_newer_rules(connection: Transaction, station: str, hello: Hello, now_ms: int) -> None:
    """After a copy was put back a station may have rules that are lost here: heads that name older ones are refused."""
    if hello.rules is None or restorations.newest_ms(connection) is None:
        return
    known = documents.newest(connection, RULES)
    version = 0 if known is None else known.version
    if hello.rules.version > version:
        detail = f"it has version {hello.rules['version']}, here is {version}: publish that one, or a later one, again"
        raise_own_alert(
            connection, station=station, alert="rules_newer_at_station", subject="rules", detail=detail, now_ms=now_ms
        )


def take_state(database: Database, topic: StationTopic, payload: bytes, now_ms: int) -> None:
    """Keep the state a station tells; within one (install_id, incarnation) a lower connect_n is ignored."""
    try:
        _, state = decode_as(payload, State)
    except EnvelopeError as error:
        note(database, topic, f"unreadable_{error.code}", str(error), now_ms)
        return
    if not topic.right_shard:
        note(database, topic, "wrong_shard", f"shard {topic.shard}", now_ms)
        return
    database.transact(lambda connection: _keep_state(connection, topic.station, state, now_ms))


def _keep_state(connection: Transaction, station: str, state: State, now_ms: int) -> None:
    stored = presence.stored_state(connection, station)
    if state.supersedes(None if stored is None else State.from_data(stored)):
        presence.store_state(connection, station, state.to_data(), now_ms)


def take_profile(database: Database, topic: StationTopic, payload: bytes, now_ms: int) -> None:
    """Keep what a station tells the public, the latest; one that is no such Feature, or is another's, is noted."""
    try:
        event, profile = decode_as(payload, Profile)
    except EnvelopeError as error:
        note(database, topic, f"unreadable_{error.code}", str(error), now_ms)
        return
    is_its_own = event.source == station_source(topic.station) and profile.feature["id"] == topic.station
    if not topic.right_shard or not is_its_own:
        note(database, topic, "wrong_source", f"profile of {profile.feature['id']}, shard {topic.shard}", now_ms)
        return
    told = profile.to_data()
    database.transact(lambda connection: presence.store_profile(connection, topic.station, told, now_ms))


def _stream(connection: Transaction, key: StreamKey, position: StreamPosition) -> StreamWelcome:
    """The hello also tells up to where the station has stored its dead letters: the next acks list from there."""
    cursor = streams.lock_cursor(connection, key)
    if cursor is not None and position.acked != cursor.acked and position.acked <= cursor.cum:
        streams.set_acked(connection, key, position.acked)
        cursor = streams.lock_cursor(connection, key)
    said = told(connection, key, cursor)
    at = position.last_seq
    known = hash_0(*key) if at == 0 else streams.known_hashes(connection, key, at, at).get(at)
    return welcome_stream(position, said.cum, said.head_hash, known)


def _is_fenced(connection: Transaction, station: str, hello: Hello, now_ms: int) -> bool:
    """One installation of a station redeems: the one seen first, until it was silent for 10 minutes (W-33).

    A copied station says hello in an incarnation of its own, so what is compared is the station, not the chain.
    """
    if presence.fenced(connection, station, hello.install_id):
        return True
    holder = presence.holder(connection, station)
    if holder == hello.install_id:
        return False
    if holder is None or not presence.is_live(connection, station, holder, now_ms):
        presence.set_holder(connection, station, hello.install_id)
        return False
    presence.put_fence(connection, station, hello.install_id, now_ms)
    raise_own_alert(
        connection,
        station=station,
        alert="clone",
        subject=hello.install_id,
        detail=f"{station} is live as {holder}; {hello.install_id} is fenced until an operator lifts it",
        now_ms=now_ms,
    )
    return True
