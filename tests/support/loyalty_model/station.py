"""A station's programme in the model: members with their points, growth and counts, and sales from quote to refund.

Told what happened (a sale of a member was settled, refunded, given to another member), it says what must be on disk.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.loyalty_model.answering import answer
from tests.support.loyalty_model.days import month_end_after
from tests.support.loyalty_model.points import Bought, Lot, Purse
from tests.support.loyalty_model.rewards import kept_on
from tests.support.loyalty_model.words import Counts, Table, program

HOUR_MS = 3_600_000
WEAK = ("number", "phone", "uid")
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def local(unix_ms: int, zone: str) -> datetime:
    """Wall-clock time of a Unix millisecond."""
    return (EPOCH + timedelta(milliseconds=unix_ms)).astimezone(ZoneInfo(zone))


@dataclass
class Member:
    """What the station knows of a member."""

    facts: Table
    purse: Purse
    growth: int = 0
    visits: int = 0
    uses: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    amounts: Counter[tuple[str, str, str]] = field(default_factory=Counter)


@dataclass
class Settled:
    """A settled sale: what was paid, and whose points it is."""

    row: Table
    net: int
    refunded: int = 0
    voided: bool = False
    holder: str | None = None
    bought: Bought | None = None
    growth: int = 0
    uses: Counts = field(default_factory=dict)
    station_uses: Counts = field(default_factory=dict)
    purpose: str | None = None


class Programme:
    """Everything a station must know of its members after each step."""

    def __init__(self, document: Table, zone: str, station: str) -> None:
        self.document = document
        self.zone = zone
        self.station = station
        self.members: dict[str, Member] = {}
        self.sales: dict[str, Settled] = {}
        self.station_uses: Counter[tuple[str, str, str]] = Counter()
        self.station_amounts: Counter[tuple[str, str, str]] = Counter()

    def enrol(self, member: str, facts: Table) -> None:
        """A member as head office told of them."""
        purse = Purse(program(self.document, "reversal"), program(self.document, "returned_lot_grace_days"))
        self.members[member] = Member(facts, purse)

    def answer(
        self, row: Table, member: str | None, level: str | None, purpose: str | None = None, **asked: Any
    ) -> tuple[Table, Table]:
        """What the rules give a sale of a member now, and the case it was asked with."""
        made = local(row["ended_ms"] if row["lifted_ms"] is None else row["lifted_ms"], self.zone)
        line = {key: row[key] for key in ("grade", "volume_ml", "unit_price_milli", "amount_minor")}
        case = {
            "day": made.date(),
            "minute": made.hour * 60 + made.minute,
            "station": self.station,
            "exponent": row["exponent"],
            "lines": [line | {"product_group": row["product_group"]}],
            "level": level,
            "clock_suspect": False,
            "points": None,
            "usable": None,
            "purpose": purpose,
            "leases": {},
            "coupons": [],
            "rollback": None,
            "member": None if member is None else self._facts(member),
            "station_uses": _counts(self.station_uses, self.station_amounts),
        } | asked
        return answer(self.document, case), case

    def _facts(self, name: str) -> Table:
        member = self.members[name]
        return member.facts | {"id": name, "visits": member.visits, "uses": _counts(member.uses, member.amounts)}

    def settle(
        self,
        row: Table,
        member: str | None,
        level: str | None,
        purpose: str | None,
        now_ms: int,
        *,
        late: bool = False,
        **asked: Any,
    ) -> Table:
        """A sale is paid; returns the answer it was settled with. ``asked``: coupons, points and leases of the case.

        ``late``: a supervisor linked it after its time, so its points wait for a review.
        """
        answered, case = self.answer(row, member, level, purpose, **asked)
        settled = Settled(row, answered["net"], purpose=purpose, station_uses=answered["station_uses"])
        self.sales[row["id"]] = settled
        _add(self.station_uses, self.station_amounts, answered["station_uses"], 1)
        if member is not None and purpose is None:
            self._hold(settled, member, level, answered, case, now_ms, late=late)
        return answered

    def _hold(
        self, settled: Settled, name: str, level: str | None, answered: Table, case: Table, now_ms: int, *, late: bool
    ) -> None:
        """A member has the points, the visit, the growth and the counts of a sale from now on."""
        member, row = self.members[name], settled.row
        offers = {offer["id"]: offer for offer in self.document["offer"]}

        def kept(net: int) -> int:
            if settled.net == 0:
                return answered["earned"] if net == settled.net and not settled.refunded else 0
            share = Fraction(net, settled.net)
            terms = answered["terms"].items()
            return sum(kept_on(offers[offer], self.document, case, exact, share) for offer, exact in terms)

        hours = program(self.document, "pending_weak_hours" if level in WEAK else "pending_hours")
        months = program(self.document, "validity_months")
        ends = None if months is None else month_end_after(case["day"], months)
        earned_ms = row["ended_ms"] if row["lifted_ms"] is None else row["lifted_ms"]
        kept_lot = member.purse.lots.get(row["id"])
        before = 0 if kept_lot is None else kept_lot.points
        usable_ms = None if late else row["ended_ms"] + hours * HOUR_MS
        lot = Lot(row["id"], 0, earned_ms, usable_ms, ends)
        today = local(now_ms, self.zone).date()
        settled.bought = member.purse.buy(
            row["id"], settled.net, kept, answered["bonus"], answered["redeemed"], lot, now_ms, today
        )
        lot.points += before
        settled.holder, settled.uses = name, answered["uses"]
        base = program(self.document, "growth_base")
        settled.growth = {"NET": answered["net"], "VOLUME": row["volume_ml"], "VISITS": 1}[base]
        member.growth += settled.growth
        member.visits += 1
        _add(member.uses, member.amounts, answered["uses"], 1)

    def refund(self, sale: str, amount: int, now_ms: int) -> None:
        """A part of the net is given back, or all that is left."""
        settled = self.sales[sale]
        before, settled.refunded = settled.refunded, settled.refunded + amount
        settled.voided = settled.refunded == settled.net
        if settled.voided:
            _add(self.station_uses, self.station_amounts, settled.station_uses, -1)
        self._give_back(settled, before, amount, now_ms)

    def _give_back(self, settled: Settled, before: int, amount: int, now_ms: int) -> None:
        if settled.holder is None or settled.bought is None:
            return
        member, after, net = self.members[settled.holder], before + amount, settled.net
        member.purse.refund(settled.bought, amount, now_ms, local(now_ms, self.zone).date())
        gone = settled.growth * after // net - settled.growth * before // net if net else settled.growth
        member.growth -= gone
        if after == net:
            member.visits -= 1
            _add(member.uses, member.amounts, settled.uses, -1)

    def relink(self, sale: str, member: str | None, level: str, now_ms: int, *, late: bool = False) -> None:
        """A settled sale is given to another member or to nobody: the money stays, the points move as a whole."""
        settled = self.sales[sale]
        self._give_back(settled, 0, settled.net, now_ms)
        settled.holder = settled.bought = None
        if member is not None and settled.purpose is None:
            answered, case = self.answer(settled.row, member, level)
            self._hold(settled, member, level, answered, case, now_ms, late=late)


def _counts(uses: Counter[tuple[str, str, str]], amounts: Counter[tuple[str, str, str]]) -> Counts:
    return {key: (uses[key], amounts[key]) for key in uses}


def _add(
    uses: Counter[tuple[str, str, str]], amounts: Counter[tuple[str, str, str]], counted: Counts, sign: int
) -> None:
    for key, (times, amount) in counted.items():
        uses[key] += sign * times
        amounts[key] += sign * amount
