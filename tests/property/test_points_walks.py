"""No point and no cent is spent twice, whatever stations, the wire and their disks do: real tills, real head office.

A random walk over three ends: two stations that sell, redeem, refund, crash and are restored, and head office, with
requests, answers, batches and told balances that are lost, repeated and late [W-50] [W-52].
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from agent.inbox import Asked, Person
from headoffice.store import pools
from headoffice.store.verify import verify
from sync.notices import Res
from tests.support import template
from tests.support.examples import ALL, tries
from tests.support.lending_office import Line, Office, points_on
from tests.support.loyalty_cases import Dice, dice
from tests.support.postgres import Postgres
from tests.support.quiet import quiet_log
from tests.support.till import CAMPAIGN, CASH, PAY

HAS = 3_000
BUDGET_MINOR = 30_000
STEPS = 40 if ALL else 25
WALL = (1, 11, 200, 2_000)


class Walk:
    """Two stations and what is on the wire between them and head office."""

    def __init__(self, roll: Dice, folder: Path, url: str | None = None) -> None:
        self.roll = roll
        self.office = Office(folder, url)
        self.office.member(HAS)
        with self.office.database.write() as connection:
            pools.set_budget(connection, "autumn", BUDGET_MINOR, 0)
        self.lines = [self.office.station(name, (PAY, CAMPAIGN)) for name in ("SIM-0001", "SIM-0002")]
        self.sales: dict[str, list[str]] = {line.station: [] for line in self.lines}
        self.answers: list[tuple[Line, Res]] = []
        self.batches: list[tuple[Line, bytes]] = []

    def live(self) -> None:
        """A step of the walk; afterwards nothing is overspent."""
        moves = (*[self.quote] * 4, *[self.settle] * 4, *[self.ask] * 5, *[self.hear] * 5, *[self.send] * 6)
        moves += (self.unlock, self.void, self.wait, self.wait, self.link, self.tell, self.restart, self.rebirth)
        self.roll.pick(moves)(self.roll.pick(self.lines))
        self.check()

    def check(self) -> None:
        """Free and lent are the balance, none of them below 0, and nobody has more than there was."""
        now = self.office.points()
        assert (now.free + now.lent, now.short, now.overrun) == (now.balance, 0, 0)
        assert 0 <= now.balance <= HAS
        budget = self.office.budget()
        assert (budget.free + budget.lent, budget.short, budget.overrun) == (budget.balance, 0, 0)
        assert self.redeemed() <= HAS
        assert self.discounts() <= BUDGET_MINOR

    def redeemed(self) -> int:
        """Points that customers of all stations have used and not got back."""
        return -sum(
            int(line.till.one("SELECT coalesce(sum(points), 0) FROM posting WHERE account = 'member:available'"))
            for line in self.lines
        )

    def discounts(self) -> int:
        """Money of the campaign that customers of all stations have."""
        query = (
            "SELECT coalesce(sum(m.amount), 0) FROM lease_move m JOIN lease l ON l.id = m.lease AND l.kind = 'budget'"
        )
        return sum(int(line.till.one(query)) for line in self.lines)

    # --- what happens -------------------------------------------------------------------------------------------------

    def _ask(self, line: Line, op: str, **args: Any) -> None:
        line.till.pipeline.handle(Asked(op, args, Person("wang", "supervisor")))

    def _sale(self, line: Line) -> str:
        mine = self.sales[line.station]
        if not mine or self.roll.one_in(2):
            mine.append(line.till.fuelled(self.roll.pick((2_000, 20_000, 60_000))))
        return self.roll.pick(mine[-3:])

    def quote(self, line: Line) -> None:
        """A price is told, with points, and held or not."""
        points, lock = self.roll.pick((100, 800, 2_500)), self.roll.one_in(2)
        self._ask(line, "sales.quote", sale=self._sale(line), points=points, lock=lock, accept=True)

    def settle(self, line: Line) -> None:
        """A sale is paid, with points or without."""
        points = self.roll.pick((None, 500, 2_500))
        self._ask(line, "sales.settle", sale=self._sale(line), tenders=CASH, points=points, accept=True)

    def unlock(self, line: Line) -> None:
        """A held price is let go."""
        self._ask(line, "sales.unlock", sale=self._sale(line))

    def void(self, line: Line) -> None:
        """A sale is given back."""
        self._ask(line, "sales.void", sale=self._sale(line), reason="walk")

    def wait(self, line: Line) -> None:
        """Time passes at a station: questions end their wait, quotes and leases end."""
        line.till.wait(self.roll.pick(WALL))

    def link(self, line: Line) -> None:
        """The link goes or comes."""
        line.online(is_up=not self.roll.one_in(3))

    def ask(self, line: Line) -> None:
        """A request reaches head office, perhaps again; its answer is on the way, or lost."""
        waiting = line.open()
        if waiting:
            res = line.ask(self.roll.pick(waiting))
            if not self.roll.one_in(4):
                self.answers.append((line, res))

    def hear(self, _line: Line) -> None:
        """An answer arrives, perhaps late, perhaps not for the last time."""
        if self.answers:
            place = self.roll.byte() % len(self.answers)
            line, res = self.answers[place]
            if not self.roll.one_in(3):
                del self.answers[place]
            line.hear(res)

    def send(self, line: Line) -> None:
        """A batch is cut; one of those that were cut arrives: a new one, an old one again, one too early."""
        known = line.cum.get(line.till.store.incarnation, 0)
        payload = line.batch(max(1, known + 1 - self.roll.pick((0, 0, 3))), known + self.roll.number(1, 9))
        if payload is not None:
            self.batches.append((line, payload))
        if self.batches:
            sender, old = self.roll.pick(self.batches[-4:])
            sender.send(old)

    def tell(self, line: Line) -> None:
        """A balance is told."""
        line.tell()

    def restart(self, line: Line) -> None:
        """The process dies and starts again; whoever waited asks again or not."""
        line.till.restart()
        line.online()

    def rebirth(self, line: Line) -> None:
        """The PC is replaced: the database begins a new incarnation, and what was lent to the old one is void."""
        if self.roll.one_in(2):
            line.till.reborn()
            line.hello()
            line.online()

    # --- the end ------------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Everybody hears everything: what is lent comes back, but for what a person must decide, and all agree."""
        for line in self.lines:
            line.online()
            line.till.wait(4)
            line.ask_all()
            for sale in self.sales[line.station]:
                self._ask(line, "sales.settle", sale=sale, tenders=CASH, accept=True)
            line.till.wait(8 * 86_400)
            line.ask_all()
            line.drain()
        with self.office.database.write() as connection:
            for row in pools.listed(connection, limit=1_000):
                if row["kind"] == "points":
                    assert row["state"] == "void"
                    pools.write_off(connection, row["id"], 0)
        now = self.office.points()
        assert (now.free, now.lent) == (HAS - self.redeemed(), 0)
        for line in self.lines:
            line.tell()
        assert [points_on(line.till) for line in self.lines] == [now.free, now.free]
        assert verify(self.office.database).findings == ()


@pytest.fixture(autouse=True, scope="module")
def _quiet_log() -> Iterator[None]:
    with quiet_log():
        yield


def walk(roll: Dice, url: str | None = None) -> None:
    """One walk to its end."""
    folder = template.new_folder()
    there = Walk(roll, folder, url)
    try:
        for _ in range(STEPS):
            there.live()
        there.end()
    finally:
        there.office.close()
        shutil.rmtree(folder)


@given(dice())
@settings(max_examples=tries(15))
def test_nothing_is_spent_twice_whatever_happens(roll: Dice) -> None:
    """[W-50] [W-51] [W-52] At every step free + leases = balance, all >= 0, and at the end both ends agree."""
    walk(roll)


@pytest.mark.long
@given(dice())
@settings(max_examples=20 if ALL else 1)
def test_nothing_is_spent_twice_on_postgresql(postgres: Postgres, roll: Dice) -> None:
    """[W-50] The same walks with head office on PostgreSQL."""
    with postgres.database() as url:
        walk(roll, url)
