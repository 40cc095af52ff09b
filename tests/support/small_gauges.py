"""A simulated gauge of one of the small protocols, its open points chosen, behind a virtual wire and the real driver.

Knows the three protocols by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from drivers.config import LineConfig
from drivers.registry import make_line
from drivers.simulator.buses import Bus, CommandLog
from drivers.simulator.config import default_config
from drivers.simulator.faults import FaultBoard
from drivers.simulator.h_gauge import HGauge
from drivers.simulator.pd3_gauge import Pd3Gauge
from drivers.simulator.sens_probes import SensProbes
from drivers.simulator.tank import Tank
from tests.support.wire import VirtualPort

SIMULATED: Mapping[str, Any] = {"h-protocol": HGauge, "aoke-pd3": Pd3Gauge, "sens-pmp": SensProbes}
VECTORS: dict[str, Any] = {
    vector["name"]: vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors" / "other_gauges.json").read_text(encoding="utf-8"))[
        "vectors"
    ]
}

T = TypeVar("T")


def frame(name: str) -> bytes:
    """The bytes of a worked example."""
    return bytes.fromhex(VECTORS[name]["bytes"])


class Stand:
    """One gauge with the three tanks of the simulator. ``switches``: its open points; ``options``: those of the line."""

    def __init__(
        self,
        protocol: str,
        options: Mapping[str, object] | None = None,
        tanks: tuple[int, ...] = (1, 2, 3),
        **switches: object,
    ) -> None:
        self.tanks = {tank.number: Tank(tank) for tank in default_config(".").tanks}
        self.board = FaultBoard(1)
        self.log = CommandLog()
        self.gauge: Bus = SIMULATED[protocol]("gauge", self.tanks, self.board, self.log, **switches)
        self.port = VirtualPort(self.gauge.receive)
        given = {"experimental": True, **(options or {})}
        config = LineConfig("tanks", "virtual", protocol, options=given, tanks=tanks)
        self.line = make_line(config, lambda: self.port, self.port.monotonic)
        self.seen: list[Any] = []

    def until(self, done: Callable[[], bool], limit_s: float = 120.0) -> None:
        """Turn until ``done``."""
        end_s = self.port.now_s + limit_s
        while not done():
            assert self.port.now_s < end_s, f"never came; last {self.seen[-4:]}"
            self.seen += self.line.turn()

    def turns(self, seconds: float) -> None:
        """Turn for so much virtual time."""
        end_s = self.port.now_s + seconds
        self.until(lambda: self.port.now_s >= end_s, seconds + 30)

    def next(self, kind: type[T], tank: int | None = None) -> T:
        """The first reading of a kind (of a tank) from now on."""
        began = len(self.seen)

        def found() -> list[T]:
            news = [reading for reading in self.seen[began:] if isinstance(reading, kind)]
            return [reading for reading in news if tank is None or getattr(reading, "gauge_index", None) == tank]

        self.until(lambda: bool(found()))
        return found()[0]

    def counted(self, name: str) -> int:
        """A counter of the line."""
        return self.line.counters().get(name, 0)
