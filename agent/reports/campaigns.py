"""What offers did over a period: planned once, counted part by part, put together from the parts.

``plan`` and ``part`` ask the database; ``report`` is pure, so that who asks can show how far the counting has come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from agent.domain.campaigns import NOT_ELIGIBLE, Difference, Group, effect
from agent.domain.liability import UnitCost, run_out_on, share_bp
from agent.domain.rules.model import Kind
from agent.reports.arguments import BadArgument, day, day_of, start_ms, whole, word
from agent.settings import Settings
from agent.store.campaign_queries import CampaignQueries, Part, Period
from agent.store.queries import NotFound, utc

USUAL_DAYS = 30
POINTS_KINDS = (Kind.EARN.value, Kind.BONUS_POINTS.value)


@dataclass(frozen=True, slots=True)
class _Offer:
    """An offer as the rule versions of the period have it, the newest one's words."""

    offer: str
    name: str
    kind: str
    campaign: str | None
    rule_versions: tuple[int, ...]
    holdouts: tuple[int, ...]


class Campaigns:
    """Questions about offers."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self._settings = settings
        self._queries = CampaignQueries(path)

    def plan(self, args: dict[str, Any], wall_ms: int) -> dict[str, Any]:
        """Return the period, the offers and into how many parts the counting is cut. Raises NotFound, BadArgument."""
        zone = self._settings.station.tz
        until = day(args, "until") or day_of(wall_ms, zone)
        since = day(args, "since") or until - timedelta(days=USUAL_DAYS - 1)
        if since > until:
            raise BadArgument(f"since {since} is after until {until}")
        period = Period(start_ms(since, zone), start_ms(until + timedelta(days=1), zone), wall_ms)
        offers = self._offers(period, word(args, "which"))
        loyalty, station = self._settings.loyalty, self._settings.station
        return {
            "station": station.id,
            "currency": station.currency,
            "exponent": station.exponent,
            "since": since.isoformat(),
            "until": until.isoformat(),
            "from_ms": period.from_ms,
            "to_ms": period.to_ms,
            "cut_ms": period.cut_ms,
            "unit_cost_milli": loyalty.unit_cost_milli,
            "breakage_bp": loyalty.breakage_bp,
            "parts": self._queries.parts(period, len(self._offers(period, None))),
            "offers": [asdict(offer) for offer in offers],
            "budgets": {name: self._budget(name, wall_ms) for name in {offer.campaign for offer in offers} if name},
        }

    def _budget(self, campaign: str, wall_ms: int) -> dict[str, Any] | None:
        """Return what a campaign may still cost at this station, and when that is gone if it goes on as it did."""
        found, zone = self._queries.budget(campaign, wall_ms), self._settings.station.tz
        if found is None:
            return None
        first, today = day_of(found.first_ms, zone), day_of(wall_ms, zone)
        ends = run_out_on(found.left_minor, found.spent_minor, first, today)
        return {
            "granted_minor": found.granted_minor,
            "spent_minor": found.spent_minor,
            "left_minor": found.left_minor,
            "expires_at": utc(found.expires_ms),
            "since": first.isoformat(),
            "runs_out_on": None if ends is None else ends.isoformat(),
        }

    def part(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return the counts of one part of a plan. Raises BadArgument."""
        numbers = {key: whole(args, key) for key in ("from_ms", "to_ms", "cut_ms", "part", "parts")}
        from_ms, to_ms, cut_ms, part, parts = (-1 if value is None else value for value in numbers.values())
        if min(from_ms, to_ms, cut_ms) < 0 or not 0 <= part < parts:
            raise BadArgument(f"no part of a plan: {numbers}")
        period = Period(from_ms, to_ms, cut_ms)
        offers = self._offers(period, word(args, "which"))
        holdouts = {offer.offer: list(offer.holdouts) for offer in offers if any(offer.holdouts)}
        return self._queries.tally(period, Part(part, parts), [offer.offer for offer in offers], holdouts)

    def _offers(self, period: Period, which: str | None) -> list[_Offer]:
        """Return the offers in force since the period began, by id; ``which``: one offer, or those of one campaign."""
        found: dict[str, _Offer] = {}
        for document, activated_ms, replaced_ms in self._queries.rule_documents():
            if replaced_ms is not None and replaced_ms <= period.from_ms:
                continue
            ran = activated_ms < period.to_ms
            for offer in document.get("offer", ()):
                known = found.get(offer["id"])
                found[offer["id"]] = _Offer(
                    offer=offer["id"],
                    name=offer.get("name", ""),
                    kind=offer["kind"],
                    campaign=offer.get("budget", {}).get("campaign"),
                    rule_versions=(*(known.rule_versions if known else ()), document["version"]),
                    holdouts=(
                        *(known.holdouts if known else ()),
                        *((offer.get("when", {}).get("holdout_bp", 0),) if ran else ()),
                    ),
                )
        chosen = [offer for _, offer in sorted(found.items()) if which in (None, offer.offer, offer.campaign)]
        if which is not None and not chosen:
            raise NotFound(f"there is no offer and no campaign {which!r} in this time", hint="forecourt campaigns")
        return chosen


def report(plan: dict[str, Any], parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return what the offers did, from a plan and all of its parts in any order."""
    sales: dict[str, int] = {}
    counted = {offer["offer"]: _Counted() for offer in plan["offers"]}
    for part in parts:
        for key, value in part["sales"].items():
            sales[key] = sales.get(key, 0) + value
        for offer, tally in counted.items():
            tally.add(offer, part)
    cost = UnitCost(plan["unit_cost_milli"], plan["breakage_bp"], plan["exponent"])
    budgets = plan["budgets"]
    keys = ("station", "currency", "exponent", "since", "until", "unit_cost_milli", "breakage_bp")
    return {
        **{key: plan[key] for key in keys},
        "sales": sales,
        "offers": [
            {**_told(offer, counted[offer["offer"]], sales, cost), "budget": budgets.get(offer["campaign"])}
            for offer in plan["offers"]
        ],
    }


class _Counted:
    """One offer's counts over the parts so far."""

    def __init__(self) -> None:
        self.by_code: dict[tuple[str, str], int] = {}
        self.given_back = self.value_minor = self.desired_minor = self.reached = self.amount = self.moved = 0
        self.treated, self.held_out = Group(), Group()

    def add(self, offer: str, part: dict[str, Any]) -> None:
        """Add one part."""
        for named, verdict, code, voided, sales, value_minor, desired_minor in part["verdicts"]:
            if named != offer:
                continue
            if voided:
                self.given_back += sales if verdict != "REJECTED" else 0
                continue
            self.by_code[verdict, code] = self.by_code.get((verdict, code), 0) + sales
            self.value_minor += value_minor
            self.desired_minor += desired_minor
        self.reached += part["reached"][offer]
        self.amount += part["amounts"][offer]
        groups = part["groups"].get(offer)
        if groups is not None:
            self.treated.add(Group(**groups["treated"]))
            self.held_out.add(Group(**groups["held_out"]))
            self.moved += groups["moved"]

    def of(self, verdict: str) -> int:
        """Return on how many sales the offer got this verdict."""
        return sum(sales for (named, _), sales in self.by_code.items() if named == verdict)


def _told(offer: dict[str, Any], counted: _Counted, sales: dict[str, int], cost: UnitCost) -> dict[str, Any]:
    refused = {code: number for (verdict, code), number in sorted(counted.by_code.items()) if verdict == "REJECTED"}
    seen = sum(counted.by_code.values())
    kind = offer["kind"]
    pays = kind == Kind.POINTS_AS_MONEY.value
    points = counted.amount if kind in POINTS_KINDS else 0
    discount_minor = 0 if pays else counted.value_minor
    points_cost_minor = cost.liability_minor(points)
    return {
        "offer": offer["offer"],
        "name": offer["name"],
        "kind": kind,
        "campaign": offer["campaign"],
        "rule_versions": list(offer["rule_versions"]),
        "seen": seen,
        "eligible": seen - sum(number for code, number in refused.items() if code in NOT_ELIGIBLE),
        "applied": counted.of("APPLIED"),
        "capped": counted.of("CAPPED"),
        "refused": refused,
        "given_back": counted.given_back,
        "members_reached": counted.reached,
        "discount_minor": discount_minor,
        "trimmed_minor": counted.desired_minor - counted.value_minor,
        "paid_by_points_minor": counted.value_minor if pays else 0,
        "points": points,
        "points_cost_minor": points_cost_minor,
        "cost_minor": discount_minor + points_cost_minor,
        "cost_share_bp": share_bp(discount_minor + points_cost_minor, sales.get("net_minor", 0)),
        "holdout": _holdout(offer, counted) if any(offer["holdouts"]) else None,
    }


def _holdout(offer: dict[str, Any], counted: _Counted) -> dict[str, Any]:
    found = effect(counted.treated, counted.held_out)
    return {
        "shares_bp": sorted(set(offer["holdouts"])),
        "treated": _group(counted.treated),
        "held_out": _group(counted.held_out),
        "members_left_out": counted.moved,
        "fuellings_per_100_members": _difference(found.fuellings),
        "net_per_member_minor": _difference(found.net),
        "volume_per_member_ml": _difference(found.volume),
    }


def _group(group: Group) -> dict[str, int]:
    return {
        "members": group.members,
        "fuellings": group.fuellings,
        "net_minor": group.net_minor,
        "volume_ml": group.volume_ml,
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "treated": found.treated,
        "held_out": found.held_out,
        "difference_bp": found.difference_bp,
        "says": found.said.value,
    }
