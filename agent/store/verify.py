"""``forecourt verify``: recompute what the database claims and list everything that is off.

Chains, business rows against their journal records, ledger sums, balances, totalizer continuity. Reads only.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.store import verify_loyalty as loyalty
from agent.store import verify_members as enrolled
from agent.store import verify_shifts as shifts
from agent.store.pruned import Pruned
from agent.store.pseudonyms import CARRIED
from sync.records import hash_0, hash_next

MAX_FINDINGS = 200
"""Past this a list helps nobody; the count goes on."""

PULSE_INSTRUCTIONS = 20_000
"""Of SQLite's virtual machine between two calls of ``pulse``: a few milliseconds of work."""

_CHAIN = """
SELECT seq, CAST(body AS BLOB) AS body, CAST(hash AS BLOB) AS hash FROM journal
WHERE generation = ? AND stream = ? ORDER BY seq
"""
_BODIES = "SELECT seq, CAST(body AS BLOB) AS body FROM journal WHERE type = ? ORDER BY generation, seq"
METER_BASELINES = "SELECT fuelling_point, nozzle, epoch, raw FROM baseline"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is off: where, and what was expected and found."""

    where: str
    problem: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was checked and what is off; ``ok`` only when nothing is."""

    findings: tuple[Finding, ...]
    records: int
    sales: int
    postings: int

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not self.findings


def verify(path: Path, pulse: Callable[[], bool] | None = None) -> Report:
    """Recompute everything in the database at ``path``. Raises sqlite3.Error where the file cannot be read at all.

    ``pulse`` is called now and then; once it answers False this ends with sqlite3.OperationalError (interrupted).
    """
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
        db.row_factory = sqlite3.Row
        if pulse is not None:
            db.set_progress_handler(lambda: 0 if pulse() else 1, PULSE_INSTRUCTIONS)
        _begin(db)
        findings = [finding for check in _checks() for finding in _guarded(check, db)]
        counts = [_count(db, table) for table in _COUNTED]
    return Report(tuple(findings[:MAX_FINDINGS]), *counts)


def as_json(path: Path) -> dict[str, Any]:
    """Return the report as the command prints it."""
    report = verify(path)
    return {
        "verified": report.ok,
        "records": report.records,
        "sales": report.sales,
        "postings": report.postings,
        "findings": [{"where": finding.where, "problem": finding.problem} for finding in report.findings],
    }


_COUNTED = ("journal", "sale", "posting")
_Check = Callable[[sqlite3.Connection], Iterator[Finding]]


def _checks() -> tuple[_Check, ...]:
    own = (_integrity, _chains, _sales_against_journal, _settlements, _ledger, _totalizers, _counters, _deliveries)
    return (*own, *(_loyal(check) for check in (*LOYALTY_CHECKS, shifts.shifts)))


LOYALTY_CHECKS = (loyalty.points, loyalty.leases, loyalty.coupons, loyalty.quotes, enrolled.enrolments, enrolled.merged)


def _loyal(check: Callable[[sqlite3.Connection, loyalty.Records], Iterator[tuple[str, str]]]) -> _Check:
    """Return a check of ``verify_loyalty`` as one of this file."""

    def checked(db: sqlite3.Connection) -> Iterator[Finding]:
        yield from (Finding(where, problem) for where, problem in check(db, _records))

    checked.__name__ = check.__name__
    return checked


def _begin(db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except UnicodeDecodeError as failure:  # SQLite quotes the damaged bytes in its own message
        raise sqlite3.DatabaseError("the schema is damaged") from failure


def _guarded(check: _Check, db: sqlite3.Connection) -> Iterator[Finding]:
    """Yield the findings of a check; a value so damaged that it ends the check is one more."""
    try:
        yield from check(db)
    except sqlite3.Error as failure:
        code = getattr(failure, "sqlite_errorcode", None)
        if code is not None and code & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        yield Finding("database", f"{failure}; {_name(check)} not checked to the end")
    except (LookupError, TypeError, ValueError) as failure:
        yield Finding("database", f"a value cannot be used ({failure!r}); {_name(check)} not checked to the end")


def _name(check: _Check) -> str:
    return getattr(check, "__name__", "part").strip("_").replace("_", " ")


def _count(db: sqlite3.Connection, table: str) -> int:
    try:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
    except sqlite3.DatabaseError as failure:
        if getattr(failure, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        return 0


def _integrity(db: sqlite3.Connection) -> Iterator[Finding]:
    for row in db.execute("PRAGMA integrity_check(20)"):
        if row[0] != "ok":
            yield Finding("database", str(row[0]))
    for row in db.execute("PRAGMA foreign_key_check"):
        yield Finding("database", f"a row of {row[0]} names a {row[2]} that is not there")


def _chains(db: sqlite3.Connection) -> Iterator[Finding]:
    """Every chain of every incarnation this database has had, each up to where its head says it ended."""
    station = db.execute("SELECT value FROM meta WHERE key = 'station'").fetchone()["value"]
    running = {row["stream"]: (row["seq"], bytes(row["hash"])) for row in db.execute("SELECT * FROM stream_head")}
    for row in db.execute("SELECT * FROM incarnation WHERE generation > 0 ORDER BY generation").fetchall():
        ended = row["ended"]
        heads = (
            running
            if ended is None
            else {name: (head["seq"], bytes.fromhex(head["hash"])) for name, head in json.loads(ended).items()}
        )
        for stream, head in heads.items():
            name = f"journal {stream}" if ended is None else f"journal {row['generation']} {stream}"
            place = (row["generation"], stream)
            anchor = (0, hash_0(station, row["incarnation"], stream))
            last, count = db.execute(
                "SELECT max(seq), count(*) FROM journal_hash WHERE generation = ? AND stream = ?", place
            ).fetchone()
            if last is not None:
                anchor = (last, bytes(db.execute(f"{_HASH} AND seq = ?", (*place, last)).fetchone()["hash"]))
                if count != last:
                    yield Finding(name, f"{last} records were delivered and deleted, {count} of their hashes are here")
            yield from _chain(db.execute(_CHAIN, place), name, anchor, head)


_HASH = "SELECT CAST(hash AS BLOB) AS hash FROM journal_hash WHERE generation = ? AND stream = ?"


def _chain(rows: sqlite3.Cursor, name: str, anchor: tuple[int, bytes], head: tuple[int, bytes]) -> Iterator[Finding]:
    """``anchor``: seq and hash of the newest deleted record, or of the beginning."""
    expected, digest = anchor[0] + 1, anchor[1]
    for row in rows:
        if row["seq"] != expected:
            yield Finding(name, f"seq {expected} is missing")
            expected = row["seq"]
        digest = hash_next(digest, row["seq"], bytes(row["body"]))
        if digest != bytes(row["hash"]):
            yield Finding(f"{name} seq {row['seq']}", "the hash does not follow from the bytes")
            digest = bytes(row["hash"])
        expected += 1
    if (expected - 1, digest) != head:
        yield Finding(name, f"ends at seq {expected - 1}, the head says {head[0]}")


def _records(db: sqlite3.Connection, type_name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (seq, record) of every readable record of a type, once even where a later incarnation repeats it.

    An unreadable one is a finding of its chain already.
    """
    seen: set[str] = set()
    for row in db.execute(_BODIES, (type_name,)):
        with contextlib.suppress(ValueError, KeyError):
            record = json.loads(row["body"])
            if record["id"] not in seen and isinstance(record["data"], dict):
                seen.add(record["id"])
                yield row["seq"], record


def _text(epoch: int | None, raw: int | None) -> str | None:
    return None if raw is None else f"{epoch}:{raw}"


_SAME = (
    "fuelling_point",
    "nozzle",
    "grade",
    "tank",
    "kind",
    "volume_ml",
    "unit_price_milli",
    "amount_minor",
    "sub",
    "counter",
)
_LOWERED = ("rollback_offer", "list_price_milli")
"""In a record only where the pump sold at a lowered price, in a row since there are such prices."""


def _sales_against_journal(db: sqlite3.Connection) -> Iterator[Finding]:
    rows = {row["id"]: dict(row) for row in db.execute("SELECT * FROM sale")}
    for seq, record in _records(db, "fc.sale.v1"):
        data = record["data"]
        row = rows.pop(data["sale"], None)
        if row is None:
            yield Finding(f"journal L seq {seq}", f"sale {data['sale']} has no row")
            continue
        wrong = [key for key in _SAME if row[key] != data[key]]
        wrong += [key for key in _LOWERED if row.get(key) != data.get(key)]
        if _text(row["start_epoch"], row["start_raw"]) != data["totalizer_start"]:
            wrong.append("totalizer_start")
        if _text(row["end_epoch"], row["end_raw"]) != data["totalizer_end"]:
            wrong.append("totalizer_end")
        if wrong:
            yield Finding(f"sale {data['sale']}", f"differs from its record in {', '.join(wrong)}")
    pruned = Pruned(db)
    for sale in rows:
        if not pruned.covers_id(sale):
            yield Finding(f"sale {sale}", "is in no journal record")


def _settlements(db: sqlite3.Connection) -> Iterator[Finding]:
    rows = {row["sale"]: row for row in db.execute("SELECT * FROM settlement")}
    amounts = {row["id"]: row["amount_minor"] for row in db.execute("SELECT id, amount_minor FROM sale")}
    tenders: defaultdict[str, int] = defaultdict(int)
    for row in db.execute("SELECT sale, amount_minor FROM tender"):
        tenders[row["sale"]] += row["amount_minor"]
    for seq, record in _records(db, "fc.sale.settled.v1"):
        data = record["data"]
        sale = data["sale"]
        row = rows.pop(sale, None)
        if row is None:
            yield Finding(f"journal L seq {seq}", f"the settlement of sale {sale} has no row")
            continue
        for key in ("discount_minor", "net_minor", "points_earned", "points_redeemed", "rule_version", "rule_hash"):
            if row[key] != data[key]:
                yield Finding(f"settlement of {sale}", f"{key} is {row[key]}, its record says {data[key]}")
        if row["gross_minor"] != amounts.get(sale) or row["net_minor"] + row["discount_minor"] != row["gross_minor"]:
            yield Finding(f"settlement of {sale}", "net plus discount is not the pump's amount")
        if tenders[sale] != row["net_minor"]:
            yield Finding(f"settlement of {sale}", f"tenders sum to {tenders[sale]}, net is {row['net_minor']}")
    pruned = Pruned(db)
    for sale, row in rows.items():
        if not pruned.covers(row["settled_ms"]):
            yield Finding(f"settlement of {sale}", "is in no journal record")


def _journalled_postings(db: sqlite3.Connection) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for name in ("fc.sale.settled.v1", "fc.sale.corrected.v1", "fc.points.v1"):
        for _, record in _records(db, name):
            yield record["id"], record["data"]["postings"]


def _ledger(db: sqlite3.Connection) -> Iterator[Finding]:
    legs: defaultdict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in db.execute("SELECT * FROM posting ORDER BY source, leg"):
        legs[row["source"]].append(row)
    for source, rows in legs.items():
        total = sum(row["points"] for row in rows)
        if total != 0:
            yield Finding(f"ledger {source}", f"the legs sum to {total}, not 0")
    for source, postings in _journalled_postings(db):
        have = [(row["account"], row["points"], row["lot"]) for row in legs.pop(source, [])]
        want = [(p["account"], p["points"], p["lot"]) for p in postings]
        if have != want:
            yield Finding(f"ledger {source}", f"{len(have)} legs differ from the {len(want)} of its record")
    pruned = Pruned(db)
    for source in sorted(source for source in legs.keys() - {CARRIED} if not pruned.covers_id(source)):
        yield Finding(f"ledger {source}", "is in no journal record")
    for row in db.execute(_EMPTY_LOTS):
        yield Finding(f"lot {row['lot']}", f"has {row['p']} points left")


_EMPTY_LOTS = """
SELECT p.lot, sum(p.points) AS p FROM posting p LEFT JOIN member_alias a ON a.ref = p.member_ref
WHERE p.member_ref IS NOT NULL AND p.account <> 'member:debt' AND p.lot NOT IN (
    SELECT id FROM lot WHERE source = 'head_office'
) GROUP BY p.lot, coalesce(a.to_ref, p.member_ref) HAVING sum(p.points) < 0
"""
"""A lot that was made here never gives more than it held; what one of head office's holds, only head office knows."""


def _deliveries(db: sqlite3.Connection) -> Iterator[Finding]:
    rows = {row["id"]: row for row in db.execute("SELECT * FROM tank_delivery WHERE journal_seq IS NOT NULL")}
    for seq, record in _records(db, "fc.tank.delivery.v1"):
        row = rows.pop(record["id"], None)
        if row is None:
            yield Finding(f"journal L seq {seq}", f"delivery {record['id']} has no row")
            continue
        for key in ("tank", "grade", "start_volume_ml", "end_volume_ml", "delivered_ml"):
            if row[key] != record["data"][key]:
                problem = f"{key} is {row[key]}, its record says {record['data'][key]}"
                yield Finding(f"delivery {record['id']}", problem)
    pruned = Pruned(db)
    for delivery in (name for name in rows if not pruned.covers_id(name)):
        yield Finding(f"delivery {delivery}", "is in no journal record")


_BY_METER = """
SELECT * FROM sale WHERE start_raw IS NOT NULL AND id NOT IN (SELECT sale FROM superseded)
ORDER BY fuelling_point, nozzle, start_epoch, start_raw, end_epoch NULLS LAST, end_raw, sub
"""
"""As the meters counted: a gap that a restored database left is booked later than the sales behind it."""


def _totalizers(db: sqlite3.Connection) -> Iterator[Finding]:
    baselines: defaultdict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for row in db.execute(METER_BASELINES):
        baselines[row["fuelling_point"], row["nozzle"]].add((row["epoch"], row["raw"]))
    ends: dict[tuple[int, int], tuple[int, int]] = {}
    by_hand: set[tuple[int, int]] = set()
    for row in db.execute(_BY_METER):
        nozzle = (row["fuelling_point"], row["nozzle"])
        start = (row["start_epoch"], row["start_raw"])
        last = ends.get(nozzle)
        # behind a sale accepted while totals were unreadable the next one starts at the first total read again
        follows = start == last or (nozzle in by_hand and (last is None or start >= last))
        if not follows and start not in baselines[nozzle]:
            before = "no baseline" if last is None else f"the last end {last[0]}:{last[1]}"
            yield Finding(f"sale {row['id']}", f"starts at {start[0]}:{start[1]}, before it is {before}")
        if row["end_raw"] is None:
            by_hand.add(nozzle)
        else:
            by_hand.discard(nozzle)
            ends[nozzle] = (row["end_epoch"], row["end_raw"])


_BY_COUNTER = "SELECT id, fuelling_point, counter FROM sale WHERE counter IS NOT NULL ORDER BY fuelling_point, counter"


def _counters(db: sqlite3.Connection) -> Iterator[Finding]:
    """Sales of points without totals are numbered from 1 without a gap."""
    last: defaultdict[int, int] = defaultdict(int)
    for row in db.execute(_BY_COUNTER):
        point, counter = row["fuelling_point"], row["counter"]
        if counter != last[point] + 1:
            yield Finding(f"sale {row['id']}", f"has number {counter} of point {point}, before it is {last[point]}")
        last[point] = counter
