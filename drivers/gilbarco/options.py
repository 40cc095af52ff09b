"""Options of a Two-Wire line: names, defaults, limits and what each is for.

Knows no wire. Times are whole milliseconds, or text such as ``"35ms"`` or ``"2s"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers import options as reading
from drivers.gilbarco.codec import DIALECTS
from drivers.registry import OptionProblem


@dataclass(frozen=True, slots=True)
class GilbarcoOptions:
    """Checked options of one line. Every time in seconds.

    ``reply_window_s``: from the end of our word to the first byte of the answer; pumps begin within 68 ms, converters
    add up to 60. ``probe_window_s``: the same for a pump that is offline, so that a dead one costs the others little;
    one that was slower when it last answered gets twice its slowest answer.
    ``gap_in_frame_s``: silence that ends a broken answer; USB adapters hand bytes over in portions up to 16 ms apart.
    ``pause_s``: quiet on the loop before our next word. ``settle_reply_s``: how soon a word without an answer can show
    in the status.
    ``strip_echo``: the converter or loop returns every byte we send.
    ``silent_polls`` / ``silent_time_s`` / ``good_cycles``: when a pump is offline, and online again.
    ``poll_interval_s``: shortest time between two turns of one pump.
    ``state_wait_s``: how long to wait for a state after a command. ``stop_wait_s``: how long STOP is repeated.
    ``gate_lock_s``: rest after an announcement (2n) that was not answered [single source].
    ``preset_wait_s``: rest between a preset and the authorisation.
    ``money_after_s``: running money is not asked earlier in a delivery [single source].
    ``still_s``: how long the totals must stand still before an ended sale counts as ended; which of the two end states
    comes with the nozzle still out is not known [uncertain].
    ``price_settle_s``: rest after new prices before they are read back. ``prices_every_s``: how often a resting pump's
    prices are looked at.
    ``price_level``: 1 or 2, the one that prices are set for and sales made at.
    ``preset_dialect``: shape of the preset block, differs between firmware.
    ``total_volume_decimals`` (1 on some heads) and ``preset_volume_decimals``: of the digits on the wire, where those
    of the sale are the point's. ``money_factor`` / ``price_factor``: a digit on the wire is worth so many, where the
    currency's numbers are too large for six and four digits.
    ``nozzle_query``: ask which nozzle is out. ``preauthorise``: authorise a pump whose nozzle hangs [uncertain].
    """

    reply_window_s: float = 0.500
    probe_window_s: float = 0.080
    gap_in_frame_s: float = 0.050
    pause_s: float = 0.005
    settle_reply_s: float = 0.070
    silent_time_s: float = 8.0
    poll_interval_s: float = 0.400
    state_wait_s: float = 2.0
    stop_wait_s: float = 10.0
    gate_lock_s: float = 2.0
    preset_wait_s: float = 0.100
    money_after_s: float = 1.5
    still_s: float = 1.0
    price_settle_s: float = 0.5
    prices_every_s: float = 20.0
    silent_polls: int = 5
    good_cycles: int = 3
    price_level: int = 1
    total_volume_decimals: int = 2
    preset_volume_decimals: int = 2
    money_factor: int = 1
    price_factor: int = 1
    preset_dialect: str = field(default="p5_level", metadata={"words": tuple(DIALECTS)})
    strip_echo: bool = False
    nozzle_query: bool = True
    preauthorise: bool = False


LIMITS: Mapping[str, tuple[int, int]] = {
    "reply_window": (70, 2_000),
    "probe_window": (70, 2_000),
    "gap_in_frame": (5, 500),
    "pause": (5, 500),
    "settle_reply": (70, 2_000),
    "silent_time": (1_000, 60_000),
    "poll_interval": (0, 5_000),
    "state_wait": (100, 30_000),
    "stop_wait": (500, 30_000),
    "gate_lock": (0, 30_000),
    "preset_wait": (0, 5_000),
    "money_after": (0, 30_000),
    "still": (0, 30_000),
    "price_settle": (0, 30_000),
    "prices_every": (1_000, 3_600_000),
    "silent_polls": (1, 50),
    "good_cycles": (1, 20),
    "price_level": (1, 2),
    "total_volume_decimals": (0, 3),
    "preset_volume_decimals": (0, 3),
    "money_factor": (1, 10_000),
    "price_factor": (1, 10_000),
}
"""Smallest and largest value of each number; times in milliseconds."""


def check(options: Mapping[str, object]) -> list[OptionProblem]:
    """Every problem of ``options`` as (key, what is wrong, what to write instead); empty when all is well."""
    return reading.check(GilbarcoOptions, LIMITS, options)


def read(options: Mapping[str, object]) -> GilbarcoOptions:
    """The checked options. Raises ``WiringError`` at the first problem."""
    return reading.read(GilbarcoOptions, LIMITS, options)
