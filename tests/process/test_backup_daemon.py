"""Backups of the real daemon: by itself, when a person asks, listed, proved, and put back while it is stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Site, eventually

SPEED = 20


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


def test_a_station_is_backed_up_and_restored(site: Site) -> None:
    """By itself soon after the start, by a person at once; then back from the file, which the journal tells."""
    agent = site.start_agent()
    assert site.ask("backup")["last"] is None
    eventually(lambda: site.ask("backup")["last"], 20, "the first backup by itself")
    assert [alert for alert in site.ask("alerts") if alert["subject"] == "backup"] == []

    asked = found(site, "backup")
    (newest, *older) = found(site, "backup", "list")
    assert Path(asked["file"]).name == newest["backup"]
    assert {entry["state"] for entry in (newest, *older)} == {"good"}
    assert found(site, "status")["backup"]["last"] == newest["backup"]
    assert "the last good one is 0 h old" in site.command("status").stdout
    eventually(lambda: site.at_station("SELECT 1 FROM journal WHERE body LIKE '%\"backup\"%'"), 10, "the audit record")

    identity = str(site.hq / "keys" / "backup.identity")
    proved = found(site, "backup", "check", asked["file"], "--identity", identity)
    assert (proved["verified"], proved["station"], proved["records"]) == (True, "SH-0421", newest["records"])
    assert found(site, "backup", "check", asked["file"])["opened"] is False

    refused = site.command("restore", asked["file"], "--identity", identity, "--yes")
    assert (refused.returncode, "another agent" in refused.stderr) == (2, True)
    agent.end()
    drilled = found(site, "restore", "--drill", asked["file"], "--identity", identity)
    assert drilled["records"] == newest["records"]
    done = found(site, "restore", asked["file"], "--identity", identity, "--reason", "a drill for real", "--yes")
    assert Path(done["replaced"], "station.db").is_file()
    site.verify_station()
    before = site.mark.read_bytes()
    site.start_agent()
    told = eventually(
        lambda: site.at_station("SELECT body FROM journal WHERE body LIKE '%\"restored\"%'"), 10, "the restore is told"
    )
    assert json.loads(told[0][0])["data"]["reason"] == "a drill for real"
    assert before
    # and when nothing is left at all
    for process in site._own:
        process.end()
    empty = found(site, "restore", "--empty", "--reason", "stolen", "--yes")
    assert Path(empty["replaced"], "station.db").is_file()
    assert site.at_station("SELECT count(*) FROM journal") == [(0,)]


def test_what_cannot_be_restored_is_said_in_two_lines(site: Site) -> None:
    """Nobody to ask, no key, a wrong key, no backup, no reason: exit 2 or 1, no traceback, the database untouched."""
    site.start_agent().end()
    asked = found(site, "backup")
    identity = str(site.hq / "keys" / "backup.identity")
    wrong = site.folder / "wrong"
    wrong.write_text("AGE-SECRET-KEY-1\n")
    other = site.folder / "other"
    shutil.copy(site.hq / "keys" / "backup.recipients", other)
    before = site.database.read_bytes()
    cases = {
        ("restore", asked["file"], "--identity", identity): (2, "nobody is there to ask"),
        ("restore", asked["file"], "--yes"): (2, "no identity is given"),
        ("restore", asked["file"], "--yes", "--identity", str(wrong)): (2, "line 1 is no secret key"),
        ("restore", "nowhere.fcbackup", "--yes", "--identity", identity): (1, "is not there"),
        ("restore", "--empty", "--yes"): (2, "--empty needs --reason"),
        ("restore", "--yes"): (2, "name a backup, or --empty"),
        ("backup", "check", str(other)): (1, "is no manifest"),
    }
    for arguments, (code, words) in cases.items():
        done = site.command(*arguments)
        assert (done.returncode, words in done.stderr) == (code, True), (arguments, done.stderr)
        assert len(done.stderr.splitlines()) <= 2
    assert site.database.read_bytes() == before


def test_a_missing_key_file_is_an_alert_until_a_backup_is_made(site: Site) -> None:
    """No backup is ever written for nobody; the alert names the file, and a good backup clears it."""
    recipients = site.hq / "keys" / "backup.recipients"
    away = recipients.rename(recipients.with_name("away"))
    site.start_agent()
    done = site.command("backup")
    assert done.returncode == 1
    assert "backup.recipients" in done.stderr
    alerts = {alert["name"]: alert for alert in site.ask("alerts")}
    assert "backup.recipients" in alerts["BACKUP_FAILED"]["detail"]
    assert alerts["BACKUP_OLD"]["state"] == "ACTIVE"
    assert not list((site.folder / "backups").glob("*.fcbackup"))
    away.rename(recipients)
    assert site.command("backup").returncode == 0
    states = {alert["name"]: alert["state"] for alert in site.ask("alerts")}
    eventually(lambda: {a["state"] for a in site.ask("alerts") if a["subject"] == "backup"} == {"CLEARED"}, 10, states)
