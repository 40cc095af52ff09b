"""Which codes are true of one offer before any choice between offers: the model asks every condition and lists all.

Knows no value and no other offer.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from fractions import Fraction
from hashlib import sha256

from tests.support.loyalty_model.days import DAYS, in_windows, is_birthday, period
from tests.support.loyalty_model.words import SPENDING_STRENGTH, STRENGTH, Counts, Table, gives, program, reason


def matching(offer: Table, case: Table) -> list[int]:
    """Places of the lines an offer speaks of."""
    when = offer.get("when", {})
    found = []
    for place, line in enumerate(case["lines"]):
        grade = not when.get("grades") or line["grade"] in when["grades"]
        group = not when.get("product_groups") or line["product_group"] in when["product_groups"]
        if grade and group:
            found.append(place)
    return found


def used(offer: Table, limit: Table, case: Table) -> tuple[int, int]:
    """Uses and amount already counted against a limit."""
    at_station = limit.get("per", "MEMBER") == "STATION"
    member = case["member"] or {}
    counts: Counts = case["station_uses"] if at_station else member.get("uses", {})
    return counts.get((offer["id"], limit["window"], period(limit["window"], case["day"])), (0, 0))


def limit_amount(limit: Table) -> int | None:
    """The money or points a limit allows, if it speaks of them."""
    return limit.get("amount_minor", limit.get("points"))


def refusals(offer: Table, document: Table, case: Table) -> list[Table]:
    """Every code that is true of an offer whatever the other offers do."""
    if sum(line["volume_ml"] for line in case["lines"]) == 0:
        return [reason("MIN_VOLUME", 1, 0)]
    found = [*_who(offer, document, case), *_where(offer, case), *_when(offer, case)]
    found += [*_least(offer, case), *_limits(offer, case), *_money(offer, document, case), *_link(offer, case)]
    if offer["kind"] == "PUMP_ROLLBACK" and offer.get("late") == "REJECT":
        found.append(reason("TOO_LATE_FOR_ROLLBACK"))
    return found + _coupons(offer, document, case)


def _who(offer: Table, document: Table, case: Table) -> Iterator[Table]:
    when, member = offer.get("when", {}), case["member"]
    if member is None and _for_members(offer):
        yield reason("NOT_MEMBER")
    if offer["kind"] == "POINTS_AS_MONEY" and case["points"] is None:
        yield reason("NOT_REQUESTED")
    if offer["kind"] == "COUPON" and not presented(offer, case):
        yield reason("NOT_REQUESTED")
    if case.get("purpose"):
        yield reason("NOT_IN_AUDIENCE")
    if member is None:
        return
    ranks: dict[str | None, int] = {tier["id"]: rank for rank, tier in enumerate(_tiers(document), 1)}
    if "tiers" in when and member["tier"] not in when["tiers"]:
        yield reason("NOT_IN_AUDIENCE", min(ranks[tier] for tier in when["tiers"]), ranks.get(member["tier"], 0))
    if "tags" in when and not set(when["tags"]) & set(member["tags"]):
        yield reason("NOT_IN_AUDIENCE")
    if "birthday" in when and not is_birthday(member["birthday"], case["day"], when["birthday"]):
        yield reason("NOT_IN_AUDIENCE")
    if when.get("first_fill") and not _first_fill(offer, member):
        yield reason("NOT_IN_AUDIENCE", 0, 1)
    visit = None if member["visits"] is None else member["visits"] + 1
    at, every, start = (when.get(key) for key in ("visit_at", "visit_every", "visit_from"))
    if at is not None and visit != at:
        yield reason("NOT_IN_AUDIENCE", at, visit)
    if every is not None and (visit is None or visit % every != 0):
        yield reason("NOT_IN_AUDIENCE")
    if start is not None and (visit is None or visit < start):
        yield reason("NOT_IN_AUDIENCE", start, visit)


def _tiers(document: Table) -> list[Table]:
    return sorted(document.get("tier", []), key=lambda tier: tier["threshold"])


def _for_members(offer: Table) -> bool:
    when = offer.get("when", {})
    about = ("tiers", "tags", "birthday", "first_fill", "visit_at", "visit_every", "visit_from", "min_level")
    counted = any(limit.get("per", "MEMBER") == "MEMBER" for limit in offer.get("limit", []))
    points = gives(offer) in ("EARN", "MULTIPLIER", "BONUS_POINTS", "POINTS_AS_MONEY")
    return not when.get("anyone") or any(when.get(key) for key in about) or counted or points


def _first_fill(offer: Table, member: Table) -> bool:
    applied = any(key[0] == offer["id"] and uses > 0 for key, (uses, _) in member["uses"].items())
    return not member["first_fill_used"] and not applied


def _where(offer: Table, case: Table) -> Iterator[Table]:
    if not matching(offer, case):
        yield reason("WRONG_GRADE")
    stations = offer.get("when", {}).get("stations")
    if stations and case["station"] not in stations:
        yield reason("WRONG_STATION")


def _when(offer: Table, case: Table) -> Iterator[Table]:
    when, day = offer.get("when", {}), case["day"]
    if when.get("weekdays") and DAYS[day.weekday()] not in when["weekdays"]:
        yield reason("OUTSIDE_WINDOW")
    if when.get("window") and not in_windows(when["window"], case["minute"]):
        yield reason("OUTSIDE_WINDOW")
    if "starts_on" in when and day < date.fromisoformat(when["starts_on"]):
        yield reason("NOT_STARTED")
    if "ends_on" in when and day > date.fromisoformat(when["ends_on"]):
        yield reason("ENDED")


def _least(offer: Table, case: Table) -> Iterator[Table]:
    when, lines = offer.get("when", {}), [case["lines"][place] for place in matching(offer, case)]
    gross, volume_ml = (sum(line[key] for line in lines) for key in ("amount_minor", "volume_ml"))
    needed = when.get("min_amount_minor", 0)
    if gives(offer) == "SPEND_THRESHOLD" and offer.get("basis", "GROSS") == "GROSS":
        needed = max(needed, offer["per_minor"])
    if gross < needed:
        yield reason("THRESHOLD_NOT_MET", needed, gross)
    if volume_ml < when.get("min_volume_ml", 0):
        yield reason("MIN_VOLUME", when["min_volume_ml"], volume_ml)


def _limits(offer: Table, case: Table) -> Iterator[Table]:
    for limit in offer.get("limit", []):
        uses, amount = used(offer, limit, case)
        if "uses" in limit and uses >= limit["uses"]:
            yield reason("DAILY_LIMIT")
        most = limit_amount(limit)
        if most is not None and amount >= most:
            yield reason("CAPPED_MONTH" if limit["window"] == "MONTH" else "CAPPED_AMOUNT")


def _money(offer: Table, document: Table, case: Table) -> Iterator[Table]:
    if "budget" in offer:
        lease = case["leases"].get(offer["budget"]["campaign"])
        if lease is None:
            yield reason("OFFLINE_NOT_ALLOWED")
        elif lease["left"] <= 0:
            yield reason("BUDGET_EXHAUSTED", 1, lease["left"])
        elif not lease["live"]:
            yield reason("LEASE_EXPIRED")
    if offer["kind"] == "POINTS_AS_MONEY":
        least = max(program(document, "step_points"), program(document, "min_points"))
        most = min(case["points"] or 0, case["usable"] if case["usable"] is not None else 10**12)
        if most - most % program(document, "step_points") < least:
            yield reason("POINTS_STEP", least, most)
        if case["usable"] is None:
            yield reason("BALANCE_STALE")


def _link(offer: Table, case: Table) -> Iterator[Table]:
    when, member = offer.get("when", {}), case["member"]
    if member is not None and held_out(offer["id"], member["id"]) < when.get("holdout_bp", 0):
        yield reason("HOLDOUT", when["holdout_bp"], held_out(offer["id"], member["id"]))
    needed = STRENGTH[when.get("min_level")]
    if offer["kind"] == "POINTS_AS_MONEY" or (offer["kind"] == "COUPON" and member is not None):
        needed = SPENDING_STRENGTH
    actual = STRENGTH[case["level"]]
    if case["clock_suspect"]:
        actual = min(actual, 1)
    if actual < needed:
        yield reason("AUTH_TOO_WEAK", needed, actual)


def presented(offer: Table, case: Table) -> list[Table]:
    """The coupons presented for an offer, those that expire first in front."""
    mine = [coupon for coupon in case["coupons"] if coupon["offer"] == offer["id"]]
    return sorted(mine, key=coupon_order)


def coupon_order(coupon: Table) -> tuple[date, str]:
    """The key by which one of several coupons is taken that are worth the same."""
    return (coupon["expires_on"] or date.max, coupon["code"])


def usable(offer: Table, document: Table, case: Table) -> list[Table]:
    """Those of the presented coupons of an offer that may be used."""
    return [coupon for coupon in presented(offer, case) if not coupon_refusals(offer, coupon, document, case)]


def _coupons(offer: Table, document: Table, case: Table) -> list[Table]:
    """Why none of the presented coupons may be used: every code that is true of one of them."""
    mine = presented(offer, case) if offer["kind"] == "COUPON" else []
    if usable(offer, document, case):
        return []
    return [found for coupon in mine for found in coupon_refusals(offer, coupon, document, case)]


def coupon_refusals(offer: Table, coupon: Table, document: Table, case: Table) -> list[Table]:
    """Every code that is true of one coupon, but for what it is worth in money."""
    found, checked, member = [], coupon["confirmed"], case["member"]
    checking = offer.get("checking", "ONLINE_ONLY")
    if not checked and coupon["station"] not in (None, case["station"]):
        found.append(reason("WRONG_STATION"))
    if not checked and (checking == "ONLINE_ONLY" or (checking == "SITE_BOUND" and coupon["station"] is None)):
        found.append(reason("OFFLINE_NOT_ALLOWED"))
    if coupon["used"] or coupon["balance_minor"] == 0:
        found.append(reason("COUPON_USED"))
    if coupon["expires_on"] is not None and case["day"] > coupon["expires_on"]:
        found.append(reason("COUPON_EXPIRED"))
    if coupon["member"] is not None and (member is None or member["id"] != coupon["member"]):
        found.append(reason("COUPON_NOT_HOLDER"))
    if gives(offer) == "BONUS_POINTS":
        points = min(offer["points"], offer.get("cap", {}).get("points", offer["points"]))
        worth = Fraction(points * program(document, "step_minor"), program(document, "step_points"))
        if too_risky(offer, coupon, worth):
            found.append(reason("OFFLINE_NOT_ALLOWED"))
    return found


def too_risky(offer: Table, coupon: Table, worth: Fraction | int) -> bool:
    """Whether a coupon that nobody checked is worth more than may be risked on it."""
    unchecked = offer.get("checking") == "OFFLINE_WITH_RISK" and not coupon["confirmed"]
    return unchecked and worth > offer["risk_up_to_minor"]


def held_out(offer: str, member: str) -> int:
    """The member's place from 0 to 9999 in the hold-out of an offer."""
    return int(sha256(f"{offer}:{member}".encode("ascii")).hexdigest()[:16], 16) % 10_000
