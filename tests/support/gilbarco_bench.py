"""Two-Wire pumps of the simulator on a virtual loop with options of the test's choice, and an attendant for pump 1."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from drivers.commands import Acknowledge, Authorise, Command, ReadHeldSale, ReadSale
from drivers.config import LineConfig
from drivers.readings import CommandOutcome, CommandResult, CompletedSale, FuellingPointReading, HeldSale
from drivers.simulator.config import ForecourtConfig
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.gilbarco_pump import GilbarcoBus, GilbarcoPump
from drivers.simulator.pump_head import PumpHead
from tests.support.rigs.base import VirtualRig
from tests.support.rigs.gilbarco import GilbarcoSubject
from tests.support.rigs.simulated import LINE


class OneSubject(GilbarcoSubject):
    """The rig's subject with other options, points and pumps."""

    def __init__(self, options: Mapping[str, object], point: Mapping[str, Any], pump: Mapping[str, Any]) -> None:
        self.options = {**super().options, **options}
        self._point = point
        self._pump = pump

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        config = super().line_config(port, control=control, points=points)
        return dataclasses.replace(
            config, points=tuple(dataclasses.replace(point, **self._point) for point in config.points)
        )

    def station(self, points: int) -> ForecourtConfig:
        config = super().station(points)
        (line,) = config.lines
        made = tuple(dataclasses.replace(point, **self._pump) for point in line.points)
        return dataclasses.replace(config, lines=(dataclasses.replace(line, points=made),))


class Bench(VirtualRig):
    """A loop of the simulator. ``options`` of the line; ``point`` and ``pump`` replace fields of both ends' settings."""

    def __init__(
        self,
        options: Mapping[str, object] | None = None,
        *,
        points: int = 1,
        control: bool = True,
        point: Mapping[str, Any] | None = None,
        pump: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(OneSubject(options or {}, point or {}, pump or {}), points=points, control=control)
        self._names = itertools.count(1)

    @property
    def head(self) -> PumpHead:
        """What stands behind pump 1."""
        return self.forecourt.world.heads[1]

    @property
    def pump(self) -> GilbarcoPump:
        """Pump 1."""
        bus = Forecourt.bus(self.forecourt, LINE)
        assert isinstance(bus, GilbarcoBus)
        return bus.pumps[0]

    def names(self) -> list[str]:
        """What pump 1 was told, polls left out."""
        return self.forecourt.log.names(1)

    def level(self, point: int = 1) -> FuellingPointReading:
        """The newest level of a point."""
        return [reading for reading in self.of(FuellingPointReading) if reading.fuelling_point == point][-1]

    def do(self, kind: type[Command], **values: Any) -> CommandResult:
        """One command for point 1, to its end."""
        name = f"c{next(self._names)}"
        self.run(kind(command_id=name, fuelling_point=1, **values))  # type: ignore[call-arg]
        return [result for result in self.of(CommandResult) if result.command_id == name][-1]

    def account(self) -> HeldSale:
        """Read what is held and say that it is accounted for."""
        assert self.do(ReadHeldSale).outcome is CommandOutcome.APPLIED
        held = self.of(HeldSale)[-1]
        assert self.do(Acknowledge, token=held.token).outcome is CommandOutcome.APPLIED
        return held

    def call(self, nozzle: int = 1) -> None:
        """Everything is accounted for and a nozzle is lifted."""
        self.account()
        self.head.lift(nozzle)
        self.until(lambda: self.level().state.value == "Calling")

    def release(self, nozzle: int = 1) -> None:
        """Lift and authorise."""
        self.call(nozzle)
        result = self.do(Authorise, nozzles=(nozzle,))
        assert result.outcome is CommandOutcome.APPLIED, result.detail

    def fuel(self, units: int, parts: int = 4) -> None:
        """Fuel ``units`` of 10 ml in portions, with turns between."""
        for _ in range(parts):
            self.head.deliver(units // parts)
            self.turns(0.7)

    def hang_up(self) -> None:
        """The nozzle goes back and the pump is off."""
        self.head.hang_up()
        self.until(lambda: self.level().nozzle_out is False)

    def read(self) -> CompletedSale:
        """The bundle of all nozzles."""
        assert self.do(ReadSale, nozzles=self.subject.nozzles).outcome is CommandOutcome.APPLIED  # type: ignore[attr-defined]
        return self.of(CompletedSale)[-1]

    def sale(self) -> dict[str, Any]:
        """The newest sale as it really was."""
        return [record for record in self.forecourt.truth.records if record["kind"] == "sale"][-1]
