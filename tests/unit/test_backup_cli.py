"""``forecourt backup`` and ``restore`` without a daemon: what they make, list and prove, and how they say no."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent import age, main
from agent.cli import application
from agent.store.lock import InstanceLock
from agent.store.verify import verify
from tests.support.backed_up import KEYS, OWN, STATION, Place
from tests.support.station_file import STATION as FILE


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A stopped station of three sales with keys and configuration."""
    assert main.run in {command.callback for command in application().registered_commands}
    found = Place(tmp_path)
    found.fill()
    (tmp_path / "recipients").write_text(f"# head office\n\n{KEYS.recipient}\n")
    (tmp_path / "identity").write_text(age.identity_file(KEYS))
    (tmp_path / "wrong").write_text(age.identity_file(OWN))
    text = FILE.replace("SH-0001", STATION)
    text += f'[store]\npath = "{found.database}"\nmark = "{tmp_path}/mark/mark.json"\n'
    text += f'[backup]\nfolder = "{found.plan.folder}"\nrecipients_file = "{tmp_path}/recipients"\n'
    text += f'[control]\nsocket = "{tmp_path}/control.sock"\n'
    (tmp_path / "station.toml").write_text(text)
    monkeypatch.setenv("FORECOURT_CONFIG", str(tmp_path / "station.toml"))
    return found


def run(*arguments: str | Path, answer: str | None = None) -> Result:
    """The command in this process, as in a pipe."""
    return CliRunner().invoke(application(), [str(argument) for argument in arguments], input=answer)


def found(*arguments: str | Path) -> Any:
    """What it prints as JSON."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_without_the_daemon_a_backup_is_made_under_its_lock(place: Place) -> None:
    """Listed as good, proved by its sums, opened by its key, and refused while somebody else holds the lock."""
    made = found("backup")
    (row,) = found("backup", "list")
    assert (row["backup"], row["state"], row["records"], row["sales"]) == (Path(made["file"]).name, "good", 4, 3)
    assert "good" in run("backup", "list").stdout
    assert "what was written" in run("backup", "check", made["file"]).stdout
    proved = run("backup", "check", made["file"], "--identity", place.folder / "identity")
    assert "can be restored: station SH-0421, 4 records, 3 sales" in proved.stdout
    assert "had not acknowledged 4" in proved.stdout
    lock = InstanceLock(place.database)
    lock.take()
    busy = [run("backup"), run("restore", made["file"], "--identity", place.folder / "identity", "--yes")]
    lock.release()
    assert [(done.exit_code, "another agent" in done.stderr) for done in busy] == [(2, True)] * 2


def test_a_restore_says_what_it_replaced(place: Place) -> None:
    """The present database is moved aside; what the next start will do is told."""
    made = found("backup")
    done = run("restore", made["file"], "--identity", place.folder / "identity", "--yes")
    assert done.exit_code == 0, done.stderr
    assert "has nothing newer" in done.stdout
    assert "is in place; what was there lies in" in done.stdout
    assert verify(place.database).sales == 3
    assert len(list(place.database.parent.glob("station.db.replaced-*/station.db"))) == 1


def test_everything_lost_begins_anew_with_a_reason(place: Place) -> None:
    """An empty database of the same station; said in capitals before."""
    done = run("restore", "--empty", "--reason", "stolen", "--yes")
    assert done.exit_code == 0, done.stderr
    assert "EMPTY" in done.stdout
    assert verify(place.database).records == 0


def test_a_drill_leaves_nothing_and_fails_where_a_restore_would(place: Place) -> None:
    """Exit 0 and 1, and the folders are as before."""
    made = found("backup")
    before = place.names()
    identity = place.folder / "identity"
    assert run("restore", "--drill", made["file"], "--identity", identity).exit_code == 0
    content = Path(made["file"]).read_bytes()
    Path(made["file"]).write_bytes(content[:-1])
    assert run("restore", "--drill", made["file"], "--identity", identity).exit_code == 1
    assert place.names() == before


REFUSALS = {
    "nobody to ask": (["FILE", "--identity", "IDENTITY"], 2, "nobody is there to ask"),
    "no key": (["FILE", "--yes"], 2, "no identity is given"),
    "no key file": (["FILE", "--yes", "--identity", "nowhere"], 2, "No such file"),
    "no key in it": (["FILE", "--yes", "--identity", "recipients"], 2, "line 3 is no secret key"),
    "wrong key": (["FILE", "--yes", "--identity", "WRONG"], 1, "does not open"),
    "no backup": (["nowhere.fcbackup", "--yes", "--identity", "IDENTITY"], 1, "is not there"),
    "no reason": (["--empty", "--yes"], 2, "--empty needs --reason"),
    "neither": (["--yes"], 2, "name a backup, or --empty"),
    "both": (["FILE", "--empty", "--reason", "x", "--yes"], 2, "name a backup, or --empty"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_restored_is_said_in_two_lines(place: Place, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the exit code of the conventions, no traceback, and the database untouched."""
    given, code, words = REFUSALS[case]
    names = {"FILE": found("backup")["file"], "IDENTITY": "identity", "WRONG": "wrong"}
    before = place.database.read_bytes()
    monkeypatch.chdir(place.folder)
    done = run("restore", *[names.get(word, word) for word in given])
    assert (done.exit_code, words in done.stderr) == (code, True), done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert place.database.read_bytes() == before
    assert not [name for name in place.names() if "restoring" in name or "replaced" in name]


def test_a_station_without_backups_says_how_to_get_them(place: Place) -> None:
    """Exit 2 with the key to add."""
    config = place.folder / "station.toml"
    text = config.read_text()
    config.write_text(text[: text.index("[backup]")] + text[text.index("[control]") :])
    for arguments in (["backup"], ["backup", "list"]):
        done = run(*arguments)
        assert (done.exit_code, "recipients_file" in done.stderr) == (2, True)


def test_a_folder_that_is_not_there_yet_has_no_backups(place: Place) -> None:
    """An empty list, as before the first one."""
    assert found("backup", "list") == []
    assert run("backup", "list").stdout == "Backups: none\n"
    assert found("backup", "list", "--folder", place.folder) == []


def test_a_command_of_root_does_not_lock_the_agent_out(place: Place) -> None:
    """Whatever root makes belongs to whom the database belongs to: backups, their folder, the database, the lock."""
    owner = 65_534 if os.geteuid() == 0 else os.geteuid()  # nobody; who is not root can give nothing away
    os.chown(place.database, owner, -1)
    made = Path(found("backup")["file"])
    done = run("restore", made, "--identity", place.folder / "identity", "--yes")
    assert done.exit_code == 0, done.stderr
    lock = place.database.with_name("station.db.lock")
    (aside,) = place.database.parent.glob("station.db.replaced-*")
    owned = (made, made.with_suffix(".json"), made.parent, place.database, lock, aside)
    assert {path.stat().st_uid for path in owned} == {owner}
