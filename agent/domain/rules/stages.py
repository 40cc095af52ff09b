"""Runs one plan through the fixed stages: the exact value of each discount, its caps, and what each line still costs.

Knows no eligibility and no choice between plans: it is given the offers of a plan and says what they are worth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from agent.domain.rules.conditions import Case, amount_limit_code, covers, window_name
from agent.domain.rules.model import (
    AmountOff,
    Basis,
    FixedPrice,
    Limit,
    Offer,
    Percent,
    PerLitre,
    PointsAsMoney,
    Scope,
    SpendThreshold,
)
from agent.domain.rules.verdict import Code, Grant, Reason
from agent.domain.units import MILLI_LITRES_TIMES_MILLI_PRICE, half_up

BASIS_POINTS = 10_000


def rounded(value: Fraction) -> int:
    """Return an exact value rounded half up."""
    return half_up(value.numerator, value.denominator)


def spread(amount: int, weights: list[Fraction]) -> list[int]:
    """Spread ``amount`` by largest remainder; equal remainders go to the earlier place, all-zero weights share
    equally.
    """
    total = sum(weights, Fraction(0))
    shares = [Fraction(weight, total) for weight in weights] if total else [Fraction(1, len(weights))] * len(weights)
    exact = [amount * share for share in shares]
    parts = [part.numerator // part.denominator for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda index: (parts[index] - exact[index], index))
    for index in by_remainder[: amount - sum(parts)]:
        parts[index] += 1
    return parts


@dataclass(slots=True)
class Run:
    """One plan on its way through the stages: what each line still costs, and what was granted so far."""

    case: Case
    nets: list[int]
    grants: dict[str, Grant] = field(default_factory=dict)
    leases: dict[str, int] = field(default_factory=dict)
    points: int = 0

    @property
    def saving(self) -> int:
        """Money saved so far; payment with points is no saving and is not run here before the plan is chosen."""
        return sum(grant.granted for grant in self.grants.values())


def run_plan(case: Case, plan: Iterable[Offer]) -> Run:
    """Return what the discounts of a plan are worth together, taken in order of stage, priority and id."""
    run = Run(case, [line.amount_minor for line in case.sale.lines])
    run.leases = {budget.campaign: budget.remaining_minor for budget in case.budgets.campaigns}
    for offer in sorted(plan, key=lambda offer: (offer.stage, offer.order)):
        _take(run, offer)
    return run


def pay_with_points(run: Run, offer: Offer, available: int) -> None:
    """Let points pay: the largest number of whole steps that the payable, the share and all limits allow.

    ``available``: points the member asked for and may spend here. Never burns more than the payable; below the
    program's minimum
    nothing is taken.
    """
    assert isinstance(offer.terms, PointsAsMoney)
    program, places = run.case.rules.program, run.case.matching(offer)
    least = max(program.step_points, program.min_points)
    steps = available // program.step_points
    if steps * program.step_points < least:
        run.grants[offer.id] = Grant(offer, 0, 0, (Reason(Code.POINTS_STEP, least, max(0, available)),))
        return
    money = desired = steps * program.step_minor
    share = sum(run.nets[index] for index in places) * offer.terms.share_bp // BASIS_POINTS
    bounds = [(share, Reason(Code.CAPPED_AMOUNT, share, desired, "payable"))]
    bounds += [
        (left, Reason(amount_limit_code(limit), limit.amount, left, window_name(limit)))
        for limit, left in _left(run.case, offer)
    ]
    trims: list[Reason] = []
    for bound, reason in bounds:
        if bound < money:
            money = max(0, bound)
            trims.append(reason)
    points = money // program.step_minor * program.step_points
    if points < least:
        trims.append(Reason(Code.POINTS_STEP, least, points))
        points = 0
    value = points // program.step_points * program.step_minor
    run.grants[offer.id] = Grant(offer, desired, value, tuple(trims))
    run.points += points
    _charge(run, places, value, None)


def _take(run: Run, offer: Offer) -> None:
    places = run.case.matching(offer)
    short = _running_short(run, offer, places)
    if short is not None:
        run.grants[offer.id] = Grant(offer, 0, 0, (short,))
        return
    weights = _exact(run, offer, places, None)
    desired = rounded(sum(weights, Fraction(0)))
    trims: list[Reason] = []
    granted = desired
    if offer.caps.volume_ml is not None:
        weights = _exact(run, offer, places, offer.caps.volume_ml)
        granted = rounded(sum(weights, Fraction(0)))
        if granted < desired:
            volume_ml = sum(run.case.sale.lines[index].volume_ml for index in places)
            trims.append(Reason(Code.CAPPED_VOLUME, offer.caps.volume_ml, volume_ml))
    for cap, reason in _money_caps(run, offer, places, granted):
        if cap < granted:
            granted = max(0, cap)
            trims.append(reason)
    granted = _budget(run, offer, granted, trims)
    if desired == 0:
        trims.append(Reason(Code.CAPPED_AMOUNT, 1, 0, "no value"))
    run.grants[offer.id] = Grant(offer, desired, granted, tuple(trims))
    _charge(run, places, granted, weights if granted == desired or offer.caps.volume_ml is not None else None)


def _running_short(run: Run, offer: Offer, places: tuple[int, ...]) -> Reason | None:
    terms = offer.terms
    if not isinstance(terms, SpendThreshold) or terms.basis is Basis.GROSS:
        return None
    running = sum(run.nets[index] for index in places)
    return Reason(Code.THRESHOLD_NOT_MET, terms.per_minor, running) if running < terms.per_minor else None


def _exact(run: Run, offer: Offer, places: tuple[int, ...], volume_cap_ml: int | None) -> list[Fraction]:
    """Exact value of an offer per matching line; a volume cap takes the litres of earlier lines first."""
    terms, scale = offer.terms, 10**run.case.sale.exponent
    nets = [Fraction(run.nets[index]) for index in places]
    if isinstance(terms, AmountOff):
        return _by_weight(terms.off_minor, nets)
    if isinstance(terms, SpendThreshold):
        grosses = [Fraction(run.case.sale.lines[index].amount_minor) for index in places]
        base = sum(grosses if terms.basis is Basis.GROSS else nets, Fraction(0))
        return _by_weight(terms.off_minor * min(terms.repeat, int(base // terms.per_minor)), nets)
    values, left = [], volume_cap_ml
    for index in places:
        line = run.case.sale.lines[index]
        volume_ml = line.volume_ml if left is None else min(left, line.volume_ml)
        left = None if left is None else left - volume_ml
        if isinstance(terms, PerLitre):
            values.append(Fraction(volume_ml * terms.off_milli * scale, MILLI_LITRES_TIMES_MILLI_PRICE))
        elif isinstance(terms, FixedPrice):
            off_milli = max(0, line.unit_price_milli - terms.price_milli)
            values.append(Fraction(volume_ml * off_milli * scale, MILLI_LITRES_TIMES_MILLI_PRICE))
        else:
            assert isinstance(terms, Percent)
            base = Fraction(line.amount_minor if terms.basis is Basis.GROSS else run.nets[index])
            part = Fraction(volume_ml, line.volume_ml) if line.volume_ml else Fraction(1)
            values.append(base * part * Fraction(terms.share_bp, BASIS_POINTS))
    if isinstance(terms, Percent) and terms.scope is Scope.LINE:
        return [Fraction(rounded(value)) for value in values]
    return values


def _by_weight(amount: int, weights: list[Fraction]) -> list[Fraction]:
    return [Fraction(part) for part in spread(amount, weights)]


def _left(case: Case, offer: Offer) -> list[tuple[Limit, int]]:
    """What each limit on money or points over time still allows."""
    return [
        (limit, limit.amount - case.used(offer, limit)[1]) for limit in offer.caps.limits if limit.amount is not None
    ]


def _money_caps(run: Run, offer: Offer, places: tuple[int, ...], granted: int) -> list[tuple[int, Reason]]:
    """The money caps of an offer in the order they bind: its own, its limits over time, the payable, the program's."""
    caps, case, program = offer.caps, run.case, run.case.rules.program
    found: list[tuple[int, Reason]] = []

    def cap(amount: int, detail: str) -> None:
        found.append((amount, Reason(Code.CAPPED_AMOUNT, amount, granted, detail)))

    if caps.amount_minor is not None:
        cap(caps.amount_minor, "offer")
    if caps.share_bp is not None:
        gross = sum(case.sale.lines[index].amount_minor for index in places)
        cap(half_up(gross * caps.share_bp, BASIS_POINTS), "share")
    for limit, left in _left(case, offer):
        found.append((left, Reason(amount_limit_code(limit), limit.amount, left, window_name(limit))))
    cap(sum(run.nets[index] for index in places), "payable")
    if program.discount_cap_minor is not None:
        cap(program.discount_cap_minor - run.saving, "program")
    if program.discount_cap_bp is not None:
        cap(half_up(case.sale.amount_minor * program.discount_cap_bp, BASIS_POINTS) - run.saving, "program")
    return found


def _budget(run: Run, offer: Offer, granted: int, trims: list[Reason]) -> int:
    if offer.budget is None:
        return granted
    campaign = offer.budget.campaign
    given = covers(run.leases[campaign], granted, offer.budget.mode)
    if given < granted:
        trims.append(Reason(Code.BUDGET_EXHAUSTED, granted, run.leases[campaign], by=campaign))
    run.leases[campaign] -= given
    return given


def _charge(run: Run, places: tuple[int, ...], amount: int, weights: list[Fraction] | None) -> None:
    """Take an amount off the lines by weight; what a line cannot bear goes to the earlier ones that can."""
    parts = spread(amount, weights or [Fraction(run.nets[index]) for index in places])
    left = 0
    for place, part in zip(places, parts, strict=True):
        taken = min(part, run.nets[place])
        run.nets[place] -= taken
        left += part - taken
    for place in places:
        taken = min(left, run.nets[place])
        run.nets[place] -= taken
        left -= taken
    assert left == 0, "an offer was granted more than its lines still cost"
