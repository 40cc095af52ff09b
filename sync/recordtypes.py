"""The closed table of record types: the stream each belongs to and the members of its data (W-05).

Knows no bytes and no topic. ``null`` means unknown: descriptive members may be null, what a fact is keyed by may not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType

from sync.shapes import (
    COUNT,
    CURRENCY,
    DAY,
    HASH_HEX,
    INCARNATION,
    LOCAL_TIME,
    MEMBER_ID,
    NAME,
    POSITIVE,
    SHORT,
    TIME,
    TOTALIZER,
    ULID,
    Anything,
    Int,
    Items,
    Members,
    OrNull,
    Text,
    Truth,
    Word,
)

STREAMS = ("L", "A", "T")
INCARNATION_TYPE = "fc.incarnation.v1"

_TYPE_NAME = re.compile(r"(fc(?:\.[a-z_]{1,32}){1,3})\.v([1-9][0-9]{0,3})")
_WORDS = Items(NAME)
_POSTINGS = Items(Members({"account": NAME, "points": Int(), "lot": OrNull(NAME)}))
_LOTS = Items(
    Members(
        {"lot": NAME, "earned_ms": Int(), "usable_from_ms": OrNull(Int()), "expires_on": OrNull(DAY)},
    )
)
_POINTS_LEASES = Items(Members({"lease": OrNull(NAME), "points": Int()}))
_BUDGETS = Items(Members({"campaign": NAME, "lease": OrNull(NAME), "amount_minor": Int()}))
_COUPON = Members({"code": NAME, "offer": NAME, "value_minor": Int(), "left_minor": OrNull(Int()), "used": Truth()})
_PARENT_STREAM = Members({"seq": COUNT, "hash": HASH_HEX})
_PARENT = Members(
    {
        "incarnation": INCARNATION,
        "streams": Members({"L": _PARENT_STREAM, "A": _PARENT_STREAM, "T": _PARENT_STREAM}),
    }
)
_SALE = Members(
    {
        "sale": ULID,
        "fuelling_point": Int(),
        "nozzle": Int(),
        "grade": OrNull(Text()),
        "tank": OrNull(Int()),
        "kind": Word(("NORMAL", "RECOVERED")),
        "volume_ml": Int(),
        "unit_price_milli": OrNull(Int()),
        "amount_minor": Int(),
        "currency": CURRENCY,
        "exponent": COUNT,
        "totalizer_start": OrNull(TOTALIZER),
        "totalizer_end": OrNull(TOTALIZER),
        "sub": OrNull(POSITIVE),
        "counter": OrNull(Int()),
        "lifted_at": OrNull(TIME),
        "ended_at": OrNull(TIME),
        "business_day": OrNull(DAY),
        "attendant": OrNull(Text()),
        "flags": _WORDS,
    },
    {"rollback_offer": NAME, "list_price_milli": Int()},
)
_LINKED = Members(
    {
        "sale": ULID,
        "member": MEMBER_ID,
        "level": NAME,
        "by": OrNull(Text()),
        "delay_s": OrNull(Int()),
        "code": OrNull(Text()),
    }
)
_SETTLED = Members(
    {
        "sale": ULID,
        "member": OrNull(MEMBER_ID),
        "rule_version": OrNull(Int()),
        "rule_hash": OrNull(HASH_HEX),
        "lines": Items(
            Members({"offer": NAME, "verdict": NAME, "code": NAME, "value_minor": Int(), "desired_minor": Int()})
        ),
        "discount_minor": Int(),
        "points_redeemed": Int(),
        "points_earned": Int(),
        "net_minor": Int(),
        "tenders": Items(Members({"kind": NAME, "amount_minor": Int(), "ref": OrNull(Text())})),
        "postings": _POSTINGS,
        "budgets": _BUDGETS,
    },
    {
        "lines_left_out": COUNT,
        "coupons": Items(_COUPON),
        "rollback_minor": COUNT,
        "points_leases": _POINTS_LEASES,
        "lots": _LOTS,
    },
)
_CORRECTED = Members(
    {
        "sale": ULID,
        "what": Word(("link", "tender", "void", "refund", "volume_trim")),
        "old": Anything(),
        "new": Anything(),
        "by": OrNull(Text()),
        "role": OrNull(Text()),
        "reason": OrNull(Text()),
        "postings": _POSTINGS,
        "delay_s": OrNull(Int()),
    },
    {"coupons": Items(NAME), "budgets": _BUDGETS, "points_leases": _POINTS_LEASES, "lots": _LOTS},
)
_ENROLLED = Members(
    {
        "member": MEMBER_ID,
        "indexes": Anything(),
        "mask": OrNull(Text()),
        "plate_index": OrNull(Text()),
        "contact": OrNull(Anything()),
        "by": OrNull(Text()),
        "welcome": Anything(),
    }
)
_LEASE = Members(
    {
        "lease": NAME,
        "event": Word(("received", "closed_out", "void")),
        "spent": OrNull(Int()),
        "remaining": OrNull(Int()),
    },
    {"kind": Word(("points", "budget")), "subject": NAME},
)
_DELIVERY = Members(
    {
        "tank": Int(),
        "grade": OrNull(Text()),
        "start": TIME,
        "end": OrNull(TIME),
        "start_volume_ml": Int(),
        "end_volume_ml": OrNull(Int()),
        "delivered_ml": OrNull(Int()),
        "temperature_mdegc": OrNull(Int()),
        "note_ml": OrNull(Int()),
    },
    {
        "console_start": OrNull(LOCAL_TIME),
        "console_end": OrNull(LOCAL_TIME),
        "start_tc_volume_ml": OrNull(Int()),
        "end_tc_volume_ml": OrNull(Int()),
        "quality": NAME,
    },
)
_BASELINE = Members(
    {
        "fuelling_point": Int(),
        "nozzle": Int(),
        "totalizer": TOTALIZER,
        "totalizer_unit_ml": OrNull(Int()),
        "reason": SHORT,
    }
)
_AUDIT = Members(
    {
        "who": OrNull(Text()),
        "role": OrNull(Text()),
        "action": NAME,
        "object": Anything(),
        "reason": OrNull(Text()),
        "result": OrNull(Text()),
    }
)
_SHIFT = Members(
    {"shift": ULID, "event": Word(("opened", "closed", "nozzles", "attendants"))},
    {
        "number": POSITIVE,
        "from": TIME,
        "opened_at": TIME,
        "closed_at": OrNull(TIME),
        "by": OrNull(Text()),
        "role": OrNull(Text()),
        "totals": Members({"sales": Int(), "sold_ml": Int(), "moved_ml": OrNull(Int()), "gross_minor": Int()}),
        "count": Items(Members({"kind": NAME, "counted_minor": Int(), "expected_minor": Int()})),
        "part": POSITIVE,
        "parts": POSITIVE,
        "rows": Items(Anything()),
    },
)
_TANK_ALERT = Members(
    {
        "tank": Int(),
        "grade": OrNull(Text()),
        "alert": NAME,
        "state": Word(("raised", "updated", "acknowledged", "cleared")),
        "value": OrNull(Int()),
        "limit": OrNull(Int()),
        "unit": OrNull(Text()),
    }
)
_ALERT = Members({"subject": NAME, "alert": NAME, "state": NAME, "evidence": Anything()})
_THINNED = Members({"from": Anything(), "to": Anything(), "count": COUNT, "reason": SHORT})


@dataclass(frozen=True, slots=True)
class RecordType:
    """One row of the table: the stream a type belongs to and what its data must hold."""

    stream: str
    data: Members


TYPES: MappingProxyType[str, RecordType] = MappingProxyType(
    {
        INCARNATION_TYPE: RecordType("L", Members({"reason": SHORT, "parent": OrNull(_PARENT)})),
        "fc.meter.baseline.v1": RecordType("L", _BASELINE),
        "fc.sale.v1": RecordType("L", _SALE),
        "fc.sale.linked.v1": RecordType("L", _LINKED),
        "fc.sale.settled.v1": RecordType("L", _SETTLED),
        "fc.sale.corrected.v1": RecordType("L", _CORRECTED),
        "fc.points.v1": RecordType(
            "L",
            Members(
                {
                    "member": MEMBER_ID,
                    "why": Word(("grant", "expire_seen", "adjust", "reversal")),
                    "postings": _POSTINGS,
                },
                {"lots": _LOTS},
            ),
        ),
        "fc.member.enrolled.v1": RecordType("L", _ENROLLED),
        "fc.lease.v1": RecordType("L", _LEASE),
        "fc.tank.delivery.v1": RecordType("L", _DELIVERY),
        "fc.shift.v1": RecordType("L", _SHIFT),
        "fc.stocktake.v1": RecordType("L", Members()),
        "fc.audit.v1": RecordType("L", _AUDIT),
        "fc.gap.v1": RecordType("L", Members()),
        "fc.tank.alert.v1": RecordType("A", _TANK_ALERT),
        "fc.device.alert.v1": RecordType("A", _ALERT),
        "fc.security.alert.v1": RecordType("A", _ALERT),
        "fc.fraud.alert.v1": RecordType("A", _ALERT),
        "fc.sync.alert.v1": RecordType("A", _ALERT),
        "fc.tank.reading.v1": RecordType("T", Members()),
        "fc.point.reading.v1": RecordType("T", Members()),
        "fc.health.v1": RecordType("T", Members()),
        "fc.telemetry.thinned.v1": RecordType("T", _THINNED),
    }
)


def split_type(name: str) -> tuple[str, int] | None:
    """``("fc.sale", 1)`` for ``fc.sale.v1``; None for a text that does not carry a major version."""
    match = _TYPE_NAME.fullmatch(name)
    return None if match is None else (match[1], int(match[2]))


def known_majors() -> dict[str, list[int]]:
    """Type name without version -> majors this end understands, as hello's ``types`` wants it."""
    majors: dict[str, list[int]] = {}
    for full in TYPES:
        parts = split_type(full)
        assert parts is not None, full
        majors.setdefault(parts[0], []).append(parts[1])
    return majors


_NEWEST_MAJOR = {name: max(majors) for name, majors in known_majors().items()}


def type_defect(name: object, stream: str) -> str | None:
    """Why a record of type ``name`` may not stand on ``stream``: ``unknown_type``, ``newer_major``, ``wrong_stream``.

    None if it may. A closed table (W-05): what is not in it is never guessed.
    """
    if not isinstance(name, str):
        return "unknown_type"
    row = TYPES.get(name)
    if row is not None:
        return None if row.stream == stream else "wrong_stream"
    parts = split_type(name)
    if parts is None or parts[0] not in _NEWEST_MAJOR:
        return "unknown_type"
    return "newer_major" if parts[1] > _NEWEST_MAJOR[parts[0]] else "unknown_type"
