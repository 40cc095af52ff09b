"""Exchanging the index key: what head office refuses, what goes on after a crash, and a station left behind says so."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.domain.identity import index_version
from agent.inbox import FromHeadOffice
from headoffice import rotation
from headoffice.errors import UsageError
from headoffice.keys import INDEX_FILE, NEXT_INDEX_FILE, load_keys, make_keys
from headoffice.members import import_file
from headoffice.store.database import Database
from sync import ports
from tests.support import template
from tests.support.head_office_says import INDEX_KEY
from tests.support.quiet import quiet_log
from tests.support.till import Till

MEMBER = "0000000000000001"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[tuple[Database, Path]]:
    """Head office with one member; its database and its keys."""
    make_keys(tmp_path / "keys")
    with closing(template.head_office(tmp_path / "hq.db")) as database:
        imported(database, tmp_path / "keys")
        yield database, tmp_path / "keys"


def imported(database: Database, folder: Path) -> None:
    """The member's card comes in from whoever knows it."""
    file = folder / "members.csv"
    file.write_text(f"member,cards\n{MEMBER},9273860415590726\n", encoding="utf-8")
    keys = load_keys(folder)
    import_file(database, file, keys.index_key, index_next=keys.index_next)


def test_the_old_key_stays_until_every_member_has_an_index_of_the_next(office: tuple[Database, Path]) -> None:
    """Nothing begun, begun twice, not everybody ready: each is refused with what to do, and nothing changes."""
    database, folder = office
    with pytest.raises(UsageError, match="was begun"):
        rotation.finish(database, folder)
    rotation.begin(folder)
    with pytest.raises(UsageError, match="already"):
        rotation.begin(folder)
    with pytest.raises(UsageError, match="1 of 1 members"):
        rotation.finish(database, folder)
    imported(database, folder)
    fresh = load_keys(folder).index_next
    assert rotation.finish(database, folder) == 1
    now = load_keys(folder)
    assert (now.index_key, now.index_next) == (fresh, None)
    assert rotation.status(database, folder) == rotation.Rotation(now.index_versions[0], None, 1, 0)


def test_an_exchange_cut_short_at_its_end_goes_on(office: tuple[Database, Path], tmp_path: Path) -> None:
    """The key file has changed and the database has not: asked again it is, and members imported since stay."""
    database, folder = office
    rotation.begin(folder)
    imported(database, folder)
    with closing(sqlite3.connect(tmp_path / "hq.db")) as live:
        live.execute("VACUUM INTO ?", (str(tmp_path / "before.db"),))
    rotation.finish(database, folder)
    with closing(Database(tmp_path / "before.db")) as cut_short:
        assert not (folder / NEXT_INDEX_FILE).exists()
        assert rotation.finish(cut_short, folder) == 1
        assert rotation.status(cut_short, folder) == rotation.status(database, folder)
    assert (folder / INDEX_FILE).stat().st_mode & 0o077 == 0


def test_a_station_with_the_wrong_key_raises_an_alert(tmp_path: Path) -> None:
    """Members come for a key it does not have: an alert stands that names both, until they come for its own again."""
    template.copy_to(tmp_path)
    with quiet_log(), closing(Till(tmp_path)) as till:

        def told(op: int, *versions: str) -> list[str]:
            put = {"op": op, "kind": "PUT", "member": MEMBER, "indexes": [], "tier": "", "tags": [], "lots": []}
            till.pipeline.handle(FromHeadOffice(ports.MembersPage(op - 1, (put,), versions)))
            return [row["detail"] for row in till.rows("SELECT detail FROM alert WHERE cleared_ms IS NULL")]

        own = index_version(INDEX_KEY)
        assert told(1) == []
        assert told(2, own) == []
        assert told(3, "0badc0de") == [f"members come for index key 0badc0de, this station has {own}"]
        assert told(4, "0badc0de", own) == []
