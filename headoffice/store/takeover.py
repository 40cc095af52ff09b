"""Which streams moved lately, for a worker that takes their shards over: what came while nobody listened is lost.

Works inside the caller's transaction; locks nothing.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from headoffice.store import schema
from headoffice.store.streams import Cursor, StreamKey
from sync.topics import shard_of

LATELY_MS = 120_000
"""Longer than it takes to notice that a worker is gone; whoever sent before that has had its answer."""


def recent_streams(connection: Connection, shards: frozenset[int], now_ms: int) -> list[StreamKey]:
    """Every stream of stations on these shards that moved within the last two minutes."""
    table = schema.cursor
    rows = connection.execute(
        select(table.c.station, table.c.incarnation, table.c.stream).where(table.c.updated_ms >= now_ms - LATELY_MS)
    )
    return [StreamKey(*row) for row in rows if shard_of(row.station) in shards]


def standing(connection: Connection, key: StreamKey) -> tuple[Cursor, str]:
    """How far a stream came, and the installation that wrote to it last."""
    table = schema.cursor
    row = connection.execute(
        select(table).where(
            table.c.station == key.station, table.c.incarnation == key.incarnation, table.c.stream == key.stream
        )
    ).one()
    return Cursor(row.cum, bytes.fromhex(row.head_hash), row.acked), str(row.install_id)
