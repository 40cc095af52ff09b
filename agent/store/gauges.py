"""What consoles remember of the past, inside the caller's transaction: deliveries, alarm history, strapping tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from agent.domain.wetstock.deliveries import KnownDelivery
from agent.store.gauge_tables import GAUGE_EVENT, TANK_CHART, TANK_DELIVERY, TANK_LEVEL
from agent.store.tables import ALERT, SALE


class GaugeTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def known_deliveries(self, gauge: str, tank: int, starts: Collection[str]) -> list[KnownDelivery]:
        """Return the deliveries of ``tank`` that began at one of these console times, and the last of all."""
        here = (TANK_DELIVERY.c.gauge == gauge) & (TANK_DELIVERY.c.tank == tank)
        table = TANK_DELIVERY
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
        self._connection.execute(insert(TANK_DELIVERY), dict(values))

    def change_delivery(self, delivery: str, values: Mapping[str, Any]) -> None:
        """Change what is kept of a delivery."""
        here = TANK_DELIVERY.c.id == delivery
        self._connection.execute(update(TANK_DELIVERY).where(here).values(**values))

    def delivery(self, delivery: str) -> RowMapping:
        """Return one delivery that exists."""
        table = TANK_DELIVERY
        return self._connection.execute(select(table).where(table.c.id == delivery)).mappings().one()

    def settled(self, wall_ms: int) -> list[dict[str, Any]]:
        """Return the deliveries that are final and not in the journal, in order of their start."""
        table = TANK_DELIVERY
        due = select(table).where(table.c.settles_ms <= wall_ms).order_by(table.c.start_ms, table.c.id)
        return [{str(key): value for key, value in row.items()} for row in self._connection.execute(due).mappings()]

    def sold_ml(self, tank: int, after_ms: int, until_ms: int) -> int:
        """Return what was sold out of ``tank`` by sales that ended in (after, until]."""
        here = (SALE.c.tank == tank) & (SALE.c.ended_ms > after_ms) & (SALE.c.ended_ms <= until_ms)
        return int(self._connection.execute(select(func.sum(SALE.c.volume_ml)).where(here)).scalar() or 0)

    def had_alert(self, subjects: Collection[str], name: str, from_ms: int, until_ms: int) -> bool:
        """Whether an alert of one of these subjects stood at any time from ``from_ms`` to ``until_ms``."""
        over = or_(ALERT.c.cleared_ms.is_(None), ALERT.c.cleared_ms >= from_ms)
        here = ALERT.c.subject.in_(subjects) & (ALERT.c.name == name) & (ALERT.c.raised_ms <= until_ms)
        return self._connection.execute(select(ALERT.c.id).where(here & over).limit(1)).first() is not None

    def was_told(self, subject: str, name: str, *, raised: bool, near_ms: int, within_ms: int) -> bool:
        """Whether an alert rose (or cleared) about then."""
        moment = ALERT.c.raised_ms if raised else ALERT.c.cleared_ms
        here = (ALERT.c.subject == subject) & (ALERT.c.name == name)
        about = moment.between(near_ms - within_ms, near_ms + within_ms)
        return self._connection.execute(select(ALERT.c.id).where(here & about).limit(1)).first() is not None

    def has_events(self, gauge: str) -> bool:
        """Whether any history of ``gauge`` was ever kept."""
        here = GAUGE_EVENT.c.gauge == gauge
        return self._connection.execute(select(GAUGE_EVENT.c.time).where(here).limit(1)).first() is not None

    def add_event(self, values: Mapping[str, Any]) -> bool:
        """Keep one entry of the history; returns False for one that is kept already."""
        return self._connection.execute(upsert(GAUGE_EVENT).values(**values).on_conflict_do_nothing()).rowcount == 1

    def newest_chart(self, tank: int) -> str | None:
        """Return the hash of the chart last told for ``tank``."""
        here = TANK_CHART.c.tank == tank
        newest = select(TANK_CHART.c.hash).where(here).order_by(TANK_CHART.c.id.desc()).limit(1)
        return self._connection.execute(newest).scalar()

    def add_chart(self, values: Mapping[str, Any]) -> None:
        """Keep a chart."""
        self._connection.execute(insert(TANK_CHART), dict(values))

    def last_heard(self) -> dict[int, int]:
        """Return when each tank's newest kept reading was taken, in Unix milliseconds."""
        return dict(self._connection.execute(select(TANK_LEVEL.c.tank, TANK_LEVEL.c.at_ms)).tuples().all())
