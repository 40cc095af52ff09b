"""Strapping tables: a tank's own volume for each height, read, checked and looked up.

Pure. Heights in micrometres, volumes in millilitres. Between two points the volume is linear, exact in integers,
rounded half to even; outside nothing is invented: the nearest end of the table is told, with a flag.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from itertools import pairwise

from agent.domain.wetstock.geometry import segment_area

BELOW, ABOVE = "below_table", "above_table"
CAPACITY_SHARE = 50  # the last volume lies within a fiftieth of the capacity
STEP_FACTOR = 5  # no step of volume is more than so many times its neighbours'
FINE_STEP_UM = 10_000  # a table with wider steps is a coarse chart
CHART_STEP_UM = 1_000
MAX_POINTS = 20_000
MAX_PROBLEMS = 50

Point = tuple[int, int]
"""(height_um, volume_ml)"""


class Method(StrEnum):
    """How a height becomes a volume."""

    TABLE = "table"
    SHAPE = "chart-shape"
    MONOTONE = "chart-monotone"
    LINEAR = "chart-linear"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a table. ``line`` counts from 1; 0 = the table as a whole."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Looked:
    """An answer of a table; ``flag``: ``below_table`` or ``above_table`` where it had to be clamped, else empty."""

    value: int
    flag: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Points with strictly rising heights and never falling volumes. ``sha256``: of the file or chart it came from."""

    points: tuple[Point, ...]
    method: Method
    sha256: str

    def volume_ml(self, height_um: int) -> Looked:
        """The volume at a height."""
        return _look(self.points, height_um)

    def height_um(self, volume_ml: int) -> Looked:
        """The height of a volume: the lowest that has it."""
        points = self.points
        right = bisect_left(points, volume_ml, key=lambda point: point[1])
        if right == len(points):
            return Looked(points[-1][0], ABOVE)
        height, volume = points[right]
        if volume == volume_ml or right == 0:
            return Looked(height, "" if volume == volume_ml else BELOW)
        below, less = points[right - 1]
        return Looked(below + half_even((height - below) * (volume_ml - less), volume - less))


def _look(points: Sequence[Point], at: int) -> Looked:
    if at < points[0][0]:
        return Looked(points[0][1], BELOW)
    if at > points[-1][0]:
        return Looked(points[-1][1], ABOVE)
    right = min(bisect_right(points, at, key=lambda point: point[0]), len(points) - 1)
    if len(points) == 1:
        return Looked(points[0][1])
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return Looked(y0 + half_even((y1 - y0) * (at - x0), x1 - x0))


def half_even(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded to the nearest integer, halves to the even one."""
    assert denominator > 0
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return whole + (twice > denominator or (twice == denominator and whole % 2 == 1))


def problems_of(points: Sequence[Point], lines: Sequence[int], capacity_ml: int | None) -> list[Problem]:
    """Everything that makes a table unfit, in the order of its lines. ``lines``: where each point stands."""
    if len(points) < 2:
        return [Problem(0, "a table needs at least two points")]
    found = []
    for ((h0, v0), (h1, v1)), line in zip(pairwise(points), lines[1:], strict=True):
        if h1 <= h0:
            found.append(Problem(line, "heights must increase strictly"))
        if v1 < v0:
            found.append(Problem(line, "volumes must not fall"))
    if points[0][1] < 0 or points[0][0] < 0:
        found.append(Problem(lines[0], "heights and volumes must not be negative"))
    found += [] if found else _steps(points, lines)
    last = points[-1][1]
    if capacity_ml is not None and CAPACITY_SHARE * abs(last - capacity_ml) > capacity_ml:
        text = f"the last volume, {last / 1000:.0f} L, is not within 2 % of the capacity, {capacity_ml / 1000:.0f} L"
        found.append(Problem(lines[-1], text))
    return found[:MAX_PROBLEMS]


def _steps(points: Sequence[Point], lines: Sequence[int]) -> list[Problem]:
    """Typing errors: a step of volume per height that dwarfs both neighbours."""
    rates = [(v1 - v0) / (h1 - h0) for (h0, v0), (h1, v1) in pairwise(points)]
    text = "this step of volume is more than five times its neighbours'"
    return [
        Problem(lines[n + 1], text)
        for n in range(1, len(rates) - 1)
        if rates[n] > STEP_FACTOR * max(rates[n - 1], rates[n + 1])
    ]


_NUMBER = re.compile(r"[0-9]{1,7}(?:[.,][0-9]{1,3})?")


def read_csv(text: str, capacity_ml: int | None = None) -> tuple[Table | None, list[Problem]]:
    """The table of a file with lines ``height_mm;volume_l``: all its problems, or the table and none.

    Decimal sign comma or point, a first line of words allowed, empty lines and lines with ``#`` skipped.
    """
    points: list[Point] = []
    lines: list[int] = []
    found: list[Problem] = []
    for number, raw in enumerate(text.splitlines(), 1):
        row = raw.partition("#")[0].strip().lstrip("\ufeff")
        if not row or (not points and not found and not any(sign.isdigit() for sign in row)):
            continue
        cells = [cell.strip() for cell in row.split(";")]
        if len(cells) != 2 or not all(_NUMBER.fullmatch(cell) for cell in cells):
            found.append(Problem(number, f"{row[:40]!r} is not height_mm;volume_l, such as 1250;14510,5"))
            continue
        points.append((_thousandfold(cells[0]), _thousandfold(cells[1])))
        lines.append(number)
        if len(points) > MAX_POINTS:
            return None, [Problem(number, f"more than {MAX_POINTS} points")]
    found += problems_of(points, lines, capacity_ml) if not found or len(points) > 1 else []
    if found:
        return None, sorted(found, key=lambda problem: problem.line)[:MAX_PROBLEMS]
    return Table(tuple(points), Method.TABLE, sha256(text.encode()).hexdigest()), []


def _thousandfold(cell: str) -> int:
    whole, _, part = cell.replace(",", ".").partition(".")
    return int(whole) * 1000 + int(part.ljust(3, "0") or 0)


def is_coarse(points: Sequence[Point]) -> bool:
    """Whether looking between the points directly would be off by litres."""
    return any(h1 - h0 > FINE_STEP_UM for (h0, _), (h1, _) in pairwise(points))


def from_chart(points: Sequence[Point], diameter_um: int | None = None) -> tuple[Table | None, list[Problem]]:
    """A table with a point for each millimetre, from a coarse chart such as a console's 20 points.

    Shape-aware where the tank is a lying cylinder of that diameter; where that would fall, or without a diameter,
    monotone cubic and, for two points, linear. The method stands in the table.
    """
    found = problems_of(points, range(1, len(points) + 1), None)
    if found:
        return None, found
    digest = sha256(repr(tuple(points)).encode()).hexdigest()
    heights = [*range(points[0][0], points[-1][0], CHART_STEP_UM), points[-1][0]]
    if diameter_um is not None and diameter_um > 0:
        made = _table(heights, _shape_aware(points, diameter_um))
        if all(v0 <= v1 for (_, v0), (_, v1) in pairwise(made)):
            return Table(made, Method.SHAPE, digest), []
    if len(points) > 2:
        return Table(_table(heights, _monotone(points)), Method.MONOTONE, digest), []
    return Table(tuple(points), Method.LINEAR, digest), []


def _table(heights: Sequence[int], volume: Callable[[int], float]) -> tuple[Point, ...]:
    return tuple((height, round(volume(height))) for height in heights)


def _shape_aware(points: Sequence[Point], diameter_um: int) -> Callable[[int], float]:
    """The ideal cylinder carries the curve, the chart its small differences, which are nearly straight lines."""
    radius, full = diameter_um / 2, points[-1][1]
    whole = segment_area(radius, 2 * radius)

    def ideal(height: int) -> float:
        return full * segment_area(radius, min(max(float(height), 0.0), 2 * radius)) / whole

    rest = [(height, volume - ideal(height)) for height, volume in points]

    def volume(height: int) -> float:
        right = min(max(bisect_right(rest, height, key=lambda point: point[0]), 1), len(rest) - 1)
        (x0, e0), (x1, e1) = rest[right - 1], rest[right]
        return ideal(height) + e0 + (e1 - e0) * (height - x0) / (x1 - x0)

    return volume


def _monotone(points: Sequence[Point]) -> Callable[[int], float]:
    """Cubic pieces that never fall between points that never fall (Fritsch and Carlson)."""
    xs, ys = [float(x) for x, _ in points], [float(y) for _, y in points]
    slopes = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in pairwise(zip(xs, ys, strict=True))]
    tangents = [slopes[0], *((a + b) / 2 if a and b else 0.0 for a, b in pairwise(slopes)), slopes[-1]]
    for n, slope in enumerate(slopes):
        if slope == 0:
            tangents[n] = tangents[n + 1] = 0.0
            continue
        a, b = tangents[n] / slope, tangents[n + 1] / slope
        length = math.hypot(a, b)
        if length > 3:
            tangents[n], tangents[n + 1] = 3 / length * a * slope, 3 / length * b * slope

    def volume(height: int) -> float:
        n = min(max(bisect_right(xs, height), 1), len(xs) - 1) - 1
        width = xs[n + 1] - xs[n]
        t = (height - xs[n]) / width
        return (
            (1 + 2 * t) * (1 - t) ** 2 * ys[n]
            + t * (1 - t) ** 2 * width * tangents[n]
            + t * t * (3 - 2 * t) * ys[n + 1]
            + t * t * (t - 1) * width * tangents[n + 1]
        )

    return volume
