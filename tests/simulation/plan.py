"""What kind of day a seed gives: the station, its customers, its delivery, and which faults strike after which sale."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from agent.failpoints import NAMES
from drivers.simulator.config import CustomerConfig
from drivers.simulator.faults import SIMULATOR_FAULTS
from tests.support.station_settings import Plan

APART = ("backup.", "restore.", "rebirth.", "delivery.", "board.", "card.", "command.", "members.")
STEPS = tuple(name for name in NAMES if not name.startswith(APART))
"""The named steps that a day passes; those of backups, rebirths, handhelds, cards, commands and buckets have tests of their own."""

LAST_STRIKE = 75
"""A fault strikes after so many sales at the latest, so that the station goes on selling after it."""

OWN_FAULTS = (
    "kill",
    "crash-loop",
    "power-cut",
    "disk-full",
    "broker-away",
    "broker-forgets",
    "broker-loses",
    "broker-doubles",
    "broker-reorders",
    "office-away",
    "clock-1970",
    "clock-400-days",
    "clock-back-1-h",
    "clock-forward-2-h",
)
"""Faults of processes, disk, network and clock; the forecourt's own are the simulator's, crashes are the failpoints'."""

ORDINARY_DAY = ("Asia/Shanghai", datetime(2026, 1, 5, 6, 0, tzinfo=UTC))
DST_DAYS = (
    ("Europe/Berlin", datetime(2026, 3, 29, 0, 20, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 0, 20, tzinfo=UTC)),
)
"""Days on which the clock is put on or back forty minutes after the opening."""


@dataclass(frozen=True)
class Strike:
    """One fault: its kind, after how many sales it strikes, and chance of its own."""

    kind: str
    after_sales: int
    seed: int


@dataclass(frozen=True)
class DayPlan:
    """Everything that is decided before the day begins."""

    seed: int
    station: Plan
    timezone: str
    epoch: datetime
    delivery_tank: int
    delivery_s: int
    strikes: tuple[Strike, ...]


def kinds() -> tuple[str, ...]:
    """Every kind of fault there is."""
    return (*SIMULATOR_FAULTS, *(f"crash:{name}" for name in STEPS), *OWN_FAULTS)


def draw(seed: int) -> DayPlan:
    """The day of a seed. The first fault goes round all kinds seed by seed, so that none waits for luck."""
    rng = Random(f"day:{seed}")
    every = kinds()
    chosen = [every[seed % len(every)]] + [rng.choice(every) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    strikes = sorted((_when(kind, rng), kind, rng.getrandbits(32)) for kind in chosen)
    timezone, epoch = rng.choice(DST_DAYS) if rng.randrange(8) == 0 else ORDINARY_DAY
    # who comes while a stranger's sale still waits for a link is asked which one is meant: most are members, waits are short
    customers = CustomerConfig(
        gap_mean_ms=rng.choice((4_000, 10_000, 10_000, 40_000)),
        gap_max_ms=600_000,
        arrive_max_ms=8_000,
        target_min_ml=2_500,
        target_max_ml=rng.choice((8_000, 14_000, 14_000, 45_000)),
        scan_after_max_ms=4_000,
        scan_first=700,
        second_sales=50,
        members=rng.choice((900, 1_000, 1_000)),
        patience_min_ms=20_000,
        patience_max_ms=60_000,
    )
    station = Plan(
        customers=customers,
        poll_ms=200,
        islands=rng.choice((1, 2, 4, 4, 4, 4)),
        settle_after="30s",
        link_after="30s",
        amount_totals=rng.randrange(10) == 0,
        timezone=timezone,
    )
    return DayPlan(
        seed=seed,
        station=station,
        timezone=timezone,
        epoch=epoch,
        delivery_tank=rng.randint(1, 3),
        delivery_s=rng.randrange(60, 400),
        strikes=tuple(Strike(kind, after, own) for after, kind, own in strikes),
    )


def _when(kind: str, rng: Random) -> int:
    """After how many sales; what only makes sense before the first reading strikes before it."""
    after = rng.randrange(3, LAST_STRIKE)
    return 0 if kind in SIMULATOR_FAULTS and SIMULATOR_FAULTS[kind].at_start else after
