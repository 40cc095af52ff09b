"""The journal of a light station: its records are made anew whenever they are sent, only their hashes are kept.

Knows the record types of a sale; knows no message, no connection and no clock.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

from sync.records import canonical, format_time, hash_0, hash_next, make_record

HASH_BYTES = 32
BEFORE_SALES = 2
"""The incarnation and the meter's baseline."""

UNIT_ML = 10
PRICE_MILLI = 7_850
NUMBERS = ("seq", "mono_ms", "volume_ml", "amount_minor", "net_minor")


class FleetJournal:
    """Stream L of one station: an incarnation, a baseline, then sales (each with its settlement if ``is_settled``).

    ``place``: a number that no other station of the run has; ``run_ms``: when the run began, Unix milliseconds.
    """

    def __init__(self, station: str, incarnation: str, place: int, run_ms: int, *, is_settled: bool) -> None:
        self._place = place
        self._run_ms = run_ms
        self.is_settled = is_settled
        self._per_sale = 2 if is_settled else 1
        self._made_ms = array("q")
        self._starts = {stream: hash_0(station, incarnation, stream) for stream in ("L", "A", "T")}
        self._hashes = bytearray()
        self.volume_ml = 0
        for seq in range(1, BEFORE_SALES + 1):
            self._append(self.record(seq))

    @property
    def sales(self) -> int:
        """How many sales there are."""
        return len(self._made_ms)

    @property
    def last_seq(self) -> int:
        """The newest seq of stream L."""
        return len(self._hashes) // HASH_BYTES

    def hash_at(self, stream: str, seq: int) -> bytes | None:
        """The chain hash of a seq, hash_0 for 0; None beyond the end. Streams A and T are empty."""
        if seq == 0:
            return self._starts[stream]
        if stream != "L" or seq > self.last_seq:
            return None
        return bytes(self._hashes[(seq - 1) * HASH_BYTES : seq * HASH_BYTES])

    def sell(self, now_ms: int) -> None:
        """Write one sale of some litres."""
        self._made_ms.append(now_ms)
        first = self.last_seq + 1
        self.volume_ml += volume_ml(self.sales - 1)
        for seq in range(first, first + self._per_sale):
            self._append(self.record(seq))

    def sale_of(self, seq: int) -> int:
        """How many whole sales are done at ``seq``."""
        return max(0, seq - BEFORE_SALES) // self._per_sale

    def record(self, seq: int) -> bytes:
        """The bytes of a record, the same whenever they are asked for."""
        if seq <= BEFORE_SALES:
            kind = "fc.incarnation.v1" if seq == 1 else "fc.meter.baseline.v1"
            return make_record(
                seq=seq,
                id=self._ulid(seq),
                type=kind,
                time=format_time(self._run_ms),
                boot="fleet",
                mono_ms=seq,
                clock="ntp",
                data={"reason": "new", "parent": None} if seq == 1 else BASELINE,
            )
        number, part = divmod(seq - BEFORE_SALES - 1, self._per_sale)
        made_ms, litres = self._made_ms[number], volume_ml(number)
        start = (number // 2) * (volume_ml(0) + volume_ml(1)) // UNIT_ML + (number % 2) * volume_ml(0) // UNIT_ML
        amount = (litres * PRICE_MILLI + 5_000) // 10_000
        return (SETTLED if part else SALE) % {
            b"seq": seq,
            b"mono_ms": made_ms - self._run_ms + BEFORE_SALES,
            b"volume_ml": litres,
            b"amount_minor": amount,
            b"net_minor": amount,
            b"id": self._ulid(seq).encode(),
            b"sale": self._ulid(seq - part + 5_000_000_000).encode(),
            b"time": format_time(made_ms).encode(),
            b"day": format_time(made_ms)[:10].encode(),
            b"start": b"0:%d" % start,
            b"end": b"0:%d" % (start + litres // UNIT_ML),
        }

    def _append(self, raw: bytes) -> None:
        seq = self.last_seq + 1
        previous = self.hash_at("L", seq - 1)
        assert previous is not None, "the chain has no gap"
        self._hashes += hash_next(previous, seq, raw)

    def _ulid(self, number: int) -> str:
        """Unique for ever: the run's time in ten characters, then the station's place and the number."""
        time = "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[self._run_ms >> shift & 31] for shift in range(45, -1, -5))
        return f"{time}{self._place:06d}{number:010d}"


def volume_ml(number: int) -> int:
    """How much the sale of this number was: two sizes in turn, so that a lost one and a doubled one do not cancel."""
    return 31_420 if number % 2 else 18_730


BASELINE = {
    "fuelling_point": 1,
    "nozzle": 1,
    "totalizer": "0:0",
    "totalizer_unit_ml": UNIT_ML,
    "reason": "first-contact",
}


def _form(kind: str, data: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a record with ``%(name)`` where a number or a text is filled in."""
    members = {
        "seq": 0,
        "id": "%(id)s",
        "type": kind,
        "time": "%(time)s",
        "boot": "fleet",
        "mono_ms": 0,
        "clock": "ntp",
    }
    raw = canonical({**members, "data": {**data}})
    for name in NUMBERS:
        raw = raw.replace(f'"{name}":0'.encode(), f'"{name}":%({name})d'.encode())
    return raw


SALE = _form(
    "fc.sale.v1",
    {
        "sale": "%(sale)s",
        "fuelling_point": 1,
        "nozzle": 1,
        "grade": "92",
        "tank": 1,
        "kind": "NORMAL",
        "volume_ml": 0,
        "unit_price_milli": PRICE_MILLI,
        "amount_minor": 0,
        "currency": "CNY",
        "exponent": 2,
        "totalizer_start": "%(start)s",
        "totalizer_end": "%(end)s",
        "sub": None,
        "counter": None,
        "lifted_at": None,
        "ended_at": "%(time)s",
        "business_day": "%(day)s",
        "attendant": None,
        "flags": [],
    },
)
SETTLED = _form(
    "fc.sale.settled.v1",
    {
        "sale": "%(sale)s",
        "member": None,
        "rule_version": 1,
        "rule_hash": "ab" * 32,
        "lines": [],
        "discount_minor": 0,
        "points_redeemed": 0,
        "points_earned": 0,
        "net_minor": 0,
        "tenders": [],
        "postings": [],
        "budgets": [],
    },
)
