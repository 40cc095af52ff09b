"""The messages between one station and head office as frozen dataclasses: JSON ``data`` <-> Python, nothing else.

Pure. Knows no envelope, topic or clock. Hashes are 32 raw bytes here and lower-case hex on the wire. Unknown extra
members are allowed and ignored; a missing or mistyped member raises MessageError. Record functions are re-exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from sync.records import (
    MAX_RECORD_BYTES,
    REJECT_REASONS,
    Accepted,
    Record,
    RecordError,
    Rejected,
    canonical,
    chain,
    check_record,
    format_time,
    hash_0,
    hash_next,
    make_record,
    parse_time,
)
from sync.recordtypes import STREAMS, TYPES, known_majors
from sync.shapes import (
    BOOT,
    CLOCK,
    COUNT,
    HASH_HEX,
    INCARNATION,
    INSTALL_ID,
    NAME,
    POSITIVE,
    SHORT,
    STREAM,
    TIME,
    TOTALIZER,
    Anything,
    Int,
    Items,
    MapOf,
    Members,
    OrNull,
    Shape,
    Text,
    Truth,
)

__all__ = [
    "MAX_EARLIER",
    "MAX_NOZZLES",
    "MAX_RECORD_BYTES",
    "MAX_REJECTED",
    "REFUSED_CODES",
    "REJECT_REASONS",
    "REQUEST_KINDS",
    "STREAMS",
    "TYPES",
    "Accepted",
    "Ack",
    "Batch",
    "Credit",
    "DeadLetter",
    "Hello",
    "Message",
    "MessageError",
    "NozzleEnd",
    "Record",
    "RecordError",
    "Rejected",
    "RulesRef",
    "StreamPosition",
    "StreamWelcome",
    "Welcome",
    "canonical",
    "chain",
    "check_record",
    "checked",
    "format_time",
    "hash_0",
    "hash_next",
    "known_majors",
    "make_record",
    "parse_time",
    "per_stream",
]

MAX_REJECTED = 500  # W-21: an ack lists at most this many dead letters, oldest first
MAX_EARLIER = 64  # incarnations of one station that a welcome names, the newest
MAX_NOZZLES = 1_024  # far above any forecourt; bounds what a welcome can make a station hold
REFUSED_CODES = ("not_consecutive", "bad_last_hash", "empty", "too_many", "too_large")
REQUEST_KINDS = ("reserve", "confirm", "release", "lease", "coupon", "document", "members")


class MessageError(ValueError):
    """The peer's ``data`` is not a message of this type: a member is missing or mistyped. Count it, do not act."""


class Message(Protocol):
    """What every message class offers; ``TYPE`` is the CloudEvents type."""

    TYPE: ClassVar[str]
    SHAPE: ClassVar[Shape]

    def to_data(self) -> dict[str, Any]:
        """The JSON object that travels as ``data``."""

    @classmethod
    def from_data(cls, data: object) -> Self:
        """Read ``data``. Raises MessageError."""


def checked(shape: Shape, data: object, what: str) -> dict[str, Any]:
    """``data`` itself once it has the shape; raises MessageError naming the first defect."""
    wrong = shape.defect(data)
    if wrong is not None or not isinstance(data, dict):
        raise MessageError(f"{what}: {wrong}")
    return data


def per_stream(of: Shape) -> Members:
    """An object with one value of the shape for each of L, A and T."""
    return Members(dict.fromkeys(STREAMS, of))


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """What a station has of one stream. ``acked``: highest cum whose list of dead letters is stored (W-21)."""

    last_seq: int
    last_hash: bytes
    acked: int


@dataclass(frozen=True, slots=True)
class RulesRef:
    """The rule set a station prices with."""

    version: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """A station says who it is and what it has; answered by a Welcome. ``connect_n``: +1 per MQTT connect."""

    incarnation: str
    install_id: str
    software: str
    connect_n: int
    boot: str
    mono_ms: int
    time: str
    clock: str
    streams: Mapping[str, StreamPosition]
    rules: RulesRef | None = None
    member_op: int | None = None
    types: Mapping[str, list[int]] = field(default_factory=known_majors)
    accept: tuple[str, ...] = ()

    TYPE: ClassVar[str] = "fc.hello.v1"
    SHAPE: ClassVar[Shape] = Members(
        {
            "incarnation": INCARNATION,
            "install_id": INSTALL_ID,
            "software": SHORT,
            "connect_n": COUNT,
            "boot": BOOT,
            "mono_ms": COUNT,
            "time": TIME,
            "clock": CLOCK,
            "accept": Items(NAME, 16),
            "streams": per_stream(Members({"last_seq": COUNT, "last_hash": HASH_HEX, "acked": COUNT})),
            "rules": OrNull(Members({"version": COUNT, "hash": HASH_HEX})),
            "member_op": OrNull(COUNT),
            "types": MapOf(Items(POSITIVE, 16), 256),
        }
    )

    def to_data(self) -> dict[str, Any]:
        """See Message."""
        return {
            "incarnation": self.incarnation,
            "install_id": self.install_id,
            "software": self.software,
            "connect_n": self.connect_n,
            "boot": self.boot,
            "mono_ms": self.mono_ms,
            "time": self.time,
            "clock": self.clock,
            "accept": list(self.accept),
            "streams": {
                name: {"last_seq": at.last_seq, "last_hash": at.last_hash.hex(), "acked": at.acked}
                for name, at in self.streams.items()
            },
            "rules": None if self.rules is None else {"version": self.rules.version, "hash": self.rules.hash.hex()},
            "member_op": self.member_op,
            "types": {name: list(majors) for name, majors in self.types.items()},
        }

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See Message."""
        body = checked(cls.SHAPE, data, cls.TYPE)
        rules = body["rules"]
        return cls(
            incarnation=body["incarnation"],
            install_id=body["install_id"],
            software=body["software"],
            connect_n=body["connect_n"],
            boot=body["boot"],
            mono_ms=body["mono_ms"],
            time=body["time"],
            clock=body["clock"],
            streams={
                name: StreamPosition(at["last_seq"], bytes.fromhex(at["last_hash"]), at["acked"])
                for name, at in body["streams"].items()
                if name in STREAMS
            },
            rules=None if rules is None else RulesRef(rules["version"], bytes.fromhex(rules["hash"])),
            member_op=body["member_op"],
            types=body["types"],
            accept=tuple(body["accept"]),
        )


@dataclass(frozen=True, slots=True)
class Credit:
    """How fast a station may send. ``records_per_s`` 0 = unlimited; ``pause_ms`` counts from receipt (W-11)."""

    window: int = 4
    records_per_s: int = 0
    pause_ms: int = 0

    SHAPE: ClassVar[Shape] = Members({"window": POSITIVE, "records_per_s": COUNT, "pause_ms": COUNT})

    def to_data(self) -> dict[str, Any]:
        """The JSON object."""
        return {"window": self.window, "records_per_s": self.records_per_s, "pause_ms": self.pause_ms}


def _credit(body: Mapping[str, Any]) -> Credit:
    return Credit(body["window"], body["records_per_s"], body["pause_ms"])


@dataclass(frozen=True, slots=True)
class StreamWelcome:
    """What head office has of one stream; ``fork`` as in WIRE.md: last_seq <= cum and last_hash differs."""

    cum: int
    head_hash: bytes
    fork: bool


@dataclass(frozen=True, slots=True)
class NozzleEnd:
    """The greatest accepted end totalizer of a nozzle, text ``epoch:raw``; None if head office knows none."""

    fuelling_point: int
    nozzle: int
    totalizer_end: str | None


@dataclass(frozen=True, slots=True)
class Welcome:
    """Head office's answer to the hello of (for_install_id, for_connect_n).

    ``earlier``: how far it has the streams of the station's other incarnations; None where it does not say (W-34).
    """

    for_install_id: str
    for_connect_n: int
    incarnation: str
    time: str
    streams: Mapping[str, StreamWelcome]
    credit: Credit = Credit()
    reincarnate: bool = False
    fenced: bool = False
    nozzles: tuple[NozzleEnd, ...] = ()
    accept: tuple[str, ...] = ()
    earlier: Mapping[str, Mapping[str, int]] | None = None

    TYPE: ClassVar[str] = "fc.welcome.v1"
    SHAPE: ClassVar[Shape] = Members(
        {
            "for": Members({"install_id": INSTALL_ID, "connect_n": COUNT}),
            "incarnation": INCARNATION,
            "time": TIME,
            "streams": per_stream(Members({"cum": COUNT, "head_hash": HASH_HEX, "fork": Truth()})),
            "credit": Credit.SHAPE,
            "reincarnate": Truth(),
            "fenced": Truth(),
            "nozzles": Items(
                Members({"fuelling_point": Int(), "nozzle": Int(), "totalizer_end": OrNull(TOTALIZER)}), MAX_NOZZLES
            ),
            "accept": Items(NAME, 16),
        },
        {"earlier": MapOf(MapOf(COUNT, len(STREAMS)), MAX_EARLIER)},
    )

    def to_data(self) -> dict[str, Any]:
        """See Message."""
        told = {} if self.earlier is None else {"earlier": {name: dict(cums) for name, cums in self.earlier.items()}}
        return {
            **told,
            "for": {"install_id": self.for_install_id, "connect_n": self.for_connect_n},
            "incarnation": self.incarnation,
            "time": self.time,
            "streams": {
                name: {"cum": at.cum, "head_hash": at.head_hash.hex(), "fork": at.fork}
                for name, at in self.streams.items()
            },
            "credit": self.credit.to_data(),
            "reincarnate": self.reincarnate,
            "fenced": self.fenced,
            "nozzles": [
                {"fuelling_point": end.fuelling_point, "nozzle": end.nozzle, "totalizer_end": end.totalizer_end}
                for end in self.nozzles
            ],
            "accept": list(self.accept),
        }

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See Message."""
        body = checked(cls.SHAPE, data, cls.TYPE)
        return cls(
            for_install_id=body["for"]["install_id"],
            for_connect_n=body["for"]["connect_n"],
            incarnation=body["incarnation"],
            time=body["time"],
            streams={
                name: StreamWelcome(at["cum"], bytes.fromhex(at["head_hash"]), at["fork"])
                for name, at in body["streams"].items()
                if name in STREAMS
            },
            credit=_credit(body["credit"]),
            reincarnate=body["reincarnate"],
            fenced=body["fenced"],
            nozzles=tuple(
                NozzleEnd(end["fuelling_point"], end["nozzle"], end["totalizer_end"]) for end in body["nozzles"]
            ),
            accept=tuple(body["accept"]),
            earlier=body.get("earlier"),
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of records of one stream. ``records``: the raw slices, byte for byte (W-03); encoded by ``sync.envelope``.

    ``payload_bytes``: size of the MQTT payload as it arrived; 0 for one that is about to be sent. ``last_hash`` and
    ``prev_hash`` are None where a peer sent something that is not a hash: the judging refuses that batch. ``values``:
    what was found in the records while the payload was taken apart, UNREAD where none was; empty if nobody looked.
    """

    install_id: str
    incarnation: str
    stream: str
    first_seq: int
    prev_hash: bytes | None
    records: tuple[bytes, ...]
    last_hash: bytes | None
    payload_bytes: int = 0
    values: tuple[object, ...] = field(default=(), compare=False, repr=False)

    TYPE: ClassVar[str] = "fc.batch.v1"
    # The hashes are judged, not shaped: a malformed one is refused by name (W-20) instead of left unanswered.
    SHAPE: ClassVar[Shape] = Members(
        {"install_id": INSTALL_ID, "incarnation": INCARNATION, "stream": STREAM, "first_seq": Int()},
        {"prev_hash": Anything(), "last_hash": Anything()},
    )

    @property
    def last_seq(self) -> int:
        """The seq of the last record; first_seq - 1 for an empty batch."""
        return self.first_seq + len(self.records) - 1


MAX_KNOWN = 8
"""Spans told of one overlap; where there are more, none is told and a person looks."""

_KNOWN = Items(Members({"from": TOTALIZER, "to": TOTALIZER}), MAX_KNOWN)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record head office put aside: its seq and a code of REJECT_REASONS.

    ``known``: of an ``overlap``, between which totalizers (``epoch:raw``, from and to) other sales have its litres, in
    order; empty where head office does not say.
    """

    seq: int
    reason: str
    known: tuple[tuple[str, str], ...] = ()

    def to_data(self) -> dict[str, Any]:
        """As it stands in ``rejected``."""
        data: dict[str, Any] = {"seq": self.seq, "reason": self.reason}
        return data | ({"known": [{"from": start, "to": end} for start, end in self.known]} if self.known else {})

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """The inverse, of data that has its shape."""
        return cls(data["seq"], data["reason"], tuple((span["from"], span["to"]) for span in data.get("known", ())))


@dataclass(frozen=True, slots=True)
class Ack:
    """Head office's answer to a batch, sent after its commit. ``refused``: None or one of REFUSED_CODES."""

    install_id: str
    incarnation: str
    stream: str
    cum: int
    head_hash: bytes
    credit: Credit = Credit()
    rejected: tuple[DeadLetter, ...] = ()
    gap: bool = False
    fork: bool = False
    refused: str | None = None

    TYPE: ClassVar[str] = "fc.ack.v1"
    SHAPE: ClassVar[Shape] = Members(
        {
            "install_id": INSTALL_ID,
            "incarnation": INCARNATION,
            "stream": STREAM,
            "cum": COUNT,
            "head_hash": HASH_HEX,
            "credit": Credit.SHAPE,
            "rejected": Items(Members({"seq": POSITIVE, "reason": Text(1, 64)}, {"known": _KNOWN}), MAX_REJECTED),
            "gap": Truth(),
            "fork": Truth(),
            "refused": OrNull(Text(1, 64)),
        }
    )

    def to_data(self) -> dict[str, Any]:
        """See Message."""
        return {
            "install_id": self.install_id,
            "incarnation": self.incarnation,
            "stream": self.stream,
            "cum": self.cum,
            "head_hash": self.head_hash.hex(),
            "credit": self.credit.to_data(),
            "rejected": [dead.to_data() for dead in self.rejected],
            "gap": self.gap,
            "fork": self.fork,
            "refused": self.refused,
        }

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See Message."""
        body = checked(cls.SHAPE, data, cls.TYPE)
        return cls(
            install_id=body["install_id"],
            incarnation=body["incarnation"],
            stream=body["stream"],
            cum=body["cum"],
            head_hash=bytes.fromhex(body["head_hash"]),
            credit=_credit(body["credit"]),
            rejected=tuple(DeadLetter.from_data(dead) for dead in body["rejected"]),
            gap=body["gap"],
            fork=body["fork"],
            refused=body["refused"],
        )
