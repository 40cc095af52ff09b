"""What must hold between the parts of a rule set: names that point somewhere, groups of one kind, tier lists closed
upward.

Knows parsed offers, not the document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from agent.domain.rules.fields import Problem
from agent.domain.rules.model import Group, GroupMode, Kind, Offer, Tier

Placed = list[tuple[str, Offer]]
_MONEY_CAPS_HINT = "caps on amount, volume and share belong to discounts"


def check_offers(offers: Placed, tiers: tuple[Tier, ...], groups: tuple[Group, ...]) -> list[Problem]:
    """Return everything wrong between the parts; ``offers`` come with their path in the document."""
    problems = [*_twice("offer", [offer.id for _, offer in offers]), *_twice("tier", [tier.id for tier in tiers])]
    problems += [*_twice("group", [group.id for group in groups])]
    problems += _twice("tier threshold", [str(tier.threshold) for tier in tiers])
    known = {offer.id for _, offer in offers}
    for path, offer in offers:
        problems += _names(path, offer, known, groups)
        problems += _tiers(path, offer, tiers)
        problems += _kind(path, offer)
    problems += _groups(offers, groups)
    return problems


def _twice(what: str, names: list[str]) -> Iterator[Problem]:
    for name, count in sorted(Counter(names).items()):
        if name and count > 1:
            yield Problem(what, f"{name!r} is given {count} times", "give each its own")


def _names(path: str, offer: Offer, known: set[str], groups: tuple[Group, ...]) -> Iterator[Problem]:
    if offer.group is not None and offer.group not in {group.id for group in groups}:
        yield Problem(f"{path}.group", f"names no group: {offer.group!r}", "add a [[group]] with this id and a mode")
    for name in sorted(offer.joint - known):
        yield Problem(f"{path}.joint", f"names no offer: {name!r}", "name offers of this rule set")


def _tiers(path: str, offer: Offer, tiers: tuple[Tier, ...]) -> Iterator[Problem]:
    ordered = [tier.id for tier in sorted(tiers, key=lambda tier: tier.threshold)]
    for name in sorted(offer.when.tiers - set(ordered)):
        yield Problem(f"{path}.when.tiers", f"names no tier: {name!r}", "add a [[tier]] with this id")
    named = [name for name in ordered if name in offer.when.tiers]
    if not offer.is_discount or not named:
        return
    missing = [name for name in ordered[ordered.index(named[0]) :] if name not in offer.when.tiers]
    if missing:
        hint = f"add {', '.join(missing)}: a better tier never makes a sale dearer"
        yield Problem(f"{path}.when.tiers", "is not closed upward", hint)


def _kind(path: str, offer: Offer) -> Iterator[Problem]:
    if offer.exclusive and not offer.is_discount:
        yield Problem(f"{path}.exclusive", f"has no meaning for {offer.kind}", "only a discount can be exclusive")
    if offer.joint and not offer.is_discount:
        yield Problem(f"{path}.joint", f"has no meaning for {offer.kind}", "points and gifts stand beside any discount")
    if offer.budget is not None and not offer.is_discount:
        yield Problem(f"{path}.budget", f"has no meaning for {offer.kind}", "a budget is money for discounts")
    caps = offer.caps
    if not offer.is_discount and (caps.amount_minor, caps.volume_ml, caps.share_bp) != (None, None, None):
        yield Problem(f"{path}.cap", f"does not fit {offer.kind}", _MONEY_CAPS_HINT)
    if caps.volume_ml is not None and offer.gives in (Kind.AMOUNT_OFF, Kind.SPEND_THRESHOLD):
        yield Problem(f"{path}.cap.volume_ml", f"does not fit {offer.gives}", "its value does not follow the volume")
    if offer.gives in (Kind.MULTIPLIER, Kind.GIFT_ITEM) and any(limit.amount is not None for limit in caps.limits):
        yield Problem(f"{path}.limit", f"on an amount does not fit {offer.gives}", "limit its uses")
    if offer.kind is Kind.PUMP_ROLLBACK:
        yield from _rollback(path, offer)


def _rollback(path: str, offer: Offer) -> Iterator[Problem]:
    """What a price that is set before the first litre cannot keep: the amount is known when the pump has stopped."""
    caps, hint = offer.caps, "cap its volume or limit its uses: the pump has given it before the amount is known"
    if (caps.amount_minor, caps.share_bp) != (None, None):
        yield Problem(f"{path}.cap", f"on an amount does not fit {offer.kind}", hint)
    if any(limit.amount is not None for limit in caps.limits):
        yield Problem(f"{path}.limit", f"on an amount does not fit {offer.kind}", hint)
    if offer.budget is not None:
        yield Problem(f"{path}.budget", f"does not fit {offer.kind}", hint)


def _groups(offers: Placed, groups: tuple[Group, ...]) -> Iterator[Problem]:
    for group in groups:
        mates = [offer for _, offer in offers if offer.group == group.id]
        if group.mode is GroupMode.STACK:
            continue
        sorts = {"discount" if mate.is_discount else mate.gives.value for mate in mates}
        if len(sorts) > 1:
            hint = "make one group of discounts and one for each kind of reward"
            yield Problem(f"group {group.id}", f"mixes {', '.join(sorted(sorts))}", hint)
        if Kind.POINTS_AS_MONEY.value in sorts:
            yield Problem(f"group {group.id}", "chooses between payments in points", "use priorities, or mode STACK")
