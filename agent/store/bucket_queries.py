"""What the member cache comes to, bucket by bucket, recomputed from its rows: read-only, sqlite3, one state of it."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from agent.store.buckets import TOLD
from agent.store.waiting import waiting_pairs
from sync.buckets import BUCKETS, Row, columns, sum_of

ML_PER_L = 1_000
EMPTY_SUM = sum_of(0, columns(()))


class Counted(NamedTuple):
    """The cache in one moment. ``have_op``: every change up to there is in it; ``buckets``: (op, sum) of each.

    Buckets that are to be fetched anyway are not among them.
    """

    have_op: int
    buckets: dict[int, tuple[int, bytes]]


def count_cache(path: Path, breathe: Callable[[], bool]) -> Counted | None:
    """Sum up every bucket; ``breathe`` is called after each that has members, and False from it ends the work."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5, isolation_level=None)) as db:
        db.execute("PRAGMA query_only=1")
        db.execute("BEGIN")
        found = db.execute("SELECT value FROM meta WHERE key = 'member_op'").fetchone()
        states = {row[0]: (row[1], row[2]) for row in db.execute("SELECT bucket, op, need FROM member_bucket")}
        inhabited = {row[0] for row in db.execute(_INHABITED)}
        told: dict[int, tuple[int, bytes]] = {}
        for number in range(BUCKETS):
            op, need = states.get(number, (0, None))
            if need is not None:
                continue
            if number not in inhabited:
                told[number] = (op, EMPTY_SUM)
                continue
            told[number] = (op, sum_of_bucket(db, number))
            if not breathe():
                return None
        return Counted(0 if found is None else int(found[0]), told)


def sum_of_bucket(db: sqlite3.Connection, number: int) -> bytes:
    """Return what one bucket comes to now."""
    digests: defaultdict[int, list[bytes]] = defaultdict(list)
    for ref, digest in db.execute(_DIGESTS, (number,)):
        digests[ref].append(bytes(digest))
    for digest, ref in waiting_pairs(db, number):
        digests[ref].append(digest)
    rows = [_row(row, digests) for row in db.execute(_MEMBERS, (number,))]
    return sum_of(len(rows), columns(rows))


def _row(row: tuple[Any, ...], digests: dict[int, list[bytes]]) -> Row:
    ref, member, tier, tags, flags, tank_ml, mask, birthday_md, lots = row
    return Row(
        member,
        tuple(sorted(digests.get(ref, ()))),
        tier,
        tuple(json.loads(tags)),
        tuple(json.loads(flags)),
        None if tank_ml is None else tank_ml // ML_PER_L,
        mask,
        birthday_md,
        tuple(_lot(lot) for lot in json.loads(lots)),
    )


def _lot(told: list[Any]) -> tuple[int, str | None, str | None, str | None]:
    points, usable_from, expires_on, *lot = told
    return points, usable_from, expires_on, lot[0] if lot else None


_INHABITED = "SELECT DISTINCT bucket FROM member"
_MEMBERS = f"""
SELECT ref, id, tier, tags, flags, tank_ml, mask, birthday_md, base_lots FROM member
WHERE bucket = ? AND {TOLD} ORDER BY id
"""  # noqa: S608
_DIGESTS = f"""
SELECT m.ref, i.digest FROM member m JOIN member_index i ON i.member_ref = m.ref
WHERE m.bucket = ? AND {TOLD.replace("ref >", "m.ref >").replace("known", "m.known").replace("op >", "m.op >")}
"""  # noqa: S608
