"""Finds the plan that saves most: all of up to 256 plans are compared; of more, a part, and the choice says so.

Knows which plans there are and asks a run what they save; a plan that can no longer win is not followed to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, islice
from math import prod

from agent.domain.rules.model import Kind, Offer, RuleSet
from agent.domain.rules.plan import Parts, Plan, Space
from agent.domain.rules.stages import Mark, Run, run_order

MAX_PLANS = 256
"""Plans compared one by one; a rule set that allows more is searched greedily, and says so."""

MAX_COUPONS_TRIED = 4
"""Coupons whose every choice a greedy search begins with; of more it tries all and none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The plan that won, how many were compared, and whether more were allowed and searched greedily only."""

    plan: Plan
    compared: int
    greedy: bool


def choose(eligible: list[Offer], rules: RuleSet, run: Run) -> Choice:
    """Return the best plan of the eligible discounts: most saved, then fewest coupons, then the first list of
    (priority, id). ``run``: the sale before any of them.

    The greedy search begins once from what each lower tier and each choice of coupons would have found, so that even it
    never makes a sale dearer by a better tier or a coupon.
    """
    offers = sorted(eligible, key=lambda offer: offer.order)
    search = _Search(run, run.mark())
    sets = _sets(offers, rules)
    count = sum(prod(len(options) for options in parts) for parts in sets)
    if count <= MAX_PLANS:
        search.go(sets, count)
        return Choice(search.plan, count, greedy=False)
    for some in _beginnings(offers, rules):
        search.go(_sets(some, rules), MAX_PLANS)
    return Choice(search.plan, search.compared, greedy=True)


def _sets(offers: list[Offer], rules: RuleSet) -> list[Parts]:
    """Return the plans as choices, one list of choices for each set of exclusive offers."""
    space = Space.of(offers, rules)
    return [space.parts(exclusives) for exclusives in islice(space.exclusive_sets(), MAX_PLANS + 1)]


def _beginnings(offers: list[Offer], rules: RuleSet) -> Iterator[list[Offer]]:
    coupons = [offer.id for offer in offers if offer.kind is Kind.COUPON]
    if len(coupons) <= MAX_COUPONS_TRIED:
        left_out = [set(some) for size in range(len(coupons) + 1) for some in combinations(coupons, size)]
    else:
        left_out = [set(), set(coupons)]
    seen: set[tuple[str, ...]] = set()
    for tier in (None, *(tier.id for tier in rules.tiers)):
        open_to = [offer for offer in offers if not offer.when.tiers or tier in offer.when.tiers]
        for without in left_out:
            some = [offer for offer in open_to if offer.id not in without]
            key = tuple(offer.id for offer in some)
            if key not in seen:
                seen.add(key)
                yield some


@dataclass(slots=True)
class _Search:
    """The best plan so far. Offers are tried in the order in which they take their value, taking before leaving out."""

    run: Run
    start: Mark
    plan: Plan = ()
    saved: int = -1
    coupons: int = 0
    orders: tuple[tuple[int, str], ...] = ()
    compared: int = 0
    _left: int = 0
    _most: dict[str, int] = field(default_factory=dict)

    def go(self, sets: list[Parts], at_most: int) -> None:
        """Compare plans of these sets, up to a number of them."""
        self._left = at_most
        for parts in sets:
            self._explore(parts)

    def _explore(self, parts: Parts) -> None:
        """Compare the plans that take one option of every part."""
        slots = [(offer, number) for number, options in enumerate(parts) for option in options for offer in option]
        slots.sort(key=lambda slot: run_order(slot[0]))
        last = {number: place for place, (_, number) in enumerate(slots)}
        most = [max(self._at_most(option[0]) for option in options if option) for options in parts]
        stack: list[_Step] = [_Step(0, self.start, sum(most), 0, 0, None)]
        while stack and self._left > 0:
            step = stack.pop()
            self.run.back(step.mark)
            while not self._lost(step):
                if step.place == len(slots):
                    self._compare(step)
                    break
                offer, part = slots[step.place]
                step.place += 1
                if step.held >> part & 1:
                    continue
                final = last[part] == step.place - 1
                if not final or () in parts[part]:
                    open_minor = step.open_minor - (most[part] if final else 0)
                    stack.append(_Step(step.place, self.run.mark(), open_minor, step.held, step.coupons, step.chosen))
                self.run.take(offer)
                step.take(offer, part, most[part])

    def _at_most(self, offer: Offer) -> int:
        found = self._most.get(offer.id)
        if found is None:
            found = self._most[offer.id] = self.run.most(offer)
        return found

    def _lost(self, step: _Step) -> bool:
        """Whether no plan that continues from here can win, or tie, any more."""
        bound = self.run.saved + min(step.open_minor, self.run.room())
        return bound < self.saved or (bound == self.saved and step.coupons > self.coupons)

    def _compare(self, step: _Step) -> None:
        self._left -= 1
        self.compared += 1
        if self.run.saved < self.saved:
            return
        plan = tuple(sorted(step.plan(), key=lambda offer: offer.order))
        orders = tuple(offer.order for offer in plan)
        if (-self.run.saved, step.coupons, orders) < (-self.saved, self.coupons, self.orders):
            self.plan, self.saved, self.coupons, self.orders = plan, self.run.saved, step.coupons, orders


_Chain = tuple[Offer, "_Chain"] | None


@dataclass(slots=True)
class _Step:
    """A plan on its way. ``open_minor``: what undecided parts can save at most; ``held``: parts that have taken, as
    bits.
    """

    place: int
    mark: Mark
    open_minor: int
    held: int
    coupons: int
    chosen: _Chain

    def take(self, offer: Offer, part: int, most: int) -> None:
        """Note an offer that was taken."""
        self.open_minor -= most
        self.held |= 1 << part
        self.coupons += offer.kind is Kind.COUPON
        self.chosen = (offer, self.chosen)

    def plan(self) -> Iterator[Offer]:
        """Yield the offers taken."""
        link = self.chosen
        while link is not None:
            offer, link = link
            yield offer
