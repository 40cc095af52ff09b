"""Linked sales by the thousand, written into a station's database beside the pipeline; for what only counts them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Told:
    """One sale and its link. ``member``: the surrogate, made where it is missing; 0: the sale has no link.

    ``served``: the attendant of the sale. ``earned``, ``redeemed``: points; ``purpose``: own use and the like.
    """

    ended_ms: int
    by: str = "a"
    member: int = 1
    level: str = "sun"
    delay_s: int = 0
    earned: int = 10
    redeemed: int = 0
    purpose: str = ""
    active: int = 1
    served: str | None = None


_SALE = """
INSERT INTO sale (id, fuelling_point, nozzle, grade, tank, kind, volume_ml, unit_price_milli, amount_minor, currency,
  exponent, counter, ended_ms, business_day, attendant, flags, state, voided, refunded_minor, journal_seq)
VALUES (?, 1, 1, '92', 1, 'NORMAL', 20000, 7850, 15700, 'CNY', 2, ?, ?, '', ?, '', 'Cleared', 0, 0, 0)
"""
_LINK = """
INSERT INTO link (id, sale, member_ref, level, "by", made_ms, delay_s, active, clock_suspect)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)
"""
_SETTLEMENT = """
INSERT INTO settlement (sale, member_ref, rule_version, rule_hash, gross_minor, discount_minor, net_minor,
  points_redeemed, points_earned, lines, explanation, purpose, "by", settled_ms, journal_seq)
VALUES (?, ?, 1, '', 15700, 0, 15700, ?, ?, '[]', '[]', ?, 'agent', ?, 0)
"""
_HOLDER = """
INSERT INTO points_holder (sale, member_ref, source, points_earned, bonus_points, growth, earned, uses)
VALUES (?, ?, '', ?, 0, 0, '[]', '[]')
"""
_MEMBER = """
INSERT OR IGNORE INTO member (ref, id, tier, growth, tags, mask, flags, visits, first_fill_used, base_points, known, op)
VALUES (?, ?, '', 0, '[]', '****', '[]', 0, 0, 0, 1, 0)
"""


def member_id(ref: int) -> str:
    """The opaque id of a surrogate."""
    return f"{ref:016x}"


def write(path: Path, sales: Iterable[Told], *, first: int = 0) -> list[str]:
    """Write them and return their ids, which sort as they were given; ``first``: how many there are already."""
    told = list(sales)
    ids = [f"S{number:09d}" for number in range(first, first + len(told))]
    every = list(zip(ids, told, strict=True))
    linked = [(sale, one) for sale, one in every if one.member]
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA foreign_keys=OFF")
        db.executemany(_MEMBER, {(one.member, member_id(one.member)) for _, one in linked})
        db.executemany(_SALE, [(sale, int(sale[1:]), one.ended_ms, one.served) for sale, one in every])
        db.executemany(
            _LINK,
            [
                (f"L{s}", s, o.member, o.level, o.by, o.ended_ms + 1_000 * o.delay_s, o.delay_s, o.active)
                for s, o in linked
            ],
        )
        db.executemany(
            _SETTLEMENT,
            [(s, o.member or None, o.redeemed, o.earned, o.purpose, o.ended_ms) for s, o in every],
        )
        db.executemany(_HOLDER, [(s, o.member, o.earned) for s, o in linked])
    return ids
