"""What the meters of a station counted in accepted sales: intervals of a nozzle that never overlap (W-24).

Works on the sheet of a batch, which remembers where each meter stands. Knows totalizers; knows no record.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import Connection, bindparam, func, select

from headoffice.store import schema
from headoffice.store.sheet import Nozzle, Sheet
from sync.messages import MAX_KNOWN, Rejected

KEY_DIGITS = 19
"""A totalizer's epoch and raw have at most 19 digits each; padded to that, text order is meter order."""

_TABLE = schema.sale_interval
KEY = ("station", "fuelling_point", "nozzle", "start_key", "end_key", "sub")
_NEWEST = (
    select(_TABLE.c.start_key, _TABLE.c.end_key)
    .where(
        _TABLE.c.station == bindparam("station"),
        _TABLE.c.fuelling_point == bindparam("fuelling_point"),
        _TABLE.c.nozzle == bindparam("nozzle"),
        _TABLE.c.end_key > _TABLE.c.start_key,
    )
    .order_by(_TABLE.c.start_key.desc())
    .limit(1)
)
"""The non-empty interval of a nozzle that starts last, and so ends last, for they never overlap."""

_LAST_BEFORE = _NEWEST.where(_TABLE.c.start_key < bindparam("end"))
"""The one that starts last before ``end``."""

_WITHIN = (
    select(_TABLE.c.start_key, _TABLE.c.end_key)
    .where(
        _TABLE.c.station == bindparam("station"),
        _TABLE.c.fuelling_point == bindparam("fuelling_point"),
        _TABLE.c.nozzle == bindparam("nozzle"),
        _TABLE.c.end_key > _TABLE.c.start_key,
        _TABLE.c.start_key < bindparam("end"),
        _TABLE.c.end_key > bindparam("start"),
    )
    .order_by(_TABLE.c.start_key)
)
"""Those that have litres between ``start`` and ``end``."""

_LAST_UP_TO = select(func.max(_TABLE.c.end_key)).where(
    _TABLE.c.station == bindparam("station"),
    _TABLE.c.fuelling_point == bindparam("fuelling_point"),
    _TABLE.c.nozzle == bindparam("nozzle"),
    (_TABLE.c.start_key < bindparam("end")) | (_TABLE.c.end_key == bindparam("end")),
)
"""The greatest end of those that have litres before ``end``, and of an empty one at it."""


_NEWEST_OF_MANY = """
SELECT wanted.station, fuelling_point, nozzle, start_key, end_key
FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS wanted (station, point, number) CROSS JOIN LATERAL (
    SELECT * FROM sale_interval
    WHERE station = wanted.station AND fuelling_point = point AND nozzle = number AND end_key > start_key
    ORDER BY start_key DESC LIMIT 1
) AS newest
"""
"""For PostgreSQL, where each question costs a way to the server and back."""


@lru_cache(maxsize=4_096)  # a sale begins where the last one ended, and each is asked when judged and when written
def meter_key(totalizer: str) -> str:
    """``epoch:raw`` as a text that sorts as the meter counts."""
    epoch, raw = totalizer.split(":")
    return f"{epoch:0>{KEY_DIGITS}}:{raw:0>{KEY_DIGITS}}"


def totalizer_of(key: str) -> str:
    """The ``epoch:raw`` of a meter key."""
    epoch, raw = key.split(":")
    return f"{int(epoch)}:{int(raw)}"


def expect(sheet: Sheet, wanted: Sequence[Nozzle]) -> None:
    """Look up at once where many meters stand, where that is cheaper than one by one."""
    if sheet.connection.dialect.name == "postgresql" and len(wanted) > 1:
        sheet.newest.update(dict.fromkeys(wanted))
        columns = tuple(map(list, zip(*wanted, strict=True)))
        for row in sheet.connection.exec_driver_sql(_NEWEST_OF_MANY, columns):
            sheet.newest[Nozzle(row[0], row[1], row[2])] = (row[3], row[4])


def examine(sheet: Sheet, nozzle: Nozzle, sub: int | None, start: str, end: str) -> Rejected | None:
    """Say why the litres between two meter keys may be in no further sale of a nozzle; None if they may.

    Accepted intervals never overlap, so the last one that starts before our end decides; nearly always nothing starts
    behind where the meter stands, and that is remembered.
    """
    if end < start:
        return Rejected("bad_interval", f"totalizer goes back from {totalizer_of(start)} to {totalizer_of(end)}")
    if start == end:
        taken = sheet.find(_TABLE, KEY, (*nozzle, start, end, sub or 0))
        return None if taken is None else Rejected("overlap", f"{totalizer_of(start)} sub {sub} is taken")
    newest = _newest(sheet, nozzle)
    if newest is None or newest[1] <= start:
        return None
    before = sheet.read().execute(_LAST_BEFORE, {**nozzle._asdict(), "end": end}).first()
    if before is None or before.end_key <= start:
        return None
    stored = f"{totalizer_of(before.start_key)} to {totalizer_of(before.end_key)}"
    return Rejected("overlap", f"{totalizer_of(start)} to {totalizer_of(end)} overlaps {stored}")


def known_within(connection: Connection, nozzle: Nozzle, start: str, end: str) -> tuple[tuple[str, str], ...]:
    """Between which totalizers accepted sales have litres of ``start`` to ``end``, merged and in order; empty if in too
    many pieces for an ack.
    """
    spans: list[list[str]] = []
    for row in connection.execute(_WITHIN, {**nozzle._asdict(), "start": meter_key(start), "end": meter_key(end)}):
        if spans and spans[-1][1] == row.start_key:
            spans[-1][1] = row.end_key
        else:
            spans.append([row.start_key, row.end_key])
        if len(spans) > MAX_KNOWN:
            return ()
    return tuple((totalizer_of(first), totalizer_of(last)) for first, last in spans)


def covers(connection: Connection, nozzle: Nozzle, start: str, end: str) -> bool:
    """Whether accepted sales have every litre between two totalizers."""
    known = known_within(connection, nozzle, start, end)
    return len(known) == 1 and meter_key(known[0][0]) <= meter_key(start) and meter_key(end) <= meter_key(known[0][1])


def last_before(connection: Connection, nozzle: Nozzle, end: str) -> str:
    """Up to which meter key accepted sales go that have litres before ``end``; empty = there are none."""
    return str(connection.execute(_LAST_UP_TO, {**nozzle._asdict(), "end": end}).scalar_one() or "")


def add(sheet: Sheet, nozzle: Nozzle, record: int, keys: tuple[str, str], sub: int) -> None:
    """Add an accepted interval between two meter keys. ``record``: the number of its sale."""
    start, end = keys
    newest = _newest(sheet, nozzle)
    sheet.put(_TABLE, (record, *nozzle, start, end, sub))
    if start < end and (newest is None or newest[0] < start):
        sheet.newest[nozzle] = (start, end)


def _newest(sheet: Sheet, nozzle: Nozzle) -> tuple[str, str] | None:
    if nozzle not in sheet.newest:  # then nothing of it waits on the sheet either
        row = sheet.connection.execute(_NEWEST, nozzle._asdict()).first()
        sheet.newest[nozzle] = None if row is None else (row.start_key, row.end_key)
    return sheet.newest[nozzle]
