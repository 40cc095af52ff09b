"""The line to head office hangs while people fuel: sales are booked and settled as if nothing were, and all arrive later."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.processes import Running, Site, Sums, eventually
from tests.support.proxy import Proxy

pytestmark = pytest.mark.long

SPEED = 12
SOME = 8
"""Sales before the line hangs, and while it does."""

WITHIN_S = 60
LATEST_S = 60 * SPEED
"""From the end of a fuelling to its record, by the station's clock: whoever waits for the line waits until it is well."""


def _both_ways(proxy: Proxy) -> None:
    proxy.up.stalled = proxy.down.stalled = True


def _way_back(proxy: Proxy) -> None:
    proxy.down.stalled = True


def booked(site: Site) -> int:
    return int(site.at_station("SELECT count(*) FROM sale")[0][0])


def unsettled(site: Site) -> int:
    return int(site.at_station("SELECT count(*) FROM sale WHERE id NOT IN (SELECT sale FROM settlement)")[0][0])


def more_sales(site: Site, agent: Running) -> None:
    """Some more fuellings are booked; meanwhile whoever asks at the control socket gets an answer each time."""
    wanted = booked(site) + SOME

    def there_are() -> bool:
        return site.answers(agent) and booked(site) >= wanted

    eventually(there_are, WITHIN_S, "sales are booked")


def latest_s(site: Site) -> float:
    """The longest time from the end of a fuelling to its record."""
    records = [json.loads(row[0]) for row in site.at_station("SELECT body FROM journal WHERE type = 'fc.sale.v1'")]
    ends = [(datetime.fromisoformat(one["time"]), datetime.fromisoformat(one["data"]["ended_at"])) for one in records]
    return max((written - ended).total_seconds() for written, ended in ends)


def sums_here(site: Site) -> Sums:
    rows = site.at_station("SELECT fuelling_point, nozzle, count(*), sum(volume_ml) FROM sale GROUP BY 1, 2")
    return {(point, nozzle): (count, volume) for point, nozzle, count, volume in rows}


@pytest.mark.parametrize("hang", [_both_ways, _way_back], ids=["both ways", "the way back"])
def test_sales_are_booked_and_settled_while_the_line_hangs(tmp_path: Path, hang: Callable[[Proxy], None]) -> None:
    """Connections stay open and nothing goes through: every fuelling is booked and settled, people get their answers;
    once the line is well again, all of it is at head office once.
    """
    with Site(tmp_path, speed=SPEED) as site, Proxy(site.broker.port) as proxy:
        site.wire = proxy.port
        site.start_hq()
        forecourt = site.start_forecourt()
        site.configure(sales='link_after = "20s"\nsettle_after = "10s"')
        agent = site.start_agent()
        more_sales(site, agent)
        eventually(site.sums_at_hq, WITHIN_S, "head office hears of sales")
        before_s = latest_s(site)
        hang(proxy)
        more_sales(site, agent)
        heard = proxy.down.carried
        more_sales(site, agent)
        site.close_forecourt(forecourt)
        eventually(lambda: sums_here(site) == site.sums_at_pumps(), WITHIN_S, "all that was pumped is booked")
        eventually(lambda: not unsettled(site), WITHIN_S, "all of it is settled")
        assert (before_s < LATEST_S, latest_s(site) < LATEST_S) == (True, True)
        assert proxy.down.carried == heard, "the line hung all the while"
        assert not site.all_delivered()
        proxy.up.stalled = proxy.down.stalled = False
        proxy.cut()
        eventually(lambda: site.sums_at_hq() == site.sums_at_pumps(), WITHIN_S, "head office has every sale")
        eventually(site.all_delivered, WITHIN_S, "everything is acknowledged")
        site.check_once(site.sums_at_pumps())
        assert agent.end() == 0
        site.verify_station()
