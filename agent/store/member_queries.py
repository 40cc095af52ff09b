"""What people look up about members: who they are by mask, what they hold, and what they fuelled. Read-only, sqlite3.

Never a number, a name or a plate: the database has none. Each question opens the file for itself.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from agent.domain.ledger import Lot, spending_order
from agent.store.holdings import REFS, read_lots
from agent.store.named import IS_NAMED, in_bucket
from agent.store.queries import MAX_ROWS, NotFound, Queries, utc

FUELLINGS = 20
"""Newest fuellings and movements told of one member."""


class MemberQueries(Queries):
    """Questions about members of the cache."""

    def members(self, *, limit: int = 20) -> list[dict[str, Any]]:
        """Return members of the cache by mask, with their points; ids that were merged are the other's."""
        with self._open() as db:
            rows = db.execute(f"{_MEMBERS} WHERE {_IS_NO_ALIAS} ORDER BY m.ref LIMIT ?", (min(limit, MAX_ROWS),))
            return [self._member(db, row) for row in rows.fetchall()]

    def member(self, member: str, *, limit: int = FUELLINGS) -> dict[str, Any]:
        """Return one member by the whole id: balance, lots, fuellings and movements, newest first. Raises NotFound."""
        with self._open() as db:
            row = db.execute(f"{_MEMBERS} WHERE {IS_NAMED}", in_bucket(member)).fetchone()
            if row is None:
                raise NotFound(f"there is no member {member}", hint="forecourt members lists the ids")
            ref, most = row["ref"], min(limit, MAX_ROWS)
            return {
                **self._member(db, row),
                "merged": [found["id"] for found in db.execute(_MERGED, (ref,))],
                "enrolled": _enrolled(db.execute(_ENROLLED, (ref, ref)).fetchone()),
                "lots": [_lot(lot) for lot in spending_order(read_lots(db, row))],
                "fuellings": [_fuelling(found) for found in db.execute(_FUELLINGS, (ref, most))],
                "movements": [{**dict(r), "at": utc(r["at_ms"])} for r in db.execute(_MOVEMENTS, (ref, ref, most))],
            }

    def member_of(self, prefix: str) -> str:
        """Return the id of the member of a sale, named by the first or last characters of its id. Raises NotFound."""
        sale = self.sale(prefix)
        if sale["member"] is None:
            raise NotFound(f"sale {sale['sale']} has no member", hint="forecourt sales link SALE gives it one")
        return str(sale["member"])

    @staticmethod
    def _member(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
        merged = db.execute(_MERGED, (row["ref"],)).fetchall()
        ids = [row, *merged]
        return {
            "member": row["id"],
            "mask": row["mask"],
            "tier": row["tier"],
            "growth": row["growth"],
            "tags": json.loads(row["tags"]),
            "visits": row["visits"],
            "in_cache": bool(row["known"]),
            "points_available": sum(one["base_points"] + (one["available"] or 0) for one in ids),
            "points_pending": sum(one["pending"] or 0 for one in ids),
        }


def _enrolled(row: sqlite3.Row | None) -> dict[str, Any] | None:
    """Return when, by whom and with which sale a member was enrolled here, ``None`` for everybody else."""
    return None if row is None else {"at": utc(row["at_ms"]), "by": row["by"], "sale": row["sale"]}


def _lot(lot: Lot) -> dict[str, Any]:
    return {
        "lot": lot.id,
        "points": lot.points,
        "usable_from": utc(lot.usable_from_ms or None),
        "expires_on": None if lot.expires_on is None else lot.expires_on.isoformat(),
        "source": lot.source,
    }


def _fuelling(row: sqlite3.Row) -> dict[str, Any]:
    """Return one link of the member: which sale, how strongly they were recognised, by whom and when."""
    keys = ("sale", "fuelling_point", "nozzle", "grade", "volume_ml", "amount_minor", "level", "by", "delay_s", "state")
    return {
        **{key: row[key] for key in keys},
        "ended_at": utc(row["ended_ms"]),
        "linked_at": utc(row["made_ms"]),
        "late": bool(row["late"]),
        "corrects": row["corrects"] is not None,
        "active": bool(row["active"]),
        "given_back": bool(row["voided"]),
        "points_earned": row["points_earned"],
    }


_SINCE = """
p.member_ref = m.ref AND (m.as_of IS NULL OR (p.generation, p.seq) > (
    SELECT coalesce(max(i.generation), (SELECT max(generation) FROM incarnation)),
           CASE WHEN max(i.generation) IS NULL THEN 0 ELSE json_extract(m.as_of, '$.seq') END
    FROM incarnation i WHERE i.incarnation = json_extract(m.as_of, '$.incarnation')))
"""
"""Postings behind the place up to which head office's balance includes this station's records (W-44)."""

_MEMBERS = f"""
SELECT m.*,
       (SELECT sum(points) FROM posting p WHERE {_SINCE} AND p.account = 'member:available') AS available,
       (SELECT sum(points) FROM posting p WHERE {_SINCE} AND p.account = 'member:pending') AS pending
FROM member m
"""  # noqa: S608
_IS_NO_ALIAS = "m.ref > 0 AND m.ref NOT IN (SELECT ref FROM member_alias)"
_MERGED = f"{_MEMBERS} JOIN member_alias a ON a.ref = m.ref WHERE a.to_ref = ? ORDER BY m.ref"
_ENROLLED = f"""
SELECT e.* FROM member m JOIN enrolment e ON e.member = m.id WHERE m.ref IN {REFS} ORDER BY e.at_ms LIMIT 1
"""  # noqa: S608
_MOVEMENTS = f"""
SELECT sale, account, points, lot, at_ms FROM posting WHERE member_ref IN {REFS} ORDER BY id DESC LIMIT ?
"""  # noqa: S608
_FUELLINGS = """
SELECT l.*, s.fuelling_point, s.nozzle, s.grade, s.volume_ml, s.amount_minor, s.ended_ms, s.state, s.voided,
       t.settled_ms < l.made_ms AS late, h.points_earned
FROM link l JOIN sale s ON s.id = l.sale LEFT JOIN settlement t ON t.sale = s.id
LEFT JOIN points_holder h ON h.sale = s.id AND l.active = 1
WHERE l.member_ref = ? ORDER BY l.made_ms DESC, l.id DESC LIMIT ?
"""
"""Late: linked after the sale was settled."""
