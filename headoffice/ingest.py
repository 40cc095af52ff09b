"""Batches to database to acknowledgement, exactly as WIRE.md W-20 to W-26 say: one transaction, then the acks.

Knows the order of the judgements; what is self-consistent is ``sync.judging``, what a fact is ``store.facts``.
Knows no broker and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.failpoints import failpoint
from agent.logs import get_logger
from headoffice.errors import DatabaseAway, DatabaseProblem
from headoffice.store import facts, overlaps, point_facts, presence, streams
from headoffice.store.alerts import raise_own_alert
from headoffice.store.database import REFUSALS, Database, Transaction
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
class Given:
    """A batch that is to be answered, and what it says of itself."""

    topic: StationTopic
    key: StreamKey
    batch: Batch
    judged: Refused | Consistent


@dataclass(frozen=True, slots=True)
class Unanswerable:
    """What came on a topic of batches and may not be answered; it raises an alert of head office (W-20)."""

    topic: StationTopic
    alert: str
    detail: str


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
    """Read batches and take them, as ``ingest_read``."""
    return ingest_read(database, [read_batch(topic, payload) for topic, payload in arrived], received_ms)


def read_batch(topic: StationTopic, payload: bytes) -> Given | Unanswerable:
    """Read and judge a batch by itself: what can be said without the database. Never raises, whatever the bytes."""
    try:
        event, batch = decode_batch(payload)
    except EnvelopeError as error:
        return Unanswerable(topic, f"unreadable_{error.code}", str(error))
    defect = origin_defect(topic, event, batch)
    if defect is not None:
        detail = f"source {event.source[:80]}, stream {batch.stream}, shard {topic.shard}"
        return Unanswerable(topic, defect, detail)
    return Given(topic, StreamKey(topic.station, batch.incarnation, batch.stream), batch, judge_batch(batch))


def ingest_read(database: Database, read: Sequence[Given | Unanswerable], received_ms: int) -> list[Ack | None]:
    """Take batches that wait, in the order in which they came, by one commit; return the ack of each as ``ingest``.

    Where the database refuses one of them for what it holds, the others are stored all the same; that one has no ack,
    and people are told. Raises DatabaseProblem where the database takes nothing now, DatabaseAway where it is gone.
    """
    for one in read:
        if isinstance(one, Unanswerable):
            note(database, one.topic, one.alert, one.detail, received_ms)
    given = [one for one in read if isinstance(one, Given)]
    if not given:
        return [None] * len(read)
    database.make_room(received_ms)
    try:
        acks: Sequence[Ack | None] = _commit(database, given, received_ms)
    except DatabaseAway:
        raise
    except REFUSALS as error:
        if len(given) == 1 and isinstance(error, DatabaseProblem):
            raise
        acks = _one_by_one(database, given, received_ms)
    told_each = iter(acks)
    return [next(told_each) if isinstance(one, Given) else None for one in read]


def _one_by_one(database: Database, given: Sequence[Given], received_ms: int) -> list[Ack | None]:
    acks: list[Ack | None] = []
    problem: DatabaseProblem | None = None
    for one in given:
        try:
            acks += _commit(database, [one], received_ms)
        except DatabaseAway:
            raise
        except DatabaseProblem as error:
            problem = problem or error
        except REFUSALS as error:
            _tell_refused(database, one, str(error).partition("\n")[0], received_ms)
            acks.append(None)
    if problem is not None:
        raise problem
    return acks


def _tell_refused(database: Database, one: Given, why: str, now_ms: int) -> None:
    """A batch that the database does not take, for what it holds: its station sends it again, and nothing behind it."""
    batch, detail = one.batch, f"seq {one.batch.first_seq} to {one.batch.last_seq}: {why}"
    about = {"station": one.key.station, "subject": f"{batch.incarnation} {batch.stream}", "detail": detail}
    get_logger("headoffice.ingest").error("the database refuses a batch", **about)
    database.transact(lambda connection: raise_own_alert(connection, alert="batch_refused", **about, now_ms=now_ms))


def _commit(database: Database, given: Sequence[Given], received_ms: int) -> list[Ack]:
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

    def __init__(self, connection: Transaction, given: Sequence[Given], received_ms: int) -> None:
        """Lock what the batches touch first: the row of a station keeps every other session from its streams."""
        self._received_ms = received_ms
        signs = {(one.key.station, one.key.incarnation, one.batch.install_id) for one in given}
        presence.heard_all(connection, signs, received_ms)
        keys = {one.key for one in given}
        self._cursors = streams.lock_cursors(connection, keys)
        self._with_dead = streams.with_dead_letters(connection, keys)
        self._moved: dict[StreamKey, tuple[Cursor, str]] = {}
        self._sheet = Sheet(connection, sum(len(one.batch.records) for one in given))
        facts.expect(self._sheet, _records(given))

    def take(self, one: Given) -> Ack:
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
            cursor = Cursor(batch.last_seq, run.hashes[-1], cursor.acked)
            self._cursors[key] = cursor
            self._moved[key] = cursor, batch.install_id
        return self._ack(one)

    def write(self) -> None:
        """Write what waits, and how far the streams came."""
        self._sheet.flush()
        streams.advance_cursors(self._sheet.connection, self._moved, self._received_ms)

    def _ack(self, one: Given, *, gap: bool = False, fork: bool = False, refused: str | None = None) -> Ack:
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


def _records(given: Sequence[Given]) -> dict[str, list[Record]]:
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
