"""Random days of a station's members against the model: the real pipeline on a real database, compared after every step.

Scans, fuellings, settlements, refunds, voids, links given and taken, repeats of every message, leaps of time, restarts.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings

from agent.store.verify import verify
from tests.support import template
from tests.support.examples import tries
from tests.support.head_office_says import member_of
from tests.support.loyalty_cases import Dice, dice
from tests.support.loyalty_model.station import Programme
from tests.support.loyalty_model.words import Counts, Table
from tests.support.loyalty_station import CARDS, LoyaltyStation
from tests.support.quiet import quiet_log

ZONE, STATION = "Asia/Shanghai", "SIM-0001"
START_MS = 1_795_248_000_000 - 86_400_000
MEMBERS = tuple(member_of(number) for number in range(1, len(CARDS) + 1))
TOLD: tuple[Table, ...] = (
    {"tier": "gold", "tags": ["taxi"], "birthday": "11-21", "first_fill_used": False},
    {"tier": None, "tags": [], "birthday": None, "first_fill_used": False},
    {"tier": "silver", "tags": [], "birthday": None, "first_fill_used": True},
    {"tier": None, "tags": ["taxi"], "birthday": "12-01", "first_fill_used": False},
)
STEPS = 22


def published(roll: Dice) -> Table:
    """A rule document of a programme with points, tiers, limits and a first fill; its settings are drawn."""
    limit = {"window": roll.pick(("DAY", "WEEK", "MONTH")), "uses": 2}
    return {
        "version": 1,
        "effective_from": "2020-01-01T00:00:00+08:00",
        "program": {
            "currency": "CNY",
            "exponent": 2,
            "validity_months": roll.pick((12, 1)),
            "reversal": roll.pick(("WITHIN_BALANCE", "ONLY_PENDING", "UNLIMITED")),
            "growth_base": roll.pick(("NET", "VOLUME", "VISITS")),
            "earn_rounding": roll.pick(("FLOOR", "HALF_UP")),
        },
        "tier": [
            {"id": "silver", "name": "Silver", "threshold": 300_000},
            {"id": "gold", "name": "Gold", "threshold": 1_000_000},
        ],
        "group": [{"id": "litre", "mode": "BEST"}],
        "offer": [
            {"id": "earn", "kind": "EARN", "points": 1, "per_minor": 100},
            {"id": "gold-points", "kind": "MULTIPLIER", "factor_pct": 150, "when": {"tiers": ["gold"]}},
            {"id": "welcome", "kind": "BONUS_POINTS", "points": 40, "when": {"first_fill": True}},
            {"id": "third", "kind": "BONUS_POINTS", "points": 9, "when": {"visit_every": 3}},
            {"id": "member", "kind": "PER_LITRE", "off_milli": 100, "group": "litre", "limit": [limit]},
            {
                "id": "gold-litre",
                "kind": "PER_LITRE",
                "off_milli": 300,
                "group": "litre",
                "when": {"tiers": ["gold"], "grades": ["92"]},
                "limit": [{"window": "DAY", "amount_minor": 700}],
            },
            {
                "id": "all",
                "kind": "SPEND_THRESHOLD",
                "off_minor": 500,
                "per_minor": roll.pick((7_000, 200_000)),
                "when": {"anyone": True},
                "limit": [{"per": "STATION", "window": "DAY", "uses": 3}],
            },
            {"id": "free", "kind": "AMOUNT_OFF", "off_minor": 9_999, "when": {"tags": ["taxi"], "grades": ["95"]}},
        ],
    }


class Walk:
    """One random day: every step is done at the station, told to the model, and both are compared."""

    def __init__(self, roll: Dice, directory: Any) -> None:
        self.roll = roll
        self.by_tender = roll.pick((True, True, False))
        document = published(roll)
        self.station = LoyaltyStation(directory, settle="tender" if self.by_tender else "auto", start_ms=START_MS)
        self.model = Programme(document, ZONE, STATION)
        self.document = document
        self.station.rules(document)
        self._tell_members()
        for member, facts in zip(MEMBERS, TOLD, strict=True):
            self.model.enrol(member, facts)
        self.links: dict[str, tuple[str, str, bool]] = {}
        self.last: tuple[str, Table] | None = None

    def _tell_members(self) -> None:
        told = []
        for member, card, facts in zip(MEMBERS, CARDS, TOLD, strict=True):
            flags = ["first_fill_used"] if facts["first_fill_used"] else []
            one = {"tier": facts["tier"] or "", "tags": facts["tags"], "birthday_md": facts["birthday"], "growth": 0}
            told.append({"member": member, "card": card, "flags": flags, **one})
        self.station.members(told)

    @property
    def now_ms(self) -> int:
        """The wall time of the station."""
        return self.station.clock.wall_ms()

    def step(self) -> None:
        """One random step, and the comparison."""
        moves = (
            self.fuel,
            self.fuel,
            self.pay,
            self.refund,
            self.link,
            self.wait,
            self.repeat,
            self.refund,
            self.unlink,
            self.restart,
        )
        self.roll.pick(moves)()
        self.follow()
        self.compare()

    # --- what happens -------------------------------------------------------------------------------------------------

    def fuel(self) -> None:
        """A customer comes, with a card or without one; some show it afterwards."""
        card = self.roll.pick((*CARDS, None))
        first = self.roll.pick((True, False))
        if card is not None and first:
            self.station.scan(card)
        self.station.fuel(self.roll.pick((1, 2)), self.roll.pick((10_000, 25_430, 310, 5_000)))
        if card is not None and not first:
            self.station.scan(card)

    def pay(self) -> None:
        """Somebody pays, mostly with money; now and then nobody does."""
        sale = self._sale("state != 'Cleared'")
        if sale is None:
            return
        kind = self.roll.pick(("cash", "card", "cash", "meter-test"))
        self._ask("sales.settle", sale=sale["id"], tenders=[{"kind": kind, "amount_minor": None, "ref": None}])

    def refund(self) -> None:
        """A part of a paid sale is given back, or all that is left of it."""
        sale = self._sale("state = 'Cleared'")
        if sale is None:
            return
        left = self.model.sales[sale["id"]].net - sale["refunded_minor"]
        if self.roll.one_in(2) or left < 2:
            answer = self._ask("sales.void", sale=sale["id"], reason="wrong pump")
            amount = left
        else:
            amount = self.roll.number(1, min(left, 60_000))
            answer = self._ask("sales.refund", sale=sale["id"], amount_minor=amount, reason="spilled")
            self.last = None  # the same refund once more is another refund
        assert answer["ok"] is not bool(sale["voided"]), answer
        if answer["ok"]:
            self.model.refund(sale["id"], amount, self.now_ms)

    def link(self) -> None:
        """A supervisor links a sale, before or after it is paid, or gives it to another member."""
        sale = self._sale("1")
        if sale is not None:
            self._ask("sales.link", sale=sale["id"], card=self.roll.pick(CARDS), reason="forgot the card")

    def unlink(self) -> None:
        """A supervisor takes a link away."""
        sale = self._sale("1")
        if sale is not None:
            self._ask("sales.unlink", sale=sale["id"], reason="not theirs")

    def wait(self) -> None:
        """Time passes: seconds, a quarter of an hour, days, or longer than points live."""
        self.station.leap(self.roll.pick((40, 900, 90_000, 86_400 * 3, 86_400 * 40)))

    def repeat(self) -> None:
        """The same message comes again: from a person, a reader or head office. Nothing may change."""
        before = self._disk()
        what = self.roll.pick(("ask", "rules", "members", "scan"))
        if what == "rules":
            self.station.rules(self.document)
        elif what == "members":
            self._tell_members()
        elif what == "scan":
            self.station.scan(CARDS[0])
            middle = self._disk()
            self.station.scan(CARDS[0])
            assert self._disk() == middle
            return
        elif self.last is not None:
            op, args = self.last
            self.station.ask(op, **args)
        if self.by_tender:
            assert self._disk() == before

    def restart(self) -> None:
        """The agent ends and begins again on its database."""
        self.station.restart()

    def _ask(self, op: str, **args: Any) -> dict[str, Any]:
        answer = self.station.ask(op, **args)
        self.last = (op, args) if answer["ok"] else None
        return answer

    def _sale(self, where: str) -> Table | None:
        found = self.station.rows(f"SELECT * FROM sale WHERE {where} ORDER BY id")
        return found[self.roll.byte() % len(found)] if found else None

    def _disk(self) -> dict[str, list[dict[str, Any]]]:
        names = ("sale", "link", "settlement", "tender", "posting", "lot", "use_count", "points_holder", "correction")
        tables = {name: self.station.rows(f"SELECT * FROM {name}") for name in names}
        return tables | {"member": self.station.rows("SELECT id, growth, visits FROM member")}

    # --- the model follows ----------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Tell the model of settlements and links that came about, in the order in which they stand on disk."""
        links = {
            row["sale"]: (row["member"], row["level"], bool(row["late"]))
            for row in self.station.rows(
                "SELECT link.sale, link.level, link.late, member.id AS member FROM link JOIN member"
                " ON member.ref = link.member_ref WHERE link.active = 1"
            )
        }
        for sale, known in self.model.sales.items():
            if links.get(sale) != self.links.get(sale) and known.purpose is None:
                member, level, late = links.get(sale, (None, "number", False))
                self.model.relink(sale, member, level, self.now_ms, late=late)
        fresh = [row for row in self._settlements() if row["sale"] not in self.model.sales]
        for row in fresh:
            fuel = self.station.rows(f"SELECT *, NULL AS product_group FROM sale WHERE id = '{row['sale']}'")[0]
            member, level, late = links.get(row["sale"], (None, None, False))
            told = self.model.settle(fuel, member, level, row["purpose"] or None, self.now_ms, late=late)
            assert (row["net_minor"], row["discount_minor"]) == (told["net"], told["discount"])
            assert row["points_earned"] == (told["earned"] + told["bonus"])
        self.links = links

    def _settlements(self) -> list[Table]:
        return self.station.rows("SELECT * FROM settlement ORDER BY journal_seq")

    # --- the comparison -------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """What stands on disk is what the model believes: lots, accounts, growth, visits and counts."""
        refs = {row["ref"]: row["id"] for row in self.station.rows("SELECT ref, id FROM member")}
        accounts: dict[str, Counter[str]] = {member: Counter() for member in MEMBERS}
        program: Counter[str] = Counter()
        lots: Counter[tuple[str, str]] = Counter()
        for row in self.station.rows("SELECT * FROM posting"):
            if row["member_ref"] is None:
                program[row["account"]] += row["points"]
                continue
            accounts[refs[row["member_ref"]]][row["account"]] += row["points"]
            if row["account"] != "member:debt":
                lots[refs[row["member_ref"]], row["lot"]] += row["points"]
        ends = {(refs[row["member_ref"]], row["id"]): row for row in self.station.rows("SELECT * FROM lot")}
        for name, member in self.model.members.items():
            purse = member.purse
            assert accounts[name] == Counter({k: v for k, v in purse.accounts.items() if k.startswith("member")}), name
            assert {lot: points for (who, lot), points in lots.items() if who == name and points} == {
                lot.name: lot.points for lot in purse.lots.values() if lot.points
            }
            for lot in purse.lots.values():
                row = ends[name, lot.name]
                assert (row["usable_from_ms"], row["expires_on"]) == (lot.usable_ms, lot.ends and str(lot.ends))
        everybody = sum((Counter(member.purse.accounts) for member in self.model.members.values()), Counter[str]())
        for account in program:
            assert program[account] == sum(m.purse.accounts[account] for m in self.model.members.values()), everybody
        assert sum(program.values()) + sum(sum(own.values()) for own in accounts.values()) == 0
        self._compare_counts(refs)

    def _compare_counts(self, refs: dict[int, str]) -> None:
        known = {row["id"]: row for row in self.station.rows("SELECT id, growth, visits FROM member")}
        counts: dict[str | None, Counts] = {None: {}} | {member: {} for member in MEMBERS}
        for row in self.station.rows("SELECT * FROM use_count"):
            subject = refs.get(row["subject"])
            if row["uses"] or row["amount"]:
                counts[subject][row["offer"], row["window"], row["period"]] = (row["uses"], row["amount"])
        for name, member in self.model.members.items():
            assert (known[name]["growth"], known[name]["visits"]) == (member.growth, member.visits)
            assert counts[name] == _counted(member.uses, member.amounts), name
        assert counts[None] == _counted(self.model.station_uses, self.model.station_amounts)

    def close(self) -> None:
        """Let the database go."""
        self.station.close()

    def finish(self) -> None:
        """The day is over: the station's own verification finds nothing."""
        report = verify(self.station.settings.store.path)
        assert not report.findings, report.findings


def _counted(uses: Counter[Any], amounts: Counter[Any]) -> Counts:
    return {key: (uses[key], amounts[key]) for key in uses if uses[key] or amounts[key]}


@pytest.fixture(autouse=True, scope="module")
def _quiet_log():
    with quiet_log():
        yield


@given(dice())
@settings(max_examples=tries(15))
def test_a_station_keeps_what_the_model_keeps(roll):
    """After every step of a random day the database holds the balances, lots, growth and counts of the model."""
    with template.begun() as folder, closing(Walk(roll, folder)) as walk:
        for _ in range(STEPS):
            walk.step()
        walk.finish()
