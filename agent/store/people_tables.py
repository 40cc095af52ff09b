"""Tables of staff and shifts; a part of the station's database beside ``tables``. Never a PIN or a badge number."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, LargeBinary, String, Table, text

from agent.store.tables import metadata

STAFF = Table(
    "staff",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("name", String, nullable=False),
    Column("role", String, nullable=False),
    Column("active", Integer, nullable=False),
    Column("pin_hash", String, nullable=True),
    Column("badge", LargeBinary, nullable=True, unique=True),
    Column("added_ms", Integer, nullable=False),
    CheckConstraint("role in ('attendant', 'supervisor', 'technician')", name="staff_role_known"),
)
"""One person of the station who does not stand in its configuration. ``badge``: keyed index of a badge's number."""

STAFF_LOCK = Table(
    "staff_lock",
    metadata,
    Column("staff", String, primary_key=True, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("boot", String, nullable=True),
    Column("until_mono_ms", Integer, nullable=True),
    Column("until_ms", Integer, nullable=True),
)
"""Wrong PINs of one person in a row, and until when that locks them out: by both clocks, with the boot's name."""

ATTENDANCE = Table(
    "attendance",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("staff", String, nullable=False),
    Column("terminal", String, nullable=False),
    Column("since_ms", Integer, nullable=False),
    Column("until_ms", Integer, nullable=True),
    Column("ended", String, nullable=True),
    Index("attendance_one_each", "terminal", unique=True, sqlite_where=text("until_ms is null")),
    Index("attendance_by_end", "until_ms"),
)
"""Who was signed in at a terminal, from when until when. ``ended``: why it ended."""

SHIFT = Table(
    "shift",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("number", Integer, nullable=False, unique=True),
    Column("from_ms", Integer, nullable=False),
    Column("opened_ms", Integer, nullable=False),
    Column("opened_by", String, nullable=False),
    Column("open_request", String, nullable=True, unique=True),
    Column("open_marks", String, nullable=False),
    Column("closed_ms", Integer, nullable=True),
    Column("closed_by", String, nullable=True),
    Column("close_request", String, nullable=True, unique=True),
    Column("close_marks", String, nullable=True),
    Column("counted", String, nullable=False, server_default="{}"),
    Column("report", String, nullable=True),
    Column("open", Integer, nullable=True, unique=True),
)
"""One shift of the station: all that was written here at ``from_ms`` or later and before ``closed_ms``.

``from_ms`` is the closing of the shift before, ``opened_ms`` when somebody said so. ``open_marks`` and ``close_marks``:
JSON of each nozzle's count; ``counted``: JSON of money counted by kind; ``report``: JSON as it was at the close.
``open``: 1 while it is, so that there is one at most.
"""

FUEL_USE = Table(
    "fuel_use",
    metadata,
    Column("id", String, primary_key=True, nullable=False),
    Column("what", String, nullable=False),
    Column("fuelling_point", Integer, nullable=False),
    Column("nozzle", Integer, nullable=False),
    Column("volume_ml", Integer, nullable=False),
    Column("sale", String, nullable=True, unique=True),
    Column("by", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("at_ms", Integer, nullable=False),
    Column("request", String, nullable=True, unique=True),
    ForeignKeyConstraint(["sale"], ["sale.id"]),
    CheckConstraint("what in ('meter-test', 'own-use') and volume_ml > 0", name="fuel_use_known"),
    Index("fuel_use_by_time", "at_ms"),
)
"""Litres that were dispensed and not sold: returned after a meter test, or used by the station. ``id``: its record."""
