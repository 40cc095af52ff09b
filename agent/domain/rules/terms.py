"""What an offer gives, as data: one record per kind, and the words they are written with.

Money in minor units, volume in millilitres, unit price in 1/1000 of the major unit per litre, shares in basis points.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


class Basis(StrEnum):
    """GROSS: what the pump charged. RUNNING: what earlier offers left of it."""

    GROSS = "GROSS"
    RUNNING = "RUNNING"


class Scope(StrEnum):
    """LINE: rounded per line. ORDER: rounded once on the sum, then spread over the lines."""

    LINE = "LINE"
    ORDER = "ORDER"


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
