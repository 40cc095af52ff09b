"""Durable state of the domain's machines, as JSON text per subject; and baselines, prices and documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from agent.store.gauge_tables import TANK_LEVEL
from agent.store.prepared import Found, Prepared, raw
from agent.store.rebirth import running_generation
from agent.store.tables import (
    ALERT_MEMORY,
    BASELINE,
    DESK_MEMORY,
    DOCUMENT,
    META,
    POINT_MEMORY,
    PRICE,
    PRICE_IN_FORCE,
)

_dump = json.JSONEncoder(separators=(",", ":")).encode


def _replacing(table: Table, key: str) -> Prepared:
    """Return an upsert of whole rows with one key."""
    statement = upsert(table)
    rest = {column.key: column for column in statement.excluded if column.key != key}
    return Prepared(statement.on_conflict_do_update([key], set_=rest))


_SAVE_POINT = _replacing(POINT_MEMORY, "fuelling_point")
_SAVE_DESK = _replacing(DESK_MEMORY, "id")
_SAVE_ALERTS = _replacing(ALERT_MEMORY, "subject")
_SET_META = _replacing(META, "key")
_SAVE_TANK = _replacing(TANK_LEVEL, "tank")
_ADD_BASELINE = Prepared(insert(BASELINE).inline().values(generation=running_generation()))
_NEWEST = (
    select(PRICE.c.grade, func.max(PRICE.c.effective_from_ms).label("since"))
    .where(PRICE.c.effective_from_ms <= bindparam("at_ms"))
    .group_by(PRICE.c.grade)
    .subquery()
)
_PRICES = Prepared(
    select(PRICE.c.grade, PRICE.c.unit_price_milli).join(
        _NEWEST, (_NEWEST.c.grade == PRICE.c.grade) & (_NEWEST.c.since == PRICE.c.effective_from_ms)
    )
)
_NEXT_PRICE = Prepared(
    select(func.min(PRICE.c.effective_from_ms).label("at_ms")).where(PRICE.c.effective_from_ms > bindparam("after_ms"))
)
_OF_KIND = DOCUMENT.c.kind == bindparam("of_kind")
_WAITS = DOCUMENT.c.activated_ms.is_(None)
_NEWEST_DOCUMENT = (
    select(DOCUMENT.c.version, DOCUMENT.c.hash, DOCUMENT.c.body).order_by(DOCUMENT.c.version.desc()).limit(1)
)
_ACTIVE_DOCUMENT = Prepared(_NEWEST_DOCUMENT.where(_OF_KIND & DOCUMENT.c.activated_ms.is_not(None)))
_DUE_DOCUMENT = Prepared(
    _NEWEST_DOCUMENT.where(
        _OF_KIND
        & _WAITS
        & (DOCUMENT.c.effective_from_ms <= bindparam("at_ms"))
        & (DOCUMENT.c.version > bindparam("above"))
    )
)
_NEXT_DOCUMENT = Prepared(select(func.min(DOCUMENT.c.effective_from_ms).label("at_ms")).where(_OF_KIND & _WAITS))
_META = Prepared(select(META.c.value).where(META.c.key == bindparam("of_key")))


class MemoryTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)
        self.saved: dict[int, Mapping[str, Any]] = {}
        """The fuelling points that this transaction saved."""

    def save_point(self, fuelling_point: int, memory: Mapping[str, Any]) -> None:
        """Keep the durable state of one fuelling point."""
        self.saved[fuelling_point] = memory
        _SAVE_POINT.run(self._raw, {"fuelling_point": fuelling_point, "memory": _dump(memory)})

    def points(self) -> dict[int, dict[str, Any]]:
        """Return the durable state of every fuelling point ever seen."""
        rows = self._connection.execute(select(POINT_MEMORY.c.fuelling_point, POINT_MEMORY.c.memory))
        return {number: json.loads(memory) for number, memory in rows}

    def save_desk(self, memory: str) -> None:
        """Keep the durable state of linking, as JSON."""
        _SAVE_DESK.run(self._raw, {"id": 1, "memory": memory})

    def desk(self) -> dict[str, Any] | None:
        """Return the durable state of linking, ``None`` in a new database."""
        text = self._connection.execute(select(DESK_MEMORY.c.memory)).scalar()
        return None if text is None else json.loads(text)

    def save_alerts(self, subject: str, memory: Mapping[str, Any]) -> None:
        """Keep the alert machines of one subject."""
        _SAVE_ALERTS.run(self._raw, {"subject": subject, "memory": _dump(memory)})

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Return the alert machines of every subject."""
        rows = self._connection.execute(select(ALERT_MEMORY.c.subject, ALERT_MEMORY.c.memory))
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
        statement = upsert(PRICE).values(grade=grade, effective_from_ms=effective_from_ms, **values)
        self._connection.execute(statement.on_conflict_do_update(["grade", "effective_from_ms"], set_=values))

    def put_in_force(self, fuelling_point: int, nozzle: int, unit_price_milli: int, wall_ms: int) -> None:
        """Keep that a nozzle sells at this unit price from an instant on."""
        key = {"fuelling_point": fuelling_point, "nozzle": nozzle, "since_ms": wall_ms}
        statement = upsert(PRICE_IN_FORCE).values(**key, unit_price_milli=unit_price_milli)
        changed = {"unit_price_milli": unit_price_milli}
        self._connection.execute(statement.on_conflict_do_update(list(key), set_=changed))

    def prices_at(self, wall_ms: int) -> dict[str, int]:
        """Return the unit price in force per grade."""
        rows = _PRICES.all(self._raw, {"at_ms": wall_ms})
        return {row["grade"]: row["unit_price_milli"] for row in rows}

    def next_price_change(self, wall_ms: int) -> int | None:
        """Return when the next price of the table takes effect after ``wall_ms``."""
        return _moment(_NEXT_PRICE.first(self._raw, {"after_ms": wall_ms}))

    def add_document(self, kind: str, version: int, digest: str, body: bytes, effective_from_ms: int) -> bool:
        """Keep a verified document; returns False when this version is known already."""
        statement = upsert(DOCUMENT).values(
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
        here = (DOCUMENT.c.kind == kind) & (DOCUMENT.c.version == version)
        self._connection.execute(update(DOCUMENT).where(here).values(activated_ms=wall_ms))

    def active_document(self, kind: str) -> tuple[int, str, bytes] | None:
        """Return (version, hash, body) of the document in force."""
        return _document(_ACTIVE_DOCUMENT.first(self._raw, {"of_kind": kind}))

    def document(self, kind: str, version: int) -> tuple[str, bytes] | None:
        """Return (hash, body) of one version."""
        here = (DOCUMENT.c.kind == kind) & (DOCUMENT.c.version == version)
        row = self._connection.execute(select(DOCUMENT.c.hash, DOCUMENT.c.body).where(here)).first()
        return None if row is None else (row[0], bytes(row[1]))

    def next_document(self, kind: str) -> int | None:
        """Return when the next document not yet in force takes effect."""
        return _moment(_NEXT_DOCUMENT.first(self._raw, {"of_kind": kind}))

    def waiting_documents(self, kind: str, above: int) -> list[int]:
        """Return the versions that are kept and not in force yet, newer than ``above``."""
        waits = (DOCUMENT.c.kind == kind) & _WAITS & (DOCUMENT.c.version > above)
        return list(
            self._connection.execute(select(DOCUMENT.c.version).where(waits).order_by(DOCUMENT.c.version)).scalars()
        )

    def has_document(self, kind: str, digest: str) -> bool:
        """Return whether a document with this hash is kept."""
        here = (DOCUMENT.c.kind == kind) & (DOCUMENT.c.hash == digest)
        return self._connection.execute(select(DOCUMENT.c.version).where(here)).first() is not None

    def due_document(self, kind: str, wall_ms: int) -> tuple[int, str, bytes] | None:
        """Return the newest document not yet in force whose time has come and that is newer than the active one."""
        active = self.active_document(kind)
        above = -1 if active is None else active[0]
        return _document(_DUE_DOCUMENT.first(self._raw, {"of_kind": kind, "at_ms": wall_ms, "above": above}))

    def meta(self, key: str) -> str | None:
        """Return one fact about this database."""
        found = _META.first(self._raw, {"of_key": key})
        return None if found is None else found["value"]

    def set_meta(self, key: str, value: str) -> None:
        """Write one fact about this database."""
        _SET_META.run(self._raw, {"key": key, "value": value})

    def forget_meta(self, key: str) -> None:
        """Drop one fact about this database."""
        self._connection.execute(delete(META).where(META.c.key == key))


def _moment(found: Found | None) -> int | None:
    return None if found is None else found["at_ms"]


def _document(found: Found | None) -> tuple[int, str, bytes] | None:
    return None if found is None else (found["version"], found["hash"], bytes(found["body"]))
