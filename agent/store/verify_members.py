"""What ``verify`` recomputes of members: enrolments against their records, and that a merged id names nothing any more.

Reads only, plain sqlite3; the checks are called from ``verify``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from agent.store.named import IS_NAMED, in_bucket
from agent.store.pruned import Pruned
from agent.store.verify_loyalty import Finding, Records
from agent.store.waiting import waiting_pairs


def enrolments(db: sqlite3.Connection, records: Records) -> Iterator[Finding]:
    """Every enrolment has its record, and every record of one its row and its member."""
    rows = {row["source"]: row for row in db.execute("SELECT * FROM enrolment")}
    for seq, record in records(db, "fc.member.enrolled.v1"):
        row = rows.pop(record["id"], None)
        if row is None:
            yield f"journal L seq {seq}", "the enrolment has no row"
        elif row["member"] != record["data"]["member"]:
            yield f"enrolment {record['id']}", "names another member than its record"
    pruned = Pruned(db)
    for source in (name for name in rows if not pruned.covers_id(name)):
        yield f"enrolment {source}", "is in no journal record"
    for row in db.execute("SELECT source, member FROM enrolment").fetchall():
        if db.execute(f"SELECT 1 FROM member m WHERE {IS_NAMED}", in_bucket(row["member"])).fetchone():  # noqa: S608
            continue
        yield f"enrolment {row['source']}", "its member is not in the cache: points of it have no owner"


_LEFT_BEHIND = {
    "link": "SELECT count(*) FROM link WHERE member_ref IN (SELECT ref FROM member_alias)",
    "settlement": "SELECT count(*) FROM settlement WHERE member_ref IN (SELECT ref FROM member_alias)",
    "quote": "SELECT count(*) FROM quote WHERE member_ref IN (SELECT ref FROM member_alias)",
    "blind index": "SELECT count(*) FROM member_index WHERE member_ref IN (SELECT ref FROM member_alias)",
    "use count": "SELECT count(*) FROM use_count WHERE subject IN (SELECT ref FROM member_alias)",
    "lease": """
        SELECT count(*) FROM lease WHERE kind = 'points'
          AND subject IN (SELECT m.id FROM member_alias a JOIN member m ON m.ref = a.ref)
    """,
}


def merged(db: sqlite3.Connection, _records: Records) -> Iterator[Finding]:
    """Nothing but the ledger's own rows names a merged id, and what it was merged into is merged no further."""
    for what, query in _LEFT_BEHIND.items():
        (count,) = db.execute(query).fetchone()
        if count:
            yield "merged members", f"{count} x {what} still names an id that was merged"
    merged_refs = {row["ref"] for row in db.execute("SELECT ref FROM member_alias")}
    count = sum(ref in merged_refs for _, ref in waiting_pairs(db))
    if count:
        yield "merged members", f"{count} x waiting index still names an id that was merged"
    for row in db.execute("SELECT ref FROM member_alias WHERE to_ref IN (SELECT ref FROM member_alias)"):
        yield f"member {row['ref']}", "was merged into an id that was merged itself"
