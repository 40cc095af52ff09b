"""The dead letters that wait for an upgrade. Works inside the caller's transaction; judges nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from headoffice.store.schema import dead_letter, record_hash
from headoffice.store.streams import StreamKey


@dataclass(frozen=True, slots=True)
class Letter:
    """One record put aside: its place and its bytes as received."""

    number: int
    key: StreamKey
    seq: int
    raw: bytes


def waiting(connection: Connection, *, reason: str | None, number: int | None) -> list[Letter]:
    """Dead letters that were not replayed, oldest first; of one reason or one number if given."""
    statement = select(dead_letter).where(dead_letter.c.replayed_ms.is_(None)).order_by(dead_letter.c.number)
    if reason is not None:
        statement = statement.where(dead_letter.c.reason == reason)
    if number is not None:
        statement = statement.where(dead_letter.c.number == number)
    return [
        Letter(row.number, StreamKey(row.station, row.incarnation, row.stream), row.seq, row.raw)
        for row in connection.execute(statement)
    ]


def waiting_seqs(connection: Connection, station: str, stream: str) -> frozenset[int]:
    """Seqs of a station's stream, in whatever incarnation, whose dead letter was not replayed."""
    table = dead_letter
    here = (table.c.station == station) & (table.c.stream == stream) & table.c.replayed_ms.is_(None)
    return frozenset(connection.execute(select(table.c.seq).where(here)).scalars())


def mark_replayed(connection: Connection, letter: Letter, kept_as: str, now_ms: int) -> None:
    """The record has a new home; the dead letter stays as evidence, the chain's place points to the new table."""
    connection.execute(
        dead_letter.update()
        .where(dead_letter.c.number == letter.number)
        .values(replayed_ms=now_ms, replayed_as=kept_as)
    )
    key = letter.key
    connection.execute(
        record_hash.update()
        .where(
            record_hash.c.station == key.station,
            record_hash.c.incarnation == key.incarnation,
            record_hash.c.stream == key.stream,
            record_hash.c.seq == letter.seq,
        )
        .values(kept_as=kept_as)
    )
