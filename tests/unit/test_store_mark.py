"""The high-water file: replaced as a whole, read back exactly, and a database older than it is noticed."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.store.mark import Mark, MarkDamaged, database_is_behind, read, write

INCARNATION = "0123456789abcdef0123456789abcdef"
MARK = Mark(INCARNATION, 7, {"L": (12, "aa" * 32), "A": (3, "bb" * 32)}, {"1:2": ("0:1234", 10, 100_000_000)})


def heads(last: int, audit: int = 3) -> dict[str, tuple[int, bytes]]:
    """Heads of a database."""
    return {"L": (last, b""), "A": (audit, b""), "T": (0, b"")}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """In a folder that did not exist; twice, the second replacing the first; nothing else is left there."""
    path = tmp_path / "mark" / "mark.json"
    assert read(path) is None
    write(path, Mark("f" * 32, 1, {}))
    write(path, MARK)
    assert read(path) == MARK
    assert [file.name for file in path.parent.iterdir()] == ["mark.json"]
    assert path.stat().st_mode & 0o777 & ~0o640 == 0


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    """A half-written new file beside it is not looked at."""
    path = tmp_path / "mark.json"
    write(path, MARK)
    path.with_name("mark.json.new").write_text('{"incarn', encoding="utf-8")
    assert read(path) == MARK
    write(path, MARK)
    assert read(path) == MARK


def test_a_disk_that_takes_only_a_part_leaves_the_old_file(tmp_path: Path) -> None:
    """The system writes some of the bytes and says so without an error: that is no high-water file."""
    path = tmp_path / "mark.json"
    write(path, MARK)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            write(path, Mark("f" * 32, 8, {}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert read(path) == MARK


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"7",
        b"\xff\xfe",
        b'{"incarnation": "a", "connect_n": 1}',
        b'{"streams": []}',
        b'{"incarnation": "a", "connect_n": 1, "streams": {"L": 3}}',
        b'{"incarnation": "a", "connect_n": "x", "streams": {}}',
    ],
)
def test_anything_else_is_damaged_and_said_so(tmp_path: Path, content: bytes) -> None:
    """Not taken for a missing file: a damaged mark stops the sending, a missing one of a new station does not."""
    path = tmp_path / "mark.json"
    path.write_bytes(content)
    with pytest.raises(MarkDamaged, match=r"mark\.json"):
        read(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_mark_or_damaged(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """No other exception."""
    path = tmp_path_factory.getbasetemp() / "mark.json"
    path.write_bytes(content)
    with pytest.raises(MarkDamaged):
        read(path)


def test_an_older_database_is_behind() -> None:
    """A restored backup: one stream stands before the mark. Level or ahead is right: the mark may be late."""
    assert database_is_behind(MARK, INCARNATION, heads(11)) is True
    assert database_is_behind(MARK, INCARNATION, heads(12, audit=2)) is True
    assert database_is_behind(MARK, INCARNATION, heads(12)) is False
    assert database_is_behind(MARK, INCARNATION, heads(40, audit=9)) is False


def test_another_incarnation_is_behind_and_no_mark_is_not() -> None:
    """A copied database of another installation must not send; a new station may."""
    assert database_is_behind(MARK, "f" * 32, heads(40)) is True
    assert database_is_behind(None, INCARNATION, heads(0)) is False
