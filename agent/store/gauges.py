"""What consoles remember of the past, inside the caller's transaction: deliveries, alarm history, strapping tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlmodel import col

from agent.domain.wetstock.deliveries import KnownDelivery
from agent.store.gauge_tables import GaugeEventRow, TankChartRow, TankDelivery
from agent.store.tables import AlertRow, SaleRow, TankLevel


class GaugeTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def known_deliveries(self, gauge: str, tank: int, starts: Collection[str]) -> list[KnownDelivery]:
        """Return the deliveries of ``tank`` that began at one of these console times, and the last of all."""
        here = (col(TankDelivery.gauge) == gauge) & (col(TankDelivery.tank) == tank)
        table = TankDelivery.__table__  # type: ignore[attr-defined]
        rows = list(self._connection.execute(select(table).where(here & table.c.console_start.in_(starts))).mappings())
        last = select(table).where(here).order_by(table.c.start_ms.desc()).limit(1)
        rows += [row for row in self._connection.execute(last).mappings() if row not in rows]
        return [
            KnownDelivery(
                id=row["id"],
                key=row["key"],
                start=row["console_start"],
                start_volume_ml=row["start_volume_ml"],
                end=row["console_end"],
                end_volume_ml=row["end_volume_ml"],
                is_booked=row["journal_seq"] is not None,
            )
            for row in rows
        ]

    def add_delivery(self, values: Mapping[str, Any]) -> None:
        """Insert a delivery."""
        self._connection.execute(insert(TankDelivery), dict(values))

    def change_delivery(self, delivery: str, values: Mapping[str, Any]) -> None:
        """Change what is kept of a delivery."""
        here = col(TankDelivery.id) == delivery
        self._connection.execute(update(TankDelivery).where(here).values(**values))

    def delivery(self, delivery: str) -> RowMapping:
        """Return one delivery that exists."""
        table = TankDelivery.__table__  # type: ignore[attr-defined]
        return self._connection.execute(select(table).where(table.c.id == delivery)).mappings().one()

    def settled(self, wall_ms: int) -> list[dict[str, Any]]:
        """Return the deliveries that are final and not in the journal, in order of their start."""
        table = TankDelivery.__table__  # type: ignore[attr-defined]
        due = select(table).where(table.c.settles_ms <= wall_ms).order_by(table.c.start_ms, table.c.id)
        return [{str(key): value for key, value in row.items()} for row in self._connection.execute(due).mappings()]

    def sold_ml(self, tank: int, after_ms: int, until_ms: int) -> int:
        """Return what was sold out of ``tank`` by sales that ended in (after, until]."""
        here = (col(SaleRow.tank) == tank) & (col(SaleRow.ended_ms) > after_ms) & (col(SaleRow.ended_ms) <= until_ms)
        return int(self._connection.execute(select(func.sum(col(SaleRow.volume_ml))).where(here)).scalar() or 0)

    def had_alert(self, subjects: Collection[str], name: str, from_ms: int, until_ms: int) -> bool:
        """Whether an alert of one of these subjects stood at any time from ``from_ms`` to ``until_ms``."""
        over = or_(col(AlertRow.cleared_ms).is_(None), col(AlertRow.cleared_ms) >= from_ms)
        here = (
            col(AlertRow.subject).in_(subjects) & (col(AlertRow.name) == name) & (col(AlertRow.raised_ms) <= until_ms)
        )
        return self._connection.execute(select(col(AlertRow.id)).where(here & over).limit(1)).first() is not None

    def was_told(self, subject: str, name: str, *, raised: bool, near_ms: int, within_ms: int) -> bool:
        """Whether an alert rose (or cleared) about then."""
        moment = col(AlertRow.raised_ms) if raised else col(AlertRow.cleared_ms)
        here = (col(AlertRow.subject) == subject) & (col(AlertRow.name) == name)
        about = moment.between(near_ms - within_ms, near_ms + within_ms)
        return self._connection.execute(select(col(AlertRow.id)).where(here & about).limit(1)).first() is not None

    def has_events(self, gauge: str) -> bool:
        """Whether any history of ``gauge`` was ever kept."""
        here = col(GaugeEventRow.gauge) == gauge
        return self._connection.execute(select(col(GaugeEventRow.time)).where(here).limit(1)).first() is not None

    def add_event(self, values: Mapping[str, Any]) -> bool:
        """Keep one entry of the history; returns False for one that is kept already."""
        return self._connection.execute(upsert(GaugeEventRow).values(**values).on_conflict_do_nothing()).rowcount == 1

    def newest_chart(self, tank: int) -> str | None:
        """Return the hash of the chart last told for ``tank``."""
        here = col(TankChartRow.tank) == tank
        newest = select(col(TankChartRow.hash)).where(here).order_by(col(TankChartRow.id).desc()).limit(1)
        return self._connection.execute(newest).scalar()

    def add_chart(self, values: Mapping[str, Any]) -> None:
        """Keep a chart."""
        self._connection.execute(insert(TankChartRow), dict(values))

    def last_heard(self) -> dict[int, int]:
        """Return when each tank's newest kept reading was taken, in Unix milliseconds."""
        return dict(self._connection.execute(select(col(TankLevel.tank), col(TankLevel.at_ms))).tuples().all())
