"""A station's files copied to a second PC, both daemons at one broker: real processes, one name, every fact once."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.processes import PATIENCE, STATION, Running, Site, eventually

pytestmark = pytest.mark.long
SPEED = 10


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path / "first", speed=SPEED) as opened:
        yield opened


@contextmanager
def second_pc(tmp_path: Path, first: Site) -> Iterator[Site]:
    """Another PC of the same station: its own files and socket, no pumps; the same broker, head office and time."""
    pc = Site(tmp_path / "second", speed=SPEED)
    pc.wire, pc.hq, pc.clock, pc.environment = first.wire, first.hq, first.clock, first.environment
    pc.mark.parent.mkdir(parents=True)
    with closing(sqlite3.connect(first.database)) as source, closing(sqlite3.connect(pc.database)) as target:
        source.backup(target)
    shutil.copy(first.mark, pc.mark)
    pc.write_config(pc.no_devices())
    take_turns(pc)
    try:
        yield pc
    finally:
        for process in reversed(pc._own):
            process.end()
        shutil.rmtree(pc._short, ignore_errors=True)


def take_turns(site: Site) -> None:
    """Whoever is cut off twice in a minute stays away for so long, so that the other one is heard meanwhile."""
    text = site.config.read_text(encoding="utf-8")
    site.config.write_text(text.replace('reconnect_max = "1s"', 'reconnect_max = "10s"'), encoding="utf-8")


def hardware(tmp_path: Path, name: str) -> str:
    """A folder of credentials that makes a PC another one."""
    folder = tmp_path / f"credentials-{name}"
    folder.mkdir()
    (folder / "product-uuid").write_text(name, encoding="ascii")
    return str(folder)


def sales(site: Site) -> int:
    return int(site.at_station("SELECT count(*) FROM sale")[0][0])


def fenced(site: Site) -> bool:
    return site.ask("sync")["fenced_since"] is not None


def test_two_pcs_of_one_name_lose_and_double_nothing(site: Site, tmp_path: Path) -> None:
    """[W-31] [W-33] What waited at the copy and what was sold since arrives once; the copy is fenced until it is let in."""
    forecourt = site.start_forecourt()
    site.configure()
    take_turns(site)
    first, other = hardware(tmp_path, "first"), hardware(tmp_path, "second")
    office = site.start_hq()
    agent = site.start_agent(CREDENTIALS_DIRECTORY=first)
    eventually(lambda: sales(site) >= 1 and site.all_delivered(), 60, "the first PC is known at head office")
    office.end()
    waiting = sales(site)
    eventually(lambda: sales(site) > waiting, 60, "something waits for head office")
    agent.end()
    with second_pc(tmp_path, site) as copy:
        office = site.start_hq()
        agent = site.start_agent(CREDENTIALS_DIRECTORY=first)
        eventually(lambda: site.at_hq("SELECT 1 FROM cursor WHERE stream = 'L' AND cum > 1"), 60, "the first is heard")
        clone = copy.start_agent(CREDENTIALS_DIRECTORY=other)
        eventually(lambda: fenced(copy), 90, "the copy is fenced")
        assert not fenced(site)
        site.close_forecourt(forecourt)
        eventually(lambda: site.all_delivered() and copy.all_delivered(), 120, "both have delivered everything")
        _let_in(site, copy, agent)
        assert clone.end() == 0
        copy.verify_station()
    site.verify_station()
    assert json.loads(site.hq_command("verify", "--json"))["verified"]
    assert litres(site) == {nozzle: volume for nozzle, (_, volume) in site.sums_at_pumps().items()}
    assert not site.at_hq("SELECT reason FROM dead_letter")
    assert ("clone",) in site.at_hq("SELECT alert FROM own_alert")


def litres(site: Site) -> dict[tuple[int, int], int]:
    return {nozzle: volume for nozzle, (_, volume) in site.sums_at_hq().items()}


def _let_in(site: Site, copy: Site, agent: Running) -> None:
    """The first PC is switched off; a person lets the second one redeem, and it hears so."""
    assert agent.end() == 0
    (row,) = json.loads(site.hq_command("stations", "--json"))
    (install,) = {entry["install_id"] for entry in row["installs"] if entry["fenced"]}
    told = json.loads(site.hq_command("stations", "unfence", STATION, install, "--json"))
    assert told["unfenced"] == install
    eventually(lambda: not fenced(copy), 30 * PATIENCE, "the fence is lifted")
    assert "FENCED" not in {alert["name"] for alert in copy.ask("alerts") if alert["state"] == "ACTIVE"}
