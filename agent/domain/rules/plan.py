"""Which offers stand together: builds the plans that groups and exclusive offers allow, and finds the one that saves
most.

Knows neither values nor conditions: a plan's saving is asked of the function it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, product

from agent.domain.rules.model import GroupMode, Kind, Offer, RuleSet

MAX_PLANS = 256
"""Plans compared one by one; a rule set that allows more is searched greedily from the best of these, and says so."""

Plan = tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The plan that won, how many were compared, and whether the rest was searched greedily."""

    plan: Plan
    compared: int
    greedy: bool


def may_be_left_out(offer: Offer) -> bool:
    """Return whether a plan may do without an eligible offer: a coupon or a better tier never makes a sale dearer."""
    return offer.kind is Kind.COUPON or bool(offer.when.tiers) or offer.exclusive


def stand_together(one: Offer, other: Offer) -> bool:
    """Return whether two discounts may be in one plan as far as ``exclusive`` and ``joint`` go; either side's list is
    enough.
    """
    if not one.exclusive and not other.exclusive:
        return True
    return other.id in one.joint or one.id in other.joint


def choose(eligible: list[Offer], rules: RuleSet, saving: Callable[[Plan], int]) -> Choice:
    """Return the best plan of the eligible discounts: most saved, then fewest coupons, then the first list of
    (priority, id).
    """

    def key(plan: Plan) -> tuple[int, int, tuple[tuple[int, str], ...]]:
        coupons = sum(offer.kind is Kind.COUPON for offer in plan)
        return (-saving(plan), coupons, tuple(offer.order for offer in plan))

    space = _Space(sorted(eligible, key=lambda offer: offer.order), rules)
    compared = list(islice(space.plans(), MAX_PLANS + 1))
    if len(compared) <= MAX_PLANS:
        return Choice(min(compared, key=key), len(compared), greedy=False)
    best = min(compared[:MAX_PLANS], key=key)
    tried = MAX_PLANS
    for exclusives in islice(space.exclusive_sets(), MAX_PLANS):
        parts = space.parts(exclusives)
        picked = [options[0] for options in parts]
        for place, options in enumerate(parts):
            candidates = [[*picked[:place], option, *picked[place + 1 :]] for option in options[:MAX_PLANS]]
            tried += len(candidates)
            picked = min(candidates, key=lambda candidate: key(_joined(exclusives, candidate)))
        best = min(best, _joined(exclusives, picked), key=key)
    return Choice(best, tried, greedy=True)


def _joined(exclusives: Plan, picked: list[Plan] | tuple[Plan, ...]) -> Plan:
    offers = [*exclusives, *(offer for part in picked for offer in part)]
    return tuple(sorted(offers, key=lambda offer: offer.order))


@dataclass(frozen=True, slots=True)
class _Space:
    """All plans of a sorted list of eligible discounts."""

    offers: list[Offer]
    rules: RuleSet

    def plans(self) -> Iterator[Plan]:
        for exclusives in self.exclusive_sets():
            for picked in product(*self.parts(exclusives)):
                yield _joined(exclusives, picked)

    def exclusive_sets(self) -> Iterator[Plan]:
        """Yield every set of exclusive offers that may stand together, the empty one first."""
        exclusives = [offer for offer in self.offers if offer.exclusive]
        waiting: list[tuple[Plan, int]] = [((), 0)]
        while waiting:
            chosen, start = waiting.pop()
            if not any(self._behind(offer, chosen) for offer in chosen):
                yield chosen
            for place in range(len(exclusives) - 1, start - 1, -1):
                offer = exclusives[place]
                if all(stand_together(offer, mate) and not self._compete(offer, mate) for mate in chosen):
                    waiting.append(((*chosen, offer), place + 1))

    def parts(self, exclusives: Plan) -> list[list[Plan]]:
        """Return the independent choices left beside a set of exclusive offers, each with its options, taking first."""
        parts: list[list[Plan]] = []
        groups: dict[str, list[Offer]] = {}
        for offer in self.offers:
            if offer.exclusive or not all(stand_together(offer, mate) for mate in exclusives):
                continue
            if any(self._compete(offer, mate) for mate in exclusives):
                continue
            if self.rules.mode_of(offer) is GroupMode.STACK:
                parts.append([(offer,), ()] if may_be_left_out(offer) else [(offer,)])
            else:
                groups.setdefault(offer.group or offer.id, []).append(offer)
        return parts + [self._one_of(mates) for mates in groups.values()]

    def _one_of(self, mates: list[Offer]) -> list[Plan]:
        options: list[Plan] = [(mate,) for mate in mates]
        if self.rules.mode_of(mates[0]) is GroupMode.FIRST:
            fixed = next((place for place, mate in enumerate(mates) if not may_be_left_out(mate)), len(mates))
            options = options[: fixed + 1]
        if all(may_be_left_out(mate) for mate in mates):
            options.append(())
        return options

    def _compete(self, one: Offer, other: Offer) -> bool:
        return one.group is not None and one.group == other.group and self.rules.mode_of(one) is not GroupMode.STACK

    def _behind(self, offer: Offer, chosen: Plan) -> bool:
        """Whether a mate that may not be left out stands before an exclusive offer in a group that takes the first."""
        if offer.group is None or self.rules.mode_of(offer) is not GroupMode.FIRST:
            return False
        others = [mate for mate in chosen if mate != offer]
        return any(
            mate.group == offer.group
            and mate.order < offer.order
            and not may_be_left_out(mate)
            and all(stand_together(mate, other) for other in others)
            for mate in self.offers
        )
