"""Coupons on a sale: which of those presented may be used, and what a use leaves on one.

Knows what the station was told of a coupon; whether that is true is known where coupons are issued and checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from agent.domain.rules.conditions import Case, yyyymmdd
from agent.domain.rules.facts import PresentedCoupon
from agent.domain.rules.model import BonusPoints, Checking, Coupon, Offer, Trimmed
from agent.domain.rules.verdict import RANK, Code, CouponUse, Grant, Reason
from agent.domain.units import ceiling


def usable(offer: Offer, case: Case) -> tuple[PresentedCoupon, ...]:
    """Return the presented coupons of an offer that may be used, in the order in which equal ones are taken."""
    return tuple(coupon for coupon in case.presented.get(offer.id, ()) if _refused(offer, coupon, case) is None)


def coupon_refusal(offer: Offer, case: Case) -> Reason | None:
    """Return why none of the presented coupons of an offer may be used, or ``None`` where one may."""
    reasons = [_refused(offer, coupon, case) for coupon in case.presented.get(offer.id, ())]
    found = [reason for reason in reasons if reason is not None]
    if not found or len(found) < len(reasons):
        return None
    return min(found, key=lambda reason: RANK[reason.code])


def hands(offers: list[Offer], case: Case) -> Iterator[Case]:
    """Yield the case once for every way of taking one usable coupon for each of the offers: one of each, as a rule."""
    options = [usable(offer, case)[: None if offer.is_discount else 1] for offer in offers]  # gifts are worth the same
    for hand in product(*options):
        yield case.holding({coupon.offer: coupon for coupon in hand}) if hand else case


def unchecked(offer: Offer, coupon: PresentedCoupon, value_minor: int) -> Reason | None:
    """Return the reason where a coupon that nobody has checked is worth more than may be risked on it."""
    assert isinstance(offer.terms, Coupon)
    risky = offer.terms.checking is Checking.OFFLINE_WITH_RISK and not coupon.confirmed
    if not risky or value_minor <= offer.terms.risk_up_to_minor:
        return None
    return Reason(Code.OFFLINE_NOT_ALLOWED, offer.terms.risk_up_to_minor, value_minor, "risk")


def use_of(coupon: PresentedCoupon, grant: Grant) -> CouponUse:
    """Return what a sale did with a coupon whose offer was granted something; what was trimmed off may stay on it."""
    terms = grant.offer.terms
    assert isinstance(terms, Coupon)
    value_minor = grant.granted if grant.offer.is_discount else 0
    if terms.trimmed is not Trimmed.KEEP_BALANCE or not grant.offer.is_discount:
        return CouponUse(coupon.code, coupon.offer, value_minor, None, used=True)
    whole = grant.own if coupon.balance_minor is None else coupon.balance_minor
    left = whole - grant.granted
    return CouponUse(coupon.code, coupon.offer, value_minor, left or None, used=left == 0)


def _refused(offer: Offer, coupon: PresentedCoupon, case: Case) -> Reason | None:
    """Return the first reason, in the order of the codes, why one coupon may not be used on this sale."""
    assert isinstance(offer.terms, Coupon)
    elsewhere = coupon.station is not None and coupon.station != case.sale.station
    if elsewhere and not coupon.confirmed:
        return Reason(Code.WRONG_STATION)
    if not coupon.confirmed and not _checkable(offer.terms, coupon):
        return Reason(Code.OFFLINE_NOT_ALLOWED, detail="checking")
    risky = _risky_points(offer, coupon, case)
    if risky is not None:
        return risky
    if coupon.used or coupon.balance_minor == 0:
        return Reason(Code.COUPON_USED)
    if coupon.expires_on is not None and coupon.expires_on < case.day:
        return Reason(Code.COUPON_EXPIRED, yyyymmdd(coupon.expires_on), yyyymmdd(case.day))
    if coupon.member is not None and (case.member is None or coupon.member != case.member.member):
        return Reason(Code.COUPON_NOT_HOLDER)
    return None


def _checkable(terms: Coupon, coupon: PresentedCoupon) -> bool:
    """Whether this station alone can know that the coupon was not used, or may take the risk."""
    if terms.checking is Checking.SITE_BOUND:
        return coupon.station is not None
    return terms.checking is Checking.OFFLINE_WITH_RISK


def _risky_points(offer: Offer, coupon: PresentedCoupon, case: Case) -> Reason | None:
    """Whether a coupon for points is worth more than may be risked: they count at what they pay."""
    if not isinstance(offer.effect, BonusPoints):
        return None
    program, points = case.rules.program, offer.effect.points
    points = points if offer.caps.points is None else min(points, offer.caps.points)
    return unchecked(offer, coupon, ceiling(points * program.step_minor, program.step_points))
