"""Real processes on a network of our own making: cut, stalled, half-open, slow, with turned bits and shut doors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.backlog import write_sales
from tests.support.processes import STATION, Site, Sums, eventually
from tests.support.proxy import Proxy
from tests.support.spy import Spy

pytestmark = pytest.mark.long

SALES = 1_500
WITHIN_S = 90


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        yield opened


def through(site: Site, proxy: Proxy) -> Sums:
    """A station with many sales to tell, whose only way out is the proxy."""
    site.wire = proxy.port
    site.write_config(site.no_devices())
    return write_sales(site.config, SALES)


def arrives_once(site: Site, sums: Sums) -> None:
    eventually(lambda: site.sums_at_hq() == sums, WITHIN_S, "head office has every sale")
    eventually(site.all_delivered, WITHIN_S, "everything is acknowledged")
    site.check_once(sums)
    site.verify_station()


def _cut(proxy: Proxy) -> None:
    proxy.up.cut_at = 30_000


def _cut_back(proxy: Proxy) -> None:
    proxy.down.cut_at = 700


def _turn_bits(proxy: Proxy) -> None:
    proxy.up.flip_at = 20_000
    proxy.down.flip_at = 300


def _stall(proxy: Proxy) -> None:
    proxy.up.stalled = True


def _stall_back(proxy: Proxy) -> None:
    proxy.down.stalled = True


def _half_open(proxy: Proxy) -> None:
    proxy.up.swallows_end = proxy.down.swallows_end = True
    proxy.up.cut_at = 25_000


def _slow(proxy: Proxy) -> None:
    proxy.up.bytes_per_s, proxy.down.delay_s = 200_000, 0.02


FAULTS: dict[str, Callable[[Proxy], None]] = {
    "cut in mid packet": _cut,
    "cut on the way back": _cut_back,
    "turned bits": _turn_bits,
    "stalled": _stall,
    "stalled on the way back": _stall_back,
    "half-open": _half_open,
    "slow": _slow,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_network_loses_and_doubles_nothing(site: Site, name: str) -> None:
    """[W-12] [W-20] [W-21] The fault strikes while a backlog is on its way, and again; the line is then made new."""
    with Proxy(site.broker.port) as proxy:
        sums = through(site, proxy)
        site.start_hq()
        FAULTS[name](proxy)
        agent = site.start_agent(ready=False)
        for _ in range(2):
            before = proxy.up.carried
            FAULTS[name](proxy)
            eventually(lambda: proxy.up.carried > before or proxy.up.stalled, WITHIN_S, "bytes have gone")  # noqa: B023
            proxy.up.stalled = proxy.down.stalled = False
            proxy.up.swallows_end = proxy.down.swallows_end = False
            proxy.cut()
        proxy.up.bytes_per_s, proxy.down.delay_s = 0, 0.0
        proxy.up.flip_at = proxy.down.flip_at = proxy.up.cut_at = proxy.down.cut_at = None
        proxy.cut()
        arrives_once(site, sums)
        assert agent.alive


def test_a_publish_that_an_access_list_refuses_is_not_believed(tmp_path: Path) -> None:
    """[W-14] [W-22] MQTT 3.1.1 acknowledges a forbidden publish as a success: nothing counts as delivered, all comes later."""
    rules = tmp_path / "acl"
    rules.write_text("topic deny fc/v1/+/s/+/up/l\ntopic readwrite #\n", encoding="utf-8")
    rules.chmod(0o644)
    with Site(tmp_path, broker=f"acl_file {rules}\nlog_type all") as site, Proxy(site.broker.port) as proxy:
        sums = through(site, proxy)
        proxy.up.cut_at = 0  # the first try is MQTT 5; a broker that just closes is asked again with 3.1.1
        site.start_hq()
        with Spy(site.broker.port, STATION) as spy:
            agent = site.start_agent()
            eventually(lambda: site.ask("sync")["protocol"] == "MQTT 3.1.1", WITHIN_S, "the older protocol is spoken")
            eventually(lambda: spy.count("down/welcome"), WITHIN_S, "head office answers the hello")
            eventually(lambda: "Denied PUBLISH" in site.broker.log, WITHIN_S, "a batch is denied and acknowledged")
            assert spy.count("up/l") == 0
        assert site.at_station("SELECT acked FROM stream_head WHERE stream = 'L'") == [(0,)]
        assert site.sums_at_hq() == {}
        rules.write_text("topic readwrite #\n", encoding="utf-8")
        site.broker.restart()
        arrives_once(site, sums)
        assert agent.alive
