"""Commands with real processes and a real broker: head office orders, the station obeys, whoever dies in between."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headoffice.cli.commands import command
from tests.support.examples import ALL
from tests.support.processes import STATION, Site, eventually

WITHIN_S = 40
PRICE = ("set-price", "--station", STATION, "--grade", "92", "--price")
DEATHS = ("command.begun", "command.before_commit") if ALL else ()
"""Beside the place where a result would be lost; `make prove` dies at every one."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A station without wires that head office has heard, and that is switched off now."""
    with Site(tmp_path) as opened:
        opened.start_hq()
        opened.write_config(opened.no_devices())
        yield opened


def at_head_office(site: Site, *words: str, code: int = 0) -> Any:
    """A command of head office's, in this process."""
    done = CliRunner().invoke(command, [*words, "--json"], env=site.environment)
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout)


@pytest.mark.long
def test_an_order_is_done_once_whoever_dies(site: Site) -> None:
    """[W-45] Live; killed with the result untold; ordered while the station is off and head office starts again."""
    agent = site.start_agent(failpoint="command.after_commit:2")
    eventually(lambda: site.ask("sync")["credit"] is not None, WITHIN_S, "head office knows the station")
    (live,) = at_head_office(site, "send", *PRICE, "8.111", "--wait", str(WITHIN_S))
    assert (live["status"], live["result"]["in_force_milli"]) == ("done", 8_111)
    ordered = at_head_office(site, "send", *PRICE, "8.200")
    assert agent.wait(WITHIN_S, "it dies over the second order") == -signal.SIGKILL, agent.text[-3_000:]
    for number, failpoint in enumerate(DEATHS):
        ordered += at_head_office(site, "send", *PRICE, f"8.{number + 3}00")
        dying = site.start_agent(failpoint=f"{failpoint}:1", ready=False)
        assert dying.wait(WITHIN_S, failpoint) == -signal.SIGKILL, dying.text[-3_000:]
    if ALL:
        next(one for one in site._own if one.log.name == "hq.log").end()
        site.start_hq()
    ordered += at_head_office(site, "send", *PRICE, "8.900")
    site.start_agent()
    eventually(lambda: all(status(row) == "done" for row in told(site, ordered)), WITHIN_S, "every result is told")
    rows = site.at_station("SELECT unit_price_milli FROM price WHERE source = 'head-office' ORDER BY 1")
    assert [row[0] for row in rows] == [8_111, *(8_200 + 100 * number for number in range(len(DEATHS) + 1)), 8_900]
    (snapshot,) = at_head_office(site, "send", "request-snapshot", "--station", STATION, "--wait", str(WITHIN_S))
    assert snapshot["result"]["prices"]["92"] == 8_900
    no_lease = ("send", "close-out-leases", "--lease", "L9", "--station", STATION, "--wait", str(WITHIN_S))
    (refused,) = at_head_office(site, *no_lease, code=1)
    assert refused["reason"] == "there is no lease L9 here"
    assert [one["status"] for one in site.ask("sync.commands", limit=2)] == ["refused", "done"]
    site.verify_station()


def told(site: Site, ordered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The commands as head office shows them now."""
    return [at_head_office(site, "show", row["cmd_id"]) for row in ordered]


def status(row: dict[str, Any]) -> str:
    return str(row["status"])
