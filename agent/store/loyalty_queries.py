"""What people look up about points: one member's lots and facts, and what a whole station owes. Read-only, sqlite3.

Tells rows and sums; knows no rule, no clock and no time zone. Each question opens the file for itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from agent.domain.ledger import Account, Lot
from agent.store.queries import NotFound, Queries


@dataclass(frozen=True, slots=True)
class Purse:
    """What the database knows of one member's points.

    ``accounts``: points by account of the member. ``lots``: with what is left on each, ended and empty ones included.
    ``base_points``: what head office told beside them.
    """

    ref: int
    member: str
    mask: str
    known: bool
    tier: str
    growth: int
    visits: int
    base_points: int
    accounts: dict[str, int]
    lots: tuple[Lot, ...]

    @property
    def debt(self) -> int:
        """Points owed, 0 or more."""
        return -self.accounts.get(Account.DEBT.value, 0)


@dataclass(frozen=True, slots=True)
class Fact:
    """The legs that one record posted to a member: (account, points, lot). ``record``: as the journal has it.

    ``settled_by``, ``rule_version``: of the sale's settlement; ``linked_by``: of the link made with this fact.
    """

    source: str
    sale: str | None
    at_ms: int
    legs: tuple[tuple[str, int, str | None], ...]
    record: dict[str, Any] | None
    settled_by: str | None
    linked_by: str | None
    rule_version: int | None

    @property
    def points(self) -> int:
        """What it changed in all accounts of the member together."""
        return sum(points for _, points, _ in self.legs)


class PointsQueries(Queries):
    """Questions about points of one member."""

    def member_id(self, text: str, digests: Sequence[bytes] = ()) -> str:
        """Return the id of the member with one of these blind indexes, else of the one whose id begins with ``text``.

        Raises NotFound, which never repeats a number that was asked for.
        """
        with self._open() as db:
            for digest in digests:
                row = db.execute(_BY_INDEX, (digest,)).fetchone()
                if row is not None:
                    return str(row["id"])
            first = text.lower()
            found = db.execute(
                "SELECT id FROM member WHERE id >= ? AND id < ? LIMIT 2", (first, f"{first}g")
            ).fetchall()
        if len(found) == 1 and text:
            return str(found[0]["id"])
        if digests:
            raise NotFound("no member has this number", hint="forecourt members lists the ids")
        problem = "no member" if not found else "more than one member"
        raise NotFound(f"{problem} has an id like {text!r}", hint="forecourt members lists the ids")

    def purse(self, member: str) -> Purse:
        """Return the points of the member with this id. Raises NotFound."""
        with self._open() as db:
            row = db.execute("SELECT * FROM member WHERE id = ?", (member,)).fetchone()
            if row is None:
                raise NotFound(f"there is no member {member}", hint="forecourt members lists the ids")
            ref = row["ref"]
            accounts = dict(db.execute(_ACCOUNTS, (ref,)).fetchall())
            lots = tuple(_lot(lot) for lot in db.execute(_LOTS, (ref, ref)))
        return Purse(
            ref=ref,
            member=member,
            mask=row["mask"],
            known=bool(row["known"]),
            tier=row["tier"],
            growth=row["growth"],
            visits=row["visits"],
            base_points=row["base_points"],
            accounts=accounts,
            lots=lots,
        )

    def facts(self, ref: int) -> list[tuple[str, int, int]]:
        """Return every fact that posted to a member, oldest first: its record's id, its time, its points."""
        with self._open() as db:
            return [(row["source"], row["at_ms"], row["points"]) for row in db.execute(_FACTS, (ref,))]

    def fact(self, ref: int, sources: Sequence[str]) -> list[Fact]:
        """Return what stands behind some facts of a member, in the order asked."""
        with self._open() as db:
            return [_fact(db, ref, source) for source in sources]

    def rules(self) -> dict[str, Any] | None:
        """Return the rule document in force, ``None`` where the station never got one."""
        with self._open() as db:
            row = db.execute(_RULES).fetchone()
        return None if row is None else json.loads(row["body"])


def _fact(db: sqlite3.Connection, ref: int, source: str) -> Fact:
    rows = db.execute(_LEGS, (source, ref)).fetchall()
    sale, at_ms = rows[0]["sale"], rows[0]["at_ms"]
    record = db.execute(_RECORD, (source,)).fetchone()
    settled = db.execute("SELECT by, rule_version FROM settlement WHERE sale = ?", (sale,)).fetchone()
    link = db.execute("SELECT by FROM link WHERE sale = ? AND made_ms = ?", (sale, at_ms)).fetchone()
    return Fact(
        source=source,
        sale=sale,
        at_ms=at_ms,
        legs=tuple((row["account"], row["points"], row["lot"]) for row in rows),
        record=None if record is None else json.loads(record["body"]),
        settled_by=None if settled is None else settled["by"],
        linked_by=None if link is None else link["by"],
        rule_version=None if settled is None else settled["rule_version"],
    )


def _lot(row: sqlite3.Row) -> Lot:
    ends = row["expires_on"]
    return Lot(
        id=row["id"],
        points=row["points"],
        earned_at_ms=row["earned_ms"],
        usable_from_ms=row["usable_from_ms"],
        expires_on=None if ends is None else date.fromisoformat(ends),
        source=row["source"],
    )


_BY_INDEX = "SELECT m.id FROM member_index i JOIN member m ON m.ref = i.member_ref WHERE i.digest = ?"
_ACCOUNTS = "SELECT account, sum(points) FROM posting WHERE member_ref = ? GROUP BY account"
_LOTS = """
SELECT l.*, coalesce(left_on.points, 0) AS points
FROM lot l LEFT JOIN (
    SELECT lot, sum(points) AS points FROM posting WHERE member_ref = ? AND account <> 'member:debt' GROUP BY lot
) left_on ON left_on.lot = l.id
WHERE l.member_ref = ? ORDER BY l.expires_on IS NULL, l.expires_on, l.earned_ms, l.id
"""
_FACTS = """
SELECT source, min(at_ms) AS at_ms, sum(points) AS points
FROM posting WHERE member_ref = ? GROUP BY source ORDER BY min(id)
"""
_LEGS = "SELECT sale, account, points, lot, at_ms FROM posting WHERE source = ? AND member_ref = ? ORDER BY leg"
_RECORD = """
SELECT j.body FROM incarnation i JOIN journal j ON j.generation = i.generation AND j.id = ?
ORDER BY i.generation DESC LIMIT 1
"""
_RULES = """
SELECT body FROM document WHERE kind = 'rules' AND activated_ms IS NOT NULL ORDER BY version DESC LIMIT 1
"""
