"""Which offers stand together: the plans that groups and exclusive offers allow. Finding the best one is search.py.

Knows neither values nor conditions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.domain.rules.model import GroupMode, Kind, Offer, RuleSet

Plan = tuple[Offer, ...]
Parts = list[list[Plan]]
"""Independent choices; an option is one offer or none."""


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


def compete(one: Offer, other: Offer, rules: RuleSet) -> bool:
    """Return whether two offers are mates of a group that gives only one."""
    return one.group is not None and one.group == other.group and rules.mode_of(one) is not GroupMode.STACK


@dataclass(frozen=True, slots=True)
class Space:
    """All plans of a list of eligible discounts, sorted by priority and id.

    ``partners``: ids of those that may stand beside an exclusive offer, by its id.
    """

    offers: dict[str, Offer]
    rules: RuleSet
    partners: dict[str, set[str]]

    @classmethod
    def of(cls, offers: list[Offer], rules: RuleSet) -> Space:
        """Return the plans of these offers."""
        partners: dict[str, set[str]] = {offer.id: set(offer.joint) for offer in offers if offer.exclusive}
        for offer in offers:
            for name in offer.joint:
                if name in partners:
                    partners[name].add(offer.id)
        return cls({offer.id: offer for offer in offers}, rules, partners)

    def exclusive_sets(self) -> Iterator[Plan]:
        """Yield every set of exclusive offers that may stand together, the empty one first."""
        exclusives = [offer for offer in self.offers.values() if offer.exclusive]
        waiting: list[tuple[Plan, list[Offer]]] = [((), exclusives)]
        while waiting:
            chosen, behind = waiting.pop()
            if not any(self._behind(offer, chosen) for offer in chosen):
                yield chosen
            for place in range(len(behind) - 1, -1, -1):
                offer = behind[place]
                mates = [mate for mate in behind[place + 1 :] if mate.id in self.partners[offer.id]]
                waiting.append(((*chosen, offer), [mate for mate in mates if not compete(offer, mate, self.rules)]))

    def parts(self, exclusives: Plan) -> Parts:
        """Return the independent choices of a plan that holds these exclusive offers, each with its options, taking
        first.
        """
        parts: Parts = [[(offer,)] for offer in exclusives]
        groups: dict[str, list[Offer]] = {}
        for offer in self._beside(exclusives):
            if offer.exclusive or any(compete(offer, mate, self.rules) for mate in exclusives):
                continue
            if self.rules.mode_of(offer) is GroupMode.STACK:
                parts.append([(offer,), ()] if may_be_left_out(offer) else [(offer,)])
            else:
                groups.setdefault(offer.group or offer.id, []).append(offer)
        return parts + [self._one_of(mates) for mates in groups.values()]

    def _beside(self, exclusives: Plan) -> list[Offer]:
        """Return the offers that may stand beside all of these, in order."""
        if not exclusives:
            return list(self.offers.values())
        names = set.intersection(*(self.partners[mate.id] for mate in exclusives)) & self.offers.keys()
        return sorted((self.offers[name] for name in names), key=lambda offer: offer.order)

    def _one_of(self, mates: list[Offer]) -> list[Plan]:
        options: list[Plan] = [(mate,) for mate in mates]
        if self.rules.mode_of(mates[0]) is GroupMode.FIRST:
            fixed = next((place for place, mate in enumerate(mates) if not may_be_left_out(mate)), len(mates))
            options = options[: fixed + 1]
        if all(may_be_left_out(mate) for mate in mates):
            options.append(())
        return options

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
            for mate in self.offers.values()
        )
