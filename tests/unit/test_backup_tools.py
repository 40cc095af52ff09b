"""A backup opens without this software: with age, zstd, sqlite3 and sha256sum alone, as docs/backup.md says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from agent import age
from agent.backup.make import make
from agent.backup.restore import drill
from tests.support.backed_up import KEYS, START_MS, Place

PAGE = Path(__file__).parents[2] / "docs" / "backup.md"


def by_hand(folder: Path, script: str) -> str:
    """What a shell prints that runs ``script`` in ``folder``; apt-get install age zstd sqlite3 makes it possible."""
    done = subprocess.run(["/bin/bash", "-euc", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Three sales and head office's identity."""
    found = Place(tmp_path)
    found.fill()
    (tmp_path / "backup.identity").write_text(age.identity_file(KEYS))
    return found


def test_the_commands_of_the_page_restore_a_backup(place: Place) -> None:
    """Copied from the page: the sums agree, the database opens and counts three sales."""
    made = make(place.plan, START_MS)
    (block,) = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert "SH-0001_20261122T031500Z" in block
    made.path.rename(place.folder / made.path.name)
    made.path.with_suffix(".json").rename(place.folder / f"{made.path.stem}.json")
    printed = by_hand(place.folder, block.replace("SH-0001_20261122T031500Z", made.path.stem))
    told = json.loads((place.folder / f"{made.path.stem}.json").read_text())
    assert told["sealed_sha256"] in printed
    assert told["database_sha256"] in printed
    assert printed.splitlines()[-2:] == ["ok", "3"]


def test_a_file_made_with_the_tools_can_be_restored(place: Place) -> None:
    """The other direction: what age and zstd packed opens here, without any manifest."""
    script = f"zstd -q < data/station.db | age -r {KEYS.recipient} -o by-hand.fcbackup"
    by_hand(place.folder, script)
    opened = drill(place.folder / "by-hand.fcbackup", place.folder, [KEYS])
    assert (opened.report.ok, opened.report.sales, opened.manifest) == (True, 3, None)


def test_keys_of_the_tools_work_here_and_ours_there(place: Place) -> None:
    """age-keygen's identity file is read with its comments; age-keygen finds the public key of ours."""
    by_hand(place.folder, "age-keygen -o theirs 2>/dev/null; age-keygen -y theirs > theirs.pub")
    (pair,) = age.identities((place.folder / "theirs").read_text())
    assert age.recipients((place.folder / "theirs.pub").read_text()) == (pair.recipient,)
    assert by_hand(place.folder, "age-keygen -y backup.identity").strip() == KEYS.recipient
