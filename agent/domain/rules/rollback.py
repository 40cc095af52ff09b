"""Which lower price a waiting member would get at the pump now: the same conditions, asked before there is a sale.

Knows grades, list prices and the member; no amount and no volume, so an offer with a minimum is left to the settlement.
Orders nothing: what it returns is a wish.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.domain.member import MemberFacts
from agent.domain.rules.conditions import Case, refusal
from agent.domain.rules.facts import BudgetView, LocalInstant, Presented, RollbackGiven, SaleFacts, SaleLine
from agent.domain.rules.model import GroupMode, Offer, PumpRollback, RuleSet, Subject


@dataclass(frozen=True, slots=True)
class PumpNozzle:
    """A nozzle the member may lift; the price in 1/1000 of the major unit per litre."""

    number: int
    grade: str
    product_group: str | None
    list_price_milli: int


@dataclass(frozen=True, slots=True)
class LowerPrice:
    """A lower price for one nozzle. ``limit_ml``: the first litres only, ``None`` for all of them."""

    nozzle: int
    offer: str
    unit_price_milli: int
    list_price_milli: int
    limit_ml: int | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits, where and when, and what may be used up by sales that are not settled yet.

    ``under_way``: (offer, member) of roll-backs promised or given elsewhere on this station; member ``None`` where the
    sale has none.
    """

    member: MemberFacts
    station: str
    presented: Presented
    budgets: BudgetView
    instant: LocalInstant
    under_way: frozenset[tuple[str, str | None]] = frozenset()


def lower_prices(nozzles: Iterable[PumpNozzle], who: Waiting, rules: RuleSet) -> tuple[LowerPrice, ...]:
    """Return the lowest price that an offer gives on each nozzle; nozzles without one are left out."""
    found = []
    for nozzle in nozzles:
        fitting = [offer for offer in rules.offers if _is_open(offer, nozzle, who, rules)]
        prices = [(_price(offer, nozzle), offer.order, offer) for offer in _firsts(fitting, rules)]
        if prices:
            price, _, best = min(prices, key=lambda entry: entry[:2])
            found.append(LowerPrice(nozzle.number, best.id, price, nozzle.list_price_milli, best.caps.volume_ml))
    return tuple(found)


def _is_open(offer: Offer, nozzle: PumpNozzle, who: Waiting, rules: RuleSet) -> bool:
    if not isinstance(offer.terms, PumpRollback) or _may_be_used_up(offer, who):
        return False
    if not 0 < _price(offer, nozzle) < nozzle.list_price_milli:
        return False  # no lower price here
    line = SaleLine(nozzle.grade, nozzle.product_group, 0, nozzle.list_price_milli, 0)
    program, given = rules.program, RollbackGiven(offer.id, nozzle.list_price_milli)
    sale = SaleFacts(
        "", who.station, program.currency, program.exponent, (line,), presented=who.presented, rollback=given
    )
    return refusal(offer, Case(sale, who.member, rules, who.budgets, who.instant)) is None


def _may_be_used_up(offer: Offer, who: Waiting) -> bool:
    """Whether a use that is not counted yet may be the last one that a limit allows."""
    once = offer.when.first_fill or any(limit.subject is Subject.MEMBER for limit in offer.caps.limits)
    anybody = any(limit.subject is Subject.STATION for limit in offer.caps.limits)
    mine = (offer.id, who.member.member) in who.under_way
    return (once and mine) or (anybody and any(used == offer.id for used, _ in who.under_way))


def _firsts(offers: list[Offer], rules: RuleSet) -> list[Offer]:
    """Of a group that takes the first by priority and id, only that one; rule sets keep their offers in this order."""
    seen: set[str] = set()
    kept = []
    for offer in offers:
        if offer.group is None or rules.mode_of(offer) is not GroupMode.FIRST:
            kept.append(offer)
        elif offer.group not in seen:
            seen.add(offer.group)
            kept.append(offer)
    return kept


def _price(offer: Offer, nozzle: PumpNozzle) -> int:
    terms = offer.terms
    assert isinstance(terms, PumpRollback)
    if terms.price_milli is not None:
        return terms.price_milli
    return nozzle.list_price_milli - (terms.off_milli or 0)
