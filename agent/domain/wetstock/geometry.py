"""Volume of a liquid in a lying cylinder, from its height: flat, ellipsoidal or dished ends.

Pure. Heights and lengths in micrometres, volumes in millilitres; real numbers live inside only, and are rounded once.
Not covered: tilt (a gauge corrects its own height), internals and dip tubes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

CUBIC_UM_PER_ML = 10**12
GAUSS_POINTS = 400  # dished ends have no closed form; so many points are exact to 1e-7 of the tank and better


class Ends(StrEnum):
    """What closes the cylinder on both sides."""

    FLAT = "flat"
    ELLIPSOIDAL = "ellipsoidal"
    DISHED = "dished"


@dataclass(frozen=True, slots=True)
class LyingCylinder:
    """A lying tank by its inner measures. ``end_depth_um``: how far one end reaches out, 0 when flat."""

    diameter_um: int
    length_um: int
    ends: Ends = Ends.FLAT
    end_depth_um: int = 0

    def problem(self) -> str:
        """Why no tank looks like this; empty when one can."""
        if self.diameter_um <= 0 or self.length_um <= 0:
            return "diameter and length must be above zero"
        if (self.ends is Ends.FLAT) != (self.end_depth_um == 0):
            return "flat ends have no depth, others need one"
        if not 0 <= 2 * self.end_depth_um <= self.diameter_um:
            return "an end reaches out at most half the diameter"
        return ""

    def volume_ml(self, height_um: int) -> int:
        """The volume below ``height_um``, which is clamped to the tank."""
        return round(self._cubic_um(float(height_um)) / CUBIC_UM_PER_ML)

    def full_ml(self) -> int:
        """The volume of the full tank."""
        return self.volume_ml(self.diameter_um)

    def _cubic_um(self, height: float) -> float:
        radius = self.diameter_um / 2
        h = min(max(height, 0.0), float(self.diameter_um))
        body = self.length_um * segment_area(radius, h)
        depth = float(self.end_depth_um)
        if self.ends is Ends.ELLIPSOIDAL:
            return body + math.pi * depth / radius * h * h * (radius - h / 3)
        return body + 2 * _dished(radius, depth, h - radius) if self.ends is Ends.DISHED else body


def segment_area(radius: float, height: float) -> float:
    """Area of a circle below ``height`` above its lowest point, 0 to twice ``radius``."""
    below = (radius - height) / radius
    return radius * radius * math.acos(min(1.0, max(-1.0, below))) - (radius - height) * math.sqrt(
        max(0.0, 2 * radius * height - height * height)
    )


def _dished(radius: float, depth: float, level: float) -> float:
    """One dished end (a cap of a sphere) below ``level`` above the axis: slices across the axis, added up."""
    sphere = (radius * radius + depth * depth) / (2 * depth)
    total = 0.0
    for place, weight in _gauss():
        x = depth * (place + 1) / 2
        slice_radius = math.sqrt(max(0.0, sphere * sphere - (x + sphere - depth) ** 2))
        if slice_radius > 0:
            total += weight * segment_area(slice_radius, min(max(level, -slice_radius), slice_radius) + slice_radius)
    return total * depth / 2


@lru_cache(maxsize=1)
def _gauss() -> tuple[tuple[float, float], ...]:
    """Places and weights of Gauss and Legendre on -1..1, found by Newton's method."""
    n = GAUSS_POINTS
    found = []
    for i in range(n):
        x = math.cos(math.pi * (i + 0.75) / (n + 0.5))
        while True:
            before, value = 1.0, x
            for k in range(2, n + 1):
                before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
            slope = n * (x * value - before) / (x * x - 1)
            step = value / slope
            x -= step
            if abs(step) < 1e-15:
                break
        found.append((x, 2 / ((1 - x * x) * slope * slope)))
    return tuple(found)
