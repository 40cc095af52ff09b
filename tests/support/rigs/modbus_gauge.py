"""The contract suite's knowledge of Modbus gauges: a gauge of twelve blocks, three of them with tanks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from drivers.config import LineConfig
from drivers.simulator.config import ForecourtConfig
from drivers.simulator.config import LineConfig as SimulatedLine
from drivers.simulator.forecourt import Forecourt
from tests.support.rigs.base import Plug, Rig, VirtualRig
from tests.support.rigs.kinds import GaugeSubject
from tests.support.rigs.simulated import LinePlug, settle, station
from tests.support.simulated import running_forecourt

GAUGE = "gauge-line"


class ModbusGaugeSubject(GaugeSubject):
    """Unit 1, metric."""

    protocol = "modbus-gauge"
    simulated = "modbus-gauge"
    """What the simulator calls the gauge."""
    changes_nothing = frozenset({"INQUIRY"})
    options: Mapping[str, object] = {"map": "pneumercator-tms", "values": {"units": "metric"}}

    def station(self) -> ForecourtConfig:
        """The usual station with the gauge on a line of its own."""
        made = station()
        return dataclasses.replace(made, lines=(*made.lines, SimulatedLine(GAUGE, (), protocol=self.simulated)))

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        return LineConfig("tanks", port, self.protocol, options=self.options, tanks=self.tanks)

    def stand(self, seed: int, points: int = 4) -> Forecourt:
        return Forecourt(self.station(), seed=seed)

    def answer(self, rig: VirtualRig, data: bytes) -> bytes:
        settle(rig)
        return rig.forecourt.bus(GAUGE).receive(data)

    def heard(self, rig: Rig, point: int | None = None) -> list[str]:
        return [entry.name for entry in rig.forecourt.log.entries if point is None]

    @contextmanager
    def plugged(self, wire: str, state_dir: Path) -> Iterator[Plug]:
        assert wire == "pty"
        with running_forecourt(state_dir, config=self.station()) as server:
            yield LinePlug(server, GAUGE)

    def true_volume_ml(self, rig: Rig, tank: int) -> int:
        return rig.forecourt.world.tanks[tank].volume_ml


SUBJECT = ModbusGaugeSubject()
