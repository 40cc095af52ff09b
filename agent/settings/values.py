"""Value types of the configuration file: durations with units, decimals in strings, clock times; integers come out.

Knows pydantic's annotated types. Knows no section of the file.
"""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from agent.domain.pins import hash_problem
from agent.domain.wetstock.correction import DENSITY_G_M3

_DURATION = re.compile(r"([0-9]{1,9})(ms|s|min|h|d)")
_UNIT_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE = re.compile(r"0|([0-9]{1,4}) ?(MB|GB)")
_UNIT_BYTES = {"MB": 1024**2, "GB": 1024**3}
_DECIMAL = re.compile(r"(-)?([0-9]{1,9})(?:\.([0-9]{1,9}))?")
_LARGEST = 10**9
"""Litres, prices and amounts of a station stay far below; a longer number is a slip of the hand."""
_SHOWN = 40
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def duration_ms(value: Any) -> int:
    """Read ``"120ms"``, ``"5s"``, ``"10min"``, ``"24h"`` or ``"35d"`` as milliseconds; raises ValueError otherwise."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a duration as text with a unit, such as "120ms", "5s", "10min", "24h" or "35d"')
    return int(match[1]) * _UNIT_MS[match[2]]


def size_bytes(value: Any) -> int:
    """Read ``"64 MB"``, ``"1 GB"`` or ``"0"`` as bytes (1 MB is 1,048,576 of them); raises ValueError otherwise."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a size as text with a unit, such as "64 MB" or "1 GB", or "0" for none')
    return int(match[1]) * _UNIT_BYTES[match[2]] if match[2] else 0


def scaled_decimal(value: Any, places: int, what: str) -> int:
    """Read a decimal in a string, or a whole number, as an integer of ``10**-places`` units. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(  # noqa: TRY004 - pydantic reports ValueError
            f'write {what} as a decimal in quotes, such as "7.85" (a bare 7.85 would be a rounded float)'
        )
    match = _DECIMAL.fullmatch(str(value)) if not isinstance(value, int) or abs(value) < _LARGEST else None
    if match is None:
        raise ValueError(f'{_short(value)} is no decimal number of up to 9 digits; write {what} like "7.85"')
    sign, whole, part = match.groups("")
    if len(part.rstrip("0")) > places:
        raise ValueError(f"{value!r} has more than {places} decimals")
    number = int(whole + part[:places].ljust(places, "0"))
    return -number if sign else number


def _short(value: object) -> str:
    text = repr(value) if isinstance(value, str) else "this number"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "...'"


def _price_milli(value: Any) -> int:
    price = scaled_decimal(value, 3, "a unit price per litre")
    if price <= 0:
        raise ValueError("a unit price is greater than zero")
    return price


def _money_milli(value: Any) -> int:
    amount = scaled_decimal(value, 3, "an amount of money")
    if amount < 0:
        raise ValueError("an amount is not negative")
    return amount


def _litres_ml(value: Any) -> int:
    volume = scaled_decimal(value, 3, "a volume in litres")
    if volume < 0:
        raise ValueError("a volume is not negative")
    return volume


def _density_g_m3(value: Any) -> int:
    density = scaled_decimal(value, 3, "a density in kg/m3")
    if density not in DENSITY_G_M3:
        raise ValueError("a density is between 600 and 1075 kg/m3")
    return density


def _minutes_of_day(value: Any) -> int:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a time of day as "HH:MM", such as "06:00"')
    return int(match[1]) * 60 + int(match[2])


def _time_zone(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError('write the zone as text, such as "Asia/Shanghai"')  # noqa: TRY004 - as above
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as failure:
        raise ValueError(
            f'{value!r} is no time zone; use a name such as "Asia/Shanghai" or "Europe/Berlin"'
        ) from failure
    return value


def _network(value: Any) -> str:
    try:
        return str(ipaddress.ip_network(value if isinstance(value, str) else ""))
    except ValueError as failure:
        hint = 'such as "192.168.10.0/24", or one address'
        raise ValueError(f"{value!r} is no network; write its first address and its length, {hint}") from failure


def _pin_hash(value: Any) -> str:
    problem = hash_problem(value) if isinstance(value, str) else "is no text"
    if problem is not None:
        raise ValueError(f"{problem}; forecourt staff hash-pin prints one")
    return str(value)


DurationMs = Annotated[int, BeforeValidator(duration_ms)]
SizeBytes = Annotated[int, BeforeValidator(size_bytes)]
PriceMilli = Annotated[int, BeforeValidator(_price_milli)]
MoneyMilli = Annotated[int, BeforeValidator(_money_milli)]
DensityGM3 = Annotated[int, BeforeValidator(_density_g_m3)]
LitresMl = Annotated[int, BeforeValidator(_litres_ml)]
MinutesOfDay = Annotated[int, BeforeValidator(_minutes_of_day)]
TimeZone = Annotated[str, BeforeValidator(_time_zone)]
Network = Annotated[str, BeforeValidator(_network)]
"""Addresses of one network, as ``address/length``."""

PinHash = Annotated[str, BeforeValidator(_pin_hash)]
WireName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
"""Ids that travel in topics and hashes (W-04)."""
