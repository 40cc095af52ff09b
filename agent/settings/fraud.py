"""[fraud]: the thresholds of rules R1 to R12; what each rule does with them is in ``agent.domain.fraud``.

Shares and factors in percent, volumes in ml, durations in ms. The defaults are the domain's own.
"""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Annotated

from pydantic import Field

from agent.domain.fraud import DEFAULTS, Limits, Rule
from agent.settings.section import Section
from agent.settings.values import DurationMs, LitresMl, MinutesOfDay

Count = Annotated[int, Field(ge=1, le=10_000)]
Share = Annotated[int, Field(ge=1, le=100)]
Factor = Annotated[int, Field(ge=100, le=10_000)]
Days = Annotated[DurationMs, Field(ge=86_400_000, le=366 * 86_400_000)]
Litres = Annotated[LitresMl, Field(ge=1_000)]


class FraudSettings(Section):
    """[fraud]; ``off``: rules that this station does without."""

    off: tuple[Annotated[Rule, Field(strict=False)], ...] = Field(default=(), strict=False)
    night_at: MinutesOfDay = 120
    median_attendants: Annotated[int, Field(ge=2, le=1_000)] = DEFAULTS.median_attendants
    velocity: Annotated[DurationMs, Field(ge=60_000, le=86_400_000)] = DEFAULTS.velocity_ms
    velocity_info: Annotated[int, Field(ge=2, le=1_000)] = DEFAULTS.velocity_info
    velocity_alert: Annotated[int, Field(ge=2, le=1_000)] = DEFAULTS.velocity_alert
    velocity_hold: Annotated[int, Field(ge=2, le=1_000)] = DEFAULTS.velocity_hold
    tank_pct: Annotated[int, Field(ge=100, le=1_000)] = DEFAULTS.tank_pct
    petrol_l: Litres = DEFAULTS.petrol_ml
    diesel_l: Litres = DEFAULTS.diesel_ml
    concentration: Days = DEFAULTS.concentration_ms
    concentration_links: Count = DEFAULTS.concentration_links
    concentration_pct: Share = DEFAULTS.concentration_pct
    concentration_median_pct: Factor = DEFAULTS.concentration_median_pct
    pair: Days = DEFAULTS.pair_ms
    pair_links: Annotated[int, Field(ge=2, le=1_000)] = DEFAULTS.pair_links
    late_after: Annotated[DurationMs, Field(ge=1_000, le=86_400_000)] = DEFAULTS.late_after_ms
    late_info: Annotated[DurationMs, Field(ge=1_000, le=86_400_000)] = DEFAULTS.late_info_ms
    late_links: Count = DEFAULTS.late_links
    late_pct: Share = DEFAULTS.late_pct
    late_median_pct: Factor = DEFAULTS.late_median_pct
    sleeper: Days = DEFAULTS.sleeper_ms
    sleeper_earns: Count = DEFAULTS.sleeper_earns
    sleeper_pct: Share = DEFAULTS.sleeper_pct
    redemptions: Count = DEFAULTS.redemptions
    redemptions_pct: Share = DEFAULTS.redemptions_pct
    weak: Days = DEFAULTS.weak_ms
    weak_links: Count = DEFAULTS.weak_links
    weak_pct: Share = DEFAULTS.weak_pct
    weak_median_pct: Factor = DEFAULTS.weak_median_pct
    weak_code_sales: Annotated[int, Field(ge=2, le=1_000)] = DEFAULTS.weak_code_sales
    corrections: Days = DEFAULTS.corrections_ms
    corrections_shift: Count = DEFAULTS.corrections_shift
    corrections_links: Count = DEFAULTS.corrections_links
    corrections_pct: Share = DEFAULTS.corrections_pct
    replays: Count = DEFAULTS.replays
    multiplier_fuellings: Count = DEFAULTS.multiplier_fuellings
    multiplier: Days = DEFAULTS.multiplier_ms
    multiplier_sales: Count = DEFAULTS.multiplier_sales
    multiplier_mean_pct: Factor = DEFAULTS.multiplier_mean_pct
    staff_day: Count = DEFAULTS.staff_day
    staff: Days = DEFAULTS.staff_ms
    staff_fuellings: Count = DEFAULTS.staff_fuellings
    reversals_member: Count = DEFAULTS.reversals_member
    reversals_of_member: Days = DEFAULTS.reversals_of_member_ms
    reversals_attendant: Count = DEFAULTS.reversals_attendant
    reversals_of_attendant: Days = DEFAULTS.reversals_of_attendant_ms
    counter_refusals: Count = DEFAULTS.counter_refusals
    counter_jump: Annotated[int, Field(ge=1, le=100_000)] = DEFAULTS.counter_jump
    noisy_reviews: Count = DEFAULTS.noisy_reviews
    noisy_pct: Share = DEFAULTS.noisy_pct

    def limits(self) -> Limits:
        """Return what the rules compare with."""
        return _limits(self)


@lru_cache(maxsize=8)  # asked for with every link
def _limits(fraud: FraudSettings) -> Limits:
    return Limits(**{field.name: getattr(fraud, _key(field.name)) for field in fields(Limits)})


def _key(limit: str) -> str:
    """Return what a limit is called in the file: a volume is written in litres, a duration with its own unit."""
    if limit.endswith("_ml"):
        return limit.removesuffix("_ml") + "_l"
    return limit.removesuffix("_ms")
