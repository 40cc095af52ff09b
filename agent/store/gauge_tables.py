"""Tables of what gauge consoles remember; a part of the station's database beside ``tables``.

Volumes in ml, heights in um, temperatures in thousandths of a degree, times in Unix milliseconds (UTC).
"""

from __future__ import annotations

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel


class TankDelivery(SQLModel, table=True):
    """One delivery as a console reported it; ``id`` is that of its record once ``journal_seq`` is set.

    ``console_start``/``_end``: the console's own local time; ``start_ms``: what we made of it, ``time_source`` says how
    (clock, zone, received). ``settles_ms``: when it counts as final, None: booked, or nothing to book.
    ``revision``: the console's own text of a later, longer version of a booked one.
    """

    __tablename__ = "tank_delivery"
    __table_args__ = (
        UniqueConstraint("gauge", "tank", "key", name="tank_delivery_once"),
        Index("tank_delivery_by_start", "start_ms"),
        Index("tank_delivery_open", "settles_ms", sqlite_where=text("settles_ms is not null")),
    )
    id: str = Field(primary_key=True)
    gauge: str
    tank: int
    grade: str
    key: str
    console_start: str
    console_end: str
    start_ms: int
    end_ms: int | None
    time_source: str
    start_volume_ml: int | None
    start_tc_volume_ml: int | None
    start_height_um: int | None
    start_water_height_um: int | None
    start_temperature_mdegc: int | None
    end_volume_ml: int | None
    end_tc_volume_ml: int | None
    end_height_um: int | None
    end_water_height_um: int | None
    end_temperature_mdegc: int | None
    delivered_ml: int | None
    quality: str
    raw: str
    seen_ms: int
    settles_ms: int | None
    journal_seq: int | None
    revision: str | None


class GaugeEventRow(SQLModel, table=True):
    """One entry of a console's alarm history. ``told``: it came or went while nobody looked and is in the journal."""

    __tablename__ = "gauge_event"
    gauge: str = Field(primary_key=True)
    category: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    device: int = Field(primary_key=True)
    state: str = Field(primary_key=True)
    time: str = Field(primary_key=True)
    at_ms: int | None
    text: str
    seen_ms: int
    told: int


class TankChartRow(SQLModel, table=True):
    """A strapping table as a console told it; the newest row of a tank is the one in force at the console.

    ``hash``: SHA-256 of the points as text; ``points``: JSON of [height_um, volume_ml], lowest first.
    """

    __tablename__ = "tank_chart"
    __table_args__ = (Index("tank_chart_by_tank", "tank", "id"),)
    id: int | None = Field(default=None, primary_key=True)
    tank: int
    hash: str
    source: str
    diameter_um: int | None
    full_volume_ml: int | None
    points: str
    doubts: str
    read_ms: int
