"""Whether a bigger sale can be dearer: more fuel for which the customer pays more than the fuel itself costs.

A threshold that begins (20 off from 200 on) makes the bigger sale cheaper, which is what it is for. It is a fault where
it takes something away. All else only grows with the sale, so it is enough to look just below and at each size from
which an offer is given; the engine itself prices both sizes, with the offers in question alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC

from agent.domain.member import MemberFacts
from agent.domain.rules.engine import evaluate
from agent.domain.rules.facts import BudgetView, LocalInstant, Presented, SaleFacts, SaleLine
from agent.domain.rules.findings import Finding, Lint, Look
from agent.domain.rules.lint_mates import may_be_given_together, shadowed
from agent.domain.rules.lint_offers import endings, is_money
from agent.domain.rules.model import (
    Basis,
    Caps,
    Conditions,
    FixedPrice,
    GroupMode,
    Offer,
    PerLitre,
    RuleSet,
    SpendThreshold,
)
from agent.domain.rules.overlap import least_amount_minor, may_meet
from agent.domain.units import MILLI_LITRES_TIMES_MILLI_PRICE, amount_of, half_up

MAX_COMPARED = 1_000
"""Combinations priced for one rule set; each takes a fraction of a millisecond, and a station looks too."""

MAX_STEPS = 3
"""Steps of one threshold at which is looked: a later one repeats what the first ones show."""

USUAL_PRICES_MILLI = {0: (170_000,), 2: (6_500, 7_850, 9_200), 3: (90, 150)}
"""Pump prices at which sizes in litres and in money are compared, by the currency's exponent."""

_SOMEBODY = MemberFacts("0" * 16)


@dataclass(frozen=True, slots=True)
class _Size:
    """One sale: money and litres."""

    amount_minor: int
    volume_ml: int
    price_milli: int


@dataclass(frozen=True, slots=True)
class _Fall:
    """The size from which ``trigger`` is given, and by how much the saving falls there."""

    below: tuple[int, int]
    there: tuple[int, int]

    @property
    def lost_minor(self) -> int:
        """What the customer loses by buying more."""
        return (self.there[1] - self.there[0]) - (self.below[1] - self.below[0])


def dearer(look: Look) -> Iterator[Finding]:
    """Sizes of a sale from which an offer takes more away than it gives; what never applies takes nothing."""
    rules = look.rules
    never = {finding.offer for finding in (*endings(look), *shadowed(look))}
    offers = [offer for offer in rules.offers if is_money(offer) and offer.id not in never]
    left = MAX_COMPARED
    for trigger in offers:
        for mates in _in_its_way(rules, trigger, offers):
            if left <= 0:
                problem = (
                    f"more than {MAX_COMPARED} combinations: not all were looked at for bigger sales that are dearer"
                )
                yield Finding(Lint.NOT_ALL_COMPARED, "offer", None, problem, "try the amounts you care about")
                return
            left -= 1
            fall = _worst(rules, trigger, mates)
            if fall is not None:
                yield _finding(look, trigger, mates, fall)
                break


def _finding(look: Look, trigger: Offer, mates: list[Offer], fall: _Fall) -> Finding:
    (small, small_net), (big, big_net) = fall.below, fall.there
    numbers = {
        "smaller_gross_minor": small,
        "smaller_net_minor": small_net,
        "bigger_gross_minor": big,
        "bigger_net_minor": big_net,
    }
    said = (
        f"{look.money(small)} costs {look.money(small_net)}, {look.money(big)} costs {look.money(big_net)}:"
        f" from there on {', '.join(mate.id for mate in mates)} gives less or nothing"
    )
    hint = "let the better one win (group mode BEST, or priorities), or use basis GROSS"
    return look.about(Lint.DEARER, trigger, "", f"makes a bigger sale dearer: {said}", hint, numbers=numbers)


def _in_its_way(rules: RuleSet, trigger: Offer, offers: list[Offer]) -> Iterator[list[Offer]]:
    """Yield what ``trigger`` may take something from when it begins to be given: each mate, then all of them at once.

    That is a later mate of its FIRST group, and a threshold of the running net, which every discount lowers.
    """
    if not _sizes(rules, trigger, USUAL_PRICES_MILLI[2]):
        return
    for mate in offers:
        if mate is trigger:
            continue
        if mate.group == trigger.group and rules.mode_of(trigger) is GroupMode.FIRST:
            if trigger.order < mate.order and may_meet(trigger, mate):
                yield [mate]
        elif _counts_running(mate) and may_be_given_together(rules, trigger, mate):
            yield [mate]
            met = [trigger, mate]
            for other in offers:
                if other not in met and all(may_be_given_together(rules, other, one) for one in met):
                    met.append(other)
            if len(met) > 2:
                yield met[1:]


def _counts_running(offer: Offer) -> bool:
    return isinstance(offer.terms, SpendThreshold) and offer.terms.basis is Basis.RUNNING


def _worst(rules: RuleSet, trigger: Offer, mates: list[Offer]) -> _Fall | None:
    only = _alone(rules, [trigger, *mates])
    prices = _prices(rules, [trigger, *mates])
    falls = [
        _Fall((below.amount_minor, _net(only, below)), (there.amount_minor, _net(only, there)))
        for below, there in _sizes(rules, trigger, prices)
    ]
    return max((fall for fall in falls if fall.lost_minor > 0), key=lambda fall: fall.lost_minor, default=None)


def _sizes(rules: RuleSet, offer: Offer, prices: Sequence[int]) -> list[tuple[_Size, _Size]]:
    """Return the sizes at which an offer begins to be given or gives more, each with the one just below."""
    exponent = rules.program.exponent
    amounts = [least_amount_minor(offer)]
    if isinstance(offer.terms, SpendThreshold) and offer.terms.basis is Basis.GROSS:
        steps = range(1, min(offer.terms.repeat, MAX_STEPS) + 1)
        amounts += [offer.terms.per_minor * n for n in steps if offer.terms.per_minor * n > amounts[0]]
    sizes = []
    for price in prices:
        sizes += [(_of_amount(a - 1, price, exponent), _of_amount(a, price, exponent)) for a in amounts if a > 1]
        volume_ml = offer.when.min_volume_ml
        if volume_ml is not None and volume_ml > 1:
            below, there = (_Size(amount_of(v, price, exponent), v, price) for v in (volume_ml - 1, volume_ml))
            sizes.append((below, there))
    return sizes


def _of_amount(amount_minor: int, price_milli: int, exponent: int) -> _Size:
    volume_ml = half_up(amount_minor * MILLI_LITRES_TIMES_MILLI_PRICE, price_milli * 10**exponent)
    return _Size(amount_minor, max(1, volume_ml), price_milli)


def _prices(rules: RuleSet, offers: Sequence[Offer]) -> Sequence[int]:
    """Return usual pump prices, and some just above each fixed price; one of them where litres do not count."""
    usual = USUAL_PRICES_MILLI.get(rules.program.exponent, USUAL_PRICES_MILLI[2])
    if not any(_in_litres(offer) for offer in offers):
        return usual[:1]
    fixed = [offer.effect.price_milli for offer in offers if isinstance(offer.effect, FixedPrice)]
    return sorted({*usual, *(price + price // 10 for price in fixed)})


def _in_litres(offer: Offer) -> bool:
    by_volume = isinstance(offer.effect, PerLitre | FixedPrice)
    return by_volume or offer.when.min_volume_ml is not None or offer.caps.volume_ml is not None


def _alone(rules: RuleSet, offers: list[Offer]) -> RuleSet:
    """Return the rules with these offers only, asking nothing but the sale's size and the tier."""
    bare = []
    for offer in offers:
        when = offer.when
        asked = Conditions(tiers=when.tiers, min_amount_minor=when.min_amount_minor, min_volume_ml=when.min_volume_ml)
        caps = Caps(offer.caps.amount_minor, offer.caps.volume_ml, offer.caps.share_bp)
        bare.append(replace(offer, when=asked, caps=caps, budget=None))
    return replace(rules, offers=tuple(sorted(bare, key=lambda offer: offer.order)))


def _net(rules: RuleSet, size: _Size) -> int:
    member = replace(_SOMEBODY, tier=rules.tiers[-1].id if rules.tiers else None)
    line = SaleLine("any", "any", size.volume_ml, size.price_milli, size.amount_minor)
    program = rules.program
    sale = SaleFacts("lint", "any", program.currency, program.exponent, (line,), Presented("sun"))
    return evaluate(sale, member, rules, BudgetView(), LocalInstant(0, UTC)).net_minor
