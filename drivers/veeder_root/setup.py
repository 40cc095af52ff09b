"""What a console knows about its tanks: labels, full volumes, diameters, limits. Kept raw, converted on the way out.

Knows functions 602, 604, 607, 610 and 621-629. Knows no wire. Raw values are kept because confirmed units may change.
"""

from __future__ import annotations

from drivers.readings import GaugeLimits
from drivers.veeder_root.layouts import Record, TankText, TankValues, Value
from drivers.veeder_root.plausibility import Tank
from drivers.veeder_root.tables import VOLUME_LIMITS, WATER_LIMITS
from drivers.veeder_root.units import Units

LABEL, FULL, DIAMETER, DELAY = "602", "604", "607", "610"
SETUP_CODES = (FULL, DIAMETER, DELAY, LABEL, *VOLUME_LIMITS, *WATER_LIMITS)
"""Functions read at connect and daily; full volume and diameter first, because plausibility needs them."""


class TankSetup:
    """Labels, capacities and limits of one console's tanks, in raw console units."""

    def __init__(self) -> None:
        self._labels: dict[int, str] = {}
        self._values: dict[tuple[str, int], Value] = {}
        self._told: dict[int, GaugeLimits] = {}

    def take(self, code: str, records: tuple[Record, ...]) -> None:
        """Keep what function ``code`` answered."""
        for record in records:
            if isinstance(record, TankText):
                self._labels[record.tank] = record.text.strip()
            elif isinstance(record, TankValues):
                self._values[code, record.tank] = record.values[0] if record.values else None

    def forget(self) -> None:
        """Forget all: the console may be another one. What was told is told again."""
        self._labels.clear()
        self._values.clear()
        self._told.clear()

    def tank(self, tank: int, units: Units | None) -> Tank:
        """Return the size of ``tank`` for plausibility."""
        if units is None:
            return Tank()
        return Tank(
            units.volume_ml(self._values.get((FULL, tank))), units.height_um(self._values.get((DIAMETER, tank)))
        )

    def delay_min(self, tank: int) -> int | None:
        """Return how many minutes after its end a delivery into ``tank`` may still be lengthened."""
        value = self._values.get((DELAY, tank))
        return None if value is None else int(value)

    def diameters(self) -> dict[int, Value]:
        """Return the diameters by tank, in the console's unit."""
        return {tank: value for (code, tank), value in self._values.items() if code == DIAMETER}

    def news(self, gauge: str, tanks: tuple[int, ...], units: Units) -> list[GaugeLimits]:
        """Return the limits of each tank (all known ones if ``tanks`` is empty) that were not told like this before."""
        seen = {*self._labels, *(tank for _, tank in self._values)}
        found = []
        for tank in tanks or sorted(seen):
            limits = self._limits(gauge, tank, units)
            if tank in seen and self._told.get(tank) != limits:
                self._told[tank] = limits
                found.append(limits)
        return found

    def _limits(self, gauge: str, tank: int, units: Units) -> GaugeLimits:
        named = [(name, units.volume_ml(self._values.get((code, tank)))) for code, name in VOLUME_LIMITS.items()]
        named += [(name, units.height_um(self._values.get((code, tank)))) for code, name in WATER_LIMITS.items()]
        return GaugeLimits(
            gauge,
            tank,
            self._labels.get(tank, ""),
            units.volume_ml(self._values.get((FULL, tank))),
            tuple((name, value) for name, value in named if value is not None),
        )
