"""What ``verify`` recomputes of shifts: each closed one is closed again from its facts, and none leaves out a moment.

Reads only, plain sqlite3; the check is called from ``verify``.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from agent.domain.shift import Account
from agent.store.pruned import Pruned
from agent.store.shift_facts import facts
from agent.store.shifts import counted_of, marks_of
from agent.store.verify_loyalty import Finding, Records


def shifts(db: sqlite3.Connection, records: Records) -> Iterator[Finding]:
    """Sums of closed shifts against their sales, rows against their records, each shift against the one before."""
    told: defaultdict[str, dict[str, Any]] = defaultdict(lambda: {"nozzles": [], "attendants": []})
    for _, record in records(db, "fc.shift.v1"):
        _heard(told[record["data"]["shift"]], record["data"])
    before: sqlite3.Row | None = None
    pruned = Pruned(db)
    for row in db.execute("SELECT * FROM shift ORDER BY number"):
        where = f"shift {row['number']}"
        if before is not None and (row["from_ms"], row["open_marks"]) != (before["closed_ms"], before["close_marks"]):
            yield where, "does not begin where the one before ended"
        before = row
        if pruned.covers(row["from_ms"]):
            continue  # what it was closed from is not all here any more
        if row["closed_ms"] is not None:
            yield from _closed(db, where, row, told.get(row["id"], {}))
        elif row["id"] not in told:
            yield where, "is in no journal record"


def _heard(known: dict[str, Any], data: dict[str, Any]) -> None:
    if data["event"] == "closed":
        known |= {"totals": data["totals"], "count": data["count"]}
    elif data["event"] in known:
        known[data["event"]].extend(data["rows"])


def _closed(db: sqlite3.Connection, where: str, row: sqlite3.Row, told: dict[str, Any]) -> Iterator[Finding]:
    stored = json.loads(row["report"])
    account = Account(facts(db, row["from_ms"], row["closed_ms"]))
    counted = counted_of(row["counted"])
    again = account.shown(marks_of(row["open_marks"]), marks_of(row["close_marks"]), counted)
    for part in ("totals", "nozzles", "attendants", "count"):
        if stored.get(part) != again[part]:
            yield where, f"its {part} are {_differing(stored.get(part), again[part])} recomputed"
        if told.get(part) != stored.get(part):
            yield where, f"its {part} are not what its record says"


def _differing(stored: Any, again: Any) -> str:
    """Name the first number that is off."""
    if isinstance(stored, dict) and isinstance(again, dict):
        for name in sorted({*stored, *again}):
            if stored.get(name) != again.get(name):
                return f"{name} {stored.get(name)}, {again.get(name)}"
    if isinstance(stored, list) and isinstance(again, list):
        for one, other in zip(stored, again, strict=False):
            if one != other:
                return _differing(one, other)
        return f"{len(stored)} rows, {len(again)}"
    return f"{stored}, {again}"
