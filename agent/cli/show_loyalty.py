"""How points, offers and liability look to people: sentences and tables. Knows the documented JSON alone."""

from __future__ import annotations

from typing import Any

from agent.cli.plain import clock_time, litres, money, print_table

_WHY = {
    "HELD": "held for review",
    "WAITING": "not to be spent before",
    "ENDED": "past their last day; head office books the end",
    "DEBT": "owed from refunds; what is earned next repays them",
    "MANY_LOTS": "in more lots than one sale can take",
    "QUOTED": "held by the quote of an unpaid sale",
    "NO_LEASE": "head office has lent this station none of this member's points",
    "LEASE_SPENT": "more than is left of what head office has lent this station",
    "NOT_OFFERED": "the rules in force have no offer that takes points",
    "MINIMUM": "fewer than the least that may be spent on one sale",
    "STEP": "less than a whole step",
}
_SAYS = {
    "TOO_FEW": "too few members to say (under 30 in a group)",
    "WITHIN_CHANCE": "no difference beyond chance",
    "MORE": "more than chance",
    "LESS": "less, beyond chance",
}
_GROWTH = {"NET": 2, "VOLUME": 3, "VISITS": 0}


def points(value: dict[str, Any]) -> None:
    """Print one member's points."""
    unknown = "" if value["in_cache"] else ", not in the cache: head office has not told this station of the member"
    print(f"{value['member']} {value['mask']}{unknown}")
    print(
        f"balance {value['balance_points']} points: {value['usable_points']} usable, {value['waiting_points']} waiting,"
        f" {value['held_points']} held, {value['ended_points']} ended, {value['debt_points']} owed"
    )
    print(f"may be spent on a sale now: {value['spendable_points']}")
    for kept in value["not_spendable"]:
        until = f" {clock_time(kept['until'])}" if kept["until"] else ""
        print(f"  not {kept['points']}: {_WHY[kept['why']]}{until}")
    print("ending: " + ", ".join(f"{item['points']} within {item['days']} days" for item in value["ending"]))
    print(_tier(value))
    print(_head_office(value["head_office"]))
    rows = [
        [lot["lot"], lot["points"], lot["source"], clock_time(lot["usable_from"]), lot["expires_on"] or "never"]
        for lot in value["lots"]
    ]
    print_table("Lots", ["lot", "points", "source", "usable from", "last day"], rows)


def _tier(value: dict[str, Any]) -> str:
    tier, above = value["tier_name"] or value["tier"] or "none", value["next_tier"]
    text = f"tier {tier}, {value['visits']} visits"
    if above is None:
        return text
    missing = money(above["growth_missing"], _GROWTH[value["growth_base"]])
    if above["growth_missing"] == 0:
        return f"{text}; {above['name']} is reached and comes with the next evaluation"
    return f"{text}; {missing} more to {above['name']} (growth counts {value['growth_base']})"


def _head_office(value: dict[str, Any]) -> str:
    if value["includes"] is None:
        return f"of these head office told {value['points']}, without anything that happened here"
    until = clock_time(value["includes_until"])
    return f"of these head office told {value['points']}, with what happened here until {until}"


def history(value: dict[str, Any]) -> None:
    """Print the facts behind a balance."""
    print(f"{value['member']} {value['mask']}: balance {value['balance_points']} points")
    rows = []
    for fact in value["facts"]:
        legs = ", ".join(f"{leg['points']:+d} {leg['account'].removeprefix('member:')}" for leg in fact["postings"])
        rows.append(
            [
                clock_time(fact["at"]),
                fact["fact"],
                f"{fact['points']:+d}",
                "in head office's" if fact["balance_points"] is None else fact["balance_points"],
                fact["sale"] or "",
                "" if fact["rule_version"] is None else fact["rule_version"],
                " ".join(item for item in (fact["by"], fact["role"] and f"({fact['role']})", fact["reason"]) if item),
                legs,
            ]
        )
    print_table("History", ["when", "fact", "points", "balance", "sale", "rules", "who and why", "postings"], rows)
    if value["earlier_facts"]:
        print(f"{value['earlier_facts']} earlier ones; --limit shows more")
    print(_head_office(value["head_office"]))


def liability(value: dict[str, Any]) -> None:
    """Print what points will cost."""
    exponent, currency, period = value["exponent"], value["currency"], value["period"]
    print(
        f"on the evening of {value['at']}: {value['points']} live points,"
        f" liability {money(value['liability_minor'], exponent)} {currency}"
    )
    print(
        f"  a point costs {money(value['unit_cost_milli'], 3)} {currency}, {_percent(value['breakage_bp'])} never spent"
    )
    told = value["head_office_points"]
    base = (
        "head office's part is not known for another day than today" if told is None else f"{told} told by head office"
    )
    print(f"  {value['own_points']} posted at this station, {base}")
    if value["ended_points"] or value["debt_points"]:
        print(f"  not counted: {value['ended_points']} past their last day; {value['debt_points']} owed by members")
    rows = [[e["month"] or "never", e["points"], money(e["liability_minor"], exponent)] for e in value["ending"]]
    print_table("Ending", ["last month", "points", "liability"], rows)
    print(
        f"{period['since']} to {period['until']}: {period['sales']} sales, {money(period['net_minor'], exponent)}"
        f" {currency} paid; discounts {money(period['discount_minor'], exponent)},"
        f" {period['points_issued']} points issued at {money(period['points_cost_minor'], exponent)},"
        f" {period['points_redeemed']} redeemed"
    )
    share = _percent(period["cost_share_bp"])
    print(f"  cost {money(period['cost_minor'], exponent)} {currency}, {share} of what was paid")


def campaigns(value: dict[str, Any]) -> None:
    """Print a line on each offer."""
    exponent = value["exponent"]
    _head(value)
    rows = [
        [
            o["offer"],
            o["kind"],
            o["seen"],
            o["eligible"],
            o["applied"],
            o["capped"],
            o["members_reached"],
            money(o["discount_minor"], exponent),
            o["points"],
            money(o["cost_minor"], exponent),
            _percent(o["cost_share_bp"]),
        ]
        for o in value["offers"]
    ]
    columns = ["offer", "kind", "seen", "eligible", "applied", "capped", "members", "off", "points", "cost", "of sales"]
    print_table("Offers", columns, rows)


def campaign(value: dict[str, Any]) -> None:
    """Print everything about a few offers."""
    _head(value)
    for offer in value["offers"]:
        _offer(offer, value["exponent"], value["currency"])


def _head(value: dict[str, Any]) -> None:
    sales = value["sales"]
    paid = f"{money(sales['net_minor'], value['exponent'])} {value['currency']} paid"
    print(
        f"{value['since']} to {value['until']}: {sales['sales']} sales, {sales['given_back']} of them given back;"
        f" {paid}, {litres(sales['volume_ml'], 0)} L"
    )


def _offer(offer: dict[str, Any], exponent: int, currency: str) -> None:
    campaign_of = f", campaign {offer['campaign']}" if offer["campaign"] else ""
    versions = ", ".join(str(version) for version in offer["rule_versions"])
    print(f"\n{offer['offer']} {offer['name']} ({offer['kind']}{campaign_of}, rules {versions})")
    print(
        f"  seen {offer['seen']}, eligible {offer['eligible']}: applied {offer['applied']}, capped {offer['capped']};"
        f" {offer['members_reached']} members reached; {offer['given_back']} more given back in full"
    )
    for code, number in sorted(offer["refused"].items(), key=lambda item: (-item[1], item[0])):
        print(f"    {number:>8} {code}")
    print(
        f"  discounts {money(offer['discount_minor'], exponent)} {currency} ({money(offer['trimmed_minor'], exponent)}"
        f" trimmed by caps), {offer['points']} points at {money(offer['points_cost_minor'], exponent)}:"
        f" cost {money(offer['cost_minor'], exponent)} {currency}, {_percent(offer['cost_share_bp'])} of what was paid"
    )
    if offer["campaign"]:
        print(f"  {_budget(offer['budget'], exponent)}")
    if offer["holdout"] is not None:
        _holdout(offer["holdout"], exponent)


def _budget(value: dict[str, Any] | None, exponent: int) -> str:
    if value is None:
        return "budget: head office has lent this station nothing of this campaign"
    lent = f"budget: {money(value['granted_minor'], exponent)} lent since {value['since']}"
    spent = f"{money(value['spent_minor'], exponent)} spent, {money(value['left_minor'], exponent)} left"
    if value["expires_at"] is None:
        return f"{lent}, {spent}; no lease is live"
    ends = value["runs_out_on"]
    gone = "nothing spent so far" if ends is None else f"gone on {ends} if it goes on like this"
    return f"{lent}, {spent} until {clock_time(value['expires_at'])}; {gone}"


def _holdout(value: dict[str, Any], exponent: int) -> None:
    shares = ", ".join(_percent(share) for share in value["shares_bp"])
    treated, held = value["treated"], value["held_out"]
    left_out = f"; {value['members_left_out']} left out: the share changed" if value["members_left_out"] else ""
    print(f"  hold-out {shares}: {treated['members']} members may get it, {held['members']} do not{left_out}")
    rows = [
        ["fuellings", money(treated["fuellings"], 0), money(held["fuellings"], 0), *_pair(value, _FUELLINGS, 2)],
        [
            "paid",
            money(treated["net_minor"], exponent),
            money(held["net_minor"], exponent),
            *_pair(value, _NET, exponent),
        ],
        ["litres", litres(treated["volume_ml"], 0), litres(held["volume_ml"], 0), *_pair(value, _VOLUME, 3)],
    ]
    print_table("Effect", ["", "may get it", "held out", "per member", "held out", "difference", ""], rows)


_FUELLINGS, _NET, _VOLUME = "fuellings_per_100_members", "net_per_member_minor", "volume_per_member_ml"


def _pair(value: dict[str, Any], key: str, places: int) -> list[str]:
    found = value[key]
    return [
        money(found["treated"], places),
        money(found["held_out"], places),
        _percent(found["difference_bp"]),
        _SAYS[found["says"]],
    ]


def _percent(share_bp: int | None) -> str:
    return "-" if share_bp is None else f"{money(share_bp, 2)} %"
