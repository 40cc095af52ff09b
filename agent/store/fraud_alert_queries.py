"""Alerts of misuse as people look at them: listed, one with its sales and reviews, and how good each rule is.

Read-only, plain sqlite3. Of a member the mask and the opaque id.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from agent.domain.fraud import Rule
from agent.domain.fraud_review import Tally
from agent.store.queries import NotFound, Queries, utc

_ALERTS = """
SELECT a.*, m.id AS member, m.mask, o.id AS other_member,
       (SELECT count(*) FROM fraud_alert_sale s WHERE s.alert = a.id) AS sales
FROM fraud_alert a LEFT JOIN member m ON m.ref = a.member_ref LEFT JOIN member o ON o.ref = a.other_ref
"""
_OPEN = "a.severity = 'alert' AND a.verdict IS NULL"
_SALES = """
SELECT f.sale, f.effect, s.ended_ms, s.fuelling_point, s.grade, s.volume_ml, s.amount_minor, s.exponent, l."by",
       l.level, l.delay_s, coalesce(h.points_earned, 0) AS points_earned,
       EXISTS (SELECT 1 FROM lot WHERE lot.id = f.sale AND lot.member_ref = h.member_ref AND usable_from_ms IS NULL)
         AS held
FROM fraud_alert_sale f JOIN sale s ON s.id = f.sale LEFT JOIN link l ON l.sale = f.sale AND l.active = 1
LEFT JOIN points_holder h ON h.sale = f.sale WHERE f.alert = ? ORDER BY s.ended_ms, f.sale
"""
_STATS = """
SELECT rule, sum(severity = 'info') AS noted, sum(severity = 'alert') AS fired,
       sum(severity = 'alert' AND coalesce(verdict, '') = 'confirmed') AS confirmed,
       sum(severity = 'alert' AND coalesce(verdict, '') = 'harmless') AS harmless,
       sum(severity = 'alert' AND coalesce(verdict, '') = 'unclear') AS unclear
FROM fraud_alert GROUP BY rule
"""


class FraudAlertQueries(Queries):
    """Questions about alerts of misuse."""

    def listed(self, *, limit: int, everything: bool = False, rule: str | None = None) -> list[dict[str, Any]]:
        """Return the newest alerts first: those without a review, or with ``everything`` all and the notes."""
        where = ["1" if everything else _OPEN, "1" if rule is None else "a.rule = :rule"]
        query = f"{_ALERTS} WHERE {' AND '.join(where)} ORDER BY a.updated_ms DESC, a.id DESC LIMIT :limit"
        with self._open() as db:
            rows = db.execute(query, {"rule": rule, "limit": limit}).fetchall()
        return [_alert(row) for row in rows]

    def alert(self, prefix: str) -> dict[str, Any]:
        """Return one alert with the sales it names and what people found out about it. Raises NotFound."""
        with self._open() as db:
            rows = db.execute(f"{_ALERTS} WHERE a.id BETWEEN ? AND ? LIMIT 2", (prefix, prefix + "~")).fetchall()
            if len(rows) != 1:
                problem = "no alert" if not rows else "more than one alert"
                hint = "forecourt fraud list --all lists the ids"
                raise NotFound(f"{problem} has an id like {prefix!r}", hint=hint)
            sales = db.execute(_SALES, (rows[0]["id"],)).fetchall()
            reviews = db.execute(
                "SELECT * FROM fraud_review WHERE alert = ? ORDER BY at_ms, rowid", (rows[0]["id"],)
            ).fetchall()
        return {
            **_alert(rows[0]),
            "named_sales": [_sale(row) for row in sales],
            "reviews": [
                {"at": utc(row["at_ms"]), "by": row["by"], "verdict": row["verdict"], "note": row["note"]}
                for row in reviews
            ],
        }

    def stats(self, noisy_reviews: int, noisy_pct: int, off: frozenset[str]) -> list[dict[str, Any]]:
        """Return of each rule how often it fired, what became of it, and whether it is too noisy."""
        with self._open() as db:
            counted = {row["rule"]: row for row in db.execute(_STATS)}
        return [_stat(rule.value, counted.get(rule.value), (noisy_reviews, noisy_pct), rule in off) for rule in Rule]


def _alert(row: sqlite3.Row) -> dict[str, Any]:
    other = row["other"] if row["other_member"] is None else row["other_member"]
    kind = "member" if row["attendant"] is not None else "attendant"
    return {
        "alert": row["id"],
        "rule": row["rule"],
        "severity": row["severity"],
        "subject": f"member:{row['member']}" if row["attendant"] is None else f"attendant:{row['attendant']}",
        "mask": row["mask"],
        "other": None if other is None else f"{kind}:{other}",
        "day": row["day"],
        "from": utc(row["from_ms"]),
        "to": utc(row["to_ms"]),
        "observed": row["observed"],
        "threshold": row["threshold"],
        "median": row["median"],
        "unit": row["unit"],
        "sales": row["sales"],
        "raised_at": utc(row["raised_ms"]),
        "updated_at": utc(row["updated_ms"]),
        "updates": row["updates"],
        "verdict": row["verdict"],
        "reviewed_at": utc(row["reviewed_ms"]),
    }


def _sale(row: sqlite3.Row) -> dict[str, Any]:
    found = {key: row[key] for key in row.keys() if key not in ("ended_ms", "held")}  # noqa: SIM118
    return {**found, "ended_at": utc(row["ended_ms"]), "held": bool(row["held"])}


def _stat(rule: str, row: sqlite3.Row | None, noisy: tuple[int, int], off: bool) -> dict[str, Any]:
    names = ("fired", "confirmed", "harmless", "unclear")
    tally = Tally() if row is None else Tally(**{name: row[name] for name in names})
    return {
        "rule": rule,
        "off": off,
        "noted": 0 if row is None else row["noted"],
        "fired": tally.fired,
        "reviewed": tally.reviewed,
        "confirmed": tally.confirmed,
        "harmless": tally.harmless,
        "unclear": tally.unclear,
        "precision_bp": tally.precision_bp,
        "too_noisy": tally.is_noisy(*noisy),
    }
