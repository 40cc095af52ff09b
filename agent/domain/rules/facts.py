"""What one evaluation is told: the sale's lines, what the customer presented, the local instant, budgets and leases.

Knows no rule. Times are integer Unix milliseconds; the zone is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum

from agent.domain.member import AUTH_STRENGTH, UseCount
from agent.domain.sale import Sale

MAX_COUPONS = 8
"""Coupons of one sale: more is no customer, and the settled record must stay below its size limit."""

MAX_COUPON_CODE = 64
"""Characters of a coupon's code."""

LEVEL_SALES, LEVEL_VOLUME, STAFF_CARDS = "level sales", "level volume", "staff cards"
"""Limits by which a member's offers are withheld, as reasons name them."""

REDEEM_DAY = "redeem day"
"""How reasons name the limit on what points may pay on a day."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FactsError(ValueError):
    """Facts that no sale can have; the message names the value."""


class Purpose(StrEnum):
    """Why fuel left without a customer paying for it: no points and no discount."""

    DRIVE_OFF = "drive-off"
    METER_TEST = "meter-test"
    OWN_USE = "own-use"


@dataclass(frozen=True, slots=True)
class SaleLine:
    """One line as charged. ``volume_resolution_ml``: the device's step, ``None`` when unknown (amount not tested)."""

    grade: str
    product_group: str | None
    volume_ml: int
    unit_price_milli: int
    amount_minor: int
    volume_resolution_ml: int | None = None

    def __post_init__(self) -> None:
        if min(self.volume_ml, self.unit_price_milli, self.amount_minor) < 0:
            raise FactsError(f"a sale line has a negative volume, price or amount: {self}")


@dataclass(frozen=True, slots=True)
class PresentedCoupon:
    """A coupon as the station knows it at the quote; the engine believes every word of it.

    ``offer``: id of the COUPON offer it stands for. ``member``: its holder, ``None`` for whoever presents it.
    ``expires_on``: last local day, inclusive. ``balance_minor``: what an earlier use left on it, ``None`` while whole.
    ``station``: the station it is bound to. ``confirmed``: head office has reserved it for this sale, which satisfies
    any checking mode.
    """

    code: str
    offer: str
    member: str | None = None
    expires_on: date | None = None
    used: bool = False
    balance_minor: int | None = None
    station: str | None = None
    confirmed: bool = False

    def __post_init__(self) -> None:
        if not 0 < len(self.code) <= MAX_COUPON_CODE:
            raise FactsError(
                f"a coupon of {self.offer} has a code of {len(self.code)} characters: 1 to {MAX_COUPON_CODE}"
            )
        if self.balance_minor is not None and self.balance_minor < 0:
            raise FactsError(f"coupon {self.code} has a balance of {self.balance_minor}")

    @property
    def order(self) -> tuple[date, str]:
        """The key by which one of several is taken that save the same: the one that expires first, then by code."""
        return (self.expires_on or date.max, self.code)


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why a member gets nothing on a sale, the two numbers compared, in uses or, for ``level volume``, in millilitres.

    ``limit``: ``level sales``, ``level volume`` or ``staff cards``: that one takes points only.
    """

    limit: str
    needed: int
    actual: int

    @property
    def of_volume(self) -> bool:
        """Whether the numbers are millilitres."""
        return self.limit == LEVEL_VOLUME

    @property
    def points_only(self) -> bool:
        """Whether only points are withheld."""
        return self.limit == STAFF_CARDS


@dataclass(frozen=True, slots=True)
class RedeemLimit:
    """How much points may pay for one member on one day at this station, and what they have paid, in minor units."""

    limit_minor: int
    used_minor: int

    @property
    def left_minor(self) -> int:
        """What they may still pay."""
        return max(0, self.limit_minor - self.used_minor)


@dataclass(frozen=True, slots=True)
class Presented:
    """What came with the member: the link's auth level, how many points they ask to spend (``None``: not asked), and
    coupons. Raises FactsError for an unknown level, points below 0, a coupon presented twice, and too many coupons.
    """

    auth_level: str | None = None
    clock_suspect: bool = False
    points: int | None = None
    coupons: tuple[PresentedCoupon, ...] = ()
    withheld: Withheld | None = None
    """A limit of the link's level, or of staff cards, that this sale is beyond."""

    def __post_init__(self) -> None:
        if self.points is not None and self.points < 0:
            raise FactsError(f"{self.points} points asked for: ask for 0 or more")
        codes = [coupon.code for coupon in self.coupons]
        if len(codes) > MAX_COUPONS:
            raise FactsError(f"{len(codes)} coupons on one sale: at most {MAX_COUPONS}")
        if len(set(codes)) != len(codes):
            raise FactsError(f"a coupon is presented twice: {', '.join(sorted(codes))}")
        if self.auth_level is not None and self.auth_level not in AUTH_STRENGTH:
            raise FactsError(f"unknown auth level {self.auth_level!r}; known: {', '.join(AUTH_STRENGTH)}")

    @property
    def strength(self) -> int:
        """Strength of the link; a suspect clock lowers a strong one to earn only."""
        strength = 0 if self.auth_level is None else AUTH_STRENGTH[self.auth_level]
        return min(strength, 1) if self.clock_suspect else strength

    @property
    def weak(self) -> bool:
        """Whether earned points stay pending longer: a told or public number, or a suspect clock."""
        return self.clock_suspect or self.auth_level in ("number", "phone", "uid")


@dataclass(frozen=True, slots=True)
class RollbackGiven:
    """A lower price that was set at the pump before the nozzle was lifted: by which offer, and the price it replaced.

    ``list_price_milli``: 1/1000 of the major unit per litre.
    """

    offer: str
    list_price_milli: int


@dataclass(frozen=True, slots=True)
class SaleFacts:
    """The sale to evaluate; the sum of its lines is the gross, and the gross is the charge.

    ``rollback``: the lower price the pump sold at, ``None`` where it sold at its list price.
    """

    sale: str
    station: str
    currency: str
    exponent: int
    lines: tuple[SaleLine, ...]
    presented: Presented = Presented()
    purpose: Purpose | None = None
    rollback: RollbackGiven | None = None

    @property
    def amount_minor(self) -> int:
        """Gross of the sale."""
        return sum(line.amount_minor for line in self.lines)

    @property
    def volume_ml(self) -> int:
        """Volume of the sale."""
        return sum(line.volume_ml for line in self.lines)

    @classmethod
    def of_sale(
        cls,
        sale: Sale,
        *,
        station: str,
        product_group: str | None,
        presented: Presented | None = None,
        purpose: Purpose | None = None,
        volume_resolution_ml: int | None = None,
        rollback: RollbackGiven | None = None,
    ) -> SaleFacts:
        """Return the facts of a fuelling transaction: one line, and the roll-back the sale was made with."""
        if rollback is None and sale.rollback_offer is not None and sale.list_price_milli is not None:
            rollback = RollbackGiven(sale.rollback_offer, sale.list_price_milli)
        line = SaleLine(
            sale.grade, product_group, sale.volume_ml, sale.unit_price_milli, sale.amount_minor, volume_resolution_ml
        )
        return cls(sale.id, station, sale.currency, sale.exponent, (line,), presented or Presented(), purpose, rollback)


@dataclass(frozen=True, slots=True)
class LocalInstant:
    """The offer instant: the nozzle lift, or the end of sale where no lift was seen, in the station's zone."""

    unix_ms: int
    zone: tzinfo
    lift_seen: bool = True

    @classmethod
    def of_sale(cls, sale: Sale, zone: tzinfo) -> LocalInstant:
        """Return the instant that decides which offers run."""
        if sale.lifted_ms is None:
            return cls(sale.ended_ms, zone, lift_seen=False)
        return cls(sale.lifted_ms, zone)

    @property
    def local(self) -> datetime:
        """Wall-clock time in the zone."""
        return local_time(self.unix_ms, self.zone)

    @property
    def day(self) -> date:
        """The local calendar day."""
        return self.local.date()

    @property
    def minute(self) -> int:
        """Minute of the local day by the wall clock."""
        return self.local.hour * 60 + self.local.minute


def local_time(unix_ms: int, zone: tzinfo) -> datetime:
    """Return wall-clock time of a Unix millisecond in a zone."""
    return (_EPOCH + timedelta(milliseconds=unix_ms)).astimezone(zone)


@dataclass(frozen=True, slots=True)
class CampaignBudget:
    """What this station may still spend of a campaign: its lease. ``live``: not expired, not void."""

    campaign: str
    lease: str
    remaining_minor: int
    live: bool = True


@dataclass(frozen=True, slots=True)
class BudgetView:
    """Leases and counts of the station at the quote.

    ``points_usable``: points this station may let the member spend now; ``None`` when it holds no points lease and is
    offline.
    """

    campaigns: tuple[CampaignBudget, ...] = ()
    points_usable: int | None = None
    station_uses: tuple[UseCount, ...] = ()
    redeem: RedeemLimit | None = None
    """What points may pay today, ``None`` where nothing limits it but the points."""

    def of(self, campaign: str) -> CampaignBudget | None:
        """Return the lease of a campaign, ``None`` where the station has none."""
        for budget in self.campaigns:
            if budget.campaign == campaign:
                return budget
        return None
