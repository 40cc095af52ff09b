"""Past deliveries and alarms of a console as readings: units converted once, identity from what the console sent.

Knows the order of fields. Knows no wire and no schedule; which entries are new is decided where they are kept.
"""

from __future__ import annotations

from drivers.readings import GaugeDelivery, GaugeEvent
from drivers.veeder_root.fields import console_time
from drivers.veeder_root.layouts import Alarm, Delivery, Record, TankHistory
from drivers.veeder_root.tables import TANK, alarm_text
from drivers.veeder_root.units import Units

RECORDS_KEPT = 10
"""Deliveries that 202 lists per tank at the most: so many may mean that older ones have fallen out."""

_HEAD = 22  # S, E and NN of a raw record
_START_VOLUME, _START_HEIGHT = 0, 8


def delivery(record: Delivery, units: Units) -> GaugeDelivery:
    """Return ``record`` in our units. Its key: start time, start volume and start height as the console wrote them."""
    return GaugeDelivery(
        key=_key(record),
        start=console_time(record.start),
        end=console_time(record.end),
        start_volume_ml=units.volume_ml(record.value(0)),
        start_tc_volume_ml=units.volume_ml(record.value(1)),
        start_water_height_um=units.height_um(record.value(2)),
        start_temperature_mdegc=units.temperature_mdegc(record.value(3)),
        end_volume_ml=units.volume_ml(record.value(4)),
        end_tc_volume_ml=units.volume_ml(record.value(5)),
        end_water_height_um=units.height_um(record.value(6)),
        end_temperature_mdegc=units.temperature_mdegc(record.value(7)),
        start_height_um=units.height_um(record.value(8)),
        end_height_um=units.height_um(record.value(9)),
        raw=record.raw,
    )


def _key(record: Delivery) -> str:
    if record.raw.startswith("START"):  # a page: the line as printed
        return record.raw.partition(" END:")[0]
    volume, height = (record.raw[_HEAD + 8 * at : _HEAD + 8 * at + 8] for at in (_START_VOLUME, _START_HEIGHT))
    return f"{record.start}:{volume}:{height}".upper()


def events(records: tuple[Record, ...]) -> list[GaugeEvent]:
    """Return the entries of a reply to 111, 112 (any device) or 206 (tanks; it tells only what occurred)."""
    found = []
    for record in records:
        if isinstance(record, Alarm):
            found.append(_event(record.category, record.number, record.device, record.state, record.time))
        elif isinstance(record, TankHistory):
            found += [_event(TANK, number, record.tank, "occurred", time) for time, number in record.events]
    return found


def _event(category: int, number: int, device: int, state: str, time: str) -> GaugeEvent:
    return GaugeEvent(category, number, device, state, time, console_time(time), alarm_text(category, number))
