"""Counts over many links for the rules of shift and night, read beside the pipeline; and alerts as people see them.

Read-only, plain sqlite3. Links that nobody paid for (meter tests, own use) count nowhere.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from agent.domain.fraud import WEAK, Limits
from agent.domain.fraud_night import Busy, DayShare, Habit, Pair, Share, Span
from agent.store.queries import Queries

HEAD_OFFICE = "head-office"
"""Who links by head office's command is nobody of this station."""

_WEAK = ", ".join(f"'{level.value}'" for level in sorted(WEAK))
_LINKED = f"""
WITH linked AS (
  SELECT l.sale, l."by", l.member_ref, l.level, l.delay_s FROM link l
  LEFT JOIN settlement t ON t.sale = l.sale
  WHERE l.made_ms >= :from_ms AND l.made_ms < :to_ms AND l.active = 1 AND coalesce(t.purpose, '') = ''
    AND l."by" <> '{HEAD_OFFICE}'
)
"""  # noqa: S608
_TOPS = f"""{_LINKED}
SELECT p."by" AS attendant, m.id AS member, p.hits, p.total, p.sales FROM (
  SELECT "by", member_ref, count(*) AS hits, sum(count(*)) OVER (PARTITION BY "by") AS total,
         group_concat(sale) AS sales,
         row_number() OVER (PARTITION BY "by" ORDER BY count(*) DESC, member_ref) AS place
  FROM linked GROUP BY "by", member_ref
) p JOIN member m ON m.ref = p.member_ref WHERE p.place = 1 ORDER BY 1
"""  # noqa: S608
_PAIRS = f"""{_LINKED}
SELECT "by" AS attendant, m.id AS member, count(*) AS hits, group_concat(sale) AS sales
FROM linked JOIN member m ON m.ref = member_ref GROUP BY "by", member_ref HAVING hits >= :least ORDER BY 1, 2
"""  # noqa: S608
_LATE = f"""{_LINKED}
SELECT "by" AS attendant, count(*) AS total, sum(1000 * delay_s > :late_ms) AS hits,
       group_concat(CASE WHEN 1000 * delay_s > :late_ms THEN sale END) AS sales
FROM linked GROUP BY "by" ORDER BY 1
"""  # noqa: S608
_WEAK_LINKS = f"""{_LINKED}
SELECT "by" AS attendant, count(*) AS total, sum(level IN ({_WEAK})) AS hits,
       group_concat(CASE WHEN level IN ({_WEAK}) THEN sale END) AS sales
FROM linked GROUP BY "by" ORDER BY 1
"""  # noqa: S608
_CORRECTED = f"""{_LINKED}
SELECT c."by" AS attendant, count(*) AS hits, group_concat(c.sale) AS sales,
       (SELECT count(*) FROM linked WHERE linked."by" = c."by") AS total
FROM correction c
WHERE c.at_ms >= :from_ms AND c.at_ms < :to_ms AND c.what = 'link' AND c."by" <> '{HEAD_OFFICE}'
GROUP BY c."by" ORDER BY 1
"""  # noqa: S608
_EARNS = f"""{_LINKED}
SELECT linked.member_ref, linked."by" AS attendant, count(*) AS hits, group_concat(linked.sale) AS sales
FROM linked JOIN points_holder h ON h.sale = linked.sale AND h.points_earned > 0
GROUP BY linked.member_ref, linked."by" HAVING hits >= :least ORDER BY 1, 3 DESC, 2
"""  # noqa: S608
_REDEEMS = f"""{_LINKED}
SELECT linked.member_ref, linked."by" AS attendant, count(*) AS hits, group_concat(linked.sale) AS sales
FROM linked JOIN settlement t ON t.sale = linked.sale AND t.points_redeemed > 0
GROUP BY linked.member_ref, linked."by" HAVING hits >= :least ORDER BY 1, 3 DESC, 2
"""  # noqa: S608
_OF_MEMBER = """
SELECT m.id AS member, count(h.sale) AS earns, coalesce(sum(t.points_redeemed > 0), 0) AS redemptions
FROM member m JOIN link l ON l.member_ref = m.ref AND l.active = 1 AND l.made_ms >= :from_ms AND l.made_ms < :to_ms
LEFT JOIN settlement t ON t.sale = l.sale
LEFT JOIN points_holder h ON h.sale = l.sale AND h.points_earned > 0
WHERE m.ref = :ref
"""
_ON_DAY = """
SELECT m.id AS member, count(*) AS hits, group_concat(s.id) AS sales FROM sale s
JOIN link l ON l.sale = s.id AND l.active = 1 JOIN member m ON m.ref = l.member_ref
LEFT JOIN settlement t ON t.sale = s.id
WHERE s.ended_ms >= :from_ms AND s.ended_ms < :to_ms AND coalesce(t.purpose, '') = ''
GROUP BY l.member_ref HAVING hits >= :least ORDER BY 1
"""
_BY_ON_DAY = f"""
SELECT l."by" AS attendant, count(*) AS hits, group_concat(s.id) AS sales FROM sale s
JOIN link l ON l.sale = s.id AND l.active = 1 LEFT JOIN settlement t ON t.sale = s.id
WHERE s.ended_ms >= :from_ms AND s.ended_ms < :to_ms AND coalesce(t.purpose, '') = '' AND l."by" <> '{HEAD_OFFICE}'
GROUP BY l."by" ORDER BY 1
"""  # noqa: S608
_SALES_ON_DAY = """
SELECT coalesce(s.attendant, '') AS attendant, count(*) AS hits FROM sale s LEFT JOIN settlement t ON t.sale = s.id
WHERE s.ended_ms >= :from_ms AND s.ended_ms < :to_ms AND coalesce(t.purpose, '') = '' GROUP BY 1
"""
_RULES = "SELECT body FROM document WHERE kind = 'rules' AND activated_ms IS NOT NULL ORDER BY version DESC LIMIT 1"
_SHIFTS = "SELECT number, from_ms, closed_ms FROM shift WHERE closed_ms >= ? AND closed_ms <= ? ORDER BY number"
_LAST_SHIFT = "SELECT coalesce(max(number), 0) FROM shift WHERE closed_ms IS NOT NULL"

Bounds = tuple[int, int]
"""From an instant on, up to another, in Unix milliseconds."""


class FraudQueries(Queries):
    """Questions over many links of one station."""

    def last_shift(self) -> int:
        """Return the number of the newest closed shift, 0 where there is none."""
        with self._open() as db:
            return int(db.execute(_LAST_SHIFT).fetchone()[0])

    def shifts(self, closed: Bounds) -> list[tuple[int, int, int]]:
        """Return (number, from, closed) of the shifts that were closed within these bounds."""
        with self._open() as db:
            return [tuple(row) for row in db.execute(_SHIFTS, closed)]

    def rules(self) -> dict[str, Any] | None:
        """Return the document of the rule set in force, ``None`` where there is none."""
        with self._open() as db:
            row = db.execute(_RULES).fetchone()
        return None if row is None else json.loads(row["body"])

    def tops(self, span: Span) -> list[Share]:
        """Return of each attendant the member linked most."""
        return [_share(row, row["member"]) for row in self._rows(_TOPS, span)]

    def pairs(self, span: Span, least: int) -> list[Pair]:
        """Return which attendant linked which member at least so often."""
        rows = self._rows(_PAIRS, span, least=least)
        return [Pair(row["attendant"], row["member"], row["hits"], _sales(row)) for row in rows]

    def late(self, span: Span, late_ms: int) -> list[Share]:
        """Return of each attendant the links that came later after hang-up than this."""
        return [_share(row) for row in self._rows(_LATE, span, late_ms=late_ms)]

    def weak(self, span: Span) -> list[Share]:
        """Return of each attendant the links of a weak level."""
        return [_share(row) for row in self._rows(_WEAK_LINKS, span)]

    def corrected(self, span: Span) -> list[Share]:
        """Return of each attendant the links they changed or removed, beside the links they made."""
        return [_share(row) for row in self._rows(_CORRECTED, span)]

    def habits(self, span: Span, limits: Limits) -> list[Habit]:
        """Return the members of whose earning or redeeming one attendant has so much that a rule may ask."""
        least = -(-limits.sleeper_earns * limits.sleeper_pct // 100)
        earned, redeemed = (
            {row["member_ref"]: row for row in reversed(rows)}
            for rows in (
                self._rows(_EARNS, span, least=least),
                self._rows(_REDEEMS, span, least=limits.redemptions),
            )
        )
        found = []
        for ref in sorted({*earned, *redeemed}):
            (whole,) = self._rows(_OF_MEMBER, span, ref=ref)
            earn, redeem = earned.get(ref), redeemed.get(ref)
            found.append(
                Habit(
                    member=whole["member"],
                    earns=whole["earns"],
                    earns_by="" if earn is None else earn["attendant"],
                    earns_with=0 if earn is None else earn["hits"],
                    redemptions=whole["redemptions"],
                    redemptions_by="" if redeem is None else redeem["attendant"],
                    redemptions_with=0 if redeem is None else redeem["hits"],
                    earned_sales=_sales(earn),
                    redeemed_sales=_sales(redeem),
                )
            )
        return found

    def busy(self, span: Span, least: int) -> list[Busy]:
        """Return the members who fuelled at least so often in a span of sales."""
        return [Busy(row["member"], row["hits"], _sales(row)) for row in self._rows(_ON_DAY, span, least=least)]

    def day_shares(self, day: Span, usual: list[Span]) -> list[DayShare]:
        """Return of each attendant of a day their links of it, and those of the usual days on which they linked any.

        Among how many: the sales they served, and those of which nobody knows who did.
        """
        linked: dict[str, tuple[int, int]] = {}
        for one in usual:
            served = self._served(one)
            for row in self._rows(_BY_ON_DAY, one):
                links, of = linked.get(row["attendant"], (0, 0))
                linked[row["attendant"]] = links + row["hits"], of + _of(served, row["attendant"])
        served, found = self._served(day), []
        for row in self._rows(_BY_ON_DAY, day):
            usual_links, usual_of = linked.get(row["attendant"], (0, 0))
            of = _of(served, row["attendant"])
            found.append(DayShare(row["attendant"], row["hits"], of, usual_links, usual_of, _sales(row)))
        return found

    def _served(self, span: Span) -> dict[str, int]:
        return {row["attendant"]: row["hits"] for row in self._rows(_SALES_ON_DAY, span)}

    def _rows(self, query: str, span: Span, **more: int) -> list[sqlite3.Row]:
        with self._open() as db:
            return db.execute(query, {"from_ms": span.from_ms, "to_ms": span.to_ms, **more}).fetchall()


def _of(served: dict[str, int], attendant: str) -> int:
    return served.get(attendant, 0) + served.get("", 0)


def _share(row: sqlite3.Row, member: str | None = None) -> Share:
    return Share(row["attendant"], row["total"], row["hits"], _sales(row), member)


def _sales(row: sqlite3.Row | None) -> tuple[str, ...]:
    return () if row is None or row["sales"] is None else tuple(row["sales"].split(","))
