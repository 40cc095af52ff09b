"""What the discounts of one plan are worth together: the stages in their order, each value exact until rounded once.

Knows neither eligibility nor the choice between plans.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from tests.support.loyalty_model.asking import limit_amount, matching, too_risky, used
from tests.support.loyalty_model.numbers import BP, half_up, largest_remainder, money_of, whole
from tests.support.loyalty_model.words import CODES, STAGES, Table, first, gives, order, program, reason


@dataclass
class Given:
    """What one offer wanted and got in minor units, and the codes that trimmed it; ``own``: after its own caps alone."""

    offer: Table
    wanted: int
    got: int
    trims: list[Table] = field(default_factory=list)
    own: int = 0


@dataclass
class Run:
    """A plan on its way: what each line still costs, what was given, what the leases still hold."""

    nets: list[int]
    leases: dict[str, int]
    given: dict[str, Given] = field(default_factory=dict)

    @property
    def saved(self) -> int:
        """All money given so far."""
        return sum(given.got for given in self.given.values())


def run_plan(plan: list[Table], document: Table, case: Table, hand: Table) -> Run:
    """Take the discounts of a plan in order of stage, priority and id; ``hand``: the coupon taken for each offer."""
    run = Run(
        [line["amount_minor"] for line in case["lines"]], {name: own["left"] for name, own in case["leases"].items()}
    )
    for offer in sorted(plan, key=lambda offer: (STAGES[offer["kind"]], order(offer))):
        take(run, offer, document, case, hand.get(offer["id"]))
    return run


def take(run: Run, offer: Table, document: Table, case: Table, coupon: Table | None) -> None:
    """Give one discount."""
    places = matching(offer, case)
    payable = sum(run.nets[place] for place in places)
    if gives(offer) == "SPEND_THRESHOLD" and payable < offer["per_minor"] and offer.get("basis") == "RUNNING":
        run.given[offer["id"]] = Given(offer, 0, 0, [reason("THRESHOLD_NOT_MET", offer["per_minor"], payable)])
        return
    weights = exact(run, offer, document, case, None)
    wanted = value = half_up(sum(weights, Fraction(0)))
    found = Trimming()
    litres = offer.get("cap", {}).get("volume_ml")
    if litres is not None:
        weights = exact(run, offer, document, case, litres)
        value = half_up(sum(weights, Fraction(0)))
    if coupon is not None and coupon["balance_minor"] is not None:
        wanted = min(wanted, coupon["balance_minor"])
    found.got = wanted
    found.bound(value, "CAPPED_VOLUME")
    for most, code in own_caps(offer, case):
        found.bound(most, code)
    own = found.got
    outer = Trimming(own)
    for most, code in shared_caps(run, offer, document, case, payable):
        outer.bound(most, code)
    lease = _lease_of(run, offer)
    if lease is not None and lease < outer.got:
        outer.bound(lease if offer["budget"].get("mode") == "PARTIAL" else 0, "BUDGET_EXHAUSTED")
    given = Given(offer, wanted, outer.got, found.said(outer), own)
    if coupon is not None and outer.trims and given.got and offer.get("trimmed") == "KEEP_COUPON":
        given.got, given.trims = 0, outer.trims
    if coupon is not None and too_risky(offer, coupon, own):
        given.got, given.trims = 0, [reason("OFFLINE_NOT_ALLOWED", offer["risk_up_to_minor"], own)]
    if wanted == 0:
        given.trims = [reason("CAPPED_AMOUNT", 1, 0)]
    if lease is not None:
        run.leases[offer["budget"]["campaign"]] = lease - given.got
    run.given[offer["id"]] = given
    untrimmed = given.got == wanted or litres is not None
    charge(run, places, given.got, weights if untrimmed else [Fraction(run.nets[place]) for place in places])


@dataclass
class Trimming:
    """A value on its way through caps: each that leaves less than the ones before it trims, and says its code."""

    got: int = 0
    trims: list[Table] = field(default_factory=list)

    def bound(self, most: int, code: str) -> None:
        """One cap."""
        if most < self.got:
            self.trims.append(reason(code))
            self.got = max(0, most)

    def said(self, outer: Trimming) -> list[Table]:
        """What is said of both together: every cap that trimmed, or of nothing at all the one that left nothing."""
        every = [*self.trims, *outer.trims]
        return every[-1:] if outer.got == 0 else every


def _lease_of(run: Run, offer: Table) -> int | None:
    return run.leases[offer["budget"]["campaign"]] if "budget" in offer else None


def own_caps(offer: Table, case: Table) -> list[tuple[int, str]]:
    """An offer's own caps in money, with the code of each."""
    cap, found = offer.get("cap", {}), []
    if "amount_minor" in cap:
        found.append((cap["amount_minor"], "CAPPED_AMOUNT"))
    if "share_bp" in cap:
        gross = sum(case["lines"][place]["amount_minor"] for place in matching(offer, case))
        found.append((half_up(Fraction(gross * cap["share_bp"], BP)), "CAPPED_AMOUNT"))
    return found + over_time(offer, case)


def over_time(offer: Table, case: Table) -> list[tuple[int, str]]:
    """What the limits of an offer on money or points over time still allow, with the code of each."""
    found = [
        (most - used(offer, limit, case)[1], "CAPPED_MONTH" if limit["window"] == "MONTH" else "CAPPED_AMOUNT")
        for limit in offer.get("limit", [])
        if (most := limit_amount(limit)) is not None
    ]
    return sorted(found, key=lambda cap: CODES.index(cap[1]))


def shared_caps(run: Run, offer: Table, document: Table, case: Table, payable: int) -> list[tuple[int, str]]:
    """What is left to pay, and what the program's own cap leaves."""
    found = [(payable, "CAPPED_AMOUNT")]
    gross = sum(line["amount_minor"] for line in case["lines"])
    amount, share = program(document, "discount_cap_minor"), program(document, "discount_cap_bp")
    if amount is not None:
        found.append((amount - run.saved, "CAPPED_AMOUNT"))
    if share is not None:
        found.append((half_up(Fraction(gross * share, BP)) - run.saved, "CAPPED_AMOUNT"))
    return found


def exact(run: Run, offer: Table, document: Table, case: Table, litres: int | None) -> list[Fraction]:
    """Exact value on each matching line; a volume cap takes the litres of earlier lines first."""
    places, kind = matching(offer, case), gives(offer)
    nets = [Fraction(run.nets[place]) for place in places]
    lines = [case["lines"][place] for place in places]
    if kind == "AMOUNT_OFF":
        return [Fraction(part) for part in largest_remainder(offer["off_minor"], nets)]
    if kind == "SPEND_THRESHOLD":
        running = offer.get("basis") == "RUNNING"
        base = sum(nets) if running else sum(line["amount_minor"] for line in lines)
        times = min(offer.get("repeat", 1), whole(Fraction(base) / offer["per_minor"]))
        return [Fraction(part) for part in largest_remainder(offer["off_minor"] * times, nets)]
    values = []
    for line, net in zip(lines, nets, strict=True):
        volume_ml = line["volume_ml"] if litres is None else min(litres, line["volume_ml"])
        litres = None if litres is None else litres - volume_ml
        if kind == "PER_LITRE":
            values.append(money_of(volume_ml, offer["off_milli"], case["exponent"]))
        elif kind == "FIXED_PRICE":
            cheaper = max(0, line["unit_price_milli"] - offer["price_milli"])
            values.append(money_of(volume_ml, cheaper, case["exponent"]))
        else:
            base = Fraction(line["amount_minor"]) if offer.get("basis") == "GROSS" else net
            part = Fraction(volume_ml, line["volume_ml"]) if line["volume_ml"] else Fraction(1)
            value = base * part * Fraction(offer["share_bp"], BP)
            values.append(Fraction(half_up(value)) if offer.get("scope") == "LINE" else value)
    return values


def charge(run: Run, places: list[int], amount: int, weights: list[Fraction]) -> None:
    """Take an amount off the lines; what a line cannot bear goes to the earliest that can."""
    left = 0
    for place, part in zip(places, largest_remainder(amount, weights), strict=True):
        taken = min(part, run.nets[place])
        run.nets[place] -= taken
        left += part - taken
    for place in places:
        taken = min(left, run.nets[place])
        run.nets[place] -= taken
        left -= taken


def pay_with_points(run: Run, offers: list[Table], document: Table, case: Table) -> int:
    """Let points pay what they may, from one balance, in order of priority and id; returns the points burnt."""
    burnt, step, worth = 0, program(document, "step_points"), program(document, "step_minor")
    least = max(step, program(document, "min_points"))
    for offer in sorted(offers, key=order):
        available = min(case["usable"] or 0, case["points"] or 0) - burnt
        wanted = available // step
        if wanted * step < least:
            run.given[offer["id"]] = Given(offer, 0, 0, [reason("POINTS_STEP", least, available)])
            continue
        places = matching(offer, case)
        payable = Fraction(sum(run.nets[place] for place in places))
        bounds = [(whole(payable * Fraction(offer.get("share_bp", BP), BP)), "CAPPED_AMOUNT"), *over_time(offer, case)]
        steps = max(count for count in range(wanted + 1) if all(count * worth <= max(0, most) for most, _ in bounds))
        trims = [reason(code) for most, code in bounds if most < wanted * worth]
        if steps * step < least:
            trims.append(reason("POINTS_STEP", least, steps * step))
            steps = 0
        burnt += steps * step
        run.given[offer["id"]] = Given(offer, wanted * worth, steps * worth, trims)
        charge(run, places, steps * worth, [Fraction(run.nets[place]) for place in places])
    return burnt


def verdict(given: Given) -> Table:
    """The verdict on an offer that took part: in full, in part, or nothing."""
    found = first(given.trims)
    word = "APPLIED" if found is None else ("CAPPED" if given.got > 0 else "REJECTED")
    return {"verdict": word, "value": given.got, "wanted": given.wanted, **(found or reason("OK"))}
