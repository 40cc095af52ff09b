"""What people see of the link beside its streams: commands and open requests. Read-only, plain sqlite3."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from agent.store.queries import MAX_ROWS, utc


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection:
        connection.row_factory = sqlite3.Row
        yield connection


def commands(path: Path, *, limit: int = 20) -> list[dict[str, Any]]:
    """Return what head office ordered, newest first; ``status`` is null while it is not answered."""
    with _open(path) as db:
        rows = db.execute(_COMMANDS, (min(limit, MAX_ROWS),)).fetchall()
    return [
        {
            **{name: row[name] for name in ("cmd_id", "kind", "by", "status", "reason", "tries")},
            "args": json.loads(row["args"]),
            "data": None if row["data"] is None else json.loads(row["data"]),
            "received": utc(row["received_ms"]),
            "answered": utc(row["answered_ms"]),
            "not_after": utc(row["not_after_ms"]),
        }
        for row in rows
    ]


def requests(path: Path) -> list[dict[str, Any]]:
    """Return what this station has asked head office and has no answer to, oldest first."""
    with _open(path) as db:
        rows = db.execute(_REQUESTS, (MAX_ROWS,)).fetchall()
    return [
        {"id": row["id"], "kind": row["kind"], "about": row["about"], "asked": utc(row["asked_ms"])} for row in rows
    ]


_COMMANDS = "SELECT * FROM command ORDER BY received_ms DESC, cmd_id DESC LIMIT ?"
_REQUESTS = "SELECT id, kind, about, asked_ms FROM request ORDER BY asked_ms, id LIMIT ?"
