"""Random scripts on the programme in memory: after every event the books agree, no repeat changes anything, and what
a sale did is undone by its refund.

A failure names its seed.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.rehearsal.play import Played, play
from tests.support.loyalty import MEMBER, Table, document
from tests.support.rehearsal import EARN, GRADES, OTHER, PAY, START, joins, sells, text

SEEDS = range(12)
RISK: Table = {"checking": "OFFLINE_WITH_RISK", "risk_up_to_minor": 5_000}
OFFERS: tuple[Table, ...] = (
    EARN,
    PAY,
    {"id": "spring", "kind": "AMOUNT_OFF", "off_minor": 700, "budget": {"campaign": "spring", "mode": "PARTIAL"}},
    {"id": "ten", "kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 3_000, "trimmed": "KEEP_BALANCE", **RISK},
    {"id": "bonus", "kind": "COUPON", "gives": "BONUS_POINTS", "points": 50, "checking": "ONLINE_ONLY"},
    {"id": "gold", "kind": "MULTIPLIER", "factor_pct": 150, "when": {"tiers": ["gold"]}},
    {"id": "first", "kind": "BONUS_POINTS", "points": 200, "when": {"first_fill": True}},
    {"id": "five", "kind": "PERCENT", "share_bp": 500, "limit": [{"window": "MONTH", "amount_minor": 2_000}]},
)
PROGRAM: Table = {
    "validity_months": 1,
    "growth_window": "ROLLING_DAYS",
    "growth_length": 30,
    "downgrade_grace_days": 2,
    "returned_lot_grace_days": 5,
    "discount_cap_bp": 4_000,
}
STEPS_S = (60, 3_600, 86_400, 3 * 86_400, 20 * 86_400, 100 * 86_400)
BEGIN: list[Table] = [
    joins(),
    joins(OTHER),
    {"kind": "budget", "campaign": "spring", "amount_minor": 3_000},
    {"kind": "grant", "coupon": "C1", "offer": "ten"},
    {"kind": "grant", "coupon": "C2", "offer": "ten", "member": MEMBER},
    {"kind": "grant", "coupon": "C3", "offer": "bonus"},
    {"kind": "lease", "lease": "L0", "campaign": "spring", "amount_minor": 1_000},
]


class Walk:
    """Draws events; names of sales and leases are those drawn before."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.sales: list[str] = []
        self.leases = ["L0"]
        self.moment = datetime(2026, 5, 1, 1, tzinfo=UTC)

    def events(self, count: int) -> list[Table]:
        """Some events after the beginning."""
        drawn = [*BEGIN, *(self._timed(self._event()) for _ in range(count))]
        return [{"id": f"x{number}", **event} for number, event in enumerate(drawn)]

    def sale(self, name: str) -> Table:
        """A sale of any size, with anything presented."""
        pick = self.chance.choice
        found = sells(name, pick([1, 100, 999, 5_000, 20_000, 300_000]), pick([None, MEMBER, MEMBER, OTHER]))
        found["station"] = pick(["SH-0001", "SH-0002"])
        if self.chance.random() < 0.4:
            found["points"] = pick([100, 250, 10**6])
        if self.chance.random() < 0.3:
            found["coupons"] = self.chance.sample(["C1", "C2", "C3"], pick([1, 2]))
        return found | {flag: True for flag in ("offline", "held") if self.chance.random() < 0.25}

    def _timed(self, event: Table) -> Table:
        if event["kind"] != "day" and self.chance.random() < 0.5:
            return event
        self.moment += timedelta(seconds=self.chance.choice(STEPS_S))
        return {**event, "at": self.moment.isoformat()}

    def _event(self) -> Table:
        pick = self.chance.choice
        kind = pick(
            [
                "sale",
                "sale",
                "sale",
                "sale",
                "refund",
                "void",
                "settle",
                "relink",
                "late_link",
                "release",
                "grant",
                "lease",
                "other",
            ]
        )
        station, member = pick(["SH-0001", "SH-0002"]), pick([MEMBER, OTHER])
        if kind == "sale" or not self.sales:
            self.sales.append(f"S{len(self.sales)}")
            return self.sale(self.sales[-1]) | {"quote_only": self.chance.random() < 0.2}
        sale: Table = {"kind": kind, "sale": pick(self.sales)}
        if kind == "refund":
            return {**sale, "amount_minor": pick([1, 50, 1_000, 4_999])}
        if kind in ("void", "settle", "release"):
            return sale
        if kind in ("relink", "late_link"):
            return {**sale, "member": member}
        if kind == "grant":
            return {"kind": "grant", "member": member, "points": pick([1, 77, 500]), "key": pick("abc")}
        if kind == "lease":
            self.leases.append(f"L{len(self.leases)}")
            what: Table = pick([{"member": member, "points": 100}, {"campaign": "spring", "amount_minor": 500}])
            return {"kind": "lease", "lease": self.leases[-1], "station": station, **what}
        closing = {"kind": "lease", "action": "close_out", "lease": pick(self.leases)}
        return pick([closing, {"kind": "reincarnation", "station": station}, *({"kind": k} for k in PLAIN)])


PLAIN = ("expire", "tier_evaluation", "day")


def walked(events: list[Table], policy: str) -> list[Played]:
    """The rows of a script under a reversal policy."""
    script = {"now": START, "grades": GRADES, "event": events}
    rules = document(*OFFERS, program={**PROGRAM, "reversal": policy})
    return list(play(text(rules), text(script), language="en")[1])


def books(one: Played) -> Any:
    """The state after an event without the list of sales and without tiers, which wait for their evaluation."""
    state = json.loads(json.dumps(one.told["state"]))
    del state["sales"]
    for member in state["members"]:
        for key in ("tier", "falls_to", "falls_on", "next_tier", "growth_missing"):
            del member[key]
    return state


@pytest.mark.parametrize("seed", SEEDS)
def test_the_books_agree_after_every_event_and_no_repeat_changes_anything(seed):
    """Whatever happens in whatever order, every message twice."""
    events = Walk(seed).events(30)
    twice = [
        part for event in events for part in (event, {"kind": "repeat", "of": event["id"], "id": f"r{event['id']}"})
    ]
    for one in walked(twice, ("ONLY_PENDING", "WITHIN_BALANCE", "UNLIMITED")[seed % 3]):
        assert one.told["check"] == {"postings_sum": 0, "agrees": True, "problems": []}, (seed, one.event)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sale_given_back_at_once_has_never_been(seed):
    """In any parts, after any history: points, lots, debts, coupons, campaign money, counts and growth are as before."""
    walk = Walk(1_000 + seed)
    before = [*walk.events(20), {"kind": "expire"}]
    parts = [{"kind": "refund", "sale": "Z", "amount_minor": walk.chance.choice([1, 7, 333])} for _ in range(seed % 4)]
    rows = walked([*before, walk.sale("Z"), *parts, {"kind": "void", "sale": "Z"}], "UNLIMITED")
    assert not rows[len(before)].told["refused"], (seed, rows[len(before)].told["refusal"])
    last = [one for one in rows if not one.told["refused"]][-1]
    assert books(last) == books(rows[len(before) - 1]), seed
