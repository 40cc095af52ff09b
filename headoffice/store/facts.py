"""What a record means in the tables: is it a second arrival, does it collide, and which rows does it write (W-24).

Works inside the transaction of the batch. Knows the data of each record type; knows no chain, cursor or message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, bindparam, select

from headoffice.store import card_uses, enrolments, point_facts, schema
from headoffice.store.alerts import raise_own_alert
from headoffice.store.streams import StreamKey
from sync.messages import Record, Rejected, parse_time

Data = Mapping[str, Any]

KEY_DIGITS = 19
"""A totalizer's epoch and raw have at most 19 digits each; padded to that, text order is meter order."""


@dataclass(frozen=True, slots=True)
class SecondArrival:
    """The fact is already stored as record ``of``; ``same`` tells whether type, time and data agree."""

    of: int
    same: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """An accepted record at its place. ``raw``: its bytes as received; ``flags``: defects it is stored with."""

    key: StreamKey
    record: Record
    raw: bytes
    flags: tuple[str, ...]
    received_ms: int


FRAUD_ALERT = "fc.fraud.alert.v1"
"""What such an alert compared stands in its evidence."""

REINCARNATED = "reincarnated"
"""The reason of a baseline that a new incarnation lays (W-32)."""

FORGET = "members.forget"
"""The action of an audit record by which a station passes on that a member wants to be deleted."""

_INTERVALS = schema.sale_interval
_LAST_BEFORE = (
    select(_INTERVALS.c.start_key, _INTERVALS.c.end_key)
    .where(
        _INTERVALS.c.station == bindparam("station"),
        _INTERVALS.c.fuelling_point == bindparam("fuelling_point"),
        _INTERVALS.c.nozzle == bindparam("nozzle"),
        _INTERVALS.c.start_key < bindparam("end"),
        _INTERVALS.c.end_key > _INTERVALS.c.start_key,
    )
    .order_by(_INTERVALS.c.start_key.desc())
    .limit(1)
)
"""The non-empty interval of a nozzle that starts last before ``end``."""


def meter_key(totalizer: str) -> str:
    """``epoch:raw`` as a text that sorts as the meter counts."""
    epoch, raw = totalizer.split(":")
    return f"{epoch:0>{KEY_DIGITS}}:{raw:0>{KEY_DIGITS}}"


def totalizer_of(key: str) -> str:
    """The ``epoch:raw`` of a meter key."""
    epoch, raw = key.split(":")
    return f"{int(epoch)}:{int(raw)}"


def examine(connection: Connection, arrival: Arrival) -> SecondArrival | Rejected | None:
    """Say whether a record is a second arrival or collides with a stored fact; None if it may become one."""
    row = _first(connection, schema.record, "number", station=arrival.key.station, id=arrival.record.id)
    if row is None:
        examiner = _EXAMINERS.get(arrival.record.type)
        found = None if examiner is None else examiner(connection, arrival.key, arrival.record.data)
        if not isinstance(found, int):
            return found
        row = found
    return SecondArrival(row, _same_content(connection, row, arrival.raw))


def write(connection: Connection, arrival: Arrival) -> int:
    """Store the record and the rows it means; return the record's number. ``examine`` must have returned None."""
    record = arrival.record
    values = {
        **arrival.key._asdict(),
        "seq": record.seq,
        "id": record.id,
        "type": record.type,
        "time": record.time,
        "flags": " ".join(arrival.flags),
        "raw": arrival.raw,
        "received_ms": arrival.received_ms,
    }
    result = connection.execute(schema.insert_into(schema.record), values)
    assert result.inserted_primary_key is not None
    number = int(result.inserted_primary_key[0])
    writer = _WRITERS.get(record.type)
    if writer is not None:
        writer(connection, number, arrival)
    return number


def _first(connection: Connection, table: Table, column: str, **wanted: Any) -> int | None:
    row = connection.execute(schema.first_of(table, column, *wanted), wanted).first()
    return None if row is None else int(row[0])


def _same_content(connection: Connection, number: int, raw: bytes) -> bool:
    """A fact that is sent again after a reincarnation keeps type, time and data; its place and boot are new (W-31)."""
    stored = connection.execute(select(schema.record.c.raw).where(schema.record.c.number == number)).scalar_one()
    old, new = json.loads(stored), json.loads(raw)
    return all(old.get(name) == new.get(name) for name in ("type", "time", "data"))


def _examine_sale(connection: Connection, key: StreamKey, data: Data) -> int | Rejected | None:
    known = _first(connection, schema.sale, "record", station=key.station, sale=data["sale"])
    if known is not None:
        return known
    start, end = data["totalizer_start"], data["totalizer_end"]
    if start is not None and end is not None:
        return _examine_interval(connection, key.station, data, meter_key(start), meter_key(end))
    if data["counter"] is not None and _first(connection, schema.sale_counter, "record", **_counter_key(key, data)):
        return Rejected("overlap", f"counter {data['counter']} of this incarnation and fuelling point is taken")
    return None


def _examine_interval(connection: Connection, station: str, data: Data, start: str, end: str) -> Rejected | None:
    """Accepted intervals of a nozzle never overlap, so the last one that starts before our end decides."""
    if end < start:
        return Rejected("bad_interval", f"totalizer goes back from {totalizer_of(start)} to {totalizer_of(end)}")
    nozzle = {"station": station, "fuelling_point": data["fuelling_point"], "nozzle": data["nozzle"]}
    if start == end:
        key = {**nozzle, "start_key": start, "end_key": end, "sub": data["sub"] or 0}
        taken = _first(connection, schema.sale_interval, "record", **key)
        return None if taken is None else Rejected("overlap", f"{totalizer_of(start)} sub {data['sub']} is taken")
    before = connection.execute(_LAST_BEFORE, {**nozzle, "end": end}).first()
    if before is None or before.end_key <= start:
        return None
    stored = f"{totalizer_of(before.start_key)} to {totalizer_of(before.end_key)}"
    return Rejected("overlap", f"{totalizer_of(start)} to {totalizer_of(end)} overlaps {stored}")


def _counter_key(key: StreamKey, data: Data) -> dict[str, Any]:
    return {
        "station": key.station,
        "incarnation": key.incarnation,
        "fuelling_point": data["fuelling_point"],
        "counter": data["counter"],
    }


def _examine_settlement(connection: Connection, key: StreamKey, data: Data) -> int | None:
    return _first(connection, schema.settlement, "record", station=key.station, sale=data["sale"])


def _examine_enrolment(connection: Connection, _key: StreamKey, data: Data) -> int | None:
    return _first(connection, schema.enrolment, "record", member=data["member"])


def _examine_delivery(connection: Connection, key: StreamKey, data: Data) -> int | None:
    """What the gauge calls the start does not move when its clock is set; a reborn station may resolve it anew."""
    if data.get("console_start") is not None:
        names = ("tank", "console_start", "start_volume_ml")
        by_console = {name: data[name] for name in names}
        known = _first(connection, schema.delivery, "record", station=key.station, **by_console)
        if known is not None:
            return known
    return _first(
        connection,
        schema.delivery,
        "record",
        station=key.station,
        tank=data["tank"],
        start=data["start"],
        start_volume_ml=data["start_volume_ml"],
    )


def _insert(connection: Connection, table: Table, number: int, arrival: Arrival, **more: Any) -> None:
    """Insert the columns that carry the name of a member of ``data``, then what ``more`` says."""
    data = arrival.record.data
    values = {name: data[name] for name in table.c.keys() if name in data}  # noqa: SIM118  # a column collection
    values.update(record=number, station=arrival.key.station, **more)
    connection.execute(schema.insert_into(table), values)


def _write_sale(connection: Connection, number: int, arrival: Arrival) -> None:
    data = arrival.record.data
    _insert(connection, schema.sale, number, arrival, flags=" ".join(data["flags"]))
    start, end = data["totalizer_start"], data["totalizer_end"]
    if start is not None and end is not None:
        keys = {"start_key": meter_key(start), "end_key": meter_key(end), "sub": data["sub"] or 0}
        _insert(connection, schema.sale_interval, number, arrival, **keys)
    elif data["counter"] is not None:
        _insert(connection, schema.sale_counter, number, arrival, incarnation=arrival.key.incarnation)


def _write_postings(
    connection: Connection, number: int, arrival: Arrival, postings: Sequence[Data], member: str | None
) -> None:
    """``member``: whose they are; a leg that names its own member (a changed link has two) says so itself."""
    for place, posting in enumerate(postings):
        values = {
            "record": number,
            "place": place,
            "station": arrival.key.station,
            "member": posting.get("member", member),
            "account": posting["account"],
            "points": posting["points"],
            "lot": posting["lot"],
        }
        connection.execute(schema.insert_into(schema.posting), values)


def _write_settlement(connection: Connection, number: int, arrival: Arrival) -> None:
    data = arrival.record.data
    _insert(connection, schema.settlement, number, arrival)
    _write_postings(connection, number, arrival, data["postings"], data["member"])
    point_facts.take(connection, number, arrival, data["member"])


def _write_correction(connection: Connection, number: int, arrival: Arrival) -> None:
    data = arrival.record.data
    _insert(connection, schema.correction, number, arrival)
    member = point_facts.member_of_sale(connection, arrival.key.station, data["sale"])
    _write_postings(connection, number, arrival, data["postings"], member)
    point_facts.take(connection, number, arrival, member)


def _write_points(connection: Connection, number: int, arrival: Arrival) -> None:
    data = arrival.record.data
    _write_postings(connection, number, arrival, data["postings"], data["member"])
    point_facts.take(connection, number, arrival, data["member"])


def _write_alert(connection: Connection, number: int, arrival: Arrival) -> None:
    data = arrival.record.data
    subject = f"tank {data['tank']}" if "tank" in data else data["subject"]
    more = {"subject": subject, "type": arrival.record.type}
    if arrival.record.type == FRAUD_ALERT:
        more |= _compared(data["evidence"])
    else:
        more |= {"value": data.get("value"), "limit_value": data.get("limit")}
    _insert(connection, schema.alert, number, arrival, **more)


def _compared(evidence: object) -> dict[str, Any]:
    """Return what a rule compared, where the evidence says it: it may be anything."""
    match evidence:
        case {"observed": int(observed), "threshold": int(threshold), "unit": str(unit)}:
            return {"value": observed, "limit_value": threshold, "unit": unit}
    return {"value": None, "limit_value": None, "unit": None}


def _write_shift(connection: Connection, number: int, arrival: Arrival) -> None:
    """An opening or closing; the rows of its nozzles and attendants stay in their records."""
    data = arrival.record.data
    if data["event"] in ("opened", "closed"):
        totals = data.get("totals") or {}
        sums = {name: totals.get(name) for name in ("sales", "sold_ml", "moved_ml", "gross_minor")}
        _insert(connection, schema.shift, number, arrival, **sums)


def _write_baseline(connection: Connection, number: int, arrival: Arrival) -> None:
    """A baseline that is not where the last accepted sale ended means litres nobody booked, or a changed meter.

    One of a new incarnation does not: the station asks for the end in its welcome and books what lies between.
    """
    data = arrival.record.data
    _insert(connection, schema.baseline, number, arrival)
    table = schema.sale_interval
    last = connection.execute(
        select(table.c.end_key)
        .where(
            table.c.station == arrival.key.station,
            table.c.fuelling_point == data["fuelling_point"],
            table.c.nozzle == data["nozzle"],
        )
        .order_by(table.c.end_key.desc())
        .limit(1)
    ).scalar_one_or_none()
    is_asked_for = data["reason"] == REINCARNATED
    if last is not None and not is_asked_for and last != meter_key(data["totalizer"]):
        raise_own_alert(
            connection,
            station=arrival.key.station,
            alert="baseline_differs",
            subject=f"fuelling point {data['fuelling_point']} nozzle {data['nozzle']}",
            detail=f"baseline {data['totalizer']}, last accepted sale ended at {totalizer_of(last)}",
            now_ms=arrival.received_ms,
        )


def _write_audit(connection: Connection, _number: int, arrival: Arrival) -> None:
    """A station's audit stays in its record; a member's wish to be forgotten is what people here must act on."""
    data = arrival.record.data
    if data["action"] == FORGET:
        raise_own_alert(
            connection,
            station=arrival.key.station,
            alert="member_wants_to_be_forgotten",
            subject=str(data["object"])[:64],
            detail=f"asked by {data['who']}: {data['reason']}",
            now_ms=arrival.received_ms,
        )


def _write_enrolment(connection: Connection, number: int, arrival: Arrival) -> None:
    enrolments.take(connection, number, arrival.key.station, arrival.record.data, arrival.received_ms)


def _write_link(connection: Connection, number: int, arrival: Arrival) -> None:
    _insert(connection, schema.sale_link, number, arrival)
    record = arrival.record
    at_ms, code = arrival.received_ms if record.time is None else parse_time(record.time), record.data["code"]
    card_uses.take(connection, card_uses.Told(number, arrival.key.station, code, at_ms, arrival.received_ms))


def _plain(table: Table) -> Callable[[Connection, int, Arrival], None]:
    def write_row(connection: Connection, number: int, arrival: Arrival) -> None:
        _insert(connection, table, number, arrival)

    return write_row


_EXAMINERS: dict[str, Callable[[Connection, StreamKey, Data], int | Rejected | None]] = {
    "fc.sale.v1": _examine_sale,
    "fc.sale.settled.v1": _examine_settlement,
    "fc.member.enrolled.v1": _examine_enrolment,
    "fc.tank.delivery.v1": _examine_delivery,
}
_WRITERS: dict[str, Callable[[Connection, int, Arrival], None]] = {
    "fc.sale.v1": _write_sale,
    "fc.sale.linked.v1": _write_link,
    "fc.sale.settled.v1": _write_settlement,
    "fc.sale.corrected.v1": _write_correction,
    "fc.points.v1": _write_points,
    "fc.lease.v1": point_facts.lease,
    "fc.incarnation.v1": point_facts.incarnation,
    "fc.member.enrolled.v1": _write_enrolment,
    "fc.tank.delivery.v1": _plain(schema.delivery),
    "fc.shift.v1": _write_shift,
    "fc.meter.baseline.v1": _write_baseline,
    "fc.audit.v1": _write_audit,
    "fc.tank.alert.v1": _write_alert,
    "fc.device.alert.v1": _write_alert,
    "fc.security.alert.v1": _write_alert,
    "fc.fraud.alert.v1": _write_alert,
    "fc.sync.alert.v1": _write_alert,
}
