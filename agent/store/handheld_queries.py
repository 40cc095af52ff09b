"""What handhelds are shown out of the database: read-only, plain sqlite3. Of a sale's member only that there is one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from agent.store.queries import utc

MOST = 60
"""Unpaid sales on one screen: a point has at most its unpaid limit, usually two."""


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def unpaid(path: Path, points: Sequence[int], now_ms: int) -> list[dict[str, Any]]:
    """Return the payable sales of ``points``, newest first, and who works on one. Raises sqlite3.Error."""
    marks = ", ".join("?" * len(points))
    with _open(path) as db:
        rows = db.execute(f"{_UNPAID} AND s.fuelling_point IN ({marks}) {_NEWEST}", (now_ms, *points, MOST)).fetchall()
    return [dict(row) for row in rows]


def signed_in(path: Path, device: str) -> tuple[str | None, str | None, bool]:
    """Return (id, name) of who is signed in at ``device``, and whether the list of staff has anybody."""
    with _open(path) as db:
        row = db.execute(_SIGNED_IN, (device,)).fetchone()
        has_staff = db.execute("SELECT EXISTS (SELECT 1 FROM staff)").fetchone()[0]
    return (None, None, bool(has_staff)) if row is None else (row["staff"], row["name"], bool(has_staff))


def paired(path: Path) -> list[dict[str, Any]]:
    """Return the paired devices, by name. Raises sqlite3.Error."""
    with _open(path) as db:
        rows = db.execute("SELECT id, kind, count, paired_ms, paired_by, seen_ms FROM handheld ORDER BY id").fetchall()
    return [
        {
            "handheld": row["id"],
            "kind": row["kind"],
            "paired": utc(row["paired_ms"]),
            "paired_by": row["paired_by"],
            "count": row["count"] if row["kind"] == "native" else None,
            "seen": utc(row["seen_ms"]),
        }
        for row in rows
    ]


_UNPAID = """
SELECT s.id, s.fuelling_point, s.nozzle, s.grade, s.volume_ml, s.amount_minor, s.ended_ms,
       EXISTS (SELECT 1 FROM link l WHERE l.sale = s.id AND l.active = 1) AS linked,
       (SELECT c.terminal FROM claim c WHERE c.sale = s.id AND coalesce(c.until_ms > ?, 1)) AS claimed_by
FROM sale s WHERE s.state = 'Payable'
"""
_NEWEST = "ORDER BY s.ended_ms DESC, s.id DESC LIMIT ?"
_SIGNED_IN = """
SELECT a.staff, s.name FROM attendance a LEFT JOIN staff s ON s.id = a.staff
WHERE a.terminal = ? AND a.until_ms IS NULL
"""
