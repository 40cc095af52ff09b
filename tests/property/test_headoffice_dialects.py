"""SQLite and PostgreSQL judge alike: the same batches of several stations into both, and every table is the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from headoffice.ingest import ingest, ingest_all
from headoffice.store import schema
from headoffice.store.database import Database
from headoffice.store.verify import verify
from tests.support import template
from tests.support.examples import tries
from tests.support.headoffice_station import NOW_MS, TIME, Stream, alert_data, sale_data, settled_data, ulid
from tests.support.postgres import Postgres

MONTH_MS = 31 * 86_400_000
INCARNATIONS = ("0" * 32, "f" * 32)
MEMBER = "567014f1b3c2a9de"
HOSTILE = "a\0b"

small = st.integers(0, 6)
RECORD = st.one_of(
    st.tuples(st.just("sale"), small, small, small),
    st.tuples(st.just("counted"), small, small, small),
    st.tuples(st.just("settled"), small, small, small),
    st.tuples(st.just("linked"), small, small, small),
    st.tuples(st.just("corrected"), small, small, small),
    st.tuples(st.just("points"), small, small, small),
    st.tuples(st.just("enrolled"), small, small, small),
    st.tuples(st.just("delivery"), small, small, small),
    st.tuples(st.just("baseline"), small, small, small),
    st.tuples(st.just("shift"), small, small, small),
    st.tuples(st.just("audit"), small, small, small),
    st.tuples(st.just("unheard"), small, small, small),
)
STREAM = st.tuples(st.integers(0, 1), st.integers(0, 1), st.lists(RECORD, min_size=1, max_size=12))
CUT = st.lists(st.tuples(st.integers(0, 7), st.integers(1, 14), st.integers(1, 9), st.integers(0, 2)), max_size=14)
TOGETHER = st.lists(st.integers(1, 5), max_size=8)


def leg(account: str, points: int, **more: Any) -> dict[str, Any]:
    return {"account": account, "points": points, "lot": None, **more}


def data_of(kind: str, a: int, b: int, c: int) -> tuple[str, dict[str, Any]]:
    """The type and data of a record; small numbers collide on purpose, and free members hold what no table takes."""
    sale = ulid(500_000 + a)
    postings = [leg("member:available", b, member=[MEMBER, None, {"no": "id"}][c % 3]), leg("program:issued", -b)]
    told: dict[str, tuple[str, dict[str, Any]]] = {
        "sale": ("sale.v1", sale_data(a, f"0:{b * 10}", f"{c // 6}:{b * 10 + c}", sub=c or None, grade=HOSTILE)),
        "counted": ("sale.v1", sale_data(10 + a, None, None, counter=b)),
        "settled": ("sale.settled.v1", settled_data(sale, points_earned=b)),
        "linked": (
            "sale.linked.v1",
            {"sale": sale, "member": MEMBER, "level": "L2", "by": HOSTILE, "delay_s": b}
            | {"code": None if c < 3 else f"sun:{'ab' * 16}:{c}"},
        ),
        "corrected": (
            "sale.corrected.v1",
            {"sale": sale, "what": "void", "old": None, "new": None, "by": None, "role": None, "reason": HOSTILE}
            | {"postings": postings, "delay_s": None},
        ),
        "points": ("points.v1", {"member": MEMBER, "why": "grant", "postings": postings}),
        "enrolled": (
            "member.enrolled.v1",
            {"member": f"{a:016x}", "indexes": [f"{b:032x}"], "mask": HOSTILE, "plate_index": f"{c:032x}"}
            | {"contact": None, "by": None, "welcome": None},
        ),
        "delivery": (
            "tank.delivery.v1",
            {"tank": a % 2, "grade": None, "start": TIME, "end": TIME, "start_volume_ml": b, "end_volume_ml": None}
            | {"delivered_ml": 4, "temperature_mdegc": None, "note_ml": None}
            | ({} if c < 3 else {"console_start": f"2026-11-21T08:0{c}"}),
        ),
        "baseline": (
            "meter.baseline.v1",
            {"fuelling_point": 1, "nozzle": 1, "totalizer": f"0:{b}", "totalizer_unit_ml": 1, "reason": "confirm"},
        ),
        "shift": ("shift.v1", {"shift": ulid(a), "event": "opened", "number": 1 + b, "by": HOSTILE}),
        "audit": (
            "audit.v1",
            {"who": HOSTILE, "role": None, "action": "members.forget", "object": {"x": HOSTILE}, "reason": None}
            | {"result": None},
        ),
        "unheard": (f"unheard{'.v1' if a else HOSTILE}", {}),
    }
    name, data = told[kind]
    return f"fc.{name}", data


def build(spec: tuple[int, int, list[tuple[str, int, int, int]]]) -> Stream:
    station, life, records = spec
    stream = Stream(station=f"S-{station}", incarnation=INCARNATIONS[life]).begin()
    for kind, a, b, c in records:
        name, data = data_of(kind, a, b, c)
        stream.add(name, data, record_id=ulid(7_000 + a * 10 + b) if c == 5 else None)
    return stream


def alarms() -> Stream:
    """Alerts with free members where a table has a column for something else."""
    stream = Stream(name="A", station="S-0")
    stream.add("fc.tank.alert.v1", alert_data())
    free = {"value": {}, "limit": [], "unit": {"a": 1}, "tank": []}
    stream.add("fc.device.alert.v1", {"subject": HOSTILE, "alert": "x", "state": "raised", "evidence": {}, **free})
    compared = {"observed": True, "threshold": 3, "unit": HOSTILE}
    stream.add("fc.fraud.alert.v1", {"subject": "a", "alert": "R6", "state": "raised", "evidence": compared})
    return stream


def contents(database: Database) -> dict[str, list[Any]]:
    """Every row of every table, with the numbers of records replaced by their names: only those may differ."""
    with database.read() as connection:
        names = {row.number: (row.station, row.id) for row in connection.execute(select(schema.record))}
        found = {}
        for table in schema.metadata.sorted_tables:
            rows = []
            for row in connection.execute(select(table)).mappings():
                values = dict(row)
                for column in ("record", "duplicate_of", "number"):
                    if column in values and (column != "number" or table.name in ("record", "record_bytes")):
                        values[column] = names.get(values[column])
                if table.name == "own_alert":
                    values["detail"] = values["detail"].rsplit(" number ", 1)[0]
                rows.append(values)
            found[table.name] = sorted(rows, key=repr)
    return found


@contextmanager
def both(server: Postgres) -> Iterator[tuple[Database, Database]]:
    folder = template.new_folder()
    try:
        with (
            closing(template.head_office(folder / "hq.sqlite")) as one,
            server.database() as url,
            closing(Database(url)) as other,
        ):
            yield one, other
    finally:
        shutil.rmtree(folder)


def in_groups(deliveries: list[tuple[Stream, int, int, int]], sizes: list[int]) -> Iterator[tuple[Any, int]]:
    """What waits together, as (topic, payload), and the month in which it is taken."""
    waiting = list(deliveries)
    for size in [*sizes, *[1] * len(waiting)]:
        group, waiting = waiting[:size], waiting[size:]
        if group:
            firsts = [(stream, min(start, len(stream.raws)), length) for stream, start, length, _ in group]
            payloads = [
                (stream.topic, stream.payload(first, min(first + length - 1, len(stream.raws))))
                for stream, first, length in firsts
            ]
            yield payloads, group[0][3]


@settings(max_examples=tries(15), deadline=None)
@given(st.lists(STREAM, min_size=1, max_size=3), CUT, TOGETHER)
def test_the_same_batches_leave_the_same_rows_on_both(
    postgres: Postgres, specs: list[Any], cuts: list[Any], sizes: list[int]
) -> None:
    """[W-20] [W-24] Whatever arrives, in whatever order and month, taken one by one here and several by one commit
    there: equal acks, equal tables, and both verify.
    """
    streams = [*map(build, specs), alarms()]
    deliveries = [(streams[which % len(streams)], first, size, month) for which, first, size, month in cuts]
    deliveries += [(stream, 1, len(stream.raws), month) for stream in streams for month in (0, 1)]
    with both(postgres) as databases:
        for group, month in in_groups(deliveries, sizes):
            now_ms = NOW_MS + month * MONTH_MS
            one_by_one = [ingest(databases[0], topic, payload, now_ms) for topic, payload in group]
            assert one_by_one == ingest_all(databases[1], group, now_ms)
        assert contents(databases[0]) == contents(databases[1])
        for database in databases:
            found = verify(database)
            assert [text for text in found.findings if "postings sum" not in text] == []
