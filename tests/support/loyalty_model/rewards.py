"""Points and gifts of the model: what EARN rules give on a net, factors on them, bonuses. Knows no discount."""

from __future__ import annotations

from fractions import Fraction

from tests.support.loyalty_model.asking import matching
from tests.support.loyalty_model.numbers import PCT, half_up, whole
from tests.support.loyalty_model.words import Table, first, gives, mode, order, program, reason
from tests.support.loyalty_model.worth import over_time


def rewards(eligible: list[Table], document: Table, case: Table, bases: list[int]) -> dict[str, Table]:
    """Verdicts of the rewards that their groups keep; ``bases``: what each line counts for earning, in minor units."""
    offers = sorted(eligible, key=order)
    factors_of = kept([offer for offer in offers if gives(offer) == "MULTIPLIER"], document, lambda o: o["factor_pct"])
    factors = [combined(factors_of, document, case, place) for place in range(len(bases))]
    others = [offer for offer in offers if gives(offer) != "MULTIPLIER"]
    chosen = kept(others, document, lambda offer: exact_points(offer, case, bases, factors))
    found = {}
    for offer in chosen:
        rounding = half_up if program(document, "earn_rounding") == "HALF_UP" else whole
        exact = exact_points(offer, case, bases, factors)
        found[offer["id"]] = _capped(offer, case, rounding(exact)) | {"exact": exact}
    for offer in factors_of:
        found[offer["id"]] = {"verdict": "APPLIED", "points": 0, "wanted_points": 0, **reason("OK")}
    return found


def kept(offers: list[Table], document: Table, worth) -> list[Table]:
    """The offers that their groups keep: all, the first, or the one worth most."""
    found = []
    for offer in offers:
        mates = [mate for mate in offers if mate.get("group") == offer.get("group")]
        how = "STACK" if offer.get("group") is None else mode(document, offer)
        best = mates[0] if how == "FIRST" else max(mates, key=worth)
        if how == "STACK" or offer is best:
            found.append(offer)
    return found


def combined(offers: list[Table], document: Table, case: Table, place: int) -> Fraction:
    """The factor on the points of one line."""
    factors = [Fraction(offer["factor_pct"], PCT) for offer in offers if place in matching(offer, case)]
    how, most = program(document, "multipliers"), program(document, "multiplier_cap_pct")
    result = Fraction(1)
    if how == "ADDITIVE":
        for factor in factors:
            result += factor - 1
    elif how == "PRODUCT":
        for factor in factors:
            result *= factor
    elif factors:
        result = max(factors)
    if most is not None:
        result = min(result, Fraction(most, PCT))
    return max(result, Fraction(0))


def exact_points(offer: Table, case: Table, bases: list[int], factors: list[Fraction]) -> Fraction:
    """Points before rounding: earned ones multiplied, a bonus as it is, an article none."""
    if gives(offer) == "BONUS_POINTS":
        return Fraction(offer["points"])
    if gives(offer) != "EARN":
        return Fraction(0)
    total = Fraction(0)
    for place in matching(offer, case):
        if "per_minor" in offer:
            helpings = Fraction(bases[place], offer["per_minor"])
        else:
            helpings = Fraction(case["lines"][place]["volume_ml"], offer["per_ml"])
        total += helpings * offer["points"] * factors[place]
    return total


def point_caps(offer: Table, case: Table) -> list[tuple[int, str]]:
    """An offer's own cap in points and what its limits over time still allow, with the code of each."""
    own = [(offer["cap"]["points"], "CAPPED_AMOUNT")] if "points" in offer.get("cap", {}) else []
    return own + over_time(offer, case)


def kept_on(offer: Table, document: Table, case: Table, exact: Fraction, share: Fraction) -> int:
    """The points an EARN rule leaves on a share of the net that was settled."""
    rounding = half_up if program(document, "earn_rounding") == "HALF_UP" else whole
    return min([rounding(exact * share), *(most for most, _ in point_caps(offer, case))])


def _capped(offer: Table, case: Table, wanted: int) -> Table:
    if gives(offer) == "GIFT_ITEM":
        return {"verdict": "APPLIED", "points": 0, "wanted_points": 0, **reason("OK")}
    caps = point_caps(offer, case)
    got = max(0, min([wanted, *(most for most, _ in caps)]))
    found = first([reason(code) for most, code in caps if most < wanted])
    word = "APPLIED" if found is None else ("CAPPED" if got > 0 else "REJECTED")
    return {"verdict": word, "points": got, "wanted_points": wanted, **(found or reason("OK"))}
