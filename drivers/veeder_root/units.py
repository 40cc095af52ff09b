"""Console units to integer ml, micrometres and thousandths of a degree Celsius: exact, half to even, once.

Knows the three unit systems. Knows no frame and no tank.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

US, METRIC, IMPERIAL = 1, 2, 3

_ML = {US: Fraction(3785411784, 10**6), METRIC: Fraction(1000), IMPERIAL: Fraction(454609, 100)}
_UM = {"in": Fraction(25400), "mm": Fraction(1000)}
# Beyond any tank by orders of magnitude; keeps a wild float from becoming a number that no store can hold.
_LIMIT = 10**12


@dataclass(frozen=True, slots=True)
class Units:
    """How to read the floats of one console. ``height``: in | mm | "" (unknown), ``temperature``: C | F | ""."""

    system: int
    height: str = ""
    temperature: str = ""

    @property
    def one_ml(self) -> int:
        """One whole volume unit of the console in ml: the step in which it rounds."""
        return round(_ML[self.system])

    def volume_ml(self, value: Fraction | None) -> int | None:
        """Millilitres of a volume field; ``None`` where there is no reading or no sensible number."""
        return None if value is None else _bounded(value * _ML[self.system])

    def height_um(self, value: Fraction | None) -> int | None:
        """Micrometres of a height field; ``None`` also where the height unit is not confirmed."""
        return None if value is None or not self.height else _bounded(value * _UM[self.height])

    def temperature_mdegc(self, value: Fraction | None) -> int | None:
        """Thousandths of a degree Celsius; ``None`` also where the temperature unit is not confirmed."""
        if value is None or not self.temperature:
            return None
        celsius = (value - 32) / Fraction(18, 10) if self.temperature == "F" else value
        return _bounded(celsius * 1000)


def units_of(system: int, height_3: str = "", temperature_3: str = "") -> Units:
    """Units of unit system 1, 2 or 3. At 3 the console leaves height and temperature open: a person confirms them."""
    if system == US:
        return Units(US, "in", "F")
    if system == METRIC:
        return Units(METRIC, "mm", "C")
    return Units(IMPERIAL, height_3, temperature_3)


def _bounded(value: Fraction) -> int | None:
    return None if abs(value) > _LIMIT else round(value)
