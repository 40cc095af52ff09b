"""Cursors, the hash of every seq, and where a record went that did not become a fact. One row per place, for ever.

Works inside a transaction that the caller holds; decides nothing. Hashes are 32 raw bytes here, hex in the tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, exists, select, tuple_

from headoffice.store import intervals, schema
from headoffice.store.sheet import Nozzle, Sheet
from headoffice.store.texts import storable
from sync.messages import DeadLetter, Rejected

FACT, DUPLICATE, DEAD = "fact", "duplicate", "dead"
"""The values of ``record_hash.kept_as``: the table in which the bytes of a place lie."""


class StreamKey(NamedTuple):
    """Names one chain."""

    station: str
    incarnation: str
    stream: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """``cum``: every seq up to it is stored; ``head_hash``: hash at ``cum``; ``acked``: what the station last told."""

    cum: int
    head_hash: bytes
    acked: int


def lock_cursor(connection: Connection, key: StreamKey) -> Cursor | None:
    """Return the cursor, locked until the transaction ends; None if no batch ever made it."""
    return lock_cursors(connection, [key])[key]


_CURSOR_PLACE = (schema.cursor.c.station, schema.cursor.c.incarnation, schema.cursor.c.stream)
_LOCKED = select(
    *_CURSOR_PLACE, schema.cursor.c.cum, schema.cursor.c.head_hash, schema.cursor.c.acked
).with_for_update()
_IS_NAMED = tuple(column == bindparam(column.name) for column in _CURSOR_PLACE)
_LOCK_ONE = _LOCKED.where(*_IS_NAMED)
"""Built once: nearly every commit of a backlog is of one stream."""


def lock_cursors(connection: Connection, keys: Iterable[StreamKey]) -> dict[StreamKey, Cursor | None]:
    """Return the cursors, locked until the transaction ends; None where no batch ever made one."""
    locked: dict[StreamKey, Cursor | None] = dict.fromkeys(keys)
    if len(locked) == 1:
        rows = connection.execute(_LOCK_ONE, next(iter(locked))._asdict())
    else:
        rows = connection.execute(_LOCKED.where(tuple_(*_CURSOR_PLACE).in_(list(locked))).order_by(*_CURSOR_PLACE))
    for row in rows:
        locked[StreamKey(*row[:3])] = Cursor(row.cum, bytes.fromhex(row.head_hash), row.acked)
    return locked


def other_cums(connection: Connection, station: str, incarnation: str, limit: int) -> dict[str, dict[str, int]]:
    """Return how far every stream of a station's other incarnations is stored; of so many, those heard of last."""
    table = schema.cursor
    rows = connection.execute(
        select(table.c.incarnation, table.c.stream, table.c.cum)
        .where(table.c.station == station, table.c.incarnation != incarnation)
        .order_by(table.c.updated_ms.desc())
        .limit(3 * limit)
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        if row.incarnation in found or len(found) < limit:
            found.setdefault(row.incarnation, {})[row.stream] = row.cum
    return found


def make_cursor(connection: Connection, key: StreamKey, head_hash: bytes, install_id: str, now_ms: int) -> Cursor:
    """Create the cursor of a chain that begins; ``head_hash`` is its hash_0."""
    connection.execute(
        schema.cursor.insert().values(
            **key._asdict(), cum=0, head_hash=head_hash.hex(), acked=0, install_id=install_id, updated_ms=now_ms
        )
    )
    return Cursor(0, head_hash, 0)


_ADVANCE = (
    schema.cursor.update()
    .where(
        schema.cursor.c.station == bindparam("of_station"),
        schema.cursor.c.incarnation == bindparam("of_incarnation"),
        schema.cursor.c.stream == bindparam("of_stream"),
    )
    .values(
        cum=bindparam("to_cum"),
        head_hash=bindparam("to_hash"),
        install_id=bindparam("by_install"),
        updated_ms=bindparam("now_ms"),
    )
)


def advance_cursors(connection: Connection, moved: Mapping[StreamKey, tuple[Cursor, str]], now_ms: int) -> None:
    """Move cursors, each by an installation; the caller has stored every seq up to their ``cum``."""
    rows = [
        {
            "of_station": key.station,
            "of_incarnation": key.incarnation,
            "of_stream": key.stream,
            "to_cum": cursor.cum,
            "to_hash": cursor.head_hash.hex(),
            "by_install": install_id,
            "now_ms": now_ms,
        }
        for key, (cursor, install_id) in moved.items()
    ]
    if rows:
        connection.execute(_ADVANCE, rows)


def set_acked(connection: Connection, key: StreamKey, acked: int) -> None:
    """Remember up to which cum the station has stored its dead letters, as its hello says (W-21)."""
    table = schema.cursor
    connection.execute(
        table.update()
        .where(table.c.station == key.station, table.c.incarnation == key.incarnation, table.c.stream == key.stream)
        .values(acked=acked)
    )


def known_hashes(connection: Connection, key: StreamKey, first: int, last: int) -> dict[int, bytes]:
    """Return the stored hash of every seq from ``first`` to ``last`` that is known."""
    table = schema.record_hash
    rows = connection.execute(
        select(table.c.seq, table.c.hash).where(
            table.c.station == key.station,
            table.c.incarnation == key.incarnation,
            table.c.stream == key.stream,
            table.c.seq.between(first, last),
        )
    )
    return {row.seq: bytes.fromhex(row.hash) for row in rows}


def add_hash(sheet: Sheet, key: StreamKey, seq: int, value: bytes, kept_as: str) -> None:
    """Store the hash of one seq for ever."""
    sheet.put(schema.record_hash, (*key, seq, value.hex(), kept_as))


def add_dead_letter(sheet: Sheet, key: StreamKey, seq: int, raw: bytes, *, why: Rejected, received_ms: int) -> None:
    """Put one record aside, raw, with its reason (W-23)."""
    row = {**key._asdict(), "seq": seq, "reason": why.reason, "detail": storable(why.detail), "raw": raw}
    sheet.add(schema.dead_letter, {**row, "received_ms": received_ms})


def add_duplicate(
    sheet: Sheet, key: StreamKey, seq: int, raw: bytes, *, duplicate_of: int, same: bool, received_ms: int
) -> None:
    """Store a second arrival of a fact: it keeps its place in the chain and has no effect (W-24)."""
    row = {**key._asdict(), "seq": seq, "duplicate_of": duplicate_of, "same_content": same, "raw": raw}
    sheet.add(schema.duplicate, {**row, "received_ms": received_ms})


def add_quarantined(
    connection: Connection,
    key: StreamKey,
    rows: list[tuple[int, bytes, bytes]],
    *,
    install_id: str,
    received_ms: int,
) -> int:
    """Keep forked records (seq, hash, raw), each once; return how many were new (W-25)."""
    table = schema.quarantine
    added = 0
    for seq, value, raw in rows:
        known = connection.execute(
            select(table.c.seq).where(
                table.c.station == key.station,
                table.c.incarnation == key.incarnation,
                table.c.stream == key.stream,
                table.c.seq == seq,
                table.c.hash == value.hex(),
            )
        ).first()
        if known is None:
            connection.execute(
                table.insert().values(
                    **key._asdict(),
                    seq=seq,
                    hash=value.hex(),
                    raw=raw,
                    install_id=install_id,
                    received_ms=received_ms,
                )
            )
            added += 1
    return added


_LETTER = schema.dead_letter.c
_WITH_DEAD = select(*_CURSOR_PLACE).where(
    exists().where(
        *(_LETTER[column.name] == column for column in _CURSOR_PLACE),
        _LETTER.seq > schema.cursor.c.acked,
        _LETTER.seq <= schema.cursor.c.cum,
        _LETTER.replayed_ms.is_(None),
    )
)
_ONE_WITH_DEAD = _WITH_DEAD.where(*_IS_NAMED)


def with_dead_letters(connection: Connection, keys: Iterable[StreamKey]) -> set[StreamKey]:
    """Return those streams of which an ack would list a dead letter."""
    wanted = list(keys)
    if len(wanted) == 1:
        rows = connection.execute(_ONE_WITH_DEAD, wanted[0]._asdict())
    else:
        rows = connection.execute(_WITH_DEAD.where(tuple_(*_CURSOR_PLACE).in_(wanted)))
    return {StreamKey(*row) for row in rows}


def dead_letters_between(
    connection: Connection, key: StreamKey, after: int, up_to: int, limit: int
) -> tuple[DeadLetter, ...]:
    """Return the oldest ``limit`` dead letters with ``after`` < seq <= ``up_to``, as an ack lists them."""
    table = schema.dead_letter
    rows = connection.execute(
        select(table.c.seq, table.c.reason, table.c.raw)
        .where(
            table.c.station == key.station,
            table.c.incarnation == key.incarnation,
            table.c.stream == key.stream,
            table.c.seq > after,
            table.c.seq <= up_to,
            table.c.replayed_ms.is_(None),
        )
        .order_by(table.c.seq)
        .limit(limit)
    )
    return tuple(DeadLetter(row.seq, row.reason, _known(connection, key.station, row)) for row in rows.all())


def _known(connection: Connection, station: str, row: Any) -> tuple[tuple[str, str], ...]:
    """Which litres of an overlapping sale other sales have, so that its station can book the others (W-24)."""
    data = json.loads(row.raw)["data"] if row.reason == "overlap" else {}
    start, end = data.get("totalizer_start"), data.get("totalizer_end")
    if start is None or end is None or start == end:
        return ()
    return intervals.known_within(connection, Nozzle(station, data["fuelling_point"], data["nozzle"]), start, end)
