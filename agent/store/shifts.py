"""Shifts and litres that were not sold, inside the caller's transaction; marks as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from agent.domain.sale import Totalizer
from agent.domain.shift import Account, Amounts, Mark
from agent.settings import Settings
from agent.store.people_tables import FUEL_USE, SHIFT
from agent.store.prepared import Found, raw
from agent.store.shift_facts import facts


class ShiftTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _one(self, *where: Any) -> Found | None:
        row = self._connection.execute(select(SHIFT).where(*where)).mappings().first()
        return None if row is None else dict(row)

    def current(self) -> Found | None:
        """Return the open shift."""
        return self._one(SHIFT.c.closed_ms.is_(None))

    def last(self) -> Found | None:
        """Return the shift that was opened last."""
        newest = select(func.max(SHIFT.c.number)).scalar_subquery()
        return self._one(SHIFT.c.number == newest)

    def of_request(self, column: str, request: str) -> Found | None:
        """Return the shift that this request opened or closed (``open_request``, ``close_request``)."""
        return self._one(SHIFT.c[column] == request)

    def open(self, values: Mapping[str, Any]) -> None:
        """Insert an open shift; a second one raises IntegrityError, our bug."""
        self._connection.execute(insert(SHIFT), {"open": 1, **values})

    def close(self, shift: str, values: Mapping[str, Any]) -> None:
        """Close an open shift."""
        here = (SHIFT.c.id == shift) & SHIFT.c.closed_ms.is_(None)
        closed = self._connection.execute(update(SHIFT).where(here).values(open=None, **values))
        assert closed.rowcount == 1, "only an open shift is closed"

    def account(self, from_ms: int, to_ms: int) -> Account:
        """Return the books of everything that was written between two instants."""
        return Account(facts(raw(self._connection), from_ms, to_ms))

    def add_use(self, values: Mapping[str, Any]) -> None:
        """Insert litres that were not sold."""
        self._connection.execute(insert(FUEL_USE), dict(values))

    def use_of(self, *, sale: str | None = None, request: str | None = None) -> Found | None:
        """Return what was said of a sale, or by a request."""
        here = FUEL_USE.c.sale == sale if request is None else FUEL_USE.c.request == request
        row = self._connection.execute(select(FUEL_USE).where(here)).mappings().first()
        return None if row is None else dict(row)


def mark_rows(marks: Iterable[Mark]) -> str:
    """Return marks as the table keeps them."""
    rows = [
        {
            "fuelling_point": mark.fuelling_point,
            "nozzle": mark.nozzle,
            "grade": mark.grade,
            "totalizer": None if mark.total is None else str(mark.total),
            "unit_ml": mark.unit_ml,
            "modulus": mark.modulus,
            "accepted_ml": mark.accepted_ml,
        }
        for mark in marks
    ]
    return json.dumps(rows, separators=(",", ":"))


def marks_of(text: str) -> tuple[Mark, ...]:
    """Return the marks of a row. Raises ValueError, KeyError or TypeError for what is none."""
    return tuple(
        Mark(
            row["fuelling_point"],
            row["nozzle"],
            row["grade"],
            None if row["totalizer"] is None else Totalizer.parse(row["totalizer"]),
            row["unit_ml"],
            row["modulus"],
            row["accepted_ml"],
        )
        for row in json.loads(text)
    )


def grades_of(settings: Settings) -> dict[tuple[int, int], str]:
    """Return the grade of each configured nozzle."""
    return {(point.id, nozzle.id): nozzle.grade for point in settings.fuelling_point for nozzle in point.nozzle}


def marks_now(grades: Mapping[tuple[int, int], str], points: Mapping[int, Mapping[str, Any]]) -> tuple[Mark, ...]:
    """Return where each configured nozzle's count stands, of the durable states of the fuelling points."""
    found = []
    for (point, nozzle), grade in sorted(grades.items()):
        meters = {meter["nozzle"]: meter for meter in points.get(point, {}).get("meters", ())}
        meter = meters.get(nozzle)
        if meter is None:
            found.append(Mark(point, nozzle, grade, None))
        else:
            total = Totalizer.parse(meter["total"])
            found.append(Mark(point, nozzle, grade, total, meter["unit_ml"], meter["modulus"], meter["accepted_ml"]))
    return tuple(found)


def counted_of(text: str) -> Amounts:
    """Return money counted, of a row."""
    return tuple(sorted((str(kind), int(amount)) for kind, amount in json.loads(text).items()))
