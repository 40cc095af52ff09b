"""Head office's database put back from an old copy, and said so: a station that runs on hears it, and sends what is missing."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from drivers.simulator.config import card_numbers
from tests.support.processes import Site, eventually

SPEED = 20
WITHIN_S = 60
SALES = 'link_after = "20s"\nsettle_after = "10s"'
POINTS = "SELECT account, sum(points) FROM posting GROUP BY account ORDER BY account"


@pytest.mark.long
def test_a_station_that_runs_on_follows_a_head_office_that_was_put_back(tmp_path: Path) -> None:
    """[W-34] [W-40] [W-42] No head and no change of a member comes under a number that the station knows; an idle station
    says hello anew and sends again what the copy lacks; rule sets and members are handed out as before. Never restarted.
    """
    with Site(tmp_path, speed=SPEED, seed=7) as site:
        site.import_members(card_numbers(40))
        site.publish_rules(1)
        office = site.start_hq()
        forecourt = site.start_forecourt()
        site.configure(sales=SALES)
        agent = site.start_agent()
        eventually(lambda: sales_at_hq(site) >= 1, WITHIN_S, "a first sale is delivered")
        copy = copied(site)
        site.publish_rules(2)
        site.import_members(card_numbers(41))
        eventually(
            lambda: rules_here(site) == 2 and member_op_here(site) > 40, WITHIN_S, "the newest rules and members"
        )
        sold = sales_at_hq(site)
        eventually(lambda: sales_at_hq(site) >= sold + 2, WITHIN_S, "sales behind the copy")
        site.close_forecourt(forecourt)
        eventually(
            lambda: site.sums_at_hq() == site.sums_at_pumps() and site.all_delivered(), WITHIN_S, "all is delivered"
        )
        assert office.end() == 0
        put_back(site, copy)
        assert site.sums_at_hq() != site.sums_at_pumps()
        first, second = (json.loads(site.hq_command("restored", "--json")) for _ in range(2))
        assert (first["rules_version"], first["members"]) == (1, 40)
        assert second["head_version"] > first["head_version"] > 10**15
        site.start_hq()
        eventually(lambda: site.sums_at_hq() == site.sums_at_pumps(), WITHIN_S, "the station has sent again")
        eventually(
            lambda: "rules_newer_at_station" in alerts_at_hq(site), WITHIN_S, "head office says which rules it lost"
        )
        site.publish_rules(3)
        site.import_members(card_numbers(42))
        eventually(lambda: rules_here(site) == 3, WITHIN_S, "the station believes the next head")
        eventually(lambda: member_op_here(site) > 10**15, WITHIN_S, "and the changes of members")
        eventually(lambda: sorted(site.at_hq(POINTS)) == sorted(site.at_station(POINTS)), WITHIN_S, "equal points")
        site.check_once(site.sums_at_pumps())
        assert agent.end() == 0
        site.verify_station()
        assert json.loads(site.hq_command("verify", "--json"))["verified"]


def copied(site: Site) -> Path:
    """A backup of head office's database."""
    copy = site.folder / "hq.copy"
    with closing(sqlite3.connect(site.hq / "database.sqlite")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def put_back(site: Site, copy: Path) -> None:
    """The copy in the place of the database."""
    here = site.hq / "database.sqlite"
    for ending in ("-wal", "-shm"):
        here.with_name(here.name + ending).unlink(missing_ok=True)
    here.write_bytes(copy.read_bytes())


def sales_at_hq(site: Site) -> int:
    return sum(count for count, _ in site.sums_at_hq().values())


def alerts_at_hq(site: Site) -> list[Any]:
    return [row[0] for row in site.at_hq("SELECT alert FROM own_alert")]


def rules_here(site: Site) -> int:
    found = site.at_station("SELECT max(version) FROM document WHERE kind = 'rules'")
    return int(found[0][0] or 0) if found else 0


def member_op_here(site: Site) -> int:
    found = site.at_station("SELECT value FROM meta WHERE key = 'member_op'")
    return int(found[0][0]) if found else 0
