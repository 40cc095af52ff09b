"""Sales that are old enough lose their member: link, settlement and ledger name a pseudonym of that member and month.

What the member still has stays exactly as it was: points, debt and use counts are carried over by balanced transfers.
Works inside the caller's transaction. The journal's records are never touched.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection

from agent.store.retention import COUNTED

TOP_BIT = 1 << 63
"""Set in the id of a pseudonym and in no member's: head office gives ids below it."""

CARRIED = "carried"
"""The source of every transfer between pseudonyms and members: one for all, so that it does not say who was who."""

Place = tuple[int, int]
"""Generation and seq of a record of stream L."""

_OLD = """
FROM link l INDEXED BY link_named CROSS JOIN sale s ON s.id = l.sale
WHERE l.member_ref > 0 AND l.made_ms <= :until AND s.state = 'Cleared' AND s.ended_ms <= :until
  AND NOT EXISTS (SELECT 1 FROM settlement t WHERE t.sale = s.id AND t.settled_ms > :until)
  AND NOT EXISTS (SELECT 1 FROM correction c WHERE c.sale = s.id AND c.at_ms > :until)
  AND NOT EXISTS (SELECT 1 FROM link n WHERE n.sale = s.id AND n.made_ms > :until)
  AND NOT EXISTS (SELECT 1 FROM posting p WHERE p.sale = s.id AND p.at_ms > :until)
"""
"""Sales of which every fact was with head office so long ago; the order of the join is ours, by the oldest link."""

_FIND_OLD = f"SELECT s.id, s.business_day {_OLD} ORDER BY l.made_ms LIMIT :n"
_COUNT_OLD = f"SELECT count(*) FROM (SELECT s.id {_OLD} LIMIT {COUNTED})"  # noqa: S608
_DELIVERED_UNTIL = """
SELECT coalesce((
    SELECT j.time_ms - 1 FROM stream_head h JOIN journal j ON j.stream = h.stream AND j.seq = h.acked + 1
    WHERE h.stream = 'L' AND j.generation = (SELECT max(generation) FROM incarnation)), ?)
"""
_NAMED = """
SELECT member_ref FROM link WHERE sale = :sale AND member_ref > 0
UNION SELECT member_ref FROM settlement WHERE sale = :sale AND member_ref > 0
UNION SELECT member_ref FROM points_holder WHERE sale = :sale AND member_ref > 0
UNION SELECT member_ref FROM priced WHERE sale = :sale AND member_ref > 0
UNION SELECT member_ref FROM posting WHERE sale = :sale AND member_ref > 0
"""
_REPOINTED = ("link", "settlement", "points_holder", "priced", "posting")
_NEW_PSEUDONYM = """
INSERT INTO member (ref, id, tier, growth, tags, mask, flags, visits, first_fill_used, base_points, known, op)
VALUES (?, ?, '', 0, '[]', '****', '[]', 0, 0, 0, 0, 0)
"""
_LOT_COPY = """
INSERT OR IGNORE INTO lot (id, member_ref, earned_ms, usable_from_ms, expires_on, source)
SELECT id, ?, earned_ms, usable_from_ms, expires_on, source FROM lot WHERE member_ref = ? AND id IN (
    SELECT lot FROM posting WHERE sale = ? AND member_ref = ?)
"""
_KNOWN_TRANSFER = """
SELECT id, generation, seq FROM posting WHERE source = ? AND member_ref = ? AND account = ? AND lot IS ? AND rule = ?
"""
_TRANSFER = """
INSERT INTO posting (id, source, leg, sale, member_ref, account, points, lot, at_ms, rule, generation, seq)
VALUES ((SELECT min(0, min(id)) - 1 FROM posting), ?, (SELECT coalesce(max(leg), 0) + 1 FROM posting WHERE source = ?),
        NULL, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD_TO = """
UPDATE posting SET points = points + ?, at_ms = max(at_ms, ?), generation = ?, seq = ? WHERE id = ?
"""
_INCLUDED = """
SELECT (p.generation, p.seq) <= (
    SELECT coalesce(max(i.generation), (SELECT max(generation) FROM incarnation)),
           CASE WHEN max(i.generation) IS NULL THEN 0 ELSE json_extract(m.as_of, '$.seq') END
    FROM incarnation i WHERE i.incarnation = json_extract(m.as_of, '$.incarnation'))
"""
_LEGS = f"""
SELECT p.account, p.points, p.lot, p.at_ms, p.generation, p.seq, coalesce(({_INCLUDED}), 0)
FROM posting p JOIN member m ON m.ref = p.member_ref WHERE p.sale = ? AND p.member_ref = ? ORDER BY p.id
"""  # noqa: S608


class PseudonymTable:
    """Which sales are old enough, and what becomes of them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _run(self, statement: str, *values: Any) -> Any:
        return self._connection.exec_driver_sql(statement, tuple(values))

    def note_delivered(self, wall_ms: int) -> None:
        """Note how far head office has the journal tonight: what the terms of old sales are counted from."""
        until = int(self._run(_DELIVERED_UNTIL, wall_ms).scalar_one())
        self._run("INSERT OR REPLACE INTO delivered_by (at_ms, until_ms) VALUES (?, ?)", wall_ms, until)

    def delivered_before(self, before_ms: int) -> int:
        """Return up to when everything had been delivered before an instant; 0 where nobody noted it so long ago."""
        found = self._run("SELECT coalesce(max(until_ms), 0) FROM delivered_by WHERE at_ms < ?", before_ms)
        return int(found.scalar_one())

    def due(self, before_ms: int) -> int:
        """Return how many sales are old enough, up to ``COUNTED``."""
        found = self._connection.exec_driver_sql(_COUNT_OLD, {"until": self.delivered_before(before_ms)})
        return int(found.scalar_one())

    def old(self, before_ms: int, at_most: int) -> list[tuple[str, str]]:
        """Return sale and month of the oldest sales that are old enough, one of two links perhaps twice.

        In the order of the index and without a sort, so that a long backlog costs no more than a short one.
        """
        wanted = {"until": self.delivered_before(before_ms), "n": at_most}
        return [(row[0], row[1][:7]) for row in self._connection.exec_driver_sql(_FIND_OLD, wanted)]

    def members_of(self, sale: str) -> list[int]:
        """Return the surrogates of everybody whom a sale still names."""
        return [int(row[0]) for row in self._connection.exec_driver_sql(_NAMED, {"sale": sale})]

    def pseudonym(self, member_ref: int, month: str, random: int) -> int:
        """Return the surrogate of a member's pseudonym for a month; ``random``: 63 bits for the id of a new one."""
        known = self._run("SELECT ref FROM pseudonym WHERE member_ref = ? AND month = ?", member_ref, month).scalar()
        if known is not None:
            return int(known)
        ref = int(self._run("SELECT min(0, min(ref)) - 1 FROM member").scalar_one())
        self._run(_NEW_PSEUDONYM, ref, f"{TOP_BIT | random:016x}")
        self._run("INSERT INTO pseudonym (member_ref, month, ref) VALUES (?, ?, ?)", member_ref, month, ref)
        return ref

    def part(self, sale: str, member_ref: int, pseudonym: int) -> None:
        """Let a sale name the pseudonym where it named the member, and carry over what the member still has of it."""
        self._run(_LOT_COPY, pseudonym, member_ref, sale, member_ref)
        self._carry_points(sale, member_ref, pseudonym)
        self._carry_uses(sale, member_ref)
        for table in _REPOINTED:
            where = f"UPDATE {table} SET member_ref = ? WHERE sale = ? AND member_ref = ?"  # noqa: S608
            self._run(where, pseudonym, sale, member_ref)
        self._run("UPDATE priced SET facts = NULL WHERE sale = ? AND member_ref = ?", sale, pseudonym)
        self._rename(sale, member_ref, pseudonym)
        self._drop_empty(member_ref, pseudonym)

    def _carry_points(self, sale: str, member_ref: int, pseudonym: int) -> None:
        """Post each leg's points from the pseudonym to the member: both then have what they had.

        Legs that head office's balance includes are kept apart from those that it does not.
        """
        legs = self._run(_LEGS, sale, member_ref).fetchall()
        for account, points, lot, at_ms, generation, seq, included in legs:
            told = (account, lot, "included" if included else "since")
            self._transfer((pseudonym, *told), -points, at_ms, (generation, seq))
            self._transfer((member_ref, *told), points, at_ms, (generation, seq))

    def _transfer(self, whose: tuple[int, str, str | None, str], points: int, at_ms: int, place: Place) -> None:
        """Add to the one leg of this holder, account, lot and inclusion; it stands at the newest of their places."""
        known = self._run(_KNOWN_TRANSFER, CARRIED, *whose).first()
        ref, account, lot, rule = whose
        if known is None:
            self._run(_TRANSFER, CARRIED, CARRIED, ref, account, points, lot, at_ms, rule, *place)
        else:
            self._run(_ADD_TO, points, at_ms, *max(place, (known[1], known[2])), known[0])

    def _carry_uses(self, sale: str, member_ref: int) -> None:
        """Uses of a sale that was given back in full were taken back already."""
        found = self._run(
            "SELECT h.uses, s.voided FROM points_holder h JOIN sale s ON s.id = h.sale"
            " WHERE h.sale = ? AND h.member_ref = ?",
            sale,
            member_ref,
        ).first()
        if found is None:
            return
        for offer, window, period, uses, amount in [] if found[1] else json.loads(found[0]):
            self._run(
                "INSERT INTO carried_use (member_ref, offer, window, period, uses, amount) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET uses = uses + excluded.uses, amount = amount + excluded.amount",
                *(member_ref, offer, window, period, uses, amount),
            )
        self._run("UPDATE points_holder SET uses = '[]' WHERE sale = ?", sale)

    def _rename(self, sale: str, member_ref: int, pseudonym: int) -> None:
        """Corrections of links name members by id, a coupon its owner, a lease whose points it lent."""
        named = "SELECT id FROM member WHERE ref = ?"
        old, new = self._run(named, member_ref).scalar_one(), self._run(named, pseudonym).scalar_one()
        for column in ("old", "new"):
            self._run(
                f"UPDATE correction SET {column} = replace({column}, ?, ?) WHERE sale = ? AND what = 'link'",  # noqa: S608
                *(old, new, sale),
            )
        self._run(
            "UPDATE coupon SET member = NULL WHERE member = ? AND code IN"
            " (SELECT code FROM coupon_use WHERE sale = ? AND used = 1 AND returned_ms IS NULL)",
            *(old, sale),
        )
        self._run(
            "UPDATE lease SET subject = ? WHERE subject = ? AND state IN ('closed', 'void')"
            " AND id IN (SELECT lease FROM lease_move WHERE sale = ?)",
            *(new, old, sale),
        )

    def _drop_empty(self, member_ref: int, pseudonym: int) -> None:
        """A transfer that has come to nothing, and a lot nothing is posted to any more, tell only who was who."""
        for ref in (member_ref, pseudonym):
            self._run("DELETE FROM posting WHERE member_ref = ? AND source = ? AND points = 0", ref, CARRIED)
        self._run(
            "DELETE FROM lot WHERE member_ref = ? AND source <> 'head_office'"
            " AND NOT EXISTS (SELECT 1 FROM posting p WHERE p.member_ref = lot.member_ref AND p.lot = lot.id)",
            member_ref,
        )

    def forget_months(self, before_ms: int, month: str) -> None:
        """Nobody knows any more who was who in the months before ``month``; nor when so old nights were delivered."""
        self._run("DELETE FROM pseudonym WHERE month < ?", month)
        self._run(
            "DELETE FROM delivered_by WHERE at_ms < (SELECT max(at_ms) FROM delivered_by WHERE at_ms < ?)", before_ms
        )
