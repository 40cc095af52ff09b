"""Writes many sales into a station's database at once, through the real pipeline and store but with a pump made of paper.

Knows readings and commands; opens no port and needs no time. The agent must not run meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from random import Random

from agent.clock import SystemClock, read
from agent.inbox import FromLine
from agent.live import LiveBoard
from agent.pipeline import Pipeline
from agent.pipeline.step import Outlets
from agent.settings import Settings, load
from agent.store.store import Store
from drivers.commands import Command, ConfirmUnits, ReadSale
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    CompletedSale,
    DeviceStatus,
    FuellingPointReading,
    HeldSale,
    PointState,
    Reading,
    TotalizerReading,
)

PRICE_MILLI = 7_850
UNIT_ML = 10
NOZZLE = 1


class PaperPump:
    """One fuelling point that answers every command at once; ``sell`` tells one fuelling, reading by reading."""

    def __init__(self, number: int, total: int) -> None:
        self.number = number
        self.total = total
        self.sold_ml = 0
        self._shown_ml = 0

    def online(self) -> Iterator[Reading]:
        yield DeviceStatus(f"point:{self.number}", online=True, gap=True)
        yield self._level(PointState.IDLE, out=False)

    def sell(self, volume_ml: int) -> Iterator[Reading]:
        assert volume_ml % UNIT_ML == 0
        self._shown_ml = 0
        yield self._level(PointState.CALLING, out=True)
        self._shown_ml = volume_ml
        self.total += volume_ml // UNIT_ML
        self.sold_ml += volume_ml
        yield self._level(PointState.FUELLING, out=True)
        yield self._level(PointState.IDLE, out=False)

    def answer(self, command: Command) -> Iterator[Reading]:
        assert not isinstance(command, ConfirmUnits)
        if isinstance(command, ReadSale):
            totals = tuple(TotalizerReading(self.number, n, self._raw(n), UNIT_ML, 10**10) for n in command.nozzles)
            amount = self._amount()
            held = HeldSale(self.number, NOZZLE, self._shown_ml, amount, PRICE_MILLI, f"{self.total}")
            yield CompletedSale(command.command_id, self.number, totals, held, totals)
        yield CommandResult(command.command_id, self.number, CommandOutcome.APPLIED)

    def _raw(self, nozzle: int) -> int:
        return self.total if nozzle == NOZZLE else 5_000

    def _amount(self) -> int:
        return (self._shown_ml * PRICE_MILLI + 5_000) // 10_000

    def _level(self, state: PointState, *, out: bool) -> FuellingPointReading:
        return FuellingPointReading(
            self.number, state, NOZZLE, out, self._shown_ml, self._amount(), unit_price_milli=PRICE_MILLI
        )


def write_sales(config: Path, count: int, *, seed: int = 1) -> dict[tuple[int, int], tuple[int, int]]:
    """Write ``count`` sales; return (sales, volume_ml) per (fuelling point, nozzle). The station must be new."""
    settings: Settings = load(config)
    rng = Random(seed)
    pumps = {point.id: PaperPump(point.id, 1_000_000 * point.id) for point in settings.fuelling_point}
    commands: deque[Command] = deque()
    clock = SystemClock()
    store = Store(settings.store.path, station=settings.station.id, random=rng)
    pipeline = Pipeline(
        store=store,
        settings=settings,
        clock=clock,
        boot="backlog",
        start="backlog",
        random=rng,
        live=LiveBoard(),
        index_key=bytes(32),
        outlets=Outlets(commands.append, lambda: None),
    )

    def tell(pump: PaperPump, readings: Iterator[Reading]) -> None:
        for reading in readings:
            pipeline.handle(FromLine("line", reading, read(clock)))
            while commands:
                for answer in list(pump.answer(commands.popleft())):
                    pipeline.handle(FromLine("line", answer, read(clock)))

    sums: dict[tuple[int, int], tuple[int, int]] = {}
    for pump in pumps.values():
        tell(pump, pump.online())
    for n in range(count):
        pump = pumps[1 + n % len(pumps)]
        tell(pump, pump.sell(UNIT_ML * rng.randint(100, 5_000)))
        sums[pump.number, NOZZLE] = (sums.get((pump.number, NOZZLE), (0, 0))[0] + 1, pump.sold_ml)
    store.close()
    return sums
