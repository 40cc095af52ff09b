"""Members come down while everything goes wrong: whatever is lost, late, cut or altered, both ends agree in the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings

from agent.inbox import AuditDue
from headoffice import requests_members
from headoffice.members import remove_member
from headoffice.store import members
from tests.support import template
from tests.support.examples import tries
from tests.support.loyalty_cases import Dice, dice
from tests.support.members_link import MembersLink, name_of
from tests.support.quiet import quiet_log

PEOPLE = 40
"""More than may be the last buckets of a fill, of which no index waits."""

STEPS = 10
FAR = 4
PLACES = ("members.before_commit", "members.after_commit", "store.inside_commit")


@pytest.fixture(autouse=True, scope="module")
def _few_are_far() -> Iterator[None]:
    with quiet_log(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(requests_members, "NEAR_OPS", FAR)
        yield


class Walk:
    """One station's life, and who is a member by now."""

    def __init__(self, folder: Path, roll: Dice) -> None:
        self.roll = roll
        self.link = MembersLink(folder, lose=roll.pick((0, 0, 5, 9)), seed=roll.byte())
        self.known: set[int] = set()

    def step(self) -> None:
        """Anything happens."""
        self.roll.pick((self.some, self.many, self.leave, self.turns, self.turns, self.cut, self.die, self.alter))()

    def some(self) -> None:
        numbers = {self.roll.pick(range(PEOPLE)) for _ in range(self.roll.pick((1, 3)))}
        self.link.import_members(sorted(numbers), tier=self.roll.pick(("gold", "silver", "blue")))
        self.known |= numbers
        if self.roll.one_in(2):
            self.link.publish()

    def many(self) -> None:
        self.link.import_members(range(PEOPLE), growth=self.roll.byte(), tags=[self.roll.pick("abc")])
        self.known |= set(range(PEOPLE))
        self.link.told_op = self._last_op()  # after many changes only the head tells

    def leave(self) -> None:
        if self.known:
            gone = self.roll.pick(sorted(self.known))
            assert remove_member(self.link.database, name_of(gone))
            self.known.discard(gone)
            self.link.publish()

    def turns(self) -> None:
        for _ in range(self.roll.number(1, 60)):
            self.link.turn()

    def cut(self) -> None:
        """The connection is lost, and what was under way with it."""
        self.link.feed.disconnected()
        self.link.down.clear()
        self.link.act(self.link.feed.connected(self.link.now))
        self.link.head()

    def die(self) -> None:
        """The process dies at one of the next buckets."""
        self.link.crash = (self.roll.pick(PLACES), 1)
        self.turns()
        self.link.crash = None

    def alter(self) -> None:
        """Something in the database is not what was stored, and the night comes."""
        statement = self.roll.pick(
            (
                "UPDATE member SET base_lots = '[[7,null,null]]' WHERE known = 1 AND ref % 5 = 1",
                "DELETE FROM member_index WHERE member_ref % 5 = 2",
                "UPDATE member SET known = 0 WHERE ref % 7 = 3",
                "UPDATE member SET op = 1 WHERE ref % 7 = 4",
            )
        )
        self.link.till.do(lambda step: step.tx.connection.exec_driver_sql(statement))
        self.night()

    def night(self) -> None:
        self.link.handle(AuditDue("2026-11-22"))

    def _last_op(self) -> int:
        with self.link.database.read() as connection:
            return members.last_op(connection)

    def check(self) -> None:
        """After a quiet night everybody is found, and nobody else."""
        self.link.head()
        for _ in range(3):
            self.link.turn_until(self.link.is_quiet)
            if self.link.agree():
                break
            self.link.now += 120.0
            self.night()
        assert self.link.agree()
        for number in range(PEOPLE):
            assert self.link.found(number) == (name_of(number) if number in self.known else None), number


@given(dice())
@settings(max_examples=tries(15))
def test_both_ends_agree_after_everything(roll: Dice) -> None:
    """[W-40] Lost and late messages, cuts, kills within and after a bucket, altered rows, deltas in between."""
    folder = template.new_folder()
    walk = Walk(folder, roll)
    with closing(walk.link):
        for _ in range(STEPS):
            walk.step()
        walk.check()
    shutil.rmtree(folder)
