"""A fuelling point driven event by event in tests: what is sent in, what came out, and the usual beginnings."""

from __future__ import annotations

from typing import Any

from agent.domain.forecourt import durable, restore, step
from agent.domain.instant import Now
from agent.domain.point_events import (
    Effect,
    Event,
    Send,
)
from agent.domain.point_state import ControlMode, NozzleConfig, PointConfig
from drivers.commands import Acknowledge, Authorise, Command
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    CompletedSale,
    FuellingPointReading,
    HeldSale,
    PointState,
    TotalizerReading,
)

PRICE = 1175
WALL = 1_760_000_000_000
IDLE, CALLING, FUELLING = PointState.IDLE, PointState.CALLING, PointState.FUELLING


class Script:
    """A point driven event by event; answers nothing by itself."""

    def __init__(self, mode: ControlMode = ControlMode.AUTO, **config: Any) -> None:
        values = {"nozzles": (NozzleConfig(1, "92", 1, PRICE),), **config}
        self.point = restore(PointConfig(1, mode, boot="-", **values), None, "b")
        self.ms = 0
        self.effects: tuple[Effect, ...] = ()

    def __call__(self, event: Event, after_ms: int = 1_000) -> tuple[Effect, ...]:
        self.ms += after_ms
        result = step(self.point, event, Now(WALL + self.ms, self.ms))
        assert result.durable_changed == (durable(result.point) != durable(self.point))
        self.point, self.effects = result.point, result.effects
        return result.effects

    def at(
        self, state: PointState, volume: int | None = 0, price: int | None = PRICE, **more: Any
    ) -> tuple[Effect, ...]:
        out = state not in (IDLE, PointState.AUTHORISED, PointState.INOPERATIVE)
        values = {"nozzle": 1, "nozzle_out": out, "amount_minor": None, **more}
        return self(FuellingPointReading(1, state, volume_ml=volume, unit_price_milli=price, **values))

    def sent(self, kind: type[Command]) -> Any:
        found = [e.command for e in self.effects if isinstance(e, Send) and isinstance(e.command, kind)]
        assert len(found) == 1, (kind, self.effects)
        return found[0]

    def of(self, kind: type[Any]) -> list[Any]:
        return [e for e in self.effects if isinstance(e, kind)]

    def answer(
        self, raw: int | None, volume: int | None = 0, moved_to: int | None = None, token: str = "t", **more: Any
    ) -> tuple[Effect, ...]:
        """The bundle for the read-out under way."""
        read = self.point.volatile.read
        assert read is not None
        totals = () if raw is None else (TotalizerReading(1, 1, raw, 10, 10**10),)
        after = totals if moved_to is None else (TotalizerReading(1, 1, moved_to, 10, 10**10),)
        price = more.get("price", PRICE)
        sale = (
            None
            if volume is None
            else HeldSale(1, 1, volume, more.get("amount", volume * price // 10_000), price, token)
        )
        return self(CompletedSale(read.command_id, 1, totals, sale, after))

    def end(self, kind: type[Command], outcome: CommandOutcome = CommandOutcome.APPLIED) -> tuple[Effect, ...]:
        sent = next(s for s in self.point.volatile.inflight if s.kind == kind.__name__)
        return self(CommandResult(sent.command_id, 1, outcome))

    def ready(self, raw: int = 1_000) -> Script:
        """Past a start with one idle nozzle: baseline set, prices agree, released."""
        self.at(IDLE)
        self.answer(raw)
        self.end(Acknowledge)
        self.at(IDLE)
        return self

    def authorised(self) -> Script:
        self.ready()
        self.at(CALLING)
        self.end(Authorise)
        self.at(PointState.STARTED)
        return self

    def restarted(self) -> Script:
        self.point = restore(self.point.config, durable(self.point), "c")
        return self


def names(effects: tuple[Effect, ...]) -> list[str]:
    return [type(e.command).__name__ if isinstance(e, Send) else type(e).__name__ for e in effects]
