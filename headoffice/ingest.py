"""Batches to database to acknowledgement, exactly as WIRE.md W-20 to W-26 say: one transaction, then the acks.

Knows the order of the judgements; what is self-consistent is ``sync.judging``, what a fact is ``store.facts``.
Knows no broker and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from agent.failpoints import failpoint
from headoffice.errors import DatabaseAway, DatabaseProblem
from headoffice.store import facts, overlaps, point_facts, presence, streams
from headoffice.store.alerts import raise_own_alert
from headoffice.store.database import Database, Transaction
from headoffice.store.sheet import Sheet
from headoffice.store.streams import Cursor, StreamKey
from headoffice.store.takeover import standing
from sync.envelope import EnvelopeError, decode_batch
from sync.judging import Consistent, Refused, build_ack, judge_batch, listable, origin_defect
from sync.messages import MAX_REJECTED, Accepted, Ack, Batch, Credit, DeadLetter, Record, Rejected, hash_0
from sync.topics import StationTopic

CREDIT = Credit()
"""What every station may send; head office has one worker per database, which drains faster than a station fills."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an ack or a welcome says of one stream: ``cum`` never passes a dead letter that is not in ``rejected``."""

    cum: int
    head_hash: bytes
    rejected: tuple[DeadLetter, ...]


@dataclass(frozen=True, slots=True)
class _Given:
    """A batch that is to be answered, and what it says of itself."""

    key: StreamKey
    batch: Batch
    judged: Refused | Consistent


@dataclass(frozen=True, slots=True)
class _Run:
    """A self-consistent batch: seq, hash, bytes and verdict of every record, in order."""

    key: StreamKey
    batch: Batch
    hashes: tuple[bytes, ...]
    verdicts: tuple[Accepted | Rejected, ...]
    received_ms: int

    def rows(self, first: int) -> list[tuple[int, bytes, bytes]]:
        """(seq, hash, bytes) from seq ``first`` on."""
        skip = first - self.batch.first_seq
        seqs = range(first, self.batch.last_seq + 1)
        return list(zip(seqs, self.hashes[skip:], self.batch.records[skip:], strict=True))


def ingest(database: Database, topic: StationTopic, payload: bytes, received_ms: int) -> Ack | None:
    """Take one batch as it arrived on its topic; return the ack to publish, None where nothing may be answered (W-20).

    When this returns, everything the ack says is committed. ``received_ms``: Unix milliseconds.
    """
    return ingest_all(database, [(topic, payload)], received_ms)[0]


def ingest_all(database: Database, arrived: Sequence[tuple[StationTopic, bytes]], received_ms: int) -> list[Ack | None]:
    """Take batches that wait, in the order in which they came, by one commit; return the ack of each as ``ingest``.

    Where the database refuses one of them, the others are stored all the same before the error is raised.
    """
    found = [_read(database, topic, payload, received_ms) for topic, payload in arrived]
    given = [one for one in found if one is not None]
    if not given:
        return [None] * len(found)
    database.make_room(received_ms)
    try:
        acks = _commit(database, given, received_ms)
    except DatabaseAway:
        raise
    except (DBAPIError, DatabaseProblem):
        if len(given) == 1:
            raise
        acks = _one_by_one(database, given, received_ms)
    told_each = iter(acks)
    return [None if one is None else next(told_each) for one in found]


def _one_by_one(database: Database, given: Sequence[_Given], received_ms: int) -> list[Ack]:
    acks: list[Ack] = []
    refusal: DBAPIError | DatabaseProblem | None = None
    for one in given:
        try:
            acks += _commit(database, [one], received_ms)
        except DatabaseAway:
            raise
        except (DBAPIError, DatabaseProblem) as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal
    return acks


def _read(database: Database, topic: StationTopic, payload: bytes, received_ms: int) -> _Given | None:
    """Read and judge a batch by itself, without a transaction; None where nothing may be answered."""
    try:
        event, batch = decode_batch(payload)
    except EnvelopeError as error:
        note(database, topic, f"unreadable_{error.code}", str(error), received_ms)
        return None
    defect = origin_defect(topic, event, batch)
    if defect is not None:
        detail = f"source {event.source[:80]}, stream {batch.stream}, shard {topic.shard}"
        note(database, topic, defect, detail, received_ms)
        return None
    return _Given(StreamKey(topic.station, batch.incarnation, batch.stream), batch, judge_batch(batch))


def _commit(database: Database, given: Sequence[_Given], received_ms: int) -> list[Ack]:
    """Store batches in one transaction; what their acks say is committed when this returns."""

    def take(connection: Transaction) -> list[Ack]:
        turn = _Turn(connection, given, received_ms)
        acks = [turn.take(one) for one in given]
        turn.write()
        failpoint("hq.before_commit")
        return acks

    acks = database.transact(take)
    failpoint("hq.after_commit")
    return acks


def note(database: Database, topic: StationTopic, alert: str, detail: str, now_ms: int) -> None:
    """Raise an alert of head office about a message that is not answered, in a transaction of its own."""
    about = {"station": topic.station, "alert": alert, "subject": topic.name, "detail": detail}
    database.transact(lambda connection: raise_own_alert(connection, **about, now_ms=now_ms))


def told(connection: Transaction, key: StreamKey, cursor: Cursor | None) -> Told:
    """What may be said of a stream now: at most 500 dead letters, cum before the first unlisted one (W-21)."""
    if cursor is None:
        return Told(0, hash_0(*key), ())
    dead = streams.dead_letters_between(connection, key, cursor.acked, cursor.cum, MAX_REJECTED + 1)
    cum, rejected = listable(dead, cursor.cum)
    if cum == cursor.cum:
        return Told(cum, cursor.head_hash, rejected)
    return Told(cum, streams.known_hashes(connection, key, cum, cum)[cum], rejected)


def unasked(connection: Transaction, key: StreamKey) -> Ack:
    """The ack that a station gets unasked from a new holder of its shard: what is beyond ``cum`` is to come again."""
    cursor, install_id = standing(connection, key)
    said = told(connection, key, cursor)
    return Ack(
        install_id=install_id,
        incarnation=key.incarnation,
        stream=key.stream,
        cum=said.cum,
        head_hash=said.head_hash,
        credit=CREDIT,
        rejected=said.rejected,
        gap=True,
    )


class _Turn:
    """One transaction: the batches that it takes, each upon what the one before it left; written by ``write()``."""

    def __init__(self, connection: Transaction, given: Sequence[_Given], received_ms: int) -> None:
        """Lock what the batches touch first: the row of a station keeps every other session from its streams."""
        self._received_ms = received_ms
        heard = dict.fromkeys((one.key.station, one.key.incarnation, one.batch.install_id) for one in given)
        for station, incarnation, install_id in sorted(heard):
            presence.heard(connection, station, received_ms, incarnation=incarnation, install_id=install_id)
        keys = sorted({one.key for one in given})
        self._cursors = {key: streams.lock_cursor(connection, key) for key in keys}
        self._moved: dict[StreamKey, str] = {}
        self._with_dead = {
            key
            for key, cursor in self._cursors.items()
            if cursor is not None and streams.dead_letters_between(connection, key, cursor.acked, cursor.cum, 1)
        }
        self._sheet = Sheet(connection, sum(len(one.batch.records) for one in given))
        facts.expect(self._sheet, _records(given))

    def take(self, one: _Given) -> Ack:
        """Take the next batch; return its ack."""
        key, batch = one.key, one.batch
        cursor = self._cursors[key]
        if isinstance(one.judged, Refused):
            return self._ack(one, refused=one.judged.code)
        cum = 0 if cursor is None else cursor.cum
        if batch.first_seq > cum + 1:
            return self._ack(one, gap=True)
        run = _Run(key, batch, one.judged.hashes, one.judged.verdicts, self._received_ms)
        forked_at = _first_difference(self._sheet, run, cursor)
        if forked_at is not None:
            _quarantine(self._sheet.connection, run, forked_at)
            return self._ack(one, fork=True)
        if cursor is None:
            cursor = streams.make_cursor(self._sheet.connection, key, hash_0(*key), batch.install_id, self._received_ms)
        if batch.last_seq > cum:
            if _store_from(self._sheet, run, cum + 1):
                self._with_dead.add(key)
            self._moved[key] = batch.install_id
            self._cursors[key] = Cursor(batch.last_seq, run.hashes[-1], cursor.acked)
        return self._ack(one)

    def write(self) -> None:
        """Write what waits, and how far the streams came."""
        self._sheet.flush()
        for key, install_id in self._moved.items():
            cursor = self._cursors[key]
            assert cursor is not None, "what moved is there"
            streams.advance_cursor(
                self._sheet.connection,
                key,
                cum=cursor.cum,
                head_hash=cursor.head_hash,
                install_id=install_id,
                now_ms=self._received_ms,
            )

    def _ack(self, one: _Given, *, gap: bool = False, fork: bool = False, refused: str | None = None) -> Ack:
        cursor = self._cursors[one.key]
        if cursor is not None and one.key not in self._with_dead:
            said = Told(cursor.cum, cursor.head_hash, ())
        else:
            said = told(self._sheet.read(), one.key, cursor)
        return build_ack(
            one.batch,
            cum=said.cum,
            head_hash=said.head_hash,
            credit=CREDIT,
            rejected=said.rejected,
            gap=gap,
            fork=fork,
            refused=refused,
        )


def _records(given: Sequence[_Given]) -> dict[str, list[Record]]:
    """What was understood, by station."""
    found: dict[str, list[Record]] = {}
    for one in given:
        if isinstance(one.judged, Consistent):
            understood = [verdict.record for verdict in one.judged.verdicts if isinstance(verdict, Accepted)]
            found.setdefault(one.key.station, []).extend(understood)
    return found


def _first_difference(sheet: Sheet, run: _Run, cursor: Cursor | None) -> int | None:
    """The first seq that is not what is stored, or whose ``prev_hash`` does not continue it (W-25)."""
    first = run.batch.first_seq
    cum = 0 if cursor is None else cursor.cum
    if first == cum + 1:
        head = hash_0(*run.key) if cursor is None else cursor.head_hash
        return None if run.batch.prev_hash == head else first
    known = streams.known_hashes(sheet.read(), run.key, first, min(run.batch.last_seq, cum))
    for place, value in enumerate(run.hashes[: len(known)]):
        if known[first + place] != value:
            return first + place
    return None


def _quarantine(connection: Transaction, run: _Run, forked_at: int) -> None:
    added = streams.add_quarantined(
        connection,
        run.key,
        run.rows(forked_at),
        install_id=run.batch.install_id,
        received_ms=run.received_ms,
    )
    raise_own_alert(
        connection,
        station=run.key.station,
        alert="fork",
        subject=f"{run.key.incarnation} {run.key.stream}",
        detail=f"from seq {forked_at}, install {run.batch.install_id}, {added} new records in quarantine",
        now_ms=run.received_ms,
    )


def _store_from(sheet: Sheet, run: _Run, first: int) -> bool:
    """Give every record from seq ``first`` on its place: a fact, a second arrival, a dead letter. Its hash stays.

    Returns whether there was a dead letter.
    """
    verdicts = run.verdicts[first - run.batch.first_seq :]
    some_dead = False
    for (seq, value, raw), verdict in zip(run.rows(first), verdicts, strict=True):
        if isinstance(verdict, Accepted):
            kept_as, why = keep(sheet, facts.arrived(run.key, verdict, raw, run.received_ms))
        else:
            kept_as, why = streams.DEAD, verdict
        if why is not None:
            some_dead = True
            streams.add_dead_letter(sheet, run.key, seq, raw, why=why, received_ms=run.received_ms)
        streams.add_hash(sheet, run.key, seq, value, kept_as)
    return some_dead


def keep(sheet: Sheet, arrival: facts.Arrival) -> tuple[str, Rejected | None]:
    """Store an understood record as a fact or as a second arrival; return how, or DEAD and why it may not stand."""
    found = facts.examine(sheet, arrival)
    key, seq = arrival.key, arrival.record.seq
    if isinstance(found, Rejected):
        if (arrival.record.type, found.reason) == (facts.SALE, "overlap"):
            overlaps.put_aside(sheet, key.station, arrival.record.data)
        _alert(sheet, arrival, found.reason, f"{arrival.record.type} {arrival.record.id}", found.detail)
        return streams.DEAD, found
    if found is not None:
        streams.add_duplicate(
            sheet, key, seq, arrival.raw, duplicate_of=found.of, same=found.same, received_ms=arrival.received_ms
        )
        point_facts.again(sheet, arrival)
        if not found.same:
            detail = f"{key.incarnation} {key.stream} {seq} differs from record number {found.of}"
            _alert(sheet, arrival, "other_content", f"{arrival.record.type} {arrival.record.id}", detail)
        return streams.DUPLICATE, None
    facts.write(sheet, arrival)
    for flag in arrival.flags:
        if flag in ("first_not_incarnation", "late_incarnation"):
            _alert(sheet, arrival, flag, key.incarnation, f"{arrival.record.type} at seq {seq}")
    return streams.FACT, None


def _alert(sheet: Sheet, arrival: facts.Arrival, alert: str, subject: str, detail: str) -> None:
    raise_own_alert(
        sheet.connection,
        station=arrival.key.station,
        alert=alert,
        subject=subject,
        detail=detail,
        now_ms=arrival.received_ms,
    )
