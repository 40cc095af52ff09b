"""Recomputes what head office holds: hash chains from the stored bytes, sums, intervals, postings.

Read-only; trusts nothing but the bytes. Finds a flipped bit that the database's own check does not see.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, and_, func, literal, select

from headoffice.store import postgresql, schema
from headoffice.store.database import Database
from headoffice.store.intervals import totalizer_of
from headoffice.store.streams import DEAD, DUPLICATE, FACT, StreamKey
from headoffice.store.verify_points import check_leases, check_pools, check_told
from sync.messages import hash_0, hash_next

ROWS_AT_ONCE = 1_000
_POINTS = (check_leases, check_pools, check_told)
MAX_FINDINGS = 100
"""Findings listed: a damaged file could give millions, and the first ones tell."""


@dataclass(frozen=True, slots=True)
class Verified:
    """``records``: places whose hash was recomputed. ``findings``: what is wrong, as sentences; empty = all is well.

    ``dropped``: places of facts whose bytes went with their month; only their hashes are left to go on from.
    """

    chains: int
    records: int
    findings: tuple[str, ...]
    dropped: int = 0


@dataclass
class _Chains:
    """What was looked at so far. ``months``: the partitions there are, None where nothing is parted."""

    months: frozenset[str] | None
    chains: int = 0
    records: int = 0
    dropped: int = 0

    def is_dropped(self, row: Any) -> bool:
        """Whether the bytes of a fact went with their month."""
        if self.months is None or row.kept_as != FACT or row.received_ms is None or row.fact is not None:
            return False
        return postgresql.partition_name(row.received_ms) not in self.months


def verify(database: Database) -> Verified:
    """Check the whole database; reads every record once."""
    findings: list[str] = []
    with database.read() as connection:
        seen = _Chains(postgresql.months(connection) if database.is_shared else None)
        for row in connection.execute(select(schema.cursor)).all():
            seen.chains += 1
            key = StreamKey(row.station, row.incarnation, row.stream)
            findings += _check_chain(connection, key, row.cum, row.head_hash, seen)
        for check in (_check_sales, _check_intervals, _check_postings, _check_places, *_POINTS):
            for finding in check(connection):
                if len(findings) >= MAX_FINDINGS:
                    break
                findings.append(finding)
    return Verified(seen.chains, seen.records, tuple(findings[:MAX_FINDINGS]), seen.dropped)


def _check_chain(connection: Connection, key: StreamKey, cum: int, head_hash: str, seen: _Chains) -> list[str]:
    """The first thing wrong with one chain; after a break everything later would differ as well."""
    name = f"{key.station} {key.incarnation} {key.stream}"
    value, expected = hash_0(*key), 1
    for row in _places(connection, key):
        if row.seq != expected:
            return [f"{name}: seq {expected} is missing"]
        expected += 1
        if seen.is_dropped(row):
            seen.dropped += 1
            value = bytes.fromhex(row.hash)
            continue
        raw = {FACT: row.fact, DUPLICATE: row.second, DEAD: row.dead}.get(row.kept_as)
        if not isinstance(raw, bytes):
            return [f"{name}: the bytes of seq {row.seq} are missing"]
        seen.records += 1
        value = hash_next(value, row.seq, raw)
        if value.hex() != row.hash:
            return [f"{name}: the bytes of seq {row.seq} do not have their hash"]
    if expected != cum + 1 or value.hex() != head_hash:
        return [f"{name}: the cursor says seq {cum}, the chain ends at seq {expected - 1}"]
    return []


_BYTES = and_(
    schema.record_bytes.c.number == schema.record.c.number,
    schema.record_bytes.c.received_ms == schema.record.c.received_ms,
)


def _places(connection: Connection, key: StreamKey) -> Iterator[Any]:
    place = schema.record_hash

    def same(table: Table) -> Any:
        return and_(*(table.c[name] == place.c[name] for name in schema.PLACE))

    statement = (
        select(
            place.c.seq,
            place.c.hash,
            place.c.kept_as,
            schema.record.c.received_ms,
            schema.record_bytes.c.raw.label("fact"),
            schema.duplicate.c.raw.label("second"),
            schema.dead_letter.c.raw.label("dead"),
        )
        .outerjoin(schema.record, same(schema.record))
        .outerjoin(schema.record_bytes, _BYTES)
        .outerjoin(schema.duplicate, same(schema.duplicate))
        .outerjoin(schema.dead_letter, same(schema.dead_letter))
        .where(place.c.station == key.station, place.c.incarnation == key.incarnation, place.c.stream == key.stream)
        .order_by(place.c.seq)
    )
    yield from connection.execute(statement.execution_options(yield_per=ROWS_AT_ONCE))


def _check_sales(connection: Connection) -> Iterator[str]:
    """Every sale record has its row with the same litres and money, and no row is without a record."""
    record, sale = schema.record, schema.sale
    statement = (
        select(record.c.number, schema.record_bytes.c.raw, sale.c.volume_ml, sale.c.amount_minor)
        .join(schema.record_bytes, _BYTES)
        .outerjoin(sale, sale.c.record == record.c.number)
        .where(record.c.type == "fc.sale.v1")
    )
    for row in connection.execute(statement.execution_options(yield_per=ROWS_AT_ONCE)):
        if (row.volume_ml, row.amount_minor) != _litres_and_money(row.raw):
            yield f"record number {row.number}: the sale row does not say what its record says"


def _litres_and_money(raw: bytes) -> tuple[int, int] | None:
    """What a sale's record says; None for bytes that are none any more."""
    try:
        data = json.loads(raw)["data"]
        return data["volume_ml"], data["amount_minor"]
    except (ValueError, KeyError, TypeError):
        return None


def _check_intervals(connection: Connection) -> Iterator[str]:
    table = schema.sale_interval
    nozzle = (table.c.station, table.c.fuelling_point, table.c.nozzle)
    statement = select(table).where(table.c.start_key < table.c.end_key).order_by(*nozzle, table.c.start_key)
    last: Any = None
    for row in connection.execute(statement.execution_options(yield_per=ROWS_AT_ONCE)):
        here = (row.station, row.fuelling_point, row.nozzle)
        if last is not None and here == last[0] and row.start_key < last[1]:
            yield f"{here[0]} fuelling point {here[1]} nozzle {here[2]}: overlap at {totalizer_of(row.start_key)}"
        last = (here, row.end_key)


def _check_postings(connection: Connection) -> Iterator[str]:
    table = schema.posting
    total = func.sum(table.c.points)
    statement = select(table.c.record, total.label("total")).group_by(table.c.record).having(total != literal(0))
    for row in connection.execute(statement):
        yield f"record number {row.record}: its postings sum to {row.total} points, not to 0"


def _check_places(connection: Connection) -> Iterator[str]:
    """No record without a place in a chain: counts agree per kind."""
    place = schema.record_hash
    for kept_as, table in ((FACT, schema.record), (DUPLICATE, schema.duplicate)):
        chained = connection.execute(select(func.count()).where(place.c.kept_as == kept_as)).scalar_one()
        stored = connection.execute(select(func.count()).select_from(table)).scalar_one()
        if chained != stored:
            yield f"{stored} rows in {table.name}, {chained} places in the chains"
