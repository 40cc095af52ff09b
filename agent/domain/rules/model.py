"""A rule set as data: program, tiers, groups and offers, already checked. Reading one is load.py, applying one is
engine.py.

Money in minor units, volume in millilitres, unit price in 1/1000 of the major unit per litre, shares in basis points.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum, StrEnum

from agent.domain.member import UseWindow


class Kind(StrEnum):
    """What an offer gives."""

    PUMP_ROLLBACK = "PUMP_ROLLBACK"
    PER_LITRE = "PER_LITRE"
    PERCENT = "PERCENT"
    AMOUNT_OFF = "AMOUNT_OFF"
    SPEND_THRESHOLD = "SPEND_THRESHOLD"
    FIXED_PRICE = "FIXED_PRICE"
    COUPON = "COUPON"
    POINTS_AS_MONEY = "POINTS_AS_MONEY"
    GIFT_ITEM = "GIFT_ITEM"
    EARN = "EARN"
    MULTIPLIER = "MULTIPLIER"
    BONUS_POINTS = "BONUS_POINTS"


class Stage(IntEnum):
    """The fixed order in which offers take their value; roll-backs and coupons have their place kept."""

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


class Basis(StrEnum):
    """GROSS: what the pump charged. RUNNING: what earlier offers left of it."""

    GROSS = "GROSS"
    RUNNING = "RUNNING"


class Scope(StrEnum):
    """LINE: rounded per line. ORDER: rounded once on the sum, then spread over the lines."""

    LINE = "LINE"
    ORDER = "ORDER"


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


class Late(StrEnum):
    """What becomes of a roll-back that was not set at the pump: a discount per litre, or nothing."""

    CONVERT = "CONVERT"
    REJECT = "REJECT"


class Checking(StrEnum):
    """Where a coupon can be told from one that was used: at head office, at its own station, or anywhere with a
    risk.
    """

    ONLINE_ONLY = "ONLINE_ONLY"
    SITE_BOUND = "SITE_BOUND"
    OFFLINE_WITH_RISK = "OFFLINE_WITH_RISK"


class Trimmed(StrEnum):
    """What becomes of a coupon that a sale cannot take whole: the rest is lost, stays on it, or it stays unused."""

    SPEND = "SPEND"
    KEEP_BALANCE = "KEEP_BALANCE"
    KEEP_COUPON = "KEEP_COUPON"


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
class PerLitre:
    """So much off each litre."""

    off_milli: int


@dataclass(frozen=True, slots=True)
class FixedPrice:
    """A unit price for the litres, where it is below the pump's."""

    price_milli: int


@dataclass(frozen=True, slots=True)
class Percent:
    """A share of the gross or of the running net."""

    share_bp: int
    basis: Basis
    scope: Scope


@dataclass(frozen=True, slots=True)
class AmountOff:
    """A fixed amount off."""

    off_minor: int


@dataclass(frozen=True, slots=True)
class SpendThreshold:
    """``off_minor`` for every full ``per_minor`` spent, at most ``repeat`` times."""

    off_minor: int
    per_minor: int
    repeat: int
    basis: Basis


@dataclass(frozen=True, slots=True)
class PointsAsMoney:
    """Points pay up to a share of the payable, in the program's steps."""

    share_bp: int


@dataclass(frozen=True, slots=True)
class GiftItem:
    """An article handed over."""

    item: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Earn:
    """``points`` for each ``per_minor`` of the earn base or each ``per_ml`` of volume: exactly one of the two."""

    points: int
    per_minor: int | None
    per_ml: int | None


@dataclass(frozen=True, slots=True)
class Multiplier:
    """A factor on earned points in 1/100."""

    factor_pct: int


@dataclass(frozen=True, slots=True)
class BonusPoints:
    """A fixed number of points, never multiplied."""

    points: int


@dataclass(frozen=True, slots=True)
class PumpRollback:
    """A lower unit price set at the pump: so much off each litre, or a price. Exactly one of the two is given."""

    off_milli: int | None
    price_milli: int | None
    late: Late


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon that gives what another kind gives, once. ``risk_up_to_minor``: the largest value taken unchecked."""

    gives: Kind
    terms: Terms
    checking: Checking
    risk_up_to_minor: int
    trimmed: Trimmed


Terms = (
    PumpRollback
    | Coupon
    | PerLitre
    | FixedPrice
    | Percent
    | AmountOff
    | SpendThreshold
    | PointsAsMoney
    | GiftItem
    | Earn
    | Multiplier
    | BonusPoints
)


@dataclass(frozen=True, slots=True)
class Offer:
    """One offer: what it gives, when, to whom, beside what, and up to which cap. Lower ``priority`` comes first."""

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

    @property
    def stage(self) -> Stage:
        """Where in the fixed order this offer takes its value."""
        return STAGE_OF[self.kind]

    @property
    def is_discount(self) -> bool:
        """Whether the offer lowers what is paid in money; points, earning and gifts do not."""
        return self.stage < Stage.POINTS

    @property
    def order(self) -> tuple[int, str]:
        """The key that makes the order of the file irrelevant."""
        return (self.priority, self.id)

    @property
    def needs_member(self) -> bool:
        """Whether a sale without a member can never have it."""
        member_limit = any(limit.subject is Subject.MEMBER for limit in self.caps.limits)
        gives_points = self.stage >= Stage.POINTS and self.kind is not Kind.GIFT_ITEM
        return not self.when.anyone or self.when.about_member or member_limit or gives_points


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

    ``growth_length``: N of a rolling growth window, in its days or months. ``downgrade_grace_days``: full local days after the
    evaluation day on which a tier that was lost still holds.
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

    def mode_of(self, offer: Offer) -> GroupMode:
        """Return how the offer's group chooses; an offer without a group stands alone."""
        for group in self.groups:
            if group.id == offer.group:
                return group.mode
        return GroupMode.STACK

    def offer(self, offer_id: str) -> Offer:
        """Return an offer by id; raises KeyError where this version has none."""
        for offer in self.offers:
            if offer.id == offer_id:
                return offer
        raise KeyError(offer_id)

    def tier_reached(self, growth: int) -> str | None:
        """Return the highest tier whose threshold ``growth`` reaches; it takes effect from the next sale."""
        reached = [tier.id for tier in self.tiers if growth >= tier.threshold]
        return reached[-1] if reached else None
