"""How far head office has what was written, inside the caller's transaction; and the outbox the publisher reads."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Table, bindparam, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from agent.store.prepared import Prepared, raw
from agent.store.pruning_tables import JOURNAL_HASH
from agent.store.rebirth import running_generation
from agent.store.tables import JOURNAL, REJECTED, STREAM_HEAD
from sync.messages import StreamPosition
from sync.notices import Req
from sync.ports import OutboxRow
from sync.records import hash_0
from sync.recordtypes import STREAMS

AWAIT_ENDS = "await_ends"
"""Fact about a database whose new incarnation does not know yet where head office's sales end: L waits for that."""

MANIFEST_WANTED = "members_manifest_wanted"
"""Fact about a database: why its member cache waits for a manifest, "far" or "audit"."""

_ACKED = Prepared(select(STREAM_HEAD.c.acked).where(STREAM_HEAD.c.stream == bindparam("of_stream")))
_DELIVERED = Prepared(
    update(JOURNAL)
    .where(
        (JOURNAL.c.generation == running_generation())
        & (JOURNAL.c.stream == bindparam("of_stream"))
        & (JOURNAL.c.seq <= bindparam("up_to"))
        & (JOURNAL.c.seq > bindparam("above"))
    )
    .values(delivered=1)
)
_SET_ACKED = Prepared(
    update(STREAM_HEAD)
    .where((STREAM_HEAD.c.stream == bindparam("of_stream")) & (STREAM_HEAD.c.acked < bindparam("up_to")))
    .values(acked=bindparam("up_to"), acked_hash=bindparam("reached_hash"))
)


class DeliveryTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def acked(self, stream: str) -> int:
        """Return the highest seq of a stream that head office has committed."""
        found = _ACKED.first(self._raw, {"of_stream": stream})
        assert found is not None, "every stream has its head from the first start"
        return int(found["acked"])

    def acknowledge(self, stream: str, cum: int, head_hash: bytes) -> None:
        """Mark everything up to ``cum`` as delivered; never goes back."""
        reached = {"of_stream": stream, "up_to": cum}
        _DELIVERED.run(self._raw, {**reached, "above": self.acked(stream)})
        _SET_ACKED.run(self._raw, {**reached, "reached_hash": head_hash})

    def hash_at(self, stream: str, seq: int) -> bytes | None:
        """Return the hash of one record, deleted ones included; ``None`` where there never was one."""
        kept, pruned = (select(table.c.hash).where(_at(table, stream, seq)) for table in (JOURNAL, JOURNAL_HASH))
        found = self._connection.execute(kept.union_all(pruned)).scalar()
        return None if found is None else bytes(found)

    def body(self, stream: str, seq: int) -> bytes | None:
        """Return the bytes of one record."""
        found = self._connection.execute(select(JOURNAL.c.body).where(_at(JOURNAL, stream, seq))).scalar()
        return None if found is None else bytes(found)

    def reject(self, stream: str, seq: int, reason: str, wall_ms: int) -> bool:
        """Keep a dead letter's reason; returns False when it was told before."""
        statement = upsert(REJECTED).values(stream=stream, seq=seq, reason=reason, told_ms=wall_ms)
        return self._connection.execute(statement.on_conflict_do_nothing()).rowcount == 1


def _at(table: Table, stream: str, seq: int) -> ColumnElement[bool]:
    """The place of one record of the incarnation that runs."""
    is_running = table.c.generation == running_generation()
    return is_running & (table.c.stream == stream) & (table.c.seq == seq)


class JournalOutbox:
    """The journal as the publisher sees it (``sync.ports.Outbox``): read-only, a connection of its own, one thread."""

    def __init__(self, path: Path, station: str, incarnation: str) -> None:
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5, check_same_thread=False)
        self._connection.execute("PRAGMA query_only=1")
        with closing(self._connection.execute(_GENERATION, (incarnation,))) as rows:
            self._generation = int(rows.fetchone()[0])
        self._starts = {stream: hash_0(station, incarnation, stream) for stream in STREAMS}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def heads(self) -> dict[str, StreamPosition]:
        """Return last seq, last hash and highest acknowledged seq per stream.

        After a rebirth L looks empty until head office's ends are noted: were a sale sent before, the next welcome
        could not tell any more what was known before it (W-32).
        """
        with closing(self._connection.execute(_HEADS, (AWAIT_ENDS,))) as rows:
            return {
                stream: StreamPosition(0, self._starts[stream], 0)
                if is_held and stream == "L"
                else StreamPosition(seq, bytes(digest), acked)
                for stream, seq, digest, acked, is_held in rows
            }

    def read(self, stream: str, first_seq: int, max_records: int, max_bytes: int) -> list[OutboxRow]:
        """Return rows from ``first_seq`` on without a gap, within both limits, at least one if there is one."""
        found: list[OutboxRow] = []
        size = 0
        with closing(self._connection.execute(_READ, (self._generation, stream, first_seq, max_records))) as rows:
            for seq, body, digest in rows:
                size += len(body) + 1
                if seq != first_seq + len(found) or (found and size > max_bytes):
                    break
                found.append(OutboxRow(seq, bytes(body), bytes(digest)))
        return found

    def hash_at(self, stream: str, seq: int) -> bytes | None:
        """Return the hash of a seq (hash_0 for 0), ``None`` where it is not known here."""
        if seq == 0:
            return self._starts[stream]
        place = (self._generation, stream, seq)
        with closing(self._connection.execute(_HASH_AT, (*place, *place))) as rows:
            row = rows.fetchone()
        return None if row is None else bytes(row[0])

    def requests(self) -> list[Req]:
        """Return what this station asks head office and has no answer to yet, oldest first."""
        with closing(self._connection.execute(_REQUESTS)) as rows:
            return [Req(req_id, kind, json.loads(body)) for req_id, kind, body in rows]

    def has_document(self, kind: str, digest: str) -> bool:
        """Return whether a document with this hash (hex) is kept."""
        statement = "SELECT 1 FROM document WHERE kind = ? AND hash = ?"
        with closing(self._connection.execute(statement, (kind, digest))) as rows:
            return rows.fetchone() is not None

    def active_rules(self) -> tuple[int, str] | None:
        """Return (version, hash in hex) of the rule set in force."""
        with closing(self._connection.execute(_ACTIVE_RULES)) as rows:
            row = rows.fetchone()
        return None if row is None else (int(row[0]), str(row[1]))

    def manifest_wanted(self) -> bool:
        """Return whether the member cache waits for a manifest."""
        with closing(self._connection.execute("SELECT 1 FROM meta WHERE key = ?", (MANIFEST_WANTED,))) as rows:
            return rows.fetchone() is not None

    def missing_buckets(self, at_most: int) -> list[int]:
        """Return the lowest numbers of buckets of the member cache that are to be fetched."""
        with closing(self._connection.execute(_MISSING_BUCKETS, (at_most,))) as rows:
            return [int(row[0]) for row in rows]

    def member_op(self) -> int:
        """Return the op of the newest member change applied."""
        with closing(self._connection.execute("SELECT value FROM meta WHERE key = 'member_op'")) as rows:
            row = rows.fetchone()
        return 0 if row is None else int(row[0])


_HEADS = "SELECT stream, seq, hash, acked, EXISTS (SELECT 1 FROM meta WHERE key = ?) FROM stream_head"
_MISSING_BUCKETS = "SELECT bucket FROM member_bucket WHERE need IS NOT NULL ORDER BY bucket LIMIT ?"
_REQUESTS = "SELECT id, kind, body FROM request ORDER BY asked_ms, id"
_GENERATION = "SELECT generation FROM incarnation WHERE incarnation = ?"
_READ = "SELECT seq, body, hash FROM journal WHERE generation = ? AND stream = ? AND seq >= ? ORDER BY seq LIMIT ?"
_HASH_AT = """
SELECT hash FROM journal WHERE generation = ? AND stream = ? AND seq = ?
UNION ALL SELECT hash FROM journal_hash WHERE generation = ? AND stream = ? AND seq = ?
"""
_ACTIVE_RULES = """
SELECT version, hash FROM document WHERE kind = 'rules' AND activated_ms IS NOT NULL ORDER BY version DESC LIMIT 1
"""
