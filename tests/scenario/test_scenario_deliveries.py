"""Tankers come while nobody looks: the console remembers, and each delivery is at head office exactly once."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from sqlalchemy import select

from headoffice.store import schema
from tests.scenario.conftest import MakeStation
from tests.support.station import VirtualStation
from tests.support.station_plans import NOBODY
from tests.support.station_settings import Plan

RELAXED = Plan(customers=NOBODY, islands=1, poll_ms=5_000, telemetry_every="60min")


def _hurry(station: VirtualStation) -> None:
    """The tanker brings half a cubic metre in half a minute."""
    (tanker,) = station.forecourt.world.tankers
    tanker.config = dataclasses.replace(tanker.config, volume_ml=500_000, rate_ml_per_min=1_000_000)


def _booked(station: VirtualStation) -> list[dict[str, Any]]:
    rows = station.rows("SELECT body FROM journal WHERE type = 'fc.tank.delivery.v1' ORDER BY seq")
    return [json.loads(row["body"])["data"] for row in rows]


def _at_head_office(station: VirtualStation) -> list[tuple[int, int, int]]:
    assert station.head_office is not None
    table = schema.delivery
    with station.head_office.database.read() as connection:
        rows = connection.execute(select(table).order_by(table.c.start)).mappings().all()
    return [(row["tank"], row["start_volume_ml"], row["end_volume_ml"]) for row in rows]


def _true(station: VirtualStation) -> list[tuple[int, int]]:
    """(tank, rise in ml) of what the tankers brought."""
    return [(tanker.tank.config.number, tanker.given_ml) for tanker in station.forecourt.world.tankers]


@pytest.mark.parametrize("away", ["agent", "console"])
def test_a_delivery_while_the_agent_or_the_console_was_away_is_read_back_once(
    make_station: MakeStation, away: str
) -> None:
    """The gap's delivery and alarms reach head office, also after another restart; drawn from nothing but the console."""
    station = make_station(81, RELAXED)
    _hurry(station)
    station.run_for(20)
    if away == "agent":
        station.crash()
        station.restart(down_s=170)
    else:
        station.forecourt.inject("gauge-silent", for_s=0)
        station.run_for(120)
        station.forecourt.clear()
    station.run_for(60 if away == "agent" else 190)
    for _ in range(2):
        found = _booked(station)
        assert [(d["tank"], d["end_volume_ml"] - d["start_volume_ml"]) for d in found] == _true(station)
        assert [(d["tank"], d["start_volume_ml"], d["end_volume_ml"]) for d in found] == _at_head_office(station)
        station.crash()
        station.restart(down_s=5)
        station.run_for(20)


def test_a_restored_database_sends_the_same_delivery_and_head_office_knows_it(make_station: MakeStation) -> None:
    """[W-24] A delivery booked again after the database went back is known by the console's own start, drift or not."""
    station = make_station(82, dataclasses.replace(RELAXED, has_mark=True))
    _hurry(station)
    station.run_for(20)
    earlier = station.settings.store.path.with_name("earlier.db")
    earlier.write_bytes(station.settings.store.path.read_bytes())
    station.run_for(300)
    assert _at_head_office(station) == [(2, 8_200_000, 8_700_000)]
    station.crash()
    station.settings.store.path.write_bytes(earlier.read_bytes())
    station.forecourt.inject("gauge-clock-drift", for_s=0)
    station.restart(down_s=5)
    station.run_for(40)
    assert len(_booked(station)) == 1
    assert _at_head_office(station) == [(2, 8_200_000, 8_700_000)]
