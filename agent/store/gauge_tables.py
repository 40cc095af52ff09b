"""Tables of what gauge consoles remember; a part of the station's database beside ``tables``.

Volumes in ml, heights in um, temperatures in thousandths of a degree, times in Unix milliseconds (UTC).
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, UniqueConstraint, text

from agent.store.tables import metadata

_MEASURES = ("volume_ml", "tc_volume_ml", "height_um", "water_height_um", "temperature_mdegc")

TANK_DELIVERY = Table(
    "tank_delivery",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    *(
        Column(name, String, nullable=False)
        for name in ("gauge", "grade", "key", "console_start", "console_end", "time_source", "quality", "raw")
    ),
    *(Column(name, Integer, nullable=False) for name in ("tank", "start_ms", "seen_ms")),
    *(Column(f"{side}_{name}", Integer, nullable=True) for side in ("start", "end") for name in _MEASURES),
    *(Column(name, Integer, nullable=True) for name in ("end_ms", "delivered_ml", "settles_ms", "journal_seq")),
    Column("revision", String, nullable=True),
    UniqueConstraint("gauge", "tank", "key", name="tank_delivery_once"),
    Index("tank_delivery_by_start", "start_ms"),
    Index("tank_delivery_open", "settles_ms", sqlite_where=text("settles_ms is not null")),
)
"""One delivery as a console reported it; ``id`` is that of its record once ``journal_seq`` is set.

``console_start``/``_end``: the console's own local time; ``start_ms``: what we made of it, ``time_source`` says how
(clock, zone, received). ``settles_ms``: when it counts as final, null: booked, or nothing to book.
``revision``: the console's own text of a later, longer version of a booked one.
"""

GAUGE_EVENT = Table(
    "gauge_event",
    metadata,
    Column("gauge", String, primary_key=True, nullable=False),
    *(Column(name, Integer, primary_key=True, nullable=False) for name in ("category", "number", "device")),
    *(Column(name, String, primary_key=True, nullable=False) for name in ("state", "time")),
    Column("at_ms", Integer, nullable=True),
    Column("text", String, nullable=False),
    *(Column(name, Integer, nullable=False) for name in ("seen_ms", "told")),
)
"""One entry of a console's alarm history. ``told``: it came or went while nobody looked and is in the journal."""

TANK_CHART = Table(
    "tank_chart",
    metadata,
    Column("id", Integer, primary_key=True, nullable=False),
    *(Column(name, Integer, nullable=False) for name in ("tank", "read_ms")),
    *(Column(name, String, nullable=False) for name in ("hash", "source", "points", "doubts")),
    *(Column(name, Integer, nullable=True) for name in ("diameter_um", "full_volume_ml")),
    Index("tank_chart_by_tank", "tank", "id"),
)
"""A strapping table as a console told it; the newest row of a tank is the one in force at the console.

``hash``: SHA-256 of the points as text; ``points``: JSON of [height_um, volume_ml], lowest first.
"""

TANK_LEVEL = Table(
    "tank_level",
    metadata,
    Column("tank", Integer, primary_key=True, nullable=False),
    Column("at_ms", Integer, nullable=False),
    Column("quality", String, nullable=False),
    *(
        Column(name, Integer, nullable=True)
        for name in (
            "volume_ml",
            "tc_volume_ml",
            "ullage_ml",
            "height_um",
            "water_height_um",
            "water_volume_ml",
            "temperature_mdegc",
            "delivery",
        )
    ),
)
"""The newest reading of each tank, for restarts and for looking at."""
