"""A rule set as data: program, tiers, groups and offers, already checked. Reading one is load.py, applying one is
engine.py, what an offer gives is terms.py (and is named here too: a rule set has one place to import from).

Money in minor units, volume in millilitres, unit price in 1/1000 of the major unit per litre, shares in basis points.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum, StrEnum

from agent.domain.member import UseWindow
from agent.domain.rules.terms import (
    AmountOff,
    Basis,
    BonusPoints,
    Checking,
    Coupon,
    Earn,
    FixedPrice,
    GiftItem,
    Kind,
    Late,
    Multiplier,
    Percent,
    PerLitre,
    PointsAsMoney,
    PumpRollback,
    Scope,
    SpendThreshold,
    Terms,
    Trimmed,
)

__all__ = [
    "STAGE_OF",
    "WEEKDAYS",
    "AmountOff",
    "Basis",
    "Birthday",
    "BonusPoints",
    "Budget",
    "BudgetMode",
    "Caps",
    "Checking",
    "Combine",
    "Conditions",
    "Coupon",
    "Downgrade",
    "Earn",
    "EarnBase",
    "FixedPrice",
    "GiftItem",
    "Group",
    "GroupMode",
    "GrowthBase",
    "GrowthWindow",
    "Kind",
    "Late",
    "Limit",
    "Multiplier",
    "Offer",
    "PerLitre",
    "Percent",
    "PointsAsMoney",
    "Program",
    "PumpRollback",
    "ReversalPolicy",
    "Rounding",
    "RuleSet",
    "Scope",
    "SpendThreshold",
    "Stage",
    "Subject",
    "Terms",
    "Tier",
    "TimeWindow",
    "Trimmed",
]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Weekdays as documents name them; Monday is 0."""


class Stage(IntEnum):
    """The fixed order in which offers take their value; a roll-back that comes too late takes its own among LINE."""

    ROLLBACK = 0
    LINE = 1
    THRESHOLD = 2
    COUPON = 3
    POINTS = 4
    REWARD = 5


STAGE_OF = {
    Kind.PUMP_ROLLBACK: Stage.ROLLBACK,
    Kind.PER_LITRE: Stage.LINE,
    Kind.FIXED_PRICE: Stage.LINE,
    Kind.PERCENT: Stage.LINE,
    Kind.SPEND_THRESHOLD: Stage.THRESHOLD,
    Kind.AMOUNT_OFF: Stage.THRESHOLD,
    Kind.COUPON: Stage.COUPON,
    Kind.POINTS_AS_MONEY: Stage.POINTS,
    Kind.EARN: Stage.REWARD,
    Kind.MULTIPLIER: Stage.REWARD,
    Kind.BONUS_POINTS: Stage.REWARD,
    Kind.GIFT_ITEM: Stage.REWARD,
}


class GroupMode(StrEnum):
    """BEST: one, the one in the best plan. FIRST: the first by priority and id. STACK: all."""

    BEST = "BEST"
    FIRST = "FIRST"
    STACK = "STACK"


class Rounding(StrEnum):
    """How points become whole: FLOOR drops the remainder, HALF_UP rounds it."""

    FLOOR = "FLOOR"
    HALF_UP = "HALF_UP"


class EarnBase(StrEnum):
    """NET: after discounts and points. BEFORE_POINTS: after discounts only."""

    NET = "NET"
    BEFORE_POINTS = "BEFORE_POINTS"


class Combine(StrEnum):
    """How multipliers meet: ADDITIVE 1 + sum of (m - 1), MAX the largest, PRODUCT all multiplied."""

    ADDITIVE = "ADDITIVE"
    MAX = "MAX"
    PRODUCT = "PRODUCT"


class GrowthBase(StrEnum):
    """What growth counts: net spend in minor units, millilitres, or visits."""

    NET = "NET"
    VOLUME = "VOLUME"
    VISITS = "VISITS"


class GrowthWindow(StrEnum):
    """Over which days growth counts: the calendar year, the last N days or months, today included, or all of them."""

    CALENDAR_YEAR = "CALENDAR_YEAR"
    ROLLING_DAYS = "ROLLING_DAYS"
    ROLLING_MONTHS = "ROLLING_MONTHS"
    LIFE = "LIFE"


class Downgrade(StrEnum):
    """Where a member falls to whose growth no longer reaches the tier: one tier down, or the tier it reaches."""

    ONE_DOWN = "ONE_DOWN"
    RECOMPUTE = "RECOMPUTE"


class ReversalPolicy(StrEnum):
    """How far points are taken back on a refund: pending ones only, within the balance, or into debt."""

    ONLY_PENDING = "ONLY_PENDING"
    WITHIN_BALANCE = "WITHIN_BALANCE"
    UNLIMITED = "UNLIMITED"


class BudgetMode(StrEnum):
    """ALL_OR_NOTHING: a sale the budget cannot cover gets nothing. PARTIAL: it gets what is left."""

    ALL_OR_NOTHING = "ALL_OR_NOTHING"
    PARTIAL = "PARTIAL"


class Birthday(StrEnum):
    """When a birthday offer runs: on the day, or through the month."""

    DAY = "DAY"
    MONTH = "MONTH"


class Subject(StrEnum):
    """Whose uses a limit counts."""

    MEMBER = "MEMBER"
    STATION = "STATION"


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Minutes of the local day, start inclusive, end exclusive; an end before the start runs over midnight."""

    start_min: int
    end_min: int

    def holds(self, minute: int) -> bool:
        """Return whether a minute of the day (0 to 1439) lies inside."""
        if self.end_min < self.start_min:
            return minute >= self.start_min or minute < self.end_min
        return self.start_min <= minute < self.end_min


@dataclass(frozen=True, slots=True)
class Conditions:
    """When an offer may be given; an empty tuple or ``None`` asks for nothing. Weekdays: Monday is 0."""

    anyone: bool = False
    tiers: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    birthday: Birthday | None = None
    first_fill: bool = False
    visit_at: int | None = None
    visit_every: int | None = None
    visit_from: int | None = None
    grades: frozenset[str] = frozenset()
    product_groups: frozenset[str] = frozenset()
    stations: frozenset[str] = frozenset()
    weekdays: frozenset[int] = frozenset()
    windows: tuple[TimeWindow, ...] = ()
    starts_on: date | None = None
    ends_on: date | None = None
    min_amount_minor: int | None = None
    min_volume_ml: int | None = None
    min_level: str | None = None
    holdout_bp: int = 0

    @property
    def about_member(self) -> bool:
        """Whether a condition can only be answered for a member."""
        visits = (self.visit_at, self.visit_every, self.visit_from)
        return bool(self.tiers or self.tags or self.birthday or self.first_fill or self.min_level) or any(
            number is not None for number in visits
        )


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``uses`` uses, or ``amount`` in total (minor units, or points for a points offer), per subject and
    window.
    """

    subject: Subject
    window: UseWindow
    uses: int | None
    amount: int | None


@dataclass(frozen=True, slots=True)
class Caps:
    """Caps of one offer on one sale, and its limits over time. ``points`` caps a points offer."""

    amount_minor: int | None = None
    volume_ml: int | None = None
    share_bp: int | None = None
    points: int | None = None
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """The campaign whose money an offer spends."""

    campaign: str
    mode: BudgetMode


@dataclass(frozen=True, slots=True)
class Offer:
    """One offer: what it gives, when, to whom, beside what, and up to which cap. Lower ``priority`` comes first.

    Derived: ``order``, the key that makes the order of the file irrelevant; ``gives`` and ``effect``, the kind and
    terms that take effect on a sale (what a coupon wraps, what a late roll-back becomes); ``stage``, its place in the
    fixed order; ``turn``, the key by which discounts take their value (a late roll-back takes its own among LINE);
    ``is_discount``: it lowers what is paid in money, as points, earning and gifts do not;
    ``needs_member``: a sale without a member can never have it; ``asks_member``: a condition speaks of the member.
    """

    id: str
    name: str
    kind: Kind
    terms: Terms
    priority: int = 100
    group: str | None = None
    exclusive: bool = False
    joint: frozenset[str] = frozenset()
    when: Conditions = field(default_factory=Conditions)
    caps: Caps = field(default_factory=Caps)
    budget: Budget | None = None
    order: tuple[int, str] = field(init=False, compare=False, repr=False)
    gives: Kind = field(init=False, compare=False, repr=False)
    effect: Terms = field(init=False, compare=False, repr=False)
    stage: Stage = field(init=False, compare=False, repr=False)
    turn: tuple[int, int, str] = field(init=False, compare=False, repr=False)
    is_discount: bool = field(init=False, compare=False, repr=False)
    needs_member: bool = field(init=False, compare=False, repr=False)
    asks_member: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        gives, effect = _effect(self.kind, self.terms)
        stage = STAGE_OF[self.kind]
        if self.kind is Kind.COUPON and STAGE_OF[gives] is Stage.REWARD:
            stage = Stage.REWARD
        gives_points = stage >= Stage.POINTS and gives is not Kind.GIFT_ITEM
        member_limit = any(limit.subject is Subject.MEMBER for limit in self.caps.limits)
        derived = {
            "order": (self.priority, self.id),
            "gives": gives,
            "effect": effect,
            "stage": stage,
            "turn": (max(stage, Stage.LINE), self.priority, self.id),
            "is_discount": stage < Stage.POINTS,
            "needs_member": not self.when.anyone or self.when.about_member or member_limit or gives_points,
            "asks_member": self.when.about_member,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)


def _effect(kind: Kind, terms: Terms) -> tuple[Kind, Terms]:
    if isinstance(terms, Coupon):
        return terms.gives, terms.terms
    if isinstance(terms, PumpRollback):
        if terms.off_milli is not None:
            return Kind.PER_LITRE, PerLitre(terms.off_milli)
        assert terms.price_milli is not None, "a roll-back names an amount per litre or a price"
        return Kind.FIXED_PRICE, FixedPrice(terms.price_milli)
    return kind, terms


@dataclass(frozen=True, slots=True)
class Tier:
    """A tier, reached at ``threshold`` of growth; tiers of a rule set stand in rising order of threshold."""

    id: str
    name: str
    threshold: int


@dataclass(frozen=True, slots=True)
class Group:
    """Offers that compete or stack."""

    id: str
    mode: GroupMode


@dataclass(frozen=True, slots=True)
class Program:
    """The settings of the whole program; shares in basis points, ``step_points`` points are worth ``step_minor``.

    ``growth_length``: N of a rolling growth window, in its days or months. ``downgrade_grace_days``: full local days
    after the evaluation day on which a tier that was lost still holds.
    """

    currency: str
    exponent: int
    earn_rounding: Rounding
    earn_base: EarnBase
    validity_months: int | None
    step_points: int
    step_minor: int
    min_points: int
    combine: Combine
    multiplier_cap_pct: int | None
    discount_cap_minor: int | None
    discount_cap_bp: int | None
    pending_hours: int
    pending_weak_hours: int
    growth_base: GrowthBase
    reversal: ReversalPolicy
    returned_lot_grace_days: int
    growth_window: GrowthWindow = GrowthWindow.ROLLING_MONTHS
    growth_length: int = 12
    downgrade: Downgrade = Downgrade.ONE_DOWN
    downgrade_grace_days: int = 30


@dataclass(frozen=True, slots=True)
class RuleSet:
    """One version of the rules; offers stand sorted by priority and id whatever the file's order was."""

    version: int
    effective_from_ms: int
    program: Program
    tiers: tuple[Tier, ...]
    groups: tuple[Group, ...]
    offers: tuple[Offer, ...]
    _offers: dict[str, Offer] = field(init=False, compare=False, repr=False)
    _modes: dict[str, GroupMode] = field(init=False, compare=False, repr=False)
    _ranks: dict[str, int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_offers", {offer.id: offer for offer in self.offers})
        object.__setattr__(self, "_modes", {group.id: group.mode for group in self.groups})
        object.__setattr__(self, "_ranks", {tier.id: rank for rank, tier in enumerate(self.tiers, start=1)})

    def mode_of(self, offer: Offer) -> GroupMode:
        """Return how the offer's group chooses; an offer without a group stands alone."""
        return GroupMode.STACK if offer.group is None else self._modes.get(offer.group, GroupMode.STACK)

    def rank_of(self, tier: str | None) -> int:
        """Return the place of a tier from 1 upward; 0 for none and for one this version does not have."""
        return 0 if tier is None else self._ranks.get(tier, 0)

    def offer(self, offer_id: str) -> Offer:
        """Return an offer by id; raises KeyError where this version has none."""
        return self._offers[offer_id]

    def has(self, offer_id: str) -> bool:
        """Return whether this version has an offer."""
        return offer_id in self._offers

    def tier_reached(self, growth: int) -> str | None:
        """Return the highest tier whose threshold ``growth`` reaches; it takes effect from the next sale."""
        reached = [tier.id for tier in self.tiers if growth >= tier.threshold]
        return reached[-1] if reached else None
