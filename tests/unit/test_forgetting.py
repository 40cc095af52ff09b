"""A deleted member: not a piece of what described the person is left in the database, its log or a new backup."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import insert

from agent.backup import make, packing
from agent.inbox import FromHeadOffice
from agent.pipeline.step import Step
from agent.store.handheld_tables import HANDHELD_ANSWER
from agent.store.verify import verify
from sync import ports
from tests.support import template
from tests.support.backed_up import KEYS, Place
from tests.support.canary import pieces
from tests.support.quiet import quiet_log
from tests.support.station_settings import STATION
from tests.support.till import MEMBER, OTHER, Till

MASK = "张** 138****5678"
TAG = "taxi-driver-of-the-month"
INDEXES = tuple(bytes(range(start, start + 16)).hex() for start in (0x40, 0x80))


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    """A station with a member who has fuelled, among others."""
    with quiet_log():
        template.copy_to(tmp_path)
        opened = Till(tmp_path)
        for number in range(1, 40):
            opened.member(f"{number:016x}", op=number, indexes=[f"{number:032x}"], mask=f"other {number}")
        opened.member(op=100, indexes=list(INDEXES), mask=MASK, tags=[TAG], birthday_md="11-21")
        opened.settle(opened.fuelled())
        yield opened
        opened.close()


def delete(till: Till) -> None:
    """Head office deletes the member; a second passes."""
    gone = {"op": 101, "kind": "DEL", "member": MEMBER}
    till.pipeline.handle(FromHeadOffice(ports.MembersPage(100, (gone,))))
    till.wait(1)


def secrets() -> list[bytes]:
    """Every piece of six bytes of what describes the member."""
    return pieces(MASK.encode(), TAG.encode(), b'"11-21"', *(bytes.fromhex(index) for index in INDEXES))


def found(till: Till) -> list[bytes]:
    """The pieces that stand in the database or its log."""
    files = [till.store.path, till.store.path.with_name(till.store.path.name + "-wal")]
    content = b"".join(file.read_bytes() for file in files if file.exists())
    return [piece for piece in secrets() if piece in content]


def test_nothing_of_a_deleted_member_is_left_in_the_files(till: Till) -> None:
    """Mask, tags, birthday and indexes are in the files before, and not one piece of them a second after."""
    assert len(found(till)) > 20
    delete(till)
    assert found(till) == []
    (row,) = till.rows(f"SELECT * FROM member WHERE id = '{MEMBER}'")
    assert (row["mask"], row["tags"], row["birthday_md"], row["known"]) == ("****", "[]", None, 0)
    assert till.rows(f"SELECT * FROM link WHERE member_ref = {row['ref']}")
    assert not verify(till.store.path).findings


def test_what_a_handheld_was_answered_goes_as_well(till: Till) -> None:
    """An answer kept for a repeated question tells the mask: it goes with the member, answers about others stay."""

    def answered(step: Step) -> None:
        for scan, mask in (("a", MASK), ("b", "other 12")):
            values = {"handheld": "h1", "scan_id": scan, "digest": b"d", "answer": json.dumps({"mask": mask})}
            step.tx.connection.execute(insert(HANDHELD_ANSWER), {**values, "at_ms": step.stamp.wall_ms})

    till.do(answered)
    delete(till)
    assert [row["scan_id"] for row in till.rows("SELECT scan_id FROM handheld_answer")] == ["b"]
    assert found(till) == []


def test_a_reader_in_the_way_only_delays_it(till: Till) -> None:
    """Somebody reads while the member is deleted: the log keeps its pages until they have done, and no longer."""
    with closing(sqlite3.connect(f"file:{till.store.path}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM member").fetchone()
        delete(till)
        assert found(till)
        reader.execute("COMMIT")
    till.wait(1)
    assert found(till) == []


def test_a_crash_before_the_log_was_emptied_does_not_keep_it(till: Till) -> None:
    """The process dies right after the deletion: the next start empties the log."""
    gone = {"op": 101, "kind": "DEL", "member": MEMBER}
    till.pipeline.handle(FromHeadOffice(ports.MembersPage(100, (gone,))))
    assert found(till)
    till.restart()
    till.wait(1)
    assert found(till) == []


def test_a_new_backup_holds_nothing_of_a_deleted_member(till: Till) -> None:
    """Opened again with its key, a backup made after the deletion has no piece of the member in it."""
    delete(till)
    plan = replace(Place(till.directory).plan, database=till.store.path, station=STATION)
    made = make.make(plan, till.clock.wall_ms())
    opened = BytesIO()
    with made.path.open("rb") as sealed:
        packing.unseal(sealed, opened, (KEYS,), packing.never_ending)
    content = opened.getvalue()
    assert b"other 12" in content
    assert [piece for piece in secrets() if piece in content] == []


def test_a_merged_member_leaves_nothing_of_its_own(till: Till) -> None:
    """Head office merges the member into another: the indexes find the other now, mask and tags are gone."""
    told = {"op": 101, "kind": "ALIAS", "member": MEMBER, "to": OTHER}
    till.pipeline.handle(FromHeadOffice(ports.MembersPage(100, (told,))))
    till.wait(1)
    here = pieces(MASK.encode(), TAG.encode())
    content = till.store.path.read_bytes()
    assert [piece for piece in here if piece in content] == []
    assert till.do(lambda step: step.tx.members.by_index(bytes.fromhex(INDEXES[0])))["id"] == OTHER
