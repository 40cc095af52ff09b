"""What ``verify`` recomputes of points, leases, coupons and quotes: every sum from the journal and the postings.

Reads only, plain sqlite3; the checks are called from ``verify``.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from agent.store.pruned import Pruned

Finding = tuple[str, str]
"""Where, and what is off."""

Records = Callable[[sqlite3.Connection, str], Iterator[tuple[int, dict[str, Any]]]]
"""Gives (seq, record) of every readable record of a type, each once."""

_POSTING_TYPES = ("fc.sale.settled.v1", "fc.sale.corrected.v1", "fc.points.v1")


def points(db: sqlite3.Connection, records: Records) -> Iterator[Finding]:
    """Settlements against their postings, lots against the records that made them, debt."""
    yield from _settled_points(db)
    yield from _lots(db, records)
    for row in db.execute(_PAID_TWICE):
        yield f"member {row['member_ref']}", f"has a debt of {-row['p']} points"


_PAID_TWICE = """
SELECT coalesce(a.to_ref, p.member_ref) AS member_ref, sum(p.points) AS p
FROM posting p LEFT JOIN member_alias a ON a.ref = p.member_ref WHERE p.account = 'member:debt' GROUP BY 1 HAVING p > 0
"""
_TERMS = ("earned_ms", "usable_from_ms", "expires_on")

_SETTLED_POINTS = """
SELECT s.sale, s.points_redeemed, s.points_earned, s.member_ref,
       (SELECT coalesce(sum(p.points), 0) FROM posting p
        WHERE p.sale = s.sale AND p.account = 'program:redeemed' AND p.rule = 'settled') AS redeemed,
       (SELECT coalesce(sum(-p.points), 0) FROM posting p
        WHERE p.sale = s.sale AND p.account = 'program:issued' AND p.rule = 'settled') AS issued
FROM settlement s
WHERE s.member_ref IS NOT NULL AND EXISTS (SELECT 1 FROM posting p WHERE p.sale = s.sale AND p.rule = 'settled')
"""


def _settled_points(db: sqlite3.Connection) -> Iterator[Finding]:
    for row in db.execute(_SETTLED_POINTS):
        for told, posted in (("points_redeemed", "redeemed"), ("points_earned", "issued")):
            if row[told] != row[posted]:
                yield f"settlement of {row['sale']}", f"{told} is {row[told]}, its postings sum to {row[posted]}"


def _lots(db: sqlite3.Connection, records: Records) -> Iterator[Finding]:
    told: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)  # a changed link makes a lot of its own by that id
    for name in _POSTING_TYPES:
        for _, record in records(db, name):
            for lot in record["data"].get("lots", ()):
                told[lot["lot"]].append({key: lot[key] for key in _TERMS})
    for row in db.execute("SELECT * FROM lot WHERE source <> 'head_office'"):
        have = {key: row[key] for key in _TERMS}
        if told[row["id"]] and have not in told[row["id"]]:
            yield f"lot {row['id']}", f"is {have}, its record says {told[row['id']][0]}"
    query = "SELECT DISTINCT lot, member_ref FROM posting WHERE member_ref IS NOT NULL AND account <> 'member:debt'"
    for row in db.execute(f"{query} EXCEPT SELECT id, member_ref FROM lot"):  # noqa: S608
        yield f"lot {row['lot']}", "has postings and no row: nobody knows until when its points may be spent"


def leases(db: sqlite3.Connection, records: Records) -> Iterator[Finding]:
    """Leases against their records, what is spent of them against moves, moves against settlements and refunds."""
    granted: dict[str, int] = {}
    ended: dict[str, str] = {}
    for _, record in records(db, "fc.lease.v1"):
        data = record["data"]
        if data["event"] == "received":
            granted[data["lease"]] = data["remaining"]
        else:
            ended[data["lease"]] = data["event"]
    words, pruned = {"closed_out": "closed", "void": "void"}, Pruned(db)
    spent = {row["lease"]: row["amount"] for row in db.execute(_SPENT)}
    for row in db.execute("SELECT * FROM lease"):
        where = f"lease {row['id']}"
        if granted.get(row["id"]) != row["granted"] and not (
            row["id"] not in granted and pruned.covers(row["received_ms"])
        ):
            yield where, f"granted is {row['granted']}, its record says {granted.get(row['id'])}"
        if row["spent"] != spent.get(row["id"], 0):
            yield where, f"spent is {row['spent']}, its moves sum to {spent.get(row['id'], 0)}"
        over = row["state"] if row["state"] in words.values() else None
        if over != words.get(ended.get(row["id"], "")) and not (
            row["id"] not in ended and pruned.covers(row["ended_ms"])
        ):
            yield where, f"is {row['state']}, its records say {ended.get(row['id'], 'received')}"
    yield from _moves(db, records)


_SPENT = "SELECT lease, sum(amount) AS amount FROM lease_move GROUP BY lease"


def _moves(db: sqlite3.Connection, records: Records) -> Iterator[Finding]:
    have = {(row["source"], row["lease"]): row["amount"] for row in db.execute("SELECT * FROM lease_move")}
    want: Counter[tuple[str, str]] = Counter()
    for name in ("fc.sale.settled.v1", "fc.sale.corrected.v1"):
        for _, record in records(db, name):
            data = record["data"]
            told = [(use["lease"], use["amount_minor"]) for use in data.get("budgets", ())]
            told += [(use["lease"], use["points"]) for use in data.get("points_leases", ())]
            for lease, amount in told:
                if lease is not None:
                    want[record["id"], lease] += amount
    pruned = Pruned(db)
    for key in sorted({*have, *want}):
        if have.get(key, 0) != want.get(key, 0) and not (key not in want and pruned.covers_id(key[0])):
            yield f"lease {key[1]}", f"record {key[0]} took {want.get(key, 0)} of it, its move says {have.get(key, 0)}"


def coupons(db: sqlite3.Connection, records: Records) -> Iterator[Finding]:
    """Uses of coupons against settlements and refunds; each that is spent was spent once; no balance grows."""
    want: dict[tuple[str, str], dict[str, Any]] = {}
    for _, record in records(db, "fc.sale.settled.v1"):
        data = record["data"]
        want.update(((data["sale"], use["code"]), {**use, "returned": False}) for use in data.get("coupons", ()))
    for _, record in records(db, "fc.sale.corrected.v1"):
        data = record["data"]
        for code in data.get("coupons", ()):
            if (data["sale"], code) in want:
                want[data["sale"], code]["returned"] = True
    spent: Counter[str] = Counter()
    pruned = Pruned(db)
    for row in db.execute("SELECT * FROM coupon_use ORDER BY sale, code"):
        told = want.pop((row["sale"], row["code"]), None)
        where = f"coupon {row['code']}"
        came_back = row["returned_ms"] is not None
        if told is None and not pruned.covers(row["at_ms"]):
            yield where, f"its use on sale {row['sale']} is in no journal record"
            continue
        have = (row["offer"], row["value_minor"], came_back)
        if told is not None and have != (told["offer"], told["value_minor"], told["returned"]):
            yield where, f"its use on sale {row['sale']} differs from the record"
        spent[row["code"]] += int(row["used"] == 1 and not came_back)
    for sale, code in want:
        yield f"coupon {code}", f"its use on sale {sale} has no row"
    for code, times in spent.items():
        if times > 1:
            yield f"coupon {code}", f"was spent {times} times"
    yield from _balances(db)


def _balances(db: sqlite3.Connection) -> Iterator[Finding]:
    """What a use left on its coupon is what was there before it, less its value."""
    left: dict[str, int | None] = {}
    known = {row["code"]: row["balance_minor"] for row in db.execute("SELECT code, balance_minor FROM coupon")}
    query = "SELECT * FROM coupon_use WHERE returned_ms IS NULL ORDER BY at_ms, source"
    for row in db.execute(query):
        code = row["code"]
        before = left.get(code, known.get(code))
        if before is not None and row["left_minor"] is not None and before - row["value_minor"] != row["left_minor"]:
            yield f"coupon {code}", f"{before} less {row['value_minor']} is not the {row['left_minor']} left on it"
        if (row["used"] == 1) != (not row["left_minor"]):
            yield f"coupon {code}", f"its use on sale {row['sale']} leaves {row['left_minor']} and says otherwise"
        left[code] = row["left_minor"]


def quotes(db: sqlite3.Connection, _records: Records) -> Iterator[Finding]:
    """A sale is Locked exactly while a quote holds it, and what all quotes hold of a lease is still there."""
    locked = {row["id"] for row in db.execute("SELECT id FROM sale WHERE state = 'Locked'")}
    held = {row["sale"] for row in db.execute("SELECT sale FROM quote")}
    for sale in sorted(locked - held):
        yield f"sale {sale}", "is Locked, no quote holds it"
    for sale in sorted(held - locked):
        yield f"quote of {sale}", "holds a sale that is not Locked"
    for row in db.execute(_OVERHELD):
        yield f"lease {row['id']}", f"quotes hold {row['held']} of the {row['left']} left on it"
    yield from _uses(db)


_OVERHELD = """
SELECT l.id, l.granted - l.spent AS left, sum(h.amount) AS held
FROM held h JOIN lease l ON l.id = h.key WHERE h.kind = 'lease' GROUP BY l.id HAVING held > left
"""


def _uses(db: sqlite3.Connection) -> Iterator[Finding]:
    """Use counts of members are the sum of what their sales and their quotes counted."""
    want: defaultdict[tuple[int, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    rows = [(row["member_ref"], row["uses"]) for row in db.execute(_COUNTING)]
    for ref, text in rows:
        for offer, window, period, uses, amount in json.loads(text):
            counted = want[ref, offer, window, period]
            counted[0] += uses
            counted[1] += amount
    for row in db.execute("SELECT * FROM use_count WHERE subject > 0"):
        key = (row["subject"], row["offer"], row["window"], row["period"])
        uses, amount = want.pop(key, [0, 0])
        if (row["uses"], row["amount"]) != (uses, amount):
            where = f"use count of {key[1]} {key[3]}"
            yield where, f"is {row['uses']} of {row['amount']}, its sales say {uses} of {amount}"
    for key, (uses, amount) in want.items():
        if uses or amount:
            yield f"use count of {key[1]} {key[3]}", f"has no row, its sales say {uses} of {amount}"


_COUNTING = """
SELECT coalesce(a.to_ref, h.member_ref) AS member_ref, h.uses
FROM points_holder h JOIN sale s ON s.id = h.sale LEFT JOIN member_alias a ON a.ref = h.member_ref WHERE s.voided = 0
UNION ALL SELECT member_ref, uses FROM quote WHERE member_ref IS NOT NULL
UNION ALL SELECT coalesce(a.to_ref, c.member_ref), json_array(json_array(c.offer, c.window, c.period, c.uses, c.amount))
FROM carried_use c LEFT JOIN member_alias a ON a.ref = c.member_ref
"""
"""The last of sales that do not name the member any more."""
