"""Strapping tables pulled from a console: which function in which step, and its answer as plain points.

Knows 211, 63B and 606. Pure: the line's speed and the tank's diameter are handed in, nothing is interpolated here.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from drivers.readings import TankChart
from drivers.veeder_root.layouts import Chart, Record, TankValues, Value
from drivers.veeder_root.units import Units

CHART, MULTIPOINT, TWENTY = "211", "63B", "606"
CHART_CODES = (CHART, MULTIPOINT, TWENTY)
"""The best first: a chart at a step of ours, the points it was programmed with, twenty volumes."""

BYTES_PER_POINT = 16
LONGEST_REPLY_S = 30.0
"""A chart may hold the line up for so long; the step grows where the line is slow."""

_TALLEST_UM = 4_000_000
_STEPS = {
    "mm": ((10_000, "41200000"), (20_000, "41A00000"), (50_000, "42480000"), (100_000, "42C80000")),
    "in": (
        (6_350, "3E800000"),
        (12_700, "3F000000"),
        (25_400, "3F800000"),
        (50_800, "40000000"),
        (101_600, "40800000"),
    ),
}
"""Steps of 211 by height unit: in um, and as the float the question carries."""

_PERCENT = range(100, 0, -5)


def step_of(units: Units, diameter_um: int | None, byte_s: float) -> str:
    """Return the step of 211 as 8 hex digits: the finest that the line carries in time; empty: no height unit."""
    steps = _STEPS.get(units.height, ())
    tallest_um = diameter_um or _TALLEST_UM
    for step_um, digits in steps:
        if tallest_um / step_um * BYTES_PER_POINT * byte_s <= LONGEST_REPLY_S:
            return digits
    return steps[-1][1] if steps else ""


def charts(
    gauge: str, code: str, records: tuple[Record, ...], units: Units, diameters: dict[int, Value]
) -> list[TankChart]:
    """Return the charts of a reply to ``code``; ``diameters``: raw ones by tank, needed for 606 only."""
    found = []
    for record in records:
        if isinstance(record, Chart):
            raw, diameter, full = record.points, record.diameter or diameters.get(record.tank), record.full_volume
        elif isinstance(record, TankValues):
            diameter, full = diameters.get(record.tank), record.values[0]
            raw = tuple(
                (None if diameter is None else diameter * Fraction(percent, 100), volume)
                for percent, volume in zip(_PERCENT, record.values, strict=True)
            )
        else:
            continue
        points, doubts = _points([(units.height_um(height), units.volume_ml(volume)) for height, volume in raw])
        sizes = (units.height_um(diameter), units.volume_ml(full))
        found.append(TankChart(gauge, record.tank, points, code, *sizes, doubts))
    return found


def _points(pairs: list[tuple[int | None, int | None]]) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Return the points, lowest first, and what speaks against using them."""
    points = sorted({(height, volume) for height, volume in pairs if height is not None and volume is not None})
    doubts = []
    if len(points) < 2:
        doubts.append("fewer than two points can be read")
    if len(points) < len(set(pairs)):
        doubts.append("points without a reading")
    if any(low[0] == high[0] or low[1] > high[1] for low, high in pairwise(points)):
        doubts.append("volumes fall or a height stands twice")
    return tuple(points), tuple(doubts)
