"""Planted frauds: when all is delivered, head office's database is falsified; the closing count must see it.

Works on the closed database with plain SQL, as a thief with the file would.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

_OF_RECORD = ("sale", "sale_interval", "sale_counter", "sale_link", "settlement", "posting")
_PLACED = ("record", "record_hash")


def plant(name: str, database: Path, seed: int) -> str:
    """Carry out one fraud and return the id of the sale it is about; an empty database gives an empty id."""
    with closing(sqlite3.connect(database)) as db, db:
        db.row_factory = sqlite3.Row
        sales = db.execute("SELECT record, sale FROM sale ORDER BY record").fetchall()
        if not sales:
            return ""
        chosen = Random(f"planted:{name}:{seed}").choice(sales)
        if name == "drop-record":
            _drop(db, chosen["sale"])
        else:
            _double(db, chosen["record"])
    return str(chosen["sale"])


def _drop(db: sqlite3.Connection, sale: str) -> None:
    """Remove the sale, its link and its settlement with every trace but the hole they leave."""
    records = {
        row[0]
        for table in ("sale", "sale_link", "settlement")
        for row in db.execute(f"SELECT record FROM {table} WHERE sale = ?", (sale,))  # noqa: S608 - constants only
    }
    for record in records:
        place = db.execute(
            "SELECT station, incarnation, stream, seq FROM record WHERE number = ?", (record,)
        ).fetchone()
        for table in _OF_RECORD:
            db.execute(f"DELETE FROM {table} WHERE record = ?", (record,))  # noqa: S608
        for table in _PLACED:
            where = "station = ? AND incarnation = ? AND stream = ? AND seq = ?"
            db.execute(f"DELETE FROM {table} WHERE {where}", tuple(place))  # noqa: S608


def _double(db: sqlite3.Connection, record: int) -> None:
    """Write the sale a second time under a new id, behind the end of its stream."""
    first = dict(db.execute("SELECT * FROM record WHERE number = ?", (record,)).fetchone())
    told = db.execute("SELECT raw FROM record_bytes WHERE number = ?", (record,)).fetchone()["raw"]
    sale = dict(db.execute("SELECT * FROM sale WHERE record = ?", (record,)).fetchone())
    number = 1 + int(db.execute("SELECT max(number) FROM record").fetchone()[0])
    of_stream = "SELECT max(seq) FROM record WHERE station = ? AND stream = ?"
    seq = 1 + int(db.execute(of_stream, (first["station"], first["stream"])).fetchone()[0])
    again = sale["sale"][:-1] + ("0" if sale["sale"][-1] != "0" else "1")
    body = json.loads(told)
    body["data"]["sale"] = again
    raw = json.dumps(body, separators=(",", ":")).encode()
    _insert(db, "record", {**first, "number": number, "seq": seq, "id": first["id"] + "-2"})
    _insert(db, "record_bytes", {"number": number, "received_ms": first["received_ms"], "raw": raw})
    _insert(db, "sale", {**sale, "record": number, "sale": again})


def _insert(db: sqlite3.Connection, table: str, values: dict[str, object]) -> None:
    columns, marks = ", ".join(values), ", ".join("?" * len(values))
    db.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))  # noqa: S608
