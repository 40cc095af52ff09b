"""Staff, wrong PINs and who is signed in where, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from agent.store.people_tables import ATTENDANCE, STAFF, STAFF_LOCK
from agent.store.prepared import Found, Prepared, raw

_T = ATTENDANCE
_AT = Prepared(select(_T.c.id, _T.c.staff).where((_T.c.terminal == bindparam("of_terminal")) & _T.c.until_ms.is_(None)))
_WHEN = Prepared(
    select(_T.c.terminal, _T.c.staff).where(
        (_T.c.since_ms <= bindparam("at_ms")) & (_T.c.until_ms.is_(None) | (_T.c.until_ms > bindparam("at_ms")))
    )
)
_STAFF = Prepared(select(STAFF).where(STAFF.c.id == bindparam("of_staff")))


class PeopleTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def staff(self, staff_id: str) -> Found | None:
        """Return one person who does not stand in the configuration."""
        return _STAFF.first(self._raw, {"of_staff": staff_id})

    def ids(self) -> list[str]:
        """Return the ids of everybody who does not stand in the configuration."""
        return [row[0] for row in self._connection.execute(select(STAFF.c.id).order_by(STAFF.c.id))]

    def add(self, values: Mapping[str, Any]) -> None:
        """Insert a person."""
        self._connection.execute(insert(STAFF), dict(values))

    def change(self, staff_id: str, values: Mapping[str, Any]) -> None:
        """Change what is known of a person."""
        self._connection.execute(update(STAFF).where(STAFF.c.id == staff_id).values(**values))

    def by_badge(self, badge: bytes) -> str | None:
        """Return who has a badge, by the keyed index of its number."""
        return self._connection.execute(select(STAFF.c.id).where(STAFF.c.badge == badge)).scalar()

    def lock(self, staff_id: str) -> Found | None:
        """Return a person's wrong PINs in a row and until when they are locked out."""
        row = self._connection.execute(select(STAFF_LOCK).where(STAFF_LOCK.c.staff == staff_id)).mappings().first()
        return None if row is None else dict(row)

    def locked(self) -> list[str]:
        """Return everybody who was locked out, over or not."""
        rows = self._connection.execute(select(STAFF_LOCK.c.staff).where(STAFF_LOCK.c.until_ms.is_not(None)))
        return [row[0] for row in rows]

    def keep_lock(self, staff_id: str, values: Mapping[str, Any]) -> None:
        """Keep ``failed``, ``boot``, ``until_mono_ms`` and ``until_ms`` of a person."""
        statement = upsert(STAFF_LOCK).values(staff=staff_id, **values)
        self._connection.execute(statement.on_conflict_do_update(["staff"], set_=dict(values)))

    def signed_in(self, terminal: str) -> Found | None:
        """Return the open attendance (``id``, ``staff``) at a terminal."""
        return _AT.first(self._raw, {"of_terminal": terminal})

    def signed_in_at(self, wall_ms: int) -> list[Found]:
        """Return (``terminal``, ``staff``) of everybody who was signed in at an instant."""
        return _WHEN.all(self._raw, {"at_ms": wall_ms})

    def open_attendances(self) -> list[Found]:
        """Return every attendance that has not ended."""
        return [dict(row) for row in self._connection.execute(select(_T).where(_T.c.until_ms.is_(None))).mappings()]

    def begin(self, values: Mapping[str, Any]) -> None:
        """Insert an attendance; a second open one at a terminal raises IntegrityError, our bug."""
        self._connection.execute(insert(_T), {"until_ms": None, "ended": None, **values})

    def end(self, attendance: str, until_ms: int, why: str) -> None:
        """End an attendance."""
        self._connection.execute(update(_T).where(_T.c.id == attendance).values(until_ms=until_ms, ended=why))
