"""What both ends decide by the same rules: is a batch self-consistent, what may an ack say, is an incarnation forked.

Pure. Knows messages; does not know topics' transport, a database or a clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sync.envelope import MAX_BATCH_PAYLOAD_BYTES, MAX_BATCH_RECORDS, Event, station_source
from sync.messages import (
    MAX_REJECTED,
    Accepted,
    Ack,
    Batch,
    Credit,
    DeadLetter,
    Hello,
    Rejected,
    StreamPosition,
    StreamWelcome,
    Welcome,
    chain,
    check_record,
)
from sync.records import UNREAD
from sync.topics import BATCH_TOPICS, StationTopic


@dataclass(frozen=True, slots=True)
class Refused:
    """The batch contradicts itself: store nothing, answer ``gap: true, refused: code`` (W-20)."""

    code: str


@dataclass(frozen=True, slots=True)
class Consistent:
    """The batch is self-consistent: the hash and the verdict of every record, in order of seq.

    A record that is not understood is a ``Rejected`` verdict at its place: it still chains (W-23).
    """

    hashes: tuple[bytes, ...]
    verdicts: tuple[Accepted | Rejected, ...]


def judge_batch(batch: Batch) -> Refused | Consistent:
    """W-20 without the database: size, count, consecutive seqs, and ``last_hash`` following from ``prev_hash``.

    A batch of one record is never refused for that record's content; the record is a dead letter instead.
    """
    if batch.payload_bytes > MAX_BATCH_PAYLOAD_BYTES:
        return Refused("too_large")
    if not batch.records:
        return Refused("empty")
    if len(batch.records) > MAX_BATCH_RECORDS:
        return Refused("too_many")
    if batch.first_seq < 1:
        return Refused("not_consecutive")
    values = batch.values or (UNREAD,) * len(batch.records)
    verdicts = tuple(
        check_record(raw, batch.first_seq + place, batch.stream, value)
        for place, (raw, value) in enumerate(zip(batch.records, values, strict=True))
    )
    if len(batch.records) > 1:
        for place, verdict in enumerate(verdicts):
            if isinstance(verdict, Rejected) and not _in_place(batch.records[place], batch.first_seq + place, verdict):
                return Refused("not_consecutive")
    if batch.prev_hash is None:
        return Refused("bad_last_hash")
    hashes = chain(batch.prev_hash, batch.first_seq, batch.records)
    return Consistent(hashes, verdicts) if hashes[-1] == batch.last_hash else Refused("bad_last_hash")


_MAX_SEQ_CHARS = 17  # only ``seq`` is wanted, and no number, however long, may stop the reading


def _lenient_int(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_SEQ_CHARS else None


_SEQ_READER = json.JSONDecoder(parse_int=_lenient_int, parse_float=str, parse_constant=str)


def _in_place(raw: bytes, expected_seq: int, verdict: Rejected) -> bool:
    """Whether a record that is rejected for another reason still carries its seq; unreadable ones count as in place."""
    if verdict.reason in ("wrong_seq", "not_an_object"):
        return False
    try:
        value = _SEQ_READER.decode(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return True
    if not isinstance(value, dict):
        return False
    seq = value.get("seq")
    return type(seq) is int and seq == expected_seq


def origin_defect(topic: StationTopic, event: Event, batch: Batch) -> str | None:
    """Why a batch is not answered and raises an alert: ``wrong_shard``, ``wrong_source`` or ``wrong_topic`` (W-20)."""
    if not topic.right_shard:
        return "wrong_shard"
    if event.source != station_source(topic.station):
        return "wrong_source"
    return None if BATCH_TOPICS.get(batch.stream) == topic.name else "wrong_topic"


def listable(known: Sequence[DeadLetter], cum: int) -> tuple[int, tuple[DeadLetter, ...]]:
    """The (cum, rejected) an ack may carry, given all dead letters in (the station's told acked, cum] in order of seq.

    At most 500 are listed, oldest first, and cum stops before the first unlisted one (W-21).
    """
    if len(known) <= MAX_REJECTED:
        return cum, tuple(known)
    return known[MAX_REJECTED].seq - 1, tuple(known[:MAX_REJECTED])


def build_ack(
    batch: Batch,
    *,
    cum: int,
    head_hash: bytes,
    credit: Credit,
    rejected: Sequence[DeadLetter] = (),
    gap: bool = False,
    fork: bool = False,
    refused: str | None = None,
) -> Ack:
    """The answer to a batch. Beside ``fork`` gap is false and refused null; beside ``refused`` gap is true (W-21).

    ``head_hash`` is the stored hash at ``cum``; call ``listable`` first so that ``rejected`` fits.
    """
    assert len(rejected) <= MAX_REJECTED, "call listable first"
    return Ack(
        install_id=batch.install_id,
        incarnation=batch.incarnation,
        stream=batch.stream,
        cum=cum,
        head_hash=head_hash,
        credit=credit,
        rejected=tuple(rejected),
        gap=not fork and (gap or refused is not None),
        fork=fork,
        refused=None if fork else refused,
    )


def welcome_stream(position: StreamPosition, cum: int, head_hash: bytes, known_hash: bytes | None) -> StreamWelcome:
    """Head office's view of one stream of a hello.

    ``known_hash``: the stored hash at the station's last_seq, None where last_seq is beyond cum.
    """
    fork = position.last_seq <= cum and known_hash != position.last_hash
    return StreamWelcome(cum, head_hash, fork)


def must_reincarnate(hello: Hello, streams: Mapping[str, StreamWelcome]) -> bool:
    """W-32 at head office: any stream whose last_seq is below its cum, or whose hash at last_seq differs."""
    return any(streams[name].fork or position.last_seq < streams[name].cum for name, position in hello.streams.items())


def welcome_verdict(
    welcome: Welcome,
    last_seqs: Mapping[str, int],
    hash_at: Callable[[str, int], bytes | None],
) -> str | None:
    """W-32 at the station: ``behind_mark``, ``fork`` or ``reincarnate`` where this incarnation must stop; else None.

    ``hash_at(stream, seq)``: the station's own hash, hash_0 at seq 0, None where it is no longer known.
    """
    if any(at.cum > last_seqs[name] for name, at in welcome.streams.items()):
        return "behind_mark"
    for name, at in welcome.streams.items():
        own = hash_at(name, at.cum)
        if at.fork or (own is not None and own != at.head_hash):
            return "fork"
    return "reincarnate" if welcome.reincarnate else None
