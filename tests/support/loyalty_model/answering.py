"""The model's answer to one sale: a rule document and a case in, one verdict per offer and the sums out.

Slow and simple on purpose: every plan is tried, every condition is asked, nothing is shared with the engine.
"""

from __future__ import annotations

from tests.support.loyalty_model.asking import matching, refusals
from tests.support.loyalty_model.choosing import all_hands, beside, best, rivals
from tests.support.loyalty_model.days import period
from tests.support.loyalty_model.numbers import half_up, money_of
from tests.support.loyalty_model.rewards import rewards
from tests.support.loyalty_model.words import (
    CODES,
    Counts,
    Table,
    first,
    gives,
    is_discount,
    is_reward,
    order,
    program,
    reason,
)
from tests.support.loyalty_model.worth import pay_with_points, run_plan, verdict


def answer(document: Table, case: Table) -> Table:
    """Return verdicts by offer and the sums of a sale; a document is one that may be published."""
    offers = sorted(document.get("offer", []), key=order)
    given = _given_rollback(offers, case)
    refused = {offer["id"]: [] if offer is given else refusals(offer, document, case) for offer in offers}
    open_offers = [offer for offer in offers if not refused[offer["id"]] and offer is not given]
    eligible = [offer for offer in open_offers if is_discount(offer) and not _bars(given, offer, document)]
    hands = all_hands(open_offers, document, case)
    plan, hand = best(eligible, document, hands, lambda plan, hand: run_plan(plan, document, case, hand).saved)
    run = run_plan(plan, document, case, hand)
    before_points = list(run.nets)
    burnt = pay_with_points(run, [o for o in open_offers if o["kind"] == "POINTS_AS_MONEY"], document, case)
    bases = before_points if program(document, "earn_base") == "BEFORE_POINTS" else run.nets
    won = rewards([offer for offer in open_offers if is_reward(offer)], document, case, bases)
    verdicts = {offer_id: verdict(found) for offer_id, found in run.given.items()} | won
    rolled_back = rollback_minor(given, case)
    if given is not None:
        verdicts[given["id"]] = {"verdict": "APPLIED", "value": rolled_back, "wanted": rolled_back, **reason("OK")}
    chosen = [offer for offer in offers if offer["id"] in verdicts]
    for offer in offers:
        if offer["id"] not in verdicts:
            reasons = refused[offer["id"]]
            could = (
                is_discount(offer) and not reasons and all(beside(offer, mate) for mate in chosen if is_discount(mate))
            )
            alone = _nothing(offer, plan, document, case, hand) if could else None
            verdicts[offer["id"]] = _outside(offer, chosen, reasons, document, case, alone)
    owns = {offer_id: found.own for offer_id, found in run.given.items()}
    summed = _sums(offers, verdicts, run.nets, burnt, document, case)
    return summed | {"coupons": _coupons(offers, verdicts, owns, hand), "rollback": rolled_back}


def _given_rollback(offers: list[Table], case: Table) -> Table | None:
    """The roll-back that was set at the pump before the nozzle was lifted."""
    told, empty = case["rollback"], sum(line["volume_ml"] for line in case["lines"]) == 0
    if told is None or empty:
        return None
    return next((o for o in offers if o["id"] == told["offer"] and o["kind"] == "PUMP_ROLLBACK"), None)


def rollback_minor(given: Table | None, case: Table) -> int:
    """What the lower price saved: volume at the list price, rounded half up, less what the pump charged."""
    if case["rollback"] is None:
        return 0
    places = range(len(case["lines"])) if given is None else matching(given, case)
    volume_ml, charged = (sum(case["lines"][place][key] for place in places) for key in ("volume_ml", "amount_minor"))
    list_amount: int = half_up(money_of(volume_ml, case["rollback"]["list_price_milli"], case["exponent"]))
    return int(max(0, list_amount - charged))


def _bars(given: Table | None, offer: Table, document: Table) -> bool:
    return given is not None and (not beside(given, offer) or rivals(given, offer, document))


def _nothing(offer: Table, plan: list[Table], document: Table, case: Table, hand: Table) -> Table | None:
    """The verdict on a discount that would get nothing even if the plan took it; ``None`` where it would get something."""
    found = run_plan([*plan, offer], document, case, hand).given[offer["id"]]
    return verdict(found) if found.got == 0 else None


def _outside(
    offer: Table, chosen: list[Table], reasons: list[Table], document: Table, case: Table, alone: Table | None
) -> Table:
    """The verdict on an offer that no plan took: the first of all codes that are true of it."""
    found = list(reasons)
    empty = sum(line["volume_ml"] for line in case["lines"]) == 0
    mates = [] if empty else [mate for mate in chosen if is_discount(mate) == is_discount(offer)]
    if any(rivals(offer, mate, document) for mate in mates):
        found.append(reason("GROUP_TAKEN"))
    if is_discount(offer) and any(mate.get("exclusive") and not beside(offer, mate) for mate in mates):
        found.append(reason("EXCLUDED_BY"))
    if not found and alone is not None:
        return alone
    return {"verdict": "REJECTED", **(first(found) or reason("BEATEN_BY"))}


def _coupons(offers: list[Table], verdicts: dict[str, Table], owns: dict[str, int], hand: Table) -> Table:
    """What each used coupon gave, what is left on it, and whether it is gone for good."""
    found = {}
    for offer in offers:
        given = verdicts[offer["id"]]
        if offer["kind"] != "COUPON" or given["verdict"] == "REJECTED":
            continue
        coupon, value = hand[offer["id"]], given.get("value", 0)
        left = 0
        if is_discount(offer) and offer.get("trimmed") == "KEEP_BALANCE":
            whole = owns[offer["id"]] if coupon["balance_minor"] is None else coupon["balance_minor"]
            left = whole - value
        found[coupon["code"]] = (offer["id"], value, left or None, left == 0)
    return found


def _sums(
    offers: list[Table],
    verdicts: dict[str, Table],
    nets: list[int],
    burnt: int,
    document: Table,
    case: Table,
) -> Table:
    gross = sum(line["amount_minor"] for line in case["lines"])
    points = dict.fromkeys(("EARN", "BONUS_POINTS"), 0)
    budgets: dict[str, int] = {}
    for offer in offers:
        found = verdicts[offer["id"]]
        if gives(offer) in points:
            points[gives(offer)] += found.get("points", 0)
        if "budget" in offer and found.get("value", 0) > 0:
            campaign = offer["budget"]["campaign"]
            budgets[campaign] = budgets.get(campaign, 0) + found["value"]
    assert all(found["code"] in CODES for found in verdicts.values())
    return {
        "verdicts": verdicts,
        "terms": {
            o["id"]: verdicts[o["id"]]["exact"] for o in offers if "exact" in verdicts[o["id"]] and gives(o) == "EARN"
        },
        "gross": gross,
        "net": sum(nets),
        "discount": gross - sum(nets),
        "nets": nets,
        "redeemed": burnt,
        "earned": points["EARN"],
        "bonus": points["BONUS_POINTS"],
        "budgets": budgets,
        "uses": _uses(offers, verdicts, case, "MEMBER") if case["member"] else {},
        "station_uses": _uses(offers, verdicts, case, "STATION"),
    }


def _uses(offers: list[Table], verdicts: dict[str, Table], case: Table, subject: str) -> Counts:
    """What a settlement adds to the counts: one use and what was given, in every window that somebody asks for."""
    earned = any(gives(offer) == "EARN" and verdicts[offer["id"]].get("points", 0) > 0 for offer in offers)
    counts: Counts = {}
    for offer in offers:
        found, kind = verdicts[offer["id"]], gives(offer)
        got = found.get("value", 0) + found.get("points", 0)
        applied = found["verdict"] == "APPLIED"
        if not (got > 0 or (applied and kind == "GIFT_ITEM") or (applied and kind == "MULTIPLIER" and earned)):
            continue
        windows = {"LIFE"} if subject == "MEMBER" else set()
        for limit in offer.get("limit", []):
            if subject == "MEMBER" or limit.get("per", "MEMBER") == subject:
                windows.add(limit["window"])
        for window in windows:
            counts[offer["id"], window, period(window, case["day"])] = (1, got)
    return counts
