"""What a record means in the tables: is it a second arrival, does it collide, and which rows does it write (W-24).

Works on the sheet of the batch. Knows the data of each record type; knows no chain, cursor or message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, select

from headoffice.store import card_uses, enrolments, intervals, overlaps, point_facts, schema
from headoffice.store.alerts import raise_own_alert
from headoffice.store.intervals import meter_key, totalizer_of
from headoffice.store.sheet import Nozzle, Sheet
from headoffice.store.streams import StreamKey
from headoffice.store.texts import storable
from sync.messages import Accepted, Record, Rejected, parse_time

Data = Mapping[str, Any]


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


MAX_MEMBER_CHARS = 64
"""No member's id on the wire is longer."""


def arrived(key: StreamKey, verdict: Accepted, raw: bytes, received_ms: int) -> Arrival:
    """Make the arrival of a record that was judged; texts that a table cannot hold are mended, its bytes stay."""
    record = verdict.record
    if NUL in raw:
        record = replace(record, data=_storable(record.data))
    return Arrival(key, record, raw, verdict.flags, received_ms)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return {key: _storable(item) for key, item in value.items()} if isinstance(value, dict) else value


NUL = rb"\u0000"
"""How canonical bytes spell the one character that PostgreSQL's texts cannot hold."""

SALE = "fc.sale.v1"
TANK_ALERT = "fc.tank.alert.v1"
FRAUD_ALERT = "fc.fraud.alert.v1"
"""What such an alert compared stands in its evidence."""

REINCARNATED = "reincarnated"
"""The reason of a baseline that a new incarnation lays (W-32)."""

KNOWN_HERE = "known at head office"
"""The reason of a gap between counts that other sales have, by what head office told (W-32)."""

TOTALIZER = re.compile(r"[0-9]{1,16}:[0-9]{1,16}")
"""A count in a record whose data may hold anything."""

_BY_ID, _BY_SALE_ID = ("station", "id"), ("station", "sale")
_SALE_COLUMNS = itemgetter(
    *(column.name for column in schema.sale.c if column.name not in ("record", "station", "flags"))
)
"""What of a sale's data stands in its row, in the order of the columns between its station and its flags."""

FORGET = "members.forget"
"""The action of an audit record by which a station passes on that a member wants to be deleted."""


def examine(sheet: Sheet, arrival: Arrival) -> SecondArrival | Rejected | None:
    """Say whether a record is a second arrival or collides with a stored fact; None if it may become one."""
    number = sheet.find(schema.record, _BY_ID, (arrival.key.station, arrival.record.id))
    if number is None:
        examiner = _EXAMINERS.get(arrival.record.type)
        found = None if examiner is None else examiner(sheet, arrival.key, arrival.record.data)
        if not isinstance(found, int):
            return found
        number = found
    return SecondArrival(number, _same_content(sheet, number, arrival.raw))


def expect(sheet: Sheet, records: Mapping[str, Iterable[Record]]) -> None:
    """Look up at once what ``examine`` will ask of the records that came, by station."""
    wanted: dict[tuple[Table, str], dict[tuple[str, str], None]] = {}
    nozzles: dict[Nozzle, None] = {}
    for station, some in records.items():
        for record in some:
            wanted.setdefault((schema.record, "id"), {})[station, record.id] = None
            table = _BY_SALE.get(record.type)
            if table is not None:
                wanted.setdefault((table, "sale"), {})[station, record.data["sale"]] = None
            if record.type == SALE and record.data["totalizer_end"] is not None:
                nozzles[Nozzle(station, record.data["fuelling_point"], record.data["nozzle"])] = None
    for (table, name), keys in wanted.items():
        sheet.expect(table, name, keys)
    intervals.expect(sheet, list(nozzles))


def write(sheet: Sheet, arrival: Arrival) -> int:
    """Store the record and the rows it means; return the record's number. ``examine`` must have returned None."""
    record = arrival.record
    number = sheet.new_number()
    flags = " ".join(arrival.flags)
    place = (*arrival.key, record.seq, record.id, record.type, record.time, flags, arrival.received_ms)
    sheet.put(schema.record, (number, *place))
    sheet.put(schema.record_bytes, (number, arrival.received_ms, arrival.raw))
    writer = _WRITERS.get(record.type)
    if writer is not None:
        writer(sheet, number, arrival)
    if record.type in _ABOUT_SALES:
        overlaps.judge(sheet, arrival)
    return number


def _same_content(sheet: Sheet, number: int, raw: bytes) -> bool:
    """A fact that is sent again after a reincarnation keeps type, time and data; its place and boot are new (W-31).

    Where the bytes went with their month, the id alone speaks for it.
    """
    record, body = schema.record, schema.record_bytes
    same = (body.c.number == record.c.number) & (body.c.received_ms == record.c.received_ms)
    question = select(body.c.raw).join(record, same).where(record.c.number == number)
    stored = sheet.read().execute(question).scalar_one_or_none()
    if stored is None:
        return True
    old, new = json.loads(stored), json.loads(raw)
    return all(old.get(name) == new.get(name) for name in ("type", "time", "data"))


def _examine_sale(sheet: Sheet, key: StreamKey, data: Data) -> int | Rejected | None:
    known = sheet.find(schema.sale, _BY_SALE_ID, (key.station, data["sale"]))
    if known is not None:
        return known
    start, end = data["totalizer_start"], data["totalizer_end"]
    if start is not None and end is not None:
        return intervals.examine(sheet, _nozzle(key, data), data["sub"], meter_key(start), meter_key(end))
    if data["counter"] is not None and sheet.find(schema.sale_counter, *_counter_key(key, data)):
        return Rejected("overlap", f"counter {data['counter']} of this incarnation and fuelling point is taken")
    return None


def _nozzle(key: StreamKey, data: Data) -> Nozzle:
    return Nozzle(key.station, data["fuelling_point"], data["nozzle"])


def _counter_key(key: StreamKey, data: Data) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    names = ("station", "incarnation", "fuelling_point", "counter")
    return names, (key.station, key.incarnation, data["fuelling_point"], data["counter"])


def _examine_settlement(sheet: Sheet, key: StreamKey, data: Data) -> int | None:
    return sheet.find(schema.settlement, _BY_SALE_ID, (key.station, data["sale"]))


def _examine_enrolment(sheet: Sheet, _key: StreamKey, data: Data) -> int | None:
    return sheet.find(schema.enrolment, ("member",), (data["member"],))


def _examine_delivery(sheet: Sheet, key: StreamKey, data: Data) -> int | None:
    """What the gauge calls the start does not move when its clock is set; a reborn station may resolve it anew."""
    names = ["start", "console_start"] if data.get("console_start") is not None else ["start"]
    for name in reversed(names):
        by = ("station", "tank", name, "start_volume_ml")
        known = sheet.find(schema.delivery, by, (key.station, data["tank"], data[name], data["start_volume_ml"]))
        if known is not None:
            return known
    return None


def _insert(sheet: Sheet, table: Table, number: int, arrival: Arrival, **more: Any) -> None:
    """Insert the columns that carry the name of a member of ``data``, then what ``more`` says."""
    data = arrival.record.data
    sheet.add(table, {**data, "record": number, "station": arrival.key.station, **more})


def _write_sale(sheet: Sheet, number: int, arrival: Arrival) -> None:
    data = arrival.record.data
    station = arrival.key.station
    sheet.put(schema.sale, (number, station, *_SALE_COLUMNS(data), " ".join(data["flags"])))
    start, end = data["totalizer_start"], data["totalizer_end"]
    if start is not None and end is not None:
        intervals.add(sheet, _nozzle(arrival.key, data), number, (meter_key(start), meter_key(end)), data["sub"] or 0)
    elif data["counter"] is not None:
        _insert(sheet, schema.sale_counter, number, arrival, incarnation=arrival.key.incarnation)


def _write_postings(sheet: Sheet, number: int, arrival: Arrival, postings: Sequence[Data], member: str | None) -> None:
    """``member``: whose they are; a leg that names its own member (a changed link has two) says so itself."""
    for place, posting in enumerate(postings):
        values = {
            "record": number,
            "place": place,
            "station": arrival.key.station,
            "member": _owner(posting, member),
            "account": posting["account"],
            "points": posting["points"],
            "lot": posting["lot"],
        }
        sheet.add(schema.posting, values)


def _owner(posting: Data, member: str | None) -> str | None:
    """Return whom a leg names, if it names one: the contract leaves open what stands there."""
    named = posting.get("member", member)
    return named if isinstance(named, str) and len(named) <= MAX_MEMBER_CHARS else None


def _write_settlement(sheet: Sheet, number: int, arrival: Arrival) -> None:
    data = arrival.record.data
    _insert(sheet, schema.settlement, number, arrival)
    _write_postings(sheet, number, arrival, data["postings"], data["member"])
    point_facts.take(sheet, number, arrival, data["member"])


def _write_correction(sheet: Sheet, number: int, arrival: Arrival) -> None:
    data = arrival.record.data
    _insert(sheet, schema.correction, number, arrival)
    member = point_facts.member_of_sale(sheet, arrival.key.station, data["sale"])
    _write_postings(sheet, number, arrival, data["postings"], member)
    point_facts.take(sheet, number, arrival, member)


def _write_points(sheet: Sheet, number: int, arrival: Arrival) -> None:
    data = arrival.record.data
    _write_postings(sheet, number, arrival, data["postings"], data["member"])
    point_facts.take(sheet, number, arrival, data["member"])


def _write_alert(sheet: Sheet, number: int, arrival: Arrival) -> None:
    data = arrival.record.data
    more = {"type": arrival.record.type, "value": None, "limit_value": None, "unit": None}
    if arrival.record.type == TANK_ALERT:
        more |= {"subject": f"tank {data['tank']}", "value": data["value"], "limit_value": data["limit"]}
        more |= {"unit": data["unit"]}
    elif arrival.record.type == FRAUD_ALERT:
        more |= _compared(data["evidence"])
    _insert(sheet, schema.alert, number, arrival, **more)


def _compared(evidence: object) -> dict[str, Any]:
    """Return what a rule compared, where the evidence says it: it may be anything."""
    match evidence:
        case {"observed": int(observed), "threshold": int(threshold), "unit": str(unit)} if not (
            isinstance(observed, bool) or isinstance(threshold, bool)
        ):
            return {"value": observed, "limit_value": threshold, "unit": unit}
    return {}


def _write_shift(sheet: Sheet, number: int, arrival: Arrival) -> None:
    """An opening or closing; the rows of its nozzles and attendants stay in their records."""
    data = arrival.record.data
    if data["event"] in ("opened", "closed"):
        totals = data.get("totals") or {}
        sums = {name: totals.get(name) for name in ("sales", "sold_ml", "moved_ml", "gross_minor")}
        _insert(sheet, schema.shift, number, arrival, **sums)


def _write_baseline(sheet: Sheet, number: int, arrival: Arrival) -> None:
    """A baseline that is not where the count last stood means litres nobody booked, or a changed meter.

    One of a new incarnation does not: the station asks for the end in its welcome and books what lies between.
    """
    data = arrival.record.data
    _insert(sheet, schema.baseline, number, arrival)
    if data["reason"] == REINCARNATED:
        return
    last = _last_count(sheet.read(), number, arrival.key.station, data["fuelling_point"], data["nozzle"])
    if last and last != meter_key(data["totalizer"]):
        raise_own_alert(
            sheet.connection,
            station=arrival.key.station,
            alert="baseline_differs",
            subject=f"fuelling point {data['fuelling_point']} nozzle {data['nozzle']}",
            detail=f"baseline {data['totalizer']}, the count last stood at {totalizer_of(last)}",
            now_ms=arrival.received_ms,
        )


def _last_count(connection: Connection, number: int, station: str, point: int, nozzle: int) -> str:
    """The greatest end of an accepted sale or, before the first, base of a nozzle as a meter key; empty = none yet."""
    table, base = schema.sale_interval, schema.baseline
    last = connection.execute(
        select(table.c.end_key)
        .where(table.c.station == station, table.c.fuelling_point == point, table.c.nozzle == nozzle)
        .order_by(table.c.end_key.desc())
        .limit(1)
    ).scalar_one_or_none()
    if last is not None:
        return str(last)
    same = (base.c.station == station, base.c.fuelling_point == point, base.c.nozzle == nozzle)
    earlier = select(base.c.totalizer).where(*same, base.c.record != number, base.c.reason != REINCARNATED)
    return max((meter_key(totalizer) for totalizer in connection.execute(earlier).scalars()), default="")


def _write_gap(sheet: Sheet, _number: int, arrival: Arrival) -> None:
    """A gap between counts stays in its record; one in a stream names records that nobody has any more (W-34).

    Litres that are told to be known here, and are not, were in sales that a database put back here has lost.
    """
    data = arrival.record.data
    if data.get("reason") == KNOWN_HERE:
        _check_known(sheet, arrival)
    if data.get("stream") is not None:
        raise_own_alert(
            sheet.connection,
            station=arrival.key.station,
            alert="records_lost",
            subject=f"{data.get('incarnation')} {data['stream']}"[:64],
            detail=f"seq {data.get('from')} to {data.get('to')}: {data.get('reason')}; this database was restored",
            now_ms=arrival.received_ms,
        )


def _check_known(sheet: Sheet, arrival: Arrival) -> None:
    """``from`` is null where the station's database was new: then all litres before ``to`` were known here."""
    match arrival.record.data:
        case {"fuelling_point": int(point), "nozzle": int(nozzle), "from": str() | None as start, "to": str(end)} if (
            TOTALIZER.fullmatch(start or "0:0") and TOTALIZER.fullmatch(end)
        ):
            owner = Nozzle(arrival.key.station, point, nozzle)
            if start is None:
                stood = _stood_before(sheet.read(), owner, meter_key(end))
                is_known = stood >= meter_key(end)
                start = totalizer_of(stood) if stood else "an unknown count"
            else:
                is_known = intervals.covers(sheet.read(), owner, start, end)
            if is_known:
                return
            litres = _lacking(sheet.read(), owner, (start, end), arrival.record.data.get("totalizer_unit_ml"))
            raise_own_alert(
                sheet.connection,
                station=arrival.key.station,
                alert="litres_unknown",
                subject=f"fuelling point {point} nozzle {nozzle}",
                detail=f"{start} to {end}{litres} was known here once; another PC of the station may still send it",
                now_ms=arrival.received_ms,
            )


def _lacking(connection: Connection, nozzle: Nozzle, span: tuple[str, str], unit_ml: object) -> str:
    """How much of it no sale has, for people; empty where one cannot count from one to the other."""
    (epoch, _, first), (last_epoch, _, last) = (count.partition(":") for count in span)
    if not isinstance(unit_ml, int) or epoch != last_epoch:
        return ""
    counts = int(last) - int(first)
    for start, end in intervals.known_within(connection, nozzle, *span):
        counts -= min(int(last), int(end.partition(":")[2])) - max(int(first), int(start.partition(":")[2]))
    return f" (up to {counts * unit_ml} ml)"


def _stood_before(connection: Connection, nozzle: Nozzle, end: str) -> str:
    """Up to which meter key litres before ``end`` are in accepted sales or before a base; empty = none are known."""
    base = schema.baseline
    same = (base.c.station == nozzle.station, base.c.fuelling_point == nozzle.fuelling_point)
    bases = connection.execute(
        select(base.c.totalizer).where(*same, base.c.nozzle == nozzle.nozzle, base.c.reason != REINCARNATED)
    ).scalars()
    keys = [key for key in map(meter_key, bases) if key <= end]
    return max([intervals.last_before(connection, nozzle, end), *keys])


def _write_audit(sheet: Sheet, _number: int, arrival: Arrival) -> None:
    """A station's audit stays in its record; a member's wish to be forgotten is what people here must act on."""
    data = arrival.record.data
    if data["action"] == FORGET:
        raise_own_alert(
            sheet.connection,
            station=arrival.key.station,
            alert="member_wants_to_be_forgotten",
            subject=str(data["object"])[:64],
            detail=f"asked by {data['who']}: {data['reason']}",
            now_ms=arrival.received_ms,
        )


def _write_enrolment(sheet: Sheet, number: int, arrival: Arrival) -> None:
    enrolments.take(sheet.read(), number, arrival.key.station, arrival.record.data, arrival.received_ms)


def _write_link(sheet: Sheet, number: int, arrival: Arrival) -> None:
    _insert(sheet, schema.sale_link, number, arrival)
    record = arrival.record
    at_ms, code = arrival.received_ms if record.time is None else parse_time(record.time), record.data["code"]
    card_uses.take(sheet, card_uses.Told(number, arrival.key.station, code, at_ms, arrival.received_ms))


def _plain(table: Table) -> Callable[[Sheet, int, Arrival], None]:
    def write_row(sheet: Sheet, number: int, arrival: Arrival) -> None:
        _insert(sheet, table, number, arrival)

    return write_row


_ABOUT_SALES = ("fc.sale.settled.v1", "fc.sale.corrected.v1")
_BY_SALE = {SALE: schema.sale, "fc.sale.settled.v1": schema.settlement}
_EXAMINERS: dict[str, Callable[[Sheet, StreamKey, Data], int | Rejected | None]] = {
    SALE: _examine_sale,
    "fc.sale.settled.v1": _examine_settlement,
    "fc.member.enrolled.v1": _examine_enrolment,
    "fc.tank.delivery.v1": _examine_delivery,
}
_WRITERS: dict[str, Callable[[Sheet, int, Arrival], None]] = {
    SALE: _write_sale,
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
    "fc.gap.v1": _write_gap,
    TANK_ALERT: _write_alert,
    "fc.device.alert.v1": _write_alert,
    "fc.security.alert.v1": _write_alert,
    FRAUD_ALERT: _write_alert,
    "fc.sync.alert.v1": _write_alert,
}
