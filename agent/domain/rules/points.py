"""Points of a sale: what EARN rules, multipliers and bonuses give on what is left to pay. Spending points is in
stages.py.

Knows no lots and no postings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from agent.domain.rules.conditions import Case, amount_limit_code, window_name
from agent.domain.rules.model import BonusPoints, Combine, Earn, GiftItem, GroupMode, Kind, Multiplier, Offer
from agent.domain.rules.verdict import Code, EarnTerm, Gift, Grant, Reason

PERCENT = 100


@dataclass(frozen=True, slots=True)
class Rewards:
    """What the rewards of a sale come to: grants in points, exact earn terms, bonus points and gifts."""

    grants: tuple[Grant, ...]
    earned: tuple[EarnTerm, ...]
    bonus_points: int
    gifts: tuple[Gift, ...]


def reward(case: Case, eligible: list[Offer], bases: tuple[int, ...]) -> Rewards:
    """Return the rewards of the eligible offers on ``bases``: what each line counts for earning, in minor units."""
    ordered = sorted(eligible, key=lambda offer: offer.order)
    multipliers = _one_per_group(case, [offer for offer in ordered if offer.kind is Kind.MULTIPLIER], _factor)
    factors = [_combined(case, multipliers, index) for index in range(len(case.sale.lines))]

    def exact(offer: Offer) -> Fraction:
        return _exact(case, offer, bases, factors)

    chosen = _one_per_group(case, [offer for offer in ordered if offer.kind is not Kind.MULTIPLIER], exact)
    grants, earned, gifts, bonus = [], [], [], 0
    for offer in chosen:
        if isinstance(offer.effect, GiftItem):
            gifts.append(Gift(offer.id, offer.effect.item, offer.effect.quantity))
            grants.append(Grant(offer, 0, 0))
            continue
        uncapped = EarnTerm(offer.id, exact(offer), case.rules.program.earn_rounding, None)
        grant, cap = _capped(case, offer, uncapped.points_at(Fraction(1)))
        grants.append(grant)
        if isinstance(offer.terms, Earn):
            earned.append(EarnTerm(offer.id, uncapped.exact, uncapped.rounding, cap))
        else:
            bonus += grant.granted
    grants += [Grant(offer, 0, 0) for offer in multipliers]
    return Rewards(tuple(grants), tuple(earned), bonus, tuple(gifts))


def _factor(offer: Offer) -> Fraction:
    assert isinstance(offer.terms, Multiplier)
    return Fraction(offer.terms.factor_pct, PERCENT)


def _one_per_group(case: Case, ordered: list[Offer], worth: Callable[[Offer], Fraction]) -> list[Offer]:
    """Return the offers their groups keep: all, the first, or the one worth most."""
    holders: dict[str, Offer] = {}
    for offer in ordered:
        mode = case.rules.mode_of(offer)
        key = offer.id if mode is GroupMode.STACK or offer.group is None else f"group {offer.group}"
        held = holders.get(key)
        if held is None or (mode is GroupMode.BEST and worth(offer) > worth(held)):
            holders[key] = offer
    kept = {offer.id for offer in holders.values()}
    return [offer for offer in ordered if offer.id in kept]


def _combined(case: Case, multipliers: list[Offer], index: int) -> Fraction:
    """Return the combined factor on one line, capped by the program."""
    program = case.rules.program
    factors = [_factor(offer) for offer in multipliers if index in case.matching(offer)]
    if program.combine is Combine.ADDITIVE:
        combined = 1 + sum((factor - 1 for factor in factors), Fraction(0))
    elif program.combine is Combine.MAX:
        combined = max(factors, default=Fraction(1))
    else:
        combined = prod(factors, start=Fraction(1))
    if program.multiplier_cap_pct is not None:
        combined = min(combined, Fraction(program.multiplier_cap_pct, PERCENT))
    return max(combined, Fraction(0))


def _exact(case: Case, offer: Offer, bases: tuple[int, ...], factors: list[Fraction]) -> Fraction:
    """Return the exact points of an offer, multiplied where it earns and not where it is a bonus."""
    terms = offer.effect
    if isinstance(terms, BonusPoints):
        return Fraction(terms.points)
    if not isinstance(terms, Earn):
        return Fraction(0)
    total = Fraction(0)
    for index in case.matching(offer):
        if terms.per_minor is not None:
            units = Fraction(bases[index], terms.per_minor)
        else:
            assert terms.per_ml is not None
            units = Fraction(case.sale.lines[index].volume_ml, terms.per_ml)
        total += units * terms.points * factors[index]
    return total


def _capped(case: Case, offer: Offer, points: int) -> tuple[Grant, int | None]:
    """Return the grant of a points offer after its caps, and the cap that binds it on this sale."""
    caps: list[tuple[int, Reason]] = []
    if offer.caps.points is not None:
        caps.append((offer.caps.points, Reason(Code.CAPPED_AMOUNT, offer.caps.points, points, "offer")))
    for limit in offer.caps.limits:
        if limit.amount is not None:
            used = case.used(offer, limit)[1]
            reason = Reason(amount_limit_code(limit), limit.amount, used, window_name(limit))
            caps.append((limit.amount - used, reason))
    granted, trims = points, []
    for cap, reason in caps:
        if cap < granted:
            granted = max(0, cap)
            trims.append(reason)
    return Grant(offer, points, granted, tuple(trims)), min((cap for cap, _ in caps), default=None)
