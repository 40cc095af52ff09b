"""Sums over the whole points ledger and a period's sales: what a station owes and what it gave. Read-only, sqlite3."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from agent.domain.holdings import base_lots
from agent.domain.ledger import Lot
from agent.store.holdings import read_lots
from agent.store.queries import Queries


@dataclass(frozen=True, slots=True)
class Given:
    """What the sales of a period gave. ``discount_minor``: without what was paid by points.

    ``net_minor``: what customers paid, refunds taken off. Points: of the postings of that time, reversals taken off.
    """

    sales: int
    given_back: int
    net_minor: int
    discount_minor: int
    paid_by_points_minor: int
    points_issued: int
    points_redeemed: int
    points_expired: int


class LiabilityQueries(Queries):
    """Questions about all members together."""

    def posted(self, until_ms: int) -> list[Lot]:
        """Return points as posted here before an instant, joined by their last day: one lot for each."""
        with self._open() as db:
            return _joined(db.execute(_POSTED_LOTS, {"until_ms": until_ms}), "posted")

    def believed(self) -> list[Lot]:
        """Return all members' points as the station believes them now, joined by their last day and their source.

        Head office's part has the source ``head_office``; where it includes what was posted here, it is there alone.
        """
        with self._open() as db:
            found = _joined(db.execute(_PLAIN), "posted")
            told = [[row["points"], None, row["expires_on"]] for row in db.execute(_TOLD)]
            found += base_lots(told)
            for member in db.execute(_BOTH).fetchall():
                found += [lot for lot in read_lots(db, member) if lot.points]
        return found

    def debt(self, until_ms: int) -> int:
        """Return how many points members owed at an instant, 0 or more."""
        with self._open() as db:
            (points,) = db.execute(_DEBT, (until_ms,)).fetchone()
        return -int(points)

    def given(self, from_ms: int, until_ms: int) -> Given:
        """Return what the sales that ended in a period gave."""
        period = {"from_ms": from_ms, "until_ms": until_ms}
        with self._open() as db:
            sums = [dict(row) for row in db.execute(_SALES, period)]
            posted: dict[str, int] = dict(db.execute(_POSTED, period).fetchall())
            paid = sum(_money(db, row["rule_version"], row["redeemed"]) for row in sums if row["redeemed"])
        return Given(
            sales=sum(row["sales"] for row in sums),
            given_back=sum(row["given_back"] for row in sums),
            net_minor=sum(row["net_minor"] for row in sums),
            discount_minor=sum(row["discount_minor"] for row in sums) - paid,
            paid_by_points_minor=paid,
            points_issued=-posted.get("program:issued", 0),
            points_redeemed=posted.get("program:redeemed", 0),
            points_expired=posted.get("program:expired", 0),
        )


def _joined(rows: Iterable[sqlite3.Row], source: str) -> list[Lot]:
    return [
        Lot(
            f"until {row['expires_on']}",
            row["points"],
            0,
            0,
            None if row["expires_on"] is None else date.fromisoformat(row["expires_on"]),
            source,
        )
        for row in rows
    ]


def _money(db: sqlite3.Connection, version: int, points: int) -> int:
    """Return the money that points paid under a rule version; only whole steps are ever paid."""
    row = db.execute("SELECT body FROM document WHERE kind = 'rules' AND version = ?", (version,)).fetchone()
    program: dict[str, Any] = json.loads(row["body"])["program"]
    return int(points // program.get("step_points", STEP) * program.get("step_minor", STEP))


STEP = 100
"""Points of a step, and what they pay, where the rule document says nothing."""

_LEFT = """
SELECT l.expires_on AS expires_on, sum(p.points) AS points
FROM posting p JOIN lot l ON l.id = p.lot AND l.member_ref = p.member_ref JOIN member m ON m.ref = p.member_ref
WHERE p.account IN ('member:available', 'member:pending')
"""
_POSTED_LOTS = f"{_LEFT} AND p.at_ms < :until_ms GROUP BY l.expires_on"
_ALONE = "m.ref NOT IN (SELECT ref FROM member_alias UNION SELECT to_ref FROM member_alias)"
_PLAIN = f"{_LEFT} AND m.base_lots = '[]' AND m.as_of IS NULL AND {_ALONE} GROUP BY l.expires_on"
_TOLD = f"""
SELECT json_extract(b.value, '$[2]') AS expires_on, sum(json_extract(b.value, '$[0]')) AS points
FROM member m JOIN json_each(m.base_lots) b
WHERE m.base_lots <> '[]' AND NOT EXISTS (SELECT 1 FROM posting p WHERE p.member_ref = m.ref) AND {_ALONE}
GROUP BY expires_on
"""  # noqa: S608
"""Of members to whom nothing was posted here."""

_BOTH = f"""
SELECT * FROM member m
WHERE (m.base_lots <> '[]' OR m.as_of IS NOT NULL) AND {_ALONE}
  AND EXISTS (SELECT 1 FROM posting p WHERE p.member_ref = m.ref)
UNION ALL
SELECT * FROM member WHERE ref IN (SELECT to_ref FROM member_alias)
"""  # noqa: S608
"""Members whose balance is put together of several parts, those merged out of several ids among them."""

_DEBT = "SELECT coalesce(sum(points), 0) FROM posting WHERE account = 'member:debt' AND at_ms < ?"
_SALES = """
SELECT t.rule_version AS rule_version, count(*) AS sales, sum(s.voided) AS given_back,
       sum(CASE WHEN s.voided THEN 0 ELSE t.net_minor - s.refunded_minor END) AS net_minor,
       sum(CASE WHEN s.voided THEN 0 ELSE t.discount_minor END) AS discount_minor,
       sum(CASE WHEN s.voided THEN 0 ELSE t.points_redeemed END) AS redeemed
FROM sale s JOIN settlement t ON t.sale = s.id
WHERE s.ended_ms >= :from_ms AND s.ended_ms < :until_ms AND t.purpose = '' AND s.volume_ml > 0
  AND s.id NOT IN (SELECT sale FROM superseded)
GROUP BY t.rule_version
"""
_POSTED = """
SELECT account, sum(points) FROM posting
WHERE at_ms >= :from_ms AND at_ms < :until_ms AND account IN ('program:issued', 'program:redeemed', 'program:expired')
GROUP BY account
"""
