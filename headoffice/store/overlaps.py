"""Sales that were put aside because other sales have their litres, and points of theirs that count no more (W-24).

An old copy of a station's database may book litres a second time, with a member who earns for them. The fact of the
payment stays; where the accepted sale earned as well, what the other one earned is annulled: its postings stand, and
count in no balance. Works on the sheet of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, exists, or_, select

from headoffice.store import schema
from headoffice.store.alerts import raise_own_alert
from headoffice.store.intervals import meter_key
from headoffice.store.overlaps_schema import annulled_posting, overlapped_sale
from headoffice.store.points_schema import point_lot, tell_due
from headoffice.store.sheet import Sheet

if TYPE_CHECKING:
    from headoffice.store.facts import Arrival

Data = Mapping[str, Any]

ISSUED = "program:issued"
HOLDING = ("member:available", "member:pending", "member:debt")


def put_aside(sheet: Sheet, station: str, data: Data) -> None:
    """Remember a sale whose litres others have, for the records about it that follow."""
    start, end = data["totalizer_start"], data["totalizer_end"]
    if start is None or end is None or start == end:
        return
    table, connection = overlapped_sale, sheet.read()
    here = (table.c.station == station) & (table.c.sale == data["sale"])
    if connection.execute(select(table.c.sale).where(here)).first() is None:
        keys = {"start_key": meter_key(start), "end_key": meter_key(end)}
        meter = {"fuelling_point": data["fuelling_point"], "nozzle": data["nozzle"]}
        connection.execute(table.insert().values(station=station, sale=data["sale"], **meter, **keys))
    sheet.has_overlaps = None


def judge(sheet: Sheet, arrival: Arrival) -> None:
    """A record about a sale was written: annul what a sale earned whose litres earned elsewhere, whichever came first."""
    station, sale = arrival.key.station, arrival.record.data.get("sale")
    if sale is None or not _any(sheet, station):
        return
    connection = sheet.read()
    for row in _concerned(connection, station, sale):
        other = _earning_with_its_litres(connection, row)
        if other is not None and _earned_by(connection, station, row.sale):
            _annul(connection, arrival, row.sale, other)


def _any(sheet: Sheet, station: str) -> bool:
    """Whether sales of a station were put aside: nearly never, so it is asked once for a batch."""
    if sheet.has_overlaps is None:
        table = overlapped_sale
        found = sheet.read().execute(select(table.c.sale).where(table.c.station == station).limit(1)).first()
        sheet.has_overlaps = found is not None
    return sheet.has_overlaps


def _concerned(connection: Connection, station: str, sale: str) -> list[Row[Any]]:
    """The sale itself, where it was put aside, and those that were because this one has litres of theirs."""
    table, interval, mine = overlapped_sale, schema.sale_interval, schema.sale
    litres = exists().where(
        mine.c.station == station,
        mine.c.sale == sale,
        interval.c.record == mine.c.record,
        interval.c.fuelling_point == table.c.fuelling_point,
        interval.c.nozzle == table.c.nozzle,
        interval.c.start_key < table.c.end_key,
        interval.c.end_key > table.c.start_key,
    )
    return list(connection.execute(select(table).where(table.c.station == station, or_(table.c.sale == sale, litres))))


def _earning_with_its_litres(connection: Connection, aside: Row[Any]) -> str | None:
    """An accepted sale that has litres of one that was put aside, and earned for them."""
    interval, mine = schema.sale_interval, schema.sale
    rows = connection.execute(
        select(mine.c.sale)
        .join(interval, interval.c.record == mine.c.record)
        .where(
            interval.c.station == aside.station,
            interval.c.fuelling_point == aside.fuelling_point,
            interval.c.nozzle == aside.nozzle,
            interval.c.start_key < aside.end_key,
            interval.c.end_key > aside.start_key,
        )
        .order_by(interval.c.start_key)
    ).scalars()
    return next((str(sale) for sale in rows if _earned_by(connection, aside.station, sale)), None)


def _earned_by(connection: Connection, station: str, sale: str) -> bool:
    """Whether the records about a sale gave points: they went to its lots, or paid a debt."""
    return any(row.account == ISSUED and row.points < 0 for row in _legs(connection, station, sale))


def _legs(connection: Connection, station: str, sale: str) -> list[Row[Any]]:
    """What the records about a sale posted, in order."""
    table, settled, corrected = schema.posting, schema.settlement, schema.correction
    about = or_(
        table.c.record.in_(select(settled.c.record).where(settled.c.station == station, settled.c.sale == sale)),
        table.c.record.in_(select(corrected.c.record).where(corrected.c.station == station, corrected.c.sale == sale)),
    )
    return list(connection.execute(select(table).where(about).order_by(table.c.record, table.c.place)))


def _annul(connection: Connection, arrival: Arrival, sale: str, other: str) -> None:
    """Legs of what the sale earned, and of what was taken back of that; paying with points stays as it was."""
    legs = _legs(connection, arrival.key.station, sale)
    made = select(point_lot.c.lot).where(point_lot.c.record.in_({leg.record for leg in legs}))
    lots = set(connection.execute(made).scalars())
    known = {
        (row.record, row.place)
        for row in connection.execute(
            select(annulled_posting).where(annulled_posting.c.record.in_({leg.record for leg in legs}))
        )
    }
    fresh = [
        leg
        for leg in legs
        if (leg.record, leg.place) not in known
        and (leg.account == ISSUED or (leg.account in HOLDING and (leg.lot in lots or leg.account == "member:debt")))
    ]
    if not fresh:
        return
    connection.execute(annulled_posting.insert(), [{"record": leg.record, "place": leg.place} for leg in fresh])
    for member in sorted({leg.member for leg in fresh if leg.member is not None and leg.account in HOLDING}):
        connection.execute(
            schema.insert_into(tell_due), {"member": member, "station": None, "incarnation": None, "seq": None}
        )
    points = sum(leg.points for leg in fresh if leg.account in HOLDING)
    raise_own_alert(
        connection,
        station=arrival.key.station,
        alert="points_annulled",
        subject=sale,
        detail=f"{points} points of sale {sale}: sale {other} has litres of it and earned for them",
        now_ms=arrival.received_ms,
    )
