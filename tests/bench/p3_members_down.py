"""P3 and W-41: a million members from head office's buckets into an empty station, on the wire and in the database.

Each member has a phone, a card, one lot, a tier, a growth, a birthday and a mask, and nothing that repeats but what would.
What is weighed is every byte of the MQTT payloads that the station is sent; what is timed is the pipeline's own work,
commits with their fsync included, beside raw executemany and then indexes of the same members.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from array import array
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from agent.inbox import FromHeadOffice
from agent.store.engine import WRITER_PRAGMAS
from sync import ports
from sync.buckets import BUCKETS, Manifest, bucket_of, columns, pack, rows_of, split, sum_of
from sync.envelope import HEAD_OFFICE_SOURCE, encode
from sync.group import PART_BYTES, BucketPart, document_body, document_hash
from sync.messages import Message
from sync.notices import Res
from tests.bench.table import Row, against, within
from tests.support.headoffice_station import TIME
from tests.support.quiet import quiet_log
from tests.support.till import Till

COUNT = 1_000_000
TARGET = 2.0
MIB = 1024 * 1024
LIMIT_MIB = 48
TIERS = ("普通", "银卡", "金卡", "钻石")


def measure(count: int = COUNT) -> list[Row]:
    """Weigh and store every bucket once, with the raw side in turns."""
    places = [array("I") for _ in range(BUCKETS)]
    for number in range(count):
        places[bucket_of(_id(number))].append(number)
    with tempfile.TemporaryDirectory() as name, quiet_log():
        folder = Path(name)
        made = [packed_of(some) for some in places]
        till = Till(folder)
        peer = _peer(folder / "raw.db")
        sent = _begin(
            till,
            Manifest(count, count, tuple((count if some else 0, m[1]) for some, m in zip(places, made, strict=True))),
        )
        ours_s = raw_s = 0.0
        random_bytes = 0
        for number, (frame, _) in enumerate(made):
            sent += sum(map(len, messages(number, frame, count)))
            ops = [_op(one) for one in places[number]]
            random_bytes += sum(20 for _ in ops)
            begun = time.perf_counter()
            till.pipeline.handle(FromHeadOffice(ports.BucketArrived(number, count, count, frame)))
            between = time.perf_counter()
            _insert(peer, ops)
            ours_s += between - begun
            raw_s += time.perf_counter() - between
        begun = time.perf_counter()
        for statement in INDEXES:
            peer.execute(statement)
        raw_s += time.perf_counter() - begun
        assert till.one("SELECT count(*) FROM member WHERE known = 1") == count
        assert till.one("SELECT count(*) FROM member_index") == 2 * count
        till.close()
        peer.close()
    name = "raw executemany, then indexes"
    note = (
        f"{sent / count:.1f} bytes per member as sent; of these {20 * 4 / 3:.1f} are indexes and {7.0 * 4 / 3:.1f} ids, "
        "which cannot be packed"
    )
    weight = within("P3", f"{count:,} members, payload of an empty station", sent / MIB, unit="MiB", at_most=LIMIT_MIB)
    return [
        Row(**{**_as_dict(weight), "note": note}),
        against(
            "P3",
            f"{count:,} members in {BUCKETS:,} buckets, a commit each",
            ours_s,
            raw_s,
            unit="s",
            peer_name=name,
            at_most=TARGET,
        ),
    ]


def _as_dict(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def _id(number: int) -> str:
    return sha256(b"id%d" % number).hexdigest()[:16]


def _op(number: int) -> dict[str, Any]:
    """The change that tells a member, made from its number alone."""
    chance = Random(number)
    day = chance.randrange(365)
    return {
        "member": _id(number),
        "indexes": [chance.randbytes(16).hex(), chance.randbytes(16).hex()],
        "tier": TIERS[min(3, int(chance.expovariate(1.2)))],
        "growth": int(chance.expovariate(1 / 2_000)),
        "tags": ["taxi"] if chance.random() < 0.1 else [],
        "lots": [
            {
                "points": int(chance.expovariate(1 / 1_500)) + 1,
                "usable_from": None,
                "expires_on": f"202{7 + day % 2}-12-31",
            }
        ],
        "mask": f"1{chance.choice('35789')}{chance.randrange(10)}****{chance.randrange(10_000):04d}",
        "birthday_md": f"{1 + day // 31:02d}-{1 + day % 28:02d}",
        "flags": [],
    }


def packed_of(numbers: array[int]) -> tuple[bytes, bytes]:
    """Return a bucket of these members, packed, and its sum."""
    rows = rows_of(_op(number) for number in numbers)
    strips = columns(rows)
    return pack(len(rows), strips), sum_of(len(rows), strips)


def messages(number: int, frame: bytes, op: int) -> Iterator[bytes]:
    """Return the payloads in which a packed bucket travels."""
    parts = split(frame, PART_BYTES)
    for part, data in enumerate(parts):
        body = BucketPart(number, op, op, part, len(parts), data, ("0123abcd",)).to_body()
        yield _payload(Res("01M7YJ2A000000000000000006", "ok", None, body))


def _payload(message: Message) -> bytes:
    return encode(message, source=HEAD_OFFICE_SOURCE, event_id="1795248000000-123456", time=TIME)


def _begin(till: Till, manifest: Manifest) -> int:
    """The station is far behind and gets the manifest; returns what that weighs."""
    document = manifest.to_bytes()
    till.pipeline.handle(FromHeadOffice(ports.MembersFar()))
    till.pipeline.handle(FromHeadOffice(ports.ManifestArrived(document_hash(document), document)))
    return len(_payload(Res("01M7YJ2A000000000000000006", "ok", None, document_body(document))))


INDEXES = (
    "CREATE UNIQUE INDEX member_id ON member (id)",
    "CREATE UNIQUE INDEX member_index_digest ON member_index (digest)",
    "CREATE INDEX member_index_ref ON member_index (member_ref)",
)


def _peer(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for name, value in WRITER_PRAGMAS.items():
        connection.execute(f"PRAGMA {name}={value}")
    connection.execute(
        "CREATE TABLE member (ref INTEGER PRIMARY KEY, id TEXT, tier TEXT, growth INTEGER, tags TEXT, mask TEXT,"
        " birthday_md TEXT, flags TEXT, base_points INTEGER, base_lots TEXT, known INTEGER, op INTEGER, visits INTEGER,"
        " first_fill_used INTEGER)"
    )
    connection.execute("CREATE TABLE member_index (digest BLOB, member_ref INTEGER)")
    return connection


def _insert(connection: sqlite3.Connection, ops: list[dict[str, Any]]) -> None:
    (first,) = connection.execute("SELECT coalesce(max(ref), 0) + 1 FROM member").fetchone()
    connection.execute("BEGIN IMMEDIATE")
    marks = ", ".join("?" * 14)
    connection.executemany(f"INSERT INTO member VALUES ({marks})", (_row(ref, op) for ref, op in enumerate(ops, first)))
    indexes = ((bytes.fromhex(digest), ref) for ref, op in enumerate(ops, first) for digest in op["indexes"])
    connection.executemany("INSERT INTO member_index VALUES (?, ?)", indexes)
    connection.execute("COMMIT")


def _row(ref: int, op: dict[str, Any]) -> tuple[Any, ...]:
    points = sum(lot["points"] for lot in op["lots"])
    lots = json.dumps([[lot["points"], None, lot["expires_on"]] for lot in op["lots"]])
    described = (ref, op["member"], op["tier"], op["growth"], json.dumps(op["tags"]), op["mask"], op["birthday_md"])
    return (*described, json.dumps(op["flags"]), points, lots, 1, ref, 0, 0)
