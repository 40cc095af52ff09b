"""One underground tank: a horizontal cylinder with fuel, water and a temperature. Pure; floats only for its
geometry.
"""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random

from drivers.simulator.config import DeliveryConfig, TankConfig

# bisection of a height: 40 halvings of 2.5 m end far below a micrometre
HALVINGS = 40
MS_PER_MIN = 60_000


class Tank:
    """``volume_ml`` is what is in it (fuel and water together), to the millilitre."""

    def __init__(self, config: TankConfig) -> None:
        self.config = config
        self.volume_ml = config.start_ml
        self.water_um = config.water_um
        self.temperature_mdegc = config.temperature_mdegc
        self.delivering = False
        self.delivered_at_ms: int | None = None

    def drain(self, volume_ml: int) -> None:
        """A dispenser has taken this much."""
        assert 0 <= volume_ml <= self.volume_ml
        self.volume_ml -= volume_ml

    def drift(self, rng: Random) -> None:
        """Temperature wanders a little; now and then condensation adds some water."""
        self.temperature_mdegc += rng.randint(-8, 8)
        self.water_um += rng.choice((0, 0, 0, 2))

    def height_um(self, volume_ml: int) -> int:
        """Height of a volume in the cylinder."""
        return round(_height(min(1.0, volume_ml / self.config.full_ml)) * self.config.diameter_um / 2)

    def volume_at_ml(self, height_um: int) -> int:
        """Volume up to a height."""
        return round(_segment(2 * height_um / self.config.diameter_um) * self.config.full_ml)


@lru_cache(maxsize=256)
def _height(share: float) -> float:
    """Height (0..2) below which a share of a unit circle's area lies; a console asks for the same one many times."""
    low, high = 0.0, 2.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _segment(middle) < share:
            low = middle
        else:
            high = middle
    return low


def _segment(height: float) -> float:
    """Share of a unit circle's area below ``height`` (0..2)."""
    height = min(2.0, max(0.0, height))
    return (math.acos(1 - height) - (1 - height) * math.sqrt(max(0.0, 2 * height - height * height))) / math.pi


class Tanker:
    """One delivery: raises its tank from ``start_s`` on until its volume is in or the tank is full to its maximum."""

    def __init__(self, config: DeliveryConfig, tank: Tank) -> None:
        self.config = config
        self.tank = tank
        self.given_ml = 0
        self.start_volume_ml = 0
        self.state = "waiting"
        self._carry = 0

    def tick(self, now_ms: int, dt_ms: int) -> str | None:
        """Pump for ``dt_ms``; returns "start" or "end" in the tick in which that happens."""
        if self.state == "waiting" and now_ms >= self.config.start_s * 1000:
            self.state = "running"
            self.start_volume_ml = self.tank.volume_ml
            self.tank.delivering = True
            return "start"
        if self.state != "running":
            return None
        self._carry += self.config.rate_ml_per_min * dt_ms
        room = self.tank.config.max_volume_ml - self.tank.volume_ml
        given = min(self._carry // MS_PER_MIN, self.config.volume_ml - self.given_ml, max(0, room))
        self._carry -= self._carry // MS_PER_MIN * MS_PER_MIN
        self.given_ml += given
        self.tank.volume_ml += given
        if self.given_ml < self.config.volume_ml and given < room:
            return None
        self.state = "done"
        self.tank.delivering = False
        self.tank.delivered_at_ms = now_ms
        self.tank.water_um += 300
        return "end"
