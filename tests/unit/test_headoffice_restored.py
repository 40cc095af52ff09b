"""A database of head office that was put back from a copy: what it numbers next is later than all that was ever said."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

import pytest

from agent.domain.codes.keyset import Purpose
from headoffice import codes, restoring
from headoffice.cli import entry
from headoffice.documents import current_head, fresh_manifest
from headoffice.errors import UsageError
from headoffice.keys import Keys
from headoffice.service import Service
from headoffice.store import members
from headoffice.store.database import Database
from sync.envelope import decode_as
from sync.notices import HoState
from sync.ports import HeadSeen
from sync.signing import PinnedKeys, public_jwks, sign
from sync.subscriber import GroupFeed
from sync.topics import HO_STATE
from tests.support import template
from tests.support.head_office_says import SIGNING_KEY

NOW_MS = 1_795_248_000_000
KEYS = Keys("ho-1", partial(sign, key=SIGNING_KEY), "", b"")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Database]:
    with closing(template.head_office(tmp_path / "hq.db")) as database:
        yield database


@pytest.fixture
def either(headoffice_location: str) -> Iterator[Database]:
    """On SQLite and on PostgreSQL in turn."""
    with closing(Database(headoffice_location)) as database:
        yield database


def feed() -> GroupFeed:
    """A station that runs on."""
    return GroupFeed(
        group="main",
        pinned=PinnedKeys.from_jwks(public_jwks(SIGNING_KEY)),
        have_op=0,
        has_document=lambda _kind, _digest: True,
        new_id=iter(f"{n:026d}" for n in range(1_000)).__next__,
        rng=Random(1),
    )


def hear(station: GroupFeed, database: Database, now_ms: int) -> str | None:
    """It hears the head; returns why it refuses it."""
    told = station.head(0, current_head(database, KEYS, "main", now_ms), None)
    (seen,) = [one for one in told if isinstance(one, HeadSeen)] or [HeadSeen(None, None, "")]
    return seen.refusal


def change(database: Database, number: int) -> int:
    """A member is changed; returns the op."""
    body = {"member": f"{number:016x}", "indexes": [], "tier": "", "tags": [], "lots": [], "mask": "****"}
    with database.write() as connection:
        op = members.next_op(connection)
        members.put(connection, body, op)
    return op


def copied(database: Database, path: Path) -> Path:
    with closing(sqlite3.connect(str(database.url.database))) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    return path


def test_a_station_that_runs_on_believes_the_next_head(office: Database, tmp_path: Path) -> None:
    """[W-42] Heads of a copy are refused as older ones; once it is said that it is one they go on beyond all of before,
    also where the same copy is put back a second time.
    """
    station = feed()
    change(office, 1)
    assert hear(station, office, NOW_MS) is None
    copy = copied(office, tmp_path / "copy.db")
    for number in range(2, 5):
        change(office, number)
        assert hear(station, office, NOW_MS + number) is None
    for again, start_ms in enumerate((NOW_MS + 60_000, NOW_MS + 120_000)):
        with closing(Database(copied(Database(copy), tmp_path / f"again-{again}.db"), migrate=True)) as put_back:
            assert hear(station, put_back, start_ms) == "version_back"
            done = restoring.restored(put_back, start_ms)
            assert (done.members, done.head_version) == (1, done.member_op)
            assert hear(station, put_back, start_ms) is None
            assert change(put_back, 9) > done.member_op
            assert hear(station, put_back, start_ms + 1) is None


def test_members_keep_their_order_and_their_buckets(either: Database) -> None:
    """[W-40] Every member is told anew, in the order of before, and the manifest is of that state; said twice, it is done
    twice and nothing else changes.
    """
    for number in range(1, 6):
        change(either, number)
    with either.write() as connection:
        before = fresh_manifest(connection, NOW_MS)
    ops: list[int] = []
    for n in range(2):
        done = restoring.restored(either, NOW_MS + 70_000 * (n + 1))
        with either.write() as connection:
            told = members.ops_after(connection, max(ops, default=5), 10**6)
            after = fresh_manifest(connection, NOW_MS + 70_000 * (n + 1))
        assert [op.data()["member"] for op in told] == [f"{number:016x}" for number in range(1, 6)]
        ops = [op.op for op in told]
        assert ops[-1] == done.member_op
        assert before is not None
        assert after is not None
        assert (after.version, after.hash != before.hash) == (done.member_op, True)


def test_a_copy_without_members_counts_on_as_well(either: Database) -> None:
    """The numbers lost are not known to it: the next change is later than any of them, and no page says there is more."""
    done = restoring.restored(either, NOW_MS)
    with either.read() as connection:
        assert members.last_op(connection) == done.member_op
        assert members.behind(connection, 0, 1) == 0
    assert change(either, 1) == done.member_op + 1


def test_the_key_set_goes_on(office: Database, tmp_path: Path) -> None:
    """A set that stations have and this copy has not is followed by a later one, never by another of the same number."""
    codes.rotate(office, tmp_path, Purpose.DYNAMIC, bytes(32), now_ms=NOW_MS)
    done = restoring.restored(office, NOW_MS)
    known = codes.current(office)
    assert (known.version, len(known.keys)) == (done.key_set_version, 1)
    assert codes.rotate(office, tmp_path, Purpose.DYNAMIC, bytes([1] * 32), now_ms=NOW_MS + 1)
    assert codes.current(office).version == known.version + 1


def test_a_clock_that_is_behind_is_refused(either: Database) -> None:
    """The numbers go on by time: with a clock before what the copy has seen one could come a second time."""
    current_head(either, KEYS, "main", NOW_MS)
    with pytest.raises(UsageError, match="the clock says"):
        restoring.restored(either, NOW_MS - 1)


@pytest.mark.parametrize("lies", ["nowhere/hq.db", "empty.db"])
def test_a_path_without_a_head_office_is_refused_and_nothing_is_made(
    lies: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped path: exit code 2, what to do, and no new database that would be taken for the one put back."""
    (tmp_path / "empty.db").touch()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["forecourt-hq", "restored", "--database", str(tmp_path / lies)])
    with pytest.raises(SystemExit) as ended:
        entry()
    told = capsys.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert "hint" in told.err
    assert [path for path in sorted(tmp_path.rglob("*")) if "-" not in path.name] == before


def test_the_presence_says_when_it_was_put_back(either: Database) -> None:
    """[W-34] Stations say hello anew where that time is another than before."""
    service = Service(either, KEYS, "main")
    assert decode_as(service.state(True, NOW_MS), HoState)[1].restored is None
    done = restoring.restored(either, NOW_MS)
    said = [out.payload for out in service.tick(NOW_MS + 1) if out.topic == HO_STATE]
    assert [decode_as(payload, HoState)[1].restored for payload in said] == [done.at]
    assert [out.topic for out in service.tick(NOW_MS + 2)] == []
    assert decode_as(service.state(True, NOW_MS + 3), HoState)[1].restored == done.at
