"""What the suite must know beyond ``Subject`` of each kind of device: a dispenser, a tank gauge, a code reader.

Knows readings, no protocol and no simulator.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol

from drivers.commands import ReadSale
from drivers.device import DispenserCapabilities
from drivers.readings import (
    CodeScan,
    CommandOutcome,
    CompletedSale,
    DeviceStatus,
    FuellingPointReading,
    HeldSale,
    Quality,
    TankReading,
    TotalizerReading,
)
from tests.support.rigs.base import Rig, Subject

SCANNED = b"9156000000000017\r\n"


class Head(Protocol):
    """A simulated pump as people and fuel move it. Volumes in units of 10 ml, money in minor units."""

    prices: dict[int, int]
    volume: int
    amount: int

    def lift(self, nozzle: int) -> None:
        """Take a nozzle."""
        ...

    def hang_up(self) -> None:
        """Put it back."""
        ...

    def deliver(self, units: int) -> int:
        """Pull the lever; returns how much flowed."""
        ...

    def restart(self) -> None:
        """The processor of the pump restarts."""
        ...


class DispenserSubject(Subject):
    """A dispenser protocol."""

    nozzles: tuple[int, ...] = (1, 2, 3)
    """Logical nozzles of every point; the first three are used."""
    totals_unit_ml = 10
    totals_modulus = 10**10
    forgets: frozenset[str] = frozenset()
    """Names in ``heard`` after which a device no longer knows its last sale."""
    faults: tuple[str, ...] = ()
    """Names of simulated faults that ``inject`` can make at a point during a fuelling."""

    @abstractmethod
    def head(self, rig: Rig, point: int) -> Head:
        """The simulated pump of a point."""

    @abstractmethod
    def totals(self, rig: Rig, point: int) -> dict[int, int]:
        """The meter's count of each nozzle as the protocol tells it, by nozzle."""

    @abstractmethod
    def sales(self, rig: Rig) -> list[dict[str, Any]]:
        """Every fuelling as it really was, oldest first: point, nozzle, volume_ml, amount_minor, totalizer_end."""

    @abstractmethod
    def inject(self, rig: Rig, fault: str, point: int, times: int | None) -> None:
        """Start a fault at a point, for so many opportunities (``None``: as long as it usually lasts)."""

    @abstractmethod
    def is_poll(self, data: bytes, point: int) -> bool:
        """Whether bytes of the driver are its regular question to this point."""

    @property
    def capabilities(self) -> DispenserCapabilities:
        """What the driver says of itself."""
        found = self.spec.capabilities
        assert isinstance(found, DispenserCapabilities)
        return found

    def nozzle(self, place: int) -> int:
        """The nozzle in that place (1, 2, 3), or the last there is."""
        return self.nozzles[min(place, len(self.nozzles)) - 1]

    def lies(self, rig: Rig) -> list[str]:
        """Totals and displays of pumps that nobody has used since the start."""
        told = [*rig.of(TotalizerReading), *(total for b in rig.of(CompletedSale) for total in (*b.before, *b.after))]
        wrong = [f"{t}" for t in told if t.raw != self.totals(rig, t.fuelling_point).get(t.nozzle)]
        shown: list[FuellingPointReading | HeldSale] = [
            *rig.of(FuellingPointReading),
            *rig.of(HeldSale),
            *(b.held for b in rig.of(CompletedSale) if b.held),
        ]
        for reading in shown:
            head = self.head(rig, reading.fuelling_point)
            if reading.volume_ml not in {None, 10 * head.volume} or reading.amount_minor not in {None, head.amount}:
                wrong.append(f"{reading}")
        return wrong

    def reads_the_truth(self, rig: Rig) -> None:
        """The totals of point 2 are those of its meter."""
        name = f"s{len(rig.seen)}"
        assert rig.run(ReadSale(name, 2, self.nozzles)) is CommandOutcome.APPLIED
        told = {reading.nozzle: reading.raw for reading in rig.of(CompletedSale)[-1].after}
        assert told == self.totals(rig, 2)


class GaugeSubject(Subject):
    """A tank gauge protocol."""

    tanks: tuple[int, ...] = (1, 2, 3)
    tolerance_ml = 1_000
    confirms_units = True
    """Whether the gauge has units that can change, so that a person confirms them; else the command is refused."""

    @abstractmethod
    def true_volume_ml(self, rig: Rig, tank: int) -> int:
        """What is in a tank now."""

    def lies(self, rig: Rig) -> list[str]:
        """Volumes of good readings."""
        good = [reading for reading in rig.of(TankReading) if reading.quality is Quality.GOOD]
        return [
            f"{reading}"
            for reading in good
            if reading.gauge_index not in self.tanks
            or abs((reading.volume_ml or 0) - self.true_volume_ml(rig, reading.gauge_index)) > self.tolerance_ml
        ]

    def reads_the_truth(self, rig: Rig) -> None:
        """Every tank, to the tolerance, as told since the gauge was last offline."""

        def fresh() -> dict[int, TankReading]:
            told = [reading for _, reading in rig.seen]
            lost = [at for at, news in enumerate(told) if isinstance(news, DeviceStatus) and not news.online]
            since = told[lost[-1] + 1 :] if lost else told
            return {reading.gauge_index: reading for reading in since if isinstance(reading, TankReading)}

        rig.until(lambda: set(fresh()) == set(self.tanks), 60)
        for tank, reading in fresh().items():
            assert abs((reading.volume_ml or 0) - self.true_volume_ml(rig, tank)) <= self.tolerance_ml


class ReaderSubject(Subject):
    """A reader that only listens: what people show it arrives. Here: of codes."""

    asks = False
    shown = SCANNED
    """What arrives (``Rig.arrive``) when a member shows the code; no part of it is a whole code but its last two bytes."""

    def told(self, rig: Rig) -> list[Any]:
        """What was read so far, oldest first."""
        return list(rig.of(CodeScan))

    def is_true(self, reading: Any) -> bool:
        """Whether this was shown."""
        return bool(reading.text == SCANNED.decode().strip())

    def lies(self, rig: Rig) -> list[str]:
        """What nobody has shown."""
        return [f"{reading}" for reading in self.told(rig) if not self.is_true(reading)]

    def reads_the_truth(self, rig: Rig) -> None:
        """What is shown is told."""
        before = len(self.told(rig))
        rig.arrive(self.shown)
        rig.until(lambda: len(self.told(rig)) > before)
        assert self.is_true(self.told(rig)[-1])
