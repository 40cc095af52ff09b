"""Gauges that stand on a line of their own in the simulator (``forecourt.GAUGES``): what their rigs have in common.

Knows no protocol: a rig adds its name, its options and the frames of its devices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.config import LineConfig
from drivers.readings import Quality, TankReading
from drivers.simulator.config import ForecourtConfig
from drivers.simulator.config import LineConfig as SimulatedLine
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.server import SILENCE_S
from tests.support.rigs.base import Plug, Rig, VirtualRig
from tests.support.rigs.kinds import GaugeSubject
from tests.support.rigs.simulated import LinePlug, settle, station
from tests.support.simulated import running_forecourt

GAUGE = "gauge-line"


class GaugeLineSubject(GaugeSubject):
    """Three tanks; nothing to confirm."""

    confirms_units = False
    changes_nothing = frozenset({"INQUIRY"})

    def station(self) -> ForecourtConfig:
        """The usual station with the gauge on a line of its own."""
        made = station()
        return dataclasses.replace(made, lines=(*made.lines, SimulatedLine(GAUGE, (), protocol=self.protocol)))

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        return LineConfig("tanks", port, self.protocol, options=self.options, tanks=self.tanks)

    def stand(self, seed: int, points: int = 4) -> Forecourt:
        return Forecourt(self.station(), seed=seed)

    def answer(self, rig: VirtualRig, data: bytes) -> bytes:
        settle(rig)
        bus = rig.forecourt.bus(GAUGE)
        if len(rig.port.sent) > 1 and rig.now_s() - rig.port.sent[-2][0] > SILENCE_S:
            bus.silence()
        return bus.receive(data)

    def heard(self, rig: Rig, point: int | None = None) -> list[str]:
        return [entry.name for entry in rig.forecourt.log.entries if point is None]

    @contextmanager
    def plugged(self, wire: str, state_dir: Path) -> Iterator[Plug]:
        assert wire == "pty"
        with running_forecourt(state_dir, config=self.station()) as server:
            yield LinePlug(server, GAUGE)

    def reads_the_truth(self, rig: Rig) -> None:
        """Every tank, to the tolerance, as told from now on: a tank may have been given up a moment ago."""
        began = len(rig.seen)

        def told() -> dict[int, TankReading]:
            news = [reading for _, reading in rig.seen[began:] if isinstance(reading, TankReading)]
            return {reading.gauge_index: reading for reading in news if reading.quality is Quality.GOOD}

        rig.until(lambda: set(told()) == set(self.tanks), 60)
        for tank, reading in told().items():
            assert abs((reading.volume_ml or 0) - self.true_volume_ml(rig, tank)) <= self.tolerance_ml
            assert "experimental" in reading.doubts

    def true_volume_ml(self, rig: Rig, tank: int) -> int:
        return rig.forecourt.world.tanks[tank].volume_ml
