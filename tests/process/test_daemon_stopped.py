"""A station that may not send any more: it stops, says so everywhere, and sells on; nothing more reaches head office."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.store import mark
from tests.support.processes import STATION, Site, eventually
from tests.support.spy import Spy

SPEED = 10


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, speed=SPEED) as opened:
        opened.start_hq()
        opened.start_forecourt()
        opened.configure()
        yield opened


def sales_here(site: Site) -> int:
    return int(site.at_station("SELECT count(*) FROM sale")[0][0])


def sold_and_delivered(site: Site) -> None:
    """A first life: at least one sale, everything at head office, the agent ended."""
    agent = site.start_agent()
    eventually(lambda: sales_here(site) > 0, 40, "a first sale")
    eventually(site.all_delivered, 20, "the journal is delivered")
    assert agent.end() == 0


def stopped_for(site: Site, reason: str) -> None:
    """The reason stands in `status`, `sync --json` and an alert; sales go on and head office hears nothing more."""
    eventually(lambda: site.ask("sync")["stopped"] == reason, 20, f"the station has stopped: {reason}")
    shown = site.command("sync", "--json")
    assert (shown.returncode, json.loads(shown.stdout)["stopped"]) == (0, reason)
    assert site.ask("status")["sync"]["stopped"] == reason
    alerts = {alert["alert"]: alert for alert in site.ask("alerts")}
    assert "SENDING_STOPPED" in alerts, alerts
    records = "SELECT count(*) FROM record"
    with Spy(site.broker.port, STATION) as spy:
        at_hq, here = site.at_hq(records), sales_here(site)
        eventually(lambda: sales_here(site) > here, 40, "the station sells on")
        assert not site.ask("sync")["online"]
        assert [spy.count(name) for name in ("up/hello", "up/l", "up/a", "up/t")] == [0, 0, 0, 0]
    assert site.at_hq(records) == at_hq


def test_a_database_behind_its_mark_is_not_sent_from(site: Site) -> None:
    """[W-30] [W-31] The high-water file has seen a higher seq: the database was restored, so sending stops."""
    sold_and_delivered(site)
    seen = mark.read(site.mark)
    assert seen is not None
    ahead = {name: (seq + 5, digest) for name, (seq, digest) in seen.streams.items()}
    mark.write(site.mark, mark.Mark(seen.incarnation, seen.connect_n, ahead))
    site.start_agent()
    stopped_for(site, "behind_mark")


def test_head_office_that_knows_more_stops_a_restored_station(site: Site) -> None:
    """[W-32] The database is an old copy and its mark is as old: head office's welcome tells, sending stops."""
    site.start_agent().end()
    copy = site.folder / "copy"
    copy.mkdir()
    shutil.copy(site.database, copy)
    shutil.copy(site.mark, copy)
    sold_and_delivered(site)
    for name in ("-wal", "-shm"):
        site.database.with_name(site.database.name + name).unlink(missing_ok=True)
    shutil.copy(copy / site.database.name, site.database)
    shutil.copy(copy / site.mark.name, site.mark)
    agent = site.start_agent()
    stopped_for(site, "reincarnate")
    assert agent.end() == 0
    site.start_agent()
    stopped_for(site, "reincarnate")


def test_a_fork_told_in_the_welcome_stops_the_station(site: Site) -> None:
    """[W-25] Head office has another hash at our last seq: the welcome says fork, sending stops."""
    sold_and_delivered(site)
    (before,) = site.at_station("SELECT seq FROM stream_head WHERE stream = 'L'")
    site.fork_at_hq(int(before[0]))
    site.start_agent()
    stopped_for(site, "fork")
