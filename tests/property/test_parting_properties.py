"""Random days of members, two years later: no sale names anybody any more, and everybody still has what they had."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings

from agent.domain.retention import DAY_MS
from agent.inbox import Ticked
from agent.store.holdings import read_lots
from agent.store.journal import Stamp
from agent.store.verify import verify
from tests.property.test_loyalty_station import MEMBERS, Walk
from tests.support import template
from tests.support.examples import tries
from tests.support.loyalty_cases import dice
from tests.support.loyalty_station import LoyaltyStation
from tests.support.quiet import quiet_log

STEPS = 12
NAMING = ("link", "settlement", "points_holder", "priced", "posting")


class Day(Walk):
    """A random day that nobody compares with the model: here it is only what happened."""

    def compare(self) -> None:
        """See Walk."""


def standing(station: LoyaltyStation) -> dict[str, Any]:
    """What every member has: lots, debt, counted uses, growth and visits."""
    with closing(sqlite3.connect(f"file:{station.settings.store.path}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        found = {}
        for name in MEMBERS:
            member = db.execute("SELECT * FROM member WHERE id = ?", (name,)).fetchone()
            ref = (member["ref"],)
            lots = {lot.id: lot for lot in read_lots(db, member) if lot.points}
            debt = db.execute("SELECT sum(points) FROM posting WHERE account = 'member:debt' AND member_ref = ?", ref)
            uses = db.execute("SELECT offer, window, period, uses, amount FROM use_count WHERE subject = ?", ref)
            counted = sorted(tuple(row) for row in uses if row["uses"] or row["amount"])
            found[name] = (lots, debt.fetchone()[0] or 0, counted, member["growth"], member["visits"])
        return found


def age(station: LoyaltyStation) -> None:
    """Head office has everything, a night notes that, and two years later another night comes."""
    store = station.store
    with store.begin(Stamp(station.clock.wall_ms(), station.clock.mono_ms(), "boot", "ntp")) as tx:
        tx.delivery.acknowledge("L", *store.heads()["L"])
    for days in (1, 25 * 31):
        station.clock.sleep(days * DAY_MS // 1000)
        station.pipeline.handle(Ticked("minute"))
        for _ in range(200):
            station.turns(1)
            if not station.ask("privacy.status")["data"]["under_way"]:
                break


def records(station: LoyaltyStation) -> list[dict[str, Any]]:
    """The journal of sales and members, as it was written."""
    return station.rows("SELECT seq, body, hash FROM journal WHERE stream = 'L' ORDER BY seq")


def named(station: LoyaltyStation, table: str) -> list[dict[str, Any]]:
    """Rows of settled sales that name a member."""
    where = "sale IN (SELECT id FROM sale WHERE state = 'Cleared') AND member_ref > 0"
    return station.rows(f"SELECT * FROM {table} WHERE {where}")


@pytest.fixture(autouse=True, scope="module")
def _quiet_log() -> Iterator[None]:
    with quiet_log():
        yield


@given(dice())
@settings(max_examples=tries(5))
def test_sales_lose_their_members_and_members_lose_nothing(roll: Any) -> None:
    """Whatever was sold, refunded and linked anew: afterwards points, debt, uses and the verification are as before."""
    folder = template.new_folder()
    template.copy_to(folder)
    walk = Day(roll, folder)
    try:
        for _ in range(STEPS):
            walk.step()
        station = walk.station
        station.leap(900)
        before, journal = standing(station), records(station)
        age(station)
        assert [named(station, table) for table in NAMING] == [[] for _ in NAMING]
        assert standing(station) == before
        assert [record for record in records(station) if record["seq"] <= len(journal)] == journal
        report = verify(station.settings.store.path)
        assert not report.findings, report.findings
        status = station.ask("privacy.status")["data"]
        assert {kind["name"]: kind["due"] for kind in status["kinds"]}["sales"] == 0
    finally:
        walk.station.close()
        shutil.rmtree(folder)
