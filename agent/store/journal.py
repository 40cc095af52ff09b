"""The journal: append-only, gapless, hash-chained; outbox, audit trail and recovery source at once.

Writes inside the caller's transaction. Knows the wire's record bytes (``sync.records``), no topic and no broker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from agent.ids import RandomBits, ulid
from agent.store.prepared import Prepared, raw
from agent.store.tables import JOURNAL, STREAM_HEAD
from sync.records import format_time, hash_0, hash_next, make_record
from sync.recordtypes import STREAMS, TYPES

_INSERT = Prepared(insert(JOURNAL))
_ADVANCE = Prepared(
    update(STREAM_HEAD)
    .where(STREAM_HEAD.c.stream == bindparam("of_stream"))
    .values(seq=bindparam("new_seq"), hash=bindparam("new_hash"))
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a step happens, as every record of it says: W-02. ``wall_ms`` is already lifted to the floor."""

    wall_ms: int
    mono_ms: int
    boot: str
    clock: str


@dataclass(frozen=True, slots=True)
class Written:
    """Where a record went: its stream, seq and id."""

    stream: str
    seq: int
    id: str


def create_streams(connection: Connection, station: str, incarnation: str) -> None:
    """Write the three heads of a new database at seq 0 with ``hash_0``."""
    for stream in STREAMS:
        start = hash_0(station, incarnation, stream)
        connection.execute(
            insert(STREAM_HEAD), {"stream": stream, "seq": 0, "hash": start, "acked": 0, "acked_hash": start}
        )


def read_heads(connection: Connection) -> dict[str, tuple[int, bytes]]:
    """Return (last seq, last hash) per stream."""
    rows = connection.execute(select(STREAM_HEAD.c.stream, STREAM_HEAD.c.seq, STREAM_HEAD.c.hash))
    return {stream: (seq, bytes(digest)) for stream, seq, digest in rows}


class JournalWriter:
    """Appends records inside one transaction; ``heads`` are adopted by the store when that commits."""

    def __init__(
        self,
        connection: Connection,
        heads: Mapping[str, tuple[int, bytes]],
        stamp: Stamp,
        random: RandomBits,
        generation: int,
    ) -> None:
        self._connection = raw(connection)
        self.stamp = stamp
        self._random = random
        self.heads = dict(heads)
        self.generation = generation
        self.written: list[Written] = []

    def append(self, type_name: str, data: Mapping[str, Any], *, record_id: str | None = None) -> Written:
        """Write one record of ``type_name`` to its stream and return where it went. Raises RecordError for our bugs."""
        stream = TYPES[type_name].stream
        seq = self.heads[stream][0] + 1
        stamp = self.stamp
        identity = record_id if record_id is not None else ulid(stamp.wall_ms, self._random)
        body = make_record(
            seq=seq,
            id=identity,
            type=type_name,
            time=format_time(stamp.wall_ms),
            boot=stamp.boot,
            mono_ms=stamp.mono_ms,
            clock=stamp.clock,
            data=data,
        )
        return self._keep(Written(stream, seq, identity), type_name, stamp.wall_ms, body)

    def repeat(self, earlier: bytes, time_ms: int) -> Written:
        """Write a record of an ended incarnation again: its seq is new, all else is as it was (W-31).

        Raises ValueError (RecordError) or KeyError for bytes that are no record.
        """
        record = json.loads(earlier)
        stream = TYPES[record["type"]].stream
        seq = self.heads[stream][0] + 1
        body = make_record(**{**record, "seq": seq})
        return self._keep(Written(stream, seq, record["id"]), record["type"], time_ms, body)

    def _keep(self, written: Written, type_name: str, time_ms: int, body: bytes) -> Written:
        stream, seq = written.stream, written.seq
        digest = hash_next(self.heads[stream][1], seq, body)
        _INSERT.run(
            self._connection,
            {
                "generation": self.generation,
                "stream": stream,
                "seq": seq,
                "id": written.id,
                "type": type_name,
                "time_ms": time_ms,
                "body": body,
                "hash": digest,
                "delivered": 0,
            },
        )
        self.heads[stream] = (seq, digest)
        self.written.append(written)
        return written

    def flush(self) -> None:
        """Write the moved heads; called once before the commit."""
        for stream in {entry.stream for entry in self.written}:
            seq, digest = self.heads[stream]
            _ADVANCE.run(self._connection, {"of_stream": stream, "new_seq": seq, "new_hash": digest})
