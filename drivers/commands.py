"""Frozen records the agent sends to a device. Each ends in exactly one APPLIED, REFUSED or UNKNOWN ``CommandResult``.

``command_id`` is chosen by the agent, unique. Commands are never replayed after a restart: the queue lives in memory.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Authorise:
    """Let the lifted (or next lifted) nozzle deliver. ``nozzles``: the nozzles allowed, empty = all configured."""

    command_id: str
    fuelling_point: int
    nozzles: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """What the device holds is accounted for: from now on the driver may let the device forget it (DART: RESET).

    ``token`` is that of the ``HeldSale``; where nothing was held it is empty.
    """

    command_id: str
    fuelling_point: int
    token: str = ""


@dataclass(frozen=True, slots=True)
class SetPrices:
    """Unit price per nozzle, for every nozzle of the point: ((nozzle, unit_price_milli), ...)."""

    command_id: str
    fuelling_point: int
    prices: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """End delivery now. May be repeated freely."""

    command_id: str
    fuelling_point: int


@dataclass(frozen=True, slots=True)
class Suspend:
    """Halt the delivery for a while; the fuelling goes on with ``Resume`` or ends with the nozzle in its boot."""

    command_id: str
    fuelling_point: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Let a suspended delivery go on. Never given by the agent itself: a person has looked at the pump."""

    command_id: str
    fuelling_point: int


@dataclass(frozen=True, slots=True)
class Preset:
    """Deliver at most so much in the next fuelling; exactly one of the two is given."""

    command_id: str
    fuelling_point: int
    volume_ml: int | None = None
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class ReadTotalizer:
    """Read the total of one nozzle: yields a ``TotalizerReading``, then APPLIED; UNKNOWN when it was not answered."""

    command_id: str
    fuelling_point: int
    nozzle: int


@dataclass(frozen=True, slots=True)
class ReadHeldSale:
    """Read what the device holds of its last fuelling: yields a ``HeldSale``, then APPLIED."""

    command_id: str
    fuelling_point: int


@dataclass(frozen=True, slots=True)
class ReadSale:
    """Totals of ``nozzles``, held sale, totals again as one bundle: yields a ``CompletedSale``, then APPLIED."""

    command_id: str
    fuelling_point: int
    nozzles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ConfirmUnits:
    """A person has checked a gauge's changed units: its readings count again."""

    command_id: str
    gauge: str


@dataclass(frozen=True, slots=True)
class ReadDeliveries:
    """Read a tank's older deliveries, from the console's local time ``since`` ("2026-11-21T23:03") on.

    Yields ``GaugeDeliveries``, then APPLIED; REFUSED where the console cannot be asked for a range.
    """

    command_id: str
    gauge: str
    gauge_index: int
    since: str


GaugeCommand = ConfirmUnits | ReadDeliveries
"""Commands for a gauge; every other one names a fuelling point."""

Command = (
    Authorise
    | Acknowledge
    | SetPrices
    | Stop
    | Suspend
    | Resume
    | Preset
    | ReadTotalizer
    | ReadHeldSale
    | ReadSale
    | GaugeCommand
)
