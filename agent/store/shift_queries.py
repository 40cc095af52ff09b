"""What people look up about staff and shifts: read-only, plain sqlite3, integers with units in the key names."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from agent.domain.shift import Account
from agent.settings import Settings
from agent.store.queries import MAX_ROWS, NotFound, utc
from agent.store.shift_facts import facts
from agent.store.shifts import grades_of, marks_now, marks_of

_SHIFTS = "SELECT * FROM shift ORDER BY number DESC LIMIT ?"
_ONE = "SELECT * FROM shift WHERE number = ? OR id LIKE ? OR id LIKE ? ORDER BY number LIMIT 2"
_NEWEST = "SELECT * FROM shift ORDER BY closed_ms IS NULL DESC, number DESC LIMIT 1"
_STAFF = "SELECT id, name, role, active, pin_hash IS NOT NULL AS pin, badge IS NOT NULL AS badge FROM staff ORDER BY id"
_HERE = "SELECT staff, terminal, since_ms FROM attendance WHERE until_ms IS NULL ORDER BY terminal"
_HISTORY = """
SELECT terminal, since_ms, until_ms, ended FROM attendance WHERE staff = ? ORDER BY since_ms DESC, id DESC LIMIT ?
"""


class ShiftQueries:
    """Questions about the shifts and the staff of one station."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._path: Path = settings.store.path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA query_only=1")
            connection.execute("BEGIN")  # counts and sales of one moment
            yield connection

    def shifts(self, *, limit: int) -> list[dict[str, Any]]:
        """Return shifts, newest first; of closed ones with their totals."""
        with self._open() as db:
            rows = db.execute(_SHIFTS, (min(limit, MAX_ROWS),)).fetchall()
        return [{**_header(row), "totals": None if row["report"] is None else _report(row)["totals"]} for row in rows]

    def shift(self, which: str | None) -> dict[str, Any]:
        """Return one shift by number or by the beginning or end of its id; the open one, or the last. Raises NotFound.

        A closed one as it was closed; an open one as it stands.
        """
        with self._open() as db:
            row = self._find(db, which)
            report = _report(row) if row["report"] is not None else self._so_far(db, row)
        station = self._settings.station
        return {**_header(row), **report, "currency": station.currency, "exponent": station.exponent}

    @staticmethod
    def _find(db: sqlite3.Connection, which: str | None) -> sqlite3.Row:
        if which is None:
            rows = db.execute(_NEWEST).fetchall()
            problem = "there has been no shift"
        else:
            number = int(which) if which.isascii() and which.isdigit() else -1
            like = which.upper() if which.isalnum() else "-"
            rows = db.execute(_ONE, (number, f"{like}%", f"%{like}")).fetchall()
            rows = [row for row in rows if row["number"] == number] or rows
            problem = f"no shift is called {which!r}" if not rows else f"more than one shift is called {which!r}"
        if len(rows) != 1:
            raise NotFound(problem, hint="forecourt shift list tells the numbers")
        found: sqlite3.Row = rows[0]
        return found

    def _so_far(self, db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
        stored = {r["fuelling_point"]: json.loads(r["memory"]) for r in db.execute("SELECT * FROM point_memory")}
        newest = db.execute("SELECT max(time_ms) FROM journal").fetchone()[0]
        account = Account(facts(db, row["from_ms"], newest + 1))
        return account.shown(marks_of(row["open_marks"]), marks_now(grades_of(self._settings), stored))

    def staff(self) -> list[dict[str, Any]]:
        """Return everybody of the station, from the configuration and from the database, and where they are."""
        with self._open() as db:
            rows = [dict(row) for row in db.execute(_STAFF)]
            here = db.execute(_HERE).fetchall()
        people = [
            {
                "staff": person.id,
                "name": person.name,
                "role": person.role,
                "active": True,
                "pin": person.pin_hash is not None,
                "badge": person.badge is not None,
                "source": "configuration",
            }
            for person in self._settings.staff
        ]
        for row in rows:
            truths = {name: bool(row[name]) for name in ("active", "pin", "badge")}
            people.append(
                {"staff": row["id"], "name": row["name"], "role": row["role"], **truths, "source": "database"}
            )
        for person in people:
            person["terminals"] = [r["terminal"] for r in here if r["staff"] == person["staff"]]
        return sorted(people, key=lambda person: str(person["staff"]))

    def person(self, staff_id: str, *, limit: int) -> dict[str, Any]:
        """Return one person with when they were signed in where, newest first. Raises NotFound."""
        found = next((person for person in self.staff() if person["staff"] == staff_id), None)
        if found is None:
            raise NotFound(f"there is nobody with the id {staff_id!r}", hint="forecourt staff lists the ids")
        with self._open() as db:
            rows = db.execute(_HISTORY, (staff_id, min(limit, MAX_ROWS))).fetchall()
        attendances = [
            {
                "terminal": row["terminal"],
                "since": utc(row["since_ms"]),
                "until": utc(row["until_ms"]),
                "ended": row["ended"],
            }
            for row in rows
        ]
        return {**found, "attendances": attendances}


def _header(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "shift": row["id"],
        "number": row["number"],
        "state": "open" if row["closed_ms"] is None else "closed",
        "from": utc(row["from_ms"]),
        "opened_at": utc(row["opened_ms"]),
        "opened_by": row["opened_by"],
        "closed_at": utc(row["closed_ms"]),
        "closed_by": row["closed_by"],
    }


def _report(row: sqlite3.Row) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(row["report"])
    return value
