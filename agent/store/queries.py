"""What people look up: read-only, plain sqlite3 (quick to import), integers with units in the key names.

Opens the file read-only for each question, so it never holds the writer up. Every list is bounded.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MAX_ROWS = 500
"""The longest list anybody reads at a screen; --limit asks for fewer."""

OPEN_ALERTS = "('ACTIVE', 'ACTIVE_ACKED', 'CLEARED')"


class NotFound(Exception):
    """What was asked for is not there; ``hint`` says how to find it."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def utc(wall_ms: int | None) -> str | None:
    """Return Unix milliseconds as ``YYYY-MM-DDTHH:MM:SS.mmmZ``."""
    if wall_ms is None:
        return None
    moment = datetime.fromtimestamp(wall_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{wall_ms % 1000:03d}Z"


def _totalizer(epoch: int | None, raw: int | None) -> str | None:
    return None if raw is None else f"{epoch}:{raw}"


class Queries:
    """Questions to the database of one station."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA query_only=1")
            yield connection

    def sales(self, *, limit: int = 20, state: str | None = None, point: int | None = None) -> list[dict[str, Any]]:
        """Return the newest sales first, with member mask and settlement where there is one."""
        where, values = ["1"], []
        if state is not None:
            where.append("s.state = ?")
            values.append(state)
        if point is not None:
            where.append("s.fuelling_point = ?")
            values.append(str(point))
        with self._open() as db:
            rows = db.execute(
                f"{_SALES} WHERE {' AND '.join(where)} ORDER BY s.ended_ms DESC, s.id DESC LIMIT ?",
                (*values, min(limit, MAX_ROWS)),
            ).fetchall()
        return [_sale(row) for row in rows]

    def sale(self, prefix: str) -> dict[str, Any]:
        """Return everything about one sale, named by the first (or last) characters of its id. Raises NotFound."""
        with self._open() as db:
            rows = db.execute(_SALES_LIKE, (f"{prefix}%", f"%{prefix}"))
            found = rows.fetchall()
            if len(found) != 1 or not prefix:
                problem = "no sale" if not found else "more than one sale"
                raise NotFound(f"{problem} has an id like {prefix!r}", hint="forecourt sales lists the ids")
            value = _sale(found[0])
            sale = value["sale"]
            value["links"] = [dict(r) for r in db.execute(_LINKS, (sale,))]
            value["tenders"] = [dict(r) for r in db.execute(_TENDERS, (sale,))]
            value["corrections"] = [_correction(r) for r in db.execute(_CORRECTIONS, (sale,))]
            value["postings"] = [dict(r) for r in db.execute(_POSTINGS, (sale,))]
            settled = db.execute("SELECT lines, explanation FROM settlement WHERE sale = ?", (sale,)).fetchone()
            value["lines"] = json.loads(settled["lines"]) if settled else []
            value["explanation"] = json.loads(settled["explanation"]) if settled else []
            value["coupons"] = [_coupon(r) for r in db.execute(_COUPONS, (sale,))]
            held = db.execute("SELECT * FROM quote WHERE sale = ?", (sale,)).fetchone()
            value["held"] = None if held is None else _held(held)
        return value

    def counts(self) -> dict[str, int]:
        """Return sums over all recorded sales: the station's side of the closing count."""
        with self._open() as db:
            row = db.execute(_COUNTS).fetchone()
        return {key: int(row[key] or 0) for key in row.keys()}  # noqa: SIM118 - sqlite3.Row iterates values

    def tanks(self) -> dict[int, dict[str, Any]]:
        """Return the newest stored reading per tank."""
        with self._open() as db:
            rows = db.execute("SELECT * FROM tank_level ORDER BY tank").fetchall()
        return {row["tank"]: {**dict(row), "at": utc(row["at_ms"])} for row in rows}

    def deliveries(self, *, limit: int = 20, tank: int | None = None) -> list[dict[str, Any]]:
        """Return deliveries as consoles reported them, newest first."""
        with self._open() as db:
            rows = db.execute(_DELIVERIES, (tank, tank, min(limit, MAX_ROWS))).fetchall()
        return [_delivery(row) for row in rows]

    def gauge_events(self, *, limit: int = 20) -> list[dict[str, Any]]:
        """Return the alarm history of consoles, newest first as far as their time is known."""
        with self._open() as db:
            rows = db.execute(_GAUGE_EVENTS, (min(limit, MAX_ROWS),)).fetchall()
        return [
            {
                **{key: row[key] for key in ("gauge", "category", "number", "device", "state", "text")},
                "console_time": row["time"],
                "at": utc(row["at_ms"]),
                "told": bool(row["told"]),
            }
            for row in rows
        ]

    def chart(self, tank: int) -> dict[str, Any]:
        """Return the strapping table last read from the console for ``tank``. Raises NotFound."""
        with self._open() as db:
            row = db.execute("SELECT * FROM tank_chart WHERE tank = ? ORDER BY id DESC LIMIT 1", (tank,)).fetchone()
        if row is None:
            raise NotFound(f"no strapping table of tank {tank} has been read", hint="forecourt tanks lists the tanks")
        return {
            **{key: row[key] for key in ("tank", "hash", "source", "diameter_um", "full_volume_ml", "doubts")},
            "read_at": utc(row["read_ms"]),
            "points": [{"height_um": height, "volume_ml": volume} for height, volume in json.loads(row["points"])],
        }

    def alerts(self, *, all_states: bool = False, limit: int = 100) -> list[dict[str, Any]]:
        """Return alerts, newest first; without ``all_states`` only those still on the screen."""
        where = "1" if all_states else f"state IN {OPEN_ALERTS}"
        with self._open() as db:
            rows = db.execute(f"SELECT * FROM alert WHERE {where} ORDER BY id DESC LIMIT ?", (min(limit, MAX_ROWS),))  # noqa: S608
            return [_alert(row) for row in rows]

    def journal(self, *, stream: str | None = None, limit: int = 20, after: int | None = None) -> list[dict[str, Any]]:
        """Return journal records: the newest, or those of ``stream`` after seq ``after``."""
        with self._open() as db:
            if after is not None:
                rows = db.execute(_JOURNAL_AFTER, (stream or "L", after, min(limit, MAX_ROWS))).fetchall()
            else:
                rows = db.execute(_JOURNAL, (stream, stream, min(limit, MAX_ROWS))).fetchall()[::-1]
        return [_record(row) for row in rows]

    def streams(self) -> dict[str, dict[str, int]]:
        """Return last written, last acknowledged and waiting records per stream."""
        with self._open() as db:
            rows = db.execute("SELECT stream, seq, acked FROM stream_head").fetchall()
        return {
            row["stream"]: {"last_seq": row["seq"], "acked": row["acked"], "waiting": row["seq"] - row["acked"]}
            for row in sorted(rows, key=lambda r: "LAT".index(r["stream"]))
        }

    def rejected(self) -> list[dict[str, Any]]:
        """Return records that head office kept as dead letters; ``standing``: until head office says it has them."""
        with self._open() as db:
            rows = db.execute(_REJECTED, (MAX_ROWS,)).fetchall()
        return [{**dict(row), "told": utc(row["told_ms"]), "standing": bool(row["standing"])} for row in rows]

    def incarnations(self) -> list[dict[str, Any]]:
        """Return every incarnation of this database, newest first, with why it began."""
        with self._open() as db:
            rows = db.execute("SELECT * FROM incarnation ORDER BY generation DESC LIMIT ?", (MAX_ROWS,)).fetchall()
        return [
            {"incarnation": row["incarnation"], "reason": row["reason"], "begun": utc(row["begun_ms"] or None)}
            for row in rows
        ]

    def prices(self) -> list[dict[str, Any]]:
        """Return the price table, newest first per grade."""
        with self._open() as db:
            rows = db.execute("SELECT * FROM price ORDER BY grade, effective_from_ms DESC LIMIT ?", (MAX_ROWS,))
            return [{**dict(row), "effective_from": utc(row["effective_from_ms"])} for row in rows]

    def price_history(self, *, point: int | None = None, limit: int = 20) -> list[dict[str, Any]]:
        """Return from when on each nozzle has sold at which unit price, newest first."""
        with self._open() as db:
            rows = db.execute(_PRICE_HISTORY, (point, point, min(limit, MAX_ROWS))).fetchall()
        return [{**dict(row), "since": utc(row["since_ms"])} for row in rows]

    def meta(self) -> dict[str, str]:
        """Return the facts about this database."""
        with self._open() as db:
            return {row["key"]: row["value"] for row in db.execute("SELECT key, value FROM meta")}

    def missing_buckets(self) -> int:
        """Return how many buckets of the member cache are to be fetched."""
        with self._open() as db:
            return int(db.execute("SELECT count(*) FROM member_bucket WHERE need IS NOT NULL").fetchone()[0])

    def unsettled(self) -> int:
        """Return how many sales are not Cleared."""
        with self._open() as db:
            return int(db.execute("SELECT count(*) FROM sale WHERE state IN ('Payable', 'Locked')").fetchone()[0])


_DELIVERIES = "SELECT * FROM tank_delivery WHERE ? IS NULL OR tank = ? ORDER BY start_ms DESC, id DESC LIMIT ?"
_GAUGE_EVENTS = "SELECT * FROM gauge_event ORDER BY at_ms IS NULL, at_ms DESC, time DESC, number LIMIT ?"
_REJECTED = """
SELECT told.*, EXISTS (SELECT 1 FROM alert a WHERE a.subject = 'sync' AND a.cleared_ms IS NULL
                       AND a.name = 'DEAD_LETTER_' || told.stream || '_' || told.seq) AS standing
FROM (SELECT stream, seq, reason, told_ms, (SELECT value FROM meta WHERE key = 'incarnation') AS incarnation
      FROM rejected
      UNION ALL
      SELECT r.stream, r.seq, r.reason, r.told_ms, i.incarnation
      FROM rejected_archive r JOIN incarnation i ON i.generation = r.generation) told
ORDER BY told_ms DESC, stream, seq LIMIT ?
"""
_SALES = """
SELECT s.*, m.id AS member, m.mask AS mask, m.tier AS tier, l.level AS level, l.delay_s AS delay_s,
       t.discount_minor, t.net_minor, t.points_earned, t.points_redeemed, t.rule_version, t.purpose, t.settled_ms
FROM sale s
LEFT JOIN link l ON l.sale = s.id AND l.active = 1
LEFT JOIN member m ON m.ref = l.member_ref
LEFT JOIN settlement t ON t.sale = s.id
"""
# the inner question reads ids only, from their index
_SALES_LIKE = f"{_SALES} WHERE s.id IN (SELECT id FROM sale WHERE id LIKE ? OR id LIKE ? LIMIT 2)"  # noqa: S608
_LINKS = """
SELECT l.id AS link, m.id AS member, m.mask, l.level, l.by, l.delay_s, l.corrects, l.active
FROM link l JOIN member m ON m.ref = l.member_ref WHERE l.sale = ? ORDER BY l.id
"""
_TENDERS = "SELECT kind, amount_minor, ref FROM tender WHERE sale = ? ORDER BY n"
_CORRECTIONS = "SELECT * FROM correction WHERE sale = ? ORDER BY at_ms, id"
_POSTINGS = "SELECT source, leg, account, points, lot FROM posting WHERE sale = ? ORDER BY id"
_COUPONS = "SELECT * FROM coupon_use WHERE sale = ? ORDER BY code"
_COUNTS = """
WITH standing AS (SELECT * FROM sale WHERE id NOT IN (SELECT sale FROM superseded))
SELECT (SELECT count(*) FROM standing) AS sales,
       (SELECT sum(volume_ml) FROM standing) AS volume_ml,
       (SELECT sum(amount_minor) FROM standing) AS amount_minor,
       (SELECT count(*) FROM link WHERE active = 1) AS linked,
       (SELECT sum(discount_minor) FROM settlement) AS discount_minor,
       (SELECT sum(points) FROM posting WHERE account IN ('member:available', 'member:pending')) AS points,
       (SELECT count(*) FROM sale WHERE state IN ('Payable', 'Locked')) AS unsettled
"""
_JOURNAL = """
SELECT * FROM journal
WHERE generation = (SELECT max(generation) FROM incarnation) AND (? IS NULL OR stream = ?)
ORDER BY time_ms DESC, stream, seq DESC LIMIT ?
"""
_JOURNAL_AFTER = """
SELECT * FROM journal
WHERE generation = (SELECT max(generation) FROM incarnation) AND stream = ? AND seq > ? ORDER BY seq LIMIT ?
"""


_PRICE_HISTORY = """
SELECT * FROM price_in_force WHERE ? IS NULL OR fuelling_point = ?
ORDER BY since_ms DESC, fuelling_point, nozzle LIMIT ?
"""


def _sale(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "sale": row["id"],
        "fuelling_point": row["fuelling_point"],
        "nozzle": row["nozzle"],
        "grade": row["grade"],
        "tank": row["tank"],
        "kind": row["kind"],
        "volume_ml": row["volume_ml"],
        "unit_price_milli": row["unit_price_milli"],
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "exponent": row["exponent"],
        "totalizer_start": _totalizer(row["start_epoch"], row["start_raw"]),
        "totalizer_end": _totalizer(row["end_epoch"], row["end_raw"]),
        "sub": row["sub"],
        "counter": row["counter"],
        "lifted_at": utc(row["lifted_ms"]),
        "ended_at": utc(row["ended_ms"]),
        "business_day": row["business_day"],
        "flags": row["flags"].split(),
        "state": row["state"],
        "voided": bool(row["voided"]),
        "refunded_minor": row["refunded_minor"],
        "member": row["member"],
        "mask": row["mask"],
        "tier": row["tier"],
        "level": row["level"],
        "discount_minor": row["discount_minor"],
        "net_minor": row["net_minor"],
        "points_earned": row["points_earned"],
        "points_redeemed": row["points_redeemed"],
        "rule_version": row["rule_version"],
        "purpose": row["purpose"],
        "settled_at": utc(row["settled_ms"]),
        "journal_seq": row["journal_seq"],
        "rollback_offer": row["rollback_offer"],
        "list_price_milli": row["list_price_milli"],
    }


_DELIVERY_COLUMNS = (
    "tank",
    "grade",
    "console_start",
    "console_end",
    "time_source",
    "start_volume_ml",
    "end_volume_ml",
    "delivered_ml",
    "start_tc_volume_ml",
    "end_tc_volume_ml",
    "start_height_um",
    "end_height_um",
    "start_water_height_um",
    "end_water_height_um",
    "start_temperature_mdegc",
    "end_temperature_mdegc",
    "quality",
    "gauge",
    "raw",
    "journal_seq",
    "revision",
)


def _delivery(row: sqlite3.Row) -> dict[str, Any]:
    ends = (row["start_volume_ml"], row["end_volume_ml"])
    return {
        "delivery": row["id"],
        "start": utc(row["start_ms"]),
        "end": utc(row["end_ms"]),
        "rise_ml": None if None in ends else ends[1] - ends[0],
        **{name: row[name] for name in _DELIVERY_COLUMNS},
        "final": row["journal_seq"] is not None,
    }


def _correction(row: sqlite3.Row) -> dict[str, Any]:
    value = dict(row)
    value["at"] = utc(value.pop("at_ms"))
    for key in ("old", "new"):
        value[key] = json.loads(value[key])
    return value


def _alert(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "alert": row["id"],
        "subject": row["subject"],
        "name": row["name"],
        "state": row["state"],
        "severity": row["severity"],
        "value": row["value"],
        "limit": row["limit_value"],
        "unit": row["unit"],
        "detail": row["detail"],
        "raised_at": utc(row["raised_ms"]),
        "cleared_at": utc(row["cleared_ms"]),
        "acknowledged_at": utc(row["acked_ms"]),
        "acknowledged_by": row["acked_by"],
    }


def _coupon(row: sqlite3.Row) -> dict[str, Any]:
    value = {key: row[key] for key in ("code", "offer", "value_minor", "left_minor")}
    return {**value, "used": bool(row["used"]), "returned_at": utc(row["returned_ms"])}


def _held(row: sqlite3.Row) -> dict[str, Any]:
    result = json.loads(row["result"])
    asked = json.loads(row["asked"])
    sums = {key: result[key] for key in ("discount_minor", "net_minor", "points_redeemed")}
    return {**sums, **asked, "by": row["by"], "made_at": utc(row["made_ms"]), "until": utc(row["until_ms"])}


def _record(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "stream": row["stream"],
        "seq": row["seq"],
        "delivered": bool(row["delivered"]),
        "hash": bytes(row["hash"]).hex(),
        "record": json.loads(row["body"]),
    }
