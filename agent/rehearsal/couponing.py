"""Coupons of a script: what a station knows of one, its uses, and what of them was once too often.

A use that head office learns of too late is kept by the customer and borne by the programme. Steps are the domain's.
"""

from __future__ import annotations

from agent.domain import coupons
from agent.domain.coupons import Coupon, CouponUsed
from agent.domain.once import Benefit
from agent.domain.rules.facts import PresentedCoupon
from agent.domain.rules.verdict import Evaluation
from agent.rehearsal.events import Sell
from agent.rehearsal.firsts import count_overruns
from agent.rehearsal.world import EventRefused, World


def present(world: World, code: str, event: Sell) -> PresentedCoupon:
    """Return a coupon as the station knows it: online head office has reserved it for this sale, offline the station
    knows its own uses alone. Raises EventRefused for one that was never issued, or that another quote holds.
    """
    if code not in world.coupons:
        raise EventRefused(f"there is no coupon {code}", "issue it by a grant event before")
    coupon = coupons.timed_out(world.coupons[code], world.now_ms)
    claims = coupon.claims
    if event.offline:
        own = (used for used, _ in world.coupon_uses.get(code, ()) if _station(world, used) == event.station)
        coupon = Coupon(claims, tuple(own))
    elif coupon.reserved_for not in (None, event.sale):
        raise EventRefused(f"coupon {code} is held by sale {coupon.reserved_for}", "settle or void that sale before")
    return PresentedCoupon(
        claims.code, claims.offer, claims.member, claims.expires_on, coupon.used, coupon.balance_minor, claims.station,
        confirmed=not event.offline,
    )  # fmt: skip


def reserve(world: World, evaluation: Evaluation, until_ms: int) -> None:
    """Keep the coupons of a quote for its sale."""
    for use in evaluation.coupons:
        coupon = world.coupons[use.code]
        world.coupons[use.code] = coupons.reserve(coupon, evaluation.sale.sale, world.now_ms, until_ms)


def use_all(world: World, evaluation: Evaluation, *, offline: bool) -> None:
    """Note the uses of a settled sale. Raises CouponError where a quote's coupon was used meanwhile."""
    sale = evaluation.sale.sale
    member = None if evaluation.member is None else evaluation.member.member
    for use in evaluation.coupons:
        used = CouponUsed(sale, use.value_minor, use.left_minor)
        points = evaluation.verdict(use.offer).points
        gift = Benefit(sale, member, world.now_ms, use.value_minor, points)
        coupon = world.coupons[use.code]
        if not (offline and coupon.used):
            free = coupons.release(coupon, coupon.reserved_for or "") if offline else coupon
            world.coupons[use.code] = coupons.use(free, used)
        world.coupon_uses[use.code] = (*world.coupon_uses.get(use.code, ()), (used, gift))
        _count(world, use.code)


def give_back(world: World, evaluation: Evaluation) -> None:
    """Undo the uses of a sale that was given back whole; a use that was one too many takes its place."""
    sale = evaluation.sale.sale
    for use in evaluation.coupons:
        left = tuple(known for known in world.coupon_uses.get(use.code, ()) if known[0].sale != sale)
        coupon = coupons.give_back(world.coupons[use.code], sale)
        for used, _ in left:
            if not coupon.used and used.sale not in {known.sale for known in coupon.uses}:
                coupon = coupons.use(coupon, used)
        world.coupons[use.code], world.coupon_uses[use.code] = coupon, left
        _count(world, use.code)


def _station(world: World, used: CouponUsed) -> str:
    return world.sales[used.sale].evaluation.sale.station


def _count(world: World, code: str) -> None:
    gifts = [gift for _, gift in world.coupon_uses[code]]
    count_overruns(world, code, gifts, world.coupons[code].claims.balance_minor)
