"""The broker was away for 2,000 sales: all arrive exactly once, inside window and size, and alerts do not wait behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.backlog import write_sales
from tests.support.examples import tries
from tests.support.processes import STATION, Site, eventually
from tests.support.spy import Spy

SALES = tries(2_000)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        opened.write_config(opened.no_devices())
        yield opened


def test_two_thousand_sales_arrive_once_and_an_alert_overtakes_them(site: Site) -> None:
    """[W-11] A before L, at most four batches of a stream in flight, at most 65,536 bytes and 200 records each."""
    site.broker.stop()
    sums = write_sales(site.config, SALES)
    agent = site.start_agent()
    alert = "SELECT 1 FROM journal WHERE type = 'fc.device.alert.v1'"
    eventually(lambda: site.at_station(alert), 20, "the pumps that do not answer raise an alert")
    assert not site.ask("sync")["online"]
    site.broker.start()
    with Spy(site.broker.port, STATION) as spy:
        site.start_hq()
        eventually(lambda: site.sums_at_hq() == sums, 60, "head office has every sale")
        eventually(site.all_delivered, 20, "everything is acknowledged")
        assert spy.most_in_flight("L") <= 4
        size, records = spy.largest_batch()
    assert size <= 65_536
    assert records <= 200
    ((first_alert,),) = site.at_hq("SELECT min(record) FROM alert")
    ((sales_before,),) = site.at_hq("SELECT count(*) FROM sale WHERE record < ?", first_alert)
    assert sales_before < SALES // 2
    assert agent.end() == 0
    said = site.command("verify", "--database", str(site.database), "--json")
    assert (said.returncode, json.loads(said.stdout)["verified"], json.loads(said.stdout)["sales"]) == (0, True, SALES)
    site.verify_hq()
