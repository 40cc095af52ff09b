"""Small pumps with their own truth, one per kind of sale memory, for tests of the domain without a driver.

Each counts what it delivers. Knows commands and readings; knows no agent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.commands import Acknowledge, Authorise, Command, Preset, ReadSale, Resume, SetPrices, Stop, Suspend
from drivers.readings import (
    CommandOutcome,
    CompletedSale,
    FuellingPointReading,
    HeldSale,
    PointState,
    TotalizerReading,
)


@dataclass(frozen=True)
class Kind:
    """What a head keeps. ``memory``: none, last or queue; ``ends``: what makes it forget; ``shows_price``: a meter of
    its own has none; ``power_off``: whether a restart loses the display.
    """

    name: str
    memory: str = "last"
    ends: str = "reset"
    totals: bool = True
    shows_price: bool = True
    loses_display: bool = True
    unit_ml: int = 10
    modulus: int = 10**10


DART = Kind("last, forgets at reset")
NEXT_FLOW = Kind("last, forgets at the next flow", ends="next_flow", modulus=10**8)
QUEUE = Kind("queue", memory="queue", ends="ack", loses_display=False, modulus=2**32)
METER = Kind("none", memory="none", ends="-", shows_price=False, modulus=2**16)
COARSE = Kind("last, totals of whole litres", ends="next_flow", unit_ml=1_000, modulus=10**6)
LOG = Kind("queue without totals", memory="queue", ends="ack", totals=False, loses_display=False)
DISPLAY = Kind("last without totals", ends="next_flow", totals=False)
WITH_TOTALS = (DART, NEXT_FLOW, QUEUE, METER, COARSE)
KINDS = (*WITH_TOTALS, LOG, DISPLAY)


@dataclass
class Pump:
    """One head with two nozzles. ``alone``: it sells without being authorised. ``sold``: the truth, (nozzle, ml)."""

    kind: Kind
    prices: dict[int, int]
    alone: bool = False
    counted_ml: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    base: dict[int, int] = field(default_factory=lambda: {1: 7_000, 2: 500})
    state: PointState = PointState.IDLE
    out: int | None = None
    nozzle: int = 1
    volume_ml: int = 0
    price: int = 0
    is_released: bool = False
    is_suspended: bool = False
    restarts: int = 0
    readable: bool = True
    queue: list[tuple[str, int, int, int]] = field(default_factory=list)
    numbered: int = 0
    sold: list[tuple[int, int]] = field(default_factory=list)
    priced: list[int] = field(default_factory=list)

    # --- the forecourt --------------------------------------------------------------------------------------------

    def lift(self, nozzle: int) -> None:
        """A customer takes a nozzle out."""
        if self.out is not None:
            return
        self.out = nozzle
        self._begin()

    def flow(self, volume_ml: int) -> None:
        """Fuel flows, where the pump lets it."""
        if self.out is None or self.state not in (PointState.STARTED, PointState.FUELLING) or volume_ml <= 0:
            return
        if self.state is PointState.STARTED:
            self.volume_ml, self.nozzle, self.price = 0, self.out, self.prices[self.out]
        self.state = PointState.FUELLING
        self.volume_ml += volume_ml
        self.counted_ml[self.out] += volume_ml

    def hang(self) -> None:
        """The nozzle goes back into its boot."""
        if self.out is None:
            return
        was, nozzle = self.state, self.out
        self.out, self.is_suspended = None, False
        if was in (PointState.FUELLING, PointState.STARTED):
            self._end(nozzle, was)
        if self.state is not PointState.AUTHORISED:
            self.state = PointState.IDLE

    def restart(self) -> None:
        """The head loses its power for a moment; what flowed is counted, and sold."""
        if self.state is PointState.FUELLING:
            self._end(self.nozzle, self.state)
        self.restarts += 1
        self.out, self.state, self.is_suspended = None, PointState.IDLE, False
        if self.kind.loses_display:
            self.volume_ml, self.is_released = 0, False

    def _begin(self) -> None:
        assert self.out is not None
        if self.kind.ends == "reset" and not self.is_released and not self.alone:
            self.state = PointState.SUSPENDED_FUELLING  # the old display stands while the next nozzle is out
            return
        if self.kind.ends == "reset":
            self.volume_ml = 0
        if self.state is PointState.AUTHORISED or self.alone:
            self.state, self.nozzle = PointState.STARTED, self.out
        else:
            self.state = PointState.CALLING

    def _end(self, nozzle: int, was: PointState) -> None:
        volume_ml = self.volume_ml if was is PointState.FUELLING else 0
        self.state = PointState.IDLE
        self.is_released = False
        if self.kind.ends != "next_flow" and not volume_ml:
            self.volume_ml = 0
        if self.kind.memory == "queue":
            self.numbered += 1
            self.queue.append((str(self.numbered % 4), nozzle, volume_ml, self.price or self.prices[nozzle]))
        if volume_ml:
            self.sold.append((nozzle, volume_ml))
            self.priced.append(self.price)

    # --- the wire -------------------------------------------------------------------------------------------------

    def reading(self) -> FuellingPointReading:
        """The level as a driver reports it."""
        nozzle = self.out or self.nozzle
        return FuellingPointReading(
            fuelling_point=1,
            state=PointState.SUSPENDED_FUELLING if self.is_suspended else self.state,
            nozzle=nozzle,
            nozzle_out=self.out is not None,
            volume_ml=self.volume_ml,
            amount_minor=None,
            unit_price_milli=self.prices[nozzle] if self.kind.shows_price else None,
            restarts=self.restarts,
        )

    def total(self, nozzle: int) -> int:
        """The raw count."""
        return (self.base[nozzle] + self.counted_ml[nozzle] // self.kind.unit_ml) % self.kind.modulus

    def bundle(self, command: ReadSale) -> CompletedSale:
        """Totals, held sale, totals again."""
        totals = tuple(
            TotalizerReading(1, n, self.total(n), self.kind.unit_ml, self.kind.modulus) for n in command.nozzles
        )
        if not self.kind.totals or not self.readable:
            totals = ()
        return CompletedSale(command.command_id, 1, totals, self._held(), totals)

    def _held(self) -> HeldSale | None:
        if self.kind.memory == "none" or (self.kind.memory == "queue" and not self.queue):
            return None
        if self.kind.memory == "queue":
            token, nozzle, volume_ml, price = self.queue[0]
        else:
            token, nozzle, volume_ml, price = "", self.nozzle, self.volume_ml, self.price
        amount = (2 * volume_ml * price * 100 + 1_000_000) // 2_000_000
        return HeldSale(1, nozzle, volume_ml, amount, price or None, token)

    def obey(self, command: Command) -> CommandOutcome:
        """Do what an order says."""
        match command:
            case Acknowledge(token=token):
                self.is_released = True
                if self.queue and self.kind.memory == "queue" and self.queue[0][0] == token:
                    self.queue.pop(0)
                if self.kind.ends == "reset" and self.out is None:
                    self.volume_ml = 0
                if self.out is not None and self.state is PointState.SUSPENDED_FUELLING:
                    self._begin()
            case Authorise():
                if not self.is_released or self.queue:
                    return CommandOutcome.REFUSED
                if self.state is PointState.CALLING:
                    self.state = PointState.STARTED
                elif self.state is PointState.IDLE:
                    self.state = PointState.AUTHORISED
                else:
                    return CommandOutcome.REFUSED
            case Stop():
                if self.state is PointState.AUTHORISED:
                    self.state = PointState.IDLE
            case Suspend():
                self.is_suspended = self.state is PointState.FUELLING
            case Resume():
                self.is_suspended = False
            case SetPrices(prices=prices):
                if self.state not in (PointState.IDLE, PointState.CALLING):
                    return CommandOutcome.REFUSED
                self.prices = dict(prices)
            case Preset():
                pass
        return CommandOutcome.APPLIED
