"""Options of a DART line: names, defaults, limits and what each is for.

Knows no wire. Times are whole milliseconds, or text such as ``"35ms"`` or ``"2s"``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from drivers.errors import WiringError


@dataclass(frozen=True, slots=True)
class DartOptions:
    """Checked options of one line. Every time in seconds.

    ``reply_window_s``: from the end of our frame to the first byte of the answer.
    ``probe_window_s``: the same for a point that is offline, so that a dead one costs the others little. A point that
    was slower than that when it last answered gets twice its slowest answer; every eighth probe gets the full window.
    ``gap_in_frame_s``: silence that ends a broken frame; USB adapters hand bytes over in portions up to 16 ms apart.
    ``pause_frame_s`` / ``pause_ack_s``: quiet on the wire before our next frame / before our ACK.
    ``retries``: how often an unanswered block is sent again, with the same number.
    ``silent_polls`` / ``silent_time_s``: a point is offline after so many silent polls, or after so long.
    ``good_cycles``: answers in a row that bring it back.
    ``state_wait_s`` / ``state_polls``: how long, in how many polls at most, to wait for a state after a command.
    ``price_settle_s``: rest after new prices before they are checked.
    ``poll_interval_s``: shortest time between two turns of one point; 0 = as fast as the wire allows.
    ``ackpoll``: acknowledge and poll again in one frame while a point has more to say.
    ``amount_totals``: ask for the amount total of each nozzle as well.
    ``return_prices``: the heads answer RETURN PRICES (newer ones), so new prices can be read back.
    ``s4_dialect``: Europump S4 heads: amount totals travel in transaction 66 [uncertain, per firmware].
    """

    reply_window_s: float = 0.120
    probe_window_s: float = 0.060
    gap_in_frame_s: float = 0.050
    pause_frame_s: float = 0.035
    pause_ack_s: float = 0.005
    retries: int = 3
    silent_polls: int = 5
    silent_time_s: float = 8.0
    good_cycles: int = 3
    state_wait_s: float = 2.0
    state_polls: int = 16
    price_settle_s: float = 1.0
    poll_interval_s: float = 0.0
    ackpoll: bool = False
    amount_totals: bool = False
    return_prices: bool = False
    s4_dialect: bool = False


LIMITS: Mapping[str, tuple[int, int]] = {
    "reply_window": (10, 2_000),
    "probe_window": (10, 2_000),
    "gap_in_frame": (5, 500),
    "pause_frame": (0, 1_000),
    "pause_ack": (0, 500),
    "retries": (0, 10),
    "silent_polls": (1, 50),
    "silent_time": (1_000, 60_000),
    "good_cycles": (1, 20),
    "state_wait": (100, 30_000),
    "state_polls": (1, 200),
    "price_settle": (0, 30_000),
    "poll_interval": (0, 5_000),
}
"""Smallest and largest value of each number; times in milliseconds."""

_DURATION = re.compile(r"(\d{1,6})\s*(ms|s)")
_NAMES = {field.name.removesuffix("_s"): field for field in fields(DartOptions)}


def check(options: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """Every problem of ``options`` as (key, what is wrong, what to write instead); empty when all is well."""
    problems = []
    for key, value in options.items():
        try:
            _read(key, value)
        except WiringError as error:
            problems.append((key, str(error), error.hint))
    return problems


def read(options: Mapping[str, object]) -> DartOptions:
    """The checked options. Raises ``WiringError`` at the first problem."""
    values: dict[str, Any] = {}
    for key, value in options.items():
        checked = _read(key, value)
        values[_NAMES[key].name] = checked
    return DartOptions(**values)


def _read(key: str, value: object) -> int | float | bool:
    field = _NAMES.get(key)
    if field is None:
        raise WiringError("there is no such option", hint=f"known options: {', '.join(sorted(_NAMES))}")
    if isinstance(field.default, bool):
        if not isinstance(value, bool):
            raise WiringError(f"{value!r} is not true or false", hint="write true or false, without quotes")
        return value
    low, high = LIMITS[key]
    is_time = field.name.endswith("_s")
    unit = " ms" if is_time else ""
    number = _milliseconds(value) if is_time else value
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
        raise WiringError(f"{value!r} is not allowed", hint=f"write a whole number from {low} to {high}{unit}")
    return number / 1000 if is_time else number


def _milliseconds(value: object) -> object:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        return int(match[1]) * (1000 if match[2] == "s" else 1) if match else None
    return value
