"""Durable state of the domain's machines, as JSON text per subject; and baselines, prices and documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlmodel import SQLModel, col

from agent.store.prepared import Prepared, raw
from agent.store.rebirth import running_generation
from agent.store.tables import (
    AlertMemory,
    Baseline,
    DeskMemory,
    Document,
    Meta,
    PointMemory,
    Price,
    PriceInForce,
    TankLevel,
)

_dump = json.JSONEncoder(separators=(",", ":")).encode


def _replacing(table: type[SQLModel], key: str) -> Prepared:
    """Return an upsert of whole rows with one key."""
    statement = upsert(table)
    rest = {column.key: column for column in statement.excluded if column.key != key}
    return Prepared(statement.on_conflict_do_update([key], set_=rest))


_SAVE_POINT = _replacing(PointMemory, "fuelling_point")
_SAVE_DESK = _replacing(DeskMemory, "id")
_SAVE_ALERTS = _replacing(AlertMemory, "subject")
_SET_META = _replacing(Meta, "key")
_SAVE_TANK = _replacing(TankLevel, "tank")
_ADD_BASELINE = Prepared(insert(Baseline).inline().values(generation=running_generation()))
_META = Prepared(select(col(Meta.value)).where(col(Meta.key) == bindparam("of_key")))


class MemoryTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def save_point(self, fuelling_point: int, memory: Mapping[str, Any]) -> None:
        """Keep the durable state of one fuelling point."""
        _SAVE_POINT.run(self._raw, {"fuelling_point": fuelling_point, "memory": _dump(memory)})

    def points(self) -> dict[int, dict[str, Any]]:
        """Return the durable state of every fuelling point ever seen."""
        rows = self._connection.execute(select(col(PointMemory.fuelling_point), col(PointMemory.memory)))
        return {number: json.loads(memory) for number, memory in rows}

    def save_desk(self, memory: str) -> None:
        """Keep the durable state of linking, as JSON."""
        _SAVE_DESK.run(self._raw, {"id": 1, "memory": memory})

    def desk(self) -> dict[str, Any] | None:
        """Return the durable state of linking, ``None`` in a new database."""
        text = self._connection.execute(select(col(DeskMemory.memory))).scalar()
        return None if text is None else json.loads(text)

    def save_alerts(self, subject: str, memory: Mapping[str, Any]) -> None:
        """Keep the alert machines of one subject."""
        _SAVE_ALERTS.run(self._raw, {"subject": subject, "memory": _dump(memory)})

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Return the alert machines of every subject."""
        rows = self._connection.execute(select(col(AlertMemory.subject), col(AlertMemory.memory)))
        return {subject: json.loads(memory) for subject, memory in rows}

    def add_baseline(self, values: Mapping[str, Any]) -> None:
        """Keep one meter baseline; ``seq`` is that of its record in the incarnation that runs."""
        _ADD_BASELINE.run(self._raw, values)

    def save_tank(self, values: Mapping[str, Any]) -> None:
        """Keep the newest reading of a tank."""
        _SAVE_TANK.run(self._raw, values)

    def add_price(self, grade: str, unit_price_milli: int, effective_from_ms: int, source: str, person: str) -> None:
        """Set the unit price of a grade from an instant on; the same grade and instant is replaced."""
        values = {"unit_price_milli": unit_price_milli, "source": source, "person": person}
        statement = upsert(Price).values(grade=grade, effective_from_ms=effective_from_ms, **values)
        self._connection.execute(statement.on_conflict_do_update(["grade", "effective_from_ms"], set_=values))

    def put_in_force(self, fuelling_point: int, nozzle: int, unit_price_milli: int, wall_ms: int) -> None:
        """Keep that a nozzle sells at this unit price from an instant on."""
        key = {"fuelling_point": fuelling_point, "nozzle": nozzle, "since_ms": wall_ms}
        statement = upsert(PriceInForce).values(**key, unit_price_milli=unit_price_milli)
        changed = {"unit_price_milli": unit_price_milli}
        self._connection.execute(statement.on_conflict_do_update(list(key), set_=changed))

    def prices_at(self, wall_ms: int) -> dict[str, int]:
        """Return the unit price in force per grade."""
        newest = (
            select(col(Price.grade), func.max(col(Price.effective_from_ms)).label("since"))
            .where(col(Price.effective_from_ms) <= wall_ms)
            .group_by(col(Price.grade))
            .subquery()
        )
        rows = self._connection.execute(
            select(col(Price.grade), col(Price.unit_price_milli)).join(
                newest,
                (newest.c.grade == col(Price.grade)) & (newest.c.since == col(Price.effective_from_ms)),
            )
        )
        return dict(rows.tuples().all())

    def next_price_change(self, wall_ms: int) -> int | None:
        """Return when the next price of the table takes effect after ``wall_ms``."""
        return self._connection.execute(
            select(func.min(col(Price.effective_from_ms))).where(col(Price.effective_from_ms) > wall_ms)
        ).scalar()

    def add_document(self, kind: str, version: int, digest: str, body: bytes, effective_from_ms: int) -> bool:
        """Keep a verified document; returns False when this version is known already."""
        statement = upsert(Document).values(
            kind=kind,
            version=version,
            hash=digest,
            body=body,
            effective_from_ms=effective_from_ms,
            activated_ms=None,
        )
        return self._connection.execute(statement.on_conflict_do_nothing()).rowcount == 1

    def activate_document(self, kind: str, version: int, wall_ms: int) -> None:
        """Mark a document as the one in force from now on."""
        here = (col(Document.kind) == kind) & (col(Document.version) == version)
        self._connection.execute(update(Document).where(here).values(activated_ms=wall_ms))

    def active_document(self, kind: str) -> tuple[int, str, bytes] | None:
        """Return (version, hash, body) of the document in force."""
        row = self._connection.execute(
            select(col(Document.version), col(Document.hash), col(Document.body))
            .where((col(Document.kind) == kind) & (col(Document.activated_ms).is_not(None)))
            .order_by(col(Document.version).desc())
            .limit(1)
        ).first()
        return None if row is None else (row[0], row[1], bytes(row[2]))

    def document(self, kind: str, version: int) -> tuple[str, bytes] | None:
        """Return (hash, body) of one version."""
        here = (col(Document.kind) == kind) & (col(Document.version) == version)
        row = self._connection.execute(select(col(Document.hash), col(Document.body)).where(here)).first()
        return None if row is None else (row[0], bytes(row[1]))

    def next_document(self, kind: str) -> int | None:
        """Return when the next document not yet in force takes effect."""
        waiting = (col(Document.kind) == kind) & (col(Document.activated_ms).is_(None))
        return self._connection.execute(select(func.min(col(Document.effective_from_ms))).where(waiting)).scalar()

    def has_document(self, kind: str, digest: str) -> bool:
        """Return whether a document with this hash is kept."""
        here = (col(Document.kind) == kind) & (col(Document.hash) == digest)
        return self._connection.execute(select(col(Document.version)).where(here)).first() is not None

    def due_document(self, kind: str, wall_ms: int) -> tuple[int, str, bytes] | None:
        """Return the newest document not yet in force whose time has come and that is newer than the active one."""
        active = self.active_document(kind)
        row = self._connection.execute(
            select(col(Document.version), col(Document.hash), col(Document.body))
            .where(
                (col(Document.kind) == kind)
                & (col(Document.activated_ms).is_(None))
                & (col(Document.effective_from_ms) <= wall_ms)
                & (col(Document.version) > (active[0] if active else -1))
            )
            .order_by(col(Document.version).desc())
            .limit(1)
        ).first()
        return None if row is None else (row[0], row[1], bytes(row[2]))

    def meta(self, key: str) -> str | None:
        """Return one fact about this database."""
        found = _META.first(self._raw, {"of_key": key})
        return None if found is None else found["value"]

    def set_meta(self, key: str, value: str) -> None:
        """Write one fact about this database."""
        _SET_META.run(self._raw, {"key": key, "value": value})

    def forget_meta(self, key: str) -> None:
        """Drop one fact about this database."""
        self._connection.execute(delete(Meta).where(col(Meta.key) == key))
