"""A broker that dies with what it had acknowledged, and a head office that dies around its commit: nothing lost or doubled."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.backlog import write_sales
from tests.support.processes import STATION, Site, eventually
from tests.support.spy import Spy

SALES = 400


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        opened.write_config(opened.no_devices())
        yield opened


def arrives_once(site: Site, sums: dict[tuple[int, int], tuple[int, int]]) -> None:
    eventually(lambda: site.sums_at_hq() == sums, 60, "head office has every sale")
    eventually(site.all_delivered, 20, "everything is acknowledged")
    site.verify_station()
    site.verify_hq()
    assert site.sums_at_hq() == sums


def test_what_a_killed_broker_had_acknowledged_is_sent_again(site: Site) -> None:
    """SIGKILL of the broker after PUBACK while head office reads nothing: the journal sends again, once is stored."""
    sums = write_sales(site.config, SALES)
    hq = site.start_hq()
    with Spy(site.broker.port, STATION) as spy:
        site.start_agent(ready=False)
        eventually(lambda: spy.count("down/welcome"), 20, "head office answers the hello")
        hq.process.send_signal(signal.SIGSTOP)
        before = site.sums_at_hq()
        eventually(lambda: spy.count("up/l"), 20, "a batch is with the broker")
        site.broker.kill()
    assert before != sums
    site.broker.start()
    hq.process.send_signal(signal.SIGCONT)
    arrives_once(site, sums)


@pytest.mark.parametrize("failpoint", ["hq.after_commit:2", "hq.before_commit:2"])
def test_head_office_killed_around_its_commit_loses_and_doubles_nothing(site: Site, failpoint: str) -> None:
    """[W-20] SIGKILL between commit and ack, and with the transaction open: the resend is stored once."""
    sums = write_sales(site.config, SALES)
    hq = site.start_hq(failpoint=failpoint)
    site.start_agent(ready=False)
    assert hq.wait(40, failpoint) == -signal.SIGKILL, hq.text[-3_000:]
    assert site.sums_at_hq() != sums
    site.start_hq()
    arrives_once(site, sums)
