"""Backups of the real daemon: by itself, when a person asks, and put back while it is stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.store.verify import verify
from tests.support.processes import Site, eventually

SPEED = 4
"""The first backup by itself is due a minute after the start: fifteen seconds to see that there is none yet."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A station whose backups are for head office's key."""
    with Site(tmp_path, speed=SPEED) as opened:
        opened.write_config(opened.no_devices())
        with opened.config.open("a") as file:
            file.write(f'[backup]\nfolder = "{tmp_path / "backups"}"\n')
            file.write(f'recipients_file = "{opened.hq / "keys" / "backup.recipients"}"\n')
        yield opened


def found(site: Site, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = site.command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def audits(site: Site, action: str) -> str:
    """The first audit record of an action, waited for."""
    statement = "SELECT CAST(body AS TEXT) FROM journal WHERE instr(CAST(body AS TEXT), ?)"
    ((body,), *_) = eventually(lambda: site.at_station(statement, f'"action":"{action}"'), 10, f"{action} is audited")
    return str(body)


def alert(site: Site) -> dict[str, Any]:
    """The alert that the last backup failed, as people see it."""
    found = [alert for alert in site.ask("alerts") if alert["name"] == "BACKUP_FAILED"]
    return found[0] if found else {"state": "NORMAL"}


@pytest.mark.long
def test_a_station_is_backed_up_and_restored(site: Site) -> None:
    """By itself, by a person, an alert while it cannot be; then back from the file, which the journal tells."""
    agent = site.start_agent()
    assert site.ask("backup")["last"] is None
    eventually(lambda: site.ask("backup")["last"], 20, "the first backup by itself")
    assert [alert for alert in site.ask("alerts") if alert["subject"] == "backup"] == []

    asked = found(site, "backup")
    state = site.ask("status")["backup"]
    assert (asked["file"], state["overdue"], state["running"]) == (f"{state['folder']}/{state['last']}", False, None)
    assert '"action":"backup"' in audits(site, "backup")
    recipients = site.hq / "keys" / "backup.recipients"
    away = recipients.rename(recipients.with_name("away"))
    site.ask("backup.start")
    eventually(lambda: alert(site)["state"] == "ACTIVE", 20, "the alert")
    assert str(recipients) in alert(site)["detail"]
    away.rename(recipients)
    site.ask("backup.start")
    eventually(lambda: alert(site)["state"] == "CLEARED", 20, "the end of the alert")
    records = verify(site.database).records
    agent.end()
    mark = site.mark.read_bytes()

    identity = str(site.hq / "keys" / "backup.identity")
    done = found(site, "restore", asked["file"], "--identity", identity, "--reason", "a drill for real", "--yes")
    assert Path(done["replaced"], "station.db").is_file()
    assert site.mark.read_bytes() == mark
    report = verify(site.database)
    assert (report.ok, 0 < report.records < records) == (True, True)
    site.start_agent()
    assert json.loads(audits(site, "restored"))["data"]["reason"] == "a drill for real"
