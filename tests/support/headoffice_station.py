"""A station made of plain data for head-office tests: it writes records, chains them and cuts batches of any run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sync.envelope import encode, encode_batch, station_source
from sync.messages import Batch, Hello, RecordError, StreamPosition, canonical, chain, hash_0, make_record
from sync.topics import BATCH_TOPICS, StationTopic, shard_of

STATION = "SH-0421"
INCARNATION = "00112233445566778899aabbccddeeff"
INSTALL = "a1b2c3"
TIME = "2026-11-21T08:00:00.000Z"
NOW_MS = 1_795_248_000_000


Answer = TypeVar("Answer")


def answered(answer: Answer | None) -> Answer:
    """The answer of head office where one is due."""
    assert answer is not None, "head office did not answer"
    return answer


def ulid(number: int) -> str:
    """A well-formed ULID that sorts like its number."""
    return f"{number:026d}"


def sale_data(number: int, start: str | None, end: str | None, **more: Any) -> dict[str, Any]:
    """The data of fc.sale.v1 for 10 litres at fuelling point 1, nozzle 1."""
    data: dict[str, Any] = {
        "sale": ulid(500_000 + number),
        "fuelling_point": 1,
        "nozzle": 1,
        "grade": "92",
        "tank": 1,
        "kind": "NORMAL",
        "volume_ml": 10_000,
        "unit_price_milli": 7_850,
        "amount_minor": 7_850,
        "currency": "CNY",
        "exponent": 2,
        "totalizer_start": start,
        "totalizer_end": end,
        "sub": None,
        "counter": None,
        "lifted_at": TIME,
        "ended_at": TIME,
        "business_day": "2026-11-21",
        "attendant": None,
        "flags": [],
    }
    return {**data, **more}


def settled_data(sale: str, **more: Any) -> dict[str, Any]:
    """The data of fc.sale.settled.v1 with 78 points earned."""
    data: dict[str, Any] = {
        "sale": sale,
        "member": "567014f1b3c2a9de",
        "rule_version": 1,
        "rule_hash": "ab" * 32,
        "lines": [],
        "discount_minor": 50,
        "points_redeemed": 0,
        "points_earned": 78,
        "net_minor": 7_800,
        "tenders": [],
        "postings": [
            {"account": "member:pending", "points": 78, "lot": "lot-1"},
            {"account": "program:issued", "points": -78, "lot": None},
        ],
        "budgets": [],
    }
    return {**data, **more}


def alert_data(**more: Any) -> dict[str, Any]:
    """The data of fc.tank.alert.v1."""
    data = {"tank": 2, "grade": "95", "alert": "low_product", "state": "raised", "value": 9, "limit": 10, "unit": "ml"}
    return {**data, **more}


@dataclass
class Stream:
    """One journal stream of a station."""

    name: str = "L"
    station: str = STATION
    incarnation: str = INCARNATION
    install_id: str = INSTALL
    raws: list[bytes] = field(default_factory=list)

    def add(self, kind: str, data: Any, *, record_id: str | None = None, time: str = TIME) -> bytes:
        """Append a record of a type; one that the contract forbids is written all the same."""
        seq = len(self.raws) + 1
        digest = hashlib.sha256(f"{self.incarnation}{self.name}".encode()).digest()
        members: dict[str, Any] = {
            "seq": seq,
            "id": record_id or ulid(int.from_bytes(digest[:6], "big") * 10**6 + seq),
            "type": kind,
            "time": time,
            "boot": "b7c1",
            "mono_ms": seq,
            "clock": "ntp",
            "data": data,
        }
        try:
            raw = make_record(**members)
        except RecordError:
            raw = canonical(members)
        self.raws.append(raw)
        return raw

    def begin(self) -> Stream:
        """Write the first record every L stream has."""
        self.add("fc.incarnation.v1", {"reason": "new", "parent": None})
        return self

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """hash_0 and the hash of every record."""
        zero = hash_0(self.station, self.incarnation, self.name)
        return (zero, *chain(zero, 1, self.raws))

    def batch(self, first: int, last: int | None = None) -> Batch:
        """The records first..last as a batch."""
        end = len(self.raws) if last is None else last
        hashes = self.hashes
        return Batch(
            install_id=self.install_id,
            incarnation=self.incarnation,
            stream=self.name,
            first_seq=first,
            prev_hash=hashes[first - 1],
            records=tuple(self.raws[first - 1 : end]),
            last_hash=hashes[end],
        )

    def payload(self, first: int, last: int | None = None) -> bytes:
        """The MQTT payload of the records first..last."""
        return encode_batch(self.batch(first, last), source=station_source(self.station), time=TIME)

    @property
    def topic(self) -> StationTopic:
        """Where its batches go."""
        return StationTopic(shard_of(self.station), self.station, BATCH_TOPICS[self.name], True)

    @property
    def position(self) -> StreamPosition:
        """What a hello says of it."""
        return StreamPosition(len(self.raws), self.hashes[-1], 0)


def up_topic(name: str, station: str = STATION) -> StationTopic:
    """One of the station's topics."""
    return StationTopic(shard_of(station), station, name, True)


def hello(*streams: Stream, connect_n: int = 1, install_id: str = INSTALL, **more: Any) -> Hello:
    """A hello with the heads of the given streams; the others are empty. ``more`` replaces positions by name."""
    station, incarnation = (streams[0].station, streams[0].incarnation) if streams else (STATION, INCARNATION)
    at = {name: StreamPosition(0, hash_0(station, incarnation, name), 0) for name in ("L", "A", "T")}
    at.update({stream.name: stream.position for stream in streams})
    at.update(more)
    return Hello(
        incarnation=incarnation,
        install_id=install_id,
        software="test",
        connect_n=connect_n,
        boot="b7c1",
        mono_ms=1,
        time=TIME,
        clock="ntp",
        streams=at,
    )


def event(message: Any, station: str = STATION) -> bytes:
    """The payload of any message of a station."""
    return encode(message, source=station_source(station), event_id="e-1", time=TIME)
