"""PostgreSQL put back from an older backup while people fuel: the station sends again what it lacks, each fact once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.exactly_once import Truth, complaints
from tests.support.postgres import Postgres
from tests.support.processes import HEAD_OFFICE, STATION, Site, eventually

pytestmark = pytest.mark.long

SPEED = 12
SOME = 10
WITHIN_S = 60


def known(server: Postgres, url: str) -> int:
    """How far head office has the ledger of the station."""
    rows = server.execute(url, "SELECT coalesce(max(cum), 0) FROM cursor WHERE stream = 'L'")
    return int(str(rows[0][0]))


def acked(site: Site) -> int:
    """How far the station believes that it has."""
    rows = site.at_station("SELECT acked FROM stream_head WHERE stream = 'L'")
    return int(rows[0][0]) if rows else 0


def test_a_station_sends_again_what_a_restored_server_lacks(tmp_path: Path) -> None:
    """[W-22] [W-27] [W-34] Twice put back to the same old copy under running workers and a selling station: what was
    acknowledged since is not there any more, and comes again from the rows that the station keeps.
    """
    with Postgres() as server, server.database() as url, Site(tmp_path, speed=SPEED) as site:
        site.environment["FORECOURT_HQ_DATABASE"] = url
        broker = f"mqtt://127.0.0.1:{site.broker.port}"
        serving = site.start("hq", [sys.executable, "-c", HEAD_OFFICE, "serve", "--workers", "2", "--broker", broker])
        forecourt = site.start_forecourt()
        site.configure(sales='link_after = "20s"\nsettle_after = "10s"')
        agent = site.start_agent()
        eventually(lambda: known(server, url) > SOME, WITHIN_S, "head office knows some records")
        server.back_up()
        at_most = known(server, url)
        for _ in range(2):
            eventually(lambda: acked(site) > at_most + SOME, WITHIN_S, "more than in the backup is acknowledged")
            server.put_back()
            believed = acked(site)
            assert believed > at_most, "the station believes what is not there any more"
            eventually(lambda: known(server, url) > believed, WITHIN_S, "all of it is there again")  # noqa: B023
        site.close_forecourt(forecourt)
        truth = Truth({nozzle: volume for nozzle, (_, volume) in site.sums_at_pumps().items()})
        found: list[str] = []

        def is_well() -> bool:
            found[:] = complaints(url, {STATION: [site.database]}, {STATION: truth})
            return not found

        try:
            eventually(is_well, WITHIN_S, "every fact once")
        except AssertionError as late:
            raise AssertionError("\n".join(found[:40])) from late
        assert (agent.end(), serving.end()) == (0, 0)
        site.verify_station()
