"""A member who was enrolled twice and merged later ends with what one member would have had, in whatever order [W-44].

The same random day is lived at two tills: at one a single member, at the other a provisional id as well, which head
office merges into the first at a drawn moment. Head office's balances are made from what each till has journalled.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings

from agent.inbox import FromHeadOffice
from agent.pipeline import wallets
from agent.store.liability_queries import LiabilityQueries
from agent.store.member_queries import MemberQueries
from agent.store.verify import verify
from sync import ports
from tests.support import template
from tests.support.examples import tries
from tests.support.loyalty_cases import Dice, dice
from tests.support.quiet import quiet_log
from tests.support.station_settings import STATION
from tests.support.till import CASH, EARN, MEMBER, Till

PROVISIONAL = "0123456789abcdef"
USED = {
    "id": "used",
    "kind": "PER_LITRE",
    "off_milli": 10,
    "limit": [{"window": "MONTH", "uses": 99}],
}
STEPS = 12


class Twin:
    """One till of the two. ``double``: the member has a second id here, which some sales are linked to."""

    def __init__(self, *, double: bool) -> None:
        self.double = double
        self.folder = template.new_folder()
        template.copy_to(self.folder)
        self.till = Till(self.folder, settle="tender")
        self.till.rules(EARN, USED, validity_months=1)
        self.op = 0
        self.is_merged = not double
        self.ops: list[dict[str, Any]] = []
        self.heads = [0]
        self.sales: list[str] = []

    # --- what happens -------------------------------------------------------------------------------------------------

    def tell(self, **op: Any) -> None:
        """Head office tells a change; those of before may come again with it."""
        self.op += 1
        self.ops.append({"op": self.op, **op})
        self.till.pipeline.handle(FromHeadOffice(ports.MembersPage(0, tuple(self.ops[-3:]))))

    def put(self, member: str, place: int) -> None:
        """A balance of head office that includes this till's records up to a step of the day."""
        seq = self.heads[place]
        mine = {MEMBER, PROVISIONAL} if self.is_merged and member == MEMBER else {member}
        lots = [lot for lot in self._lots(mine, seq) if lot["points"] > 0]
        as_of = {"incarnation": self.till.store.incarnation, "seq": seq}
        rest: dict[str, Any] = {"indexes": [], "tags": [], "tier": "", "mask": "138****5678"}
        rest["as_of"] = {STATION: as_of}
        self.tell(kind="PUT", member=member, lots=lots, **rest)

    def _lots(self, members: set[str], seq: int) -> list[dict[str, Any]]:
        """What was posted to these ids up to a record, lot by lot, as head office would tell it."""
        names = ", ".join(f"'{member}'" for member in members)
        return self.till.rows(
            "SELECT p.lot, sum(p.points) AS points, max(l.expires_on) AS expires_on, NULL AS usable_from"
            " FROM posting p JOIN member m ON m.ref = p.member_ref"
            " LEFT JOIN lot l ON l.id = p.lot AND l.member_ref = p.member_ref"
            f" WHERE m.id IN ({names}) AND p.seq <= {seq} AND p.account <> 'member:debt' GROUP BY p.lot"
        )

    def merge(self) -> None:
        """Head office has found out that both are one."""
        if not self.is_merged:
            self.is_merged = True
            self.tell(kind="ALIAS", member=PROVISIONAL, to=MEMBER)

    def sell(self, volume_ml: int, *, is_second: bool, paid: bool) -> None:
        """A fuelling of the member, seen under one id or the other, paid at once or left for later."""
        who = PROVISIONAL if self.double and is_second else MEMBER
        sale = self.till.fuelled(volume_ml, member=who)
        self.sales.append(sale)
        if paid:
            self.pay(len(self.sales) - 1)

    def pay(self, number: int) -> None:
        """The sale is paid, if it is not yet."""
        self.till.ask("sales.settle", role="attendant", sale=self.sales[number], tenders=CASH)

    def hold(self, number: int) -> None:
        """A price is told and held."""
        self.till.ask("sales.quote", role="attendant", sale=self.sales[number], lock=True)

    def back(self, number: int, amount_minor: int) -> None:
        """Money goes back, part of it or all."""
        args = {"sale": self.sales[number], "reason": "spilled"}
        if amount_minor:
            self.till.ask("sales.refund", amount_minor=amount_minor, again=True, **args)
        else:
            self.till.ask("sales.void", **args)

    def keep(self) -> None:
        """Note how far the journal is after this step."""
        self.heads.append(self.till.one("SELECT seq FROM stream_head WHERE stream = 'L'"))

    # --- what there is ------------------------------------------------------------------------------------------------

    def purse(self) -> dict[str, Any]:
        """What the member has by the pipeline's own reckoning, and by what people look up."""
        till = self.till
        ref = till.do(lambda step: step.tx.members.ensure(PROVISIONAL if self.double else MEMBER))
        lots = till.do(lambda step: wallets.lots_of(step, ref))
        row = till.rows(f"SELECT visits FROM member WHERE ref = {ref}")[0]
        shown = MemberQueries(till.store.path).member(MEMBER)
        uses = till.rows(f"SELECT uses, amount FROM use_count WHERE subject = {ref} AND uses <> 0")
        believed = LiabilityQueries(till.store.path).believed()
        return {
            "lots": _by_day((str(lot.expires_on), lot.points) for lot in lots),
            "debt": till.do(lambda step: step.tx.sales.debt_of(ref)),
            "visits": row["visits"],
            "uses": uses,
            "shown": shown["points_available"],
            "told": _by_day((str(lot["expires_on"]), lot["points"]) for lot in shown["lots"]),
            "fuellings": len(shown["fuellings"]),
            "believed": sum(lot.points for lot in believed),
        }

    def close(self) -> tuple[Any, ...]:
        """The day is over; what verify finds."""
        findings = verify(self.till.store.path).findings
        self.till.close()
        shutil.rmtree(self.folder)
        return findings


def _by_day(lots: Iterable[tuple[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for day, points in lots:
        found[day] += points
    return +found


def act(roll: Dice, one: Twin, two: Twin) -> None:
    """One random step of both."""
    twins = (one, two)
    what = roll.pick(("sell", "sell", "back", "put", "put", "pay", "hold", "merge", "wait", "again", "confirm"))
    if what == "sell":
        volume_ml, is_second, paid = roll.pick((20_000, 7_330, 1_000)), roll.one_in(2), roll.pick((True, True, False))
        for twin in twins:
            twin.sell(volume_ml, is_second=is_second, paid=paid)
    elif what in ("back", "pay", "hold") and one.sales:
        number, amount = roll.byte() % len(one.sales), roll.pick((0, 500, 1_234))
        for twin in twins:
            twin.back(number, amount) if what == "back" else twin.pay(number) if what == "pay" else twin.hold(number)
    elif what == "put":
        place = max(0, len(one.heads) - 1 - roll.byte() % 4)
        for twin in twins:
            twin.put(MEMBER, place)
    elif what == "merge":
        two.merge()
    elif what == "confirm" and not two.is_merged:
        two.put(PROVISIONAL, roll.byte() % len(two.heads))
    elif what == "wait":
        seconds = roll.pick((30, 3_600, 86_400))
        for twin in twins:
            twin.till.wait(seconds)
    elif what == "again":
        for twin in twins:
            twin.till.restart()
    for twin in twins:
        twin.keep()


@pytest.fixture(autouse=True, scope="module")
def _quiet_log():
    with quiet_log():
        yield


@given(dice())
@settings(max_examples=tries(15))
def test_a_merged_member_has_what_one_member_would_have(roll):
    """Sales, refunds, quotes, balances of head office, restarts and the merge in any order: the same purse."""
    one, two = Twin(double=False), Twin(double=True)
    for twin in (one, two):
        twin.put(MEMBER, 0)
    two.put(PROVISIONAL, 0)
    try:
        for _ in range(STEPS):
            act(roll, one, two)
        two.merge()
        expected, found = one.purse(), two.purse()
    finally:
        ends = [twin.close() for twin in (one, two)]
    assert ends == [(), ()]
    assert found == expected
