"""What is questionable between offers: one that stands in another's way for ever, and what adds up to too much.

Knows pairs of offers and their conditions; amounts are compared in lint_dearer.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from agent.domain.rules.findings import Finding, Lint, Look
from agent.domain.rules.lint_offers import WHOLE_BP, is_money
from agent.domain.rules.model import Basis, GroupMode, Kind, Offer, Percent, RuleSet
from agent.domain.rules.overlap import holds_wherever, may_meet
from agent.domain.rules.plan import may_be_left_out, stand_together

_MEASURES = {
    Kind.PER_LITRE: "off_milli",
    Kind.FIXED_PRICE: "price_milli",
    Kind.PERCENT: "share_bp",
    Kind.AMOUNT_OFF: "off_minor",
    Kind.SPEND_THRESHOLD: "off_minor",
    Kind.EARN: "points",
    Kind.MULTIPLIER: "factor_pct",
    Kind.BONUS_POINTS: "points",
}
"""What makes one offer of a kind give more than another whose other terms are the same."""


def joints(look: Look) -> Iterator[Finding]:
    """Lists of ``joint`` that change nothing, or allow what a group forbids."""
    offers = {offer.id: offer for offer in look.rules.offers}
    for offer in look.rules.offers:
        for name in sorted(offer.joint):
            mate = offers[name]
            if mate.id == offer.id or not mate.is_discount or not (offer.exclusive or mate.exclusive):
                problem = f"naming {name} changes nothing: {_why(offer, mate)}"
                yield look.about(Lint.NO_EFFECT, offer, "joint", problem, "take it out, or make one of them exclusive")
            elif offer.group == mate.group and look.rules.mode_of(offer) is not GroupMode.STACK:
                problem = f"allows {name} beside it, but group {offer.group} gives only one of the two"
                yield look.about(Lint.CONTRADICTORY, offer, "joint", problem, "take it out, or part them")


def _why(offer: Offer, mate: Offer) -> str:
    if mate.id == offer.id:
        return "that is this offer"
    return "neither is exclusive" if mate.is_discount else "points and gifts stand beside any discount"


def shadowed(look: Look) -> Iterator[Finding]:
    """Offers of a group that gives one, where a mate always takes their place."""
    for group in look.rules.groups:
        mates = [offer for offer in look.rules.offers if offer.group == group.id]
        for offer in mates if group.mode is not GroupMode.STACK else ():
            holder = next((mate for mate in mates if mate is not offer and _shadows(mate, offer, group.mode)), None)
            if holder is not None:
                first = "stands before it" if group.mode is GroupMode.FIRST else "gives at least as much"
                problem = f"never applies: {holder.id} of group {group.id} {first} on every sale it could be given on"
                hint = "narrow the other's conditions, or change priority or group"
                yield look.about(Lint.SHADOWED, offer, "group", problem, hint)


def _shadows(mate: Offer, offer: Offer, mode: GroupMode) -> bool:
    if not holds_wherever(mate, offer):
        return False
    if mode is GroupMode.FIRST:
        return mate.order < offer.order and not (mate.is_discount and may_be_left_out(mate))
    if mate.exclusive and not (offer.exclusive and offer.joint <= mate.joint):
        return False
    better = _compare(mate, offer)
    return better is not None and _caps_hold(mate, offer) and (better > 0 or (better == 0 and mate.order < offer.order))


def _compare(mate: Offer, offer: Offer) -> int | None:
    """Return how much more ``mate`` gives by its terms, in their unit; ``None`` where terms cannot be compared."""
    key = _MEASURES.get(mate.kind)
    if key is None or type(mate.terms) is not type(offer.terms):
        return None
    terms: Any = mate.terms
    ours, theirs = int(getattr(terms, key)), int(getattr(offer.terms, key))
    if replace(terms, **{key: theirs}) != offer.terms:
        return None
    return theirs - ours if mate.kind is Kind.FIXED_PRICE else ours - theirs


def _caps_hold(mate: Offer, offer: Offer) -> bool:
    pairs = (
        (mate.caps.amount_minor, offer.caps.amount_minor),
        (mate.caps.volume_ml, offer.caps.volume_ml),
        (mate.caps.share_bp, offer.caps.share_bp),
        (mate.caps.points, offer.caps.points),
    )
    return all(left is None or (right is not None and left >= right) for left, right in pairs)


def idle_multipliers(look: Look) -> Iterator[Finding]:
    """Multipliers of points that no offer earns on the same sale."""
    earns = [offer for offer in look.rules.offers if offer.kind is Kind.EARN]
    for offer in look.rules.offers:
        if offer.kind is Kind.MULTIPLIER and not any(may_meet(offer, earn) for earn in earns):
            problem = "no EARN offer gives points on the sales it speaks of"
            yield look.about(Lint.NEVER_APPLIES, offer, "kind", problem, "add an EARN offer, or widen one")


def free_fuel(look: Look) -> Iterator[Finding]:
    """Shares of the gross that meet on one sale and come to more than all of it."""
    program = look.rules.program
    if program.discount_cap_minor is not None or (program.discount_cap_bp or WHOLE_BP) < WHOLE_BP:
        return
    shares = [offer for offer in look.rules.offers if isinstance(offer.terms, Percent) and is_money(offer)]
    told: set[str] = set()
    for seed in shares:
        if isinstance(seed.terms, Percent) and seed.terms.basis is Basis.GROSS and seed.id not in told:
            met = _together(look.rules, seed, [mate for mate in shares if _share_of_gross(mate)])
            total_bp = sum(_share_of_gross(mate) for mate in met)
            if total_bp > WHOLE_BP:
                told |= {mate.id for mate in met}
                named = ", ".join(mate.id for mate in met)
                problem = f"may come to {look.percent(total_bp)} of the gross together: {named}"
                hint = "lower them, put them into a BEST group, or set discount_cap_bp"
                yield look.about(Lint.FREE_FUEL, seed, "share_bp", problem, hint, numbers={"sum_bp": total_bp})


def _share_of_gross(offer: Offer) -> int:
    return offer.terms.share_bp if isinstance(offer.terms, Percent) and offer.terms.basis is Basis.GROSS else 0


def _together(rules: RuleSet, seed: Offer, others: list[Offer]) -> list[Offer]:
    """Return offers that may be given on one sale with ``seed``, the largest shares first."""
    met = [seed]
    for offer in sorted(others, key=lambda mate: (-_share_of_gross(mate), mate.order)):
        if offer is not seed and all(may_be_given_together(rules, offer, mate) for mate in met):
            met.append(offer)
    return sorted(met, key=lambda offer: offer.order)


def may_be_given_together(rules: RuleSet, one: Offer, other: Offer) -> bool:
    """Return whether a sale may be given both: conditions, group and ``exclusive`` allow it."""
    compete = one.group is not None and one.group == other.group and rules.mode_of(one) is not GroupMode.STACK
    return not compete and stand_together(one, other) and may_meet(one, other)
