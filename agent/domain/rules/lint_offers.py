"""What is questionable about the program and about one offer at a time.

Knows no mates; how offers lie to each other is lint_mates.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from agent.domain.rules.findings import Finding, Lint, Look
from agent.domain.rules.model import (
    AmountOff,
    BonusPoints,
    Checking,
    Coupon,
    Earn,
    Kind,
    Late,
    Multiplier,
    Offer,
    PumpRollback,
    SpendThreshold,
    Stage,
    Subject,
)
from agent.domain.rules.overlap import least_amount_minor
from agent.domain.units import ceiling

WHOLE_BP = 10_000
HOURS_OF_THE_SHORTEST_MONTH = 28 * 24
_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", ".": None, "-": None, "_": None})


def program(look: Look) -> Iterator[Finding]:
    """Settings of the whole program that undo offers."""
    program = look.rules.program
    for key, cap in (("discount_cap_minor", program.discount_cap_minor), ("discount_cap_bp", program.discount_cap_bp)):
        if cap == 0 and any(offer.is_discount for offer in look.rules.offers):
            problem, hint = "0 leaves nothing for any discount", "raise it, or take the discounts out"
            yield Finding(Lint.NEVER_APPLIES, f"program.{key}", None, problem, hint)
    if program.min_points % program.step_points:
        steps = program.min_points // program.step_points + 1
        problem = f"{program.min_points} is no whole number of steps: at least {steps * program.step_points} are spent"
        yield Finding(Lint.POINTS, "program.min_points", None, problem, f"write {steps * program.step_points}")
    months, weak_h = program.validity_months, program.pending_weak_hours
    if months is not None and weak_h >= months * HOURS_OF_THE_SHORTEST_MONTH:
        problem = f"points may end before the {weak_h} hours of waiting are over"
        yield Finding(Lint.POINTS, "program.pending_weak_hours", None, problem, "shorten it, or let points live longer")


def audiences(look: Look) -> Iterator[Finding]:
    """Offers for nobody, or for two audiences at once."""
    for offer in look.rules.offers:
        when = offer.when
        if when.anyone and offer.needs_member:
            problem = f"is given to members only: {_member_reason(offer)}"
            yield look.about(
                Lint.CONTRADICTORY, offer, "when.anyone", problem, "take out anyone, or what asks for a member"
            )
        if when.holdout_bp == WHOLE_BP:
            yield look.about(Lint.NEVER_APPLIES, offer, "when.holdout_bp", "leaves every member out", "lower the share")
        campaign = None if offer.budget is None else offer.budget.campaign
        if campaign is not None and look.campaigns is not None and campaign not in look.campaigns:
            problem = f"nobody has a budget for {campaign!r}"
            yield look.about(Lint.NEVER_APPLIES, offer, "budget.campaign", problem, "give the campaign a budget first")


def _member_reason(offer: Offer) -> str:
    if offer.when.about_member:
        return "a condition asks about the member"
    if any(limit.subject is Subject.MEMBER for limit in offer.caps.limits):
        return "a limit counts uses per MEMBER"
    return "points belong to a member"


def endings(look: Look) -> Iterator[Finding]:
    """Offers that were over before the rule set takes effect."""
    for offer in look.rules.offers:
        last = offer.when.ends_on
        if last is not None and last < look.first_day:
            problem = f"ended on {last}, the rule set takes effect on {look.first_day}"
            yield look.about(Lint.NEVER_APPLIES, offer, "when.ends_on", problem, "take the offer out, or let it run on")


def values(look: Look) -> Iterator[Finding]:
    """Values that caps or minimum amounts make meaningless."""
    for offer in look.rules.offers:
        terms = offer.effect
        if not isinstance(terms, AmountOff | SpendThreshold):
            continue
        for key, cap in _money_caps(offer):
            if cap < terms.off_minor:
                problem = f"leaves {look.money(cap)} of the promised {look.money(terms.off_minor)}"
                yield look.about(Lint.ALWAYS_CAPPED, offer, key, problem, "promise what is given")
        least = terms.per_minor if isinstance(terms, SpendThreshold) else least_amount_minor(offer)
        if 0 < least <= terms.off_minor:
            problem = f"{look.money(terms.off_minor)} off from {look.money(least)} on: that sale costs nothing"
            yield look.about(Lint.FREE_FUEL, offer, "off_minor", problem, "check the two amounts")


def _money_caps(offer: Offer) -> Iterator[tuple[str, int]]:
    if offer.caps.amount_minor is not None:
        yield "cap.amount_minor", offer.caps.amount_minor
    for number, limit in enumerate(offer.caps.limits):
        if limit.amount is not None:
            yield f"limit[{number}]", limit.amount


def points(look: Look) -> Iterator[Finding]:
    """Points that can never be spent, or are worth more than what earned them."""
    program = look.rules.program
    least_minor = max(program.step_points, program.min_points) * program.step_minor // program.step_points
    for offer in look.rules.offers:
        terms = offer.effect
        if offer.kind is Kind.POINTS_AS_MONEY:
            for key, cap in _money_caps(offer):
                if cap < least_minor:
                    problem = f"{look.money(cap)} is less than the least that is spent, {look.money(least_minor)}"
                    yield look.about(Lint.NEVER_APPLIES, offer, key, problem, "allow one step at least")
        elif isinstance(terms, Earn) and terms.per_minor is not None:
            worth = Fraction(terms.points * program.step_minor, terms.per_minor * program.step_points)
            if worth >= 1:
                problem = f"earns points worth {look.percent(int(worth * WHOLE_BP))} of what is paid"
                yield look.about(Lint.POINTS, offer, "points", problem, "check points, per_minor and the step's worth")
        elif isinstance(terms, BonusPoints) and offer.caps.points is not None and offer.caps.points < terms.points:
            problem = f"leaves {offer.caps.points} of the promised {terms.points} points"
            yield look.about(Lint.ALWAYS_CAPPED, offer, "cap.points", problem, "promise what is given")
        elif isinstance(terms, Multiplier):
            yield from _factor(look, offer, terms.factor_pct)


def _factor(look: Look, offer: Offer, factor_pct: int) -> Iterator[Finding]:
    cap = look.rules.program.multiplier_cap_pct
    if factor_pct == 100:
        yield look.about(Lint.NO_EFFECT, offer, "factor_pct", "100 changes nothing", "write 200 for double points")
    elif factor_pct < 100:
        problem = f"{factor_pct} takes points away: the factor is {factor_pct}/100"
        yield look.about(Lint.POINTS, offer, "factor_pct", problem, "write 200 for double points")
    if cap is not None and factor_pct > cap:
        problem = f"{factor_pct} is above multiplier_cap_pct {cap} of the program"
        yield look.about(Lint.ALWAYS_CAPPED, offer, "factor_pct", problem, "promise what is given, or raise the cap")


def coupons(look: Look) -> Iterator[Finding]:
    """Coupons that may be taken unchecked, but are worth more than may be risked."""
    program = look.rules.program
    for offer in look.rules.offers:
        if not isinstance(offer.terms, Coupon) or offer.terms.checking is not Checking.OFFLINE_WITH_RISK:
            continue
        effect, risk_minor = offer.effect, offer.terms.risk_up_to_minor
        if isinstance(effect, BonusPoints):
            worth_minor = ceiling(effect.points * program.step_minor, program.step_points)
        else:
            worth_minor = effect.off_minor if isinstance(effect, AmountOff | SpendThreshold) else 0
        worth_minor = min([worth_minor, *(cap for _, cap in _money_caps(offer))])
        if worth_minor > risk_minor:
            problem = f"{look.money(worth_minor)} is above {look.money(risk_minor)}: it is never taken unchecked"
            hint = "raise it to what may be lost, or write checking ONLINE_ONLY"
            yield look.about(Lint.NO_EFFECT, offer, "risk_up_to_minor", problem, hint)


def names(look: Look) -> Iterator[Finding]:
    """Offers that people cannot tell apart on a receipt or in a report."""
    shown: dict[str, list[Offer]] = defaultdict(list)
    looks: dict[str, list[Offer]] = defaultdict(list)
    for offer in sorted(look.rules.offers, key=lambda offer: look.place(offer.id)):
        shown[offer.name].append(offer)
        looks[offer.id.translate(_ALIKE)].append(offer)
    for first, *others in shown.values():
        for offer in others:
            problem = f"is the name of {first.id} too: nobody sees which of them was given"
            yield look.about(Lint.CONFUSABLE, offer, "name", problem, "give each its own name")
    for first, *others in looks.values():
        for offer in others:
            problem = f"differs from {first.id} only in signs that look alike"
            yield look.about(Lint.CONFUSABLE, offer, "id", problem, "name the difference in the id")


def is_money(offer: Offer) -> bool:
    """Return whether an offer takes money off at the till by itself: no coupon, but a roll-back that came too late."""
    late = isinstance(offer.terms, PumpRollback) and offer.terms.late is Late.CONVERT
    return late or offer.stage in (Stage.LINE, Stage.THRESHOLD)
