"""What people look up about points: one member's lots and facts, and what a whole station owes. Read-only, sqlite3.

Tells rows and sums; knows no rule, no clock and no time zone. Each question opens the file for itself.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.domain.effective import AsOf, OwnPosting, later
from agent.domain.leases import Lease, LeaseState, Reservation, Taken
from agent.domain.ledger import Account, Lot, Posting
from agent.store.holdings import REFS, Row, as_of_of, ids_of, read_lots
from agent.store.named import EVERY_BUCKET, IS_NAMED, in_bucket
from agent.store.queries import NotFound, Queries
from agent.store.waiting import waiting_owner
from sync.buckets import recognised_by


@dataclass(frozen=True, slots=True)
class Posted:
    """One leg posted to a member: by which record, when, and at which place of the station's ledger stream."""

    source: str
    at_ms: int
    own: OwnPosting


@dataclass(frozen=True, slots=True)
class Purse:
    """What the database knows of one member's points.

    ``lots``: as the station believes them, empty and ended ones included. ``debt``: points owed, 0 or more.
    ``as_of``: the newest of our records that head office's base includes; ``posted``: what was posted here, of which
    ``later`` are the records that the base does not include. ``as_of_ms``: when ``as_of`` was written.
    ``leases``: of this member's points, not yet over. ``quoted``: points that quotes of unpaid sales hold.
    """

    ref: int
    member: str
    mask: str
    known: bool
    tier: str
    growth: int
    visits: int
    base_points: int
    lots: tuple[Lot, ...]
    posted: tuple[Posted, ...]
    later: frozenset[str]
    debt: int
    as_of: AsOf | None
    as_of_ms: int | None
    leases: tuple[Lease, ...]
    quoted: int


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
                told = recognised_by(digest)
                row = db.execute(_BY_INDEX, (told, waiting_owner(db, told))).fetchone()
                if row is not None:
                    return str(row["id"])
            first = text.lower()
            found = db.execute(_BY_ID, (EVERY_BUCKET, first, f"{first}g")).fetchall()
        if len(found) == 1 and text:
            return str(found[0]["id"])
        if digests:
            raise NotFound("no member has this number", hint="forecourt members lists the ids")
        problem = "no member" if not found else "more than one member"
        raise NotFound(f"{problem} has an id like {text!r}", hint="forecourt members lists the ids")

    def purse(self, member: str) -> Purse:
        """Return the points of the member with this id. Raises NotFound."""
        with self._open() as db:
            row = db.execute(_BY_NAME, in_bucket(member)).fetchone()
            if row is None:
                raise NotFound(f"there is no member {member}", hint="forecourt members lists the ids")
            ref = row["ref"]
            as_of, ids = as_of_of(row), ids_of(db, row)
            lineage = dict(db.execute(_LINEAGE).fetchall())
            legs = [(leg["member_ref"], _posted(leg, lineage, member)) for leg in db.execute(_POSTED, (ref, ref))]
            posted = tuple(leg for _, leg in legs)
            (quoted,) = db.execute(_QUOTED, (str(ref),)).fetchone()
            return Purse(
                ref=ref,
                member=member,
                mask=row["mask"],
                known=bool(row["known"]),
                tier=row["tier"],
                growth=row["growth"],
                visits=row["visits"],
                base_points=sum(one["base_points"] for one in ids),
                lots=read_lots(db, row),
                posted=posted,
                later=frozenset(source for one in ids for source in _later(one, legs, lineage.values())),
                debt=-sum(leg.own.posting.points for leg in posted if leg.own.posting.account is Account.DEBT),
                as_of=as_of,
                as_of_ms=_as_of_ms(db, as_of),
                leases=leases(db, "points", member),
                quoted=quoted,
            )

    def fact(self, ref: int, sources: Sequence[str]) -> list[Fact]:
        """Return what stands behind some facts of a member, in the order asked."""
        with self._open() as db:
            return [_fact(db, ref, source) for source in sources]

    def rules(self) -> dict[str, Any] | None:
        """Return the rule document in force, ``None`` where the station never got one."""
        with self._open() as db:
            row = db.execute(_RULES).fetchone()
        return None if row is None else json.loads(row["body"])


def _posted(row: sqlite3.Row, lineage: dict[int, str], member: str) -> Posted:
    leg = Posting(Account(row["account"]), row["points"], row["lot"], member)
    return Posted(row["source"], row["at_ms"], OwnPosting(lineage[row["generation"]], row["seq"], leg))


def _later(one: Row, legs: Sequence[tuple[int, Posted]], lineage: Iterable[str]) -> frozenset[str]:
    """Return the records whose postings to one id of the member head office's base does not include."""
    posted = [leg for ref, leg in legs if ref == one["ref"]]
    sources = {id(leg.own.posting): leg.source for leg in posted}
    return frozenset(sources[id(leg)] for leg in later(as_of_of(one), [leg.own for leg in posted], list(lineage)))


def leases(db: sqlite3.Connection, kind: str, subject: str) -> tuple[Lease, ...]:
    """Return the leases of a member's points or a campaign's budget that are not over, oldest first."""
    return tuple(
        Lease(
            row["id"],
            row["subject"],
            row["incarnation"],
            row["granted"],
            row["expires_ms"],
            LeaseState(row["state"]),
            (Taken("all sales", row["spent"]),),
            (Reservation("all quotes", row["held"], row["expires_ms"]),) if row["held"] else (),
        )
        for row in db.execute(_LEASES, (kind, subject))
    )


def _as_of_ms(db: sqlite3.Connection, as_of: AsOf | None) -> int | None:
    if as_of is None:
        return None
    row = db.execute(_WRITTEN, (as_of.incarnation, as_of.seq)).fetchone()
    return None if row is None else row["time_ms"]


def _fact(db: sqlite3.Connection, ref: int, source: str) -> Fact:
    rows = db.execute(_LEGS, (source, ref, ref)).fetchall()
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


_BY_INDEX = """
SELECT id FROM member
WHERE ref = coalesce(?2, (SELECT member_ref FROM member_index WHERE digest = ?1))
"""
_BY_NAME = f"SELECT m.* FROM member m WHERE {IS_NAMED}"  # noqa: S608
_LINEAGE = "SELECT generation, incarnation FROM incarnation ORDER BY generation"
_BY_ID = """
SELECT DISTINCT coalesce(o.id, m.id) AS id FROM json_each(?) b
CROSS JOIN member m ON m.bucket = b.value LEFT JOIN member_alias a ON a.ref = m.ref
LEFT JOIN member o ON o.ref = a.to_ref WHERE m.id >= ? AND m.id < ? LIMIT 2
"""
_POSTED = f"SELECT * FROM posting WHERE member_ref IN {REFS} ORDER BY id"  # noqa: S608
_QUOTED = "SELECT coalesce(sum(amount), 0) FROM held WHERE kind = 'points' AND key = ?"
_LEASES = """
SELECT l.*, (SELECT coalesce(sum(h.amount), 0) FROM held h WHERE h.kind = 'lease' AND h.key = l.id) AS held
FROM lease l WHERE l.state IN ('open', 'closing') AND l.kind = ? AND l.subject = ? ORDER BY l.received_ms, l.id
"""
_WRITTEN = """
SELECT j.time_ms FROM journal j JOIN incarnation i ON i.generation = j.generation
WHERE i.incarnation = ? AND j.stream = 'L' AND j.seq = ?
"""
_LEGS = f"""
SELECT sale, account, points, lot, at_ms FROM posting WHERE source = ? AND member_ref IN {REFS} ORDER BY leg
"""  # noqa: S608
_RECORD = """
SELECT j.body FROM incarnation i JOIN journal j ON j.generation = i.generation AND j.id = ?
ORDER BY i.generation DESC LIMIT 1
"""
_RULES = """
SELECT body FROM document WHERE kind = 'rules' AND activated_ms IS NOT NULL ORDER BY version DESC LIMIT 1
"""
