"""What a simulated console remembers and how it tells it: alarm history, deliveries, charts.

Second writing of the sheet: pure texts of replies and pages. Knows no port, no clock and nothing of any driver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from drivers.simulator import tls_frames as tls

NON_PRIORITY = frozenset({10, 11})
"""Warnings; every other tank alarm is in the priority history."""

CLEARED, OCCURRED = 1, 2
HISTORY_KEPT = 100
OCCURRENCES_KEPT = 10
MULTIPOINTS = 50
TWENTIETHS = tuple(range(100, 0, -5))
SHORTEST_STEP = {1: 0.010, 2: 0.397, 3: 0.010}
TANK_CATEGORY = 2


@dataclass(frozen=True, slots=True)
class Happening:
    """A tank alarm came (``state`` 2) or went (1)."""

    at: datetime
    tank: int
    alarm: int
    state: int


def alarm_history(events: Sequence[Happening], *, priority: bool) -> str:
    """111 and 112: (AA cc NN TT SS T2)*, newest first."""
    chosen = [e for e in events if (e.alarm not in NON_PRIORITY) == priority]
    return "".join(
        f"{TANK_CATEGORY:02d}00{e.alarm:02d}{e.tank:02d}{e.state:02d}{tls.clock_field(e.at)}" for e in reversed(chosen)
    )


def standing(alarms: Sequence[tuple[int, int, datetime]], header: Sequence[str]) -> str:
    """113: four header lines of 20 characters, then (AA cc NN TT T2)* of (tank, alarm, since)."""
    lines = "".join(tls.label_field(line) for line in header)
    return lines + "".join(f"{TANK_CATEGORY:02d}00{n:02d}{tank:02d}{tls.clock_field(at)}" for tank, n, at in alarms)


def occurrences(events: Sequence[Happening], tank: int) -> str:
    """206 of one tank: nn (T2 aaaa)*, nn decimal, aaaa hexadecimal, newest first."""
    chosen = [e for e in reversed(events) if e.tank == tank and e.state == OCCURRED][:OCCURRENCES_KEPT]
    return f"{len(chosen):02d}" + "".join(f"{tls.clock_field(e.at)}{e.alarm:04X}" for e in chosen)


def delivery_record(start: datetime, end: datetime, values: Sequence[float]) -> str:
    """One record of 202, 20C and 20F: S E NN F.."""
    floats = "".join(tls.float_field(value) for value in values)
    return f"{tls.clock_field(start)}{tls.clock_field(end)}{len(values):02X}{floats}"


def delivery_page(tank: int, label: str, sides: Sequence[tuple[str, datetime, Sequence[float]]]) -> list[str]:
    """The lines of one tank on a 202 page; ``sides``: name, time, volume, TC, water, temperature, height."""
    lines = [
        f"T {tank}:{label}",
        "INCREASE   DATE / TIME             VOLUME TC VOLUME WATER  TEMP   HEIGHT",
        "",
    ]
    for name, at, (volume, corrected, water, temperature, height) in sides:
        row = f"{volume:8.0f}{corrected:9.0f}{water:8.2f}{temperature:7.2f}{height:9.2f}"
        lines.append(f"{name + ':':>10} {tls.clock_words(at):<22}{row}")
    return lines


def chart(step: float, tallest: float, volume_at: Callable[[float], float]) -> str:
    """211: nnnn (H V)*; nnnn counts floats, hexadecimal; from 0 in steps up to the diameter."""
    points: list[float] = []
    for index in range(int(tallest / step) + 1):
        points += [index * step, volume_at(index * step)]
    return f"{len(points):04X}" + "".join(tls.float_field(value) for value in points)


def multipoint(diameter: float, full: float, volume_at: Callable[[float], float]) -> str:
    """63B, open: 0 D FV nn (H V)*, highest first, nn hexadecimal."""
    heights = [diameter * n / (MULTIPOINTS + 1) for n in range(MULTIPOINTS, 0, -1)]
    pairs = "".join(tls.float_field(h) + tls.float_field(volume_at(h)) for h in heights)
    return f"0{tls.float_field(diameter)}{tls.float_field(full)}{MULTIPOINTS:02X}{pairs}"


def shares(diameter: float, percents: Sequence[int], volume_at: Callable[[float], float]) -> str:
    """605 and 606: volumes at these percents of the diameter."""
    return "".join(tls.float_field(volume_at(diameter * percent / 100)) for percent in percents)
