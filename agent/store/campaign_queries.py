"""What offers did at this station, counted from the stored lines of settlements, one part of the sales at a time.

A part is chosen by a number that a settlement keeps for ever: asked one after another, parts hold each sale once.
Each is one walk over its sales. Read-only; knows no rule and no time zone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from agent.domain.campaigns import NOT_ELIGIBLE, Group, side
from agent.domain.member import UseWindow
from agent.domain.rules.conditions import holdout_bucket
from agent.domain.rules.model import Rounding
from agent.domain.rules.verdict import EarnTerm, Verdict
from agent.store.loyalty_queries import leases
from agent.store.queries import Queries

LINES_PER_PART = 240_000
"""Verdicts one question reads: about two seconds of one slow core."""

LEAST_PER_PART = 200
REJECTED = Verdict.REJECTED.value


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


@dataclass(frozen=True, slots=True)
class Budget:
    """A campaign's leases at this station: all there were, and what the live ones have left.

    ``first_ms``: when the first was received; ``expires_ms``: of the live one that lasts longest, ``None`` without any.
    """

    granted_minor: int
    spent_minor: int
    left_minor: int
    first_ms: int
    expires_ms: int | None


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
        return max(1, -(-int(sales) // size))

    def budget(self, campaign: str, wall_ms: int) -> Budget | None:
        """Return what head office has lent this station of a campaign, ``None`` where it never lent anything."""
        with self._open() as db:
            row = db.execute(_LENT, (campaign,)).fetchone()
            live = [lease for lease in leases(db, "budget", campaign) if lease.live(wall_ms)]
        if row["leases"] == 0:
            return None
        return Budget(
            granted_minor=row["granted"],
            spent_minor=row["spent"],
            left_minor=sum(lease.remaining for lease in live),
            first_ms=row["first_ms"],
            expires_ms=max((lease.expires_ms for lease in live), default=None),
        )

    def tally(self, period: Period, part: Part, offers: list[str], holdouts: dict[str, list[int]]) -> dict[str, Any]:
        """Return counts and sums of one part, by offer.

        ``offers``: which; ``holdouts``: those with a hold-out group, with its share (bp) in every rule version.
        """
        place = (period.from_ms, period.to_ms, period.cut_ms, part.parts, part.part)
        counted = _Tally(offers)
        with self._open() as db:
            for row in db.execute(_SALES, place):
                counted.count(row)
            ids = dict(db.execute(_IDS, (json.dumps(list(counted.bought)),)).fetchall()) if holdouts else {}
        return counted.told(holdouts, ids)


class _Tally:
    """Counts of one part while its sales pass by."""

    def __init__(self, offers: list[str]) -> None:
        self._sales = {"sales": 0, "given_back": 0, "gross_minor": 0, "net_minor": 0, "volume_ml": 0}
        self._verdicts: dict[tuple[str, str, str, bool], list[int]] = {}
        self._members: dict[tuple[str, str, str, bool], set[int]] = {}
        self._amounts = dict.fromkeys(offers, 0)
        self.bought: dict[int, list[int]] = {}
        """Fuellings, net and litres by member."""

    def count(self, row: sqlite3.Row) -> None:
        """Add one sale. One that was given back counts for nobody; its verdicts are kept apart."""
        voided, member = bool(row["voided"]), row["member"]
        self._sales["sales"] += 1
        if voided:
            self._sales["given_back"] += 1
        else:
            for key in ("gross_minor", "net_minor", "volume_ml"):
                self._sales[key] += row[key]
            if row["uses"] is not None:
                self._given(row)
        if member is not None:
            bought = self.bought.setdefault(member, [0, 0, 0])
            bought[0] += 1
            bought[1] += row["net_minor"]
            bought[2] += row["volume_ml"]
        for line in json.loads(row["lines"]):
            verdict = (line["offer"], line["verdict"], line["code"], voided)
            sums = self._verdicts.get(verdict)
            if sums is None:
                sums = self._verdicts[verdict] = [0, 0, 0]
                self._members[verdict] = set()
            sums[0] += 1
            sums[1] += line["value_minor"]
            sums[2] += line["desired_minor"]
            if member is not None:
                self._members[verdict].add(member)

    def _given(self, row: sqlite3.Row) -> None:
        """Add what the sale gives its member as it stands: after a part was refunded earned points follow it."""
        earned: dict[str, int] = {}
        if row["refunded_minor"]:
            share = Fraction(row["net_minor"], row["net_minor"] + row["refunded_minor"])
            for offer, numerator, denominator, rounding, cap in json.loads(row["earned"]):
                term = EarnTerm(offer, Fraction(numerator, denominator), Rounding(rounding), cap)
                earned[offer] = earned.get(offer, 0) + term.points_at(share)
        for offer, window, _period, _uses, amount in json.loads(row["uses"]):
            if window == UseWindow.LIFE and offer in self._amounts:
                self._amounts[offer] += earned.get(offer, amount)

    def told(self, holdouts: dict[str, list[int]], ids: dict[int, str]) -> dict[str, Any]:
        """Return everything counted; ``ids``: of the members, where there are hold-out groups."""
        return {
            "sales": self._sales,
            "verdicts": [[*key, *sums] for key, sums in sorted(self._verdicts.items()) if key[0] in self._amounts],
            "reached": {offer: len(self._with(offer, lambda key: key[1] != REJECTED)) for offer in self._amounts},
            "amounts": self._amounts,
            "groups": {offer: self._groups(offer, shares, ids) for offer, shares in holdouts.items()},
        }

    def _with(self, offer: str, wanted: Callable[[tuple[str, str, str, bool]], bool]) -> set[int]:
        """Return the members who got a wanted verdict of an offer at least once."""
        return set().union(*(members for key, members in self._members.items() if key[0] == offer and wanted(key)))

    def _groups(self, offer: str, shares: list[int], ids: dict[int, str]) -> dict[str, Any]:
        """Return the sums over members who may get an offer and over those held out.

        Members: those for whom it was eligible at least once in the period, with all they bought in it.
        """
        treated, held_out, moved = Group(), Group(), 0
        for member in self._with(offer, lambda key: key[2] not in NOT_ELIGIBLE):
            held = side(holdout_bucket(offer, ids[member]), tuple(shares))
            if held is None:
                moved += 1
            else:
                (held_out if held else treated).count(*self.bought[member])
        return {"treated": asdict(treated), "held_out": asdict(held_out), "moved": moved}


_DOCUMENTS = """
SELECT body, activated_ms FROM document WHERE kind = 'rules' AND activated_ms IS NOT NULL ORDER BY version
"""
_COUNT = "SELECT count(*) FROM sale WHERE ended_ms >= ? AND ended_ms < ?"

_LENT = """
SELECT count(*) AS leases, sum(granted) AS granted, sum(spent) AS spent, min(received_ms) AS first_ms
FROM lease WHERE kind = 'budget' AND subject = ?
"""
_IDS = "SELECT ref, id FROM member WHERE ref IN (SELECT value FROM json_each(?))"
_SALES = """
SELECT s.voided AS voided, s.refunded_minor AS refunded_minor, s.volume_ml AS volume_ml, t.gross_minor AS gross_minor,
       t.net_minor - s.refunded_minor AS net_minor, t.lines AS lines, h.uses AS uses, h.earned AS earned,
       CASE WHEN s.voided = 0 AND EXISTS (
           SELECT 1 FROM link l WHERE l.sale = s.id AND l.active = 1 AND l.member_ref = t.member_ref
       ) THEN t.member_ref END AS member
FROM sale s JOIN settlement t ON t.sale = s.id LEFT JOIN points_holder h ON h.sale = s.id
WHERE s.ended_ms >= ? AND s.ended_ms < ? AND t.settled_ms <= ? AND t.purpose = '' AND s.volume_ml > 0
  AND s.id NOT IN (SELECT sale FROM superseded) AND coalesce(t.member_ref, s.rowid) % ? = ?
"""
"""Fuel that a customer paid for, each once: not drive-offs, tests and own use, nothing head office knew otherwise.

``member``: whom the sale was settled for, where it stands and is still theirs. ``uses``: of who holds its points now.
"""
