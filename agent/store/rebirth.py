"""Ending an incarnation and beginning the next inside one transaction: new chains, what is sent again (W-31).

Works on rows and hashes. Why a station is born again, and what its meters do then, is decided in the pipeline.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, ScalarSelect, cast, delete, func, insert, literal, select, update

from agent.store.pruning_tables import JOURNAL_HASH
from agent.store.tables import INCARNATION, JOURNAL, META, REJECTED, REJECTED_ARCHIVE, STREAM_HEAD
from sync.records import format_time, hash_0, hash_next
from sync.recordtypes import STREAMS

READ_AT_ONCE = 500
"""Records of an ended incarnation in memory at once: head office may lack a month of them."""

FOREIGN_GENERATION = 0
"""Of an incarnation whose rows were never in this database: only the high-water file knew it."""


def running_generation() -> ScalarSelect[int]:
    """Return the number of the incarnation that runs, as part of a statement."""
    return select(func.max(INCARNATION.c.generation)).scalar_subquery()


Heads = Mapping[str, tuple[int, str]]
"""(last seq, its hash in hex) per stream."""


@dataclass(frozen=True, slots=True)
class EarlierRecord:
    """A record of an ended incarnation that head office lacks. ``intact``: its bytes have their hash."""

    stream: str
    seq: int
    type: str
    time_ms: int
    body: bytes
    intact: bool
    id: str = ""


@dataclass(frozen=True, slots=True)
class EndedIncarnation:
    """A chain that is not sent any more; ``delivered``: by stream, up to where head office acknowledged it."""

    generation: int
    incarnation: str
    delivered: Mapping[str, int]


class IncarnationTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def known(self) -> frozenset[str]:
        """Return every incarnation this database has had, and the one it was told of."""
        return frozenset(self._connection.execute(select(INCARNATION.c.incarnation)).scalars())

    def begun_since(self, wall_ms: int) -> int:
        """Return how many incarnations were begun after an instant, the first of a database not counted."""
        here = (INCARNATION.c.begun_ms > wall_ms) & (INCARNATION.c.reason != "new")
        return int(self._connection.execute(select(func.count()).where(here)).scalar_one())

    def name_parent(self, incarnation: str, reason: str, begun_ms: int, ended: Heads) -> None:
        """Note the incarnation that an empty database follows: only the high-water file knew it."""
        values = {"generation": FOREIGN_GENERATION, "incarnation": incarnation, "reason": reason}
        row = {**values, "begun_ms": begun_ms, "ended": _heads_text(ended)}
        self._connection.execute(insert(INCARNATION), row)

    def end(self, incarnation: str, reason: str, begun_ms: int, install_id: str) -> int:
        """Note where this incarnation ended and name the next one; return the ended generation."""
        generation = int(self._connection.execute(select(running_generation())).scalar_one())
        heads = {
            stream: (seq, bytes(digest).hex())
            for stream, seq, digest in self._connection.execute(
                select(STREAM_HEAD.c.stream, STREAM_HEAD.c.seq, STREAM_HEAD.c.hash)
            )
        }
        here = INCARNATION.c.generation == generation
        self._connection.execute(update(INCARNATION).where(here).values(ended=_heads_text(heads)))
        told = select(literal(generation), *REJECTED.c)
        columns = ["generation", *REJECTED.c.keys()]
        self._connection.execute(insert(REJECTED_ARCHIVE).from_select(columns, told))
        self._connection.execute(delete(REJECTED))
        values = {"generation": generation + 1, "incarnation": incarnation, "reason": reason}
        self._connection.execute(insert(INCARNATION), {**values, "begun_ms": begun_ms, "install_id": install_id})
        self._connection.execute(update(META).where(META.c.key == "incarnation").values(value=incarnation))
        return generation

    def restart_chains(self, station: str, incarnation: str) -> dict[str, tuple[int, bytes]]:
        """Set every head to seq 0 of a new incarnation, nothing acknowledged; return the heads."""
        starts = {stream: hash_0(station, incarnation, stream) for stream in STREAMS}
        for stream, start in starts.items():
            here = STREAM_HEAD.c.stream == stream
            values = {"seq": 0, "hash": start, "acked": 0, "acked_hash": start}
            self._connection.execute(update(STREAM_HEAD).where(here).values(**values))
        return {stream: (0, start) for stream, start in starts.items()}

    def lineage(self) -> list[tuple[int, str]]:
        """Return number and name of every incarnation of this database, oldest first."""
        columns = select(INCARNATION.c.generation, INCARNATION.c.incarnation)
        return list(self._connection.execute(columns.order_by(INCARNATION.c.generation)).tuples())

    def acked(self) -> dict[str, tuple[int, bytes]]:
        """Return per stream how far head office has it, and the hash there, which was compared."""
        rows = self._connection.execute(select(STREAM_HEAD.c.stream, STREAM_HEAD.c.acked, STREAM_HEAD.c.acked_hash))
        return {stream: (acked, bytes(digest)) for stream, acked, digest in rows}

    def not_acknowledged(self, generation: int, stream: str, acked: tuple[int, bytes]) -> Iterator[EarlierRecord]:
        """Yield the records of an ended stream beyond ``acked`` in order, each judged by its hash."""
        after, digest = acked
        while rows := self._beyond(generation, stream, after):
            for seq, type_name, time_ms, raw, stored in rows:
                if seq != after + 1:
                    digest = self._hash_at(generation, stream, seq - 1)
                intact = hash_next(digest, seq, bytes(raw)) == bytes(stored)
                after, digest = seq, bytes(stored)
                yield EarlierRecord(stream, seq, type_name, time_ms, bytes(raw), intact)

    def _beyond(self, generation: int, stream: str, after: int) -> Sequence[Row[Any]]:
        # cast: a value that was tampered with may have become text
        body, own_hash = cast(JOURNAL.c.body, LargeBinary), cast(JOURNAL.c.hash, LargeBinary)
        return self._connection.execute(
            select(JOURNAL.c.seq, JOURNAL.c.type, JOURNAL.c.time_ms, body, own_hash)
            .where((JOURNAL.c.generation == generation) & (JOURNAL.c.stream == stream) & (JOURNAL.c.seq > after))
            .order_by(JOURNAL.c.seq)
            .limit(READ_AT_ONCE)
        ).all()

    def _hash_at(self, generation: int, stream: str, seq: int) -> bytes:
        """Return the hash of a record that was deleted; empty, which follows from nothing, where there is none."""
        table = JOURNAL_HASH
        here = (table.c.generation == generation) & (table.c.stream == stream) & (table.c.seq == seq)
        return bytes(self._connection.execute(select(table.c.hash).where(here)).scalar() or b"")

    def first_kept(self, generation: int, stream: str, after: int) -> int | None:
        """Return the lowest seq above ``after`` whose record is still in the journal."""
        here = (JOURNAL.c.generation == generation) & (JOURNAL.c.stream == stream) & (JOURNAL.c.seq > after)
        found: int | None = self._connection.execute(select(func.min(JOURNAL.c.seq)).where(here)).scalar()
        return found

    def ended(self) -> list[EndedIncarnation]:
        """Return every incarnation of this database that has ended, oldest first."""
        return [
            EndedIncarnation(generation, name, {stream: self._delivered(generation, stream) for stream in STREAMS})
            for generation, name in self.lineage()[:-1]
            if generation != FOREIGN_GENERATION
        ]

    def _delivered(self, generation: int, stream: str) -> int:
        table = JOURNAL_HASH
        gone = select(func.max(table.c.seq)).where((table.c.generation == generation) & (table.c.stream == stream))
        here = (JOURNAL.c.generation == generation) & (JOURNAL.c.stream == stream) & (JOURNAL.c.delivered == 1)
        kept = select(JOURNAL.c.seq).where(here).order_by(JOURNAL.c.seq.desc()).limit(1)
        found = [self._connection.execute(query).scalar() or 0 for query in (gone, kept)]
        return max(found)

    def name_of(self, generation: int) -> str:
        """Return what an incarnation of this database is called."""
        here = select(INCARNATION.c.incarnation).where(INCARNATION.c.generation == generation)
        return str(self._connection.execute(here).scalar_one())

    def between(self, generation: int, stream: str, after: int, last: int, at_most: int) -> list[EarlierRecord]:
        """Return records of an ended stream above ``after`` up to ``last``, in order, as they are."""
        here = (JOURNAL.c.generation == generation) & (JOURNAL.c.stream == stream)
        rows = self._connection.execute(
            select(JOURNAL.c.seq, JOURNAL.c.type, JOURNAL.c.time_ms, JOURNAL.c.body, JOURNAL.c.id)
            .where(here & (JOURNAL.c.seq > after) & (JOURNAL.c.seq <= last))
            .order_by(JOURNAL.c.seq)
            .limit(at_most)
        )
        return [
            EarlierRecord(stream, seq, kind, time_ms, bytes(raw), True, name) for seq, kind, time_ms, raw, name in rows
        ]

    def is_in_running(self, record: str) -> bool:
        """Whether the running incarnation has a record of this id already."""
        here = (JOURNAL.c.generation == running_generation()) & (JOURNAL.c.id == record)
        return self._connection.execute(select(JOURNAL.c.seq).where(here)).first() is not None

    def telemetry_left(self, generation: int, after: int, last: int | None = None) -> dict[str, Any] | None:
        """Return first time, last time and count of ended telemetry above a seq that head office does not have."""
        here = (JOURNAL.c.generation == generation) & (JOURNAL.c.stream == "T") & (JOURNAL.c.seq > after)
        if last is not None:
            here &= JOURNAL.c.seq <= last
        first, last, count = self._connection.execute(
            select(func.min(JOURNAL.c.time_ms), func.max(JOURNAL.c.time_ms), func.count()).where(here)
        ).one()
        return {"from": format_time(first), "to": format_time(last), "count": count} if count else None


def _heads_text(heads: Heads) -> str:
    return json.dumps({name: {"seq": seq, "hash": digest} for name, (seq, digest) in sorted(heads.items())})


def parent_of(incarnation: str, heads: Heads) -> dict[str, Any]:
    """Return the ``parent`` of an ``fc.incarnation.v1``."""
    return {
        "incarnation": incarnation,
        "streams": {name: {"seq": heads[name][0], "hash": heads[name][1]} for name in STREAMS},
    }
