"""Indexes that wait for their place while the cache is filled are found, changed and deleted as if they stood there."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

from hypothesis import given, settings

from agent.store.bucket_queries import sum_of_bucket
from agent.store.journal import Stamp
from agent.store.loyalty_queries import PointsQueries
from agent.store.members import MemberTable, Put
from agent.store.prepared import raw
from agent.store.queries import NotFound
from agent.store.store import Store
from agent.store.verify_members import merged
from agent.store.waiting import SLICES
from sync.buckets import bucket_of
from tests.support import template
from tests.support.examples import tries
from tests.support.loyalty_cases import Dice, dice
from tests.support.station_settings import STATION

STAMP = Stamp(1_795_305_600_000, 1_000, "b7c1", "rtc")
PEOPLE = 16
DIGESTS = tuple(bytes([number << 4 & 0xFF, number]) * 5 for number in range(1, 14))
STEPS = 24
STRIDE = 1_000
"""Between the changes of two steps, so that no bucket is as of a change that another one is as of."""

Act = Callable[[MemberTable, bool], object]
"""What is done to the members of a database; the second says whether indexes wait there."""


class Pair:
    """The same life in two databases: in one of them the indexes of buckets wait, in the other they never do."""

    def __init__(self, folder: Path, roll: Dice, ends: ExitStack) -> None:
        self.roll = roll
        self.op = 0
        self.filled: set[int] = set()
        self.stores: list[Store] = []
        for name in ("waits", "never"):
            (folder / name).mkdir()
            template.copy_to(folder / name)
            self.stores.append(Store(folder / name / "station.db", station=STATION, random=Random(1)))
            ends.callback(self.stores[-1].close)

    def step(self) -> None:
        """Anything happens; or it nearly did, and the process died before the commit."""
        act = self.roll.pick(
            (self.fill, self.fill, self.fill, self.tell, self.told, self.leave, self.merge, self.settle)
        )
        self.op += STRIDE
        dies = self.roll.one_in(6)
        if not self.filled:
            act = self.fill
        known = set(self.filled)
        did = act()
        for store, waits in zip(self.stores, (True, False), strict=True):
            tx = store.start(STAMP)
            did(tx.members, waits)
            if dies:
                store.roll_back()
            else:
                store.commit(tx)
        if dies:
            self.filled = known

    def put(self, number: int, op: int) -> Put:
        digests = tuple({self.roll.pick(DIGESTS) for _ in range(self.roll.number(0, 2))})
        return Put(name_of(number), "gold", 0, (), "****", None, (), 0, digests, op)

    def somebody(self) -> int:
        """A member of a bucket that is there: of others head office's changes are not stored."""
        return self.roll.pick(sorted(self.filled) or [0])

    def fill(self) -> Act:
        number = self.roll.pick(range(PEOPLE))
        if number in self.filled:
            return lambda _members, _waits: None
        self.filled.add(number)
        put, bucket = (
            self.put(number, self.roll.number(0, self.op // STRIDE) * STRIDE + self.op // STRIDE),
            bucket_of(name_of(number)),
        )
        return lambda members, waits: members.put_all([put], members.in_bucket(bucket), aside=bucket if waits else None)

    def tell(self) -> Act:
        put = self.put(self.somebody(), self.op)
        return lambda members, _waits: members.put(put)

    def told(self) -> Act:
        puts = [self.put(number, self.op) for number in {self.somebody() for _ in range(3)}]
        return lambda members, _waits: members.put_all(puts)

    def leave(self) -> Act:
        name = name_of(self.somebody())
        return lambda members, _waits: members.forget(name)

    def merge(self) -> Act:
        one, other = name_of(self.somebody()), name_of(self.roll.pick(range(PEOPLE)))
        return lambda members, _waits: members.merge(one, other, op=self.op, at_ms=0) if one != other else None

    def settle(self) -> Act:
        left = self.roll.number(1, 3 * SLICES)
        return lambda members, _waits: members.waiting.settle_next(left)

    def check(self) -> None:
        """Every index names the same member."""
        there = []
        for store in self.stores:
            with store.begin(STAMP) as tx:
                there.append([row and row["id"] for row in map(tx.members.by_index, DIGESTS)])
        assert there[0] == there[1]

    def look(self) -> None:
        """People find whom the pipeline finds, and no merged id is named any more."""
        looks = [PointsQueries(store.path) for store in self.stores]
        for digest in DIGESTS:
            assert _looked_up(looks[0], digest) == _looked_up(looks[1], digest)
        with closing(sqlite3.connect(self.stores[0].path)) as db:
            db.row_factory = sqlite3.Row
            assert list(merged(db, lambda *_: iter(()))) == []

    def end(self) -> None:
        """The last buckets let nothing wait, and every bucket comes to the same in both."""
        for left in range(SLICES, 0, -1):
            with self.stores[0].begin(STAMP) as tx:
                tx.members.waiting.settle_next(left)
        self.check()
        sums = []
        for store in self.stores:
            with store.begin(STAMP) as tx:
                db = raw(tx.connection)
                assert db.execute("SELECT count(*) FROM member_index_waiting").fetchone() == (0,)
                sums.append([sum_of_bucket(db, number) for number in sorted(LIVED_IN)])
        assert sums[0] == sums[1]


def name_of(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


LIVED_IN = {bucket_of(name_of(number)) for number in range(PEOPLE)}


def _looked_up(queries: PointsQueries, digest: bytes) -> str | None:
    try:
        return queries.member_id("", [digest])
    except NotFound:
        return None


@given(dice())
@settings(max_examples=tries(20), deadline=None)
def test_what_waits_is_as_good_as_in_its_place(roll: Dice) -> None:
    """[W-40] Buckets, changes, deletions, merges, moved indexes and deaths in any order: the same lookups, the same sums."""
    folder = template.new_folder()
    with ExitStack() as ends:
        pair = Pair(folder, roll, ends)
        for _ in range(STEPS):
            pair.step()
            pair.check()
        pair.look()
        pair.end()
    shutil.rmtree(folder)
