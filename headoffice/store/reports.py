"""What people and the closing count ask: lists and sums, by SQL, read-only.

Every list is newest first and bounded by ``limit``. Keys carry their units. Changes nothing.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Column, Select, Table, and_, distinct, func, select, true

from headoffice.store import schema
from headoffice.store.commands import open_commands
from headoffice.store.database import Database

Row = dict[str, Any]


def totals(database: Database) -> dict[str, int]:
    """Sums over everything that was accepted: counts, ``volume_ml``, money in minor units, points."""
    sale, settlement, alert = schema.sale, schema.settlement, schema.alert
    raised = and_(alert.c.type == "fc.tank.alert.v1", alert.c.state == "raised")
    questions: dict[str, Select[Any]] = {
        "sales": _count(sale),
        "volume_ml": _sum(sale.c.volume_ml),
        "amount_minor": _sum(sale.c.amount_minor),
        "linked": select(func.count(distinct(schema.sale_link.c.sale))),
        "settled": _count(settlement),
        "discount_minor": _sum(settlement.c.discount_minor),
        "points_issued": _sum(settlement.c.points_earned),
        "points_redeemed": _sum(settlement.c.points_redeemed),
        "tank_alerts": select(func.count()).select_from(alert).where(raised),
        "alerts": _count(alert),
        "records": _count(schema.record),
        "duplicates": _count(schema.duplicate),
        "dead_letters": select(func.count())
        .select_from(schema.dead_letter)
        .where(schema.dead_letter.c.replayed_ms.is_(None)),
        "quarantined": _count(schema.quarantine),
        "own_alerts": _count(schema.own_alert),
        "members": select(func.count()).select_from(schema.member).where(~schema.member.c.gone),
    }
    with database.read() as connection:
        return {name: int(connection.execute(question).scalar_one()) for name, question in questions.items()}


def _count(table: Table) -> Select[Any]:
    return select(func.count()).select_from(table)


def _sum(column: Column[Any]) -> Select[Any]:
    return select(func.coalesce(func.sum(column), 0))


def stations(database: Database) -> list[Row]:
    """Every station: last sign of life, told state, and its streams with their cursors."""
    cursor, install, fence = schema.cursor, schema.install, schema.fence
    with database.read() as connection:
        found = [dict(row) for row in connection.execute(select(schema.station).order_by("station")).mappings()]
        cursors = list(connection.execute(select(cursor).order_by(cursor.c.updated_ms.desc())).mappings())
        installs = list(connection.execute(select(install).order_by(install.c.last_heard_ms.desc())).mappings())
        fences = {
            (row.station, row.install_id)
            for row in connection.execute(select(fence).where(fence.c.lifted_ms.is_(None)))
        }
        waiting = open_commands(connection)
    for row in found:
        row["open_commands"] = waiting.get(row["station"], 0)
        row["state"] = None if row["state"] is None else json.loads(row["state"])
        row["hello"] = None if row["hello"] is None else json.loads(row["hello"])
        row["profile"] = None if row["profile"] is None else json.loads(row["profile"])
        row["streams"] = [_but_station(item) for item in cursors if item["station"] == row["station"]]
        row["installs"] = [
            {**_but_station(item), "fenced": (row["station"], item["install_id"]) in fences}
            for item in installs
            if item["station"] == row["station"]
        ]
    return found


def _but_station(row: Any) -> Row:
    return {name: value for name, value in row.items() if name != "station"}


def sales(database: Database, *, station: str | None, limit: int) -> list[Row]:
    """The newest sales with their first link and their settlement."""
    sale, settlement, record, link = schema.sale, schema.settlement, schema.record, schema.sale_link
    member = (
        select(link.c.member)
        .where(link.c.station == sale.c.station, link.c.sale == sale.c.sale)
        .order_by(link.c.record)
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        select(
            *(column for column in sale.c if column.name != "record"),
            record.c.time,
            member.label("member"),
            settlement.c.discount_minor,
            settlement.c.net_minor,
            settlement.c.points_earned,
            settlement.c.points_redeemed,
        )
        .join(record, record.c.number == sale.c.record)
        .outerjoin(settlement, and_(settlement.c.station == sale.c.station, settlement.c.sale == sale.c.sale))
        .order_by(sale.c.record.desc())
    )
    return _listed(database, statement, sale, station, limit)


def alerts(database: Database, *, station: str | None, limit: int, only: str | None = None) -> list[Row]:
    """The newest alerts that stations sent; ``only``: of one type of record."""
    alert, record = schema.alert, schema.record
    statement = (
        select(*(column for column in alert.c if column.name != "record"), record.c.time)
        .join(record, record.c.number == alert.c.record)
        .where(true() if only is None else alert.c.type == only)
        .order_by(alert.c.record.desc())
    )
    return _listed(database, statement, alert, station, limit)


def shifts(database: Database, *, station: str | None, limit: int) -> list[Row]:
    """The newest shifts: as they were closed, else as they were opened."""
    table = schema.shift
    newest = select(func.max(table.c.record)).group_by(table.c.station, table.c.shift)
    columns = (column for column in table.c if column.name != "record")
    statement = select(*columns).where(table.c.record.in_(newest)).order_by(table.c.record.desc())
    return _listed(database, statement, table, station, limit)


def own_alerts(database: Database, *, station: str | None, limit: int, ended: bool = False) -> list[Row]:
    """What head office itself found wrong, most recent first; ``ended``: also what is over."""
    table = schema.own_alert
    statement = select(*(column for column in table.c if column.name != "number")).order_by(table.c.last_ms.desc())
    if not ended:
        statement = statement.where(table.c.ended_ms.is_(None))
    return _listed(database, statement, table, station, limit)


def dead_letters(database: Database, *, station: str | None, limit: int) -> list[Row]:
    """The newest dead letters, replayed ones too; ``text`` is the record as it arrived."""
    table = schema.dead_letter
    rows = _listed(database, select(table).order_by(table.c.number.desc()), table, station, limit)
    return [{**_but_raw(row), "text": row["raw"].decode("utf-8", "backslashreplace")} for row in rows]


def _but_raw(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "raw"}


def _listed(database: Database, statement: Select[Any], table: Table, station: str | None, limit: int) -> list[Row]:
    if station is not None:
        statement = statement.where(table.c.station == station)
    with database.read() as connection:
        return [dict(row) for row in connection.execute(statement.limit(limit)).mappings()]
