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
from agent.domain.rules.stages import Mark, Run

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

    Of more than can be compared, those that promise most are followed first. Where that leaves plans behind, the search
    begins once more from what each lower tier and each choice of coupons would have found, so that even then neither a
    better tier nor a coupon makes a sale dearer.
    """
    offers = sorted(eligible, key=lambda offer: offer.order)
    search = _Search(run, run.mark())
    sets = _sets(offers, rules)
    count = sum(prod(len(options) for options in parts) for parts in sets)
    if count <= MAX_PLANS:
        search.go(sets, count)
        return Choice(search.plan, count, greedy=False)
    if not search.go(sets, MAX_PLANS) or len(sets) > MAX_PLANS:
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
    seen = {tuple(offer.id for offer in offers)}
    for tier in (*(tier.id for tier in reversed(rules.tiers)), None):
        open_to = [offer for offer in offers if not offer.when.tiers or tier in offer.when.tiers]
        for without in left_out:
            some = [offer for offer in open_to if offer.id not in without]
            key = tuple(offer.id for offer in some)
            if key not in seen:
                seen.add(key)
                yield some


Order = tuple[int, str]


@dataclass(slots=True)
class _Search:
    """The best plan so far, by what it saves, its coupons and its list of (priority, id)."""

    run: Run
    start: Mark
    plan: Plan = ()
    saved: int = -1
    coupons: int = 0
    orders: tuple[Order, ...] = ()
    compared: int = 0
    _left: int = 0
    _most: dict[str, int] = field(default_factory=dict)

    def go(self, sets: list[Parts], at_most: int) -> bool:
        """Compare plans of these sets, up to a number of them; return whether no plan was left that could still win."""
        self._left = at_most
        for parts in sets:
            most = self._worths(parts)
            if sum(max(most[option[0].id] for option in part if option) for part in parts) >= self.saved:
                self._explore(_Tree.of(parts, most))
        return self._left > 0

    def _worths(self, parts: Parts) -> dict[str, int]:
        for offer in (offer for options in parts for option in options for offer in option):
            if offer.id not in self._most:
                self._most[offer.id] = self.run.most(offer)
        return self._most

    def _explore(self, tree: _Tree) -> None:
        """Follow the tree, what promises most first, and drop what can no longer win."""
        stack = [_Step(0, self.start, tree.open_minor, {}, 0, None)]
        while stack and self._left > 0:
            step = stack.pop()
            self.run.back(step.mark)
            if self._ties(step, tree) and self.orders <= tree.first_list(step):
                continue
            while not self._lost(step, tree):
                if step.place == len(tree.slots):
                    self._compare(step)
                    break
                offer, part = tree.slots[step.place]
                stack += tree.others(step, part, self.run)
                step.place += 1
                if step.picked.get(part, offer) is offer:
                    self.run.take(offer)
                    step.take(offer, tree.most[offer.id])

    def _bound(self, step: _Step) -> int:
        return self.run.saved + min(step.open_minor, self.run.room())

    def _lost(self, step: _Step, tree: _Tree) -> bool:
        """Whether no plan that continues from here can win, or tie, any more."""
        bound = self._bound(step)
        return bound < self.saved or (bound == self.saved and self._fewest(step, tree) > self.coupons)

    def _ties(self, step: _Step, tree: _Tree) -> bool:
        return self._bound(step) == self.saved and self._fewest(step, tree) == self.coupons

    def _fewest(self, step: _Step, tree: _Tree) -> int:
        """Return how many coupons a plan that continues from here needs at least to save as much as the best one."""
        waiting = sorted((most for place, most in tree.coupons if place >= step.place), reverse=True)
        short_minor = self.saved - self.run.saved - (step.open_minor - sum(waiting))
        coupons = step.coupons
        for most in waiting:
            if short_minor <= 0:
                break
            short_minor -= most
            coupons += 1
        return coupons

    def _compare(self, step: _Step) -> None:
        self._left -= 1
        self.compared += 1
        plan = tuple(sorted(step.offers(), key=lambda offer: offer.order))
        orders = tuple(offer.order for offer in plan)
        if (-self.run.saved, step.coupons, orders) < (-self.saved, self.coupons, self.orders):
            self.plan, self.saved, self.coupons, self.orders = plan, self.run.saved, step.coupons, orders


_Chain = tuple[Offer, "_Chain"] | None


@dataclass(slots=True)
class _Step:
    """A plan on its way. ``open_minor``: what undecided parts can save at most. ``picked``: what decided parts of
    several offers take.
    """

    place: int
    mark: Mark
    open_minor: int
    picked: dict[int, Offer | None]
    coupons: int
    chosen: _Chain

    def take(self, offer: Offer, most: int) -> None:
        """Note an offer that was taken."""
        self.open_minor -= most
        self.coupons += offer.kind is Kind.COUPON
        self.chosen = (offer, self.chosen)

    def offers(self) -> Iterator[Offer]:
        """Yield the offers taken."""
        link = self.chosen
        while link is not None:
            offer, link = link
            yield offer


@dataclass(slots=True)
class _Tree:
    """The parts of plans as decisions, in the order in which offers take their value; a part is decided at its first
    slot.

    ``options``: of each part, what promises most first, ``None`` for nothing. ``slots``: every offer with its part.
    ``firsts``: of each part its first slot and its first (priority, id). ``coupons``: slot and saving at most of those
    that stand alone.
    """

    options: list[list[Offer | None]]
    slots: list[tuple[Offer, int]]
    most: dict[str, int]
    open_minor: int
    firsts: list[tuple[int, Order]]
    coupons: list[tuple[int, int]]

    @classmethod
    def of(cls, parts: Parts, most: dict[str, int]) -> _Tree:
        """Return the tree of some parts; ``most``: what each offer can save at most, by id."""
        options: list[list[Offer | None]] = []
        for part in parts:
            offers = sorted((option[0] for option in part if option), key=lambda offer: (-most[offer.id], offer.order))
            options.append([*offers, None] if () in part else [*offers])
        slots = [(offer, number) for number, part in enumerate(options) for offer in part if offer is not None]
        slots.sort(key=lambda slot: slot[0].turn)
        begins: dict[int, int] = {}
        for place, (_, number) in enumerate(slots):
            begins.setdefault(number, place)
        firsts = [
            (begins[number], min(offer.order for offer in part if offer is not None))
            for number, part in enumerate(options)
        ]
        open_minor = sum(most[part[0].id] for part in options if part[0] is not None)
        coupons = [
            (place, most[offer.id])
            for place, (offer, number) in enumerate(slots)
            if offer.kind is Kind.COUPON and options[number] == [offer, None]
        ]
        return cls(options, slots, most, open_minor, firsts, coupons)

    def others(self, step: _Step, part: int, run: Run) -> list[_Step]:
        """Decide a part that is not decided yet: the step takes its first option, the other ones are returned."""
        options = self.options[part]
        first = options[0]
        if len(options) == 1 or part in step.picked or first is None:
            return []
        mark, open_minor = run.mark(), step.open_minor - self.most[first.id]
        if len(options) == 2 and options[1] is None:
            return [_Step(step.place + 1, mark, open_minor, step.picked, step.coupons, step.chosen)]
        steps = []
        for option in reversed(options[1:]):
            left_minor = open_minor + (0 if option is None else self.most[option.id])
            picked = {**step.picked, part: option}
            steps.append(_Step(step.place, mark, left_minor, picked, step.coupons, step.chosen))
        step.picked = {**step.picked, part: first}
        return steps

    def first_list(self, step: _Step) -> tuple[Order, ...]:
        """Return a list of (priority, id) that no plan continuing from a step comes before."""
        fixed = {offer.order for offer in step.offers()}
        fixed |= {offer.order for offer in step.picked.values() if offer is not None}
        if not fixed:
            return ()
        last = max(fixed)
        fixed |= {
            order
            for part, (place, order) in enumerate(self.firsts)
            if place >= step.place and order < last and part not in step.picked
        }
        return tuple(sorted(fixed))
