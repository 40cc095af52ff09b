"""What arrived of a fleet whose stations share the beginning of their names, for the one who sent it and counts again.

Works inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from headoffice.store import schema


@dataclass(frozen=True, slots=True)
class Arrival:
    """One station as head office has it: its sales, their litres, the settled ones, and where its stream L ends."""

    sales: int = 0
    volume_ml: int = 0
    settled: int = 0
    cum: int = 0
    head_hash: str = ""


def arrivals(connection: Connection, prefix: str) -> dict[str, Arrival]:
    """By station everything of stations whose name begins with ``prefix``; one incarnation each."""
    sale, settlement, cursor = schema.sale, schema.settlement, schema.cursor
    sold = select(sale.c.station, func.count(), func.sum(sale.c.volume_ml)).where(sale.c.station.startswith(prefix))
    sales = {name: (count, int(volume)) for name, count, volume in connection.execute(sold.group_by(sale.c.station))}
    done = select(settlement.c.station, func.count()).where(settlement.c.station.startswith(prefix))
    settled = {row.station: row[1] for row in connection.execute(done.group_by(settlement.c.station))}
    ends = select(cursor.c.station, cursor.c.cum, cursor.c.head_hash).where(
        cursor.c.station.startswith(prefix), cursor.c.stream == "L"
    )
    return {
        row.station: Arrival(*sales.get(row.station, (0, 0)), settled.get(row.station, 0), row.cum, row.head_hash)
        for row in connection.execute(ends)
    }
