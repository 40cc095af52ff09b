"""When a tank reading is believed: the table of doubts, units of three kinds, lost probes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from drivers.readings import Quality, TankReading
from drivers.veeder_root.layouts import Inventory
from drivers.veeder_root.plausibility import Pace, Tank, doubts
from drivers.veeder_root.tanks import Setting, tank_reading
from drivers.veeder_root.units import IMPERIAL, METRIC, US, Units, units_of

TANK = Tank(full_ml=20_000_000, diameter_um=2_000_000)
GOOD = {
    "volume_ml": 10_000_000,
    "tc_volume_ml": 9_950_000,
    "ullage_ml": 10_000_000,
    "height_um": 1_000_000,
    "water_height_um": 0,
    "temperature_mdegc": 15_000,
}


def reading(**values: Any) -> TankReading:
    return TankReading("gauge:1", 1, Quality.GOOD, **{**GOOD, **values})


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ({}, ()),
        (
            {"volume_ml": -1, "tc_volume_ml": 0, "ullage_ml": None},
            ("volume below zero", "compensated volume too far from volume"),
        ),
        ({"volume_ml": 20_400_000, "tc_volume_ml": None, "ullage_ml": None}, ()),
        ({"volume_ml": 20_400_001, "tc_volume_ml": None, "ullage_ml": None}, ("volume above the full volume",)),
        ({"ullage_ml": 10_200_000}, ()),
        ({"ullage_ml": 10_200_001}, ("volume and ullage do not add up to the full volume",)),
        ({"ullage_ml": 9_799_999}, ("volume and ullage do not add up to the full volume",)),
        ({"height_um": -1_000}, ()),
        ({"height_um": -1_001, "water_height_um": None}, ("height below zero",)),
        ({"height_um": 2_040_000}, ()),
        ({"height_um": 2_040_001}, ("height above the diameter",)),
        ({"water_height_um": 1_005_000}, ()),
        ({"water_height_um": 1_005_001}, ("water above the product level",)),
        ({"water_height_um": -254}, ()),
        ({"temperature_mdegc": -40_000}, ()),
        ({"temperature_mdegc": -40_001}, ("temperature out of range",)),
        ({"temperature_mdegc": 70_001}, ("temperature out of range",)),
        ({"temperature_mdegc": None, "height_um": None, "tc_volume_ml": None}, ()),
        ({"tc_volume_ml": 10_500_000}, ()),
        ({"tc_volume_ml": 10_500_001}, ("compensated volume too far from volume",)),
    ],
)
def test_each_limit_is_exact(values: Any, doubt: Any) -> None:
    """A value on the limit is believed, the next integer is not."""
    assert doubts(reading(**values), TANK, None) == doubt


def test_unknown_sizes_leave_their_comparisons_out() -> None:
    """Without full volume and diameter nothing is doubted because of them."""
    assert doubts(reading(ullage_ml=1, height_um=9_000_000), Tank(), None) == ()


@pytest.mark.parametrize(
    ("before", "elapsed_ms", "scale", "doubt"),
    [
        (10_000_000 - 1_501_000, 30_000, 1, ()),  # 1,500 L in half a minute and one step of rounding
        (10_000_000 - 1_501_001, 30_000, 1, ("volume rises too fast",)),
        (10_000_000 + 501_000, 30_000, 1, ()),
        (10_000_000 + 501_001, 30_000, 1, ("volume falls too fast",)),
        (10_000_000 + 2_501_000, 30_000, 5, ()),
        (10_000_000 + 2_501_001, 30_000, 5, ("volume falls too fast",)),
        (10_000_000 + 1_000, 0, 1, ()),  # one litre is how a litre console rounds
    ],
)
def test_the_rate_of_change_is_limited_in_our_time(before: Any, elapsed_ms: Any, scale: Any, doubt: Any) -> None:
    """3,000 L/min in and 1,000 L/min out, more only where the world is said to run faster."""
    assert doubts(reading(), TANK, Pace(before, elapsed_ms, 1_000, scale)) == doubt


def record(status=0, values=(5329, 5413, 4699, 49, 0, 60, 0)) -> Inventory:
    return Inventory(1, "1", status, tuple(None if value is None else Fraction(value) for value in values))


def converted(
    record: Inventory, units: Units, *, held: bool = False, display: bool = False, lost: frozenset[int] = frozenset()
) -> TankReading:
    return tank_reading(record, Setting("gauge:1", units, held, display, "2611211530"), Tank(), None, lost)


def test_us_units_become_ml_um_and_mdegc() -> None:
    """5329 gal are 20,172,459 ml, 49 in are 1,244,600 um, 60 F are 15.556 C."""
    found = converted(record(), units_of(US))
    assert (found.volume_ml, found.height_um, found.temperature_mdegc) == (20_172_459, 1_244_600, 15_556)
    assert (found.quality, found.console_time, found.doubts) == (Quality.GOOD, "2026-11-21T15:30", ())


def test_imperial_heights_wait_for_a_person() -> None:
    """A console in Imperial gallons does not state height and temperature units: only volumes are used."""
    found = converted(record(), units_of(IMPERIAL))
    assert found.volume_ml == 24_226_114  # 24,226,113.61 rounded
    assert (found.height_um, found.water_height_um, found.temperature_mdegc) == (None, None, None)
    assert converted(record(), units_of(IMPERIAL, "in", "C")).height_um == 1_244_600


@pytest.mark.parametrize("lost", [{8}, {9}])
def test_a_lost_probe_is_no_reading(lost: Any) -> None:
    """With alarm 08 or 09 standing, volume, ullage and height are nothing, whatever digits stand there."""
    found = converted(record(), units_of(METRIC), lost=frozenset(lost))
    assert (found.quality, found.invalid_level) == (Quality.NO_READING, True)
    assert (found.volume_ml, found.tc_volume_ml, found.ullage_ml, found.height_um) == (None, None, None, None)
    assert found.temperature_mdegc == 60_000


def test_status_bits_are_tested_one_by_one() -> None:
    """Bit 3 voids the level even with unknown bits set; bit 1 is a delivery; unknown bits alone do nothing."""
    assert converted(record(0x8004), units_of(METRIC)).quality is Quality.NO_READING
    assert converted(record(0x8003), units_of(METRIC)).delivery_in_progress is True
    assert converted(record(0x8002), units_of(METRIC)).quality is Quality.GOOD


def test_no_volume_is_no_reading_and_never_zero() -> None:
    """A question mark in the volume leaves the other fields and takes the quality away."""
    found = converted(record(values=(None, 1, 1, 10, 0, 20, 0)), units_of(METRIC))
    assert (found.quality, found.volume_ml, found.height_um) == (Quality.NO_READING, None, 10_000)


def test_display_values_are_marked() -> None:
    """Rounded values of a page have their own quality and tell nothing about deliveries."""
    found = converted(record(), units_of(METRIC), display=True)
    assert (found.quality, found.delivery_in_progress) == (Quality.DISPLAY, None)
