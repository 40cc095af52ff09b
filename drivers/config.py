"""What a line and its devices are told at start: plain frozen records, made by the agent's settings.

Knows no file format. Options of one protocol are a mapping that its driver checks (``DriverSpec.check_options``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """``None`` = the protocol's default. ``parity``: "none" | "even" | "odd"."""

    baudrate: int | None = None
    data_bits: int | None = None
    parity: str | None = None
    stop_bits: int | None = None


@dataclass(frozen=True, slots=True)
class PointConfig:
    """One fuelling point on a line. ``decimals``: digits after the point of what travels on the wire.

    ``sends_commands`` is false in control mode ``monitor``: the driver then never sends RESET, AUTHORIZE or prices.
    """

    fuelling_point: int
    address: int
    nozzles: tuple[int, ...]
    volume_decimals: int = 2
    amount_decimals: int = 2
    unit_price_decimals: int = 3
    currency_exponent: int = 2
    sends_commands: bool = True


@dataclass(frozen=True, slots=True)
class LineConfig:
    """One wire: ``port`` is a device path or a pyserial URL; ``protocol`` a name of the registry.

    ``points`` for dispensers; ``tanks`` (the console's own tank numbers) for a gauge; ``reader`` (its id) for a code
    reader. ``device_id`` of what hangs on it: ``"point:<n>"``, ``"gauge:<line id>"``, ``"reader:<reader id>"``.
    """

    id: str
    port: str
    protocol: str
    serial: SerialSettings = SerialSettings()
    options: Mapping[str, object] = field(default_factory=dict)
    points: tuple[PointConfig, ...] = ()
    tanks: tuple[int, ...] = ()
    reader: str = ""
