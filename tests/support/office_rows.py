"""Everything head office holds about facts, read from its database as plain values: SQLite or PostgreSQL, by URL or path.

Knows the names of tables and columns. Judges nothing, and uses none of the code that wrote them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from headoffice.store.database import Database


class Chain(NamedTuple):
    """Names one stream of one life of one station."""

    station: str
    incarnation: str
    stream: str


class Place(NamedTuple):
    """Where a record stands."""

    chain: Chain
    seq: int


@dataclass(frozen=True, slots=True)
class Fact:
    """A record that counts: its bytes, and what they say."""

    number: int
    place: Place
    id: str
    raw: bytes
    record: dict[str, Any]


@dataclass(slots=True)
class Office:
    """``hashes``: (hash in hex, kept as) of every place. ``kept``: the bytes of a place, by the table they lie in."""

    cursors: dict[Chain, tuple[int, str]] = field(default_factory=dict)
    hashes: dict[Chain, dict[int, tuple[str, str]]] = field(default_factory=lambda: defaultdict(dict))
    kept: dict[Place, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    facts: list[Fact] = field(default_factory=list)
    duplicates: list[tuple[Place, int, bool, bytes]] = field(default_factory=list)
    dead: list[tuple[Place, str, bytes, bool]] = field(default_factory=list)
    quarantine: list[tuple[Place, bytes]] = field(default_factory=list)
    sales: list[dict[str, Any]] = field(default_factory=list)
    settlements: list[dict[str, Any]] = field(default_factory=list)
    postings: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[tuple[str, str, str]] = field(default_factory=list)
    annulled: set[int] = field(default_factory=set)


def read(location: str | Path) -> Office:
    """Read it all in one transaction."""
    office = Office()
    with closing(Database(location)) as database, database.read() as connection:
        _chains(connection, office)
        _records(connection, office)
        office.sales = _rows(connection, "SELECT record, station, sale, volume_ml, amount_minor FROM sale")
        office.settlements = _rows(connection, "SELECT record, station, sale, member FROM settlement")
        office.postings = _rows(connection, "SELECT record, place, member, account, points FROM posting")
        office.annulled = {row["record"] for row in _rows(connection, "SELECT record FROM annulled_posting")}
        office.alerts = [
            (row["station"], row["alert"], row["subject"])
            for row in _rows(connection, "SELECT station, alert, subject FROM own_alert")
        ]
    return office


def _chains(connection: Connection, office: Office) -> None:
    for row in _rows(connection, "SELECT station, incarnation, stream, cum, head_hash FROM cursor"):
        office.cursors[_chain(row)] = (row["cum"], row["head_hash"])
    for row in _rows(connection, "SELECT station, incarnation, stream, seq, hash, kept_as FROM record_hash"):
        office.hashes[_chain(row)][row["seq"]] = (row["hash"], row["kept_as"])


def _records(connection: Connection, office: Office) -> None:
    place = "station, incarnation, stream, seq, raw"
    for row in _rows(
        connection, f"SELECT number, id, {place} FROM record JOIN record_bytes USING (number) ORDER BY number"
    ):
        raw = bytes(row["raw"])
        office.facts.append(Fact(row["number"], _place(row), row["id"], raw, json.loads(raw)))
        office.kept[_place(row)]["fact"] = raw
    for row in _rows(connection, f"SELECT duplicate_of, same_content, {place} FROM duplicate"):
        raw = bytes(row["raw"])
        office.duplicates.append((_place(row), row["duplicate_of"], bool(row["same_content"]), raw))
        office.kept[_place(row)]["duplicate"] = raw
    for row in _rows(connection, f"SELECT reason, replayed_ms, {place} FROM dead_letter"):
        raw = bytes(row["raw"])
        office.dead.append((_place(row), row["reason"], raw, row["replayed_ms"] is not None))
        office.kept[_place(row)]["dead"] = raw
    for row in _rows(connection, f"SELECT {place} FROM quarantine"):
        office.quarantine.append((_place(row), bytes(row["raw"])))


def _rows(connection: Connection, statement: str) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(text(statement))]


def _chain(row: dict[str, Any]) -> Chain:
    return Chain(row["station"], row["incarnation"], row["stream"])


def _place(row: dict[str, Any]) -> Place:
    return Place(_chain(row), row["seq"])
