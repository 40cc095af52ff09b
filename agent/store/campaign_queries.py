"""What offers did at this station, counted from the stored lines of settlements, one part of the sales at a time.

A part is chosen by a number that a settlement keeps for ever: asked one after another, parts hold each sale once.
SQLite does the counting, outside the interpreter's lock, so the daemon goes on. Knows no rule and no time zone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from agent.domain.campaigns import NOT_ELIGIBLE, Group, side
from agent.domain.rules.conditions import holdout_bucket
from agent.domain.rules.model import Rounding
from agent.domain.rules.verdict import EarnTerm
from agent.store.queries import Queries

LINES_PER_PART = 240_000
"""Verdicts one question reads: about two seconds of one slow core."""

LEAST_PER_PART = 200


@dataclass(frozen=True, slots=True)
class Period:
    """Sales that ended at ``from_ms`` or later and before ``to_ms``, and were settled by ``cut_ms``."""

    from_ms: int
    to_ms: int
    cut_ms: int


@dataclass(frozen=True, slots=True)
class Part:
    """One of ``parts`` parts of the sales, from 0."""

    part: int
    parts: int


class CampaignQueries(Queries):
    """Questions about offers over many sales."""

    def rule_documents(self) -> list[tuple[dict[str, Any], int, int | None]]:
        """Return each rule document that was in force, oldest version first, from when and until when (ms)."""
        with self._open() as db:
            rows = db.execute(_DOCUMENTS).fetchall()
        ends = [row["activated_ms"] for row in rows[1:]]
        return [
            (json.loads(row["body"]), row["activated_ms"], end) for row, end in zip(rows, [*ends, None], strict=True)
        ]

    def parts(self, period: Period, offers: int) -> int:
        """Return into how many parts the sales of a period are cut, with so many verdicts on each sale."""
        with self._open() as db:
            (sales,) = db.execute(_COUNT, (period.from_ms, period.to_ms)).fetchone()
        size = max(LEAST_PER_PART, LINES_PER_PART // max(1, offers))
        return max(1, -(-sales // size))

    def tally(self, period: Period, part: Part, offers: list[str], holdouts: dict[str, list[int]]) -> dict[str, Any]:
        """Return counts and sums of one part, by offer.

        ``offers``: which; ``holdouts``: those with a hold-out group, with its share (bp) in every rule version.
        """
        values = {
            "from_ms": period.from_ms,
            "to_ms": period.to_ms,
            "cut_ms": period.cut_ms,
            "part": part.part,
            "parts": part.parts,
            "offers": json.dumps(offers),
        }
        with self._open() as db:
            return {
                "sales": dict(db.execute(_SALES, values).fetchone()),
                "verdicts": [_verdict(row) for row in db.execute(_VERDICTS, values)],
                "reached": [list(row) for row in db.execute(_REACHED, values)],
                "amounts": _amounts(db, values),
                "groups": _groups(db, values, holdouts) if holdouts else {},
            }


def _verdict(row: sqlite3.Row) -> list[Any]:
    """Return [offer, verdict, code, given back, sales, value, wanted]."""
    return [*json.loads(row["line"]), bool(row["voided"]), row["sales"], row["value_minor"], row["desired_minor"]]


def _amounts(db: sqlite3.Connection, values: dict[str, Any]) -> dict[str, int]:
    """Return what offers gave members as it stands now, refunds taken off: points, or for discounts minor units."""
    found = {row["offer"]: int(row["amount"]) for row in db.execute(_WHOLE, values)}
    for row in db.execute(_REFUNDED, values):
        for offer, amount in _left(row):
            found[offer] = found.get(offer, 0) + amount
    return found


def _left(row: sqlite3.Row) -> Iterator[tuple[str, int]]:
    """Yield what offers still give on a sale that was refunded in part: earned points follow, the others stay."""
    share = Fraction(row["net_minor"] - row["refunded_minor"], row["net_minor"])
    earned = set()
    for offer, numerator, denominator, rounding, cap in json.loads(row["earned"]):
        earned.add(offer)
        yield offer, EarnTerm(offer, Fraction(numerator, denominator), Rounding(rounding), cap).points_at(share)
    for offer, window, _period, _uses, amount in json.loads(row["uses"]):
        if window == "LIFE" and offer not in earned:
            yield offer, amount


def _groups(db: sqlite3.Connection, values: dict[str, Any], holdouts: dict[str, list[int]]) -> dict[str, Any]:
    """Return per offer the sums over members who may get it and over those held out.

    Members: those for whom the offer was eligible at least once in the period, with all they bought in it.
    """
    members = {row["ref"]: row for row in db.execute(_MEMBERS, values)}
    groups = {offer: {"treated": Group(), "held_out": Group(), "moved": 0} for offer in holdouts}
    wanted = {**values, "offers": json.dumps(list(holdouts)), "not_eligible": json.dumps(sorted(NOT_ELIGIBLE))}
    for row in db.execute(_ELIGIBLE, wanted):
        offer, member = row["offer"], members[row["ref"]]
        held = side(holdout_bucket(offer, member["id"]), tuple(holdouts[offer]))
        if held is None:
            groups[offer]["moved"] += 1
        else:
            group = groups[offer]["held_out" if held else "treated"]
            group.count(member["fuellings"], member["net_minor"], member["volume_ml"])
    return groups


_DOCUMENTS = """
SELECT body, activated_ms FROM document WHERE kind = 'rules' AND activated_ms IS NOT NULL ORDER BY version
"""
_COUNT = "SELECT count(*) FROM sale WHERE ended_ms >= ? AND ended_ms < ?"


def _of_part(join: str = "", where: str = "") -> str:
    """Return the source of a question: fuel that a customer paid for, each once, with more joins and conditions.

    Not drive-offs, tests and own use, nothing that head office knew under another sale.
    """
    return f"""
FROM sale s JOIN settlement t ON t.sale = s.id {join}
WHERE s.ended_ms >= :from_ms AND s.ended_ms < :to_ms AND t.settled_ms <= :cut_ms AND t.purpose = '' AND s.volume_ml > 0
  AND s.id NOT IN (SELECT sale FROM superseded) AND coalesce(t.member_ref, s.rowid) % :parts = :part {where}
"""  # noqa: S608 - both are constants of this file


_LINES = "JOIN json_each(t.lines) j"
_OF_OFFERS = "AND json_extract(j.value, '$.offer') IN (SELECT value FROM json_each(:offers))"
_FOR_MEMBERS = """
  AND s.voided = 0 AND t.member_ref IS NOT NULL
  AND EXISTS (SELECT 1 FROM link l WHERE l.sale = s.id AND l.active = 1 AND l.member_ref = t.member_ref)
"""
"""The sale stands, and the member it was settled for is its member still."""

_SALES = f"""
SELECT count(*) AS sales, coalesce(sum(s.voided), 0) AS given_back,
       coalesce(sum(CASE WHEN s.voided THEN 0 ELSE t.gross_minor END), 0) AS gross_minor,
       coalesce(sum(CASE WHEN s.voided THEN 0 ELSE t.net_minor - s.refunded_minor END), 0) AS net_minor,
       coalesce(sum(CASE WHEN s.voided THEN 0 ELSE s.volume_ml END), 0) AS volume_ml
{_of_part()}
"""
_VERDICTS = f"""
SELECT json_extract(j.value, '$.offer', '$.verdict', '$.code') AS line, s.voided AS voided, count(*) AS sales,
       sum(json_extract(j.value, '$.value_minor')) AS value_minor,
       sum(json_extract(j.value, '$.desired_minor')) AS desired_minor
{_of_part(_LINES, _OF_OFFERS)} GROUP BY line, s.voided ORDER BY line, s.voided
"""
_REACHED = f"""
SELECT json_extract(j.value, '$.offer') AS offer, count(DISTINCT t.member_ref) AS members
{_of_part(_LINES, f"{_OF_OFFERS} {_FOR_MEMBERS} AND json_extract(j.value, '$.verdict') <> 'REJECTED'")}
GROUP BY offer
"""
_GIVEN = """
  AND s.voided = 0 AND s.refunded_minor = 0 AND json_extract(u.value, '$[1]') = 'LIFE'
  AND json_extract(u.value, '$[0]') IN (SELECT value FROM json_each(:offers))
"""
_WHOLE = f"""
SELECT json_extract(u.value, '$[0]') AS offer, sum(json_extract(u.value, '$[4]')) AS amount
{_of_part("JOIN points_holder h ON h.sale = s.id JOIN json_each(h.uses) u", _GIVEN)} GROUP BY offer
"""
_REFUNDED = f"""
SELECT t.net_minor AS net_minor, s.refunded_minor AS refunded_minor, h.earned AS earned, h.uses AS uses
{_of_part("JOIN points_holder h ON h.sale = s.id", "AND s.voided = 0 AND s.refunded_minor > 0")}
"""
_MEMBERS = f"""
SELECT t.member_ref AS ref, m.id AS id, count(*) AS fuellings, sum(t.net_minor - s.refunded_minor) AS net_minor,
       sum(s.volume_ml) AS volume_ml
{_of_part("JOIN member m ON m.ref = t.member_ref", _FOR_MEMBERS)} GROUP BY t.member_ref
"""
_NOT_REFUSED = "AND json_extract(j.value, '$.code') NOT IN (SELECT value FROM json_each(:not_eligible))"
_ELIGIBLE = f"""
SELECT DISTINCT json_extract(j.value, '$.offer') AS offer, t.member_ref AS ref
{_of_part(_LINES, f"{_OF_OFFERS} {_FOR_MEMBERS} {_NOT_REFUSED}")}
"""
