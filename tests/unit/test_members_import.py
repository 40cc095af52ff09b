"""A member file is imported as a whole or not at all: every wrong line is named, and many members take few statements."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headoffice import members as importing
from headoffice.cli.app import app
from headoffice.errors import ImportProblem
from headoffice.keys import make_keys
from headoffice.member_files import BadLine
from headoffice.members import import_file
from headoffice.store import buckets, members, reports
from headoffice.store.database import Database
from sync.buckets import BUCKETS, bucket_of
from tests.support import template

KEY = bytes(range(32))
WRONG = (
    "member,phone,points\n"
    "0000000000000001,13812345678,5\n"
    "XYZ,13812345679,5\n"
    "0000000000000003,12,5\n"
    "0000000000000004,13812345680\n"
    "0000000000000005,13812345681,many\n"
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = template.head_office(tmp_path / "hq.sqlite")
    yield opened
    opened.close()


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def rows(folder: Path, numbers: range, **more: object) -> Path:
    told = ({"member": f"{n:016x}", "phone": f"138{n:08d}", **more} for n in numbers)
    return written(folder / "m.jsonl", "".join(json.dumps(one) + "\n" for one in told))


def test_every_wrong_line_is_named_with_its_column(database: Database, tmp_path: Path) -> None:
    """All of them at once, line and reason; nothing of the file is stored."""
    told: list[BadLine] = []
    with pytest.raises(ImportProblem) as caught:
        import_file(database, written(tmp_path / "m.csv", WRONG), KEY, bad_line=told.append)
    assert [(line.number, line.column) for line in told] == [(3, "member"), (4, "phone"), (5, ""), (6, "points")]
    assert "4 lines are wrong" in str(caught.value)
    assert "line 4: phone is not a mobile number" in str(caught.value)
    assert reports.totals(database)["members"] == 0


def test_the_message_stays_short_and_the_file_has_all(tmp_path: Path) -> None:
    """More wrong lines than fit a screen: the first stand in the message, every one in the file of --errors."""
    state, errors = tmp_path / "hq", tmp_path / "errors.csv"
    make_keys(state / "keys")
    file = written(tmp_path / "m.csv", "member\n" + "nobody\n" * 100)
    arguments = ["members", "import", str(file), "--state", str(state), "--errors", str(errors)]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ImportProblem)
    assert str(done.exception).count("\n  line ") == importing.SHOWN
    assert "and 80 more" in str(done.exception)
    with errors.open(encoding="utf-8", newline="") as found:
        lines = list(csv.reader(found))
    assert lines[0] == ["line", "column", "reason"]
    assert [line[0] for line in lines[1:]] == [str(number) for number in range(2, 102)]


def test_members_that_meet_each_other_are_judged_one_by_one(database: Database, tmp_path: Path) -> None:
    """Two lines with one phone: both the second line and the reason are told, whoever stands around them."""
    lines = [{"member": f"{n:016x}", "phone": f"138{n:08d}"} for n in range(1, 30)]
    lines[20]["phone"] = lines[3]["phone"]
    told: list[BadLine] = []
    file = written(tmp_path / "m.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ImportProblem, match="already belongs"):
        import_file(database, file, KEY, bad_line=told.append)
    assert [(line.number, line.column) for line in told] == [(21, "phone, cards, plates")]
    assert reports.totals(database)["members"] == 0


def test_many_at_once_are_as_one_by_one(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New, changed, unchanged and deleted members: the same rows, ops and indexes whichever way they are stored."""
    one_by_one = template.head_office(tmp_path / "other.sqlite")
    steps = ((range(40), {"tier": "gold"}), (range(20, 60), {"tier": "silver"}), (range(60), {"tier": "silver"}))
    for numbers, more in steps:
        file = rows(tmp_path, numbers, **more)
        with monkeypatch.context() as slow:
            slow.setattr(importing, "put_many", lambda *_: None)
            import_file(one_by_one, file, KEY)
        import_file(database, file, KEY)
        for each in (database, one_by_one):
            importing.remove_member(each, f"{numbers[0]:016x}")
    found = []
    for each in (database, one_by_one):
        with each.read() as connection:
            told = [(op.op, op.body) for op in members.ops_after(connection, 0, 10**9)]
            owners = [
                members.owner(connection, index) for _, body in told for index in json.loads(body).get("indexes", ())
            ]
            found.append((told, owners))
    assert found[0] == found[1]
    one_by_one.close()


def test_postgresql_comes_to_the_same_manifest(database: Database, postgres_url: str, tmp_path: Path) -> None:
    """[W-40] The same files into both databases: the same ops, the same buckets, the same sums."""
    with closing(Database(postgres_url)) as server:
        found = []
        for each in (database, server):
            import_file(each, rows(tmp_path, range(60), tier="gold"), KEY)
            import_file(each, rows(tmp_path, range(50, 80)), KEY)
            assert importing.remove_member(each, f"{7:016x}")
            importing.sum_up(each)
            with each.read() as connection:
                found.append(buckets.manifest(connection, members.last_op(connection)))
        assert found[0] == found[1]
        assert found[0].members == 79


def test_an_import_sums_up_only_where_something_changed(database: Database, tmp_path: Path) -> None:
    """[W-40] One changed member makes one bucket to sum up, and it is summed up before the command ends."""
    told: list[tuple[str, int, int]] = []
    import_file(database, rows(tmp_path, range(200)), KEY)
    with database.read() as connection:
        assert buckets.stale(connection) == []
        assert buckets.count(connection) == 200
        before = buckets.manifest(connection, 200)
    import_file(database, rows(tmp_path, range(7, 8), tier="gold"), KEY, lambda *step: told.append(step))
    with database.read() as connection:
        after = buckets.manifest(connection, 201)
    differ = [number for number in range(BUCKETS) if before.buckets[number] != after.buckets[number]]
    assert differ == [bucket_of(f"{7:016x}")]
    assert ("summing up buckets", 1, 1) in told
