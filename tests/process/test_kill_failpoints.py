"""The agent killed with SIGKILL at every named failpoint of a running station: every millilitre once at head office."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.simulator.config import card_numbers
from tests.support.examples import ALL
from tests.support.processes import Running, Site, eventually

SPEED = 20
DIES_WITHIN_S = 30
WINDOWS = 'link_after = "20s"\nsettle_after = "10s"'

EVERY = (
    "sync.before_publish:2",
    "sync.after_puback:2",
    "sync.before_ack_applied:2",
    "sync.after_ack_applied:2",
    "rules.before_commit:1",
    "rules.after_commit:1",
    "sale.totals_read:2",
    "sale.before_commit:2",
    "store.inside_commit:12",
    "sale.after_commit:2",
    "sale.after_release:2",
    "link.before_commit:1",
    "link.after_commit:1",
    "tender.before_commit:2",
    "tender.after_commit:2",
)
SOME = (
    "sync.after_puback",
    "sale.before_commit",
    "tender.before_commit",
)
FAILPOINTS = EVERY if ALL else tuple(name for name in EVERY if name.startswith(SOME))
"""`make test` tries the places between which something would be lost or doubled, `make prove` every one."""


class Station:
    """The environment that outlives every agent: broker, head office and a busy forecourt."""

    def __init__(self, site: Site, forecourt: Running) -> None:
        self.site = site
        self.forecourt = forecourt


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    folder: Path = tmp_path_factory.mktemp("kill")
    with Site(folder, speed=SPEED, seed=7) as site:
        site.import_members(card_numbers(40))
        site.publish_rules(1)
        site.start_hq()
        forecourt = site.start_forecourt()
        site.configure(sales=WINDOWS)
        yield Station(site, forecourt)


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_the_agent_dies_by_sigkill_at(station: Station, failpoint: str) -> None:
    """The failpoint is reached on a busy forecourt and the process ends there by SIGKILL."""
    if failpoint.startswith("rules.before"):
        station.site.publish_rules(2)
    agent = station.site.start_agent(failpoint=failpoint, ready=False)
    try:
        assert agent.wait(DIES_WITHIN_S, failpoint) == -signal.SIGKILL, agent.text[-3_000:]
    finally:
        agent.kill()  # the next place finds the database free, whatever became of this one


def test_after_all_kills_every_millilitre_is_at_head_office_once(station: Station) -> None:
    """I1-I5: pumps, station and head office agree per nozzle; chains verify at both ends; rules and links arrived."""
    site = station.site
    agent = site.start_agent()
    eventually(lambda: site.truth()["sales"] >= len(FAILPOINTS), 40, "the forecourt is busy")
    site.close_forecourt(station.forecourt)
    eventually(lambda: site.sums_at_hq() == site.sums_at_pumps(), 30, "head office has what the pumps counted")
    eventually(site.all_delivered, 20, "the journal is delivered")
    assert agent.end() == 0
    site.verify_station()
    site.verify_hq()
    (links,) = site.at_hq("SELECT count(*) FROM sale_link")
    (settled,) = site.at_hq("SELECT count(*) FROM settlement WHERE rule_version = ?", 2 if ALL else 1)
    assert min(links[0], settled[0]) > 0
