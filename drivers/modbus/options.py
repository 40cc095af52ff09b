"""Options of a Modbus line: the register map, what the station must tell it, and times. Names, defaults, limits.

Knows maps by name (shelf.py). Knows no wire. Times are whole milliseconds, or text such as ``"500ms"`` or ``"2s"``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivers.errors import WiringError
from drivers.modbus.bind import bind
from drivers.modbus.keys import MapError
from drivers.modbus.model import Profile, RegisterMap
from drivers.modbus.shelf import find

Problem = tuple[str, str, str]
RTU, TCP = "rtu", "tcp"
REPLY_TIMEOUT_S: Mapping[str, float] = {RTU: 0.5, TCP: 1.0}


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number, or (``is_time``) milliseconds: smallest, largest, and what holds when it is not given."""

    low: int
    high: int
    default: int | None
    is_time: bool = False


COMMON: Mapping[str, Number] = {
    "reply_timeout": Number(20, 10_000, None, is_time=True),
    "tries": Number(1, 10, 3),
    "poll_interval": Number(0, 600_000, None, is_time=True),
}
DISPENSER: Mapping[str, Number] = {
    **COMMON,
    "tries": Number(1, 10, 5),  # a totalizer is read up to five times before it counts as unreadable
    "settle": Number(500, 120_000, 5_000, is_time=True),
    "start_ml": Number(0, 10_000, 20),
}
GAUGE: Mapping[str, Number] = {
    **COMMON,
    "unit": Number(0, 255, 1),
    "delivery_interval": Number(1_000, 600_000, 10_000, is_time=True),
}
PROFILES = {
    "dispenser": frozenset({Profile.DISPENSER, Profile.METER, Profile.PULSE_METER, Profile.LOG}),
    "tank-gauge": frozenset({Profile.GAUGE}),
}
_NUMBERS = {"dispenser": DISPENSER, "tank-gauge": GAUGE}
_DURATION = re.compile(r"(\d{1,6})\s*(ms|s)")


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options of one line; ``map`` is bound to the station's values.

    ``reply_timeout_s``: from the end of a request to the first bytes of its reply. ``tries``: silent reads before a
    device is offline. ``poll_interval_s``: shortest time between two looks at a device, ``None`` = the map's periods.
    ``settle_s`` / ``start_ml`` (meters): how long nothing must flow before a fuelling is over; how much must flow
    before one begins. ``unit`` / ``delivery_interval_s``: of a gauge.
    """

    map: RegisterMap
    transport: str = RTU
    reply_timeout_s: float = 0.5
    tries: int = 3
    poll_interval_s: float | None = None
    settle_s: float = 5.0
    start_ml: int = 20
    unit: int = 1
    delivery_interval_s: float = 10.0


def check(kind: str, options: Mapping[str, object]) -> list[Problem]:
    """Every problem of ``options`` for a ``"dispenser"`` or ``"tank-gauge"``; empty when all is well."""
    known = ("map", "transport", "values", *_NUMBERS[kind])
    problems: list[Problem] = [
        (key, "there is no such option", f"known options: {', '.join(sorted(known))}")
        for key in options
        if key not in known
    ]
    for key, number in _NUMBERS[kind].items():
        if key in options and _number(options[key], number) is None:
            unit = " ms" if number.is_time else ""
            hint = f"write a whole number from {number.low} to {number.high}{unit}"
            problems.append((key, f"{options[key]!r} is not allowed", hint))
    if options.get("transport", RTU) not in REPLY_TIMEOUT_S:
        problems.append(("transport", f"{options['transport']!r} is no transport", "write rtu or tcp"))
    return problems + _map(kind, options)[1]


def read(kind: str, options: Mapping[str, object]) -> Options:
    """The checked options. Raises ``WiringError`` at the first problem."""
    problems = check(kind, options)
    if problems:
        key, problem, hint = problems[0]
        raise WiringError(f"option {key!r}: {problem}", hint=hint)
    transport = str(options.get("transport", RTU))
    values: dict[str, Any] = {"reply_timeout_s": REPLY_TIMEOUT_S[transport]}
    for key, number in _NUMBERS[kind].items():
        value = _number(options[key], number) if key in options else number.default
        if value is not None:
            values[f"{key}_s" if number.is_time else key] = value / 1000 if number.is_time else value
    bound = _map(kind, options)[0]
    assert bound is not None, "checked above"
    return Options(map=bound, transport=transport, **values)


def _map(kind: str, options: Mapping[str, object]) -> tuple[RegisterMap | None, list[Problem]]:
    name, values = options.get("map"), options.get("values", {})
    if not isinstance(name, str) or not name:
        return None, [("map", "no register map is named", "write the id of a shipped map or the path of your own")]
    if not isinstance(values, Mapping):
        return None, [("values", "is not a table", 'write values = {k_factor = "3666739.2"}')]
    try:
        bound = bind(find(name), values)
    except MapError as error:
        return None, [("map", str(problem), problem.hint) for problem in error.problems]
    except WiringError as error:
        return None, [("map", str(error), error.hint)]
    if bound.profile not in PROFILES[kind]:
        other = "modbus-gauge" if bound.profile is Profile.GAUGE else "modbus"
        return None, [("map", f"profile {bound.profile.value} is not for this protocol", f"write protocol = {other!r}")]
    return bound, []


def _number(value: object, number: Number) -> int | None:
    if number.is_time and isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        value = int(match[1]) * (1000 if match[2] == "s" else 1) if match else None
    if isinstance(value, bool) or not isinstance(value, int) or not number.low <= value <= number.high:
        return None
    return value
