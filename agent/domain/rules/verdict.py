"""The answer: one verdict per offer with a code and the numbers compared, and the evaluation that holds them all.

Knows no rule file and no ledger; sentences for people are made in explain.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from agent.domain.member import MemberFacts, UseCount, UseWindow
from agent.domain.rules.facts import BudgetView, LocalInstant, SaleFacts
from agent.domain.rules.model import Kind, Offer, Rounding, RuleSet
from agent.domain.units import half_up


class Verdict(StrEnum):
    """What became of an offer."""

    APPLIED = "APPLIED"
    CAPPED = "CAPPED"
    REJECTED = "REJECTED"


class Code(StrEnum):
    """Why; where several are true the first of this list is given. ``OK`` belongs to APPLIED alone."""

    OK = "OK"
    NOT_MEMBER = "NOT_MEMBER"
    NOT_REQUESTED = "NOT_REQUESTED"
    NOT_IN_AUDIENCE = "NOT_IN_AUDIENCE"
    WRONG_GRADE = "WRONG_GRADE"
    WRONG_STATION = "WRONG_STATION"
    OUTSIDE_WINDOW = "OUTSIDE_WINDOW"
    NOT_STARTED = "NOT_STARTED"
    ENDED = "ENDED"
    THRESHOLD_NOT_MET = "THRESHOLD_NOT_MET"
    MIN_VOLUME = "MIN_VOLUME"
    DAILY_LIMIT = "DAILY_LIMIT"
    CAPPED_VOLUME = "CAPPED_VOLUME"
    CAPPED_AMOUNT = "CAPPED_AMOUNT"
    CAPPED_MONTH = "CAPPED_MONTH"
    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    LEASE_EXPIRED = "LEASE_EXPIRED"
    OFFLINE_NOT_ALLOWED = "OFFLINE_NOT_ALLOWED"
    GROUP_TAKEN = "GROUP_TAKEN"
    EXCLUDED_BY = "EXCLUDED_BY"
    BEATEN_BY = "BEATEN_BY"
    COUPON_USED = "COUPON_USED"
    COUPON_EXPIRED = "COUPON_EXPIRED"
    COUPON_NOT_HOLDER = "COUPON_NOT_HOLDER"
    TOO_LATE_FOR_ROLLBACK = "TOO_LATE_FOR_ROLLBACK"
    POINTS_STEP = "POINTS_STEP"
    BALANCE_STALE = "BALANCE_STALE"
    HOLDOUT = "HOLDOUT"
    AUTH_TOO_WEAK = "AUTH_TOO_WEAK"


RANK = {code: rank for rank, code in enumerate(Code)}
"""Place of each code in the list; lower wins."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A code with the two numbers compared, in the unit of the code.

    Minor units: THRESHOLD_NOT_MET, CAPPED_AMOUNT, CAPPED_MONTH, BUDGET_EXHAUSTED (points for a points offer).
    Millilitres: MIN_VOLUME,
    CAPPED_VOLUME. Uses: DAILY_LIMIT. YYYYMMDD: NOT_STARTED, ENDED. Minute of the day or weekday: OUTSIDE_WINDOW. Rank
    or count:
    NOT_IN_AUDIENCE. Basis points: HOLDOUT. Strength: AUTH_TOO_WEAK. Points: POINTS_STEP. ``None`` where nothing was
    compared.
    ``detail`` names the window of a limit or the failed condition, ``by`` the offers that stood in the way.
    """

    code: Code
    needed: int | None = None
    actual: int | None = None
    detail: str | None = None
    by: str | None = None

    @property
    def short(self) -> int | None:
        """How much was missing, ``None`` where nothing was compared."""
        if self.needed is None or self.actual is None:
            return None
        return max(0, self.needed - self.actual)


APPLIED = Reason(Code.OK)


@dataclass(frozen=True, slots=True)
class Grant:
    """What an offer wanted and got, in minor units (points for a points offer), and what trimmed it.

    ``own``: what its own caps left of the desired, before the payable, the program's cap and the budget.
    """

    offer: Offer
    desired: int
    granted: int
    trims: tuple[Reason, ...] = ()
    own: int = 0

    @property
    def reason(self) -> Reason:
        """The first code that is true of this grant."""
        return min(self.trims, key=lambda trim: RANK[trim.code]) if self.trims else APPLIED

    @property
    def verdict(self) -> Verdict:
        """APPLIED in full, CAPPED in part, REJECTED where nothing was left."""
        if not self.trims:
            return Verdict.APPLIED
        return Verdict.CAPPED if self.granted > 0 else Verdict.REJECTED


@dataclass(frozen=True, slots=True)
class OfferVerdict:
    """The one verdict on one offer. Money in minor units; ``points`` and ``desired_points`` for points offers."""

    offer: str
    verdict: Verdict
    reason: Reason
    value_minor: int = 0
    desired_minor: int = 0
    points: int = 0
    desired_points: int = 0

    @property
    def code(self) -> Code:
        """The verdict's code."""
        return self.reason.code


@dataclass(frozen=True, slots=True)
class EarnTerm:
    """What one EARN rule gave, kept exact so that a partial refund can be recomputed; ``cap`` in points."""

    offer: str
    exact: Fraction
    rounding: Rounding
    cap: int | None

    def points_at(self, share: Fraction) -> int:
        """Return the points on ``share`` (0 to 1) of the net that was settled."""
        exact = self.exact * share
        if self.rounding is Rounding.HALF_UP:
            points = half_up(exact.numerator, exact.denominator)
        else:
            points = exact.numerator // exact.denominator
        return points if self.cap is None else min(points, self.cap)


@dataclass(frozen=True, slots=True)
class Gift:
    """An article to hand over."""

    offer: str
    item: str
    quantity: int


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """Money an applied offer takes from a campaign's lease."""

    campaign: str
    lease: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class CouponUse:
    """What a coupon gave on a sale. ``left_minor``: what stays on it, ``None`` where it is spent whole.

    ``used``: whether it can never be presented again; a coupon that keeps a balance can. ``value_minor`` is 0 for a
    coupon that gives points or an article.
    """

    code: str
    offer: str
    value_minor: int
    left_minor: int | None
    used: bool


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything one evaluation found; nothing is posted yet.

    ``discount_minor`` holds every line's value, points paid as money included, so ``net_minor + discount_minor`` is
    the gross.
    ``points_money_minor`` is the part paid by ``points_redeemed``. ``uses`` are the member's counts to add,
    ``station_uses`` the
    station's. ``plans_compared`` and ``greedy`` say how the choice was made. ``flags``: ``AMOUNT_MISMATCH``,
    ``NO_LIFT_SEEN``. ``coupons`` are those the sale uses. ``rollback_minor``: what the lower price at the pump saved;
    it is reported and is no discount, because the gross is the pump's amount. ``points_asked``: what the member asked
    to spend, ``None`` for nothing. ``budgets_told``: the leases and counts it went by.
    """

    sale: SaleFacts
    member: MemberFacts | None
    rules: RuleSet
    instant: LocalInstant
    verdicts: tuple[OfferVerdict, ...]
    gross_minor: int
    discount_minor: int
    points_money_minor: int
    net_minor: int
    line_nets_minor: tuple[int, ...]
    points_redeemed: int
    earned: tuple[EarnTerm, ...]
    points_earned: int
    bonus_points: int
    gifts: tuple[Gift, ...]
    uses: tuple[UseCount, ...]
    station_uses: tuple[UseCount, ...]
    budgets: tuple[BudgetUse, ...]
    plans_compared: int
    greedy: bool
    flags: tuple[str, ...]
    coupons: tuple[CouponUse, ...] = ()
    rollback_minor: int = 0
    points_asked: int | None = None
    budgets_told: BudgetView = field(default_factory=BudgetView)

    @property
    def coupons_unknown(self) -> tuple[str, ...]:
        """Codes of presented coupons whose offer the rule set does not have: no verdict speaks of them."""
        coupons = self.sale.presented.coupons
        return tuple(sorted(coupon.code for coupon in coupons if not self._is_coupon_offer(coupon.offer)))

    def _is_coupon_offer(self, offer_id: str) -> bool:
        return self.rules.has(offer_id) and self.rules.offer(offer_id).kind is Kind.COUPON

    def verdict(self, offer_id: str) -> OfferVerdict:
        """Return the verdict on an offer; raises KeyError for an offer the rule set does not have."""
        for verdict in self.verdicts:
            if verdict.offer == offer_id:
                return verdict
        raise KeyError(offer_id)


def windows_of(offer: Offer) -> tuple[UseWindow, ...]:
    """Return the windows in which uses of an offer must be counted; the life count also answers first fill."""
    return tuple(sorted({UseWindow.LIFE} | {limit.window for limit in offer.caps.limits}))
