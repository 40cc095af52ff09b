"""Signs of misuse, rules R1 to R12: their limits, and what a rule finds. No finding ever stops fuelling or payment.

Pure: knows no table, no clock and no person's name. The rules themselves are in the ``fraud_*`` files beside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from agent.domain.identity import AuthLevel

_MINUTE_MS = 60_000
_DAY_MS = 86_400_000


class Rule(StrEnum):
    """What is looked at; docs/fraud.md says it to people."""

    VELOCITY = "R1"
    VOLUME = "R2"
    CONCENTRATION = "R3"
    LATE_LINKS = "R4"
    SLEEPER = "R5"
    WEAK_CODES = "R6"
    CORRECTIONS = "R7"
    REPLAY = "R8"
    MULTIPLIER_DAYS = "R9"
    STAFF_CARDS = "R10"
    REVERSALS = "R11"
    COUNTER = "R12"


class Unit(StrEnum):
    """What ``observed`` counts. Shares in basis points."""

    FUELLINGS_IN_WINDOW = "fuellings_in_window"
    FUELLINGS_ON_DAY = "fuellings_on_day"
    VOLUME_ML = "volume_ml"
    PRODUCTS = "products"
    SHARE_BP = "share_bp"
    LINKS_OF_ONE_MEMBER = "links_of_one_member"
    DELAY_S = "delay_s"
    SALES_OF_ONE_CODE = "sales_of_one_code"
    CORRECTIONS = "corrections"
    REPLAYS = "replays"
    OWN_LINKS = "own_links"
    REVERSALS = "reversals"
    REFUSALS = "refusals"
    COUNTER_JUMP = "counter_jump"
    OF_MEAN_PCT = "of_mean_pct"


class Severity(StrEnum):
    """INFO stays at the station; ALERT is told to head office and waits for a review."""

    INFO = "info"
    ALERT = "alert"


class Effect(StrEnum):
    """What a finding does to the points of one sale: nothing, they wait longer, they are held, there are none."""

    NONE = "none"
    DOUBTFUL = "doubtful"
    HOLD = "hold"
    NO_POINTS = "no_points"


class Verdict(StrEnum):
    """What a person found out: misuse, nothing, or not to be found out."""

    CONFIRMED = "confirmed"
    HARMLESS = "harmless"
    UNCLEAR = "unclear"


class SubjectKind(StrEnum):
    """Whom a finding is about."""

    MEMBER = "member"
    ATTENDANT = "attendant"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a finding is about: a member's opaque id, or a staff id (a reader's, where nobody was signed in)."""

    kind: SubjectKind
    id: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule saw. ``day``: local, ISO; ``observed``, ``threshold`` and ``median`` in ``unit``.

    ``sales``: ids with what the finding does to the points of each, the newest MAX_SALES. ``other``: with whom.
    """

    rule: Rule
    subject: Subject
    day: str
    severity: Severity
    from_ms: int
    to_ms: int
    observed: int
    threshold: int
    unit: Unit
    sales: tuple[tuple[str, Effect], ...] = ()
    median: int | None = None
    other: Subject | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Every threshold: counts, percent, ml and ms. "At least" for counts and shares, "more than" where it says so.

    ``tank_pct``, ``petrol_ml``, ``diesel_ml``, ``late_after_ms``, ``late_info_ms``, ``staff_day``, ``staff_fuellings``
    and ``counter_jump`` are the last value that is still in order.
    """

    median_attendants: int = 3
    velocity_ms: int = 60 * _MINUTE_MS
    velocity_info: int = 2
    velocity_alert: int = 3
    velocity_hold: int = 4
    tank_pct: int = 115
    petrol_ml: int = 120_000
    diesel_ml: int = 600_000
    concentration_ms: int = 30 * _DAY_MS
    concentration_links: int = 30
    concentration_pct: int = 10
    concentration_median_pct: int = 300
    pair_ms: int = 7 * _DAY_MS
    pair_links: int = 6
    late_after_ms: int = 120_000
    late_info_ms: int = 480_000
    late_links: int = 12
    late_pct: int = 25
    late_median_pct: int = 200
    sleeper_ms: int = 90 * _DAY_MS
    sleeper_earns: int = 10
    sleeper_pct: int = 80
    redemptions: int = 3
    redemptions_pct: int = 60
    weak_ms: int = 7 * _DAY_MS
    weak_links: int = 20
    weak_pct: int = 40
    weak_median_pct: int = 200
    weak_code_sales: int = 2
    corrections_ms: int = 7 * _DAY_MS
    corrections_shift: int = 3
    corrections_links: int = 20
    corrections_pct: int = 5
    replays: int = 1
    multiplier_ms: int = 28 * _DAY_MS
    multiplier_fuellings: int = 3
    multiplier_sales: int = 20
    multiplier_mean_pct: int = 150
    staff_day: int = 1
    staff_ms: int = 7 * _DAY_MS
    staff_fuellings: int = 3
    reversals_member: int = 2
    reversals_of_member_ms: int = 30 * _DAY_MS
    reversals_attendant: int = 3
    reversals_of_attendant_ms: int = 7 * _DAY_MS
    counter_refusals: int = 1
    counter_jump: int = 200
    noisy_reviews: int = 100
    noisy_pct: int = 5


DEFAULTS = Limits()

WEAK = frozenset({AuthLevel.FM1_PRINTED, AuthLevel.NUMBER, AuthLevel.PHONE, AuthLevel.UID})
"""Levels that a copy or a memory is enough for."""

MAX_SALES = 100
"""Sales that one finding names: enough to look at, few enough for a record."""


def member(member_id: str) -> Subject:
    """Return a member as a subject."""
    return Subject(SubjectKind.MEMBER, member_id)


def attendant(name: str) -> Subject:
    """Return an attendant as a subject: a staff id, or the reader's where nobody was signed in."""
    return Subject(SubjectKind.ATTENDANT, name)


def effect_on(sales: Iterable[str], effect: Effect) -> tuple[tuple[str, Effect], ...]:
    """Return the newest of some sales (ids sort by time) with one effect on each."""
    return tuple((sale, effect) for sale in sorted(set(sales))[-MAX_SALES:])
