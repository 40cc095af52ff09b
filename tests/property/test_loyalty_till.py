"""Random days at the till against the model: coupons, points, leases, held quotes, refunds, repeats and restarts.

The real pipeline on a real database, with no devices: sales are booked and members linked by hand.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import event, given, settings

from agent.domain.identity import AuthLevel
from agent.domain.instant import Now
from agent.pipeline import leasing
from agent.store.verify import verify
from tests.support import template
from tests.support.examples import tries
from tests.support.loyalty_cases import Dice, dice
from tests.support.loyalty_model.station import Programme
from tests.support.loyalty_model.words import Table
from tests.support.quiet import quiet_log
from tests.support.station_settings import STATION
from tests.support.till import MEMBER, OTHER, Till, token

STEPS = 22
FACTS: Table = {"tier": None, "tags": [], "birthday": None, "first_fill_used": False}
TABLES = ("settlement", "posting", "lot", "use_count", "lease_move", "coupon_use", "quote", "tender", "correction")


def offers(roll: Dice) -> list[Table]:
    """Points, a discount out of a campaign, coupons of every policy, points as money."""
    mode = roll.pick(("PARTIAL", "ALL_OR_NOTHING"))
    unchecked = {"checking": "OFFLINE_WITH_RISK", "risk_up_to_minor": 90_000, "when": {"anyone": True}}
    return [
        {"id": "earn", "kind": "EARN", "points": 20, "per_minor": 100},
        {"id": "third", "kind": "BONUS_POINTS", "points": 30, "when": {"visit_every": 3}},
        {"id": "spring", "kind": "PER_LITRE", "off_milli": 300, "budget": {"campaign": "spring", "mode": mode}},
        {
            "id": "wash",
            "kind": "COUPON",
            "gives": "AMOUNT_OFF",
            "off_minor": 12_000,
            "trimmed": "KEEP_BALANCE",
            **unchecked,
        },
        {"id": "five", "kind": "COUPON", "gives": "AMOUNT_OFF", "off_minor": 500, **unchecked, "group": "paper"},
        {"id": "ten", "kind": "COUPON", "gives": "PERCENT", "share_bp": 1_000, **unchecked, "group": "paper"},
        {"id": "pay", "kind": "POINTS_AS_MONEY", "share_bp": 8_000},
        {
            "id": "daily",
            "kind": "AMOUNT_OFF",
            "off_minor": 70,
            "when": {"anyone": True},
            "limit": [{"per": "STATION", "window": "DAY", "uses": 2}],
        },
    ]


@dataclass
class Paper:
    """A coupon in the model: what its uses, oldest first, gave and left."""

    code: str
    offer: str
    member: str | None
    uses: list[tuple[str, int, int | None]] = field(default_factory=list)

    def shown(self) -> Table:
        """As a case shows it."""
        left = self.uses[-1][2] if self.uses else None
        used = bool(self.uses) and not left
        return {"code": self.code, "offer": self.offer, "member": self.member, "expires_on": None, "used": used} | {
            "balance_minor": left,
            "station": None,
            "confirmed": False,
        }

    def give_back(self, sale: str) -> None:
        """A use is undone; what later uses left grows by what it gave."""
        places = [place for place, use in enumerate(self.uses) if use[0] == sale]
        for place in places:
            value = self.uses[place][1]
            later = [(name, gave, (left or 0) + value) for name, gave, left in self.uses[place + 1 :]]
            self.uses = [*self.uses[:place], *later]


class Day:
    """One random day at one till: every step is done, told to the model, and both are compared."""

    def __init__(self, roll: Dice, directory: Any) -> None:
        self.roll = roll
        self.till = Till(directory)
        program: Table = {
            "reversal": roll.pick(("WITHIN_BALANCE", "UNLIMITED")),
            "pending_hours": 0,
            "validity_months": roll.pick((12, 1)),
        }
        given = offers(roll)
        self.till.rules(*given, groups=[("paper", "BEST")], **program)
        group = [{"id": "paper", "mode": "BEST"}]
        settings_of = {"currency": "CNY", "exponent": 2, **program}
        self.model = Programme({"program": settings_of, "group": group, "offer": given}, "Asia/Shanghai", STATION)
        for number, member in enumerate((MEMBER, OTHER), 1):
            self.till.member(member, op=number)
            self.model.enrol(member, FACTS)
        self.left: dict[str, tuple[str, int]] = {}
        self.moved: dict[str, list[tuple[str, int]]] = {}
        self.papers: dict[str, Paper] = {}
        self.links: dict[str, str] = {}
        for _ in range(3):
            self.lend()
            self.issue()

    @property
    def now_ms(self) -> int:
        """The wall time of the till."""
        return self.till.clock.wall_ms()

    def step(self) -> None:
        """One random step, and the comparison."""
        moves = (self.fuel, self.pay, self.fuel, self.pay, self.refund, self.hold, self.refund, self.lend, self.issue)
        self.roll.pick((*moves, self.wait, self.restart, self.pay))()
        self.compare()

    # --- what happens ---------------------------------------------------------------------------------------------------

    def fuel(self) -> None:
        """A sale, of a member or of nobody."""
        self.till.wait(60)
        sale = self.till.sale(self.roll.pick((20_000, 38_210, 1_000)))
        member = self.roll.pick((MEMBER, MEMBER, MEMBER, OTHER, None))
        if member is not None:
            self.till.link(sale, member, AuthLevel.FM1_DYNAMIC)
            self.links[sale] = member

    def lend(self) -> None:
        """A lease comes: points of a member, or money of the campaign. A second one of either is spent beside it."""
        name, kind = f"L{len(self.left)}", self.roll.pick(("points", "points", "budget"))
        subject, granted = (MEMBER, self.roll.pick((700, 9_000))) if kind == "points" else ("spring", 1_500)
        if kind == "budget" and any(known == "spring" for known, _ in self.left.values()):
            return
        until_ms = self.now_ms + 10**12
        self.till.do(
            lambda step: leasing.received(
                step, lease=name, kind=kind, subject=subject, granted=granted, expires_ms=until_ms
            )
        )
        self.left[name] = (subject, granted)

    def issue(self) -> None:
        """Head office gives somebody a coupon."""
        offer, code = self.roll.pick(("wash", "five", "ten")), f"C{len(self.papers)}"
        self.papers[code] = Paper(code, offer, self.roll.pick((None, MEMBER)))

    def pay(self) -> None:
        """A sale is paid with what the customer shows and asks for; what is refused of it, they go without."""
        sale = self._sale("state != 'Cleared'")
        if sale is None:
            return
        papers = [paper for paper in self.papers.values() if self.roll.one_in(3)][:3]
        wish = self._wish(papers)
        asked = self._asked(sale, papers, wish["points"])
        quoted = self.till.quote(sale["id"], **wish)
        settled = self.till.settle(sale["id"], **wish)
        assert quoted["net_minor"] == settled["net_minor"]
        self._settled(sale, asked, settled)
        before = self.till.state(TABLES)
        assert "was settled at" in self.till.settle(sale["id"], **wish)["error"]
        assert self.till.state(TABLES) == before

    def hold(self) -> None:
        """A quote is held over a restart or a while; it is settled as it was told, or let go without a trace."""
        sale = self._sale("state = 'Payable'")
        if sale is None:
            return
        papers = [paper for paper in self.papers.values() if self.roll.one_in(3)][:3]
        wish, before = self._wish(papers), self.till.state(TABLES)
        asked = self._asked(sale, papers, wish["points"])
        told = self.till.quote(sale["id"], lock=True, **wish)
        assert self.till.quote(sale["id"], lock=True, **wish) == told
        if self.roll.one_in(2):
            self.till.restart()
        if self.roll.one_in(3):
            self._let_go(sale["id"])
            assert _counts_kept(self.till.state(TABLES)) == _counts_kept(before)
            event("a held quote was let go")
            return
        settled = self.till.settle(sale["id"])
        assert settled["net_minor"] == told["net_minor"]
        self._settled(sale, asked, settled)
        event("a held quote was settled")

    def _let_go(self, sale: str) -> None:
        if self.roll.one_in(2):
            assert self.till.ask("sales.unlock", sale=sale)["ok"]
        else:
            self.till.wait(3_600)

    def refund(self) -> None:
        """A part of a paid sale is given back, or all that is left of it; the same request again is the same refund."""
        sale = self._sale("state = 'Cleared'")
        if sale is None or sale["voided"]:
            return
        left = self.model.sales[sale["id"]].net - sale["refunded_minor"]
        if self.roll.one_in(2) or left < 2:
            amount, asked = left, _asking("sales.void")
        else:
            amount = self.roll.number(1, min(left, 60_000))
            asked = _asking("sales.refund", amount_minor=amount)
        named = f"R{sale['refunded_minor']}-{self.now_ms}"
        answer = self.till.ask(**asked, sale=sale["id"], reason="spilled", request=named)
        assert answer["ok"], answer
        before = self.till.state(TABLES)
        assert self.till.ask(**asked, sale=sale["id"], reason="spilled", request=named)["ok"]
        assert self.till.state(TABLES) == before
        self._refunded(sale["id"], amount)

    def wait(self) -> None:
        """Time passes, also more than points live."""
        self.till.wait(self.roll.pick((600, 90_000, 86_400 * 40)))

    def restart(self) -> None:
        """The process ends without a word and starts again."""
        before = self.till.state(TABLES)
        self.till.restart()
        assert self.till.state(TABLES) == before

    def _sale(self, where: str) -> Table | None:
        found = self.till.rows(f"SELECT *, NULL AS product_group FROM sale WHERE {where} ORDER BY id")
        return found[self.roll.byte() % len(found)] if found else None

    def _wish(self, papers: list[Paper]) -> Table:
        coupons = [token(paper.code, paper.offer, member=paper.member) for paper in papers]
        return {"coupons": coupons, "points": self.roll.pick((5_000, 300, None, 300)), "accept": True}

    # --- the model follows ------------------------------------------------------------------------------------------------

    def _asked(self, sale: Table, papers: list[Paper], points: int | None) -> Table:
        """What the case of a sale says of coupons, points and leases."""
        member = self.links.get(sale["id"])
        usable = None
        leased = [left for subject, left in self.left.values() if subject == member]
        if points is not None and member is not None and leased:
            purse = self.model.members[member].purse
            there = sum(lot.points for lot in purse.spendable(self.now_ms, self._today()))
            usable = min(sum(leased), there)
        leases = {
            subject: {"lease": name, "left": left, "live": True}
            for name, (subject, left) in self.left.items()
            if subject == "spring"
        }
        coupons = [paper.shown() for paper in papers]
        return {"coupons": coupons, "points": points, "usable": usable, "leases": leases}

    def _today(self) -> Any:
        return self.till.pipeline._step(_now(self.till)).local(self.now_ms).date()

    def _settled(self, sale: Table, asked: Table, told: Table) -> None:
        member = self.links.get(sale["id"])
        level = None if member is None else "fm1_dynamic"
        answered = self.model.settle(sale, member, level, None, self.now_ms, **asked)
        assert (told["net_minor"], told["discount_minor"]) == (answered["net"], answered["discount"])
        assert (told["points_redeemed"], told["points_earned"]) == (
            answered["redeemed"],
            answered["earned"] + answered["bonus"],
        )
        for code, (_, value, left, _) in answered["coupons"].items():
            self.papers[code].uses.append((sale["id"], value, left))
            event("a coupon was used")
        taken = [
            (name, answered["budgets"].get(subject, 0))
            for name, (subject, _) in self.left.items()
            if subject == "spring"
        ]
        rest = answered["redeemed"]
        for name, (subject, left) in self.left.items():
            if subject == member and rest:
                taken.append((name, min(rest, left)))
                rest -= taken[-1][1]
                event("points were spent")
        self._move(sale["id"], [(name, amount) for name, amount in taken if amount])

    def _move(self, sale: str, moves: list[tuple[str, int]]) -> None:
        self.moved[sale] = moves
        for name, amount in moves:
            subject, left = self.left[name]
            self.left[name] = (subject, left - amount)

    def _refunded(self, sale: str, amount: int) -> None:
        settled = self.model.sales[sale]
        before, burnt = settled.refunded, 0 if settled.bought is None else len(settled.bought.spent)
        self.model.refund(sale, amount, self.now_ms)
        net, after = settled.net, settled.refunded
        back = burnt * after // net - burnt * before // net if net else burnt
        kept: list[tuple[str, int]] = []
        for name, taken in reversed(self.moved[sale]):
            subject, left = self.left[name]
            gone = (taken if settled.voided else 0) if subject == "spring" else min(back, taken)
            back -= 0 if subject == "spring" else gone
            self.left[name] = (subject, left + gone)
            kept.insert(0, (name, taken - gone))
        self.moved[sale] = kept
        if settled.voided:
            for paper in self.papers.values():
                paper.give_back(sale)
            event("a sale was given back in full")

    # --- the comparison ---------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Accounts, lots, counts, growth, leases and coupons on disk are those of the model."""
        refs = {row["ref"]: row["id"] for row in self.till.rows("SELECT ref, id FROM member")}
        accounts: dict[str, Counter[str]] = {member: Counter() for member in self.model.members}
        lots: Counter[tuple[str, str]] = Counter()
        for row in self.till.rows("SELECT * FROM posting WHERE member_ref IS NOT NULL"):
            accounts[refs[row["member_ref"]]][row["account"]] += row["points"]
            if row["account"] != "member:debt":
                lots[refs[row["member_ref"]], row["lot"]] += row["points"]
        known = {row["id"]: row for row in self.till.rows("SELECT id, growth, visits FROM member")}
        for name, member in self.model.members.items():
            purse = member.purse
            assert accounts[name] == Counter({k: v for k, v in purse.accounts.items() if k.startswith("member")})
            assert {lot: points for (who, lot), points in lots.items() if who == name and points} == {
                lot.name: lot.points for lot in purse.lots.values() if lot.points
            }
            assert (known[name]["growth"], known[name]["visits"]) == (member.growth, member.visits)
        assert self.till.one("SELECT coalesce(sum(points), 0) AS n FROM posting") == 0
        spent = {row["id"]: row["granted"] - row["spent"] for row in self.till.rows("SELECT * FROM lease")}
        assert spent == {name: left for name, (_, left) in self.left.items()}
        assert min(spent.values(), default=0) >= 0
        self._compare_coupons()

    def _compare_coupons(self) -> None:
        uses: dict[str, list[tuple[str, int, int | None]]] = {}
        for row in self.till.rows("SELECT * FROM coupon_use WHERE returned_ms IS NULL ORDER BY at_ms, rowid"):
            uses.setdefault(row["code"], []).append((row["sale"], row["value_minor"], row["left_minor"]))
        assert uses == {paper.code: paper.uses for paper in self.papers.values() if paper.uses}

    def close(self) -> None:
        """Let the database go."""
        self.till.close()

    def finish(self) -> None:
        """The day is over: the station's own verification finds nothing."""
        report = verify(self.till.settings.store.path)
        assert not report.findings, report.findings


def _asking(op: str, **args: Any) -> Table:
    return {"op": op, **args}


def _now(till: Till) -> Now:
    return Now(till.clock.wall_ms(), till.clock.mono_ms())


def _counts_kept(state: dict[str, list[Table]]) -> dict[str, list[Table]]:
    """The tables without counts that went up and down again to nothing."""
    kept = [row for row in state["use_count"] if row["uses"] or row["amount"]]
    return state | {"use_count": sorted(kept, key=str)}


@pytest.fixture(autouse=True, scope="module")
def _quiet_log():
    with quiet_log():
        yield


@given(dice())
@settings(max_examples=tries(15))
def test_a_till_keeps_what_the_model_keeps(roll):
    """After every step of a random day the database holds the points, leases, coupons and counts of the model."""
    with template.begun() as folder, closing(Day(roll, folder)) as day:
        for _ in range(STEPS):
            day.step()
        day.finish()
