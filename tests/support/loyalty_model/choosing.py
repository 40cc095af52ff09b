"""Which plan is taken: every set of eligible discounts is looked at, the lawful ones are compared. Knows no value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, product

from tests.support.loyalty_model.asking import coupon_order, usable
from tests.support.loyalty_model.words import Table, mode, order


def best(
    eligible: list[Table], document: Table, hands: list[Table], saving: Callable[[list[Table], Table], int]
) -> tuple[list[Table], Table]:
    """The lawful plan that saves most, with the hand of coupons it is taken with.

    Ties: fewer coupons, then the first sorted list of (priority, id), then the coupons that expire first.
    """

    def key(pair: tuple[list[Table], Table]) -> tuple[object, ...]:
        plan, hand = pair
        taken = [hand[offer["id"]] for offer in sorted(plan, key=order) if offer["kind"] == "COUPON"]
        orders = sorted(order(offer) for offer in plan)
        return (-saving(plan, hand), len(taken), orders, [coupon_order(coupon) for coupon in taken])

    plans = list(lawful_plans(eligible, document))
    return min(((plan, hand) for hand in hands for plan in plans), key=key)


def all_hands(open_offers: list[Table], document: Table, case: Table) -> list[Table]:
    """Every way to take one usable coupon for each coupon offer, by offer."""
    offers = [offer for offer in open_offers if offer["kind"] == "COUPON"]
    options = [usable(offer, document, case) for offer in offers]
    names = [offer["id"] for offer in offers]
    return [dict(zip(names, hand, strict=True)) for hand in product(*options)]


def lawful_plans(eligible: list[Table], document: Table) -> Iterator[list[Table]]:
    """Every set that takes all that groups and exclusive offers allow, but for those that may be left out."""
    for size in range(len(eligible) + 1):
        for plan in combinations(eligible, size):
            if _peaceful(plan, document) and not any(_missing(offer, plan, document) for offer in eligible):
                yield list(plan)


def optional(offer: Table) -> bool:
    """Only coupons, offers with a tier condition and exclusive offers may be left out."""
    return offer["kind"] == "COUPON" or "tiers" in offer.get("when", {}) or bool(offer.get("exclusive"))


def beside(one: Table, other: Table) -> bool:
    """Whether two discounts may stand together as far as exclusive and joint go; either side's list is enough."""
    if not one.get("exclusive") and not other.get("exclusive"):
        return True
    return other["id"] in one.get("joint", []) or one["id"] in other.get("joint", [])


def rivals(one: Table, other: Table, document: Table) -> bool:
    """Whether two offers are in one group of which only one is taken."""
    return one.get("group") is not None and one.get("group") == other.get("group") and mode(document, one) != "STACK"


def _peaceful(plan: tuple[Table, ...], document: Table) -> bool:
    return all(beside(one, other) and not rivals(one, other, document) for one, other in combinations(plan, 2))


def _missing(offer: Table, plan: tuple[Table, ...], document: Table) -> bool:
    """Whether a plan leaves out an offer that it had to take."""
    if offer in plan or optional(offer):
        return False
    mates = [mate for mate in plan if rivals(offer, mate, document)]
    if not all(beside(offer, mate) for mate in plan if mate not in mates):
        return False
    if not mates:
        return True
    return mode(document, offer) == "FIRST" and order(offer) < order(mates[0])
